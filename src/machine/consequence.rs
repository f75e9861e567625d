//! What a step does once it is known to happen: how a run begins, how it is ended, and what comes
//! after it.

use std::sync::Arc;
use std::time::Duration;

use crate::change::{Change, take_over};
use crate::id::RunId;
use crate::machine::renewal::look_again_now;
use crate::machine::service::{
    Cause, Checks, Given, Node, Row, Run, Stage, State, Why, is_unhealthy,
};
use crate::machine::step::Context;
use crate::machine::{Effect, Ended, Goal, StartFailure, backoff, text};
use crate::manifest::model::{Exit, HealthAction, Policy, Service};
use crate::manifest::reference;
use crate::time::Moment;

/// How long the kernel has after KILL before the run counts as stuck. It is reached only by what
/// cannot be killed at once: a process in uninterruptible sleep, or another user's.
pub(super) const KILL_BOUND: Duration = Duration::from_secs(10);

/// How often the time until a run counts as settled is doubled at most: 16 times `settle`.
const MOST_DOUBLINGS: u32 = 4;

impl Node {
    /// A new run of `service` is wanted; what went wrong before counts no more.
    pub(super) fn start_afresh(&mut self, service: Arc<Service>) {
        self.goal = Goal::Up;
        self.declaration = service;
        self.generation = self.generation.next();
        self.out_of_date = None;
        self.restarts = 0;
        self.row = Row::default();
        self.has_been_ready = false;
    }

    /// A new run is wanted, since `why`. What went wrong before still counts.
    pub(super) fn replace(&mut self, why: String) {
        self.generation = self.generation.next();
        self.out_of_date = Some(why);
        self.restarts = self.restarts.saturating_add(1);
    }

    /// Whether its run has to go for no order's sake.
    pub(super) fn is_out_of_date(&self) -> bool {
        self.goal == Goal::Up && self.out_of_date.is_some()
    }

    /// Why a run that has to go has to.
    pub(super) fn cause_of_stop(&self) -> Cause {
        match &self.out_of_date {
            Some(why) if self.goal == Goal::Up => Cause::OutOfDate(why.clone()),
            Some(_) | None => Cause::Ordered,
        }
    }

    pub(super) fn up_while_running(
        &mut self,
        state: State,
        service: Arc<Service>,
        is_restart: bool,
        context: &mut Context<'_>,
    ) -> State {
        let is_ready = matches!(state, State::Ready { .. });
        let change = Change::between(&self.declaration, &service);
        if is_restart || change.needs_restart(is_ready) {
            self.start_afresh(service);
            return state;
        }
        let had_gone_down = self.goal == Goal::Down;
        self.goal = Goal::Up;
        let service = take_over(&self.declaration, &service, is_ready);
        match self.declare(state, service, context) {
            // Its deadline was suspended, and may have passed meanwhile.
            State::Starting { run, last, .. } if had_gone_down => State::Starting {
                give_up: give_up(&run.service, context.now),
                run,
                last,
            },
            state => state,
        }
    }

    /// Keeps the run, if it is not about to be replaced, under this declaration.
    pub(super) fn declare(
        &mut self,
        mut state: State,
        service: Service,
        context: &mut Context<'_>,
    ) -> State {
        look_again_now(&mut state, context.now);
        if service == *self.declaration {
            return state;
        }
        let has_other_checks = service.health != self.declaration.health;
        self.declaration = Arc::new(service);
        if let (true, State::Ready { checks, .. }) = (has_other_checks, &mut state) {
            *checks = Checks::default();
        }
        let settling = self.settling_time(&self.declaration);
        if let State::Ready {
            run,
            since,
            settles: Some(settles),
            ..
        } = &mut state
            && run.generation == self.generation
            && *settles > context.now
        {
            *settles = *since + settling;
        }
        match &mut state {
            State::Spawning { run }
            | State::Starting { run, .. }
            | State::Ready { run, .. }
            | State::Stopping { run, .. }
                if run.generation == self.generation =>
            {
                // What the new run would be made from is another thing now: it is asked about anew.
                run.renewal = None;
                run.service = filled(&self.declaration, &run.given);
                context.effects.push(Effect::Redeclare {
                    run: run.id,
                    service: Arc::clone(&run.service),
                });
            }
            State::Down(_)
            | State::Waiting
            | State::Spawning { .. }
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Stopping { .. }
            | State::Backoff { .. } => {}
        }
        state
    }

    pub(super) fn spawn(&mut self, id: RunId, given: Given, context: &mut Context<'_>) -> State {
        self.latest = Some(id);
        self.left_behind = None;
        let service = filled(&self.declaration, &given);
        context.effects.push(Effect::Spawn {
            run: id,
            service: Arc::clone(&service),
        });
        State::Spawning {
            run: Run {
                id,
                generation: self.generation,
                service,
                given,
                renewal: None,
            },
        }
    }

