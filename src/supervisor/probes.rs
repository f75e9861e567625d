//! Asking a run whether it is ready, and then whether it is still well.
//!
//! One task at a time for each run that has a probe: attempt, verdict, pause, and again. `ready` is
//! asked until the first success, `health` from then on until the end of the run. An attempt has a
//! limit of its own, so that none can hang; the next begins only when it is over, so that none can
//! pile up ([`asking`](super::asking)). What the verdicts mean, the machine decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use super::Supervisor;
use super::asking::{Asked, Verdict, ask};
use super::ending::force;
use super::exports;
use super::input::{Input, Outbox};
use super::output::{Heard, Output};
use super::patience;
use crate::control::protocol::{LastProbe, Question};
use crate::id::{RunId, ServiceName};
use crate::machine::RunEvent;
use crate::manifest::environment::secrets;
use crate::manifest::model::{Health, Probe, Ready, Service, Source};
use crate::sys::census::{Owner, Roots};
use crate::sys::mark::Mark;

/// The longest that one attempt to find out about readiness may take.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// Between two attempts to take what a run exports that is ready otherwise.
const EXPORT_PAUSE: Duration = Duration::from_millis(100);

/// Added to the number of a run, it names what the commands of its probes carry as their mark. Half
/// of the numbers that a mark can hold, so that the two meet only after eight million runs.
const PROBES_OF_RUN: u64 = 1 << 23;

/// Whom a task asks, and where it tells of it.
struct Asker {
    service: ServiceName,
    run: RunId,
    asked: Asked,
    outbox: Outbox,
    question: Question,
    failed_in_a_row: u32,
}

/// What a run gives to be ready by, where that is not asked for.
enum Sign {
    /// A line of its output.
    Line(watch::Receiver<Heard>),
    /// `READY=1`.
    Notice(oneshot::Receiver<()>),
}

impl Supervisor {
    /// Begins to ask whether the run is ready, and for what it exports.
    pub(super) fn begin_probing(&mut self, id: RunId) {
        let Some(asker) = self.asker(id, Question::Ready) else {
            return;
        };
        let Some(service) = self.runs.get(&id).map(|run| Arc::clone(&run.service)) else {
            return;
        };
        // Lines are listened for from the very start: see `watch_log`.
        let sign = match service.ready.as_ref().map(|ready| &ready.probe) {
            Some(Probe::Notify) => {
                let notified = self.runs.get_mut(&id).and_then(|run| run.notified.as_mut());
                let ready = notified.and_then(|notified| notified.ready.take());
                ready.map(Sign::Notice)
            }
            Some(Probe::Log { .. }) => {
                let output = self.outputs.get_mut(&service.name);
                output.and_then(Output::take_watch).map(Sign::Line)
            }
            Some(
                Probe::Tcp { .. }
                | Probe::Http(_)
                | Probe::Unix { .. }
                | Probe::Exec { .. }
                | Probe::File { .. }
                | Probe::Watchdog { .. },
            )
            | None => None,
        };
        let task = tokio::spawn(asker.until_ready(service, sign));
        self.set_prober(id, Some(AbortOnDropHandle::new(task)));
    }

    /// Watches what the run exports, which is `known` so far.
    pub(super) fn begin_exporting(&mut self, id: RunId, known: BTreeMap<String, String>) {
        let Some(asker) = self.asker(id, Question::Ready) else {
            return;
        };
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        if run.exporter.is_some() || run.is_cancelled || run.is_ending {
            return;
        }
        let exports = run.service.exports.clone();
        let Asker {
            service,
            asked,
            outbox,
            ..
        } = asker;
        let named = service.clone();
        let tell = move |values| outbox.run(&service, id, RunEvent::Exported(values));
        let task = tokio::spawn(exports::watch(named, exports, asked, known, tell));
        run.exporter = Some(AbortOnDropHandle::new(task));
    }

