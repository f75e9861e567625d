//! The words in which the machine and the shell speak: events in, effects out, views for people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{RunId, ServiceName};
use crate::manifest::model::{Exit, Service};
use crate::time::Moment;

/// What is wanted of a service. People set it; nothing else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// It should run (a task: should have completed).
    Up,
    /// It should not run.
    Down,
}

/// The state of a service in the word that people see.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StateWord {
    /// Not started, stopped because somebody asked, or ended well and not to be started again.
    Inactive,
    /// Not to run here: its `when` does not hold.
    Skipped,
    /// Cannot start, and says why.
    Blocked,
    /// Waits for its dependencies.
    Waiting,
    /// Started, not ready yet.
    Starting,
    /// Ready.
    Ready,
    /// Ready, but its health checks fail.
    Unhealthy,
    /// Ended by itself; is started again after a delay.
    Backoff,
    /// Being stopped; processes may be left.
    Stopping,
    /// A task that ended well.
    Completed,
    /// Gave up, and says why.
    Failed,
}

impl StateWord {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Skipped => "skipped",
            Self::Blocked => "blocked",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unhealthy => "unhealthy",
            Self::Backoff => "backoff",
            Self::Stopping => "stopping",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether a service whose goal is up is as it should be. One that is skipped is.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Ready | Self::Completed | Self::Skipped)
    }

    /// Whether nothing of the service runs.
    pub fn is_down(self) -> bool {
        match self {
            Self::Inactive | Self::Skipped | Self::Blocked | Self::Completed | Self::Failed => true,
            Self::Waiting
            | Self::Starting
            | Self::Ready
            | Self::Unhealthy
            | Self::Backoff
            | Self::Stopping => false,
        }
    }

    /// Whether it has become ready and runs on, well or not.
    pub fn has_become_ready(self) -> bool {
        matches!(self, Self::Ready | Self::Unhealthy)
    }
}

/// How the leader of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The kernel told.
    Exit(Exit),
    /// The tmux server that its session was on ended. It counts as a failure.
    ServerLost,
    /// Its tmux session was killed, and its exit status went with the session. It counts as a
    /// failure.
    SessionLost,
    /// Nobody who could know was there when it ended. It counts as a failure.
    Unknown,
}

/// Why a run did not come about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// What was being done, as in "changing directory to /x"; empty where the message says all.
    pub stage: String,
    /// What went wrong there, as in "no such file or directory".
    pub message: String,
    /// Whether trying again without mending something is pointless (a missing executable, say):
    /// such a service is blocked; any other failed start counts as a failure and is retried by the
    /// restart policy.
    pub is_blocked: bool,
}

/// What happened to one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// The command is executed.
    Spawned,
    /// The command could not be executed; no process of the run is left.
    SpawnFailed(StartFailure),
    /// The readiness probe succeeded.
    Ready,
    /// A readiness attempt did not succeed; the text is the last thing known, for people.
    NotReady(String),
    /// It asks for this much time, from now on, to become ready or to end.
    Extended(Duration),
    /// What the run exports, all of it; told before `Ready`, and again when a value changes.
    Exported(BTreeMap<String, String>),
    /// A health check succeeded.
    Healthy,
    /// A health check did not succeed; the text is what it found, for people.
    Unwell(String),
    /// The leader ended; other members may be left.
    Exited(Ended),
    /// No member is left. It is sent only after `Exited`, and once.
    Gone,
    /// The leader has ended by itself, and these lived on; they are being ended.
    Left(LeftBehind),
    /// After KILL these were still there.
    Survived(Vec<Survivor>),
    /// The answer to [`Effect::Examine`]: what a new run would lack, in sentences; empty when it
    /// could start.
    Examined(Vec<String>),
}

/// Processes that lived on after the leader of their run had ended by itself, and that the supervisor
/// ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftBehind {
    /// How many there were.
    pub count: usize,
    /// The first of them.
    pub processes: Vec<LeftProcess>,
}

/// One process that a run left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftProcess {
    /// Its process id.
    pub pid: i32,
    /// Its command line, or its name in brackets.
    pub command: String,
}

/// A process that KILL did not end, or that could not be signalled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Survivor {
    /// Its process id.
    pub pid: i32,
    /// Its command line, or its name in brackets.
    pub command: String,
    /// The name of the user that it runs as.
    pub user: String,
    /// Why it is still there, as far as can be told.
    pub reason: String,
    /// Whether the kernel took a KILL for it; where not, it may not be signalled, or it is a session.
    #[serde(default = "killed")]
    pub is_killed: bool,
}

/// What was not told by earlier versions.
fn killed() -> bool {
    true
}

/// An event of one run of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The service.
    pub service: ServiceName,
    /// The run that it is about. An event of any other run than the present one changes nothing.
    pub run: RunId,
    /// What happened.
    pub what: RunEvent,
}

