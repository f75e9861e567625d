//! What follows from what happens to a service.
//!
//! Four tables over (state, input): what people order, what `settle` finds, what time does, what the
//! shell reports of a run. Each pair is written out, those too after which nothing happens; so a
//! new state or a new input does not compile until somebody has thought about every pair.

use std::sync::Arc;
use std::time::Duration;

use crate::change::{Change, take_over};
use crate::id::RunId;
use crate::machine::backoff::{self, Jitter};
use crate::machine::service::{Cause, Hopeless, Node, Row, Run, Stage, State, Why};
use crate::machine::{Effect, Ended, Goal, RunEvent, StartFailure, text};
use crate::manifest::model::{Exit, Policy, Service};
use crate::time::Moment;

/// How long the kernel has after KILL before the run counts as stuck. It is reached only by what
/// cannot be killed at once: a process in uninterruptible sleep, or another user's.
pub(super) const KILL_BOUND: Duration = Duration::from_secs(10);

/// What can happen to a service.
#[derive(Debug, Clone)]
pub(super) enum Input {
    /// People.
    Order(Order),
    /// What `settle` finds when it looks at the services together.
    Finding(Finding),
    /// Time passed.
    Deadline,
    /// From the shell, about the present run.
    Run(RunEvent),
}

/// What people want.
#[derive(Debug, Clone)]
pub(super) enum Order {
    /// Run this declaration; in a new run, if `is_restart`, otherwise only if it needs one.
    Up {
        service: Arc<Service>,
        is_restart: bool,
    },
    /// Do not run.
    Down,
    /// Stay as you are; this is how you are declared now.
    Declare(Arc<Service>),
    /// No grace for what is being stopped.
    Hurry,
}

/// What the services mean to each other.
#[derive(Debug, Clone)]
pub(super) enum Finding {
    /// All conditions hold and it is this one's turn.
    MaySpawn(RunId),
    /// A dependency is hopeless.
    IsHopeless(Hopeless),
    /// No dependency is hopeless any more.
    MayHope,
    /// It has to go, and nothing that goes too needs it any longer.
    MayStop,
}

/// What a step needs to know and to reach, beside the service itself.
pub(super) struct Context<'a> {
    pub(super) now: Moment,
    /// Whether stops have no grace.
    pub(super) is_hurried: bool,
    pub(super) jitter: &'a mut Jitter,
    pub(super) effects: &'a mut Vec<Effect>,
}

/// What follows.
enum Next {
    /// Nothing: the state stays as it was.
    Same(State),
    /// This state (which may be the one that was, when the goal or the declaration changed).
    New(State),
}

use Next::{New, Same};
use State as S;

impl Node {
    /// Takes in one input. Returns whether anything changed.
    pub(super) fn step(&mut self, input: Input, context: &mut Context<'_>) -> bool {
        let word = self.word();
        let before = std::mem::replace(&mut self.state, State::Waiting);
        let next = match input {
            Input::Order(order) => self.after_order(before, order, context),
            Input::Finding(finding) => self.after_finding(before, finding, context),
            Input::Deadline => self.after_deadline(before, context),
            Input::Run(event) => self.after_report(before, event, context),
        };
        let (state, is_changed) = match next {
            Same(state) => (state, false),
            New(state) => (state, true),
        };
        self.state = state;
        if self.word() != word {
            self.since = context.now;
        }
        is_changed
    }

    fn after_order(&mut self, state: State, order: Order, context: &mut Context<'_>) -> Next {
        use Order as O;
        match (state, order) {
            (S::Down(_) | S::Waiting | S::Backoff { .. }, O::Up { service, .. }) => {
                self.start_afresh(service);
                New(S::Waiting)
            }
            (
                state @ (S::Spawning { .. } | S::Starting { .. } | S::Ready { .. }),
                O::Up {
                    service,
                    is_restart,
                },
            ) => New(self.up_while_running(state, service, is_restart, context)),
            (S::Stopping { run, stage, cause }, O::Up { service, .. }) => {
                // Whatever ends now is not what was asked for, however it ends.
                self.start_afresh(service);
                New(kill_again_if_stuck(run, stage, cause, context))
            }

            (S::Down(Why::NotStarted), O::Down) => Same(S::Down(Why::NotStarted)),
            (
                S::Down(
                    Why::Stopped
                    | Why::Completed
                    | Why::EndedWell(_)
                    | Why::Failed(_)
                    | Why::Blocked(_)
                    | Why::Dependency(_),
                )
                | S::Waiting
                | S::Backoff { .. },
                O::Down,
            ) => {
                self.goal = Goal::Down;
                New(S::Down(Why::Stopped))
            }
            (state @ (S::Spawning { .. } | S::Starting { .. } | S::Ready { .. }), O::Down) => {
                // `settle` stops it as soon as nothing that goes too needs it.
                self.goal = Goal::Down;
                New(state)
            }
            (S::Stopping { run, stage, cause }, O::Down) => {
                self.goal = Goal::Down;
                New(kill_again_if_stuck(run, stage, cause, context))
            }

            (
                state @ (S::Down(_)
                | S::Waiting
                | S::Spawning { .. }
                | S::Starting { .. }
                | S::Ready { .. }
                | S::Stopping { .. }
                | S::Backoff { .. }),
                O::Declare(service),
            ) => {
                let service = take_over(&self.declaration, &service);
                New(self.declare(state, service, context))
            }

            (S::Stopping { run, stage, cause }, O::Hurry) => match stage {
                Stage::Grace { .. } | Stage::Stuck { .. } => New(kill(run, cause, context)),
                Stage::Killed { .. } => Same(S::Stopping { run, stage, cause }),
            },
            (
                state @ (S::Down(_)
                | S::Waiting
                | S::Spawning { .. }
                | S::Starting { .. }
                | S::Ready { .. }
                | S::Backoff { .. }),
                O::Hurry,
            ) => Same(state),
        }
    }

