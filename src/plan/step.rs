//! What `up` and `restart` do to one service, and why.

use std::collections::BTreeSet;

use crate::change::Change;
use crate::graph::Graph;
use crate::id::ServiceName;
use crate::machine::{Goal, StateWord};
use crate::manifest::model::{Manifest, Service};
use crate::plan::{Action, Observed, ObservedService, Step, may_be_stopped, quoted_list};

pub(super) fn up_step(
    name: &ServiceName,
    selected: &BTreeSet<ServiceName>,
    manifest: &Manifest,
    graph: &Graph,
    observed: &Observed,
) -> Step {
    let declared = &manifest.services[name];
    let held = observed.services.get(name);
    if let Some(why) = &declared.when.unmet {
        return skip_step(name, why, held);
    }
    let Some(held) = held else {
        return new_step(name, selected, graph, "new");
    };
    if let Some(step) = cannot_start_anew(declared, held, observed) {
        return step;
    }
    let change = Change::between(&held.service, declared);
    let changed = || format!("changed: {}", list(change.fields()));
    let needs_restart = change.needs_restart(held.state.has_become_ready());
    let (action, reason) = match (held.state, held.goal) {
        (StateWord::Ready | StateWord::Unhealthy | StateWord::Starting, _) if needs_restart => {
            (Action::Restart, changed())
        }
        (StateWord::Ready | StateWord::Unhealthy | StateWord::Starting, Goal::Down) => {
            (Action::Start, "was about to be stopped".into())
        }
        (StateWord::Waiting | StateWord::Completed, Goal::Up) if needs_restart => {
            (Action::Start, changed())
        }
        (
            StateWord::Ready
            | StateWord::Unhealthy
            | StateWord::Starting
            | StateWord::Waiting
            | StateWord::Completed,
            Goal::Up,
        ) => (Action::Keep, keep_reason(held.state, &change)),
        (StateWord::Failed | StateWord::Backoff, _) => {
            (Action::Start, with_reason("failed before", held))
        }
        (StateWord::Blocked, Goal::Up)
            if change.is_empty() && needed_and_skipped(name, manifest, observed).is_some() =>
        {
            (Action::Keep, with_reason("blocked", held))
        }
        (StateWord::Blocked, _) => (Action::Start, with_reason("was blocked", held)),
        (StateWord::Stopping, _) => (Action::Start, "is being stopped".into()),
        (StateWord::Skipped, _) => (Action::Start, with_reason("was skipped", held)),
        (StateWord::Inactive, _) | (StateWord::Waiting | StateWord::Completed, Goal::Down) => {
            if held.was_started || !selected.contains(name) {
                return new_step(name, selected, graph, "not running");
            }
            return new_step(name, selected, graph, "new");
        }
    };
    Step::new(action, name.clone(), reason)
}

pub(super) fn restart_step(
    name: &ServiceName,
    selected: &BTreeSet<ServiceName>,
    manifest: &Manifest,
    graph: &Graph,
    observed: &Observed,
) -> Step {
    let held = observed.services.get(name);
    let declared = &manifest.services[name];
    let change = held.map(|held| Change::between(&held.service, declared));
    let change = change.unwrap_or_default();
    let has_run = held.is_some_and(|held| has_run(held.state));
    let step = |action, reason: String| Step::new(action, name.clone(), reason);
    if let (true, Some(why)) = (selected.contains(name), &declared.when.unmet) {
        return skip_step(name, why, held);
    }
    if selected.contains(name) {
        if let Some(step) = held.and_then(|held| cannot_start_anew(declared, held, observed)) {
            return step;
        }
        let action = if has_run {
            Action::Restart
        } else {
            Action::Start
        };
        return step(
            action,
            if change.is_empty() {
                "asked".into()
            } else {
                format!("asked; changed: {}", list(change.fields()))
            },
        );
    }
    match held {
        Some(held) if is_there(held) && held.service.is_task() == declared.is_task() => {
            let reason = if change.needs_restart(held.state.has_become_ready()) {
                format!("not asked, though changed: {}", list(change.fields()))
            } else {
                keep_reason(held.state, &change)
            };
            step(Action::Keep, reason)
        }
        // What is needed and not there, or not of the sort that its dependents count on, gets what
        // `up` would do about it.
        Some(_) | None => up_step(name, selected, manifest, graph, observed),
    }
}

