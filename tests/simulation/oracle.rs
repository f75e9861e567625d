//! What must be true of any life, whatever happens in it: the properties P1 to P10.
//!
//! The oracle sees what the machine sees (orders, events, moments) and what it does (effects,
//! views), keeps its own books, and objects. It is written from the rules, not from the machine:
//! where it must know what the machine means (is this stop an order's doing?), it infers it from
//! what was told before.

mod judge;
mod relations;

use std::collections::BTreeMap;
use std::time::Duration;

use baudbot::id::{RunId, ServiceName};
use baudbot::machine::{
    Ended, Event, Found, Goal, LAST_CHANCE, Project, RunEvent, StateWord, View,
};
use baudbot::manifest::model::{Exit, HealthAction, Manifest, Policy, Service};
use baudbot::plan::{Action, Plan};
use baudbot::time::Moment;

pub(crate) type Verdict = Result<(), String>;

/// How long after KILL a run counts as stuck.
const KILL_BOUND: Duration = Duration::from_secs(10);

/// How many runs are spawned at a time.
const SPAWNS_AT_A_TIME: usize = 16;

macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*));
        }
    };
}
pub(crate) use ensure;

#[derive(Debug, Clone, Default)]
pub(crate) struct Oracle {
    books: BTreeMap<ServiceName, Book>,
    views: BTreeMap<ServiceName, View>,
    /// The state that each service came into last, by what was told for the record.
    noted: BTreeMap<ServiceName, StateWord>,
    is_hurried: bool,
}

/// What is known of one service.
#[derive(Debug, Clone)]
struct Book {
    declaration: Service,
    goal: Goal,
    run: Option<Run>,
    /// What became of the last run, if no order has come since.
    outcome: Outcome,
    failures: u32,
    ends: u32,
    /// The run that it got last.
    latest: Option<RunId>,
    /// Whether the manifest that was applied last declares it.
    is_declared: bool,
}

#[derive(Debug, Clone)]
struct Run {
    id: RunId,
    /// The declaration that it was made from, with what it took over.
    service: Service,
    /// It has to be replaced.
    is_old: bool,
    /// Since when it has to become ready; `None`: not answered yet.
    starts: Option<Moment>,
    ready: Option<Moment>,
    /// When it has lived long enough, once it is ready.
    settles: Option<Moment>,
    /// How many failures in a row there were when it was spawned.
    failures_before: u32,
    ended: Option<Ended>,
    /// Its end came before it was ready, or had lived long enough.
    is_early: bool,
    first_signal: Option<Signalled>,
    killed: Option<Moment>,
    has_survived: bool,
    /// How many health checks in a row have failed.
    failed_checks: u32,
    /// Its health checks failed too often, and it is to be restarted for it.
    is_given_up: bool,
    /// The latest runs of what it follows, when it was spawned or began to follow.
    followed: BTreeMap<ServiceName, Option<RunId>>,
    /// It was being stopped already when this supervisor came.
    is_told_again: bool,
    /// It was being stopped because it had not become ready in time.
    was_timeout: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signalled {
    at: Moment,
    grace: Duration,
    is_timeout: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    /// Nothing stands in the way of a run.
    Fresh,
    Completed,
    EndedWell,
    Failed,
    Blocked,
    /// Another run comes after a delay, of which the bounds are known.
    Retry {
        earliest: Moment,
        latest: Moment,
    },
}

/// A run must live for `settle`, twice as long for each failure in a row before it, up to four.
fn settling_time(service: &Service, failures: u32) -> Duration {
    service.settling_time() * 2_u32.pow(failures.min(4))
}

impl Run {
    fn is_untouched(&self) -> bool {
        self.ended.is_none() && self.first_signal.is_none()
    }

    fn is_unhealthy(&self) -> bool {
        let health = self.service.health.as_ref();
        self.ready.is_some() && health.is_some_and(|health| self.failed_checks >= health.failures)
    }

    fn becomes_ready(&mut self, now: Moment) {
        if self.ready.is_none() {
            self.ready = Some(now);
            self.settles = Some(now + settling_time(&self.service, self.failures_before));
        }
    }

    /// Notes an end by itself. Tells whether the run was stable.
    fn ends(&mut self, ended: Ended, stable_after: Duration, now: Moment) -> bool {
        self.ended = Some(ended);
        self.is_early = self.settles.is_none_or(|at| now < at) && !self.service.is_task();
        !self.is_early && self.ready.is_some_and(|at| now.since(at) >= stable_after)
    }

    fn must_be_ready_by(&self) -> Option<Moment> {
        let timeout = self.service.ready.as_ref()?.timeout?;
        if self.service.is_task() || self.ready.is_some() {
            return None;
        }
        self.starts.map(|starts| starts + timeout)
    }
}

impl Book {
    fn is_going(&self) -> bool {
        self.run
            .as_ref()
            .is_some_and(|run| self.goal == Goal::Down || run.is_old)
    }

    fn afresh(&mut self) {
        self.goal = Goal::Up;
        self.outcome = Outcome::Fresh;
        self.failures = 0;
        self.ends = 0;
    }

