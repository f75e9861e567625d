//! Manifest + what runs + what is asked → ordered actions, each with its reason. Pure data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::graph::Graph;
use crate::id::{GroupName, ServiceName};
use crate::machine::{Goal, StateWord};
use crate::manifest::model::{Manifest, Service};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Bring the selected services up, and all that they need.
    Up,
    /// Take the selected services down, and all that needs them.
    Down,
    /// Give each selected service a new run; what needs them stays as it is.
    Restart,
}

/// A service or a group as people name it: `web`, `@core`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Selector {
    /// One service.
    Service(ServiceName),
    /// All members of a group.
    Group(GroupName),
}

impl TryFrom<String> for Selector {
    type Error = crate::id::NameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl std::str::FromStr for Selector {
    type Err = crate::id::NameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix('@') {
            Some(group) => Self::Group(GroupName::new(group)?),
            None => Self::Service(ServiceName::new(text)?),
        })
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service(name) => write!(f, "{name}"),
            Self::Group(name) => write!(f, "@{name}"),
        }
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

/// What runs, as far as planning needs it.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Every service that the project holds.
    pub services: BTreeMap<ServiceName, ObservedService>,
}

/// One service that the project holds.
#[derive(Debug, Clone)]
pub struct ObservedService {
    /// What it was last told to be.
    pub service: Arc<Service>,
    /// What is wanted of it.
    pub goal: Goal,
    /// What is true of it.
    pub state: StateWord,
    /// Whether it was ever ordered up.
    pub was_started: bool,
    /// Why it is in that state, for people.
    pub reason: Option<String>,
}

/// The ordered actions. Every step of a wave may begin once the waves before it are done; what is
/// executed is not held back by waves, only by dependencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this shape: 1.
    pub version: u32,
    /// The waves.
    pub waves: Vec<Vec<Step>>,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// To which service.
    pub service: ServiceName,
    /// Why.
    pub reason: String,
}

/// What is done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It gets a run.
    Start,
    /// Its run ends.
    Stop,
    /// Its run ends and another begins.
    Restart,
    /// It is as it should be.
    Keep,
}

/// A name in an order that nothing answers to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no service or group is called `{selector}`")]
pub struct UnknownSelector {
    /// The name as it was given.
    pub selector: String,
    /// The nearest name that exists.
    pub similar: Option<String>,
}

/// Resolves `selection` (empty: everything) and plans `order`.
///
/// For `Up` and `Restart`, `manifest` is what should run from now on. For `Down` it is only asked
/// for group members; services that are held but no longer declared can be named too, and go with
/// an empty selection.
///
/// Stops come first, in waves of their own, dependents before what they need; then all that the
/// order is about, in the order of starts. `Up` and `Restart` name everything that the selection
/// needs, be it only to say that it is kept: [`crate::machine::Project::apply`] relies on that.
///
/// # Errors
/// Every selector that nothing answers to, all at once.
pub fn plan(
    order: Order,
    selection: &[Selector],
    manifest: &Manifest,
    graph: &Graph,
    observed: &Observed,
) -> Result<Plan, Vec<UnknownSelector>> {
    let selected = select(order, selection, manifest, observed)?;
    let waves = match order {
        Order::Up => {
            let mut waves = Vec::new();
            if selection.is_empty() {
                waves = stops_of_what_left(manifest, observed);
            }
            waves.extend(starts(&selected, graph, |name| {
                up_step(name, &selected, manifest, graph, observed)
            }));
            waves
        }
        Order::Restart => starts(&selected, graph, |name| {
            restart_step(name, &selected, manifest, graph, observed)
        }),
        Order::Down => stops(&selected, selection.is_empty(), observed),
    };
    Ok(Plan { version: 1, waves })
}

