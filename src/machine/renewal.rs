//! A new run in the place of one that lives, when no order asked for it: what the service depends on
//! is new, or its health checks fail.
//!
//! The live run is not given up for one that could not start. So the machine asks the shell to look
//! ([`Effect::Examine`]) and stops the live run only when the answer is good. Otherwise it keeps it,
//! says why, and looks again: after [`LOOK_AGAIN`] where something is out of date, at the next failed
//! check where the run is unhealthy, and at once when the service is declared anew.

use std::time::Duration;

use crate::machine::consequence::{filled, stop};
use crate::machine::service::{Cause, Given, Node, Renewal, Run, State, Wish};
use crate::machine::step::{Context, Next};
use crate::machine::{Effect, text};
use crate::manifest::model::Policy;
use crate::time::Moment;

/// How long after a new run was found unable to start it is looked at again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl Node {
    /// What the run was started with is out of date: asks whether a new one could start.
    pub(super) fn ask_to_renew(
        &mut self,
        mut state: State,
        why: String,
        given: &Given,
        context: &mut Context<'_>,
    ) -> State {
        if let State::Spawning { run } | State::Starting { run, .. } | State::Ready { run, .. } =
            &mut state
        {
            self.ask(run, Wish::OutOfDate(why), given, context);
        }
        state
    }

    /// The run is unhealthy: asks whether a new one could start.
    pub(super) fn ask_to_replace_unhealthy(
        &mut self,
        mut run: Run,
        context: &mut Context<'_>,
    ) -> Run {
        if !run.may_be_replaced() {
            let given = run.given.clone();
            self.ask(&mut run, Wish::Unhealthy, &given, context);
        }
        run
    }

    fn ask(&self, run: &mut Run, wish: Wish, given: &Given, context: &mut Context<'_>) {
        context.effects.push(Effect::Examine {
            run: run.id,
            service: filled(&self.declaration, given),
        });
        // What it lacked before is shown until it is known what it lacks now.
        let lacks = run.renewal.take().map(|one| one.lacks).unwrap_or_default();
        run.renewal = Some(Renewal {
            wish,
            lacks,
            again: None,
        });
    }

    /// What a new run lacks is known.
    pub(super) fn after_examination(
        &mut self,
        mut state: State,
        lacks: Vec<String>,
        context: &mut Context<'_>,
    ) -> Next {
        let (State::Spawning { run } | State::Starting { run, .. } | State::Ready { run, .. }) =
            &mut state
        else {
            return Next::Same(state);
        };
        let is_unwanted = self.is_unwanted(run);
        let Some(renewal) = run.renewal.as_mut().filter(|one| one.again.is_none()) else {
            return Next::Same(state);
        };
        if is_unwanted {
            return Next::Same(state);
        }
        if !lacks.is_empty() {
            renewal.lacks = lacks;
            renewal.again = Some(context.now + LOOK_AGAIN);
            return Next::New(state);
        }
        let Some(Renewal { wish, .. }) = run.renewal.take() else {
            return Next::Same(state);
        };
        match (wish, state) {
            (Wish::OutOfDate(why), state) => {
                // `settle` stops it as soon as nothing that goes too needs it.
                self.replace(why);
                Next::New(state)
            }
            (
                Wish::Unhealthy,
                State::Ready {
                    run,
                    since,
                    settles,
                    checks,
                },
            ) => {
                if settles.is_none() {
                    self.forget_failures_if_stable(since, context.now);
                }
                let why = text::unhealthy(&checks);
                Next::New(stop(run, Cause::Unhealthy(why), context))
            }
            (Wish::Unhealthy, state) => Next::Same(state),
        }
    }

    /// Whether a run that is ended because it is unhealthy is followed by another.
    pub(super) fn would_retry(&self) -> bool {
        let restart = &self.declaration.restart;
        let failures = self.row.failures.saturating_add(1);
        restart.policy != Policy::Never && restart.max_failures.is_none_or(|most| failures < most)
    }

    /// Why a new run is wanted, for people.
    pub(super) fn why_renewed(&self, renewal: &Renewal) -> String {
        match (&renewal.wish, &self.state) {
            (Wish::OutOfDate(why), _) => why.clone(),
            (Wish::Unhealthy, State::Ready { checks, .. }) => text::found(checks),
            (Wish::Unhealthy, _) => "unhealthy".into(),
        }
    }
}

/// No new run is wanted in the place of this one.
pub(super) fn without_renewal(mut state: State) -> State {
    if let State::Spawning { run } | State::Starting { run, .. } | State::Ready { run, .. } =
        &mut state
    {
        run.renewal = None;
    }
    state
}

/// The run is healthy again: it need not be replaced for its health.
pub(super) fn well_again(mut run: Run) -> Run {
    run.renewal = run.renewal.filter(|one| one.wish != Wish::Unhealthy);
    run
}

/// An order is a reason to look again at once.
pub(super) fn look_again_now(state: &mut State, now: Moment) {
    if let State::Spawning { run } | State::Starting { run, .. } | State::Ready { run, .. } = state
        && let Some(renewal) = &mut run.renewal
        && renewal.again.is_some()
    {
        renewal.again = Some(now);
    }
}
