//! The pure heart of the supervisor: what is wanted and what is true of every service of a project,
//! and what is to be done about the difference.
//!
//! # Theory
//!
//! People set goals (by a [`Plan`] that is carried out with [`Project::apply`]); the shell tells
//! what happens to runs ([`Project::handle`]); both get back [`Effect`]s to carry out, and the
//! results come in again as events. The machine never waits, reads no clock and does nothing itself:
//! the same calls with the same moments and the same seed give the same effects, so that a test can
//! live through years of crashes in a second.
//!
//! Each call has two phases. First, one service takes a step (`step`), knowing nothing of the others.
//! Then `settle` looks at all together until nothing changes: what has to go and is no longer needed
//! is stopped, what waits and may start is spawned, what waits for something hopeless is told so.
//! It is a fixpoint: to settle twice is to settle once.
//!
//! # Rules
//!
//! 1. **One way out.** Every run, also one that ended by itself, leaves through `Stopping`, and only
//!    `Gone` ends it. So a new run never meets leftovers of an old one. A spawn that failed left
//!    nothing and ends at once.
//! 2. **Every event names its run.** One of another run than the present changes nothing.
//! 3. **Deadlines lie in states.** [`Project::next_deadline`] is their minimum; no timer can leak.
//! 4. **No run is told what it should become.** A service holds its declaration and a generation; an
//!    order for a new run raises the generation, and a live run of an older one is stopped. What
//!    follows when it is gone is read off the goal and the generation then, not remembered.
//! 5. **Starts wait, stops wait.** A service is spawned when all conditions of its dependencies hold,
//!    for runs of their present generation. A run that has to go is stopped when nothing live that
//!    has to go too needs it, directly or through services that do not live. Runs that stay do not
//!    hold up the stop of what they need: a dependency that is lost leaves its dependents running.
//!    What ends by itself or outlives KILL holds up nothing either.
//! 6. **What has to go has no start deadline.** Otherwise a dependency whose readiness runs out
//!    during an orderly stop would be signalled before its dependents are gone.
//! 7. **Hopeless waits end at once.** A service that waits for what cannot come without a new order
//!    is blocked and says by whom; it waits again as soon as that has another chance.
//!
//! Order follows the declarations that the services have *now*, not those that their runs were made
//! from. That keeps it free of cycles, whatever versions of the manifest were applied: a plan names
//! all that its services need, so at any time a declaration needs only services whose declaration
//! is as new or newer, and those of one age come from one manifest. For the same reason nothing is
//! forgotten that a live run needs, though it be down and gone from the manifest.
//!
//! A stop that comes while a run is being spawned is asked for at once and not after the answer,
//! since a spawn may come to include waits. The shell then owes the answer all the same.

mod backoff;
mod consequence;
#[cfg(test)]
mod exports;
mod interface;
mod renewal;
mod rest;
mod restore;
mod saved;
mod service;
mod settle;
mod step;
mod text;
#[cfg(test)]
mod transitions;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;

pub use interface::*;
pub use restore::{Found, LAST_CHANCE};
pub use saved::{Life, Saved};

use crate::id::{RunId, ServiceName};
use crate::manifest::model::{Manifest, Service};
use crate::plan::{Action, Plan};
use crate::time::Moment;
use backoff::Jitter;
use service::{Node, State};
use step::{Context, Input, Order};

/// All services of a project, their goals and states.
#[derive(Debug, Clone)]
pub struct Project {
    /// In the order of the manifest, what left the manifest last.
    nodes: IndexMap<ServiceName, Node>,
    next_run: RunId,
    jitter: Jitter,
    is_hurried: bool,
}

/// What one call comes to.
#[derive(Default)]
struct Outcome {
    effects: Vec<Effect>,
    /// In the order in which they happened.
    transitions: Vec<Transition>,
    /// Services whose view may have changed.
    changed: BTreeSet<ServiceName>,
    /// Whether who needs whom may have changed, by new declarations or dropped ones.
    is_rewired: bool,
}

impl Project {
    /// An empty project. `seed` feeds the jitter of restart delays; the first run gets `first_run`.
    pub fn new(seed: u64, first_run: RunId) -> Self {
        Self {
            nodes: IndexMap::new(),
            next_run: first_run,
            jitter: Jitter::new(seed),
            is_hurried: false,
        }
    }