/// What keeps it blocked whatever is tried: a service that is not to run here, and that it needs,
/// directly or through others that are blocked.
fn needed_and_skipped<'a>(
    name: &'a ServiceName,
    manifest: &'a Manifest,
    observed: &Observed,
) -> Option<&'a ServiceName> {
    let is_blocked = |name: &ServiceName| {
        let held = observed.services.get(name);
        held.is_some_and(|held| held.state == StateWord::Blocked)
    };
    let mut seen = BTreeSet::new();
    let mut open = vec![name];
    while let Some(next) = open.pop() {
        let needs = manifest.services[next].depends_on.iter();
        for (needed, _) in needs.filter(|(_, edge)| edge.required) {
            if manifest.services[needed].is_skipped() {
                return Some(needed);
            }
            if is_blocked(needed) && seen.insert(needed) {
                open.push(needed);
            }
        }
    }
    None
}

/// Whether there is a run, so that a new one means a restart.
pub(super) fn has_run(state: StateWord) -> bool {
    match state {
        StateWord::Starting | StateWord::Ready | StateWord::Unhealthy | StateWord::Stopping => true,
        StateWord::Inactive
        | StateWord::Skipped
        | StateWord::Blocked
        | StateWord::Waiting
        | StateWord::Backoff
        | StateWord::Completed
        | StateWord::Failed => false,
    }
}

/// Whether a service that is needed but not asked for runs as it should, or has completed.
fn is_there(held: &ObservedService) -> bool {
    held.goal == Goal::Up
        && match held.state {
            StateWord::Ready
            | StateWord::Unhealthy
            | StateWord::Starting
            | StateWord::Completed => true,
            StateWord::Inactive
            | StateWord::Skipped
            | StateWord::Blocked
            | StateWord::Waiting
            | StateWord::Backoff
            | StateWord::Stopping
            | StateWord::Failed => false,
        }
}

/// What runs is not given up for a run that could not be started.
fn cannot_start_anew(
    declared: &Service,
    held: &ObservedService,
    observed: &Observed,
) -> Option<Step> {
    let runs = held.state.has_become_ready() || held.state == StateWord::Starting;
    let lacks = lacks(declared, observed);
    let is_kept = runs && held.goal == Goal::Up && !lacks.is_empty();
    is_kept.then(|| Step {
        lacks: lacks.clone(),
        ..Step::new(
            Action::Keep,
            declared.name.clone(),
            format!(
                "goes on as it is, it could not be started anew: {}",
                lacks.join("; ")
            ),
        )
    })
}

/// What a new run of `declared` would lack: what was missing when the manifest was resolved, and what
/// the host does not have.
pub(super) fn lacks(declared: &Service, observed: &Observed) -> Vec<String> {
    let found = observed.lacks.get(&declared.name);
    let mut lacks = declared.missing.clone();
    lacks.extend(found.into_iter().flatten().cloned());
    lacks
}

/// What is not to run here is stopped, if it runs or is about to.
pub(super) fn skip_step(name: &ServiceName, why: &str, held: Option<&ObservedService>) -> Step {
    let is_to_stop = held.is_some_and(|held| !held.service.is_skipped() && may_be_stopped(held));
    let action = if is_to_stop {
        Action::Stop
    } else {
        Action::Keep
    };
    Step::new(action, name.clone(), format!("skipped: {why}"))
}

fn new_step(
    name: &ServiceName,
    selected: &BTreeSet<ServiceName>,
    graph: &Graph,
    reason: &str,
) -> Step {
    let reason = if selected.contains(name) {
        reason.into()
    } else {
        let wanted = graph.dependencies_of(selected);
        let dependents = graph.direct_dependents(name);
        let dependents = dependents.into_iter().filter(|d| wanted.contains(*d));
        format!("needed by {}", quoted_list(dependents))
    };
    Step::new(Action::Start, name.clone(), reason)
}

fn keep_reason(state: StateWord, change: &Change) -> String {
    if !change.is_empty() {
        return format!("updated without restart: {}", list(change.fields()));
    }
    match state {
        StateWord::Starting | StateWord::Waiting | StateWord::Unhealthy | StateWord::Stopping => {
            format!("unchanged, {}", state.word())
        }
        StateWord::Completed => "unchanged, completed".into(),
        StateWord::Ready
        | StateWord::Inactive
        | StateWord::Skipped
        | StateWord::Blocked
        | StateWord::Backoff
        | StateWord::Failed => "unchanged".into(),
    }
}

fn with_reason(text: &str, held: &ObservedService) -> String {
    match &held.reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text.into(),
    }
}

fn list<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    fields.collect::<Vec<_>>().join(", ")
}
