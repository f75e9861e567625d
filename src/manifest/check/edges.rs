//! Who needs whom: `depends_on` with its groups replaced by their members.

use indexmap::IndexMap;

use super::world::World;
use crate::id::{GroupName, ServiceName};
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::model::{Condition, Dependency};
use crate::manifest::raw;
use crate::manifest::source::Span;

/// How many edges a manifest may have. Groups multiply them: a thousand services that each need a
/// group of a thousand are a million.
const MOST_EDGES: usize = 100_000;

/// One service needs another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edge {
    pub(super) dependent: ServiceName,
    pub(super) dependency: ServiceName,
    pub(super) needs: Dependency,
    /// Where it is written.
    pub(super) span: Span,
    /// Where the condition is written; without one, the reference itself.
    pub(super) condition_span: Span,
    /// The group through which it is needed.
    pub(super) group: Option<GroupName>,
}

impl Edge {
    /// As in "`a` needs `b` …".
    pub(super) fn through(&self) -> String {
        match &self.group {
            None => String::new(),
            Some(group) => format!(", a member of `@{group}`"),
        }
    }
}

/// All edges, also those that contradict each other; what is not declared is left out.
#[derive(Debug, Default)]
pub(super) struct Edges {
    of: IndexMap<ServiceName, Vec<Edge>>,
}

impl Edges {
    pub(super) fn new(world: &World<'_>, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut of = IndexMap::new();
        let mut total = 0;
        for service in world.services.values() {
            let Some(raw) = service.raw else { continue };
            let mut edges = Vec::new();
            for reference in references(raw) {
                edges.extend(of_reference(world, &service.name, &reference));
                if total + edges.len() > MOST_EDGES {
                    diagnostics.push(
                        Diagnostic::error(
                            "too_large",
                            format!("the services have more than {MOST_EDGES} dependencies"),
                        )
                        .label(reference.span, "too much from here on")
                        .help("a task that all members of a group wait for can stand for many dependencies"),
                    );
                    return Self { of };
                }
            }
            total += edges.len();
            of.insert(service.name.clone(), edges);
        }
        Self { of }
    }

    /// Who refers to what another exports needs it to be ready, unless it says so itself.
    pub(super) fn imply(&mut self, dependent: &ServiceName, needed: Vec<(ServiceName, Span)>) {
        let edges = self.of.entry(dependent.clone()).or_default();
        for (dependency, span) in needed {
            let is_said = |edge: &Edge| edge.dependency == dependency && edge.group.is_none();
            if dependency != *dependent && !edges.iter().any(is_said) {
                edges.push(Edge {
                    dependent: dependent.clone(),
                    dependency,
                    needs: Dependency::on(Condition::Ready),
                    span,
                    condition_span: span,
                    group: None,
                });
            }
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Edge> {
        self.of.values().flatten()
    }

    /// What this service needs: of several edges to one service, the one that counts.
    pub(super) fn decisive_of(&self, service: &ServiceName) -> Vec<&Edge> {
        self.of
            .get(service)
            .map(|edges| decisive(edges))
            .unwrap_or_default()
    }

    /// The edges that count, of all services.
    pub(super) fn decisive(&self) -> impl Iterator<Item = &Edge> {
        self.of.values().flat_map(|edges| decisive(edges))
    }
}

/// Of the edges of one service, those that count: one that names a service itself says more than one
/// through a group.
fn decisive(edges: &[Edge]) -> Vec<&Edge> {
    let mut chosen: IndexMap<&ServiceName, &Edge> = IndexMap::new();
    for edge in edges {
        match chosen.get(&edge.dependency) {
            Some(earlier) if earlier.group.is_none() || edge.group.is_some() => {}
            _ => {
                chosen.insert(&edge.dependency, edge);
            }
        }
    }
    chosen.into_values().collect()
}

fn of_reference(
    world: &World<'_>,
    dependent: &ServiceName,
    reference: &Reference<'_>,
) -> Vec<Edge> {
    let edge = |dependency: &ServiceName, group: Option<&GroupName>| Edge {
        dependent: dependent.clone(),
        dependency: dependency.clone(),
        needs: reference.needs,
        span: reference.span,
        condition_span: reference.condition_span,
        group: group.cloned(),
    };
    match reference.group() {
        None => world
            .services
            .get(reference.text)
            .map(|dependency| edge(&dependency.name, None))
            .into_iter()
            .collect(),
        Some(group) => {
            let Some(group) = world.groups.get(group) else {
                return Vec::new();
            };
            world
                .members(group.name.as_str())
                .iter()
                .map(|member| edge(member, Some(&group.name)))
                .collect()
        }
    }
}

/// One entry of `depends_on`, as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference<'a> {
    /// `name` or `@group`.
    pub(super) text: &'a str,
    pub(super) span: Span,
    pub(super) needs: Dependency,
    pub(super) condition_span: Span,
}

impl<'a> Reference<'a> {
    /// The group, when it is one.
    pub(super) fn group(&self) -> Option<&'a str> {
        self.text.strip_prefix('@')
    }
}

/// The entries of a service's `depends_on`.
pub(super) fn references(raw: &raw::Service) -> Vec<Reference<'_>> {
    match raw.depends_on.value() {
        None => Vec::new(),
        Some(raw::DependsOn::List(items)) => raw::texts(items)
            .into_iter()
            .map(|(text, span)| Reference {
                text,
                span,
                needs: Dependency::on(Condition::Ready),
                condition_span: span,
            })
            .collect(),
        Some(raw::DependsOn::Map(table)) => table
            .0
            .iter()
            .map(|(key, dependency)| {
                let raw = dependency.value();
                let written = raw.and_then(|one| one.condition.written());
                let needs = Dependency {
                    condition: written.map_or(Condition::Ready, |one| condition(one.value)),
                    required: raw.and_then(|one| one.required.value()) != Some(&false),
                    restart: raw.and_then(|one| one.restart.value()) == Some(&true),
                };
                Reference {
                    text: &key.value,
                    span: key.span,
                    needs,
                    condition_span: written.map_or(key.span, |one| one.span),
                }
            })
            .collect(),
    }
}

fn condition(raw: raw::Condition) -> Condition {
    match raw {
        raw::Condition::Started => Condition::Started,
        raw::Condition::Ready => Condition::Ready,
        raw::Condition::Completed => Condition::Completed,
    }
}