    /// Sets goals and declarations as `plan` says (made from this very `manifest` and from
    /// [`Project::observed`]), and returns what is to be done now.
    ///
    /// `manifest` is `None` for orders that stop only. Services that the plan does not name are
    /// left as they are; those among them that the project did not hold yet are held from now on,
    /// without a wish to run. What the manifest no longer declares is dropped once it is down.
    pub fn apply(&mut self, manifest: Option<&Manifest>, plan: &Plan, now: Moment) -> Vec<Effect> {
        let mut outcome = Outcome::default();
        self.is_hurried = false;
        outcome.is_rewired = manifest.is_some();
        if let Some(manifest) = manifest {
            self.hold(manifest, now, &mut outcome);
        }
        for step in plan.waves.iter().flatten() {
            let name = &step.service;
            let declared = manifest.and_then(|manifest| manifest.services.get(name));
            let Some(index) = self.nodes.get_index_of(name) else {
                continue;
            };
            if step.action == Action::Stop && self.nodes[index].declaration.instance.is_some() {
                // It was declared by the order that started it.
                self.nodes[index].is_declared = false;
            }
            // Without a manifest, what is held is what there is.
            let service = || match declared {
                Some(service) => Arc::new(Service {
                    missing: service.missing.iter().chain(&step.lacks).cloned().collect(),
                    ..service.clone()
                }),
                None => Arc::clone(&self.nodes[index].declaration),
            };
            let order = match step.action {
                // A plan keeps what is skipped when it is so already, and leaves alone what was not
                // asked about.
                Action::Start | Action::Restart | Action::Stop | Action::Keep
                    if declared.is_some_and(Service::is_skipped)
                        && (step.action != Action::Keep || self.nodes[index].may_be_skipped()) =>
                {
                    Order::Skip(service())
                }
                Action::Start => Order::Up {
                    service: service(),
                    is_restart: false,
                },
                Action::Restart => Order::Up {
                    service: service(),
                    is_restart: true,
                },
                Action::Stop => Order::Down,
                Action::Keep => Order::Declare(service()),
            };
            self.step(index, Input::Order(order), now, &mut outcome);
        }
        self.finish(outcome, now)
    }

    /// Takes in what happened to a run.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let mut outcome = Outcome::default();
        let Some(index) = self.nodes.get_index_of(&event.service) else {
            return outcome.effects;
        };
        if self.nodes[index].run().map(|run| run.id) != Some(event.run) {
            return outcome.effects;
        }
        self.step(index, Input::Run(event.what), now, &mut outcome);
        self.finish(outcome, now)
    }

    /// Acts on every deadline that has passed. A call without one is harmless.
    pub fn handle_deadline(&mut self, now: Moment) -> Vec<Effect> {
        let mut outcome = Outcome::default();
        for index in 0..self.nodes.len() {
            self.step(index, Input::Deadline, now, &mut outcome);
        }
        self.finish(outcome, now)
    }

    /// The next moment at which [`Project::handle_deadline`] has something to do.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.nodes.values().filter_map(Node::deadline).min()
    }

    /// KILL without grace for every run that is being stopped or has to go, dependents or not, now
    /// and from now on until a new order comes (`down --now`).
    pub fn hurry(&mut self, now: Moment) -> Vec<Effect> {
        let mut outcome = Outcome::default();
        self.is_hurried = true;
        for index in 0..self.nodes.len() {
            self.step(index, Input::Order(Order::Hurry), now, &mut outcome);
        }
        self.finish(outcome, now)
    }

    /// All names that the project holds, those too that are only being stopped; in the order of the
    /// manifest, what left the manifest last.
    pub fn services(&self) -> Vec<ServiceName> {
        self.nodes.keys().cloned().collect()
    }

    /// What is wanted of each service.
    pub fn goals(&self) -> BTreeMap<ServiceName, Goal> {
        let nodes = self.nodes.iter();
        nodes
            .map(|(name, node)| (name.clone(), node.goal))
            .collect()
    }

    /// Whether every goal is down, and nothing lives or waits but what outlived KILL.
    pub fn is_down_or_stuck(&self) -> bool {
        self.nodes.values().all(|node| {
            node.goal == Goal::Down && (matches!(node.state, State::Down(_)) || node.is_stuck())
        })
    }

    /// Whether every goal is down and nothing lives or waits.
    pub fn is_down(&self) -> bool {
        self.nodes
            .values()
            .all(|node| node.goal == Goal::Down && matches!(node.state, State::Down(_)))
    }

    /// Takes note of what `manifest` declares.
    fn hold(&mut self, manifest: &Manifest, now: Moment, outcome: &mut Outcome) {
        for node in self.nodes.values_mut() {
            node.is_declared = false;
        }
        for (name, service) in &manifest.services {
            if let Some(node) = self.nodes.get_mut(name) {
                node.is_declared = true;
            } else {
                let node = Node::new(Arc::new(service.clone()), now);
                self.nodes.insert(name.clone(), node);
                outcome.changed.insert(name.clone());
            }
        }
        let place = |name: &ServiceName| manifest.services.get_index_of(name).unwrap_or(usize::MAX);
        self.nodes.sort_by(|a, _, b, _| place(a).cmp(&place(b)));
    }

    fn step(&mut self, index: usize, input: Input, now: Moment, outcome: &mut Outcome) -> bool {
        let Some((name, node)) = self.nodes.get_index_mut(index) else {
            return false;
        };
        let mut context = Context {
            now,
            is_hurried: self.is_hurried,
            jitter: &mut self.jitter,
            effects: &mut outcome.effects,
            transitions: &mut outcome.transitions,
        };
        let is_changed = node.step(input, &mut context);
        if is_changed {
            outcome.changed.insert(name.clone());
        }
        is_changed
    }

    /// The second phase of every call.
    fn finish(&mut self, mut outcome: Outcome, now: Moment) -> Vec<Effect> {
        self.settle(now, &mut outcome);
        self.announce(&mut outcome);
        let notes = outcome.transitions.into_iter();
        // First what was, then what is to be done: what fails at once is a later transition.
        let mut effects: Vec<Effect> = notes.map(|one| Effect::Note(Box::new(one))).collect();
        effects.append(&mut outcome.effects);
        effects
    }
}
