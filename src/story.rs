//! One service's whole story: what is declared, what is wanted, what is true, what happened, what
//! decides it and what can be done. What `why` tells.
//!
//! It is put together from what others know: the status (the supervisor), the event log (what
//! happened), the manifest (what is declared, and where). Each of them may be missing.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use crate::control::protocol::{ServiceStatus, Status};
use crate::event::{Asked, Cause, Change, Event, What};
use crate::id::{ProjectName, RunId, ServiceName};
use crate::machine::{Ended, Goal, StateWord};
use crate::manifest::model::{Condition, Exit, Manifest};

/// The version of the JSON form.
pub const VERSION: u32 = 1;

/// How the reason of a stop ends once its signal is sent.
const STOP_SIGNAL_SENT: &str = "; stop signal sent";

/// How many ends of runs are told.
const MOST_ENDS: usize = 5;

/// The whole story. Fields may be added to the JSON form, never changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    /// [`VERSION`].
    pub version: u32,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// Whether the manifest declares it; `null` where no manifest can be read.
    pub is_declared: Option<bool>,
    /// Where it is declared.
    pub declared_at: Option<Written>,
    /// Whether a supervisor runs that could be asked.
    pub is_supervised: bool,
    /// What is true of it, as `status` tells it; `null` of one that is neither declared nor held.
    pub status: Option<ServiceStatus>,
    /// The last order that changed something about it.
    pub asked: Option<AskedAt>,
    /// The lines of the manifest that decide what is true of it now.
    pub decided_by: Vec<Written>,
    /// What it needs.
    pub needs: Vec<Need>,
    /// Who needs it.
    pub needed_by: Vec<ServiceName>,
    /// How its last runs ended, the newest first.
    pub ends: Vec<End>,
    /// The end of its log.
    pub log: Vec<String>,
    /// What to type next.
    pub next: Vec<Next>,
}

/// A field of the manifest and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The field, as in `restart.max_failures`; empty for the service itself.
    pub field: String,
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// An order and when it was given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AskedAt {
    /// When.
    pub at: Timestamp,
    /// What, and by whom.
    pub asked: Asked,
}

/// A dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Who is needed.
    pub service: ServiceName,
    /// What it has to be.
    pub condition: Condition,
    /// Whether it has to be, or whether only the outcome is waited for.
    pub required: bool,
    /// What it is.
    pub state: StateWord,
    /// Why, where the state alone does not tell.
    pub reason: Option<String>,
    /// Whether it is what it has to be.
    pub is_met: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Which run.
    pub run: Option<RunId>,
    /// How its leader ended; `null` where it was not told.
    pub exit: Option<Ended>,
    /// Why we ended it; `null` when it ended by itself.
    pub ended_by_us: Option<String>,
    /// What is known beside that, as in that the kernel had no memory left.
    pub note: Option<String>,
}

/// Something to type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Next {
    /// What for.
    pub purpose: String,
    /// The command, without `baudbot`.
    pub command: String,
}

/// What the story is made of.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// The manifest, where one can be read.
    pub manifest: Option<&'a Manifest>,
    /// All services; without a supervisor: those that could run.
    pub status: &'a Status,
    /// What happened, the oldest first.
    pub events: &'a [Event],
    /// The end of the log.
    pub log: &'a [String],
    /// Where a field stands: the longest part of this path that is written.
    pub place: &'a dyn Fn(&[&str]) -> Option<Written>,
}

/// Puts the story together.
pub fn tell(known: &Known<'_>) -> Story {
    let name = known.service;
    let status = known.status.services.get(name);
    let declaration = known.manifest.and_then(|all| all.services.get(name));
    let changes = changes(known);
    let needs = needs(known);
    Story {
        version: VERSION,
        project: known.status.project.clone(),
        service: name.clone(),
        is_declared: known.manifest.map(|_| declaration.is_some()),
        declared_at: declaration.and_then(|_| (known.place)(&["services", name.as_str()])),
        is_supervised: known.status.supervisor.is_some(),
        status: status.cloned(),
        asked: changes.iter().rev().find_map(|(at, change)| {
            let asked = change.asked.clone()?;
            Some(AskedAt { at: *at, asked })
        }),
        decided_by: status.map_or_else(Vec::new, |status| {
            decided_by(name, status, &needs, known.place)
        }),
        needed_by: known
            .manifest
            .iter()
            .flat_map(|manifest| manifest.services.values())
            .filter(|other| other.depends_on.contains_key(name))
            .map(|other| other.name.clone())
            .collect(),
        next: status.map_or_else(Vec::new, |status| next(name, status, &needs)),
        needs,
        ends: ends(&changes),
        log: known.log.to_vec(),
    }
}

