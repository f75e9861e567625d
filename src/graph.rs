//! The one source of order: which service needs which, and when.
//!
//! An edge points from the dependent to its dependency. The plan explains this order to people, the
//! machine obeys it; neither knows how it is kept. Everything that is handed out is sorted in the
//! order in which the services were declared, so that the same manifest always gives the same plan.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::cycle::find_cycles;
use crate::id::ServiceName;
use crate::manifest::model::{Condition, Manifest, Service};

/// The dependency graph of a set of declarations; free of cycles when it was made from a manifest.
#[derive(Debug, Clone)]
pub struct Graph {
    graph: DiGraph<ServiceName, Condition>,
    nodes: BTreeMap<ServiceName, NodeIndex>,
}

/// One edge: `dependent` needs `dependency`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Who needs.
    pub dependent: ServiceName,
    /// Who is needed.
    pub dependency: ServiceName,
    /// What must be true of it.
    pub condition: Condition,
}

/// A path of edges that ends where it began.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("services depend on each other: {}", path(.edges))]
pub struct Cycle {
    /// The edges, each beginning where the one before it ended.
    pub edges: Vec<Edge>,
}

fn path(edges: &[Edge]) -> String {
    let mut names: Vec<String> = edges.iter().map(|e| format!("`{}`", e.dependent)).collect();
    names.extend(edges.last().map(|e| format!("`{}`", e.dependency)));
    names.join(" -> ")
}

impl Graph {
    /// Builds the graph from the resolved manifest.
    ///
    /// # Errors
    /// A shortest cycle, when there is one.
    pub fn new(manifest: &Manifest) -> Result<Self, Cycle> {
        let graph = Self::of_declarations(manifest.services.values());
        let edges = graph.edges();
        let shortest = find_cycles(edges.iter().map(|e| (&e.dependent, &e.dependency)))
            .into_iter()
            .min_by_key(Vec::len);
        match shortest {
            None => Ok(graph),
            Some(names) => Err(Cycle {
                edges: names
                    .windows(2)
                    .filter_map(|pair| {
                        edges
                            .iter()
                            .find(|e| e.dependent == pair[0] && e.dependency == pair[1])
                            .cloned()
                    })
                    .collect(),
            }),
        }
    }