    fn after_finding(&mut self, state: State, finding: Finding, context: &mut Context<'_>) -> Next {
        use Finding as F;
        match (state, finding) {
            (S::Waiting, F::MaySpawn(id)) => New(self.spawn(id, context)),
            (
                state @ (S::Down(_)
                | S::Spawning { .. }
                | S::Starting { .. }
                | S::Ready { .. }
                | S::Stopping { .. }
                | S::Backoff { .. }),
                F::MaySpawn(_),
            ) => Same(state),

            (S::Waiting, F::IsHopeless(hopeless)) => New(S::Down(Why::Dependency(hopeless))),
            (S::Down(Why::Dependency(known)), F::IsHopeless(hopeless)) if known != hopeless => {
                New(S::Down(Why::Dependency(hopeless)))
            }
            (
                state @ (S::Down(_)
                | S::Spawning { .. }
                | S::Starting { .. }
                | S::Ready { .. }
                | S::Stopping { .. }
                | S::Backoff { .. }),
                F::IsHopeless(_),
            ) => Same(state),

            (S::Down(Why::Dependency(_)), F::MayHope) => New(S::Waiting),
            (
                state @ (S::Down(
                    Why::NotStarted
                    | Why::Stopped
                    | Why::Completed
                    | Why::EndedWell(_)
                    | Why::Failed(_)
                    | Why::Blocked(_),
                )
                | S::Waiting
                | S::Spawning { .. }
                | S::Starting { .. }
                | S::Ready { .. }
                | S::Stopping { .. }
                | S::Backoff { .. }),
                F::MayHope,
            ) => Same(state),

            (S::Spawning { run } | S::Starting { run, .. } | S::Ready { run, .. }, F::MayStop) => {
                New(stop(run, Cause::Ordered, context))
            }
            (
                state @ (S::Down(_) | S::Waiting | S::Stopping { .. } | S::Backoff { .. }),
                F::MayStop,
            ) => Same(state),
        }
    }

    fn after_deadline(&mut self, state: State, context: &mut Context<'_>) -> Next {
        let now = context.now;
        match state {
            S::Starting {
                run,
                give_up: Some(at),
                last,
            } if at <= now && !self.is_unwanted(&run) => {
                let why = text::start_timeout(&run.service, last.as_deref());
                New(stop(run, Cause::StartTimeout(why), context))
            }
            S::Stopping {
                run,
                stage: Stage::Grace { until },
                cause,
            } if until <= now => New(kill(run, cause, context)),
            S::Stopping {
                run,
                stage: Stage::Killed { until },
                cause,
            } if until <= now => New(S::Stopping {
                run,
                // The shell has not told who they are; it does so in `Survived`.
                stage: Stage::Stuck {
                    survivors: Vec::new(),
                },
                cause,
            }),
            S::Backoff { until, .. } if until <= now => {
                self.restarts = self.restarts.saturating_add(1);
                New(S::Waiting)
            }
            state @ (S::Down(_)
            | S::Waiting
            | S::Spawning { .. }
            | S::Starting { .. }
            | S::Ready { .. }
            | S::Stopping { .. }
            | S::Backoff { .. }) => Same(state),
        }
    }

