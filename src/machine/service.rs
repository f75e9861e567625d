//! One service: what is wanted of it and what is true of it.
//!
//! Two axes that are never mixed: the goal, which people set, and the state, which events move. What
//! a state needs in order to be left again (its run, its deadline, its cause) lies inside it, so
//! that there is nothing to forget when it is left. How it is left stands in `step`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{RunId, ServiceName};
use crate::machine::{Ended, Goal, LeftBehind, StateWord, Survivor};
use crate::manifest::model::Service;
use crate::manifest::reference::Reference;
use crate::time::Moment;

/// Counts the orders that ask for a new run. A live run of an older generation has to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Generation(u64);

impl Generation {
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A run, from the order to spawn it until nothing of it is left.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) generation: Generation,
    /// What it was made from, with what it took over since.
    pub(super) service: Arc<Service>,
    /// What it was started with: a run that was started with something else is out of date.
    pub(super) given: Given,
    /// A new run that is wanted in its place, not by an order, and that may not be able to start.
    pub(super) renewal: Option<Renewal>,
}

impl Run {
    /// Whether the shell is looking if a new run can take its place.
    pub(super) fn may_be_replaced(&self) -> bool {
        let renewal = self.renewal.as_ref();
        renewal.is_some_and(|renewal| renewal.again.is_none())
    }
}

/// A new run that is wanted in the place of one that lives, not by an order. The live run is stopped
/// for it only once the shell has found that the new one could start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Renewal {
    pub(super) wish: Wish,
    /// What the new run lacked when it was last looked at.
    pub(super) lacks: Vec<String>,
    /// When to look again; `None` while the shell is looking.
    pub(super) again: Option<Moment>,
}

/// Why a new run is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    /// The live one was started with something that is out of date.
    OutOfDate(String),
    /// The live one fails its health checks.
    Unhealthy,
}

/// What others provided when a run was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    /// The latest runs of those dependencies whose restart it follows, as far as they ever ran.
    pub(super) runs: BTreeMap<ServiceName, Option<RunId>>,
    /// What stands in the place of its references.
    pub(super) values: BTreeMap<Reference, String>,
}

/// How a run that is ready does, as its health checks tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checks {
    /// How many in a row have failed.
    pub(super) failed: u32,
    /// What the last of them found.
    pub(super) found: String,
}

/// What is true of a service.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// Nothing lives, and nothing will until an order comes.
    Down(Why),
    /// Waits for its dependencies, or for its turn.
    Waiting,
    /// The shell was asked to start it and has not answered yet.
    Spawning { run: Run },
    /// It runs and is not ready yet. A task stays here until it ends.
    Starting {
        run: Run,
        /// When it has failed to become ready; suspended while it is about to be stopped.
        give_up: Option<Moment>,
        /// The last thing that its probe found.
        last: Option<String>,
    },
    /// It runs and is ready.
    Ready {
        run: Run,
        since: Moment,
        /// When it has lived long enough to count as settled; `None`: it is settled.
        settles: Option<Moment>,
        checks: Checks,
    },
    /// It is being ended. Only `Gone` leads out (or `SpawnFailed`, which says the same).
    Stopping {
        run: Run,
        stage: Stage,
        cause: Cause,
    },
    /// It ended by itself and is started again later.
    Backoff { until: Moment, why: String },
}

/// Why nothing lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// Nobody asked for it yet.
    NotStarted,
    /// Somebody asked for it.
    Stopped,
    /// It is not to run here.
    Skipped,
    /// The task ended well.
    Completed,
    /// It ended well, and its policy does not start it again.
    EndedWell(String),
    /// It gave up.
    Failed(String),
    /// It cannot start.
    Blocked(String),
    /// A dependency cannot do what it waits for.
    Dependency(Hopeless),
}

/// A dependency of which nothing can be hoped until an order comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hopeless {
    /// The dependency.
    pub(super) through: ServiceName,
    /// Where it comes from: the dependency itself, or one that it needs in its turn.
    pub(super) root: ServiceName,
    /// What is the matter with the root, as in "failed: exited with 1".
    pub(super) what: String,
}

/// How far the ending of a run has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// The stop signal was sent; KILL follows at `until`.
    Grace { until: Moment },
    /// KILL was sent.
    Killed { until: Moment },
    /// KILL did not do it. These are left, as far as the shell told.
    Stuck { survivors: Vec<Survivor> },
}

/// Why a run is being ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    /// An order: down, or a new run.
    Ordered,
    /// Its leader ended by itself; this is about the rest.
    Ended(Ended),
    /// The same, before it was ready, or had lived for `settle`.
    EndedEarly(Ended),
    /// It was not ready in time.
    StartTimeout(String),
    /// Its health checks failed.
    Unhealthy(String),
    /// What it depends on is not what it was started with any more.
    OutOfDate(String),
}

/// Ends by itself, counted since the last order or the last stable run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Row {
    /// All ends: they make the delay grow.
    pub(super) ends: u32,
    /// Failures in a row: they have a limit.
    pub(super) failures: u32,
}

/// A service that the project holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// How it is declared: what the next run is made from.
    pub(super) declaration: Arc<Service>,
    /// Of this generation a run must be.
    pub(super) generation: Generation,
    /// Whether the last manifest that was applied declares it.
    pub(super) is_declared: bool,
    pub(super) goal: Goal,
    pub(super) state: State,
    /// The run that it got last.
    pub(super) latest: Option<RunId>,
    /// What its last run exported.
    pub(super) exports: BTreeMap<String, String>,
    /// What its last run left behind when it ended by itself.
    pub(super) left_behind: Option<LeftBehind>,
    /// Why the present generation was begun, if not by an order.
    pub(super) out_of_date: Option<String>,
    /// When the word for its state last changed.
    pub(super) since: Moment,
    /// Starts without an order since it was last ordered up.
    pub(super) restarts: u32,
    pub(super) row: Row,
    /// Whether a run has become ready, and has settled, since it was last ordered up.
    pub(super) has_been_ready: bool,
}

