//! Commands beside a service's own: its hooks, and the command that stops it.
//!
//! Each runs as the service would: in its environment, directory, mask, limits and user, its output in
//! the service's log, and under the run's mark, so that what it leaves behind is a member of the run
//! and ends with it. Each has a timeout, after which it is killed: nobody waits for one for ever.
//!
//! - `before_start` comes between the look for what is missing and the start. It may be stopped like
//!   a run; if it fails, the start has failed.
//! - `after_ready` runs beside the service. A failure is told and changes nothing.
//! - `after_stop` runs once nothing of the run is left, however it ended, also when the start failed.
//!   The run is gone only after it. KILL waits for it: it has its own end.
//! - `stop.command` comes before the stop signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::Supervisor;
use super::input::Input;
use super::starting::{read_report, until_over};
use crate::id::{RunId, ServiceName};
use crate::machine::{RunEvent, StartFailure};
use crate::manifest::model;
use crate::sys::identity::{Exit, Identity};
use crate::sys::process::{self, Launch};

/// A command that is run beside a service.
#[derive(Debug, Clone)]
pub(super) struct Hook {
    /// Its key in the manifest.
    name: &'static str,
    launch: Launch,
    timeout: Duration,
}

/// What became of a `before_start`.
#[derive(Debug)]
pub(super) struct BeforeStart {
    pub(super) service: ServiceName,
    pub(super) run: RunId,
    pub(super) result: Result<(), String>,
}

/// What runs once when nothing of a run is left.
#[derive(Debug)]
pub(super) struct AfterStop {
    hook: Hook,
    has_begun: Arc<AtomicBool>,
}

/// A hook's process. Dropping it kills what is left of its group.
struct Child(Option<Identity>);

impl Hook {
    /// Runs it to its end.
    ///
    /// # Errors
    /// How it failed, in words that follow its name.
    pub(super) async fn run(&self) -> Result<(), String> {
        let gated = process::fork_gated(&self.launch).map_err(|error| error.to_string())?;
        let identity = gated.identity().clone();
        let child = Child(Some(identity.clone()));
        let report = gated.release();
        let end = async {
            let reported = read_report(report).await;
            until_over(&identity).await;
            reported
        };
        let Ok(reported) = tokio::time::timeout(self.timeout, end).await else {
            return Err(format!(
                "did not end within {} and was killed",
                humantime::format_duration(self.timeout)
            ));
        };
        reported.map_err(|error| error.to_string())?;
        match child.reap() {
            Some(Exit::Code(0)) => Ok(()),
            Some(Exit::Code(code)) => Err(format!("exited with {code}")),
            Some(Exit::Signal(signal)) => Err(format!("ended by {}", model::Signal(signal))),
            None => Err("ended, exit status unknown".into()),
        }
    }

    /// As [`Hook::run`]; a failure is told in the log of the supervisor.
    pub(super) async fn run_and_tell(&self, service: &ServiceName) -> Result<(), String> {
        let result = self.run().await;
        if let Err(error) = &result {
            eprintln!("`{}` of `{service}` {error}", self.name);
        }
        result
    }
}

impl Child {
    /// Takes note of its end, which has come.
    fn reap(mut self) -> Option<Exit> {
        let identity = self.0.take()?;
        process::reap(identity.pid).ok().flatten()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(identity) = &self.0 {
            process::kill_group_and_disown(identity.pid);
        }
    }
}

impl AfterStop {
    /// Runs it, unless that was begun before.
    pub(super) async fn run(&self, service: &ServiceName) {
        if !self.has_begun.swap(true, Ordering::Relaxed) {
            // What it says is in the log, what became of it in the supervisor's.
            let _ = self.hook.run_and_tell(service).await;
        }
    }
}

impl Supervisor {
    /// A command that is run beside the run `id`.
    fn hook(
        &self,
        id: RunId,
        name: &'static str,
        command: &model::Command,
        timeout: Duration,
    ) -> Option<Hook> {
        let run = self.runs.get(&id)?;
        let output = self.outputs.get(&run.service.name)?;
        let mut launch = Launch {
            command: self.command(id, run),
            stdout: output.stdout().to_owned(),
            stderr: output.stderr().to_owned(),
        };
        launch.command.argv = command.argv();
        if let (Some(leader), false) = (&run.leader, run.is_ending) {
            let pid = leader.pid.to_string();
            launch.command.environment.insert("BAUDBOT_PID".into(), pid);
        }
        Some(Hook {
            name,
            launch,
            timeout,
        })
    }