    fn after_report(&mut self, state: State, event: RunEvent, context: &mut Context<'_>) -> Next {
        use RunEvent as E;
        match (state, event) {
            (S::Spawning { run }, E::Spawned) => New(spawned(run, context.now)),
            (S::Spawning { run }, E::SpawnFailed(failure)) => {
                New(self.after_failed_spawn(&run, &failure, context))
            }
            // The stop overtook the answer; nothing of the run is left.
            (S::Stopping { run, cause, .. }, E::SpawnFailed(_)) => {
                New(self.after(&run, cause, context))
            }

            (S::Starting { run, .. }, E::Ready) if !run.service.is_task() => New(S::Ready {
                run,
                since: context.now,
            }),
            (S::Starting { run, give_up, last }, E::NotReady(found)) => {
                let is_news = last.as_ref() != Some(&found);
                let state = S::Starting {
                    run,
                    give_up,
                    last: Some(found),
                };
                if is_news { New(state) } else { Same(state) }
            }

            (S::Spawning { run } | S::Starting { run, .. }, E::Exited(ended)) => {
                New(stop(run, Cause::Ended(ended), context))
            }
            (S::Ready { run, since }, E::Exited(ended)) => {
                self.forget_failures_if_stable(since, context.now);
                New(stop(run, Cause::Ended(ended), context))
            }

            (S::Stopping { run, cause, .. }, E::Gone) => New(self.after(&run, cause, context)),
            // The shell owes `Exited` first; without it, nobody knows how the run ended.
            (S::Spawning { run } | S::Starting { run, .. }, E::Gone) => {
                New(self.after(&run, Cause::Ended(Ended::Unknown), context))
            }
            (S::Ready { run, since }, E::Gone) => {
                self.forget_failures_if_stable(since, context.now);
                New(self.after(&run, Cause::Ended(Ended::Unknown), context))
            }

            (
                S::Stopping {
                    run,
                    stage: Stage::Killed { .. } | Stage::Stuck { .. },
                    cause,
                },
                E::Survived(survivors),
            ) => New(S::Stopping {
                run,
                stage: Stage::Stuck { survivors },
                cause,
            }),

            // Doubled, late or out of place: nothing follows.
            (
                state @ (S::Down(_) | S::Waiting | S::Backoff { .. }),
                E::Spawned
                | E::SpawnFailed(_)
                | E::Ready
                | E::NotReady(_)
                | E::Exited(_)
                | E::Gone
                | E::Survived(_),
            )
            | (state @ S::Spawning { .. }, E::Ready | E::NotReady(_) | E::Survived(_))
            | (
                state @ S::Starting { .. },
                E::Spawned | E::SpawnFailed(_) | E::Ready | E::Survived(_),
            )
            | (
                state @ S::Ready { .. },
                E::Spawned | E::SpawnFailed(_) | E::Ready | E::NotReady(_) | E::Survived(_),
            )
            | (
                state @ S::Stopping { .. },
                E::Spawned | E::Ready | E::NotReady(_) | E::Exited(_) | E::Survived(_),
            ) => Same(state),
        }
    }

    /// A new run of `service` is wanted; what went wrong before counts no more.
    fn start_afresh(&mut self, service: Arc<Service>) {
        self.goal = Goal::Up;
        self.declaration = service;
        self.generation = self.generation.next();
        self.restarts = 0;
        self.row = Row::default();
    }

    fn up_while_running(
        &mut self,
        state: State,
        service: Arc<Service>,
        is_restart: bool,
        context: &mut Context<'_>,
    ) -> State {
        let is_ready = matches!(state, S::Ready { .. });
        let change = Change::between(&self.declaration, &service);
        if is_restart || change.needs_restart(is_ready) {
            self.start_afresh(service);
            return state;
        }
        let had_gone_down = self.goal == Goal::Down;
        self.goal = Goal::Up;
        let service = take_over(&self.declaration, &service);
        match self.declare(state, service, context) {
            // Its deadline was suspended, and may have passed meanwhile.
            S::Starting { run, last, .. } if had_gone_down => S::Starting {
                give_up: give_up(&run.service, context.now),
                run,
                last,
            },
            state => state,
        }
    }

    /// Keeps the run, if it is not about to be replaced, under this declaration.
    fn declare(&mut self, mut state: State, service: Service, context: &mut Context<'_>) -> State {
        if service == *self.declaration {
            return state;
        }
        self.declaration = Arc::new(service);
        match &mut state {
            S::Spawning { run }
            | S::Starting { run, .. }
            | S::Ready { run, .. }
            | S::Stopping { run, .. }
                if run.generation == self.generation =>
            {
                run.service = Arc::clone(&self.declaration);
                context.effects.push(Effect::Redeclare {
                    run: run.id,
                    service: Arc::clone(&run.service),
                });
            }
            S::Down(_)
            | S::Waiting
            | S::Spawning { .. }
            | S::Starting { .. }
            | S::Ready { .. }
            | S::Stopping { .. }
            | S::Backoff { .. } => {}
        }
        state
    }

    fn spawn(&self, id: RunId, context: &mut Context<'_>) -> State {
        context.effects.push(Effect::Spawn {
            run: id,
            service: Arc::clone(&self.declaration),
        });
        S::Spawning {
            run: Run {
                id,
                generation: self.generation,
                service: Arc::clone(&self.declaration),
            },
        }
    }

