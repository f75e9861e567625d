//! What services tell of themselves by `sd_notify(3)`: that they are ready, how they are, that they
//! are still there.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::Supervisor;
use super::adopt::Adopted;
use super::input::Input;
use super::runs::LiveRun;
use super::starting::failure;
use crate::id::RunId;
use crate::machine::{Effect, RunEvent, StartFailure};
use crate::manifest::model::{Kind, Probe, Service};
use crate::sys::census::Roots;
use crate::sys::mark::read_mark;
use crate::sys::notify::{Message, News, NotifySocket};
use crate::sys::sweep::{self, Present};

/// The ends of what a run tells of itself.
#[derive(Debug)]
pub(super) struct Notified {
    /// Hears it.
    _listener: AbortOnDropHandle<()>,
    /// Whoever waits for READY=1 waits here.
    pub(super) ready: Option<oneshot::Receiver<()>>,
    told_ready: Option<oneshot::Sender<()>>,
    /// Where its signs of life go.
    pub(super) alive: Option<mpsc::UnboundedSender<bool>>,
    /// What it says of itself.
    pub(super) status: Option<String>,
    /// The name of its socket.
    pub(super) socket: String,
}

/// How long it may be silent, where that is watched.
fn watchdog(service: &Service) -> Option<std::time::Duration> {
    match service.health.as_ref()?.probe {
        Probe::Watchdog { within } => Some(within),
        _ => None,
    }
}

/// Whether a run of this service gets a socket to tell of itself.
fn tells_of_itself(service: &Service) -> bool {
    watchdog(service).is_some() || waits_for_notice(service)
}

fn no_socket(error: &std::io::Error) -> StartFailure {
    failure("opening the socket for notices", error, false)
}

fn waits_for_notice(service: &Service) -> bool {
    let ready = service.ready.as_ref();
    ready.is_some_and(|ready| ready.probe == Probe::Notify)
}

impl Supervisor {
    /// Opens the socket of a run that tells of itself, before it executes anything.
    pub(super) fn open_notify_socket(
        &self,
        id: RunId,
        run: &mut LiveRun,
    ) -> Result<(), StartFailure> {
        if !tells_of_itself(&run.service) {
            return Ok(());
        }
        let socket = NotifySocket::open().map_err(|error| no_socket(&error))?;
        self.listen_to(socket, id, run);
        Ok(())
    }

    /// Opens again the socket that an earlier supervisor opened for a run, by the name that the ledger
    /// has; the ledger of an earlier version has none, since its names followed from the run.
    pub(super) fn reopen_notify_socket(
        &self,
        id: RunId,
        run: &mut LiveRun,
        name: Option<String>,
    ) -> Result<(), StartFailure> {
        if !tells_of_itself(&run.service) {
            return Ok(());
        }
        let name = name.map_or_else(|| NotifySocket::former_name(self.project_id, id), Ok);
        let socket = name.and_then(NotifySocket::reopen);
        self.listen_to(socket.map_err(|error| no_socket(&error))?, id, run);
        Ok(())
    }

    fn listen_to(&self, socket: NotifySocket, id: RunId, run: &mut LiveRun) {
        let watchdog = watchdog(&run.service);
        let name = socket.name().to_owned();
        let environment = Arc::make_mut(&mut run.environment);
        environment.insert("NOTIFY_SOCKET".into(), socket.variable());
        if let Some(within) = watchdog {
            environment.insert("WATCHDOG_USEC".into(), within.as_micros().to_string());
        }
        let (project, has_marks) = (self.project_id, self.nesting.is_some());
        let outbox = self.outbox.clone();
        let listen = async move {
            loop {
                let Message { sender, news } = match socket.receive().await {
                    Ok(message) => message,
                    Err(error) => {
                        eprintln!("cannot hear run {id}: {error}");
                        return;
                    }
                };
                // At once: the sender may be about to end.
                let mark = read_mark(sender).ok().flatten();
                if mark.is_some_and(|mark| mark.is_run(project, id)) {
                    outbox.put(Input::Notified(id, news));
                } else if has_marks {
                    eprintln!(
                        "run {id} was spoken for by process {sender}, which is none of it or gone"
                    );
                } else {
                    outbox.put(Input::NoticeBy(id, sender, news));
                }
            }
        };
        let (told_ready, ready) = oneshot::channel();
        run.notified = Some(Notified {
            _listener: AbortOnDropHandle::new(tokio::spawn(listen)),
            ready: Some(ready),
            told_ready: Some(told_ready),
            alive: None,
            status: None,
            socket: name,
        });
    }

