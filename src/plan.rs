//! Manifest + what runs + what is asked → ordered actions, each with its reason. Pure data.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
/// # Errors
/// Every selector that nothing answers to, all at once.
pub fn plan(
    _order: Order,
    _selection: &[Selector],
    _manifest: &Manifest,
    _graph: &Graph,
    _observed: &Observed,
) -> Result<Plan, Vec<UnknownSelector>> {
    todo!()
}
