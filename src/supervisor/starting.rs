//! How a run comes about: known first, then executed.

use std::collections::btree_map::Entry;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio_util::task::AbortOnDropHandle;

use super::Supervisor;
use super::input::Outbox;
use super::listening;
use super::output::{Drainer, Output};
use super::preflight::Ready;
use super::proofs::LastRun;
use super::runs::LiveRun;
use crate::id::{RunId, ServiceName};
use crate::machine::{Ended, RunEvent, StartFailure};
use crate::manifest::model::{Exit, Kind, LIMITS, Service, Signal};
use crate::record::{Ledger, Line};
use crate::store::living;
use crate::sys::guardian;
use crate::sys::identity::{self, Identity, PidFd};
use crate::sys::limits::Limit;
use crate::sys::process::{self, Command, Launch, Passage};
use crate::sys::start_error::{StartError, parse_report};

impl From<&StartError> for StartFailure {
    fn from(error: &StartError) -> Self {
        Self {
            stage: error.stage.to_string(),
            message: error.message(),
            is_blocked: error.is_blocked(),
        }
    }
}

/// A failure of a step that is not one of the child's.
pub(super) fn failure(
    stage: &str,
    error: &dyn std::error::Error,
    is_blocked: bool,
) -> StartFailure {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    StartFailure {
        stage: stage.to_owned(),
        message,
        is_blocked,
    }
}

/// As the machine speaks of how a process ended.
pub(super) fn ended(exit: Option<identity::Exit>) -> Ended {
    match exit {
        Some(identity::Exit::Code(code)) => Ended::Exit(Exit::Code(code)),
        Some(identity::Exit::Signal(signal)) => Ended::Exit(Exit::Signal(Signal(signal))),
        None => Ended::Unknown,
    }
}

impl Supervisor {
    /// Begins a run. What fails at once is the answer; the rest comes as events.
    pub(super) fn start(&mut self, id: RunId, service: &Arc<Service>) -> Result<(), StartFailure> {
        self.ports_held.remove(&service.name);
        self.check_descriptors()?;
        let preflight = self.preflight(service);
        // A session of a tmux service's own is ended, with those of its old names, when it is made.
        let is_tmux = matches!(service.kind, Kind::Tmux { .. });
        let old_sessions = !is_tmux && !service.legacy_sessions.is_empty();
        if service.ports.is_empty() && !old_sessions {
            let run = self.new_run(service, preflight?);
            return self.prepare(id, run);
        }
        // Who holds a port, or an old name, takes time to find out, and is told together with all
        // else that is missing.
        let (ready, missing) = match preflight {
            Ok(ready) => (ready, None),
            Err(failure) => (Ready::default(), Some(failure.message)),
        };
        let mut run = self.new_run(service, ready);
        run.watcher = Some(self.begin_check(id, &run, missing));
        self.runs.insert(id, run);
        Ok(())
    }

    fn new_run(&self, service: &Arc<Service>, ready: Ready) -> LiveRun {
        let Ready { environment, user } = ready;
        let mut run = LiveRun::new(Arc::clone(service), environment);
        run.user = user;
        run.sessions = self.own_sessions(service);
        run
    }

    /// From now on it is known what this run may leave behind.
    pub(super) fn remember(&mut self, id: RunId, run: &LiveRun) {
        let last = LastRun {
            run: id,
            leader: run.leader.clone(),
            sessions: run.sessions.clone(),
            ports: run.service.ports.clone(),
        };
        self.last_runs.insert(run.service.name.clone(), last);
    }

    /// Begins a run that nothing is in the way of, with the command before it where there is one.
    pub(super) fn prepare(&mut self, id: RunId, mut run: LiveRun) -> Result<(), StartFailure> {
        run.listened_before = listening::before(&run.service);
        self.open_notify_socket(id, &mut run)?;
        self.open_output(&run.service)?.begin_run(id);
        self.remember(id, &run);
        self.runs.insert(id, run);
        if self.begin_before_start(id) {
            return Ok(());
        }
        let begun = self.execute(id);
        if begun.is_err() {
            self.runs.remove(&id);
        }
        begun
    }

    /// Begins the run itself.
    pub(super) fn execute(&mut self, id: RunId) -> Result<(), StartFailure> {
        let Some(run) = self.runs.get(&id) else {
            return Ok(());
        };
        let service = Arc::clone(&run.service);
        match &service.kind {
            Kind::Process | Kind::Task => self.start_process(id, &service)?,
            Kind::Tmux { session } => self.start_session(id, &service, session.clone()),
        }
        // Nothing has been read of it yet: this task has not let go of the thread.
        self.watch_log(id);
        Ok(())
    }

    /// The pumps of a service's output; they go on from one run to the next. For a run that begins, FIFOs
    /// that were removed are made anew.
    pub(super) fn open_output(&mut self, service: &Service) -> Result<&Output, StartFailure> {
        let known = self.outputs.get(&service.name);
        if known.is_some_and(|known| !known.is_in_place()) {
            if let Some(lost) = self.outputs.remove(&service.name) {
                lost.drain_now();
            }
            self.project
                .create_directories()
                .map_err(|error| failure("opening the log", &error, false))?;
        }
        self.output_of(service, None)
    }