/// The services that the selection names. For `Down` they may be held, declared or both.
fn select(
    order: Order,
    selection: &[Selector],
    manifest: &Manifest,
    observed: &Observed,
) -> Result<BTreeSet<ServiceName>, Vec<UnknownSelector>> {
    let is_about_held = order == Order::Down;
    let held = || observed.services.keys().filter(|_| is_about_held);
    if selection.is_empty() && is_about_held {
        return Ok(held().cloned().collect());
    }
    if selection.is_empty() {
        return Ok(manifest.services.keys().cloned().collect());
    }
    let mut selected = BTreeSet::new();
    let mut unknown: Vec<UnknownSelector> = Vec::new();
    for selector in selection {
        let mut found: Vec<&ServiceName> = match selector {
            Selector::Service(name) => manifest
                .services
                .keys()
                .chain(held())
                .filter(|known| *known == name)
                .collect(),
            Selector::Group(group) => manifest
                .members(group)
                .chain(
                    held().filter(|name| observed.services[*name].service.groups.contains(group)),
                )
                .collect(),
        };
        let is_known = match selector {
            Selector::Service(_) => !found.is_empty(),
            // A group may have no members.
            Selector::Group(group) => !found.is_empty() || manifest.groups.contains_key(group),
        };
        selected.extend(found.drain(..).cloned());
        let text = selector.to_string();
        if !is_known && unknown.iter().all(|known| known.selector != text) {
            let names = manifest
                .services
                .keys()
                .chain(held())
                .map(ToString::to_string);
            let groups = manifest.groups.keys().map(|group| format!("@{group}"));
            unknown.push(UnknownSelector {
                similar: similar(&text, names.chain(groups)),
                selector: text,
            });
        }
    }
    if unknown.is_empty() {
        Ok(selected)
    } else {
        Err(unknown)
    }
}

/// The nearest of `candidates`, if it is near enough to be what was meant.
fn similar(text: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let bare = |name: &str| name.trim_start_matches('@').to_lowercase();
    let longest = text.chars().count().div_ceil(3).max(1);
    candidates
        .map(|name| (strsim::damerau_levenshtein(&bare(text), &bare(&name)), name))
        .filter(|(distance, _)| *distance <= longest)
        .min()
        .map(|(_, name)| name)
}

/// The steps for `selected` and all that it needs, in the waves in which they start.
fn starts(
    selected: &BTreeSet<ServiceName>,
    graph: &Graph,
    step: impl Fn(&ServiceName) -> Step,
) -> Vec<Vec<Step>> {
    graph
        .waves(&graph.dependencies_of(selected))
        .iter()
        .map(|wave| wave.iter().map(&step).collect())
        .collect()
}

fn up_step(
    name: &ServiceName,
    selected: &BTreeSet<ServiceName>,
    manifest: &Manifest,
    graph: &Graph,
    observed: &Observed,
) -> Step {
    let Some(held) = observed.services.get(name) else {
        return new_step(name, selected, graph, "new");
    };
    let change = Change::between(&held.service, &manifest.services[name]);
    let changed = || format!("changed: {}", list(change.fields()));
    let needs_restart = change.needs_restart(held.state == StateWord::Ready);
    let (action, reason) = match (held.state, held.goal) {
        (StateWord::Ready | StateWord::Starting, _) if needs_restart => {
            (Action::Restart, changed())
        }
        (StateWord::Ready | StateWord::Starting, Goal::Down) => {
            (Action::Start, "was about to be stopped".into())
        }
        (StateWord::Waiting | StateWord::Completed, Goal::Up) if needs_restart => {
            (Action::Start, changed())
        }
        (
            StateWord::Ready | StateWord::Starting | StateWord::Waiting | StateWord::Completed,
            Goal::Up,
        ) => (Action::Keep, keep_reason(held.state, &change)),
        (StateWord::Failed | StateWord::Backoff, _) => {
            (Action::Start, with_reason("failed before", held))
        }
        (StateWord::Blocked, _) => (Action::Start, with_reason("was blocked", held)),
        (StateWord::Stopping, _) => (Action::Start, "is being stopped".into()),
        (StateWord::Inactive, _) | (StateWord::Waiting | StateWord::Completed, Goal::Down) => {
            if held.was_started || !selected.contains(name) {
                return new_step(name, selected, graph, "not running");
            }
            return new_step(name, selected, graph, "new");
        }
    };
    Step {
        action,
        service: name.clone(),
        reason,
    }
}

fn restart_step(
    name: &ServiceName,
    selected: &BTreeSet<ServiceName>,
    manifest: &Manifest,
    graph: &Graph,
    observed: &Observed,
) -> Step {
    let held = observed.services.get(name);
    let change = held.map(|held| Change::between(&held.service, &manifest.services[name]));
    let change = change.unwrap_or_default();
    let has_run = held.is_some_and(|held| has_run(held.state));
    let step = |action, reason| Step {
        action,
        service: name.clone(),
        reason,
    };
    if selected.contains(name) {
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
        Some(held) if held.goal == Goal::Up && may_stay(held.state) => {
            let reason = if change.needs_restart(held.state == StateWord::Ready) {
                format!("not asked, though changed: {}", list(change.fields()))
            } else {
                keep_reason(held.state, &change)
            };
            step(Action::Keep, reason)
        }
        Some(_) | None => new_step(name, selected, graph, "not running"),
    }
}