    /// Where no mark can be set, whoever is found as a member of the run is heard.
    pub(super) fn take_notice_by(&mut self, id: RunId, sender: i32, news: News) -> Vec<Effect> {
        let roots: Roots = self.roots(id);
        let members = sweep::present(&roots).unwrap_or_default();
        let is_member = |one: &Present| one.member.identity.pid == sender;
        if members.iter().any(is_member) {
            return self.take_notice(id, news);
        }
        eprintln!("run {id} was spoken for by process {sender}, which is none of it or gone");
        Vec::new()
    }

    pub(super) fn take_notice(&mut self, id: RunId, news: News) -> Vec<Effect> {
        let Some(run) = self.runs.get_mut(&id) else {
            return Vec::new();
        };
        let service = run.service.name.clone();
        let Some(notified) = &mut run.notified else {
            return Vec::new();
        };
        if news.is_ready
            && let Some(told) = notified.told_ready.take()
        {
            // Nobody waits for it when it is ready by another probe.
            let _ = told.send(());
        }
        if let Some(alive) = &notified.alive
            && (news.is_alive || news.is_failing)
        {
            let _ = alive.send(!news.is_failing);
        }
        let named = news.main_pid;
        let status = match (news.status, news.is_stopping) {
            (Some(status), _) => Some(status),
            (None, true) => Some("stops by itself".into()),
            (None, false) => None,
        };
        if let Some(pid) = named {
            run.named = Some(pid);
            self.follow_named(id);
        }
        let Some(notified) = self.runs.get_mut(&id).and_then(|run| run.notified.as_mut()) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        if let Some(status) = status {
            notified.status = Some(status.clone());
            effects.push(Effect::Announce(service.clone()));
            effects.extend(self.tell(service.clone(), id, RunEvent::NotReady(status)));
        }
        if let Some(extension) = news.extension {
            effects.extend(self.tell(service, id, RunEvent::Extended(extension)));
        }
        effects
    }

    /// The run lasts as long as the process that it named as its main one: it leads the run from now
    /// on, if it is a member. The one that was started may end.
    pub(super) fn follow_named(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        let is_process = !matches!(run.service.kind, Kind::Tmux { .. });
        if !run.is_past_gate || run.is_ending || run.is_cancelled {
            return;
        }
        let Some(pid) = run.named.take() else { return };
        if run.leader.as_ref().is_none_or(|leader| leader.pid == pid) {
            return;
        }
        let service = run.service.name.clone();
        let roots = self.roots(id);
        let found = sweep::present(&roots).unwrap_or_default();
        let found = found
            .into_iter()
            .find(|one| one.member.identity.pid == pid && is_process);
        let Some(Present { member, handle }) = found else {
            eprintln!("`{service}` named process {pid} as its main one, which is none of it");
            return;
        };
        let leader = member.identity;
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        let line = self.started_line(id, run, &leader, None);
        if let Err(error) = self.write_ledger(line) {
            eprintln!("`{service}` keeps its main process: {error}");
            return;
        }
        let watch = Adopted {
            service: service.clone(),
            run: id,
            leader: leader.clone(),
            is_child: false,
            pane: None,
            orphans: self.project.orphans_file(),
            drainer: self.drainer(&service),
            outbox: self.outbox.clone(),
        };
        if let Some(run) = self.runs.get_mut(&id) {
            let before = run.leader.replace(leader);
            if std::mem::take(&mut run.is_child) {
                run.former = before;
            }
            let watch = tokio::spawn(watch.until_over(handle));
            run.watcher = Some(AbortOnDropHandle::new(watch));
        }
        self.announce(service);
    }
}
