//! Services in tmux sessions.
//!
//! A session's command does not start when tmux makes the pane: the pane runs a shim of ours that
//! waits at a gate ([`sys::pane`](crate::sys::pane)). Meanwhile the ledger is told of the pane's
//! process, and the pane's output is tied to the log, so that neither a death of the supervisor nor
//! the first line is lost. Then the shim becomes the command.
//!
//! Which sessions are a service's is decided here, by name, on the declared server; what is done to
//! them goes by tmux's ids. The processes in the panes are ended first, like those of any run; the
//! session goes when nothing is left in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::Supervisor;
use super::input::{Input, Outbox};
use super::output::Drainer;
use super::runs::recorded;
use super::starting::{ended, failure, until_over};
use crate::id::{RunId, ServiceName};
use crate::machine::{Ended, RunEvent, StartFailure};
use crate::manifest::model::{Service, TmuxServer};
use crate::record;
use crate::store::Project;
use crate::sys::guardian::own_program;
use crate::sys::identity::{Exit, Identity, PidFd};
use crate::sys::mark::{Mark, ProjectId, read_mark};
use crate::sys::pane::Gate;
use crate::sys::process::Command;
use crate::sys::tmux::{Server, Session, SessionInfo, Target, TmuxError};

/// Columns and rows of a session that nobody is attached to.
const SIZE: (u16, u16) = (200, 50);

/// How long a pane may take from its gate to its command.
const PANE_LIMIT: Duration = Duration::from_secs(30);

/// How long the server may take to end.
const SERVER_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// The variables that tmux and what it shows need; nothing else of our environment goes there.
const TMUX_ENVIRONMENT: [&str; 8] = [
    "HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "LC_ALL", "LC_CTYPE",
];

/// The project's own server, which may not run yet.
#[derive(Debug, Clone)]
pub(super) struct PrivateServer(Arc<Private>);

#[derive(Debug)]
struct Private {
    socket: PathBuf,
    project: ProjectId,
    mark: Option<Mark>,
    open_files_limit: Option<(u64, u64)>,
    /// Its process id once it runs; 0 before.
    pid: AtomicI32,
    /// Held while it is started, so that it is started once.
    starting: tokio::sync::Mutex<()>,
}

/// A tmux server as a run knows it.
#[derive(Debug, Clone)]
pub(super) struct Tmux {
    choice: TmuxServer,
    private: PrivateServer,
}

/// The sessions of one service.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    pub(super) own: record::Sessions,
    pub(super) tmux: Tmux,
}

/// A session that was made for a run; its pane waits.
#[derive(Debug)]
pub(super) struct MadeSession {
    run: RunId,
    session: Session,
    leader: Identity,
    gate: Gate,
}

impl PrivateServer {
    pub(super) fn new(
        project: &Project,
        project_id: ProjectId,
        mark: Option<Mark>,
        open_files_limit: Option<(u64, u64)>,
    ) -> Self {
        Self(Arc::new(Private {
            socket: project.tmux_socket(),
            project: project_id,
            mark,
            open_files_limit,
            pid: AtomicI32::new(0),
            starting: tokio::sync::Mutex::new(()),
        }))
    }

    /// Its process id, while it runs as far as we know.
    pub(super) fn pid(&self) -> Option<i32> {
        match self.0.pid.load(Ordering::Relaxed) {
            0 => None,
            pid => Some(pid),
        }
    }

    /// Learns of a server that an earlier supervisor started.
    pub(super) async fn find(&self) {
        if let Ok(Some(pid)) = self.choose(None).server().server_pid().await {
            self.0.pid.store(pid, Ordering::Relaxed);
        }
    }

    /// Ends the server, and with it what sessions are left.
    pub(super) async fn end(&self) {
        let Some(pid) = self.pid() else { return };
        let identity = Identity::of(pid).ok().flatten();
        if let Err(error) = self.choose(None).server().kill_server().await {
            eprintln!("cannot end the tmux server: {error}");
            return;
        }
        if let Some(identity) = identity
            && tokio::time::timeout(SERVER_ENDS_WITHIN, until_over(&identity))
                .await
                .is_err()
        {
            eprintln!("the tmux server {pid} does not end");
        }
        self.0.pid.store(0, Ordering::Relaxed);
    }

