//! Cycles among named things.
//!
//! The manifest's rules look for cycles before there is a model, the graph after; both ask here.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// How many edges are looked at in one knot: in one of thousands of names, the shortest of the cycles
/// that were found until then is short enough.
const MOST_STEPS: usize = 1_000_000;

/// Finds a shortest cycle in each knot of `edges` (pairs of who needs and who is needed), as a path
/// that starts and ends at the same name: `[a, b, a]`. An edge from a name to itself is a cycle.
/// The result is the same for the same edges in the same order.
pub fn find_cycles<'a, N: Ord + Clone + 'a>(
    edges: impl IntoIterator<Item = (&'a N, &'a N)>,
) -> Vec<Vec<N>> {
    let mut graph: DiGraph<&N, ()> = DiGraph::new();
    let mut nodes: BTreeMap<&N, NodeIndex> = BTreeMap::new();
    for (from, to) in edges {
        let from = *nodes.entry(from).or_insert_with(|| graph.add_node(from));
        let to = *nodes.entry(to).or_insert_with(|| graph.add_node(to));
        graph.update_edge(from, to, ());
    }
    // Not Tarjan's way, which petgraph goes by recursion: a chain of some ten thousand names would
    // overflow the stack.
    let mut knots: Vec<Vec<NodeIndex>> = kosaraju_scc(&graph)
        .into_iter()
        .filter(|knot| knot.len() > 1 || graph.contains_edge(knot[0], knot[0]))
        .collect();
    for knot in &mut knots {
        knot.sort();
    }
    knots.sort();
    knots
        .iter()
        .filter_map(|knot| {
            let mut steps = 0;
            knot.iter()
                .map_while(|start| {
                    let has_time = steps < MOST_STEPS;
                    has_time.then(|| shortest_cycle_through(&graph, knot, *start, &mut steps))
                })
                .flatten()
                .min_by_key(Vec::len)
        })
        .map(|path| path.into_iter().map(|node| graph[node].clone()).collect())
        .collect()
}

fn shortest_cycle_through<N>(
    graph: &DiGraph<&N, ()>,
    knot: &[NodeIndex],
    start: NodeIndex,
    steps: &mut usize,
) -> Option<Vec<NodeIndex>> {
    let mut came_from: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let mut next: Vec<NodeIndex> = graph
            .neighbors(node)
            .filter(|n| knot.binary_search(n).is_ok())
            .collect();
        next.sort();
        *steps += next.len();
        for neighbor in next {
            if neighbor == start {
                let mut path = vec![start];
                let mut at = node;
                while at != start {
                    path.push(at);
                    at = came_from[&at];
                }
                path.push(start);
                path.reverse();
                return Some(path);
            }
            if let Entry::Vacant(unseen) = came_from.entry(neighbor) {
                unseen.insert(node);
                queue.push_back(neighbor);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycles(edges: &[(&'static str, &'static str)]) -> Vec<Vec<&'static str>> {
        find_cycles(edges.iter().map(|(a, b)| (a, b)))
    }

    #[test]
    fn no_cycle_in_a_diamond() {
        assert!(cycles(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]).is_empty());
    }

    #[test]
    fn a_self_edge_is_a_cycle() {
        assert_eq!(cycles(&[("a", "a")]), [["a", "a"]]);
    }

    #[test]
    fn a_cycle_through_thousands_is_found_without_trying_each_of_them() {
        let names: Vec<usize> = (0..9000).collect();
        let next = names.iter().cycle().skip(1);
        let cycles = find_cycles(names.iter().zip(next));
        assert_eq!(cycles.len(), 1);
        assert_eq!(cycles[0].len(), 9001);
    }

    #[test]
    fn the_shortest_of_a_knot_and_one_for_each_knot() {
        let found = cycles(&[
            ("a", "b"),
            ("b", "c"),
            ("c", "a"),
            ("b", "a"),
            ("x", "y"),
            ("y", "x"),
            ("y", "a"),
        ]);
        assert_eq!(found, [["a", "b", "a"], ["x", "y", "x"]]);
    }
}
