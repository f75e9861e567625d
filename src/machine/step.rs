//! What follows from what happens to a service.
//!
//! Four tables over (state, input): what people order, what `settle` finds, what time does, what the
//! shell reports of a run. Each pair is written out, those too after which nothing happens; so a
//! new state or a new input does not compile until somebody has thought about every pair.

use std::sync::Arc;

use crate::change::take_over;
use crate::id::RunId;
use crate::machine::backoff::Jitter;
use crate::machine::consequence::{ended_before_it_was_ready, kill, kill_again_if_stuck, stop};
use crate::machine::renewal::{well_again, without_renewal};
use crate::machine::service::{Cause, Checks, Given, Hopeless, Node, Stage, State, Why};
use crate::machine::{Effect, Ended, Goal, Occasion, RunEvent, StateWord, Transition, text};
use crate::manifest::model::Service;
use crate::time::Moment;

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
    /// Do not run this declaration here.
    Skip(Arc<Service>),
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
    MaySpawn { run: RunId, given: Given },
    /// What its run was started with is not what there is now; the text says what is new, and a new
    /// run would be given this.
    IsOutOfDate { why: String, given: Given },
    /// What made its run out of date is as it was again.
    IsUpToDate,
    /// The run must end whether or not another could start; the text says why.
    MustGo(String),
    /// A dependency is hopeless.
    IsHopeless(Hopeless),
    /// No dependency is hopeless any more.
    MayHope,
    /// It has to go, and nothing that goes too needs it any longer.
    MayStop,
    /// An earlier supervisor died before it could spawn it; nothing was executed.
    WasCutShort,
}

/// What a step needs to know and to reach, beside the service itself.
pub(super) struct Context<'a> {
    pub(super) now: Moment,
    /// Whether stops have no grace.
    pub(super) is_hurried: bool,
    pub(super) jitter: &'a mut Jitter,
    pub(super) effects: &'a mut Vec<Effect>,
    /// What came of it, for the record.
    pub(super) transitions: &'a mut Vec<Transition>,
}

impl Input {
    /// What a transition that this input leads to came from.
    fn occasion(&self) -> Occasion {
        match self {
            // A run is stopped because of an order; that others go first is a matter of turns.
            Self::Order(_) | Self::Finding(Finding::MayStop) => Occasion::Order,
            Self::Finding(
                Finding::MaySpawn { .. }
                | Finding::IsOutOfDate { .. }
                | Finding::IsUpToDate
                | Finding::MustGo(_)
                | Finding::IsHopeless(_)
                | Finding::MayHope,
            ) => Occasion::Dependency,
            // Which deadline it was shows in the state that it ended.
            Self::Finding(Finding::WasCutShort) => Occasion::Gone,
            Self::Deadline => Occasion::Policy,
            Self::Run(RunEvent::Spawned) => Occasion::Spawned,
            Self::Run(RunEvent::SpawnFailed(_)) => Occasion::SpawnFailed,
            Self::Run(
                RunEvent::Ready
                | RunEvent::NotReady(_)
                | RunEvent::Extended(_)
                | RunEvent::Exported(_)
                | RunEvent::Healthy
                | RunEvent::Unwell(_),
            ) => Occasion::Probe,
            Self::Run(RunEvent::Exited(ended)) => Occasion::Exited(*ended),
            Self::Run(RunEvent::Examined(_)) => Occasion::Probe,
            Self::Run(RunEvent::Gone) => Occasion::Gone,
            Self::Run(RunEvent::Survived(_) | RunEvent::Left(_)) => Occasion::Escalation,
        }
    }
}

/// What is compared to see whether there is something to write down.
#[derive(PartialEq)]
struct Seen {
    word: StateWord,
    run: Option<RunId>,
    /// How harsh the ending of the run is.
    stage: u8,
    /// What a new run would lack, for which the live one is kept.
    lacks: Vec<String>,
}