    /// The server that a manifest chooses; without a manifest, this one.
    pub(super) fn choose(&self, choice: Option<&TmuxServer>) -> Tmux {
        Tmux {
            choice: choice.cloned().unwrap_or(TmuxServer::Private),
            private: self.clone(),
        }
    }
}

fn find_tmux() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let path = std::env::var("PATH").ok();
            crate::sys::process::resolve_executable("tmux", path.as_deref(), Path::new("/"))
                // Looked for once more, and missed by name, when it is executed.
                .unwrap_or_else(|_| PathBuf::from("tmux"))
        })
        .clone()
}

impl Tmux {
    pub(super) fn is_private(&self) -> bool {
        self.choice == TmuxServer::Private
    }

    pub(super) fn choice(&self) -> &TmuxServer {
        &self.choice
    }

    /// Which server it is, as a name that no other has.
    pub(super) fn name(&self) -> String {
        match &self.choice {
            TmuxServer::Private => "private".into(),
            TmuxServer::Default => "default".into(),
            TmuxServer::DefaultIn(directory) => format!("default in {}", directory.display()),
            TmuxServer::Socket(path) => path.display().to_string(),
        }
    }

    /// What keeps a service from its session: one of that name which this project did not make.
    fn foreign_session(&self, name: &str) -> String {
        let tmux = match &self.choice {
            TmuxServer::Private | TmuxServer::Default => "tmux".to_owned(),
            TmuxServer::DefaultIn(directory) => {
                format!("TMUX_TMPDIR='{}' tmux", directory.display())
            }
            TmuxServer::Socket(path) => format!("tmux -S '{}'", path.display()),
        };
        format!(
            "the session `{name}` on the shared tmux server was not made by this project; \
             rename it (`{tmux} rename-session -t '={name}' '{name}-2'`) or end it \
             (`{tmux} kill-session -t '={name}'`), or give the service another `session`"
        )
    }

    /// The server, to talk to.
    pub(super) fn server(&self) -> Server {
        let target = match &self.choice {
            TmuxServer::Private => Target::Private {
                socket: self.private.0.socket.clone(),
                mark: self.private.0.mark,
                open_files_limit: self.private.0.open_files_limit,
            },
            TmuxServer::Default | TmuxServer::DefaultIn(_) => Target::Default,
            TmuxServer::Socket(path) => Target::Socket(path.clone()),
        };
        let directory = match &self.choice {
            TmuxServer::DefaultIn(directory) => Some(directory),
            TmuxServer::Private | TmuxServer::Default | TmuxServer::Socket(_) => None,
        };
        let directory = directory.map(|directory| directory.to_string_lossy().into_owned());
        let environment: BTreeMap<String, String> = TMUX_ENVIRONMENT
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .chain(directory.map(|directory| ("TMUX_TMPDIR".to_owned(), directory)))
            .collect();
        Server {
            target,
            executable: find_tmux(),
            environment,
        }
    }

    /// Sees to it that the project's own server runs.
    async fn ensure(&self, outbox: &Outbox) -> Result<(), TmuxError> {
        if !self.is_private() {
            return Ok(());
        }
        let private = &self.private.0;
        let _starting = private.starting.lock().await;
        if let Some(parent) = private.socket.parent() {
            crate::sys::directory::ensure_private(parent).map_err(|source| TmuxError::Execute {
                executable: parent.to_owned(),
                source,
            })?;
        }
        let pid = self.server().start().await?;
        if private.pid.swap(pid, Ordering::Relaxed) != pid
            && let Ok(Some(identity)) = Identity::of(pid)
        {
            outbox.put(Input::TmuxServer(recorded(&identity)));
        }
        Ok(())
    }

