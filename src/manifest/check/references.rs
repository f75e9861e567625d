//! Rules about what points at something else: groups and dependencies.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::edges::{Edge, references};
use super::world::{World, memberships};
use crate::cycle::find_cycles;
use crate::id::ServiceName;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::model::{Condition, Dependency};
use crate::manifest::raw;
use crate::manifest::similar::nearest;
use crate::manifest::source::Span;

/// How many names are compared for a did-you-mean: it must not take long in a manifest of thousands.
const MOST_CANDIDATES: usize = 500;

/// A service joins groups that are declared.
pub(super) fn unknown_groups(world: &World<'_>) -> Vec<Diagnostic> {
    if !world.input.is_complete {
        return Vec::new();
    }
    let mut diagnostics = Vec::new();
    for service in world.services.values() {
        for (group, span) in memberships(service.raw) {
            if !world.groups.contains_key(group) {
                let message = format!(
                    "service `{}` is in group `{group}`, which is not declared",
                    service.name
                );
                diagnostics.push(unknown_group(world, group, span, message));
            }
        }
    }
    diagnostics
}

fn unknown_group(world: &World<'_>, group: &str, span: Span, message: String) -> Diagnostic {
    let groups = world.groups.keys().map(crate::id::GroupName::as_str);
    let help = match (
        nearest(group, groups.take(MOST_CANDIDATES)),
        group.strip_prefix('@'),
    ) {
        (_, Some(bare)) => format!("in `groups` the name stands without `@`: `{bare}`"),
        (Some(near), _) => format!("a group with a similar name exists: `{near}`"),
        (None, _) => format!("declare it at the top level: `groups: {{{group}: {{}}}}`"),
    };
    Diagnostic::error("unknown_group", message)
        .label(span, "not declared")
        .help(help)
}

/// A service depends on services and groups that are declared.
pub(super) fn unknown_dependencies(world: &World<'_>) -> Vec<Diagnostic> {
    if !world.input.is_complete {
        return Vec::new();
    }
    let mut diagnostics = Vec::new();
    for service in world.services.values() {
        let Some(raw) = service.raw else { continue };
        for reference in references(raw) {
            let text = reference.text;
            let message = format!(
                "service `{}` depends on `{text}`, which is not declared",
                service.name
            );
            if let Some(group) = reference.group() {
                if !world.groups.contains_key(group) {
                    diagnostics.push(unknown_group(world, group, reference.span, message));
                }
                continue;
            }
            if world.services.contains_key(text) {
                continue;
            }
            let services = world.services.keys().map(ServiceName::as_str);
            let help = if world.groups.contains_key(text) {
                format!("`{text}` is a group: write `\"@{text}\"`")
            } else {
                match nearest(text, services.take(MOST_CANDIDATES)) {
                    Some(near) => format!("a service with a similar name exists: `{near}`"),
                    None => "declare it under `services`, or remove it here".to_owned(),
                }
            };
            diagnostics.push(
                Diagnostic::error("unknown_dependency", message)
                    .label(reference.span, "not declared")
                    .help(help),
            );
        }
    }
    diagnostics
}

/// A service cannot wait for itself.
pub(super) fn on_itself(world: &World<'_>) -> Vec<Diagnostic> {
    let itself = |edge: &&Edge| edge.dependent == edge.dependency;
    world
        .edges
        .iter()
        .filter(itself)
        .map(|edge| {
            let name = &edge.dependent;
            match &edge.group {
                None => Diagnostic::error(
                    "self_dependency",
                    format!("service `{name}` depends on itself"),
                )
                .label(edge.span, "itself")
                .help("remove it"),
                Some(group) => Diagnostic::error(
                    "self_dependency",
                    format!("service `{name}` depends on group `@{group}`, which it belongs to"),
                )
                .label(edge.span, format!("`{name}` is a member of `@{group}`"))
                .help("name the members that it needs instead of the group"),
            }
        })
        .collect()
}

/// A group that is waited for has members.
pub(super) fn empty_groups(world: &World<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    if !world.input.is_complete {
        return diagnostics;
    }
    for service in world.services.values() {
        let Some(raw) = service.raw else { continue };
        for reference in references(raw) {
            let Some(group) = reference.group() else {
                continue;
            };
            if world.groups.contains_key(group) && world.members(group).is_empty() {
                diagnostics.push(
                    Diagnostic::warning(
                        "empty_group",
                        format!(
                            "service `{}` depends on group `@{group}`, which has no members",
                            service.name
                        ),
                    )
                    .label(reference.span, "nothing to wait for")
                    .help(format!("a service joins the group by `groups: [{group}]`")),
                );
            }
        }
    }
    diagnostics
}

