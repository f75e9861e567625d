//! The runs that live, as the shell holds them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Supervisor;
use super::ending::Known;
use super::ending::Remaining;
use super::notified::Notified;
use super::sessions::{Sessions, Tmux};
use crate::control::protocol::LastProbe;
use crate::id::RunId;
use crate::manifest::model::{Cleanup, Service};
use crate::record::{self, Line, RecordedProcess, StartedRun};
use crate::sys::account::Account;
use crate::sys::census::{Owner, Roots};
use crate::sys::guardian::ourselves;
use crate::sys::identity::Identity;
use crate::sys::mark::Mark;
use crate::sys::process;

/// One live run. Its tasks end with it.
pub(super) struct LiveRun {
    pub(super) service: Arc<Service>,
    /// Who leads it, once it exists.
    pub(super) leader: Option<Identity>,
    /// Who led it before that process named another (`MAINPID=`), and is kept like a leader.
    pub(super) former: Option<Identity>,
    /// Whom it has named before it was known to have begun.
    pub(super) named: Option<i32>,
    /// Whether the leader is our child, which we keep as a zombie until nothing is left of the run.
    pub(super) is_child: bool,
    /// What the run was given; its probes get the same.
    pub(super) environment: Arc<BTreeMap<String, String>>,
    /// Who it runs as, if not as we do.
    pub(super) user: Option<Account>,
    /// When the start began, by the clock that file times are taken from.
    pub(super) began: SystemTime,
    /// The inodes of the sockets that listened on the port of its `ready` probe before it began.
    pub(super) listened_before: Vec<u64>,
    /// The tmux sessions that are its own, and their server.
    pub(super) sessions: Option<Arc<Sessions>>,
    /// Whether the command is executed, or never will be.
    pub(super) is_past_gate: bool,
    /// Whether the leader has ended; what happens to the session is then no news.
    pub(super) is_ending: bool,
    /// Whether it is to be given up while it is being started.
    pub(super) is_cancelled: bool,
    /// Whether the command before its start runs.
    pub(super) is_before_start: bool,
    /// Whether the command after its end was begun.
    pub(super) has_begun_after_stop: Arc<AtomicBool>,
    /// Ends with the run: whoever waits for that holds the other end.
    pub(super) gone: watch::Sender<()>,
    /// Something that people should know of it.
    pub(super) note: Option<String>,
    /// Whom its stop waits for.
    pub(super) remaining: Option<Remaining>,
    /// The command that runs beside it once it is ready.
    pub(super) after_ready: Option<AbortOnDropHandle<()>>,
    /// Starts it, then waits for its leader's end.
    pub(super) watcher: Option<AbortOnDropHandle<()>>,
    /// What it tells of itself, if it does.
    pub(super) notified: Option<Notified>,
    /// Watches what it exports.
    pub(super) exporter: Option<AbortOnDropHandle<()>>,
    /// Whether it has become ready.
    pub(super) is_ready: bool,
    /// What its probe found last.
    pub(super) last_probe: Option<LastProbe>,
    /// Asks whether it is ready, then whether it is well.
    pub(super) prober: Option<AbortOnDropHandle<()>>,
    /// Looks whether its ports are its own.
    pub(super) port_watcher: Option<AbortOnDropHandle<()>>,
    /// Who else holds one of them, in a sentence.
    pub(super) intruder: Option<String>,
    /// Who was seen to belong to it since its stop began.
    pub(super) known: Known,
    /// Ends it.
    pub(super) ender: Option<AbortOnDropHandle<()>>,
}

impl LiveRun {
    pub(super) fn new(service: Arc<Service>, environment: BTreeMap<String, String>) -> Self {
        Self {
            service,
            leader: None,
            former: None,
            named: None,
            is_child: false,
            environment: Arc::new(environment),
            user: None,
            began: crate::sys::clock::file_time_now(),
            listened_before: Vec::new(),
            sessions: None,
            is_past_gate: false,
            is_ending: false,
            is_cancelled: false,
            is_before_start: false,
            has_begun_after_stop: Arc::default(),
            gone: watch::Sender::new(()),
            note: None,
            remaining: None,
            after_ready: None,
            watcher: None,
            notified: None,
            exporter: None,
            is_ready: false,
            last_probe: None,
            prober: None,
            port_watcher: None,
            intruder: None,
            known: Known::default(),
            ender: None,
        }
    }
}

pub(super) fn recorded(identity: &Identity) -> RecordedProcess {
    RecordedProcess {
        pid: identity.pid,
        start_time: identity.start_time,
        boot_id: identity.boot_id.clone(),
    }
}

pub(super) fn identity(recorded: &RecordedProcess) -> Identity {
    Identity {
        pid: recorded.pid,
        start_time: recorded.start_time,
        boot_id: recorded.boot_id.clone(),
    }
}

/// Which session names a cleanup strategy covers, beside that of the service itself.
pub(super) fn own_names(session: Option<&str>, cleanup: &Cleanup) -> record::Sessions {
    let mut own = record::Sessions {
        names: session.map(str::to_owned).into_iter().collect(),
        own: session.map(str::to_owned),
        prefixes: Vec::new(),
    };
    match cleanup {
        Cleanup::Pgid => {}
        Cleanup::TmuxPrefix {
            prefix,
            exact: true,
        } if own.names.contains(prefix) => {}
        Cleanup::TmuxPrefix {
            prefix,
            exact: true,
        } => own.names.push(prefix.clone()),
        Cleanup::TmuxPrefix {
            prefix,
            exact: false,
        } => own.prefixes.push(prefix.clone()),
    }
    own
}