    /// The process of the server, if it runs.
    async fn server_process(&self) -> Option<Identity> {
        let pid = match (self.is_private(), self.private.pid()) {
            (true, Some(pid)) => Some(pid),
            _ => self.server().server_pid().await.ok().flatten(),
        };
        Identity::of(pid?).ok().flatten()
    }

    /// The server that was this process is there no more: its number may be anybody's.
    fn forget_server(&self, server: &Identity) {
        if self.is_private() {
            let pid = &self.private.0.pid;
            // Where it differs, a new one runs already.
            let _ = pid.compare_exchange(server.pid, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The process of a server that is not ours alone, if it runs.
    pub(super) async fn shared_server_pid(&self) -> Option<i32> {
        if self.is_private() {
            None
        } else {
            self.server().server_pid().await.ok().flatten()
        }
    }
}

impl Sessions {
    /// The sessions that are there and belong to the service.
    pub(super) async fn present(&self) -> Result<Vec<SessionInfo>, TmuxError> {
        Ok(self.told_apart().await?.0)
    }

    /// The session that has the name of the service's own, on a server that others use too, and was
    /// not made by this project.
    async fn foreign(&self) -> Result<Option<SessionInfo>, TmuxError> {
        Ok(self.told_apart().await?.1)
    }

    async fn told_apart(&self) -> Result<(Vec<SessionInfo>, Option<SessionInfo>), TmuxError> {
        let server = self.tmux.server();
        let (mut ours, mut foreign) = (Vec::new(), None);
        for session in server.sessions().await? {
            if !self.own.contains(&session.name) {
                continue;
            }
            let is_claimed = !self.tmux.is_private()
                && self.own.own.as_ref() == Some(&session.name)
                && !self.is_made_by_us(&server, &session).await?;
            if is_claimed {
                foreign = Some(session);
            } else {
                ours.push(session);
            }
        }
        Ok((ours, foreign))
    }

    /// Whether this project made a session: the session says so, or a process in it carries the
    /// project's mark (an earlier version of this program told sessions nothing).
    async fn is_made_by_us(
        &self,
        server: &Server,
        session: &SessionInfo,
    ) -> Result<bool, TmuxError> {
        let project = self.tmux.private.0.project;
        if session.owner.as_deref() == Some(project.word().as_str()) {
            return Ok(true);
        }
        let panes = server.panes(&session.id).await?;
        Ok(panes.iter().any(|pane| {
            let mark = match pane.is_dead {
                true => None,
                false => read_mark(pane.pid).ok().flatten(),
            };
            mark.is_some_and(|mark| mark.is_of(project))
        }))
    }

    /// The processes in the panes of these sessions.
    pub(super) async fn pane_processes(&self) -> Result<Vec<Identity>, TmuxError> {
        let server = self.tmux.server();
        let mut leaders = Vec::new();
        for session in self.present().await? {
            for pane in server.panes(&session.id).await? {
                // The pid of a dead pane may be anybody's.
                if !pane.is_dead
                    && let Ok(Some(identity)) = Identity::of(pane.pid)
                {
                    leaders.push(identity);
                }
            }
        }
        Ok(leaders)
    }

    /// How the process of a pane ended, as tmux saw it: the pane stays until we have asked.
    pub(super) async fn exit_of(&self, service: &ServiceName, pane_id: &str) -> Option<Exit> {
        match self.tmux.server().exit_of_pane(pane_id, PANE_LIMIT).await {
            Ok(exit) => exit,
            Err(error) => {
                eprintln!("cannot tell how `{service}` ended: {error}");
                None
            }
        }
    }

    /// Waits for the end of a pane's process or of its server, whichever is first, and tells how it
    /// ended. Without its server a pane has no terminal and nobody can attach to it, even if its
    /// process ignores the HUP and lives.
    pub(super) async fn until_pane_over(
        &self,
        service: &ServiceName,
        leader: &Identity,
        pane_id: &str,
    ) -> Ended {
        let server = self.tmux.server_process().await;
        let is_lost = match &server {
            Some(server) => {
                tokio::select! {
                    () = until_over(leader) => {}
                    () = until_over(server) => {}
                }
                is_over(server)
            }
            // It was there when the pane was made. What cannot be asked is not taken to be lost.
            None if matches!(self.tmux.server().server_pid().await, Ok(None)) => true,
            None => {
                until_over(leader).await;
                false
            }
        };
        match self.exit_of(service, pane_id).await {
            None if is_lost || server.as_ref().is_some_and(is_over) => {
                if let Some(server) = &server {
                    self.tmux.forget_server(server);
                }
                Ended::ServerLost
            }
            None if self.is_pane_gone(pane_id).await => Ended::SessionLost,
            exit => ended(exit),
        }
    }

    /// Whether the server lives and has no such pane.
    async fn is_pane_gone(&self, pane_id: &str) -> bool {
        let panes = self.tmux.server().panes(pane_id).await;
        panes.is_ok_and(|panes| panes.iter().all(|pane| pane.id != pane_id))
    }

    /// Ends the sessions, whose processes are gone by now; returns the names of those that stay.
    pub(super) async fn end(&self) -> Result<Vec<String>, TmuxError> {
        let server = self.tmux.server();
        for session in self.present().await? {
            server.kill_session(&session.id).await?;
        }
        Ok(self
            .present()
            .await?
            .into_iter()
            .map(|session| session.name)
            .collect())
    }
}

impl Supervisor {
    pub(super) fn start_session(&mut self, id: RunId, service: &Service, name: String) {
        let Some(output) = self.outputs.get(&service.name) else {
            return;
        };
        let maker = Maker {
            run: id,
            service: service.name.clone(),
            name,
            working_dir: service.working_dir.clone(),
            output: output.stdout().to_owned(),
            gate: self.project.gate_dir().join(id.to_string()),
            sessions: self.runs.get(&id).and_then(|run| run.sessions.clone()),
            outbox: self.outbox.clone(),
        };
        if let Some(run) = self.runs.get_mut(&id) {
            run.watcher = Some(AbortOnDropHandle::new(tokio::spawn(maker.run())));
        }
    }

    /// The pane of a run waits at its gate: its process is written down, then the gate is opened.
    pub(super) fn session_made(&mut self, made: MadeSession) {
        let MadeSession {
            run: id,
            session,
            leader,
            gate,
        } = made;
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        let line = self.started_line(
            id,
            run,
            &leader,
            Some(record::Pane {
                session_id: session.id.clone(),
                pane_id: session.pane_id.clone(),
            }),
        );
        let command = self.command(id, run);
        let (service, sessions) = (run.service.name.clone(), run.sessions.clone());
        let written = self.write_ledger(line);
        let (Some(sessions), Some(drainer)) = (sessions, self.drainer(&service)) else {
            return;
        };
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        let give_up = match written {
            Err(error) => Some(failure("writing the ledger", &error, false)),
            Ok(()) if run.is_cancelled => Some(StartFailure {
                stage: "starting".into(),
                message: "it was stopped before it had begun".into(),
                is_blocked: false,
            }),
            Ok(()) => {
                run.leader = Some(leader.clone());
                None
            }
        };
        let pane = Pane {
            run: id,
            service,
            session,
            leader,
            sessions,
            drainer,
            outbox: self.outbox.clone(),
        };
        let watch = async move {
            match give_up {
                Some(failure) => pane.give_up(gate, failure).await,
                None => pane.live(gate, command).await,
            }
        };
        run.watcher = Some(AbortOnDropHandle::new(tokio::spawn(watch)));
    }
}

/// Makes the session of a run.
struct Maker {
    run: RunId,
    service: ServiceName,
    name: String,
    working_dir: PathBuf,
    output: PathBuf,
    gate: PathBuf,
    sessions: Option<Arc<Sessions>>,
    outbox: Outbox,
}

impl Maker {
    async fn run(self) {
        match self.make().await {
            Ok(made) => self.outbox.put(Input::Session(Box::new(made))),
            Err(failure) => {
                self.outbox
                    .run(&self.service, self.run, RunEvent::SpawnFailed(failure));
            }
        }
    }

    async fn make(&self) -> Result<MadeSession, StartFailure> {
        let tmux_failure = |error: TmuxError| {
            // Without tmux there is no point in trying again.
            let is_blocked = matches!(error, TmuxError::Execute { .. });
            failure("making the tmux session", &error, is_blocked)
        };
        let Some(sessions) = &self.sessions else {
            return Err(StartFailure {
                stage: "making the tmux session".into(),
                message: "the service has no session".into(),
                is_blocked: true,
            });
        };
        sessions
            .tmux
            .ensure(&self.outbox)
            .await
            .map_err(tmux_failure)?;
        if let Some(foreign) = sessions.foreign().await.map_err(tmux_failure)? {
            return Err(StartFailure {
                stage: "making the tmux session".into(),
                message: sessions.tmux.foreign_session(&foreign.name),
                is_blocked: true,
            });
        }
        // What is left of a life that nobody remembers, and sessions with old names of the service,
        // are ended like any run, and not run into.
        super::ending::end_sessions(sessions)
            .await
            .map_err(|message| StartFailure {
                stage: "ending an earlier session".into(),
                message,
                is_blocked: false,
            })?;
        let pane_failure =
            |error: std::io::Error| failure("preparing the tmux pane", &error, false);
        let gate = Gate::create(&self.gate).map_err(pane_failure)?;
        let server = sessions.tmux.server();
        let session = server
            .new_session(
                &self.name,
                &self.working_dir,
                &gate.argv(&own_program()),
                SIZE,
                &sessions.tmux.private.0.project.word(),
            )
            .await
            .map_err(tmux_failure)?;
        let leader = match Identity::of(session.pane_pid) {
            Ok(Some(leader)) => leader,
            Ok(None) => return Err(pane_failure(std::io::Error::other("its process is gone"))),
            Err(error) => return Err(pane_failure(error)),
        };
        server
            .pipe_pane(&session.pane_id, &self.output)
            .await
            .map_err(tmux_failure)?;
        Ok(MadeSession {
            run: self.run,
            session,
            leader,
            gate,
        })
    }
}

/// The pane of a run.
struct Pane {
    run: RunId,
    service: ServiceName,
    session: Session,
    leader: Identity,
    sessions: Arc<Sessions>,
    drainer: Drainer,
    outbox: Outbox,
}

/// Whether this process has ended, reaped or not.
fn is_over(process: &Identity) -> bool {
    match PidFd::open_verified(process) {
        Ok(Some(handle)) => handle.is_over().unwrap_or(false),
        Ok(None) => true,
        Err(_) => false,
    }
}

impl Pane {
    /// Lets the pane become the command and waits for its end.
    async fn live(self, gate: Gate, command: Command) {
        if let Err(error) = gate.open(self.session.pane_pid, &command, PANE_LIMIT).await {
            self.fail(StartFailure::from(&error)).await;
            return;
        }
        self.outbox.run(&self.service, self.run, RunEvent::Spawned);
        let ended = self
            .sessions
            .until_pane_over(&self.service, &self.leader, &self.session.pane_id)
            .await;
        self.drainer.drain().await;
        self.outbox
            .run(&self.service, self.run, RunEvent::Exited(ended));
    }

    async fn give_up(self, gate: Gate, failure: StartFailure) {
        // The shim finds nobody at the gate and exits.
        drop(gate);
        self.fail(failure).await;
    }

    async fn fail(self, failure: StartFailure) {
        if let Err(error) = super::ending::end_sessions(&self.sessions).await {
            eprintln!("after a failed start of `{}`: {error}", self.service);
        }
        self.drainer.drain().await;
        self.outbox
            .run(&self.service, self.run, RunEvent::SpawnFailed(failure));
    }
}