fn changes<'a>(known: &Known<'a>) -> Vec<(Timestamp, &'a Change)> {
    let of_it = |event: &'a Event| match &event.what {
        What::Service(change) if change.service == *known.service => Some((event.time, change)),
        What::Service(_) | What::Order(_) | What::Supervisor(_) => None,
    };
    known.events.iter().filter_map(of_it).collect()
}

fn needs(known: &Known<'_>) -> Vec<Need> {
    let declaration = known
        .manifest
        .and_then(|manifest| manifest.services.get(known.service));
    declaration
        .iter()
        .flat_map(|service| &service.depends_on)
        .map(|(name, edge)| {
            let status = known.status.services.get(name);
            let state = status.map_or(StateWord::Inactive, |status| status.state);
            Need {
                service: name.clone(),
                condition: edge.condition,
                required: edge.required,
                state,
                reason: status.and_then(|status| status.reason.clone()),
                is_met: is_met(edge.condition, state),
            }
        })
        .collect()
}

fn is_met(condition: Condition, state: StateWord) -> bool {
    match condition {
        Condition::Completed => state == StateWord::Completed,
        Condition::Ready => state.has_become_ready() || state == StateWord::Completed,
        Condition::Started => {
            matches!(state, StateWord::Starting | StateWord::Completed) || state.has_become_ready()
        }
    }
}

/// The fields that decide what is true of it now.
fn decided_by(
    name: &ServiceName,
    status: &ServiceStatus,
    needs: &[Need],
    place: &dyn Fn(&[&str]) -> Option<Written>,
) -> Vec<Written> {
    let mut written: Vec<Written> = Vec::new();
    for field in deciding_fields(status, needs) {
        let path: Vec<&str> = ["services", name.as_str()]
            .into_iter()
            .chain(field)
            .collect();
        // What is not written is a default, and no line decides it.
        if let Some(found) = place(&path).filter(|found| !found.field.is_empty())
            && !written.contains(&found)
        {
            written.push(found);
        }
    }
    written
}

fn deciding_fields<'a>(status: &ServiceStatus, needs: &'a [Need]) -> Vec<Vec<&'a str>> {
    let reason = status.reason.as_deref().unwrap_or_default();
    let edges = || unmet(needs).map(|need| vec!["depends_on", need.service.as_str()]);
    match status.state {
        StateWord::Waiting => edges().collect(),
        StateWord::Blocked if reason.starts_with("dependency ") => edges().collect(),
        StateWord::Blocked => blockers(reason),
        StateWord::Starting => vec![vec!["ready", "timeout"]],
        StateWord::Unhealthy => vec![vec!["health"]],
        StateWord::Backoff => vec![vec!["restart", "delay"], vec!["restart", "max_failures"]],
        StateWord::Failed if reason.starts_with("not ready") => {
            vec![vec!["ready", "timeout"], vec!["restart", "max_failures"]]
        }
        StateWord::Failed if reason.contains("gave up") => vec![vec!["restart", "max_failures"]],
        StateWord::Failed => vec![vec!["restart", "policy"]],
        StateWord::Stopping => vec![vec!["stop", "timeout"]],
        StateWord::Skipped => vec![vec!["when"]],
        StateWord::Inactive if status.goal == Goal::Up => vec![vec!["restart", "policy"]],
        StateWord::Inactive | StateWord::Ready | StateWord::Completed => Vec::new(),
    }
}

fn unmet(needs: &[Need]) -> impl Iterator<Item = &Need> {
    needs.iter().filter(|need| !need.is_met)
}

/// The fields that the words of a service that cannot start speak of.
fn blockers(reason: &str) -> Vec<Vec<&'static str>> {
    let table: [(&str, &str); 8] = [
        ("executable", "command"),
        ("executing", "command"),
        ("working directory", "working_dir"),
        ("changing directory", "working_dir"),
        ("env file", "env_files"),
        ("variable", "env"),
        ("port ", "ports"),
        ("limit", "limits"),
    ];
    let spoken_of = table.iter().filter(|(word, _)| reason.contains(word));
    spoken_of.map(|(_, field)| vec![*field]).collect()
}