    /// Nothing of `run` is left.
    pub(super) fn after(&mut self, run: &Run, cause: Cause, context: &mut Context<'_>) -> State {
        if self.goal == Goal::Down {
            return State::Down(Why::Stopped);
        }
        if run.generation != self.generation {
            return self.before_a_run();
        }
        match cause {
            Cause::Ordered | Cause::OutOfDate(_) => self.before_a_run(),
            Cause::StartTimeout(why) | Cause::Unhealthy(why) => {
                self.after_failure(why, None, context)
            }
            Cause::Ended(ended) => self.after_end(ended, context),
            Cause::EndedEarly(ended) => self.after_early_end(ended, context),
        }
    }

    /// Why a run that was ready is being ended when its leader ended by itself.
    pub(super) fn ended_while_ready(
        &mut self,
        since: Moment,
        settles: Option<Moment>,
        ended: Ended,
        now: Moment,
    ) -> Cause {
        if settles.is_some_and(|at| now < at) {
            return Cause::EndedEarly(ended);
        }
        // It has lived long enough, though the deadline that says so may not have been looked at.
        self.has_been_ready = true;
        self.forget_failures_if_stable(since, now);
        Cause::Ended(ended)
    }

    /// A run is wanted and there is none.
    fn before_a_run(&self) -> State {
        if self.declaration.is_skipped() {
            State::Down(Why::Skipped)
        } else {
            State::Waiting
        }
    }

    fn is_success(&self, exit: Exit) -> bool {
        self.declaration.success_exit.contains(&exit)
    }

    /// Whether this is a task that is wanted and has done its work, of which only the rest is ended.
    pub(super) fn is_task_ending_well(&self) -> bool {
        let State::Stopping {
            run,
            cause: Cause::Ended(Ended::Exit(exit)),
            ..
        } = &self.state
        else {
            return false;
        };
        self.goal == Goal::Up
            && self.declaration.is_task()
            && run.generation == self.generation
            && self.is_success(*exit)
    }

    fn after_end(&mut self, ended: Ended, context: &mut Context<'_>) -> State {
        let why = text::ended(ended);
        let exit = match ended {
            Ended::Exit(exit) => exit,
            Ended::ServerLost | Ended::SessionLost | Ended::Unknown => {
                return self.after_failure(why, None, context);
            }
        };
        if !self.is_success(exit) {
            let why = match exit {
                Exit::Code(0) => format!("{why}, which `success_exit` does not name"),
                Exit::Code(_) | Exit::Signal(_) => why,
            };
            return self.after_failure(why, Some(exit), context);
        }
        self.row.failures = 0;
        if self.declaration.is_task() {
            return State::Down(Why::Completed);
        }
        let restart = &self.declaration.restart;
        match restart.policy {
            Policy::Always if !restart.no_retry_exit.contains(&exit) => self.back_off(why, context),
            Policy::Always | Policy::OnFailure | Policy::Never => State::Down(Why::EndedWell(why)),
        }
    }

    /// Its leader ended by itself before it was ready. Where the policy starts it again, that is a
    /// failure, however it ended: it never did what it is for.
    fn after_early_end(&mut self, ended: Ended, context: &mut Context<'_>) -> State {
        match ended {
            Ended::Exit(exit) if self.is_success(exit) => {
                let why = text::ended_early(ended);
                match self.declaration.restart.policy {
                    Policy::Always => self.after_failure(why, Some(exit), context),
                    Policy::OnFailure | Policy::Never => State::Down(Why::EndedWell(why)),
                }
            }
            Ended::Exit(_) | Ended::ServerLost | Ended::SessionLost | Ended::Unknown => {
                self.after_end(ended, context)
            }
        }
    }

    pub(super) fn after_failed_spawn(
        &mut self,
        run: &Run,
        failure: &StartFailure,
        context: &mut Context<'_>,
    ) -> State {
        if self.is_unwanted(run) {
            return self.after(run, Cause::Ordered, context);
        }
        let why = match failure.stage.as_str() {
            "" => failure.message.clone(),
            stage => format!("{stage}: {}", failure.message),
        };
        if failure.is_blocked {
            State::Down(Why::Blocked(why))
        } else {
            self.after_failure(why, None, context)
        }
    }

    /// `exit`: how the leader ended, if that is what failed.
    fn after_failure(
        &mut self,
        why: String,
        exit: Option<Exit>,
        context: &mut Context<'_>,
    ) -> State {
        self.row.failures = self.row.failures.saturating_add(1);
        let restart = &self.declaration.restart;
        if restart.policy == Policy::Never {
            return State::Down(Why::Failed(why));
        }
        if exit.is_some_and(|exit| restart.no_retry_exit.contains(&exit)) {
            let why = format!("{why}, which `restart.no_retry_exit` names");
            return State::Down(Why::Failed(why));
        }
        if restart
            .max_failures
            .is_some_and(|most| self.row.failures >= most)
        {
            return State::Down(Why::Failed(text::gave_up(&why, self.row.failures)));
        }
        let why = text::failed_so_often(&why, self.row.failures, restart.max_failures);
        self.back_off(why, context)
    }

    fn back_off(&mut self, why: String, context: &mut Context<'_>) -> State {
        self.row.ends = self.row.ends.saturating_add(1);
        let restart = &self.declaration.restart;
        let is_first_braked = backoff::is_braked(restart, self.row.ends)
            && !backoff::is_braked(restart, self.row.ends - 1);
        let why = if is_first_braked {
            text::braked(&why)
        } else {
            why
        };
        let delay = backoff::delay(restart, self.row.ends, context.jitter);
        State::Backoff {
            until: context.now + delay,
            why,
        }
    }

