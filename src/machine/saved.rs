//! A service as the next supervisor finds it: what the machine needs to go on with its life.
//!
//! What is on disk has types of its own, apart from those that the machine thinks in. Between the
//! two stand conversions that take both apart field by field: whoever adds a field to the machine
//! does not compile until it is decided what becomes of it when a supervisor dies. A field that is
//! added here takes `#[serde(default)]`, so that yesterday's file can still be read.
//!
//! Moments are written as they are, counted from the boot: the file says of which boot it is, and
//! after another nothing of it is alive.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{RunId, ServiceName};
use crate::machine::service::{
    Cause, Checks, Generation, Given, Node, Row, Run, Stage, State, Why,
};
use crate::machine::{Goal, LeftBehind, Project};
use crate::manifest::model::Service;
use crate::time::Moment;

/// One service: how it is declared, and its life so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// What its next run is made from.
    pub declaration: Arc<Service>,
    /// What is wanted and what is true of it.
    pub life: Life,
}

/// What is wanted and what is true of a service, without its declaration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Life {
    goal: Goal,
    generation: Generation,
    since: Moment,
    restarts: u32,
    row: Row,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_been_ready: bool,
    state: SavedState,
    /// The run that it got last.
    #[serde(default)]
    latest: Option<RunId>,
    /// What its last run exported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    exports: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_behind: Option<LeftBehind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    out_of_date: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedState {
    Down(Why),
    Waiting,
    Spawning {
        run: SavedRun,
    },
    Starting {
        run: SavedRun,
        give_up: Option<Moment>,
        last: Option<String>,
    },
    Ready {
        run: SavedRun,
        since: Moment,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settles: Option<Moment>,
        #[serde(default)]
        checks: Checks,
    },
    Stopping {
        run: SavedRun,
        stage: Stage,
        cause: Cause,
    },
    Backoff {
        until: Moment,
        why: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SavedRun {
    id: RunId,
    generation: Generation,
    /// What it was made from; absent when that is the declaration of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<Box<Service>>,
    #[serde(default)]
    given: Given,
}

impl Life {
    /// The run of which something may be left.
    pub fn run(&self) -> Option<RunId> {
        match &self.state {
            SavedState::Down(_) | SavedState::Waiting | SavedState::Backoff { .. } => None,
            SavedState::Spawning { run }
            | SavedState::Starting { run, .. }
            | SavedState::Ready { run, .. }
            | SavedState::Stopping { run, .. } => Some(run.id),
        }
    }

    /// Whether the run was only asked for: nobody has heard that its command is executed.
    pub fn is_spawning(&self) -> bool {
        matches!(self.state, SavedState::Spawning { .. })
    }

    /// What is wanted.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// Whether it is down and that is wanted.
    pub fn is_down(&self) -> bool {
        self.goal == Goal::Down && matches!(self.state, SavedState::Down(_))
    }
}

impl Saved {
    /// What is made of a live run of which nothing but its start was written down: it is wanted, and
    /// is asked for its readiness.
    pub fn of_live_run(service: Arc<Service>, run: RunId, since: Moment) -> Self {
        Self {
            declaration: service,
            life: Life {
                goal: Goal::Up,
                generation: Generation::default(),
                since,
                restarts: 0,
                row: Row::default(),
                has_been_ready: false,
                state: SavedState::Spawning {
                    run: SavedRun {
                        id: run,
                        generation: Generation::default(),
                        service: None,
                        given: Given::default(),
                    },
                },
                latest: Some(run),
                exports: BTreeMap::new(),
                left_behind: None,
                out_of_date: None,
            },
        }
    }

    /// What the run is made from, if there is one.
    pub fn run_service(&self) -> Option<Arc<Service>> {
        match &self.life.state {
            SavedState::Down(_) | SavedState::Waiting | SavedState::Backoff { .. } => None,
            SavedState::Spawning { run }
            | SavedState::Starting { run, .. }
            | SavedState::Ready { run, .. }
            | SavedState::Stopping { run, .. } => Some(match &run.service {
                Some(service) => Arc::new((**service).clone()),
                None => Arc::clone(&self.declaration),
            }),
        }
    }
}

impl Project {
    /// One service as the next supervisor needs it; `None` for a name that the project does not
    /// hold.
    pub fn saved(&self, service: &ServiceName) -> Option<Saved> {
        self.nodes.get(service).map(save)
    }
}

fn save(node: &Node) -> Saved {
    let Node {
        declaration,
        generation,
        // The manifest beside it tells.
        is_declared: _,
        goal,
        state,
        latest,
        exports,
        left_behind,
        out_of_date,
        since,
        restarts,
        row,
        has_been_ready,
    } = node;
    Saved {
        declaration: Arc::clone(declaration),
        life: Life {
            goal: *goal,
            generation: *generation,
            since: *since,
            restarts: *restarts,
            row: *row,
            has_been_ready: *has_been_ready,
            state: save_state(state, declaration),
            latest: *latest,
            exports: exports.clone(),
            left_behind: left_behind.clone(),
            out_of_date: out_of_date.clone(),
        },
    }
}

fn save_state(state: &State, declaration: &Arc<Service>) -> SavedState {
    let saved = |run: &Run| SavedRun {
        id: run.id,
        generation: run.generation,
        service: (!Arc::ptr_eq(&run.service, declaration) && run.service != *declaration)
            .then(|| Box::new((*run.service).clone())),
        given: run.given.clone(),
        // `run.renewal` is asked about anew.
    };
    match state {
        State::Down(why) => SavedState::Down(why.clone()),
        State::Waiting => SavedState::Waiting,
        State::Spawning { run } => SavedState::Spawning { run: saved(run) },
        State::Starting { run, give_up, last } => SavedState::Starting {
            run: saved(run),
            give_up: *give_up,
            last: last.clone(),
        },
        State::Ready {
            run,
            since,
            settles,
            checks,
        } => SavedState::Ready {
            run: saved(run),
            since: *since,
            settles: *settles,
            checks: checks.clone(),
        },
        State::Stopping { run, stage, cause } => SavedState::Stopping {
            run: saved(run),
            stage: stage.clone(),
            cause: cause.clone(),
        },
        State::Backoff { until, why } => SavedState::Backoff {
            until: *until,
            why: why.clone(),
        },
    }
}

/// The service as it was, if the manifest still declares it or not.
pub(super) fn load(saved: Saved, is_declared: bool) -> Node {
    let Saved { declaration, life } = saved;
    let Life {
        goal,
        generation,
        since,
        restarts,
        row,
        has_been_ready,
        state,
        latest,
        exports,
        left_behind,
        out_of_date,
    } = life;
    let state = load_state(state, &declaration);
    // Of a run that an earlier version wrote down nothing else tells.
    let has_been_ready =
        has_been_ready || matches!(&state, State::Ready { settles, .. } if settles.is_none());
    Node {
        declaration,
        generation,
        is_declared,
        goal,
        state,
        latest,
        exports,
        left_behind,
        out_of_date,
        since,
        restarts,
        row,
        has_been_ready,
    }
}

fn load_state(state: SavedState, declaration: &Arc<Service>) -> State {
    let loaded = |run: SavedRun| Run {
        id: run.id,
        generation: run.generation,
        service: match run.service {
            Some(service) => Arc::new(*service),
            None => Arc::clone(declaration),
        },
        given: run.given,
        renewal: None,
    };
    match state {
        SavedState::Down(why) => State::Down(why),
        SavedState::Waiting => State::Waiting,
        SavedState::Spawning { run } => State::Spawning { run: loaded(run) },
        SavedState::Starting { run, give_up, last } => State::Starting {
            run: loaded(run),
            give_up,
            last,
        },
        SavedState::Ready {
            run,
            since,
            settles,
            checks,
        } => State::Ready {
            run: loaded(run),
            since,
            settles,
            checks,
        },
        SavedState::Stopping { run, stage, cause } => State::Stopping {
            run: loaded(run),
            stage,
            cause,
        },
        SavedState::Backoff { until, why } => State::Backoff { until, why },
    }
}