/// How the last runs ended. That its leader ended tells more than that nothing is left of a run.
fn ends(changes: &[(Timestamp, &Change)]) -> Vec<End> {
    let mut ends: Vec<End> = Vec::new();
    for (at, change) in changes.iter().rev() {
        let is_end = change.exit.is_some() || change.cause == Cause::Gone;
        if !is_end || ends.iter().any(|end| end.run == change.run) {
            continue;
        }
        let of_run = || changes.iter().filter(|(_, other)| other.run == change.run);
        let leader = of_run().find_map(|(at, other)| Some((*at, other.exit?)));
        ends.push(End {
            at: leader.map_or(*at, |(at, _)| at),
            run: change.run,
            exit: leader.map(|(_, exit)| exit),
            ended_by_us: of_run().find_map(|(_, other)| ordered_end(other)),
            note: of_run().find_map(|(_, other)| other.note.clone()),
        });
        if ends.len() == MOST_ENDS {
            break;
        }
    }
    ends
}

/// Why a run is being ended by us, if this is the change with which that began.
fn ordered_end(change: &Change) -> Option<String> {
    if change.to != StateWord::Stopping || change.from == StateWord::Stopping {
        return None;
    }
    match change.cause {
        Cause::Exited | Cause::Gone => None,
        Cause::StartTimeout => Some("it was not ready in time".into()),
        Cause::Order => Some("an order".into()),
        Cause::Edit => Some("an edit of the manifest".into()),
        Cause::Probe => Some("it was unhealthy".into()),
        Cause::Dependency => Some(outdated_by(change)),
        Cause::Policy | Cause::Escalation | Cause::Spawned | Cause::SpawnFailed => {
            Some(change.cause.word().into())
        }
    }
}

/// What changed elsewhere, for which a run is ended: a dependency's run, or a value that it took.
fn outdated_by(change: &Change) -> String {
    let reason = change.reason.as_deref().unwrap_or_default();
    match reason.strip_suffix(STOP_SIGNAL_SENT) {
        Some(why) => why.to_owned(),
        None => "what it depends on was restarted or has another value".into(),
    }
}

/// What to type next.
fn next(name: &ServiceName, status: &ServiceStatus, needs: &[Need]) -> Vec<Next> {
    let to = |purpose: &str, command: String| Next {
        purpose: purpose.into(),
        command,
    };
    let logs = || to("see all that it printed", format!("logs {name}"));
    let start = |purpose: &str| to(purpose, format!("start {name}"));
    let see = |need: &Need| {
        let other = &need.service;
        to(&format!("see how `{other}` is"), format!("why {other}"))
    };
    match (status.state, status.goal) {
        (StateWord::Failed, _) => vec![logs(), start("once it is mended")],
        (StateWord::Blocked, _) => {
            let others = unmet(needs).map(see);
            others.chain([start("once it is mended")]).collect()
        }
        (StateWord::Waiting, _) => unmet(needs).map(see).collect(),
        (StateWord::Starting, _) => vec![to("see what it prints", format!("logs -f {name}"))],
        (StateWord::Unhealthy, _) => {
            vec![logs(), to("give it a new run", format!("restart {name}"))]
        }
        (StateWord::Backoff, _) => vec![logs(), start("do not wait")],
        (StateWord::Stopping, _) if status.is_stuck => {
            vec![to("try KILL again", format!("stop {name}"))]
        }
        (StateWord::Stopping, _) => vec![to("end it without grace", format!("stop --now {name}"))],
        (StateWord::Skipped, _) => vec![start("once its `when` holds")],
        (StateWord::Inactive, Goal::Up) => vec![logs(), start("start it again")],
        (StateWord::Inactive, Goal::Down) => vec![start("start it")],
        (StateWord::Ready, _) if status.session.is_some() => {
            vec![
                to("attach to its session", format!("attach {name}")),
                logs(),
            ]
        }
        (StateWord::Ready | StateWord::Completed, _) => vec![logs()],
    }
}

/// How the end of a leader is told: `exited with 1`, `ended by SIGKILL`.
pub fn ended(exit: Ended) -> String {
    match exit {
        Ended::Exit(Exit::Code(code)) => format!("exited with {code}"),
        Ended::Exit(Exit::Signal(signal)) => format!("ended by {signal}"),
        Ended::ServerLost => "lost its tmux server".into(),
        Ended::SessionLost => "its tmux session was killed".into(),
        Ended::Unknown => "ended, exit status unknown".into(),
    }
}

/// Whether a signal ended it.
pub fn is_signal(exit: Ended) -> bool {
    matches!(exit, Ended::Exit(Exit::Signal(_)))
}