    /// As [`Supervisor::open_output`], for a run whose leader runs already, as the FIFOs are.
    pub(super) fn output_of(
        &mut self,
        service: &Service,
        leader: Option<i32>,
    ) -> Result<&Output, StartFailure> {
        match self.outputs.entry(service.name.clone()) {
            Entry::Occupied(known) => {
                known.get().set_bounds(service.log);
                Ok(known.into_mut())
            }
            Entry::Vacant(vacant) => {
                let opened = Output::open_for(
                    leader,
                    &self.project.fifo_dir(),
                    service.name.as_str(),
                    self.project.log_file(&service.name),
                    service.log,
                );
                match opened {
                    Ok(output) => {
                        guardian::tell_of_fifos();
                        Ok(vacant.insert(output))
                    }
                    Err(error) => Err(failure("opening the log", &error, false)),
                }
            }
        }
    }

    /// Goes on with the output of what an earlier supervisor started, be it over by now.
    pub(super) fn take_up_outputs(&mut self, found: &Ledger) {
        let Some(manifest) = &found.manifest else {
            return;
        };
        for run in found.open.values() {
            if let Some(service) = manifest.services.get(&run.service)
                && let leader = living(&run.leader).map(|leader| leader.pid)
                && let Err(failure) = self.output_of(service, leader)
            {
                eprintln!("`{}`: {}: {}", run.service, failure.stage, failure.message);
            }
        }
    }

    /// What a run executes, whatever it runs in.
    pub(super) fn command(&self, id: RunId, run: &LiveRun) -> Command {
        Command {
            argv: run.service.command.argv(),
            environment: run.environment.as_ref().clone(),
            working_dir: run.service.working_dir.clone(),
            umask: run.service.umask,
            mark: self.mark(id),
            open_files_limit: self.open_files_limit,
            limits: limits(&run.service),
            user: run.user.clone(),
            passage: Some(Passage {
                file: self.ledger.path().to_owned(),
                text: Line::Passed(id).text(),
            }),
        }
    }

    fn start_process(&mut self, id: RunId, service: &Service) -> Result<(), StartFailure> {
        let output = self.open_output(service)?;
        let drainer = output.drainer();
        let (stdout, stderr) = (output.stdout().to_owned(), output.stderr().to_owned());
        let Some(run) = self.runs.get(&id) else {
            return Ok(());
        };
        let launch = Launch {
            command: self.command(id, run),
            stdout,
            stderr,
        };
        let gated = process::fork_gated(&launch).map_err(|error| StartFailure::from(&error))?;
        let leader = gated.identity().clone();
        let line = self.started_line(id, run, &leader, None);
        if let Err(error) = self.write_ledger(line) {
            let failure = failure("writing the ledger", &error, false);
            if let Err(error) = gated.abort() {
                eprintln!("cannot give up a start: {error}");
            }
            return Err(failure);
        }
        let report = gated.release();
        let watch = watch_child(
            service.name.clone(),
            id,
            leader.clone(),
            report,
            drainer,
            self.outbox.clone(),
        );
        if let Some(run) = self.runs.get_mut(&id) {
            run.leader = Some(leader);
            run.is_child = true;
            run.watcher = Some(AbortOnDropHandle::new(tokio::spawn(watch)));
        }
        Ok(())
    }

    /// Brings what a service has written so far into its log.
    pub(super) fn drainer(&self, service: &ServiceName) -> Option<Drainer> {
        self.outputs.get(service).map(Output::drainer)
    }
}

/// The limits that a service's processes get.
pub(super) fn limits(service: &Service) -> Vec<Limit> {
    LIMITS
        .iter()
        .filter_map(|(name, resource, _)| {
            let limit = service.limits.get(*name)?;
            Some(Limit {
                name: (*name).to_owned(),
                resource: *resource,
                soft: limit.soft,
                hard: limit.hard,
            })
        })
        .collect()
}

async fn watch_child(
    service: ServiceName,
    run: RunId,
    leader: Identity,
    report: OwnedFd,
    drainer: Drainer,
    outbox: Outbox,
) {
    let reported = read_report(report).await;
    if reported.is_ok() {
        outbox.run(&service, run, RunEvent::Spawned);
    }
    until_over(&leader).await;
    drainer.drain().await;
    let what = match reported {
        Err(error) => RunEvent::SpawnFailed(StartFailure::from(&error)),
        Ok(()) => RunEvent::Exited(ended(process::observe_exit(leader.pid).ok().flatten())),
    };
    outbox.run(&service, run, what);
}

pub(super) async fn read_report(report: OwnedFd) -> Result<(), StartError> {
    let mut text = Vec::new();
    // An unreadable report is one without a word: the exit status will tell.
    if let Ok(mut receiver) = pipe::Receiver::from_owned_fd(report) {
        let _ = receiver.read_to_end(&mut text).await;
    }
    parse_report(&text)
}

/// Waits until a process is over. A zombie is.
pub(super) async fn until_over(process: &Identity) {
    let mut is_told = false;
    loop {
        match PidFd::open_verified(process) {
            Ok(Some(handle)) => return until_handle_over(handle).await,
            // Gone, or its number is another's by now.
            Ok(None) => return,
            // That it cannot be watched does not mean that it has ended.
            Err(error) => {
                if !is_told {
                    eprintln!("cannot watch process {} yet: {error}", process.pid);
                    is_told = true;
                }
            }
        }
        tokio::time::sleep(WATCHED_AGAIN_AFTER).await;
    }
}

/// How long a process that cannot be watched, for want of descriptors say, is let alone.
const WATCHED_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_millis(500);

/// Waits for the end of a process that a handle is on.
pub(super) async fn until_handle_over(handle: PidFd) {
    if let Err(error) = crate::sys::over::until_over(handle).await {
        eprintln!("cannot watch a process: {error}");
    }
}