impl Node {
    pub(super) fn new(declaration: Arc<Service>, now: Moment) -> Self {
        Self {
            declaration,
            generation: Generation::default(),
            is_declared: true,
            goal: Goal::Down,
            state: State::Down(Why::NotStarted),
            latest: None,
            exports: BTreeMap::new(),
            left_behind: None,
            out_of_date: None,
            since: now,
            restarts: 0,
            row: Row::default(),
            has_been_ready: false,
        }
    }

    /// Whether nothing is lost if it is skipped.
    pub(super) fn may_be_skipped(&self) -> bool {
        self.declaration.is_skipped() || self.goal == Goal::Down
    }

    /// The run of which something may be left.
    pub(super) fn run(&self) -> Option<&Run> {
        match &self.state {
            State::Down(_) | State::Waiting | State::Backoff { .. } => None,
            State::Spawning { run }
            | State::Starting { run, .. }
            | State::Ready { run, .. }
            | State::Stopping { run, .. } => Some(run),
        }
    }

    /// The same, to be changed.
    pub(super) fn run_mut(&mut self) -> Option<&mut Run> {
        match &mut self.state {
            State::Down(_) | State::Waiting | State::Backoff { .. } => None,
            State::Spawning { run }
            | State::Starting { run, .. }
            | State::Ready { run, .. }
            | State::Stopping { run, .. } => Some(run),
        }
    }

    /// Whether it has a run that lives on, unless it is stopped.
    pub(super) fn is_running(&self) -> bool {
        match &self.state {
            State::Spawning { .. } | State::Starting { .. } | State::Ready { .. } => true,
            State::Down(_) | State::Waiting | State::Backoff { .. } | State::Stopping { .. } => {
                false
            }
        }
    }

    /// Whether it has a run that is not wanted as it is, be it that it is being ended already.
    pub(super) fn is_going(&self) -> bool {
        self.run().is_some_and(|run| self.is_unwanted(run))
    }

    /// Whether `run` is to end: nobody wants one, or a newer one is wanted.
    pub(super) fn is_unwanted(&self, run: &Run) -> bool {
        self.goal == Goal::Down || run.generation != self.generation
    }

    /// Whether something of its run is left that KILL did not end.
    pub(super) fn is_stuck(&self) -> bool {
        matches!(
            &self.state,
            State::Stopping {
                stage: Stage::Stuck { .. },
                ..
            }
        )
    }

    /// Whether its health checks have failed too often in a row.
    pub(super) fn is_unhealthy(&self) -> bool {
        match &self.state {
            State::Ready { run, checks, .. } => is_unhealthy(&run.service, checks),
            State::Down(_)
            | State::Waiting
            | State::Spawning { .. }
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Backoff { .. } => false,
        }
    }

    /// When time alone changes something here.
    pub(super) fn deadline(&self) -> Option<Moment> {
        match &self.state {
            State::Down(_) | State::Waiting => None,
            State::Spawning { run } => self.look_again(run),
            State::Ready { run, settles, .. } => {
                settles.iter().copied().chain(self.look_again(run)).min()
            }
            State::Starting { run, give_up, .. } => {
                let give_up = give_up.filter(|_| !self.is_unwanted(run));
                give_up.into_iter().chain(self.look_again(run)).min()
            }
            State::Stopping { stage, .. } => match stage {
                Stage::Grace { until } | Stage::Killed { until } => Some(*until),
                Stage::Stuck { .. } => None,
            },
            State::Backoff { until, .. } => Some(*until),
        }
    }

    /// When to look again whether a new run could take the place of `run`.
    fn look_again(&self, run: &Run) -> Option<Moment> {
        let renewal = run.renewal.as_ref().filter(|_| !self.is_unwanted(run))?;
        // An unhealthy run is looked at with its next failed check.
        renewal.again.filter(|_| renewal.wish != Wish::Unhealthy)
    }

    /// What a new run would lack, while the live one is kept for that.
    pub(super) fn lacks(&self) -> &[String] {
        let run = self.run().filter(|run| !self.is_unwanted(run));
        let renewal = run.and_then(|run| run.renewal.as_ref());
        renewal.map_or(&[], |renewal| &renewal.lacks)
    }

    /// The word for its state.
    pub(super) fn word(&self) -> StateWord {
        match &self.state {
            State::Down(Why::NotStarted | Why::Stopped | Why::EndedWell(_)) => StateWord::Inactive,
            State::Down(Why::Skipped) => StateWord::Skipped,
            State::Down(Why::Completed) => StateWord::Completed,
            State::Down(Why::Failed(_)) => StateWord::Failed,
            State::Down(Why::Blocked(_) | Why::Dependency(_)) => StateWord::Blocked,
            State::Waiting => StateWord::Waiting,
            State::Spawning { .. } | State::Starting { .. } => StateWord::Starting,
            State::Ready { .. } if self.is_unhealthy() => StateWord::Unhealthy,
            State::Ready { .. } => StateWord::Ready,
            State::Stopping { .. } => StateWord::Stopping,
            State::Backoff { .. } => StateWord::Backoff,
        }
    }
}

/// Whether `checks` are enough for `service` to count as unhealthy.
pub(super) fn is_unhealthy(service: &Service, checks: &Checks) -> bool {
    let health = service.health.as_ref();
    health.is_some_and(|health| checks.failed >= health.failures)
}
