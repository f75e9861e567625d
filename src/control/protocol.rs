//! The shapes that cross the control socket. Versioned: fields may be added, never changed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code;
use crate::event::By;
use crate::id::{GroupName, ProjectName, RunId, ServiceName};
use crate::layers::Layers;
use crate::machine::{Goal, LeftBehind, LeftProcess, StateWord, Survivor};
use crate::manifest::model::{Instance, Manifest};
use crate::plan::{Order, Plan, Selector};

/// The version of every shape in this module.
pub const VERSION: u32 = 1;

/// `GET /v1/status`, and what `status --json` prints. With `?usage=true` it also tells what the
/// services take of the machine, which has to be found out then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The version of this shape, which is 1.
    pub version: u32,
    /// The project.
    pub project: ProjectName,
    /// The supervisor that answers; `null` when none runs.
    pub supervisor: Option<SupervisorStatus>,
    /// The services, in the order of the manifest.
    pub services: IndexMap<ServiceName, ServiceStatus>,
}

/// Who supervises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SupervisorStatus {
    /// Its process id.
    pub pid: i32,
    /// The process id of its guardian; `null` when it has none.
    pub guardian_pid: Option<i32>,
    /// The version of the program that it runs.
    #[serde(default)]
    pub program_version: Option<String>,
    /// When it began to answer.
    #[serde(default)]
    #[schemars(schema_with = "moment_or_null")]
    pub began: Option<Timestamp>,
    /// The manifest that the project was last brought up from.
    pub manifest: Option<PathBuf>,
    /// Which layers of containment hold where it runs.
    pub layers: Option<Box<Layers>>,
    /// What it takes of the machine itself; `null` when nobody asked.
    pub usage: Option<Usage>,
}

/// What processes take of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// How many processes there are.
    pub processes: u32,
    /// The time that they and their reaped children spent on processors, in milliseconds.
    pub cpu_ms: u64,
    /// Their memory in bytes, where pages that several processes share are counted in shares (PSS);
    /// `null` where the kernel does not show it, of another user's processes say.
    pub memory_bytes: Option<u64>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStatus {
    /// `process`, `tmux` or `task`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What people read about it.
    pub description: Option<String>,
    /// What is wanted.
    pub goal: Goal,
    /// The order that set the goal; `null` when it was set under an earlier supervisor, or never.
    #[serde(default)]
    pub ordered: Option<Ordered>,
    /// What is true.
    pub state: StateWord,
    /// Why, where the state alone does not tell.
    pub reason: Option<String>,
    /// What its last run left behind when it ended by itself, and what the supervisor ended for that;
    /// until another run begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_behind: Option<LeftBehind>,
    /// What a new run would lack, in sentences, while a new run is wanted and the live one is kept
    /// because the new one could not start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
    /// The leader's process id, while it runs.
    pub pid: Option<i32>,
    /// When the state was entered.
    #[schemars(schema_with = "moment_or_null")]
    pub since: Option<Timestamp>,
    /// When something happens by itself: the next start, the end of the wait for readiness, the moment
    /// from which it counts as settled, KILL.
    #[schemars(schema_with = "moment_or_null")]
    pub deadline: Option<Timestamp>,
    /// While it is starting: what has to come true, as in `tcp 127.0.0.1:5432` or `its end`. While it
    /// is being stopped, and that takes a while: who is still there, as in `4711 (node bridge.mjs)`.
    #[serde(default)]
    pub awaits: Option<String>,
    /// Whom it waits for.
    pub waits_for: Vec<ServiceName>,
    /// Whether all that can be done to stop it has been done and something is left.
    pub is_stuck: bool,
    /// Whether nothing more will become of it by itself, as far as is known: it has lived for
    /// `settle`, or is down for good, and nothing whose restarts or values it follows is on its way.
    /// `up`, `start`, `restart` and `status --wait` wait for that.
    #[serde(default)]
    pub settled: bool,
    /// How many times in a row it has failed since it was last ordered up.
    #[serde(default)]
    pub failures: u32,
    /// Whether it has been ready, and has settled, since it was last ordered up.
    #[serde(default)]
    pub has_been_ready: bool,
    /// The service that keeps it from starting, when it is blocked by one: the first in the chain.
    #[serde(default)]
    pub root_cause: Option<ServiceName>,
    /// Restarts by policy since it was last ordered up.
    pub restarts: u32,
    /// The live run.
    pub run: Option<RunId>,
    /// Which instance of which template it is, and what it was given; `null` for a service.
    #[serde(default)]
    #[schemars(schema_with = "instance_or_null")]
    pub instance: Option<Box<Instance>>,
    /// The groups that it belongs to.
    pub groups: Vec<GroupName>,
    /// The ports that it owns.
    pub ports: Vec<u16>,
    /// Its tmux session.
    pub session: Option<String>,
    /// What outlived KILL, while it does.
    pub survivors: Vec<Survivor>,
    /// What its processes take of the machine; `null` when nobody asked, and while it has none.
    pub usage: Option<Usage>,
    /// The values that it exports, as they are.
    #[serde(default)]
    pub exports: BTreeMap<String, String>,
    /// What it says of itself, by `sd_notify(3)`.
    #[serde(default)]
    pub says: Option<String>,
    /// What its probe found last, of readiness or of health; `null` when it was not asked yet.
    #[serde(default)]
    pub last_probe: Option<LastProbe>,
}