    /// Builds the graph of declarations that may come from several versions of a manifest, as a
    /// running project holds them. An edge to a service that is not among them is left out, and
    /// cycles are not looked for: every method ends in spite of one.
    pub fn of_declarations<'a>(services: impl IntoIterator<Item = &'a Service>) -> Self {
        let services: Vec<&Service> = services.into_iter().collect();
        let mut graph = DiGraph::new();
        let mut nodes = BTreeMap::new();
        for service in &services {
            nodes
                .entry(service.name.clone())
                .or_insert_with(|| graph.add_node(service.name.clone()));
        }
        for service in &services {
            for (dependency, edge) in &service.depends_on {
                if let Some(to) = nodes.get(dependency) {
                    graph.update_edge(nodes[&service.name], *to, edge.condition);
                }
            }
        }
        Self { graph, nodes }
    }

    /// All services, in the order of their declaration.
    pub fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.graph.node_weights()
    }

    /// All edges, in the order in which they were declared.
    pub fn edges(&self) -> Vec<Edge> {
        self.graph
            .edge_references()
            .map(|edge| Edge {
                dependent: self.graph[edge.source()].clone(),
                dependency: self.graph[edge.target()].clone(),
                condition: *edge.weight(),
            })
            .collect()
    }

    /// `names` and all that they need, directly or through others.
    pub fn dependencies_of<'a>(
        &self,
        names: impl IntoIterator<Item = &'a ServiceName>,
    ) -> BTreeSet<ServiceName> {
        self.closure(names, Direction::Outgoing)
    }

    /// `names` and all that need them, directly or through others.
    pub fn dependents_of<'a>(
        &self,
        names: impl IntoIterator<Item = &'a ServiceName>,
    ) -> BTreeSet<ServiceName> {
        self.closure(names, Direction::Incoming)
    }

    /// The services that `name` itself names as its dependencies.
    pub fn direct_dependencies(&self, name: &ServiceName) -> Vec<&ServiceName> {
        self.neighbors(name, Direction::Outgoing)
    }

    /// The services that name `name` as their dependency.
    pub fn direct_dependents(&self, name: &ServiceName) -> Vec<&ServiceName> {
        self.neighbors(name, Direction::Incoming)
    }

    fn neighbors(&self, name: &ServiceName, direction: Direction) -> Vec<&ServiceName> {
        let Some(node) = self.nodes.get(name) else {
            return Vec::new();
        };
        let mut found: Vec<NodeIndex> = self.graph.neighbors_directed(*node, direction).collect();
        found.sort();
        found.into_iter().map(|node| &self.graph[node]).collect()
    }

    fn closure<'a>(
        &self,
        names: impl IntoIterator<Item = &'a ServiceName>,
        direction: Direction,
    ) -> BTreeSet<ServiceName> {
        let mut open: Vec<NodeIndex> = names
            .into_iter()
            .filter_map(|name| self.nodes.get(name).copied())
            .collect();
        let mut seen: BTreeSet<NodeIndex> = BTreeSet::new();
        while let Some(node) = open.pop() {
            if seen.insert(node) {
                open.extend(self.graph.neighbors_directed(node, direction));
            }
        }
        seen.into_iter()
            .map(|node| self.graph[node].clone())
            .collect()
    }

    /// `subset` in levels: each service comes in a later wave than every service of the subset that
    /// it needs, be it through services outside the subset, and in the earliest such wave. Services
    /// on a cycle, and what needs them, come together in the last wave.
    pub fn waves(&self, subset: &BTreeSet<ServiceName>) -> Vec<Vec<ServiceName>> {
        let is_member = |node: NodeIndex| subset.contains(&self.graph[node]);
        let mut waves: Vec<Vec<NodeIndex>> = Vec::new();
        // For each service the longest path down from it, counted in members of the subset.
        let mut depths: Vec<usize> = vec![0; self.graph.node_count()];
        let mut open_edges: Vec<usize> = self
            .graph
            .node_indices()
            .map(|node| self.graph.neighbors(node).count())
            .collect();
        let mut done: VecDeque<NodeIndex> = self
            .graph
            .node_indices()
            .filter(|node| open_edges[node.index()] == 0)
            .collect();
        let mut left: BTreeSet<NodeIndex> = self.graph.node_indices().collect();
        while let Some(node) = done.pop_front() {
            left.remove(&node);
            let mut depth = depths[node.index()];
            if is_member(node) {
                if waves.len() <= depth {
                    waves.resize_with(depth + 1, Vec::new);
                }
                waves[depth].push(node);
                depth += 1;
            }
            for dependent in self.graph.neighbors_directed(node, Direction::Incoming) {
                let above = &mut depths[dependent.index()];
                *above = depth.max(*above);
                open_edges[dependent.index()] -= 1;
                if open_edges[dependent.index()] == 0 {
                    done.push_back(dependent);
                }
            }
        }
        waves.push(left.into_iter().filter(|node| is_member(*node)).collect());
        waves
            .into_iter()
            .filter(|wave| !wave.is_empty())
            .map(|mut wave| {
                wave.sort();
                wave.into_iter().map(|n| self.graph[n].clone()).collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::{manifest, name, needs, process};

    /// A manifest from lines such as `web: db cache`.
    fn declared(lines: &[&str]) -> Manifest {
        manifest(lines.iter().map(|line| {
            let (service, needed) = line.split_once(':').unwrap();
            needed
                .split_whitespace()
                .fold(process(service), |service, needed| {
                    needs(service, needed, Condition::Ready)
                })
        }))
    }

    fn graph(lines: &[&str]) -> Graph {
        Graph::new(&declared(lines)).unwrap()
    }

    fn set(names: &[&str]) -> BTreeSet<ServiceName> {
        names.iter().map(|text| name(text)).collect()
    }

    fn waves(graph: &Graph, subset: &[&str]) -> Vec<Vec<String>> {
        let waves = graph.waves(&set(subset));
        let text = |wave: Vec<ServiceName>| wave.iter().map(ToString::to_string).collect();
        waves.into_iter().map(text).collect()
    }

    const DIAMOND: [&str; 5] = [
        "top: left right",
        "left: base",
        "right: base",
        "base:",
        "lone:",
    ];

    #[test]
    fn closures_hold_the_names_themselves_and_all_beyond() {
        let graph = graph(&DIAMOND);
        assert_eq!(
            graph.dependencies_of(&[name("left")]),
            set(&["left", "base"])
        );
        assert_eq!(graph.dependents_of(&[name("left")]), set(&["left", "top"]));
        assert_eq!(
            graph.dependents_of(&[name("base")]),
            set(&["base", "left", "right", "top"])
        );
        assert_eq!(graph.dependencies_of(&[name("lone")]), set(&["lone"]));
        assert_eq!(graph.dependencies_of(&[name("unknown")]), set(&[]));
        assert_eq!(
            graph.direct_dependencies(&name("top")),
            [&name("left"), &name("right")]
        );
        assert_eq!(
            graph.direct_dependents(&name("base")),
            [&name("left"), &name("right")]
        );
    }

    #[test]
    fn waves_are_levels_in_the_order_of_the_manifest() {
        let graph = graph(&DIAMOND);
        let all = waves(&graph, &["top", "left", "right", "base", "lone"]);
        assert_eq!(
            all,
            [vec!["base", "lone"], vec!["left", "right"], vec!["top"]]
        );
    }

    #[test]
    fn waves_of_a_part_keep_the_order_that_goes_through_the_rest() {
        assert_eq!(
            waves(&graph(&DIAMOND), &["top", "base"]),
            [["base"], ["top"]]
        );
    }

    #[test]
    fn edges_come_as_they_were_declared() {
        let edges = graph(&["web: db cache", "db:", "cache: db"]).edges();
        let pairs: Vec<(&str, &str)> = edges
            .iter()
            .map(|edge| (edge.dependent.as_str(), edge.dependency.as_str()))
            .collect();
        assert_eq!(pairs, [("web", "db"), ("web", "cache"), ("cache", "db")]);
        assert_eq!(edges[0].condition, Condition::Ready);
    }

    #[test]
    fn a_cycle_is_told_as_a_path() {
        let cycle = Graph::new(&declared(&["a: b", "b: c", "c: a b", "d: a"])).unwrap_err();
        assert_eq!(cycle.edges.len(), 2);
        assert_eq!(
            cycle.to_string(),
            "services depend on each other: `b` -> `c` -> `b`"
        );
        let own = Graph::new(&declared(&["a: a"])).unwrap_err();
        assert_eq!(own.to_string(), "services depend on each other: `a` -> `a`");
    }

    #[test]
    fn declarations_of_several_manifests_may_hold_cycles_and_unknown_names() {
        let mixed = declared(&["a: b", "b: a", "c: b", "d: unknown", "e:"]);
        let graph = Graph::of_declarations(mixed.services.values());
        assert_eq!(
            waves(&graph, &["a", "b", "c", "d", "e"]),
            [vec!["d", "e"], vec!["a", "b", "c"]]
        );
        assert_eq!(graph.dependencies_of(&[name("c")]), set(&["a", "b", "c"]));
    }
}
