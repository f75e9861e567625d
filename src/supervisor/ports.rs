//! The ports that services own: free before the start, theirs while they run, free again after.
//!
//! Before a start, who holds a port is told apart by proof. A leftover of this project, by its mark
//! or by an identity in the ledger, is not wanted any more: it is ended and waited for. Everybody
//! else is left alone: the service is blocked and says by whom, and looks again when somebody orders
//! it up.
//!
//! Once nothing is left of a run, its ports must be free, as they were when it began. Who holds one
//! nevertheless counts as a survivor: it may be a process of the run that got rid of every proof.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

use super::Supervisor;
use super::ending::{Ending, SIGTERM, end_sessions, look};
use super::input::{Input, Outbox};
use super::preflight::STAGE;
use super::runs::{LiveRun, identity};
use crate::id::{RunId, ServiceName};
use crate::machine::{StartFailure, Survivor};
use crate::port::Port;
use crate::record::StartedRun;
use crate::sys::census::{Owner, Roots, look as look_at_processes};
use crate::sys::identity::Identity;
use crate::sys::mark::{ProjectId, read_mark};
use crate::sys::ports::{self, Holder, HolderProcess};

/// How long a port whose holder was ended, or is ending, is waited for.
const FREE_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// What leftovers get between TERM and KILL.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);
/// How long a service that gives its port to another may take to end.
const OTHERS_GO_WITHIN: Duration = Duration::from_secs(60);

/// How often it is looked whether the ports of a service that runs are its own.
const WATCH_INTERVAL: Duration = Duration::from_secs(30);

/// What is known of this project when a port is held.
#[derive(Clone)]
pub(super) struct Ours {
    /// Whose marks are ours; `None` where no mark can be set.
    project: Option<ProjectId>,
    /// The runs that live.
    live: Vec<(RunId, ServiceName, Roots)>,
    /// Runs that the ledger knows and nobody holds any more.
    forgotten: Vec<StartedRun>,
    /// What is never ended.
    spared: Vec<i32>,
}

/// Whose a process is.
enum Whose {
    /// Nothing proves that it is ours.
    Foreign,
    /// It belongs to a run of this service, which lives.
    Service(ServiceName),
    /// It was started in the project's tmux server and by no service.
    Project,
    /// It is left of a run that nobody wants any more.
    Leftover(Roots),
}

impl Ours {
    /// Whose this process is. Blocking.
    fn whose(&self, process: &Identity) -> std::io::Result<Whose> {
        let mark = read_mark(process.pid)?;
        if let (Some(project), Some(mark)) = (self.project, mark)
            && mark.is_of(project)
        {
            let Some(run) = mark.run_of(project) else {
                return Ok(Whose::Project);
            };
            let mut live = self.live.iter();
            return Ok(match live.find(|(id, _, _)| mark.is_run(project, *id)) {
                Some((_, service, _)) => Whose::Service(service.clone()),
                None => Whose::Leftover(self.roots(Some(Owner::Run(project, run)), Vec::new())),
            });
        }
        for (_, service, roots) in &self.live {
            if is_member(roots, process)? {
                return Ok(Whose::Service(service.clone()));
            }
        }
        for run in &self.forgotten {
            let owner = self.project.filter(|_| run.is_marked);
            let owner = owner.map(|project| Owner::Run(project, run.run));
            let roots = self.roots(owner, vec![identity(&run.leader)]);
            if is_member(&roots, process)? {
                return Ok(Whose::Leftover(roots));
            }
        }
        Ok(Whose::Foreign)
    }

    fn roots(&self, owner: Option<Owner>, leaders: Vec<Identity>) -> Roots {
        Roots {
            owner,
            leaders,
            spared: self.spared.clone(),
            ..Roots::default()
        }
    }
}

fn is_member(roots: &Roots, process: &Identity) -> std::io::Result<bool> {
    let members = look_at_processes(roots)?.members(roots);
    Ok(members.iter().any(|member| member.identity == *process))
}

/// Who holds the port now, with whose each is. Blocking.
fn holders(port: &Port, ours: &Ours) -> std::io::Result<Vec<(Holder, Whose)>> {
    let listeners = ports::in_the_way(port)?;
    let holders = ports::holders(&listeners)?.into_iter();
    holders
        .map(|holder| {
            let whose = match &holder.process {
                Some(process) => ours.whose(&process.identity)?,
                None => Whose::Foreign,
            };
            Ok((holder, whose))
        })
        .collect()
}

/// Sees to it that these ports are free, as far as their holders are leftovers of ours; returns a
/// sentence for each that is not.
pub(super) async fn obstacles(ports: &[Port], ours: &Ours) -> Vec<String> {
    let mut obstacles = Vec::new();
    for port in ports {
        if let Err(obstacle) = make_free(*port, ours).await {
            obstacles.push(obstacle);
        }
    }
    obstacles
}

