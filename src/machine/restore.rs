//! A new supervisor goes on with the lives that an earlier one left.
//!
//! What was written down ([`Saved`]) meets what is found of each run ([`Found`]), before any service
//! is shown to another: so nothing starts because of a dependency that has ended meanwhile. From
//! there on everything goes its ordinary way: a run that ended leaves through `Stopping` like any
//! other, and its restart policy has the word.
//!
//! - A start that was cut short before anything was executed has not happened: it is no failure,
//!   and the service waits for its turn again.
//! - Deadlines are moments, so they go on by themselves. Two are given more: one for becoming ready,
//!   which passed while nobody asked, leaves a last chance; and since a stop signal that may not have
//!   been sent is sent again, its grace begins again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::id::{RunId, ServiceName};
use crate::machine::backoff::Jitter;
use crate::machine::consequence::{kill, stop};
use crate::machine::saved::{Saved, load};
use crate::machine::service::{Node, Stage, State};
use crate::machine::step::{Context, Finding, Input};
use crate::machine::{AdoptedStage, Effect, Ended, Outcome, Project, RunEvent};
use crate::manifest::model::{Manifest, OnSupervisorLoss};
use crate::time::Moment;

/// What a run that was asked for its readiness by nobody gets at least to answer.
pub const LAST_CHANCE: Duration = Duration::from_secs(5);

/// What is found of a run that an earlier supervisor began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Its leader lives.
    Alive,
    /// Its leader executed the command and has ended; other members may be left.
    Ended(Ended),
    /// No member is left of it. While its start was never confirmed, this also says that nothing of
    /// it was executed.
    Nothing,
}

impl Project {
    /// The project as it was left, and what is to be done now. `is_loss`: its supervisor was killed,
    /// and did not make way in order. What `found` does not name is
    /// [`Found::Nothing`].
    pub fn restore(
        seed: u64,
        first_run: RunId,
        manifest: Option<&Manifest>,
        saved: BTreeMap<ServiceName, Saved>,
        found: &BTreeMap<RunId, Found>,
        is_loss: bool,
        now: Moment,
    ) -> (Self, Vec<Effect>) {
        let is_declared = |name: &ServiceName| match manifest {
            Some(manifest) => manifest.services.contains_key(name),
            None => true,
        };
        let nodes: IndexMap<ServiceName, Node> = saved
            .into_iter()
            .map(|(name, saved)| {
                let is_declared = is_declared(&name);
                (name, load(saved, is_declared))
            })
            .collect();
        let mut project = Self {
            nodes,
            next_run: first_run,
            jitter: Jitter::new(seed),
            is_hurried: false,
        };
        let mut outcome = Outcome {
            is_rewired: true,
            ..Outcome::default()
        };
        if let Some(manifest) = manifest {
            project.hold(manifest, now, &mut outcome);
        }
        for index in 0..project.nodes.len() {
            project.go_on(index, found, now, &mut outcome);
            // What came due while nobody was there.
            project.step(index, Input::Deadline, now, &mut outcome);
        }
        if is_loss {
            project.end_lost(found, now, &mut outcome);
        }
        outcome.changed.extend(project.nodes.keys().cloned());
        let effects = project.finish(outcome, now);
        (project, effects)
    }

    /// Replaces the runs that are not to outlive the loss of their supervisor.
    fn end_lost(&mut self, found: &BTreeMap<RunId, Found>, now: Moment, outcome: &mut Outcome) {
        for index in 0..self.nodes.len() {
            let is_lost = self.nodes[index].run().is_some_and(|run| {
                run.service.on_supervisor_loss == OnSupervisorLoss::Stop
                    && found.get(&run.id) == Some(&Found::Alive)
            });
            if is_lost {
                let why = Finding::MustGo("its supervisor was killed".into());
                self.step(index, Input::Finding(why), now, outcome);
            }
        }
    }

    /// One service meets what is found of its run.
    fn go_on(
        &mut self,
        index: usize,
        found: &BTreeMap<RunId, Found>,
        now: Moment,
        outcome: &mut Outcome,
    ) {
        let node = &self.nodes[index];
        let Some(run) = node.run() else { return };
        let found = found.get(&run.id).copied().unwrap_or(Found::Nothing);
        if found != Found::Nothing {
            outcome.effects.push(Effect::Adopt {
                run: run.id,
                service: Arc::clone(&run.service),
                stage: match (&node.state, found) {
                    (State::Spawning { .. } | State::Starting { .. }, Found::Alive) => {
                        AdoptedStage::Starting
                    }
                    (State::Ready { .. }, Found::Alive) => AdoptedStage::Ready,
                    (
                        State::Down(_)
                        | State::Waiting
                        | State::Spawning { .. }
                        | State::Starting { .. }
                        | State::Ready { .. }
                        | State::Stopping { .. }
                        | State::Backoff { .. },
                        _,
                    ) => AdoptedStage::Ending,
                },
            });
        }
        let told = match (&node.state, found) {
            (State::Down(_) | State::Waiting | State::Backoff { .. }, _)
            | (State::Ready { .. }, Found::Alive) => vec![],
            (State::Spawning { .. }, Found::Nothing) => {
                let cut_short = Input::Finding(Finding::WasCutShort);
                self.step(index, cut_short, now, outcome);
                return;
            }
            (State::Spawning { .. }, Found::Alive) => vec![RunEvent::Spawned],
            (State::Spawning { .. }, Found::Ended(ended)) => {
                vec![RunEvent::Spawned, RunEvent::Exited(ended)]
            }
            (State::Starting { .. } | State::Ready { .. }, Found::Ended(ended)) => {
                vec![RunEvent::Exited(ended)]
            }
            (
                State::Starting { .. } | State::Ready { .. } | State::Stopping { .. },
                Found::Nothing,
            ) => vec![RunEvent::Gone],
            (State::Starting { .. }, Found::Alive) => return self.give_last_chance(index, now),
            (State::Stopping { .. }, Found::Alive | Found::Ended(_)) => {
                return self.end_again(index, now, outcome);
            }
        };
        for what in told {
            self.step(index, Input::Run(what), now, outcome);
        }
    }

    fn give_last_chance(&mut self, index: usize, now: Moment) {
        if let State::Starting { give_up, .. } = &mut self.nodes[index].state {
            *give_up = give_up.map(|at| at.max(now + LAST_CHANCE));
        }
    }

    /// The earlier supervisor may have died before it signalled: that is done again.
    fn end_again(&mut self, index: usize, now: Moment, outcome: &mut Outcome) {
        let mut context = Context {
            now,
            is_hurried: false,
            jitter: &mut self.jitter,
            effects: &mut outcome.effects,
            transitions: &mut outcome.transitions,
        };
        let node = &mut self.nodes[index];
        if let State::Stopping { run, stage, cause } = node.state.clone() {
            node.state = match stage {
                Stage::Grace { .. } => stop(run, cause, &mut context),
                Stage::Killed { .. } | Stage::Stuck { .. } => kill(run, cause, &mut context),
            };
        }
    }
}
