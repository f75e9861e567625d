//! What the services mean to each other, as far as the machine has been told.

use std::collections::BTreeSet;

use baudbot::id::ServiceName;
use baudbot::machine::{Goal, Project, StateWord};
use baudbot::manifest::model::Condition;

use super::{Oracle, Outcome, SPAWNS_AT_A_TIME};

impl Oracle {
    /// Whether the condition holds of the dependency, as far as the machine has been told.
    pub(super) fn holds(&self, name: &ServiceName, condition: Condition) -> bool {
        let Some(book) = self.books.get(name) else {
            return false;
        };
        if book.goal == Goal::Down || book.declaration.is_skipped() {
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

    /// What has to go before `name` may: what needs it, has to go as well, and lives.
    pub(super) fn holders(&self, name: &ServiceName) -> Vec<ServiceName> {
        self.books
            .iter()
            .filter(|(holder, book)| book.is_going() && !self.is_stuck(holder))
            .filter(|(holder, _)| self.needs_of(holder).contains(name))
            .map(|(holder, _)| holder.clone())
            .collect()
    }

    /// Whether the machine says so; `judge` finds out whether that is right.
    pub(super) fn is_stuck(&self, name: &ServiceName) -> bool {
        self.views.get(name).is_some_and(|view| view.is_stuck)
    }

    /// Those of `holders` that need `name` with no other of them in between.
    pub(super) fn nearest(
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

    pub(super) fn needs_of(&self, name: &ServiceName) -> BTreeSet<ServiceName> {
        self.needs_short_of(name, &[])
    }

    /// What `name` needs, directly or through services other than `limits`.
    pub(super) fn needs_short_of(
        &self,
        name: &ServiceName,
        limits: &[ServiceName],
    ) -> BTreeSet<ServiceName> {
        let mut needs = BTreeSet::new();
        let mut open = vec![name.clone()];
        while let Some(next) = open.pop() {
            let Some(book) = self.books.get(&next) else {
                continue;
            };
            for dependency in book.declaration.depends_on.keys() {
                if needs.insert(dependency.clone()) && !limits.contains(dependency) {
                    open.push(dependency.clone());
                }
            }
        }
        needs
    }

    pub(super) fn count_spawning(&self) -> usize {
        let runs = self.books.values().filter_map(|book| book.run.as_ref());
        runs.filter(|run| run.starts.is_none() && run.is_untouched())
            .count()
    }

    /// What a service that may start is while it has not.
    pub(super) fn waiting_or_blocked(&self, name: &ServiceName) -> StateWord {
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
    pub(super) fn is_hopeless(&self, name: &ServiceName, condition: Condition) -> bool {
        let Some(book) = self.books.get(name) else {
            return true;
        };
        if book.goal == Goal::Down || book.declaration.is_skipped() {
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

    pub(super) fn backs_off(&self, name: &ServiceName) -> bool {
        let view = self.views.get(name);
        view.is_some_and(|view| view.state == StateWord::Backoff)
    }
}