    /// Begins the `before_start` of a run that is not started yet; whether there is one.
    pub(super) fn begin_before_start(&mut self, id: RunId) -> bool {
        let Some(run) = self.runs.get(&id) else {
            return false;
        };
        let service = Arc::clone(&run.service);
        let Some(command) = &service.hooks.before_start else {
            return false;
        };
        let timeout = service.hooks.timeout;
        let Some(hook) = self.hook(id, "hooks.before_start", command, timeout) else {
            return false;
        };
        let outbox = self.outbox.clone();
        let watch = async move {
            let result = hook.run().await;
            outbox.put(Input::BeforeStart(BeforeStart {
                service: service.name.clone(),
                run: id,
                result,
            }));
        };
        if let Some(run) = self.runs.get_mut(&id) {
            run.is_before_start = true;
            run.watcher = Some(AbortOnDropHandle::new(tokio::spawn(watch)));
        }
        true
    }

    /// The `before_start` of a run ended: now the run itself.
    pub(super) fn before_start_ended(&mut self, ended: BeforeStart) {
        let BeforeStart {
            service,
            run: id,
            result,
        } = ended;
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        run.is_before_start = false;
        run.watcher = None;
        let begun = match result {
            _ if run.is_cancelled => Err(StartFailure {
                stage: "starting".into(),
                message: "it was stopped before it had begun".into(),
                is_blocked: false,
            }),
            Err(error) => Err(StartFailure {
                stage: "running `hooks.before_start`".into(),
                message: error,
                is_blocked: false,
            }),
            Ok(()) => self.execute(id),
        };
        if let Err(failure) = begun {
            self.give_up_start(service, id, failure);
        }
    }

    /// Whether something has to be done before the failed start of a run may be told.
    pub(super) fn owes_after_stop(&self, id: RunId) -> bool {
        self.runs.get(&id).is_some_and(|run| {
            run.service.hooks.after_stop.is_some()
                && !run.has_begun_after_stop.load(Ordering::Relaxed)
        })
    }

    /// A run does not come about: what its hooks left is ended before that is told.
    pub(super) fn give_up_start(&mut self, service: ServiceName, id: RunId, failure: StartFailure) {
        let ending = self.ending(id);
        let after_stop = self.after_stop(id);
        let drainer = self.drainer(&service);
        let outbox = self.outbox.clone();
        self.set_ender(id, async move {
            ending.force_and_tell(&service).await;
            if let Some(after_stop) = after_stop {
                after_stop.run(&service).await;
                ending.force_and_tell(&service).await;
            }
            if let Some(drainer) = drainer {
                drainer.drain().await;
            }
            outbox.run(&service, id, RunEvent::SpawnFailed(failure));
        });
    }

    /// The run may be ready by now: then its `after_ready` is run, once.
    pub(super) fn begin_after_ready(&mut self, id: RunId) {
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        let service = Arc::clone(&run.service);
        let is_due = run.after_ready.is_none()
            && self
                .machine
                .view(&service.name)
                .is_some_and(|view| view.run == Some(id) && view.state.is_well());
        let Some(command) = service.hooks.after_ready.as_ref().filter(|_| is_due) else {
            return;
        };
        let timeout = service.hooks.timeout;
        let Some(hook) = self.hook(id, "hooks.after_ready", command, timeout) else {
            return;
        };
        let outbox = self.outbox.clone();
        let beside = async move {
            if let Err(error) = hook.run_and_tell(&service.name).await {
                outbox.put(Input::Note {
                    run: id,
                    text: format!("`hooks.after_ready` {error}"),
                });
            }
        };
        if let Some(run) = self.runs.get_mut(&id) {
            run.after_ready = Some(AbortOnDropHandle::new(tokio::spawn(beside)));
        }
    }

    /// Something about a live run that people should know.
    pub(super) fn remark(&mut self, id: RunId, text: String) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        run.note = Some(text);
        let name = run.service.name.clone();
        self.announce(name);
    }

    /// What runs once nothing of the run is left.
    pub(super) fn after_stop(&self, id: RunId) -> Option<Arc<AfterStop>> {
        let run = self.runs.get(&id)?;
        let command = run.service.hooks.after_stop.as_ref()?;
        let hook = self.hook(id, "hooks.after_stop", command, run.service.hooks.timeout)?;
        Some(Arc::new(AfterStop {
            hook,
            has_begun: Arc::clone(&run.has_begun_after_stop),
        }))
    }

    /// What asks the run to stop, before the signal does. A leader that has ended is not asked.
    pub(super) fn stop_command(&self, id: RunId) -> Option<Hook> {
        let run = self.runs.get(&id).filter(|run| !run.is_ending)?;
        let command = run.service.stop.command.as_ref()?;
        self.hook(id, "stop.command", command, run.service.stop.timeout)
    }
}
