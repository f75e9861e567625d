//! What the services mean to each other, as far as the machine has been told.

use std::collections::{BTreeMap, BTreeSet};

use baudbot::id::{RunId, ServiceName};
use baudbot::machine::{Goal, Project, StateWord};
use baudbot::manifest::model::{Condition, Dependency, Service};
use baudbot::time::Moment;

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
            Condition::Ready => is_sound && run.ready.is_some() && !run.is_unhealthy(),
            Condition::Completed => false,
        }
    }

    /// Whether the dependent may go on: the condition holds, or is not required and never will.
    pub(super) fn may_go_on(&self, name: &ServiceName, edge: &Dependency) -> bool {
        self.holds(name, edge.condition)
            || (!edge.required && self.is_hopeless(name, edge.condition))
    }

    /// The latest runs of what `service` follows.
    pub(super) fn followed_by(&self, service: &Service) -> BTreeMap<ServiceName, Option<RunId>> {
        let followed = service.depends_on.iter().filter(|(_, edge)| edge.restart);
        followed
            .map(|(name, _)| (name.clone(), self.latest_run(name)))
            .collect()
    }

    fn latest_run(&self, name: &ServiceName) -> Option<RunId> {
        self.books.get(name).and_then(|book| book.latest)
    }

    /// What follows another has to be replaced once that one's condition holds of a newer run; and so
    /// on, for whoever follows it.
    pub(super) fn find_out_of_date(&mut self) {
        let names: Vec<ServiceName> = self.books.keys().cloned().collect();
        for name in names {
            let book = &self.books[&name];
            let present = self.followed_by(&book.declaration);
            let edges = book.declaration.depends_on.clone();
            let Some(run) = self.books.get_mut(&name).and_then(|book| book.run.as_mut()) else {
                continue;
            };
            for (followed, latest) in &present {
                run.followed.entry(followed.clone()).or_insert(*latest);
            }
            let known = run.followed.clone();
            let book = &self.books[&name];
            let is_wanted = book.is_declared
                && book.run.as_ref().is_some_and(super::Run::is_untouched)
                && !book.is_going();
            let is_renewed = present.iter().any(|(followed, latest)| {
                known[followed] < *latest && self.holds(followed, edges[followed].condition)
            });
            if let (true, true, Some(book)) = (is_wanted, is_renewed, self.books.get_mut(&name))
                && let Some(run) = &mut book.run
            {
                run.is_old = true;
            }
        }
    }

    /// Whether nothing will become of it without an order: it has lived long enough, and nothing that
    /// it follows is on its way. `is_due`: what is due in this very moment has happened.
    pub(super) fn rests(&self, name: &ServiceName, now: Moment, is_due: bool) -> bool {
        let Some(book) = self.books.get(name) else {
            return true;
        };
        let Some(run) = &book.run else {
            let view = self.views.get(name);
            return view.is_none_or(|view| view.state.is_down());
        };
        if !run.is_untouched() {
            return self.is_stuck(name);
        }
        let has_lived_long_enough = |at| if is_due { at <= now } else { at < now };
        if book.is_going() || !run.settles.is_some_and(has_lived_long_enough) {
            return false;
        }
        let mut followed = book.declaration.depends_on.iter();
        let followed_rest =
            followed.all(|(followed, edge)| !edge.restart || self.rests(followed, now, is_due));
        !book.is_declared || followed_rest
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
            .any(|(d, edge)| edge.required && self.is_hopeless(d, edge.condition))
        {
            return StateWord::Blocked;
        }
        if needs.iter().all(|(d, edge)| self.may_go_on(d, edge)) {
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