    /// Nothing of `run` is left.
    fn after(&mut self, run: &Run, cause: Cause, context: &mut Context<'_>) -> State {
        if self.goal == Goal::Down {
            return S::Down(Why::Stopped);
        }
        if run.generation != self.generation {
            return S::Waiting;
        }
        match cause {
            Cause::Ordered => S::Waiting,
            Cause::StartTimeout(why) => self.after_failure(why, None, context),
            Cause::Ended(ended) => self.after_end(ended, context),
        }
    }

    fn after_end(&mut self, ended: Ended, context: &mut Context<'_>) -> State {
        let why = text::ended(ended);
        let exit = match ended {
            Ended::Exit(exit) => exit,
            Ended::Unknown => return self.after_failure(why, None, context),
        };
        if exit != Exit::Code(0) && !self.declaration.success_exit.contains(&exit) {
            return self.after_failure(why, Some(exit), context);
        }
        self.row.failures = 0;
        if self.declaration.is_task() {
            return S::Down(Why::Completed);
        }
        let restart = &self.declaration.restart;
        match restart.policy {
            Policy::Always if !restart.no_retry_exit.contains(&exit) => self.back_off(why, context),
            Policy::Always | Policy::OnFailure | Policy::Never => S::Down(Why::EndedWell(why)),
        }
    }

    fn after_failed_spawn(
        &mut self,
        run: &Run,
        failure: &StartFailure,
        context: &mut Context<'_>,
    ) -> State {
        if self.is_unwanted(run) {
            return self.after(run, Cause::Ordered, context);
        }
        let why = format!("{}: {}", failure.stage, failure.message);
        if failure.is_blocked {
            S::Down(Why::Blocked(why))
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
            return S::Down(Why::Failed(why));
        }
        if exit.is_some_and(|exit| restart.no_retry_exit.contains(&exit)) {
            let why = format!("{why}, which `restart.no_retry_exit` names");
            return S::Down(Why::Failed(why));
        }
        if restart
            .max_failures
            .is_some_and(|most| self.row.failures >= most)
        {
            return S::Down(Why::Failed(text::gave_up(&why, self.row.failures)));
        }
        let why = text::failed_so_often(&why, self.row.failures, restart.max_failures);
        self.back_off(why, context)
    }

    fn back_off(&mut self, why: String, context: &mut Context<'_>) -> State {
        self.row.ends = self.row.ends.saturating_add(1);
        let delay = backoff::delay(&self.declaration.restart, self.row.ends, context.jitter);
        S::Backoff {
            until: context.now + delay,
            why,
        }
    }

    fn forget_failures_if_stable(&mut self, since: Moment, now: Moment) {
        if now.since(since) >= self.declaration.restart.stable_after {
            self.row = Row::default();
        }
    }
}

/// The command is executed: what is it ready by?
fn spawned(run: Run, now: Moment) -> State {
    if run.service.is_task() {
        // Its readiness is its completion, however long that takes.
        return S::Starting {
            run,
            give_up: None,
            last: None,
        };
    }
    if run.service.ready.is_none() {
        return S::Ready { run, since: now };
    }
    S::Starting {
        give_up: give_up(&run.service, now),
        run,
        last: None,
    }
}

fn give_up(service: &Service, now: Moment) -> Option<Moment> {
    let timeout = service.ready.as_ref()?.timeout?;
    (!service.is_task()).then(|| now + timeout)
}

/// Every run, one that ended by itself too, leaves through here: stragglers get the stop signal and
/// the grace as well.
fn stop(run: Run, cause: Cause, context: &mut Context<'_>) -> State {
    if context.is_hurried {
        return kill(run, cause, context);
    }
    context.effects.push(Effect::Terminate {
        service: run.service.name.clone(),
        run: run.id,
    });
    let until = context.now + run.service.stop.timeout;
    S::Stopping {
        run,
        stage: Stage::Grace { until },
        cause,
    }
}

fn kill(run: Run, cause: Cause, context: &mut Context<'_>) -> State {
    context.effects.push(Effect::Kill {
        service: run.service.name.clone(),
        run: run.id,
    });
    let until = context.now + KILL_BOUND;
    S::Stopping {
        run,
        stage: Stage::Killed { until },
        cause,
    }
}

/// An order for a stuck service is a reason to try once more.
fn kill_again_if_stuck(run: Run, stage: Stage, cause: Cause, context: &mut Context<'_>) -> State {
    match stage {
        Stage::Stuck { .. } => kill(run, cause, context),
        Stage::Grace { .. } | Stage::Killed { .. } => S::Stopping { run, stage, cause },
    }
}