/// Two groups may not ask different things of a service that is in both. (Naming the service itself
/// settles it.)
pub(super) fn conflicting_conditions(world: &World<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut chosen: HashMap<(&ServiceName, &ServiceName), &Edge> = HashMap::new();
    for edge in world.edges.decisive() {
        chosen.insert((&edge.dependent, &edge.dependency), edge);
    }
    for other in world.edges.iter() {
        let Some(chosen) = chosen.get(&(&other.dependent, &other.dependency)) else {
            continue;
        };
        if chosen.group.is_none() || chosen.needs == other.needs {
            continue;
        }
        let (dependent, dependency) = (&chosen.dependent, &chosen.dependency);
        diagnostics.push(
            Diagnostic::error(
                "conflicting_conditions",
                format!("service `{dependent}` depends on `{dependency}` through two groups, in different ways"),
            )
            .label(other.condition_span, format!("{} here", word(other.needs)))
            .label(chosen.condition_span, format!("{} here", word(chosen.needs)))
            .help(format!("name `{dependency}` itself with what counts")),
        );
    }
    diagnostics
}

/// What a dependency asks for, as in "`ready`, not required".
fn word(needs: Dependency) -> String {
    let mut text = format!("`{}`", needs.condition.word());
    if !needs.required {
        text += ", not required";
    }
    if needs.restart {
        text += ", with restart";
    }
    text
}

/// Only a task completes.
pub(super) fn completed_is_for_tasks(world: &World<'_>) -> Vec<Diagnostic> {
    world
        .edges
        .iter()
        .filter(|edge| edge.needs.condition == Condition::Completed)
        .filter(|edge| {
            world
                .kind(&edge.dependency)
                .is_some_and(|kind| kind != raw::Type::Task)
        })
        .map(|edge| {
            let Edge { dependent, dependency, .. } = edge;
            let through = edge.through();
            let mut diagnostic = Diagnostic::error(
                "completed_without_task",
                format!("service `{dependent}` waits for `{dependency}` to complete, which is not a task{through}"),
            )
            .label(edge.condition_span, format!("`{dependency}` runs until it is stopped"))
            .help(format!("use the condition `ready`, or make `{dependency}` a task: `type: task`"));
            if let Some(declared) = world.services.get(dependency) {
                diagnostic = diagnostic.label(declared.key, "declared here");
            }
            diagnostic
        })
        .collect()
}

/// Services do not wait for each other in a circle.
pub(super) fn cycles(world: &World<'_>) -> Vec<Diagnostic> {
    let edges: IndexMap<(&ServiceName, &ServiceName), &Edge> = world
        .edges
        .decisive()
        .filter(|edge| edge.dependent != edge.dependency)
        .map(|edge| ((&edge.dependent, &edge.dependency), edge))
        .collect();
    find_cycles(edges.keys().copied())
        .iter()
        .map(|path| cycle(path, &edges))
        .collect()
}

/// How many names at each end of a cycle are told.
const MOST_NAMES: usize = 6;

fn cycle(
    path: &[ServiceName],
    edges: &IndexMap<(&ServiceName, &ServiceName), &Edge>,
) -> Diagnostic {
    let mut names: Vec<String> = path.iter().map(|name| format!("`{name}`")).collect();
    // Of a long way around, both ends show where it is.
    if names.len() > 2 * MOST_NAMES {
        let left_out = names.len() - 2 * MOST_NAMES;
        let range = MOST_NAMES..names.len() - MOST_NAMES;
        names.splice(range, [format!("{left_out} more")]);
    }
    let mut diagnostic = Diagnostic::error(
        "dependency_cycle",
        format!("services depend on each other: {}", names.join(" -> ")),
    )
    .help("remove one of these dependencies");
    for step in path.windows(2).take(2 * MOST_NAMES) {
        if let Some(edge) = edges.get(&(&step[0], &step[1])) {
            let text = format!("`{}` needs `{}`{}", step[0], step[1], edge.through());
            diagnostic = diagnostic.label(edge.span, text);
        }
    }
    diagnostic
}