/// What the shell shall do. It starts the doing and does not wait for the result: that comes back
/// as an [`Event`].
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Start this run of the service as it is declared here; owes exactly one of
    /// `Spawned` and `SpawnFailed`. After `Spawned` it owes `Exited`, then `Gone`, some day; and it
    /// asks the readiness probe until `Ready`, if the service has one, and then whether it is well.
    Spawn {
        /// The run.
        run: RunId,
        /// The declaration that the run is made from.
        service: Arc<Service>,
    },
    /// Take over this run, which an earlier supervisor began; owes what follows `Spawned`. When its
    /// leader is known to have ended, only its end is asked for, by a `Terminate` or `Kill` that
    /// comes with this.
    Adopt {
        /// The run.
        run: RunId,
        /// The declaration that the run was made from.
        service: Arc<Service>,
        /// How far it had come.
        stage: AdoptedStage,
    },
    /// The declaration of this live run changed in what needs no new run: the stop signal, the
    /// bounds of the log and the like are to be taken from here from now on.
    Redeclare {
        /// The run.
        run: RunId,
        /// Its declaration now.
        service: Arc<Service>,
    },
    /// Look whether a new run of this declaration could start: it is wanted in the place of `run`,
    /// which lives on until the answer, `Examined`, says that it could.
    Examine {
        /// The live run.
        run: RunId,
        /// The declaration that the new run would be made from.
        service: Arc<Service>,
    },
    /// Send the stop signal to the members of this run, stragglers too. It may come before the
    /// answer to `Spawn`: the shell then gives up the start and answers `SpawnFailed`, or answers
    /// `Spawned` and ends the run as any other.
    Terminate {
        /// The service.
        service: ServiceName,
        /// The run.
        run: RunId,
    },
    /// End all members of this run by KILL; owes `Gone` or `Survived`. It may come without a
    /// `Terminate` before it, and before the answer to `Spawn` as that may.
    Kill {
        /// The service.
        service: ServiceName,
        /// The run.
        run: RunId,
    },
    /// The view of this service changed: tell whoever follows.
    Announce(ServiceName),
    /// A service came into another state: write it down.
    Note(Box<Transition>),
}

/// How far a run had come that is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdoptedStage {
    /// It executes its command: whether it is ready is to be asked anew.
    Starting,
    /// It is ready: whether it is well is to be asked.
    Ready,
    /// Its leader has ended, or it is being ended.
    Ending,
}

/// One step of a service from state to state, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The service.
    pub service: ServiceName,
    /// The state before.
    pub from: StateWord,
    /// The state after; the same when only the means grew harsher.
    pub to: StateWord,
    /// The run that it is about: that which lives, else that which just ended.
    pub run: Option<RunId>,
    /// What brought it about.
    pub occasion: Occasion,
    /// What people read, as far as the service alone knows it.
    pub reason: Option<String>,
}

/// What brings a transition about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// An order, be it that its turn came later.
    Order,
    /// What the service needs came, or cannot come.
    Dependency,
    /// The restart policy: the delay is over.
    Policy,
    /// It was not ready in time.
    StartTimeout,
    /// The stop signal did not do it, or KILL did not.
    Escalation,
    /// The command is executed.
    Spawned,
    /// The command could not be executed.
    SpawnFailed,
    /// A probe's verdict.
    Probe,
    /// The leader ended.
    Exited(Ended),
    /// Nothing of the run is left.
    Gone,
}

/// One service as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// What is wanted.
    pub goal: Goal,
    /// What is true.
    pub state: StateWord,
    /// Why, where the word alone does not tell.
    pub reason: Option<String>,
    /// The live run, if there is one.
    pub run: Option<RunId>,
    /// When the state was entered.
    pub since: Moment,
    /// When something happens by itself: the next start of what backs off, the end of the wait for
    /// readiness, the moment from which it counts as settled, KILL for what is being stopped.
    pub deadline: Option<Moment>,
    /// Whom it waits for: to be what it needs, or, when it has to stop, to be gone first.
    pub waits_for: Vec<ServiceName>,
    /// Whether nothing more will become of it by itself, as far as is known: it has lived for
    /// `settle`, and nothing whose restarts or values it follows is on its way.
    pub is_settled: bool,
    /// How many times in a row it has failed since it was last ordered up.
    pub failures: u32,
    /// Whether a run has become ready, and has settled, since it was last ordered up.
    pub has_been_ready: bool,
    /// Where it comes from that it is blocked, when that is another service.
    pub root_cause: Option<ServiceName>,
    /// How often it was started again without an order since it was last ordered up: by its restart
    /// policy, or because something that it depends on is new.
    pub restarts: u32,
    /// What the last run left behind when it ended by itself, until another run begins.
    pub left_behind: Option<LeftBehind>,
    /// What a new run would lack, while it is wanted and the live one is kept for that.
    pub lacks: Vec<String>,
    /// How many health checks in a row have failed.
    pub failed_checks: u32,
    /// What it exports, as far as it is known: of a run that is not ready, what the last one did.
    pub exports: BTreeMap<String, String>,
    /// Whether it was asked to stop and KILL has not been sent yet.
    pub is_in_grace: bool,
    /// Whether all that can be done to stop it has been done and something is left. It may rest so
    /// for ever; a later end is still noticed, and an order tries KILL again.
    pub is_stuck: bool,
    /// What outlived KILL, while it does; empty also when it is stuck and the shell has not told.
    pub survivors: Vec<Survivor>,
    /// The declaration of the live run, or the one that the next run will be made from.
    pub service: Arc<Service>,
}