/// An order that set the goal of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Ordered {
    /// Its number. A later order has a higher one; each supervisor counts from 1.
    pub id: u64,
    /// What was asked.
    pub order: Order,
    /// Who asked.
    pub by: By,
}

/// What one attempt of a probe came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastProbe {
    /// What it was about.
    pub question: Question,
    /// The probe, in the word of the manifest: `tcp`, `exec`, …
    pub probe: String,
    /// When it was over.
    #[schemars(schema_with = "moment")]
    pub at: Timestamp,
    /// Whether the answer was good.
    pub succeeded: bool,
    /// What was wrong, for people.
    pub found: Option<String>,
    /// The end of what a command said.
    pub output: String,
    /// How many in a row have failed.
    pub failed_in_a_row: u32,
}

/// What a probe is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Whether the service has become ready.
    Ready,
    /// Whether it is still well.
    Health,
}

/// The schema of a moment.
fn moment(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "format": "date-time" })
}

/// The schema of an instance.
fn instance_or_null(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["object", "null"], "properties": {
        "template": { "type": "string" },
        "name": { "type": "string" },
        "params": { "type": "object", "additionalProperties": { "type": "string" } }
    } })
}

/// The schema of a moment: RFC 3339, as jiff writes it.
fn moment_or_null(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["string", "null"], "format": "date-time" })
}

/// `POST /v1/orders`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// [`VERSION`].
    pub version: u32,
    /// What is asked.
    pub order: Order,
    /// The resolved form, for `up` and `restart`: what the same version of the program sends. `null`:
    /// that which was ordered up last, its env files as they are now. `down` needs none.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub manifest: Option<Manifest>,
    /// Of which services, and groups with a leading `@`; empty: of everything.
    #[serde(default)]
    pub selection: Vec<Selector>,
    /// Only plan.
    #[serde(default)]
    pub dry_run: bool,
    /// Stop without grace.
    #[serde(default)]
    pub now: bool,
    /// The manifest by which the caller found the project, for `down`: the order is refused while the
    /// project runs from another one. `null`: whichever it runs from.
    #[serde(default)]
    pub manifest_file: Option<PathBuf>,
}

/// What an order came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderReply {
    /// [`VERSION`].
    pub version: u32,
    /// What is done about it.
    pub plan: Plan,
    /// The services that the order is about: once all of them rest, it is fulfilled.
    pub targets: Vec<ServiceName>,
    /// Whether the whole project goes down, and the supervisor with it.
    pub whole_project: bool,
    /// The number of this order, as in `ordered.id` of a service; 0 for one that was only planned.
    #[serde(default)]
    pub order_id: u64,
    /// The number of the last notice that went before; later ones tell of this order.
    pub sequence: u64,
    /// All services right after the order was taken.
    pub status: Status,
}

/// One item of `GET /v1/notices`, a stream of server-sent events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// Grows by one with each notice.
    pub sequence: u64,
    /// What is new.
    pub what: News,
}