async fn make_free(port: Port, ours: &Ours) -> Result<(), String> {
    let mut deadline = Instant::now() + FREE_WITHIN;
    let mut has_swept = false;
    loop {
        let ours_there = ours.clone();
        let found = look(move || holders(&port, &ours_there)).await;
        let found = found.map_err(|error| format!("cannot tell who holds port {port}: {error}"))?;
        if found.is_empty() {
            return Ok(());
        }
        // A socket whose process is just going has none that could be named; it is looked at again.
        let is_settled = found.iter().any(|(holder, whose)| {
            holder.process.is_some() && !matches!(whose, Whose::Leftover(_))
        });
        if is_settled || Instant::now() >= deadline {
            return Err(held(port, &found));
        }
        if !has_swept {
            for (_, whose) in found {
                let Whose::Leftover(roots) = whose else {
                    continue;
                };
                if let Err(error) = Ending::of_processes(roots)
                    .end(SIGTERM, LEFTOVER_GRACE)
                    .await
                {
                    return Err(format!(
                        "port {port} is held by what is left of an earlier run: {error}"
                    ));
                }
                has_swept = true;
                deadline = Instant::now() + FREE_WITHIN;
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// `port 7890 is held by pid 812 (node), user root, unit x.service, which this project did not
/// start; stop it or change ports`.
fn held(port: Port, holders: &[(Holder, Whose)]) -> String {
    let Some((holder, whose)) = holders.first() else {
        return format!("port {port} is held");
    };
    let more = match distinct(holders).len() {
        0 | 1 => String::new(),
        many => format!(" (and {} more)", many - 1),
    };
    let whose = match whose {
        Whose::Foreign => match holder.process.as_ref().and_then(|one| one.unit.as_ref()) {
            Some(unit) if unit.ends_with(".service") => {
                format!(
                    "which this project did not start: `systemctl stop {unit}`, or change `ports`"
                )
            }
            Some(_) | None => {
                "which this project did not start: stop it, or change `ports`".to_owned()
            }
        },
        Whose::Service(service) => format!("which belongs to service `{service}`"),
        Whose::Leftover(_) => "which is left of an earlier run and does not let go".to_owned(),
        Whose::Project => {
            "which was started in this project's tmux server: end it there, or change `ports`"
                .to_owned()
        }
    };
    format!("port {port} is held by {holder}{more}, {whose}")
}

fn distinct(holders: &[(Holder, Whose)]) -> BTreeSet<i32> {
    let processes = holders.iter().filter_map(|(one, _)| one.process.as_ref());
    processes.map(|process| process.identity.pid).collect()
}

/// That these ports are free, in a sentence.
pub(super) fn are_free(ports: &[Port]) -> String {
    let names: Vec<String> = ports.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [port] => format!("port {port} is free"),
        ports => format!("ports {} are free", ports.join(", ")),
    }
}

/// Who holds ports that should be free since nothing is left of `service`, after a short wait.
pub(super) async fn still_held(ports: &[Port], service: &ServiceName) -> Vec<Survivor> {
    let mut left = Vec::new();
    for port in ports.iter().copied() {
        let deadline = Instant::now() + FREE_WITHIN;
        loop {
            let found = look(move || ports::holders(&ports::in_the_way(&port)?)).await;
            match found {
                Ok(holders) if holders.is_empty() => break,
                // Whoever is going is waited for; who stays is named.
                Ok(_) if Instant::now() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
                Ok(holders) => {
                    left.extend(holders.into_iter().map(|one| survivor(port, one, service)));
                    break;
                }
                Err(error) => {
                    eprintln!("cannot tell who holds port {port}: {error}");
                    break;
                }
            }
        }
    }
    left
}

fn survivor(port: Port, holder: Holder, service: &ServiceName) -> Survivor {
    let reason = format!(
        "it holds port {port}, which was free when `{service}` was started; nothing else proves that it is of this project"
    );
    let (pid, command) = match holder.process {
        Some(HolderProcess {
            identity, command, ..
        }) => (identity.pid, command),
        None => (0, "?".into()),
    };
    Survivor {
        pid,
        command,
        user: holder.user,
        reason,
        is_killed: false,
    }
}

/// Whether somebody else than the members of a run holds one of its ports: in a sentence.
/// Blocking.
fn intruder(ports: &[Port], roots: &Roots) -> std::io::Result<Option<String>> {
    for port in ports {
        let listeners = ports::in_the_way(port)?;
        if listeners.is_empty() {
            continue;
        }
        let members = look_at_processes(roots)?.members(roots);
        let held: BTreeSet<u64> = members
            .iter()
            .flat_map(|member| ports::held_among(member.identity.pid, &listeners))
            .collect();
        let foreign: Vec<_> = listeners
            .into_iter()
            .filter(|listener| !held.contains(&listener.inode))
            .collect();
        if let Some(holder) = ports::holders(&foreign)?.first() {
            return Ok(Some(format!(
                "port {port} is held by {holder} and not by the service"
            )));
        }
    }
    Ok(None)
}

impl Supervisor {
    /// What is known of this project now, to tell whose a process is.
    pub(super) fn ours(&self) -> Ours {
        let live = self.runs.iter();
        let ledger = &self.ledger.sum().open;
        Ours {
            project: self.nesting.map(|_| self.project_id),
            live: live
                .map(|(id, run)| (*id, run.service.name.clone(), self.roots(*id)))
                .collect(),
            forgotten: ledger
                .iter()
                .filter(|(id, _)| !self.runs.contains_key(id))
                .map(|(_, run)| run.clone())
                .collect(),
            spared: self.spared(),
        }
    }

    /// A sentence for each of these ports that a process holds which this project did not start.
    pub(super) fn held_by_strangers(&self, ports: impl Iterator<Item = Port>) -> Vec<String> {
        let mut ports = ports.peekable();
        if ports.peek().is_none() {
            return Vec::new();
        }
        let ours = self.ours();
        let found = ports.filter_map(|port| {
            // What cannot be looked at now is told by the start itself.
            let mut found = holders(&port, &ours).ok()?;
            found.retain(|(_, whose)| matches!(whose, Whose::Foreign | Whose::Project));
            (!found.is_empty()).then(|| held(port, &found))
        });
        found.collect()
    }

    /// Before a run executes anything: looks who is on its ports. What is `missing` already is told
    /// along with it.
    pub(super) fn begin_check(
        &self,
        id: RunId,
        run: &LiveRun,
        missing: Option<String>,
    ) -> AbortOnDropHandle<()> {
        let (ports, ours) = (run.service.ports.clone(), self.ours());
        // The process of an old session may be the one that holds the port.
        let sessions = run.sessions.clone();
        let outbox = self.outbox.clone();
        // Two services with one port take turns: the other is on its way out.
        let others: Vec<_> = self
            .runs
            .values()
            .filter(|other| other.service.name != run.service.name)
            .filter(|other| other.service.ports.iter().any(|port| ports.contains(port)))
            .map(|other| other.gone.subscribe())
            .collect();
        AbortOnDropHandle::new(tokio::spawn(async move {
            for mut other in others {
                let gone = async { while other.changed().await.is_ok() {} };
                // What does not go is named by what follows.
                let _ = tokio::time::timeout(OTHERS_GO_WITHIN, gone).await;
            }
            let mut all: Vec<String> = missing.into_iter().collect();
            if let Some(sessions) = sessions
                && let Err(error) = end_sessions(&sessions).await
            {
                all.push(format!("an earlier tmux session does not end: {error}"));
            }
            all.extend(obstacles(&ports, &ours).await);
            outbox.put(Input::Checked {
                run: id,
                obstacles: all,
            });
        }))
    }

    /// What was in the way of a run is known: it begins, or not.
    pub(super) fn checked(
        &mut self,
        id: RunId,
        obstacles: &[String],
    ) -> Option<(ServiceName, StartFailure)> {
        let run = self.runs.remove(&id)?;
        let service = run.service.name.clone();
        let failure = |stage: &str, message: String, is_blocked| StartFailure {
            stage: stage.to_owned(),
            message,
            is_blocked,
        };
        if run.is_cancelled {
            let message = "it was stopped before it had begun".into();
            return Some((service, failure("starting", message, false)));
        }
        if !obstacles.is_empty() {
            return Some((service, failure(STAGE, obstacles.join("; "), true)));
        }
        let begun = self.prepare(id, run);
        begun.err().map(|failure| (service, failure))
    }

    /// Looks, now and then, whether the ports of a run that is ready are its own.
    pub(super) fn watch_ports(&mut self, id: RunId) {
        let roots = self.roots(id);
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        let ports = run.service.ports.clone();
        if ports.is_empty() || run.port_watcher.is_some() {
            return;
        }
        let sessions = run.sessions.clone();
        let watch = watch(id, ports, Ending::new(roots, sessions), self.outbox.clone());
        run.port_watcher = Some(AbortOnDropHandle::new(tokio::spawn(watch)));
    }

    /// Who else holds a port of this run, or that nobody does.
    pub(super) fn note_intruder(&mut self, id: RunId, intruder: Option<String>) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        if run.intruder != intruder {
            run.intruder = intruder;
            let service = run.service.name.clone();
            self.announce(service);
        }
    }
}

async fn watch(run: RunId, ports: Vec<Port>, ending: Ending, outbox: Outbox) {
    let mut told = None;
    loop {
        let roots = ending.roots_now().await;
        let ports = ports.clone();
        match look(move || intruder(&ports, &roots)).await {
            Ok(intruder) if intruder == told => {}
            Ok(intruder) => {
                told.clone_from(&intruder);
                outbox.put(Input::Intruder { run, intruder });
            }
            Err(error) => eprintln!("cannot look at the ports of run {run}: {error}"),
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}