impl Supervisor {
    /// The mark of a run, where one can be set.
    pub(super) fn mark(&self, run: RunId) -> Option<Mark> {
        self.nesting
            .map(|nesting| Mark::for_run(self.project_id, run, nesting))
    }

    /// From what the members of a run are found.
    pub(super) fn roots(&self, id: RunId) -> Roots {
        let run = self.runs.get(&id);
        let leaders = run.map(|run| run.leader.iter().chain(&run.former).cloned());
        Roots {
            owner: self.nesting.map(|_| Owner::Run(self.project_id, id)),
            leaders: leaders.into_iter().flatten().collect(),
            spared: self.spared(),
            ..Roots::default()
        }
    }

    /// What is never a member of anything.
    pub(super) fn spared(&self) -> Vec<i32> {
        ourselves()
            .into_iter()
            .chain(self.private_tmux.pid())
            .collect()
    }

    /// The sessions that belong to a service.
    pub(super) fn own_sessions(&self, service: &Service) -> Option<Arc<Sessions>> {
        let mut own = own_names(service.session(), &service.cleanup);
        own.names.extend(service.legacy_sessions.iter().cloned());
        if own.names.is_empty() && own.prefixes.is_empty() {
            return None;
        }
        Some(Arc::new(Sessions {
            own,
            tmux: self.tmux(),
        }))
    }

    /// The server that the project's sessions are on.
    pub(super) fn tmux(&self) -> Tmux {
        self.private_tmux
            .choose(self.manifest.as_ref().map(|manifest| &manifest.tmux))
    }

    /// The line that must be in the ledger before the run may execute anything.
    pub(super) fn started_line(
        &self,
        id: RunId,
        run: &LiveRun,
        leader: &Identity,
        pane: Option<record::Pane>,
    ) -> Line {
        Line::Started(Box::new(StartedRun {
            service: run.service.name.clone(),
            run: id,
            leader: recorded(leader),
            is_marked: self.nesting.is_some(),
            stop_signal: run.service.stop.signal.0,
            stop_timeout_ms: u64::try_from(run.service.stop.timeout.as_millis())
                .unwrap_or(u64::MAX),
            sessions: run.sessions.as_ref().map(|sessions| sessions.own.clone()),
            server: run
                .sessions
                .as_ref()
                .map(|sessions| sessions.tmux.choice().clone()),
            pane,
            began: run.began.duration_since(SystemTime::UNIX_EPOCH).ok(),
            listened_before: run.listened_before.clone(),
            notify_socket: run.notified.as_ref().map(|one| one.socket.clone()),
        }))
    }

    /// The run executes its command: from now on it is asked whether it is ready.
    pub(super) fn spawned(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.is_past_gate = true;
        }
        // It has appended this to the file by itself.
        self.ledger.take_passed(id);
        self.follow_named(id);
        match self.runs.get(&id) {
            None => {}
            Some(run) if run.service.is_task() => {}
            Some(run) if run.service.becomes_ready() => self.begin_probing(id),
            Some(_) => self.became_ready(id),
        }
    }

    /// The run told what it exports: that is watched from now on.
    pub(super) fn exported(&mut self, id: RunId, values: &BTreeMap<String, String>) {
        self.begin_exporting(id, values.clone());
    }

    /// The run is ready: from now on it is asked whether it is well.
    pub(super) fn became_ready(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.is_ready = true;
        }
        self.begin_checking(id);
        self.watch_ports(id);
    }

    /// These are still there, although the run is being stopped.
    pub(super) fn note_remaining(&mut self, id: RunId, who: Remaining) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        if run.remaining.as_ref() == Some(&who) {
            return;
        }
        run.remaining = Some(who);
        let service = run.service.name.clone();
        self.announce(service);
    }

    /// The leader ended: whether it is ready is no question any more.
    pub(super) fn exited(&mut self, id: RunId) {
        self.end_probing(id);
        if let Some(run) = self.runs.get_mut(&id) {
            run.port_watcher = None;
            run.intruder = None;
            run.is_past_gate = true;
            run.is_ending = true;
        }
    }

    /// Nothing is left of the run.
    pub(super) fn forget(&mut self, id: RunId) {
        let Some(run) = self.runs.remove(&id) else {
            return;
        };
        if let Some(last) = self.last_runs.get_mut(&run.service.name) {
            last.leader.clone_from(&run.leader);
            last.sessions.clone_from(&run.sessions);
        }
        let ours = match (&run.former, run.is_child) {
            (Some(former), _) => Some(former),
            (None, true) => run.leader.as_ref(),
            (None, false) => None,
        };
        if let Some(leader) = ours
            && let Err(error) = process::reap(leader.pid)
        {
            eprintln!("cannot reap {}: {error}", leader.pid);
        }
        if run.leader.is_some()
            && let Err(error) = self.write_ledger(Line::Gone(id))
        {
            // The next supervisor finds the identity dead: no harm but a look.
            eprintln!("{error}");
        }
    }

    /// What changed without a new run.
    pub(super) fn redeclare(&mut self, id: RunId, service: Arc<Service>) {
        if let Some(output) = self.outputs.get(&service.name) {
            output.set_bounds(service.log);
        }
        let sessions = self.own_sessions(&service);
        let mut before = None;
        if let Some(run) = self.runs.get_mut(&id) {
            before = run.service.health.clone();
            run.service = service;
            run.sessions = sessions;
        }
        self.renew_checks(id, before.as_ref());
    }

    /// The leader's process id, while the run lives.
    pub(super) fn leader_pid(&self, id: RunId) -> Option<i32> {
        let run = self.runs.get(&id)?;
        if run.is_ending {
            None
        } else {
            run.leader.as_ref().map(|leader| leader.pid)
        }
    }
}
