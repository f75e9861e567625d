//! What the services mean to each other.

use std::collections::BTreeSet;

use indexmap::IndexSet;

use crate::id::{RunId, ServiceName};
use crate::machine::service::{Given, Hopeless, Node, State, Why, Wish};
use crate::machine::step::{Finding, Input};
use crate::machine::{Effect, Goal, Outcome, Project, text};
use crate::manifest::model::{Condition, Dependency};
use crate::manifest::reference::Reference;
use crate::time::Moment;

/// How many runs may be between the order to spawn and the shell's answer at a time, so that a
/// hundred services are not forked in one instant. What waits for readiness does not count: it may
/// wait for ever, and nothing that waits for its turn may be held up by it. The shell always
/// answers, so a turn always comes.
const SPAWNS_AT_A_TIME: usize = 16;

/// How a dependency stands towards one of its dependents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// The condition holds.
    Holds,
    /// It may come to hold without an order.
    Pending,
    /// It cannot.
    Hopeless(Hopeless),
}

impl Project {
    /// Lets every service act on what the others are now, until nothing changes any more.
    pub(super) fn settle(&mut self, now: Moment, outcome: &mut Outcome) {
        self.follow();
        // Each round that changes something passes news one edge further up, finds something out of
        // date, stops it for good or spawns it, so there are few; the bound makes a mistake here a
        // bug and no hang.
        for _ in 0..=4 * self.nodes.len() + 3 {
            if !self.settle_once(now, outcome) {
                return;
            }
        }
        debug_assert!(false, "settle does not come to rest");
    }

    fn settle_once(&mut self, now: Moment, outcome: &mut Outcome) -> bool {
        let mut is_changed = false;
        for index in 0..self.nodes.len() {
            if let Some(finding) = self.timeliness(&self.nodes[index], now) {
                is_changed |= self.find(index, finding, now, outcome);
            }
        }
        let held = self.held();
        for index in 0..self.nodes.len() {
            let (name, node) = (&self.nodes.keys()[index], &self.nodes[index]);
            if is_held(node) && !held.contains(name) {
                is_changed |= self.find(index, Finding::MayStop, now, outcome);
            }
        }
        for index in 0..self.nodes.len() {
            if let Some(finding) = self.prospect(&self.nodes[index]) {
                is_changed |= self.find(index, finding, now, outcome);
            }
        }
        is_changed |= self.spawn_in_turn(now, outcome);
        is_changed |= self.drop_undeclared(outcome);
        is_changed
    }

    fn find(&mut self, index: usize, finding: Finding, now: Moment, outcome: &mut Outcome) -> bool {
        self.step(index, Input::Finding(finding), now, outcome)
    }

    /// The services that something needs which has to go itself and still lives: they go later.
    fn held(&self) -> BTreeSet<ServiceName> {
        let mut held = BTreeSet::new();
        if self.is_hurried {
            return held;
        }
        for node in self.nodes.values().filter(|node| holds_others(node)) {
            self.collect_needs(node, &mut held);
        }
        held
    }

    /// The nearest services that hold up the stop of `name`, in the order of the manifest.
    pub(super) fn holders_of(&self, name: &ServiceName) -> Vec<ServiceName> {
        if self.is_hurried {
            return Vec::new();
        }
        let mut holders = BTreeSet::new();
        let mut seen = BTreeSet::from([name]);
        let mut open = vec![name];
        while let Some(needed) = open.pop() {
            for (index, (dependent, node)) in self.nodes.iter().enumerate() {
                if !node.declaration.depends_on.contains_key(needed) || !seen.insert(dependent) {
                    continue;
                }
                if holds_others(node) {
                    holders.insert(index);
                } else {
                    open.push(dependent);
                }
            }
        }
        let names = self.nodes.keys().enumerate();
        let names = names.filter(|(index, _)| holders.contains(index));
        names.map(|(_, name)| name.clone()).collect()
    }

