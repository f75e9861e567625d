//! What must be true of any life, whatever happens in it: the properties P1 to P10.
//!
//! The oracle sees what the machine sees (orders, events, moments) and what it does (effects,
//! views), keeps its own books, and objects. It is written from the rules, not from the machine:
//! where it must know what the machine means (is this stop an order's doing?), it infers it from
//! what was told before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baudbot::id::{RunId, ServiceName};
use baudbot::machine::{Effect, Ended, Event, Goal, Project, RunEvent, StateWord, View};
use baudbot::manifest::model::{Condition, Exit, Manifest, Policy, Service};
use baudbot::plan::{Action, Plan};
use baudbot::time::Moment;

pub type Verdict = Result<(), String>;

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
pub struct Oracle {
    books: BTreeMap<ServiceName, Book>,
    views: BTreeMap<ServiceName, View>,
    is_hurried: bool,
}

/// What is known of one service.
#[derive(Debug, Clone)]
struct Book {
    declaration: Service,
    was_ordered: bool,
    goal: Goal,
    run: Option<Run>,
    /// What became of the last run, if no order has come since.
    outcome: Outcome,
    failures: u32,
    ends: u32,
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
    ended: Option<Ended>,
    first_signal: Option<Signalled>,
    killed: Option<Moment>,
    has_survived: bool,
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

impl Run {
    fn is_untouched(&self) -> bool {
        self.ended.is_none() && self.first_signal.is_none()
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
        self.was_ordered = true;
        self.outcome = Outcome::Fresh;
        self.failures = 0;
        self.ends = 0;
    }

