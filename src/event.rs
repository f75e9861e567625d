//! What happened in a project, one line of JSON each: the shapes of the event log.
//!
//! The log is for people and programs that want to know why: every transition of every service with
//! what brought it about, every order that was taken, and the comings and goings of supervisors. It
//! is told afterwards and nothing acts on it; what has to survive a crash is in the
//! [ledger](crate::record).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{RunId, ServiceName};
use crate::machine::{Ended, Occasion, StateWord};
use crate::plan::Order;

/// The version of every line. Fields and kinds of events may be added; what is there keeps its
/// meaning.
pub const VERSION: u32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// [`VERSION`].
    pub version: u32,
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A service came into another state.
    Service(Change),
    /// An order was taken.
    Order(Asked),
    /// Something about the supervisor.
    Supervisor(Supervision),
}

/// A service came into another state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The service.
    pub service: ServiceName,
    /// The state before.
    pub from: StateWord,
    /// The state after; the same when only the means of ending it grew harsher.
    pub to: StateWord,
    /// The run that it is about.
    pub run: Option<RunId>,
    /// What brought it about.
    pub cause: Cause,
    /// What people read.
    pub reason: Option<String>,
    /// How the leader ended, when that is the cause.
    pub exit: Option<Ended>,
    /// The order behind it, when one is.
    pub asked: Option<Asked>,
    /// What is known beside it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What brings a change about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// An order.
    Order,
    /// The manifest was edited, and an order brought the new one.
    Edit,
    /// What it needs came, or cannot come.
    Dependency,
    /// The restart policy.
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
    /// Its process ended.
    Exited,
    /// Nothing of the run is left.
    Gone,
}

impl Cause {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Edit => "edit",
            Self::Dependency => "dependency",
            Self::Policy => "policy",
            Self::StartTimeout => "start timeout",
            Self::Escalation => "escalation",
            Self::Spawned => "spawned",
            Self::SpawnFailed => "spawn failed",
            Self::Probe => "probe",
            Self::Exited => "exited",
            Self::Gone => "gone",
        }
    }
}

impl From<Occasion> for Cause {
    fn from(occasion: Occasion) -> Self {
        match occasion {
            Occasion::Order => Self::Order,
            Occasion::Dependency => Self::Dependency,
            Occasion::Policy => Self::Policy,
            Occasion::StartTimeout => Self::StartTimeout,
            Occasion::Escalation => Self::Escalation,
            Occasion::Spawned => Self::Spawned,
            Occasion::SpawnFailed => Self::SpawnFailed,
            Occasion::Probe => Self::Probe,
            Occasion::Exited(_) => Self::Exited,
            Occasion::Gone => Self::Gone,
        }
    }
}

/// An order, and whose it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What was asked.
    pub order: Order,
    /// Of what; empty: of everything.
    pub selection: Vec<String>,
    /// Whether it was to be without grace.
    pub now: bool,
    /// By whom.
    pub by: By,
}

/// Who gave an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A process at the other end of the control socket.
    Process {
        /// Its user.
        uid: u32,
        /// Its process id, where the kernel told.
        pid: Option<i32>,
    },
    /// The command line of this very supervisor, which runs in the foreground.
    Foreground,
    /// A signal to the supervisor or to its guardian.
    Signal,
}

/// Something about the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervision {
    /// What.
    pub did: Did,
    /// The process id of the supervisor that it is about.
    pub pid: i32,
    /// More, for people.
    pub detail: Option<String>,
}

/// What a supervisor did, or what was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// It answers from now on.
    Began,
    /// It took over what an earlier one left.
    Adopted,
    /// It ended what an earlier one left.
    Recovered,
    /// It left in order: the project is down.
    Left,
    /// It crashed or was killed, as its guardian saw.
    Crashed,
    /// It could not begin, as its guardian saw.
    CouldNotBegin,
    /// It made way for another program.
    HandedOver,
    /// Its guardian was killed.
    LostGuardian,
}

impl Did {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Adopted => "took over",
            Self::Recovered => "ended what was left",
            Self::Left => "left",
            Self::Crashed => "crashed",
            Self::CouldNotBegin => "could not begin",
            Self::HandedOver => "handed over",
            Self::LostGuardian => "lost its guardian",
        }
    }
}

impl Event {
    /// Something that happened now, whenever that is.
    pub fn at(time: Timestamp, what: What) -> Self {
        Self {
            version: VERSION,
            time,
            what,
        }
    }

    /// The line as it stands in the file, line feed included.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// What a line says; `None` for one that this program does not understand: a torn one, or one of
    /// a later version.
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line)
            .ok()
            .filter(|event: &Self| event.version == VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::model::Exit;

    #[test]
    fn yesterday_s_lines_are_still_read() {
        let lines = [
            r#"{"version":1,"time":"2026-11-25T09:00:00Z","what":{"supervisor":{"did":"began","pid":7,"detail":null}}}"#,
            r#"{"version":1,"time":"2026-11-25T09:00:00Z","what":{"order":{"order":"up","selection":["@g"],"now":false,"by":{"process":{"uid":0,"pid":8}}}}}"#,
            r#"{"version":1,"time":"2026-11-25T09:00:00Z","what":{"service":{"service":"web","from":"ready","to":"stopping","run":3,"cause":"exited","reason":"exited with 1; stop signal sent","exit":{"exit":{"code":1}},"asked":null}}}"#,
        ];
        let read = lines.map(|line| Event::read(line.as_bytes()).expect(line));
        let What::Service(change) = &read[2].what else {
            panic!("{read:?}");
        };
        assert_eq!(change.exit, Some(Ended::Exit(Exit::Code(1))));
        for (event, line) in read.iter().zip(lines) {
            assert_eq!(event.text(), format!("{line}\n"));
        }
    }

    #[test]
    fn what_is_torn_or_newer_is_not_understood() {
        for line in [
            r#"{"version":1,"time""#,
            r#"{"version":2,"time":"2026-11-25T09:00:00Z","what":"new"}"#,
        ] {
            assert_eq!(Event::read(line.as_bytes()), None);
        }
    }
}