    /// Adds all that `node` needs, directly or through others. What is in `needs` already is not
    /// looked at again.
    fn collect_needs(&self, node: &Node, needs: &mut BTreeSet<ServiceName>) {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            for name in node.declaration.depends_on.keys() {
                if !needs.insert(name.clone()) {
                    continue;
                }
                open.extend(self.nodes.get(name));
            }
        }
    }

    /// What the dependencies mean to a service that waits or is blocked by one of them.
    fn prospect(&self, node: &Node) -> Option<Finding> {
        let (State::Waiting | State::Down(Why::Dependency(_))) = &node.state else {
            return None;
        };
        let hopeless = node.declaration.depends_on.iter().find_map(|(name, edge)| {
            match self.edge_standing(name, edge) {
                Standing::Hopeless(hopeless) => Some(hopeless),
                Standing::Holds | Standing::Pending => None,
            }
        });
        Some(match hopeless {
            Some(hopeless) => Finding::IsHopeless(hopeless),
            None => Finding::MayHope,
        })
    }

    /// Spawns what may, those first that have waited longest.
    fn spawn_in_turn(&mut self, now: Moment, outcome: &mut Outcome) -> bool {
        let is_spawning = |node: &&Node| matches!(node.state, State::Spawning { .. });
        let taken = self.nodes.values().filter(is_spawning).count();
        let mut may_spawn: Vec<usize> = (0..self.nodes.len())
            .filter(|index| self.nodes[*index].state == State::Waiting)
            .filter(|index| self.pending(&self.nodes[*index]).is_empty())
            .collect();
        may_spawn.sort_by_key(|index| self.nodes[*index].since);
        may_spawn.truncate(SPAWNS_AT_A_TIME.saturating_sub(taken));
        for index in &may_spawn {
            let run = self.next_run;
            self.next_run.0 += 1;
            let given = self.given(&self.nodes[*index]);
            self.find(*index, Finding::MaySpawn { run, given }, now, outcome);
        }
        !may_spawn.is_empty()
    }

    /// The conditions that do not hold yet.
    pub(super) fn pending(&self, node: &Node) -> Vec<(ServiceName, Condition)> {
        let mut pending: Vec<(ServiceName, Condition)> = node
            .declaration
            .depends_on
            .iter()
            .filter(|(name, edge)| self.edge_standing(name, edge) != Standing::Holds)
            .map(|(name, edge)| (name.clone(), edge.condition))
            .collect();
        for one in self.without_value(node) {
            if !pending.contains(&one) {
                pending.push(one);
            }
        }
        pending
    }

    /// The services that have not exported what `node` refers to. (Who is ready has told all, unless
    /// it exports something new.)
    fn without_value(&self, node: &Node) -> BTreeSet<(ServiceName, Condition)> {
        let references = node.declaration.references.iter();
        references
            .filter(|one| self.value_of(one).is_none())
            .map(|one| (one.service.clone(), Condition::Ready))
            .collect()
    }

    /// What a run of `node` that is started now is started with.
    fn given(&self, node: &Node) -> Given {
        let followed = node.declaration.depends_on.iter();
        let followed = followed.filter(|(_, edge)| edge.restart);
        Given {
            runs: followed
                .map(|(name, _)| (name.clone(), self.latest_run(name)))
                .collect(),
            values: node
                .declaration
                .references
                .iter()
                .filter_map(|one| Some((one.clone(), self.value_of(one)?.clone())))
                .collect(),
        }
    }

    /// What is to be done about the age of what a run was started with.
    fn timeliness(&self, node: &Node, now: Moment) -> Option<Finding> {
        let renewal = node.run()?.renewal.as_ref();
        let wish = renewal.map(|renewal| &renewal.wish);
        let is_due = renewal.is_some_and(|one| one.again.is_some_and(|again| again <= now));
        match (self.out_of_date(node), wish) {
            // The shell is looking, or has looked not long ago.
            (Some(why), Some(Wish::OutOfDate(known))) if *known == why && !is_due => None,
            (Some(why), _) => Some(Finding::IsOutOfDate {
                why,
                given: self.given(node),
            }),
            (None, Some(Wish::OutOfDate(_))) => Some(Finding::IsUpToDate),
            (None, Some(Wish::Unhealthy) | None) => None,
        }
    }

    /// Why a run that nobody wants ended has to be replaced all the same: something that it depends
    /// on is as it should be, and is not what the run was started with. (What the manifest no longer
    /// declares stays as it is until it is stopped.)
    fn out_of_date(&self, node: &Node) -> Option<String> {
        let is_steady = node.is_declared && node.is_running() && !node.is_going();
        let run = node.run().filter(|_| is_steady)?;
        let is_new = |one: &&Reference| {
            let value = self.value_of(one);
            value.is_some()
                && value != run.given.values.get(one)
                && self.standing(&one.service, Condition::Ready) == Standing::Holds
        };
        if let Some(reference) = node.declaration.references.iter().find(is_new) {
            return Some(text::new_value_of(reference));
        }
        let followed = node.declaration.depends_on.iter();
        let mut followed = followed.filter(|(_, edge)| edge.restart);
        followed.find_map(|(name, edge)| {
            let given = run.given.runs.get(name)?;
            let is_new = *given < self.latest_run(name);
            (is_new && self.standing(name, edge.condition) == Standing::Holds)
                .then(|| text::new_run_of(name))
        })
    }

    /// What stands for a reference now.
    fn value_of(&self, reference: &Reference) -> Option<&String> {
        let node = self.nodes.get(&reference.service)?;
        node.exports.get(&reference.export)
    }

    fn latest_run(&self, name: &ServiceName) -> Option<RunId> {
        self.nodes.get(name)?.latest
    }

    /// A run that is declared anew may have dependencies that it did not follow before: it does from
    /// now on.
    fn follow(&mut self) {
        for index in 0..self.nodes.len() {
            let now = self.given(&self.nodes[index]);
            let node = &mut self.nodes[index];
            if let Some(run) = node.run_mut() {
                for (name, latest) in now.runs {
                    run.given.runs.entry(name).or_insert(latest);
                }
            }
        }
    }

    /// How a dependency stands: nothing is lost on one that is not required.
    fn edge_standing(&self, name: &ServiceName, edge: &Dependency) -> Standing {
        match self.standing(name, edge.condition) {
            Standing::Hopeless(_) if !edge.required => Standing::Holds,
            standing => standing,
        }
    }

    /// How the dependency `name` stands.
    pub(super) fn standing(&self, name: &ServiceName, condition: Condition) -> Standing {
        let hopeless = |what: String| {
            Standing::Hopeless(Hopeless {
                through: name.clone(),
                root: name.clone(),
                what,
            })
        };
        let Some(node) = self.nodes.get(name) else {
            return hopeless("is not declared".into());
        };
        if condition == Condition::Completed && !node.declaration.is_task() {
            return hopeless("is not a task and never completes".into());
        }
        if node.goal == Goal::Down {
            return hopeless("is down".into());
        }
        if let Some(why) = &node.declaration.when.unmet {
            return hopeless(format!("is skipped: {why}"));
        }
        match &node.state {
            State::Down(Why::Completed) => Standing::Holds,
            // An order up leads out of these at once.
            State::Down(Why::NotStarted | Why::Stopped | Why::Skipped) => Standing::Pending,
            State::Down(Why::EndedWell(why)) => hopeless(format!("does not run: {why}")),
            State::Down(Why::Failed(why)) => hopeless(format!("failed: {why}")),
            State::Down(Why::Blocked(why)) => hopeless(format!("is blocked: {why}")),
            State::Down(Why::Dependency(root)) => Standing::Hopeless(Hopeless {
                through: name.clone(),
                ..root.clone()
            }),
            // A run that is about to be replaced is not what its dependents wait for; one of which
            // the shell is about to tell whether it can be replaced is not yet.
            State::Starting { run, .. } | State::Ready { run, .. } if run.may_be_replaced() => {
                Standing::Pending
            }
            State::Starting { run, .. } if condition == Condition::Started => {
                holds_if(run.generation == node.generation)
            }
            State::Ready { .. } if condition == Condition::Ready && node.is_unhealthy() => {
                Standing::Pending
            }
            State::Ready { run, .. } => holds_if(run.generation == node.generation),
            State::Stopping { .. } if node.is_stuck() => {
                hopeless("cannot be started: its last run outlives KILL".into())
            }
            State::Waiting
            | State::Spawning { .. }
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Backoff { .. } => Standing::Pending,
        }
    }

    /// Forgets what the manifest no longer declares and nobody runs; but not before what needs it
    /// is gone, since that may need others through it.
    fn drop_undeclared(&mut self, outcome: &mut Outcome) -> bool {
        let may_go = |node: &Node| {
            !node.is_declared && node.goal == Goal::Down && matches!(node.state, State::Down(_))
        };
        if !self.nodes.values().any(may_go) {
            return false;
        }
        let mut needed = BTreeSet::new();
        for node in self.nodes.values().filter(|node| node.run().is_some()) {
            self.collect_needs(node, &mut needed);
        }
        let before = self.nodes.len();
        self.nodes.retain(|name, node| {
            let is_dropped = may_go(node) && !needed.contains(name);
            if is_dropped {
                outcome.changed.insert(name.clone());
            }
            !is_dropped
        });
        let is_changed = self.nodes.len() != before;
        outcome.is_rewired |= is_changed;
        is_changed
    }

    /// Tells whose view changed: those that changed, those that wait for them or follow them.
    pub(super) fn announce(&self, outcome: &mut Outcome) {
        let changed = &outcome.changed;
        if changed.is_empty() {
            return;
        }
        let waits_for_changed = |node: &Node| {
            let mut needs = node.declaration.depends_on.keys();
            node.state == State::Waiting && needs.any(|name| changed.contains(name))
        };
        let waiters = self
            .nodes
            .iter()
            .filter(|(_, node)| waits_for_changed(node))
            .map(|(name, _)| name.clone());
        let mut names: BTreeSet<ServiceName> = changed.iter().cloned().chain(waiters).collect();
        if outcome.is_rewired {
            names.extend(self.all_held());
            names.extend(self.all_followers());
        } else {
            names.extend(self.may_be_held_by(changed));
            names.extend(self.followers_of(changed));
        }
        // A cause is told before what follows from it.
        let moved = outcome.transitions.iter().map(|one| one.service.clone());
        let names: IndexSet<ServiceName> = moved.chain(names).collect();
        outcome
            .effects
            .extend(names.into_iter().map(Effect::Announce));
    }

    /// The services that have to go and wait for others to be gone.
    fn all_held(&self) -> impl Iterator<Item = ServiceName> {
        let held = self.nodes.iter().filter(|(_, node)| is_held(node));
        held.map(|(name, _)| name.clone())
    }

    /// The services that have to go of which `names` may be the nearest holders.
    fn may_be_held_by(&self, names: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
        let mut held = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<&Node> = names.iter().filter_map(|n| self.nodes.get(n)).collect();
        while let Some(node) = open.pop() {
            for name in node.declaration.depends_on.keys() {
                let Some(next) = self.nodes.get(name).filter(|_| seen.insert(name)) else {
                    continue;
                };
                if is_held(next) {
                    held.insert(name.clone());
                }
                if !holds_others(next) {
                    open.push(next);
                }
            }
        }
        held
    }
}

/// Whether what `node` needs has to stay until it is gone. A run that is stuck has had all that can
/// be done for it, and one that stays does not hold up what goes.
fn holds_others(node: &Node) -> bool {
    node.is_going() && !node.is_stuck()
}

/// Whether `node` has to go and was not signalled: once all has settled, because others go first.
fn is_held(node: &Node) -> bool {
    node.is_running() && node.is_going()
}

fn holds_if(condition: bool) -> Standing {
    if condition {
        Standing::Holds
    } else {
        Standing::Pending
    }
}