    fn take_over(&mut self, new: &Service, now: Moment) {
        let old = &self.declaration;
        let run = self.run.as_ref();
        let is_ready = run.is_some_and(|run| run.is_untouched() && run.ready.is_some());
        self.declaration = Service {
            kind: old.kind.clone(),
            command: old.command.clone(),
            working_dir: old.working_dir.clone(),
            umask: old.umask,
            env: old.env.clone(),
            when: if new.is_skipped() {
                &old.when
            } else {
                &new.when
            }
            .clone(),
            ready: if is_ready { &new.ready } else { &old.ready }.clone(),
            ..new.clone()
        };
        if let Some(run) = self.run.as_mut().filter(|run| !run.is_old) {
            if run.service.health != self.declaration.health {
                run.failed_checks = 0;
            }
            run.service = self.declaration.clone();
            if run.settles.is_some_and(|at| now < at) {
                let settling = settling_time(&run.service, self.failures);
                run.settles = run.ready.map(|at| at + settling);
            }
        }
    }
}

impl Oracle {
    /// An order is about to be carried out.
    pub(crate) fn ordered(&mut self, manifest: Option<&Manifest>, plan: &Plan, now: Moment) {
        self.is_hurried = false;
        for (name, service) in manifest.iter().flat_map(|manifest| &manifest.services) {
            self.books.entry(name.clone()).or_insert_with(|| Book {
                declaration: service.clone(),
                goal: Goal::Down,
                run: None,
                outcome: Outcome::Fresh,
                failures: 0,
                ends: 0,
                latest: None,
                is_declared: true,
            });
        }
        if let Some(manifest) = manifest {
            for (name, book) in &mut self.books {
                book.is_declared = manifest.services.contains_key(name);
            }
        }
        for step in plan.waves.iter().flatten() {
            let Some(book) = self.books.get_mut(&step.service) else {
                continue;
            };
            let declared = manifest.and_then(|manifest| manifest.services.get(&step.service));
            if let Some(skipped) = declared.filter(|declared| declared.is_skipped())
                && (step.action != Action::Keep
                    || book.declaration.is_skipped()
                    || book.goal == Goal::Down)
            {
                book.declaration = skipped.clone();
                book.afresh();
                if let Some(run) = &mut book.run {
                    run.is_old = true;
                }
                continue;
            }
            match step.action {
                Action::Stop => {
                    book.goal = Goal::Down;
                    book.outcome = Outcome::Fresh;
                }
                Action::Keep => {
                    if let Some(declared) = declared {
                        book.take_over(declared, now);
                    }
                }
                Action::Start if book.run.as_ref().is_some_and(Run::is_untouched) => {
                    let had_gone_down = book.goal == Goal::Down;
                    book.goal = Goal::Up;
                    book.take_over(declared.expect("a start has a manifest"), now);
                    let run = book.run.as_mut().filter(|_| had_gone_down);
                    if let Some(starts) = run.and_then(|run| run.starts.as_mut()) {
                        *starts = now;
                    }
                }
                Action::Start | Action::Restart => {
                    book.declaration = declared.expect("a start has a manifest").clone();
                    book.afresh();
                    if let Some(run) = &mut book.run {
                        run.is_old = true;
                    }
                }
            }
        }
    }

    /// A new supervisor is about to go on from what it finds.
    pub(crate) fn restored(&mut self, found: &BTreeMap<RunId, Found>, now: Moment) {
        self.is_hurried = false;
        let names: Vec<ServiceName> = self.books.keys().cloned().collect();
        for name in names {
            let book = self.books.get_mut(&name).expect("a known service");
            let Some(run) = &mut book.run else { continue };
            let found = found.get(&run.id);
            if !run.is_untouched() {
                if found.is_none() {
                    self.ended(&name, now);
                } else if run.killed.is_none() {
                    // It is asked again.
                    let first = run.first_signal.take();
                    run.was_timeout |= first.is_some_and(|signalled| signalled.is_timeout);
                    run.is_told_again = true;
                }
                continue;
            }
            let Some(found) = found else {
                // It was never begun, which is nobody's failure.
                book.run = None;
                book.outcome = Outcome::Fresh;
                continue;
            };
            if run.starts.is_none() {
                run.starts = Some(now);
                if run.service.ready.is_none() && !run.service.is_task() {
                    run.becomes_ready(now);
                }
            } else if let Some(timeout) = run.service.ready.as_ref().and_then(|r| r.timeout) {
                let at_least = now + LAST_CHANCE - timeout;
                run.starts = run.starts.map(|starts| starts.max(at_least));
            }
            if let Found::Ended(ended) = found {
                let stable_after = book.declaration.restart.stable_after;
                if run.ends(*ended, stable_after, now) {
                    book.failures = 0;
                    book.ends = 0;
                }
            }
        }
    }

    pub(crate) fn hurried(&mut self) {
        self.is_hurried = true;
    }

