//! Manifest + what runs + what is asked → ordered actions, each with its reason. Pure data.

mod follow;
mod selection;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::graph::Graph;
use crate::id::{GroupName, ServiceName};
use crate::machine::{Goal, StateWord};
use crate::manifest::model::{Manifest, Service};
use follow::{value_followers, with_followers};
use selection::select;
use step::{restart_step, up_step};

/// What is asked.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Bring the selected services up, and all that they need.
    Up,
    /// Take the selected services down, and all that needs them.
    Down,
    /// Give each selected service a new run; what needs them stays as it is, unless it follows their
    /// restarts.
    Restart,
}

/// A service or a group as people name it: `web`, `@core`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// What a new run would lack on this host, in sentences, of the services of which this is known.
    pub lacks: BTreeMap<ServiceName, Vec<String>>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Version of this shape: 1.
    pub version: u32,
    /// The waves.
    pub waves: Vec<Vec<Step>>,
    /// Services that are kept and may get a new run because of it: they were started with values of
    /// services that get one. They stay as they are while the values do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followers: Vec<Step>,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// To which service.
    pub service: ServiceName,
    /// Why.
    pub reason: String,
    /// What a new run would lack, when the live run is kept for that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
}

impl Step {
    /// An action that nothing is in the way of.
    pub(crate) fn new(action: Action, service: ServiceName, reason: impl Into<String>) -> Self {
        Self {
            action,
            service,
            reason: reason.into(),
            lacks: Vec::new(),
        }
    }
}

impl Plan {
    /// The services whose live runs are kept because new ones could not start.
    pub fn kept_for_lack(&self) -> impl Iterator<Item = &Step> {
        let steps = self.waves.iter().flatten();
        steps.filter(|step| !step.lacks.is_empty())
    }
}

/// What is done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[error("{}", self.text())]
pub struct UnknownSelector {
    /// The name as it was given.
    pub selector: String,
    /// Whether it is the name of a template, which runs only as its instances.
    pub is_template: bool,
    /// The nearest name that exists.
    pub similar: Option<String>,
}

impl UnknownSelector {
    fn text(&self) -> String {
        let name = &self.selector;
        match self.is_template {
            true => format!("`{name}` is a template, and only instances of it can run"),
            false => format!("no service or group is called `{name}`"),
        }
    }

    /// What to do about it, where that can be said.
    pub fn help(&self) -> Option<String> {
        let name = &self.selector;
        if self.is_template {
            return Some(format!(
                "name an instance, as in `baudbot start {name}@one`; `baudbot status` lists those that there are"
            ));
        }
        let similar = self.similar.as_ref()?;
        Some(format!("a similar name exists: `{similar}`"))
    }
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
            let starts = with_followers(&selected, manifest, graph, observed, |name| {
                up_step(name, &selected, manifest, graph, observed)
            });
            let left = match selection.is_empty() {
                true => what_left(manifest, observed),
                false => BTreeMap::new(),
            };
            stops_first(left, starts, manifest, observed)
        }
        Order::Restart => {
            let starts = with_followers(&selected, manifest, graph, observed, |name| {
                restart_step(name, &selected, manifest, graph, observed)
            });
            stops_first(BTreeMap::new(), starts, manifest, observed)
        }
        Order::Down => stops(&selected, selection.is_empty(), observed),
    };
    let followers = match order {
        Order::Up | Order::Restart => value_followers(&waves, manifest, observed),
        Order::Down => Vec::new(),
    };
    Ok(Plan {
        version: 1,
        waves,
        followers,
    })
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

/// What a full `up` stops, since the manifest no longer declares it, with the reason.
fn what_left(manifest: &Manifest, observed: &Observed) -> BTreeMap<ServiceName, String> {
    observed
        .services
        .iter()
        .filter(|(name, held)| !manifest.services.contains_key(*name) && may_be_stopped(held))
        .map(|(name, _)| (name.clone(), "no longer in the manifest".into()))
        .collect()
}

/// Puts `stopped`, and what has to stop among `waves`, into waves of their own before them.
fn stops_first(
    mut stopped: BTreeMap<ServiceName, String>,
    mut waves: Vec<Vec<Step>>,
    manifest: &Manifest,
    observed: &Observed,
) -> Vec<Vec<Step>> {
    // Who is named goes by its new declaration from now on, the stopped too.
    let named: BTreeSet<&ServiceName> = waves.iter().flatten().map(|step| &step.service).collect();
    let graph = Graph::of_declarations(observed.services.iter().map(|(name, held)| {
        let declared = manifest.services.get(name).filter(|_| named.contains(name));
        declared.unwrap_or(&held.service)
    }));
    for wave in &mut waves {
        for step in wave.extract_if(.., |step| step.action == Action::Stop) {
            stopped.insert(step.service, step.reason);
        }
    }
    waves.retain(|wave| !wave.is_empty());
    let names = stopped.keys().cloned().collect();
    let mut all = stop_waves(&names, &graph, |name| stopped[name].clone());
    all.append(&mut waves);
    all
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
    let mut waves = stop_waves(&stopped, &graph, |name| {
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
        .map(|name| Step::new(Action::Keep, name.clone(), "not running"))
        .collect();
    if !idle.is_empty() {
        waves.insert(0, idle);
    }
    waves
}

fn stop_waves(
    stopped: &BTreeSet<ServiceName>,
    graph: &Graph,
    reason: impl Fn(&ServiceName) -> String,
) -> Vec<Vec<Step>> {
    let mut waves: Vec<Vec<Step>> = graph
        .waves(stopped)
        .iter()
        .map(|wave| {
            wave.iter()
                .map(|name| Step::new(Action::Stop, name.clone(), reason(name)))
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

fn quoted_list<'a>(names: impl Iterator<Item = &'a ServiceName>) -> String {
    names
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