/// What is new.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// First in each stream: everything.
    Snapshot(Status),
    /// A service changed.
    Service {
        /// Which.
        name: ServiceName,
        /// What it is now; `null` when the project no longer holds it.
        status: Option<Box<ServiceStatus>>,
    },
    /// The project is down; the supervisor leaves after this.
    Finished(Proof),
}

/// What `GET /v1/logs` may be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogsQuery {
    /// Whose, separated by commas; groups with a leading `@`. All, when it is not given.
    pub services: Option<String>,
    /// Only the last lines, counted over all services together.
    pub lines: Option<usize>,
    /// Only what was printed since, RFC 3339.
    #[schemars(schema_with = "moment_or_null")]
    pub since: Option<Timestamp>,
    /// Only what was printed until then, RFC 3339.
    #[schemars(schema_with = "moment_or_null")]
    pub until: Option<Timestamp>,
    /// Only lines that match this regular expression.
    pub grep: Option<String>,
    /// Go on with what is printed from now on.
    pub follow: bool,
}

/// One line that a service printed: an item of `GET /v1/logs`, and what `logs --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// When its last byte was read, RFC 3339 with nanoseconds.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// Who printed it.
    pub service: ServiceName,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// What it says. What is no UTF-8 is replaced.
    pub line: String,
    /// Whether it was longer than what is kept.
    pub is_cut: bool,
    /// The run that begins with this line; `null` for every other line.
    #[serde(default)]
    pub begins_run: Option<RunId>,
    /// Whether lines before this one were rotated away before they were read.
    #[serde(default)]
    pub is_after_gap: bool,
}

/// `POST /v1/proofs`: what is left of services that were stopped?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProofRequest {
    /// [`VERSION`].
    pub version: u32,
    /// The services.
    pub services: Vec<ServiceName>,
}

/// `POST /v1/handover`: another supervisor shall take over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOverRequest {
    /// [`VERSION`].
    pub version: u32,
    /// The program that the next supervisor is run by; an absolute path.
    pub program: PathBuf,
}

/// The next supervisor is about to take over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandOverReply {
    /// [`VERSION`].
    pub version: u32,
    /// What the program says of itself, as in `baudbot 0.2.0`.
    pub program: String,
}

/// What a supervisor that leaves in order writes into the state directory, for a client that lost
/// its connection before it heard the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWord {
    /// [`VERSION`].
    pub version: u32,
    /// The supervisor's process id.
    pub pid: i32,
    /// When it began to answer, as in [`SupervisorStatus::began`].
    pub began: Timestamp,
    /// The order that took the project down; `None` when there was nothing to be run.
    pub ordered: Option<Ordered>,
    /// What was verified.
    pub proof: Proof,
}

impl LastWord {
    /// Whether this is the last word of the supervisor that gave this status.
    pub fn is_of(&self, supervisor: &SupervisorStatus) -> bool {
        self.version == VERSION
            && self.pid == supervisor.pid
            && Some(self.began) == supervisor.began
    }
}

/// What was verified after everything stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proof {
    /// One sentence for each thing that was looked at and found clean.
    pub verified: Vec<String>,
    /// What could not be ended, by the service or group that it belonged to.
    pub survivors: BTreeMap<String, Vec<Survivor>>,
    /// Processes of the project that are still there and of which it cannot be told whether they are
    /// of a service that was looked at or of one that runs on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclaimed: Vec<LeftProcess>,
}

impl Proof {
    /// Whether nothing is left.
    pub fn is_clean(&self) -> bool {
        self.survivors.is_empty() && self.unclaimed.is_empty()
    }
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// A stable code, as in `baudbot::run::other_manifest`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The exit status that the command should end with.
    pub exit: u8,
}

impl Refusal {
    /// The supervisor is about to leave: whoever hears this connects to the next one.
    pub fn leaving() -> Self {
        Self {
            code: code!("control::leaving").to_string(),
            message: "the supervisor is leaving".into(),
            help: Some("give the order again".into()),
            exit: 1,
        }
    }
}

impl News {
    /// The name of the server-sent event.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Snapshot(_) => "snapshot",
            Self::Service { .. } => "service",
            Self::Finished(_) => "finished",
        }
    }
}