    /// An event is about to be delivered. Tells whether it is about the present run.
    pub(crate) fn told(&mut self, event: &Event, now: Moment) -> bool {
        let Some(book) = self.books.get_mut(&event.service) else {
            return false;
        };
        let Some(run) = book.run.as_mut().filter(|run| run.id == event.run) else {
            return false;
        };
        match &event.what {
            RunEvent::Spawned => {
                run.starts = Some(now);
                if run.service.ready.is_none() && !run.service.is_task() && run.is_untouched() {
                    run.becomes_ready(now);
                }
            }
            RunEvent::Ready => {
                if run.is_untouched() && !run.service.is_task() {
                    run.becomes_ready(now);
                }
            }
            RunEvent::NotReady(_) | RunEvent::Extended(_) | RunEvent::Exported(_) => {}
            RunEvent::Healthy => run.failed_checks = 0,
            RunEvent::Unwell(_) => {
                let has_checks = run.service.health.is_some() && run.ready.is_some();
                if has_checks && run.is_untouched() {
                    run.failed_checks += 1;
                    let action = run.service.health.as_ref().map(|health| health.action);
                    let is_going = book.goal == Goal::Down || run.is_old;
                    run.is_given_up =
                        run.is_unhealthy() && action == Some(HealthAction::Restart) && !is_going;
                    let stable_after = book.declaration.restart.stable_after;
                    if run.is_given_up && run.ready.is_some_and(|at| now.since(at) >= stable_after)
                    {
                        book.failures = 0;
                        book.ends = 0;
                    }
                }
            }
            RunEvent::Exited(ended) => {
                if run.is_untouched() {
                    let stable_after = book.declaration.restart.stable_after;
                    if run.ends(*ended, stable_after, now) {
                        book.failures = 0;
                        book.ends = 0;
                    }
                }
                run.ended.get_or_insert(*ended);
            }
            RunEvent::Survived(_) => run.has_survived = run.killed.is_some(),
            RunEvent::SpawnFailed(failure) => {
                let is_blocked = failure.is_blocked;
                let is_stopped = run.first_signal.is_some() || book.is_going();
                book.run = None;
                if is_stopped {
                    book.outcome = Outcome::Fresh;
                } else if is_blocked {
                    book.outcome = Outcome::Blocked;
                } else {
                    self.failed(&event.service, None, now);
                }
            }
            RunEvent::Gone => self.ended(&event.service, now),
            // The world answers within the call that asks.
            RunEvent::Examined(_) | RunEvent::Left(_) => {}
        }
        true
    }

    fn ended(&mut self, name: &ServiceName, now: Moment) {
        let book = self.books.get_mut(name).expect("a known service");
        let is_going = book.is_going();
        let run = book.run.take().expect("a run");
        if is_going {
            book.outcome = Outcome::Fresh;
            return;
        }
        let is_timeout = run
            .first_signal
            .is_some_and(|signalled| signalled.is_timeout);
        if is_timeout || run.is_given_up {
            self.failed(name, None, now);
            return;
        }
        let exit = match run.ended {
            Some(Ended::Exit(exit)) => exit,
            Some(Ended::ServerLost | Ended::SessionLost | Ended::Unknown) | None => {
                self.failed(name, None, now);
                return;
            }
        };
        if !book.declaration.success_exit.contains(&exit) {
            self.failed(name, Some(exit), now);
            return;
        }
        let restart = &book.declaration.restart;
        if run.is_early && restart.policy == Policy::Always {
            self.failed(name, Some(exit), now);
            return;
        }
        if !run.is_early {
            book.failures = 0;
        }
        let restart = &book.declaration.restart;
        let is_final = restart.policy != Policy::Always || restart.no_retry_exit.contains(&exit);
        if book.declaration.is_task() {
            book.outcome = Outcome::Completed;
        } else if is_final {
            book.outcome = Outcome::EndedWell;
        } else {
            self.retry(name, now);
        }
    }

    fn failed(&mut self, name: &ServiceName, exit: Option<Exit>, now: Moment) {
        let book = self.books.get_mut(name).expect("a known service");
        book.failures += 1;
        let restart = &book.declaration.restart;
        let is_final = restart.policy == Policy::Never
            || exit.is_some_and(|exit| restart.no_retry_exit.contains(&exit))
            || restart
                .max_failures
                .is_some_and(|most| book.failures >= most);
        if is_final {
            book.outcome = Outcome::Failed;
        } else {
            self.retry(name, now);
        }
    }

    fn retry(&mut self, name: &ServiceName, now: Moment) {
        let book = self.books.get_mut(name).expect("a known service");
        book.ends += 1;
        let restart = &book.declaration.restart;
        let mut longest = restart.delay;
        for _ in 1..book.ends {
            longest = longest.mul_f64(restart.factor).min(restart.max_delay);
        }
        let longest = longest.min(restart.max_delay);
        // A nanosecond for rounding.
        let shortest = longest.mul_f64(1.0 - restart.jitter);
        book.outcome = Outcome::Retry {
            earliest: now + shortest - Duration::from_nanos(1),
            latest: now + longest + Duration::from_nanos(1),
        };
    }
}

pub(crate) fn views(project: &Project) -> BTreeMap<ServiceName, View> {
    let names = project.services();
    let views = names.into_iter().filter_map(|name| {
        let view = project.view(&name)?;
        Some((name, view))
    });
    views.collect()
}