    /// A health check of a run that is ready did not succeed.
    pub(super) fn after_failed_check(
        &mut self,
        run: Run,
        (since, settles): (Moment, Option<Moment>),
        mut checks: Checks,
        found: String,
        context: &mut Context<'_>,
    ) -> State {
        checks.failed = checks.failed.saturating_add(1);
        checks.found = found;
        let action = run.service.health.as_ref().map(|health| health.action);
        if action == Some(HealthAction::Restart)
            && is_unhealthy(&run.service, &checks)
            && !self.is_unwanted(&run)
        {
            if self.would_retry() {
                let run = self.ask_to_replace_unhealthy(run, context);
                return State::Ready {
                    run,
                    since,
                    settles,
                    checks,
                };
            }
            self.forget_failures_if_stable(since, context.now);
            let why = text::unhealthy(&checks);
            return stop(run, Cause::Unhealthy(why), context);
        }
        State::Ready {
            run,
            since,
            settles,
            checks,
        }
    }

    pub(super) fn forget_failures_if_stable(&mut self, since: Moment, now: Moment) {
        if now.since(since) >= self.declaration.restart.stable_after {
            self.row = Row::default();
        }
    }

    /// The command is executed: what is it ready by?
    pub(super) fn spawned(&mut self, run: Run, now: Moment) -> State {
        if run.service.is_task() {
            // Its readiness is its completion, however long that takes.
            return State::Starting {
                run,
                give_up: None,
                last: None,
            };
        }
        if !run.service.becomes_ready() {
            return self.ready(run, now);
        }
        State::Starting {
            give_up: give_up(&run.service, now),
            run,
            last: None,
        }
    }

    /// How long a run of `service` has to live until it counts as settled: twice as long for each
    /// failure in a row, since a run that outlived the last one by a moment proves nothing.
    fn settling_time(&self, service: &Service) -> Duration {
        let doublings = self.row.failures.min(MOST_DOUBLINGS);
        service.settling_time() * (1 << doublings)
    }

    /// It is ready from now on.
    pub(super) fn ready(&mut self, run: Run, now: Moment) -> State {
        let settling = self.settling_time(&run.service);
        let settles = (!settling.is_zero()).then(|| now + settling);
        self.has_been_ready |= settles.is_none();
        State::Ready {
            run,
            since: now,
            settles,
            checks: Checks::default(),
        }
    }
}

/// Why a run that never became ready is being ended when its leader ended by itself. The end of a
/// task is what it is ready by.
pub(super) fn ended_before_it_was_ready(run: &Run, ended: Ended) -> Cause {
    if run.service.is_task() {
        Cause::Ended(ended)
    } else {
        Cause::EndedEarly(ended)
    }
}

/// A declaration with what others provide in the place of its references.
pub(super) fn filled(declaration: &Arc<Service>, given: &Given) -> Arc<Service> {
    if declaration.references.is_empty() {
        return Arc::clone(declaration);
    }
    Arc::new(reference::fill(declaration, &given.values))
}

fn give_up(service: &Service, now: Moment) -> Option<Moment> {
    let timeout = service.start_timeout()?;
    (!service.is_task()).then(|| now + timeout)
}

/// How long there is before KILL. A command that asks first has its own time before the signal's.
fn grace(service: &Service) -> Duration {
    let asks = if service.stop.command.is_some() { 2 } else { 1 };
    service.stop.timeout * asks
}

/// How long the command after the end may take.
fn after_stop(service: &Service) -> Duration {
    match service.hooks.after_stop {
        Some(_) => service.hooks.timeout,
        None => Duration::ZERO,
    }
}

/// Every run, one that ended by itself too, leaves through here: stragglers get the stop signal and
/// the grace as well.
pub(super) fn stop(run: Run, cause: Cause, context: &mut Context<'_>) -> State {
    if context.is_hurried {
        return kill(run, cause, context);
    }
    context.effects.push(Effect::Terminate {
        service: run.service.name.clone(),
        run: run.id,
    });
    let until = context.now + grace(&run.service);
    State::Stopping {
        run,
        stage: Stage::Grace { until },
        cause,
    }
}

pub(super) fn kill(run: Run, cause: Cause, context: &mut Context<'_>) -> State {
    context.effects.push(Effect::Kill {
        service: run.service.name.clone(),
        run: run.id,
    });
    let until = context.now + KILL_BOUND + after_stop(&run.service);
    State::Stopping {
        run,
        stage: Stage::Killed { until },
        cause,
    }
}

/// An order for a stuck service is a reason to try once more.
pub(super) fn kill_again_if_stuck(
    run: Run,
    stage: Stage,
    cause: Cause,
    context: &mut Context<'_>,
) -> State {
    match stage {
        Stage::Stuck { .. } => kill(run, cause, context),
        Stage::Grace { .. } | Stage::Killed { .. } => State::Stopping { run, stage, cause },
    }
}
