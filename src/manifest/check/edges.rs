//! Who needs whom: `depends_on` with its groups replaced by their members.

use super::world::World;
use crate::id::{GroupName, ServiceName};
use crate::manifest::model::Condition;
use crate::manifest::raw;
use crate::manifest::source::Span;

/// One service needs another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edge {
    pub(super) dependent: ServiceName,
    pub(super) dependency: ServiceName,
    pub(super) condition: Condition,
    /// Where it is written.
    pub(super) span: Span,
    /// Where the condition is written; without one, the reference itself.
    pub(super) condition_span: Span,
    /// The group through which it is needed.
    pub(super) group: Option<GroupName>,
}

/// One entry of `depends_on`, as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference<'a> {
    /// `name` or `@group`.
    pub(super) text: &'a str,
    pub(super) span: Span,
    pub(super) condition: Condition,
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
                condition: Condition::Ready,
                condition_span: span,
            })
            .collect(),
        Some(raw::DependsOn::Map(table)) => table
            .0
            .iter()
            .map(|(key, dependency)| {
                let written = dependency.value().and_then(|one| one.condition.written());
                Reference {
                    text: &key.value,
                    span: key.span,
                    condition: written.map_or(Condition::Ready, |one| condition(one.value)),
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

/// All edges that are written, also those that contradict each other; what is not declared is left
/// out.
pub(super) fn edges(world: &World<'_>) -> Vec<Edge> {
    let mut edges = Vec::new();
    for service in world.services.values() {
        let Some(raw) = service.raw else { continue };
        for reference in references(raw) {
            let mut add = |dependency: &ServiceName, group: Option<&GroupName>| {
                edges.push(Edge {
                    dependent: service.name.clone(),
                    dependency: dependency.clone(),
                    condition: reference.condition,
                    span: reference.span,
                    condition_span: reference.condition_span,
                    group: group.cloned(),
                });
            };
            match reference.group() {
                None => {
                    if let Some(dependency) = world.services.get(reference.text) {
                        add(&dependency.name, None);
                    }
                }
                Some(group) => {
                    if let Some(group) = world.groups.get(group) {
                        for member in world.members(group.name.as_str()) {
                            add(member, Some(&group.name));
                        }
                    }
                }
            }
        }
    }
    edges
}

/// Of the edges between two services, the one that counts: the one that names the service itself
/// says more than one through a group.
pub(super) fn decisive<'e>(edges: impl Iterator<Item = &'e Edge>) -> Vec<&'e Edge> {
    let mut chosen: indexmap::IndexMap<(&ServiceName, &ServiceName), &Edge> =
        indexmap::IndexMap::new();
    for edge in edges {
        let key = (&edge.dependent, &edge.dependency);
        match chosen.get(&key) {
            Some(earlier) if earlier.group.is_none() || edge.group.is_some() => {}
            _ => {
                chosen.insert(key, edge);
            }
        }
    }
    chosen.into_values().collect()
}