/// What follows.
pub(super) enum Next {
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
        let seen = self.seen();
        let occasion = match (input.occasion(), &self.state) {
            (Occasion::Policy, S::Starting { .. }) => Occasion::StartTimeout,
            (Occasion::Policy, S::Stopping { .. }) => Occasion::Escalation,
            (Occasion::Order, _) if matches!(input, Input::Finding(_)) && self.is_out_of_date() => {
                Occasion::Dependency
            }
            (occasion, _) => occasion,
        };
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
        let now = self.seen();
        if now.word != seen.word {
            self.since = context.now;
        }
        if now != seen {
            context.transitions.push(Transition {
                service: self.declaration.name.clone(),
                from: seen.word,
                to: now.word,
                run: now.run.or(seen.run),
                occasion,
                reason: self.own_reason(),
            });
        }
        is_changed
    }

    fn seen(&self) -> Seen {
        let stage = match &self.state {
            S::Stopping { stage, .. } => match stage {
                Stage::Grace { .. } => 0,
                Stage::Killed { .. } => 1,
                Stage::Stuck { .. } => 2,
            },
            S::Down(_)
            | S::Waiting
            | S::Spawning { .. }
            | S::Starting { .. }
            | S::Ready { .. }
            | S::Backoff { .. } => 0,
        };
        Seen {
            word: self.word(),
            run: self.run().map(|run| run.id),
            stage,
            lacks: self.lacks().to_vec(),
        }
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

            (S::Down(_) | S::Waiting | S::Backoff { .. }, O::Skip(service)) => {
                self.start_afresh(service);
                New(S::Down(Why::Skipped))
            }
            (
                state @ (S::Spawning { .. } | S::Starting { .. } | S::Ready { .. }),
                O::Skip(service),
            ) => {
                // `settle` stops what is not of this generation; what follows then is read off the
                // declaration.
                self.start_afresh(service);
                New(state)
            }
            (S::Stopping { run, stage, cause }, O::Skip(service)) => {
                self.start_afresh(service);
                New(kill_again_if_stuck(run, stage, cause, context))
            }

            (S::Down(Why::NotStarted), O::Down) => Same(S::Down(Why::NotStarted)),
            (
                S::Down(
                    Why::Stopped
                    | Why::Skipped
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
                let is_ready = matches!(state, S::Ready { .. });
                let service = take_over(&self.declaration, &service, is_ready);
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
            (S::Waiting, F::MaySpawn { run, given }) => New(self.spawn(run, given, context)),
            (
                state @ (S::Down(_)
                | S::Spawning { .. }
                | S::Starting { .. }
                | S::Ready { .. }
                | S::Stopping { .. }
                | S::Backoff { .. }),
                F::MaySpawn { .. },
            ) => Same(state),

            (
                state @ (S::Spawning { .. } | S::Starting { .. } | S::Ready { .. }),
                F::IsOutOfDate { why, given },
            ) => New(self.ask_to_renew(state, why, &given, context)),
            (
                state @ (S::Spawning { .. } | S::Starting { .. } | S::Ready { .. }),
                F::IsUpToDate,
            ) => New(without_renewal(state)),
            (
                state @ (S::Spawning { .. } | S::Starting { .. } | S::Ready { .. }),
                F::MustGo(why),
            ) => {
                // `settle` stops it as soon as nothing that goes too needs it.
                self.replace(why);
                New(state)
            }
            (
                state @ (S::Down(_) | S::Waiting | S::Stopping { .. } | S::Backoff { .. }),
                F::IsOutOfDate { .. } | F::IsUpToDate | F::MustGo(_),
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
                    | Why::Skipped
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
                New(stop(run, self.cause_of_stop(), context))
            }
            (
                state @ (S::Down(_) | S::Waiting | S::Stopping { .. } | S::Backoff { .. }),
                F::MayStop,
            ) => Same(state),

            // That is no failure: it waits for its turn again.
            (S::Spawning { run }, F::WasCutShort) => New(self.after(&run, Cause::Ordered, context)),
            (
                state @ (S::Down(_)
                | S::Waiting
                | S::Starting { .. }
                | S::Ready { .. }
                | S::Stopping { .. }
                | S::Backoff { .. }),
                F::WasCutShort,
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
            S::Ready {
                run,
                since,
                settles: Some(at),
                checks,
            } if at <= now => {
                self.has_been_ready = true;
                New(S::Ready {
                    run,
                    since,
                    settles: None,
                    checks,
                })
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
            (S::Spawning { run }, E::Spawned) => New(self.spawned(run, context.now)),
            (S::Spawning { run }, E::SpawnFailed(failure)) => {
                New(self.after_failed_spawn(&run, &failure, context))
            }
            // The stop overtook the answer; nothing of the run is left.
            (S::Stopping { run, cause, .. }, E::SpawnFailed(_)) => {
                New(self.after(&run, cause, context))
            }

            (S::Starting { run, .. }, E::Ready) if !run.service.is_task() => {
                New(self.ready(run, context.now))
            }
            (S::Starting { run, give_up, last }, E::NotReady(found)) => {
                let is_news = last.as_ref() != Some(&found);
                let state = S::Starting {
                    run,
                    give_up,
                    last: Some(found),
                };
                if is_news { New(state) } else { Same(state) }
            }

            (
                S::Starting {
                    run,
                    give_up: Some(at),
                    last,
                },
                E::Extended(span),
            ) => New(S::Starting {
                run,
                give_up: Some(at.max(context.now + span)),
                last,
            }),
            (
                S::Stopping {
                    run,
                    stage: Stage::Grace { until },
                    cause,
                },
                E::Extended(span),
            ) => New(S::Stopping {
                run,
                stage: Stage::Grace {
                    until: until.max(context.now + span),
                },
                cause,
            }),

            (state @ (S::Starting { .. } | S::Ready { .. }), E::Exported(values)) => {
                if self.exports == values {
                    Same(state)
                } else {
                    self.exports = values;
                    New(state)
                }
            }

            (
                S::Ready {
                    run,
                    since,
                    settles,
                    checks,
                },
                E::Healthy,
            ) if checks.failed > 0 => New(S::Ready {
                run: well_again(run),
                since,
                settles,
                checks: Checks::default(),
            }),
            (
                S::Ready {
                    run,
                    since,
                    settles,
                    checks,
                },
                E::Unwell(found),
            ) if run.service.health.is_some() => {
                New(self.after_failed_check(run, (since, settles), checks, found, context))
            }

            (
                state @ (S::Spawning { .. } | S::Starting { .. } | S::Ready { .. }),
                E::Examined(lacks),
            ) => self.after_examination(state, lacks, context),

            (S::Spawning { run } | S::Starting { run, .. }, E::Exited(ended)) => {
                let cause = ended_before_it_was_ready(&run, ended);
                New(stop(run, cause, context))
            }
            (
                S::Ready {
                    run,
                    since,
                    settles,
                    ..
                },
                E::Exited(ended),
            ) => {
                let cause = self.ended_while_ready(since, settles, ended, context.now);
                New(stop(run, cause, context))
            }

            (
                state @ S::Stopping {
                    cause: Cause::Ended(_) | Cause::EndedEarly(_),
                    ..
                },
                E::Left(left),
            ) => {
                self.left_behind = Some(left);
                New(state)
            }
            (S::Stopping { run, cause, .. }, E::Gone) => New(self.after(&run, cause, context)),
            // The shell owes `Exited` first; without it, nobody knows how the run ended.
            (S::Spawning { run } | S::Starting { run, .. }, E::Gone) => {
                let cause = ended_before_it_was_ready(&run, Ended::Unknown);
                New(self.after(&run, cause, context))
            }
            (
                S::Ready {
                    run,
                    since,
                    settles,
                    ..
                },
                E::Gone,
            ) => {
                let cause = self.ended_while_ready(since, settles, Ended::Unknown, context.now);
                New(self.after(&run, cause, context))
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
                | E::Extended(_)
                | E::Exported(_)
                | E::Healthy
                | E::Unwell(_)
                | E::Exited(_)
                | E::Gone
                | E::Left(_)
                | E::Survived(_)
                | E::Examined(_),
            )
            | (
                state @ S::Spawning { .. },
                E::Extended(_)
                | E::Exported(_)
                | E::Ready
                | E::NotReady(_)
                | E::Healthy
                | E::Unwell(_)
                | E::Left(_)
                | E::Survived(_),
            )
            | (
                state @ S::Starting { .. },
                E::Spawned
                | E::SpawnFailed(_)
                | E::Ready
                | E::Extended(_)
                | E::Healthy
                | E::Unwell(_)
                | E::Left(_)
                | E::Survived(_),
            )
            | (
                state @ S::Ready { .. },
                E::Spawned
                | E::SpawnFailed(_)
                | E::Ready
                | E::NotReady(_)
                | E::Extended(_)
                | E::Healthy
                | E::Unwell(_)
                | E::Left(_)
                | E::Survived(_),
            )
            | (
                state @ S::Stopping { .. },
                E::Spawned
                | E::Ready
                | E::NotReady(_)
                | E::Extended(_)
                | E::Exported(_)
                | E::Healthy
                | E::Unwell(_)
                | E::Exited(_)
                | E::Left(_)
                | E::Survived(_)
                | E::Examined(_),
            ) => Same(state),
        }
    }
}