/// Whether there is a run, so that a new one means a restart.
fn has_run(state: StateWord) -> bool {
    match state {
        StateWord::Starting | StateWord::Ready | StateWord::Stopping => true,
        StateWord::Inactive
        | StateWord::Blocked
        | StateWord::Waiting
        | StateWord::Backoff
        | StateWord::Completed
        | StateWord::Failed => false,
    }
}

/// Whether what is needed in this state is left alone: it is as it should be or about to be.
fn may_stay(state: StateWord) -> bool {
    match state {
        StateWord::Ready
        | StateWord::Starting
        | StateWord::Waiting
        | StateWord::Completed
        | StateWord::Stopping => true,
        StateWord::Inactive | StateWord::Blocked | StateWord::Failed | StateWord::Backoff => false,
    }
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
    Step {
        action: Action::Start,
        service: name.clone(),
        reason,
    }
}

fn keep_reason(state: StateWord, change: &Change) -> String {
    if !change.is_empty() {
        return format!("updated without restart: {}", list(change.fields()));
    }
    match state {
        StateWord::Starting | StateWord::Waiting | StateWord::Stopping => {
            format!("unchanged, {}", state.word())
        }
        StateWord::Completed => "unchanged, completed".into(),
        StateWord::Ready
        | StateWord::Inactive
        | StateWord::Blocked
        | StateWord::Backoff
        | StateWord::Failed => "unchanged".into(),
    }
}

/// What a full `up` stops, since the manifest no longer declares it.
fn stops_of_what_left(manifest: &Manifest, observed: &Observed) -> Vec<Vec<Step>> {
    let left: BTreeSet<ServiceName> = observed
        .services
        .iter()
        .filter(|(name, held)| !manifest.services.contains_key(*name) && may_be_stopped(held))
        .map(|(name, _)| name.clone())
        .collect();
    stop_waves(&left, observed, |_| "no longer in the manifest".into())
}

/// What `down` does.
fn stops(
    selected: &BTreeSet<ServiceName>,
    is_everything: bool,
    observed: &Observed,
) -> Vec<Vec<Step>> {
    let graph = held_graph(observed);
    let gone = graph.dependents_of(selected);
    let stopped: BTreeSet<ServiceName> = gone
        .iter()
        .filter(|name| may_be_stopped(&observed.services[*name]))
        .cloned()
        .collect();
    let mut waves = stop_waves(&stopped, observed, |name| {
        if selected.contains(name) {
            return "asked".into();
        }
        let needed = graph.direct_dependencies(name);
        let needed = needed.into_iter().filter(|needed| gone.contains(*needed));
        format!("needs {}", quoted_list(needed))
    });
    let idle: Vec<Step> = selected
        .difference(&stopped)
        .filter(|_| !is_everything)
        .map(|name| Step {
            action: Action::Keep,
            service: name.clone(),
            reason: "not running".into(),
        })
        .collect();
    if !idle.is_empty() {
        waves.insert(0, idle);
    }
    waves
}

fn stop_waves(
    stopped: &BTreeSet<ServiceName>,
    observed: &Observed,
    reason: impl Fn(&ServiceName) -> String,
) -> Vec<Vec<Step>> {
    let mut waves: Vec<Vec<Step>> = held_graph(observed)
        .waves(stopped)
        .iter()
        .map(|wave| {
            wave.iter()
                .map(|name| Step {
                    action: Action::Stop,
                    service: name.clone(),
                    reason: reason(name),
                })
                .collect()
        })
        .collect();
    waves.reverse();
    waves
}

/// The order among what is held, as its own declarations have it: the manifest that an order brings
/// may already say something else about what still runs.
fn held_graph(observed: &Observed) -> Graph {
    Graph::of_declarations(observed.services.values().map(|held| &*held.service))
}

fn may_be_stopped(held: &ObservedService) -> bool {
    held.goal == Goal::Up || !held.state.is_down()
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

fn quoted_list<'a>(names: impl Iterator<Item = &'a ServiceName>) -> String {
    names
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