    fn take_over(&mut self, new: &Service) {
        let old = &self.declaration;
        let run = self.run.as_ref();
        let is_ready = run.is_some_and(|run| run.is_untouched() && run.ready.is_some());
        self.declaration = Service {
            kind: old.kind.clone(),
            command: old.command.clone(),
            working_dir: old.working_dir.clone(),
            umask: old.umask,
            env: old.env.clone(),
            ready: if is_ready { &new.ready } else { &old.ready }.clone(),
            ..new.clone()
        };
        if let Some(run) = self.run.as_mut().filter(|run| !run.is_old) {
            run.service = self.declaration.clone();
        }
    }
}

impl Oracle {
    /// An order is about to be carried out.
    pub fn ordered(&mut self, manifest: Option<&Manifest>, plan: &Plan, now: Moment) {
        self.is_hurried = false;
        for (name, service) in manifest.iter().flat_map(|manifest| &manifest.services) {
            self.books.entry(name.clone()).or_insert_with(|| Book {
                declaration: service.clone(),
                was_ordered: false,
                goal: Goal::Down,
                run: None,
                outcome: Outcome::Fresh,
                failures: 0,
                ends: 0,
            });
        }
        for step in plan.waves.iter().flatten() {
            let Some(book) = self.books.get_mut(&step.service) else {
                continue;
            };
            let declared = manifest.and_then(|manifest| manifest.services.get(&step.service));
            match step.action {
                Action::Stop => {
                    book.goal = Goal::Down;
                    book.outcome = Outcome::Fresh;
                }
                Action::Keep => {
                    if let Some(declared) = declared {
                        book.take_over(declared);
                    }
                }
                Action::Start if book.run.as_ref().is_some_and(Run::is_untouched) => {
                    let had_gone_down = book.goal == Goal::Down;
                    book.goal = Goal::Up;
                    book.take_over(declared.expect("a start has a manifest"));
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

    pub fn hurried(&mut self) {
        self.is_hurried = true;
    }

    /// An event is about to be delivered. Tells whether it is about the present run.
    pub fn told(&mut self, event: &Event, now: Moment) -> bool {
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
                    run.ready = Some(now);
                }
            }
            RunEvent::Ready => {
                if run.is_untouched() && !run.service.is_task() {
                    run.ready.get_or_insert(now);
                }
            }
            RunEvent::NotReady(_) => {}
            RunEvent::Exited(ended) => {
                if run.is_untouched() {
                    let stable_after = book.declaration.restart.stable_after;
                    if run.ready.is_some_and(|at| now.since(at) >= stable_after) {
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
        if run
            .first_signal
            .is_some_and(|signalled| signalled.is_timeout)
        {
            self.failed(name, None, now);
            return;
        }
        let exit = match run.ended {
            Some(Ended::Exit(exit)) => exit,
            Some(Ended::Unknown) | None => {
                self.failed(name, None, now);
                return;
            }
        };
        if exit != Exit::Code(0) && !book.declaration.success_exit.contains(&exit) {
            self.failed(name, Some(exit), now);
            return;
        }
        book.failures = 0;
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

    /// The machine answered with `effects`. Objects to what it should not have done.
    pub fn saw(&mut self, effects: &[Effect], project: &Project, now: Moment) -> Verdict {
        self.views = views(project);
        for effect in effects {
            match effect {
                Effect::Spawn { run, service } => self.saw_spawn(*run, service, now)?,
                Effect::Terminate { service, run } => {
                    self.saw_signal(service, *run, false, now)?;
                }
                Effect::Kill { service, run } => {
                    self.saw_signal(service, *run, true, now)?;
                }
                Effect::Redeclare { run, service } => {
                    let book = self.book(&service.name)?;
                    ensure!(
                        book.run.as_ref().is_some_and(|r| r.id == *run && !r.is_old),
                        "`{}`: run {run} was redeclared and is not the present one",
                        service.name
                    );
                }
                Effect::Announce(_) => {}
            }
        }
        Ok(())
    }

    fn book(&mut self, name: &ServiceName) -> Result<&mut Book, String> {
        self.books
            .get_mut(name)
            .ok_or_else(|| format!("`{name}` was never declared"))
    }

    fn saw_spawn(&mut self, id: RunId, service: &Service, now: Moment) -> Verdict {
        let name = &service.name;
        let newest = self
            .books
            .values()
            .filter_map(|b| b.run.as_ref())
            .map(|r| r.id);
        ensure!(
            newest.max() < Some(id),
            "`{name}`: run {id} is not a new number"
        );
        for (dependency, edge) in &service.depends_on {
            ensure!(
                self.holds(dependency, edge.condition),
                "P1: `{name}` was spawned, though `{dependency}` is not {}",
                edge.condition.word()
            );
        }
        ensure!(
            self.count_spawning() < SPAWNS_AT_A_TIME,
            "`{name}` was spawned out of turn"
        );
        let book = self.book(name)?;
        ensure!(
            book.run.is_none(),
            "P3: `{name}` was spawned, though it has a run"
        );
        ensure!(
            book.goal == Goal::Up,
            "`{name}` was spawned, though nobody wants it"
        );
        ensure!(
            *service == book.declaration,
            "`{name}` was spawned from a declaration that is not the last one"
        );
        match &book.outcome {
            Outcome::Fresh => {}
            Outcome::Retry { earliest, .. } => {
                ensure!(
                    *earliest <= now,
                    "P8: `{name}` was spawned before its delay is over"
                );
            }
            outcome => return Err(format!("P8: `{name}` was spawned after {outcome:?}")),
        }
        book.run = Some(Run {
            id,
            service: service.clone(),
            is_old: false,
            starts: None,
            ready: None,
            ended: None,
            first_signal: None,
            killed: None,
            has_survived: false,
        });
        Ok(())
    }

    /// Whether the condition holds of the dependency, as far as the machine has been told.
    fn holds(&self, name: &ServiceName, condition: Condition) -> bool {
        let Some(book) = self.books.get(name) else {
            return false;
        };
        if book.goal == Goal::Down {
            return false;
        }
        let Some(run) = &book.run else {
            return book.outcome == Outcome::Completed;
        };
        let is_sound = run.is_untouched() && !run.is_old && run.starts.is_some();
        match condition {
            Condition::Started => is_sound,
            Condition::Ready => is_sound && run.ready.is_some(),
            Condition::Completed => false,
        }
    }

    fn saw_signal(&mut self, name: &ServiceName, id: RunId, is_kill: bool, now: Moment) -> Verdict {
        let holders = self.holders(name);
        let is_hurried = self.is_hurried;
        let book = self.book(name)?;
        let is_going = book.is_going();
        let Some(run) = book.run.as_mut().filter(|run| run.id == id) else {
            return Err(format!(
                "`{name}`: run {id} was signalled and does not live"
            ));
        };
        if let Some(first) = run.first_signal {
            ensure!(is_kill, "`{name}`: run {id} got the stop signal twice");
            let is_due = is_hurried || run.killed.is_some() || first.at + first.grace <= now;
            ensure!(is_due, "`{name}`: run {id} was killed within its grace");
            run.killed = Some(now);
            run.has_survived = false;
            return Ok(());
        }
        ensure!(
            is_hurried || !is_kill,
            "`{name}`: run {id} was killed without a grace"
        );
        let is_timeout = run.must_be_ready_by().is_some_and(|by| by <= now);
        if run.ended.is_none() && !is_hurried && is_going {
            ensure!(
                holders.is_empty(),
                "P2: `{name}` was signalled, though {holders:?} need it and live"
            );
        }
        ensure!(
            run.ended.is_some() || is_going || is_timeout,
            "`{name}`: run {id} was signalled without a reason"
        );
        run.first_signal = Some(Signalled {
            at: now,
            grace: run.service.stop.timeout,
            is_timeout: is_timeout && run.ended.is_none() && !is_going,
        });
        if is_kill {
            run.killed = Some(now);
        }
        Ok(())
    }

    /// What has to go before `name` may: what needs it, has to go as well, and lives.
    fn holders(&self, name: &ServiceName) -> Vec<ServiceName> {
        self.books
            .iter()
            .filter(|(holder, book)| book.is_going() && !self.is_stuck(holder))
            .filter(|(holder, _)| self.needs_of(holder).contains(name))
            .map(|(holder, _)| holder.clone())
            .collect()
    }

    /// Whether the machine says so; `judge` finds out whether that is right.
    fn is_stuck(&self, name: &ServiceName) -> bool {
        self.views.get(name).is_some_and(|view| view.is_stuck)
    }

    /// Those of `holders` that need `name` with no other of them in between.
    fn nearest(
        &self,
        holders: &[ServiceName],
        name: &ServiceName,
        project: &Project,
    ) -> Vec<ServiceName> {
        let is_near = |holder: &ServiceName| self.needs_short_of(holder, holders).contains(name);
        let in_order = project.services().into_iter();
        in_order
            .filter(|holder| holders.contains(holder) && is_near(holder))
            .collect()
    }

    fn needs_of(&self, name: &ServiceName) -> BTreeSet<ServiceName> {
        self.needs_short_of(name, &[])
    }

    /// What `name` needs, directly or through services other than `limits`.
    fn needs_short_of(&self, name: &ServiceName, limits: &[ServiceName]) -> BTreeSet<ServiceName> {
        let mut needs = BTreeSet::new();
        let mut open = vec![name.clone()];
        while let Some(next) = open.pop() {
            for dependency in self.books[&next].declaration.depends_on.keys() {
                let known = self.books.get(dependency);
                let passes_on = known.is_some_and(|book| book.was_ordered);
                if needs.insert(dependency.clone()) && passes_on && !limits.contains(dependency) {
                    open.push(dependency.clone());
                }
            }
        }
        needs
    }

    /// Objects to what is true after a call is over and done with.
    pub fn judge(&mut self, project: &Project, now: Moment) -> Verdict {
        for (name, view) in self.views.clone() {
            self.judge_run(&name, &view, project, now)?;
            self.judge_word(&name, &view, now)?;
        }
        let held: BTreeSet<ServiceName> = self.views.keys().cloned().collect();
        for (name, book) in &self.books {
            let is_needed = book.goal == Goal::Up || book.run.is_some();
            ensure!(!is_needed || held.contains(name), "`{name}` was dropped");
        }
        // What the project has dropped is declared anew when it comes back.
        self.books.retain(|name, _| held.contains(name));
        let is_down = self
            .books
            .values()
            .all(|b| b.goal == Goal::Down && b.run.is_none());
        ensure!(project.is_down() == is_down, "is_down is wrong");
        Ok(())
    }

    fn judge_run(
        &mut self,
        name: &ServiceName,
        view: &View,
        project: &Project,
        now: Moment,
    ) -> Verdict {
        let holders = self.holders(name);
        let nearest = self.nearest(&holders, name, project);
        let is_hurried = self.is_hurried;
        let book = self.book(name)?;
        ensure!(view.goal == book.goal, "`{name}` has the wrong goal");
        let is_going = book.is_going();
        let Some(run) = &book.run else {
            ensure!(view.run.is_none(), "`{name}` has a run that is gone");
            ensure!(
                *view.service == book.declaration,
                "`{name}` is declared otherwise"
            );
            return Ok(());
        };
        ensure!(
            view.run == Some(run.id),
            "`{name}` does not show run {}",
            run.id
        );
        ensure!(
            *view.service == run.service,
            "`{name}`'s run is declared otherwise"
        );
        if run.is_untouched() {
            if is_going {
                ensure!(
                    !is_hurried && !holders.is_empty(),
                    "P9: `{name}` has to go, nothing is in the way, and it was not signalled"
                );
                ensure!(view.waits_for == nearest, "wrong holders shown");
            } else if let Some(by) = run.must_be_ready_by() {
                ensure!(now <= by, "`{name}` is past its start deadline");
                let shown = run.starts.and(Some(by));
                ensure!(
                    view.deadline == shown,
                    "`{name}` shows a wrong start deadline"
                );
            }
            return Ok(());
        }
        let Some(first) = run.first_signal else {
            return Err(format!(
                "`{name}` has ended and the rest of it was not signalled"
            ));
        };
        match run.killed {
            None => ensure!(now <= first.at + first.grace, "`{name}` is past its grace"),
            Some(at) => {
                let may_be_stuck = run.has_survived || at + KILL_BOUND <= now;
                let must_be_stuck = run.has_survived || at + KILL_BOUND < now;
                ensure!(
                    may_be_stuck || !view.is_stuck,
                    "`{name}` counts as stuck too early"
                );
                ensure!(
                    view.is_stuck || !must_be_stuck,
                    "`{name}` is not shown as stuck"
                );
                let are_known = view.is_stuck && run.has_survived;
                ensure!(
                    are_known != view.survivors.is_empty(),
                    "wrong survivors shown"
                );
            }
        }
        Ok(())
    }

    /// The word must be the one that the books lead to, and say why where it should.
    fn judge_word(&mut self, name: &ServiceName, view: &View, now: Moment) -> Verdict {
        let book = &self.books[name];
        let expected: Vec<StateWord> = match (&book.run, book.goal, &book.outcome) {
            (Some(run), _, _) if !run.is_untouched() => vec![StateWord::Stopping],
            (Some(run), _, _) if run.ready.is_some() => vec![StateWord::Ready],
            (Some(_), _, _) => vec![StateWord::Starting],
            (None, Goal::Down, _) => vec![StateWord::Inactive],
            (None, Goal::Up, Outcome::Fresh) => vec![self.waiting_or_blocked(name)],
            (None, Goal::Up, Outcome::Completed) => vec![StateWord::Completed],
            (None, Goal::Up, Outcome::EndedWell) => vec![StateWord::Inactive],
            (None, Goal::Up, Outcome::Failed) => vec![StateWord::Failed],
            (None, Goal::Up, Outcome::Blocked) => vec![StateWord::Blocked],
            (None, Goal::Up, Outcome::Retry { earliest, latest }) => {
                if view.state == StateWord::Backoff {
                    let until = view.deadline.ok_or("a backoff without an end")?;
                    ensure!(
                        *earliest <= until && until <= *latest,
                        "P8: the delay of `{name}` is out of bounds"
                    );
                    ensure!(now <= until, "`{name}` is past its delay");
                }
                if now < *earliest {
                    vec![StateWord::Backoff]
                } else {
                    vec![StateWord::Backoff, self.waiting_or_blocked(name)]
                }
            }
        };
        ensure!(
            expected.contains(&view.state),
            "P10: `{name}` is {}, and should be {expected:?}",
            view.state.word()
        );
        let needs_reason = match view.state {
            StateWord::Failed | StateWord::Blocked | StateWord::Backoff | StateWord::Waiting => {
                true
            }
            StateWord::Inactive => view.goal == Goal::Up,
            StateWord::Starting | StateWord::Ready | StateWord::Stopping | StateWord::Completed => {
                false
            }
        };
        ensure!(
            !needs_reason
                || view
                    .reason
                    .as_ref()
                    .is_some_and(|reason| !reason.is_empty()),
            "P10: `{name}` is {} and does not say why",
            view.state.word()
        );
        Ok(())
    }

    fn count_spawning(&self) -> usize {
        let runs = self.books.values().filter_map(|book| book.run.as_ref());
        runs.filter(|run| run.starts.is_none() && run.is_untouched())
            .count()
    }

    /// What a service that may start is while it has not.
    fn waiting_or_blocked(&self, name: &ServiceName) -> StateWord {
        let needs = &self.books[name].declaration.depends_on;
        if needs
            .iter()
            .any(|(d, edge)| self.is_hopeless(d, edge.condition))
        {
            return StateWord::Blocked;
        }
        if needs.iter().all(|(d, edge)| self.holds(d, edge.condition)) {
            // Unless it waits for its turn, it should have been spawned: no state fits.
            let may_spawn = self.count_spawning() < SPAWNS_AT_A_TIME;
            return if may_spawn {
                StateWord::Starting
            } else {
                StateWord::Waiting
            };
        }
        StateWord::Waiting
    }

    /// Whether only an order could make the condition hold.
    fn is_hopeless(&self, name: &ServiceName, condition: Condition) -> bool {
        let Some(book) = self.books.get(name) else {
            return true;
        };
        if book.goal == Goal::Down {
            return true;
        }
        if condition == Condition::Completed && !book.declaration.is_task() {
            return true;
        }
        match (&book.run, &book.outcome) {
            (Some(_), _) => self.is_stuck(name),
            (None, Outcome::Failed | Outcome::Blocked | Outcome::EndedWell) => true,
            (None, Outcome::Completed) => false,
            (None, Outcome::Retry { .. }) if self.backs_off(name) => false,
            (None, Outcome::Retry { .. } | Outcome::Fresh) => {
                self.waiting_or_blocked(name) == StateWord::Blocked
            }
        }
    }

    fn backs_off(&self, name: &ServiceName) -> bool {
        let view = self.views.get(name);
        view.is_some_and(|view| view.state == StateWord::Backoff)
    }
}

pub fn views(project: &Project) -> BTreeMap<ServiceName, View> {
    let names = project.services();
    let views = names.into_iter().filter_map(|name| {
        let view = project.view(&name)?;
        Some((name, view))
    });
    views.collect()
}