    /// Begins to ask whether the run is still well, if it has health checks.
    pub(super) fn begin_checking(&mut self, id: RunId) {
        let run = self.runs.get(&id);
        let run = run.filter(|run| !run.is_cancelled && !run.is_ending);
        let health = run.and_then(|run| run.service.health.clone());
        let asker = self.asker(id, Question::Health);
        let task = match (asker, health) {
            (Some(asker), Some(health)) => match health.probe {
                Probe::Watchdog { within } => {
                    let (alive, signs) = mpsc::unbounded_channel();
                    let run = self.runs.get_mut(&id);
                    if let Some(notified) = run.and_then(|run| run.notified.as_mut()) {
                        notified.alive = Some(alive);
                    }
                    Some(tokio::spawn(asker.keep_listening(within, signs)))
                }
                _ => Some(tokio::spawn(asker.keep_checking(health))),
            },
            _ => None,
        };
        self.set_prober(id, task.map(AbortOnDropHandle::new));
    }

    /// The run is about to end: nothing is asked any more, and what asked ends.
    pub(super) fn end_probing(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        let is_by_command = |probe: &Probe| matches!(probe, Probe::Exec { .. });
        let has_commands = run
            .service
            .ready
            .iter()
            .any(|one| is_by_command(&one.probe))
            || run
                .service
                .health
                .iter()
                .any(|one| is_by_command(&one.probe));
        let is_command =
            |export: &crate::manifest::model::Export| matches!(export.source, Source::Command(_));
        let has_commands = has_commands || run.service.exports.values().any(is_command);
        let was_asked = run.prober.take().is_some() | run.exporter.take().is_some();
        if was_asked && has_commands {
            let roots = self.probe_roots(id);
            tokio::spawn(force(roots));
        }
    }

    /// The checks of a run that was declared anew.
    pub(super) fn renew_checks(&mut self, id: RunId, before: Option<&Health>) {
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        if run.is_ready
            && !run.is_cancelled
            && !run.is_ending
            && run.service.health.as_ref() != before
        {
            self.begin_checking(id);
        }
    }

    fn set_prober(&mut self, id: RunId, prober: Option<AbortOnDropHandle<()>>) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.prober = prober;
        }
    }

    fn asker(&self, id: RunId, question: Question) -> Option<Asker> {
        let run = self.runs.get(&id)?;
        Some(Asker {
            service: run.service.name.clone(),
            run: id,
            asked: Asked {
                began: run.began,
                environment: Arc::clone(&run.environment),
                working_dir: run.service.working_dir.clone(),
                user: run.user.clone(),
                mark: self
                    .nesting
                    .map(|nesting| Mark::for_run(self.project_id, probes_of(id), nesting)),
                roots: self.probe_roots(id),
                secrets: secrets(&run.service.env, &run.environment),
                listening: self.listening(id, question),
            },
            outbox: self.outbox.clone(),
            question,
            failed_in_a_row: 0,
        })
    }

    /// From what the commands of a run's probes are found.
    fn probe_roots(&self, id: RunId) -> Roots {
        Roots {
            owner: self
                .nesting
                .map(|_| Owner::Run(self.project_id, probes_of(id))),
            spared: self.spared(),
            ..Roots::default()
        }
    }

    /// Watches the log from before the command is executed, so that its first line counts.
    pub(super) fn watch_log(&mut self, id: RunId) {
        let Some(run) = self.runs.get(&id) else {
            return;
        };
        let Some(Ready {
            probe: Probe::Log { pattern },
            ..
        }) = &run.service.ready
        else {
            return;
        };
        let (service, pattern) = (run.service.name.clone(), pattern.clone());
        match Regex::new(&pattern) {
            Ok(pattern) => {
                if let Some(output) = self.outputs.get_mut(&service) {
                    output.watch(pattern);
                }
            }
            // The manifest's rules have compiled it before.
            Err(error) => eprintln!("`{service}`: {error}"),
        }
    }
}

fn probes_of(run: RunId) -> RunId {
    RunId(run.0 + PROBES_OF_RUN)
}

impl Asker {
    /// Asks until the run is ready and has told what it exports.
    async fn until_ready(mut self, service: Arc<Service>, sign: Option<Sign>) {
        let has_come = match (sign, &service.ready) {
            (Some(Sign::Line(heard)), _) => self.wait_for_line(heard).await,
            (Some(Sign::Notice(told)), _) => self.wait_for_notice(told).await,
            (None, Some(ready)) => {
                self.ask_until_ready(ready).await;
                true
            }
            (None, None) => true,
        };
        // It does not come when another run takes the watch over.
        if !has_come {
            return;
        }
        if !service.exports.is_empty() {
            self.take_exports(&service).await;
        }
        self.tell(RunEvent::Ready);
    }

    async fn take_exports(&self, service: &Service) {
        loop {
            match exports::take(&service.exports, &self.asked).await {
                Ok(values) => return self.tell(RunEvent::Exported(values)),
                Err(why) => self.tell(RunEvent::NotReady(why)),
            }
            tokio::time::sleep(EXPORT_PAUSE).await;
        }
    }

    async fn wait_for_line(&mut self, mut heard: watch::Receiver<Heard>) -> bool {
        loop {
            let found = match *heard.borrow_and_update() {
                Heard::Match => break,
                Heard::Nothing => {
                    "it has printed nothing yet; a program whose output is no terminal may hold it \
                     back (PYTHONUNBUFFERED=1, `stdbuf -oL`)"
                }
                Heard::Other => "no line of its output matches yet",
            };
            self.miss("log", found);
            if heard.changed().await.is_err() {
                return *heard.borrow() == Heard::Match && self.hit("log");
            }
        }
        self.hit("log")
    }

    async fn wait_for_notice(&mut self, told: oneshot::Receiver<()>) -> bool {
        self.miss("notify", "it has not told that it is ready (READY=1)");
        told.await.is_ok() && self.hit("notify")
    }

    /// What is waited for has not come yet.
    fn miss(&mut self, probe: &str, found: &str) {
        self.note(&Err(found.to_owned()).into(), probe);
        self.tell(RunEvent::NotReady(found.to_owned()));
    }

    /// What was waited for has come.
    fn hit(&mut self, probe: &str) -> bool {
        self.note(&Ok(()).into(), probe);
        true
    }

    async fn ask_until_ready(&mut self, ready: &Ready) {
        let mut last = String::new();
        loop {
            let verdict = ask(&ready.probe, &self.asked, ATTEMPT_LIMIT).await;
            self.note(&verdict, ready.probe.word());
            match verdict.outcome {
                Ok(()) => return,
                // The same again is no news.
                Err(why) if why == last => {}
                Err(why) => {
                    last.clone_from(&why);
                    self.tell(RunEvent::NotReady(why));
                }
            }
            tokio::time::sleep(ready.interval).await;
        }
    }

    /// Waits for signs of life, each within the time that the manifest gives.
    async fn keep_listening(mut self, within: Duration, mut signs: mpsc::UnboundedReceiver<bool>) {
        loop {
            let outcome = match patience::within(within, signs.recv()).await {
                Some(Some(true)) => Ok(()),
                Some(Some(false)) => Err("it says that it fails (WATCHDOG=trigger)".to_owned()),
                // Nobody listens any more: the run ends.
                Some(None) => return,
                None => Err(format!(
                    "no sign of life (WATCHDOG=1) for {}",
                    humantime::format_duration(within)
                )),
            };
            self.note(&outcome.clone().into(), "watchdog");
            self.tell(match outcome {
                Ok(()) => RunEvent::Healthy,
                Err(why) => RunEvent::Unwell(why),
            });
        }
    }

    async fn keep_checking(mut self, health: Health) {
        loop {
            tokio::time::sleep(health.interval).await;
            let verdict = ask(&health.probe, &self.asked, health.timeout).await;
            self.note(&verdict, health.probe.word());
            self.tell(match verdict.outcome {
                Ok(()) => RunEvent::Healthy,
                Err(why) => RunEvent::Unwell(why),
            });
        }
    }

    /// Keeps what came of an attempt for whoever asks for the status.
    fn note(&mut self, verdict: &Verdict, probe: &str) {
        self.failed_in_a_row = match verdict.outcome {
            Ok(()) => 0,
            Err(_) => self.failed_in_a_row.saturating_add(1),
        };
        let last = LastProbe {
            question: self.question,
            probe: probe.to_owned(),
            at: jiff::Timestamp::now(),
            succeeded: verdict.outcome.is_ok(),
            found: verdict.outcome.as_ref().err().cloned(),
            output: verdict.said.clone(),
            failed_in_a_row: self.failed_in_a_row,
        };
        self.outbox.put(Input::Probed(self.run, last));
    }

    fn tell(&self, what: RunEvent) {
        self.outbox.run(&self.service, self.run, what);
    }
}
