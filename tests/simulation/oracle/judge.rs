//! The objections.

use std::collections::BTreeSet;

use baudbot::id::{RunId, ServiceName};
use baudbot::machine::{Effect, Goal, Project, StateWord, Transition, View};
use baudbot::manifest::model::Service;
use baudbot::time::Moment;

use super::{
    Book, KILL_BOUND, Oracle, Outcome, Run, SPAWNS_AT_A_TIME, Signalled, Verdict, ensure, views,
};

impl Oracle {
    /// The machine answered with `effects`. Objects to what it should not have done.
    pub(crate) fn saw(&mut self, effects: &[Effect], project: &Project, now: Moment) -> Verdict {
        self.views = views(project);
        self.find_out_of_date();
        for effect in effects {
            match effect {
                Effect::Spawn { run, service } => self.saw_spawn(*run, service, now)?,
                Effect::Terminate { service, run } => {
                    self.saw_signal(service, *run, false, now)?;
                }
                Effect::Kill { service, run } => {
                    self.saw_signal(service, *run, true, now)?;
                }
                Effect::Adopt { run, service, .. } => {
                    let book = self.book(&service.name)?;
                    ensure!(
                        book.run.as_ref().is_some_and(|r| r.id == *run),
                        "`{}`: run {run} was taken over and is not the present one",
                        service.name
                    );
                }
                Effect::Redeclare { run, service } => {
                    let book = self.book(&service.name)?;
                    ensure!(
                        book.run.as_ref().is_some_and(|r| r.id == *run && !r.is_old),
                        "`{}`: run {run} was redeclared and is not the present one",
                        service.name
                    );
                }
                Effect::Examine { .. } | Effect::Announce(_) => {}
                Effect::Note(note) => self.saw_note(note)?,
            }
        }
        self.check_notes()
    }

    /// The record has no gap: each transition begins where the one before it ended.
    fn saw_note(&mut self, note: &Transition) -> Verdict {
        let before = self.noted.insert(note.service.clone(), note.to);
        let before = before.unwrap_or(StateWord::Inactive);
        ensure!(
            before == note.from,
            "`{}` was noted as {before:?}; then {note:?}",
            note.service
        );
        Ok(())
    }

    /// The record ends where things are.
    fn check_notes(&mut self) -> Verdict {
        self.noted.retain(|name, _| self.views.contains_key(name));
        for (name, view) in &self.views {
            let noted = self.noted.get(name).copied();
            ensure!(
                noted.unwrap_or(StateWord::Inactive) == view.state,
                "`{name}` is {:?} and was noted as {noted:?}",
                view.state
            );
        }
        Ok(())
    }

    pub(super) fn book(&mut self, name: &ServiceName) -> Result<&mut Book, String> {
        self.books
            .get_mut(name)
            .ok_or_else(|| format!("`{name}` was never declared"))
    }

    pub(super) fn saw_spawn(&mut self, id: RunId, service: &Service, now: Moment) -> Verdict {
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
                self.may_go_on(dependency, edge),
                "P1: `{name}` was spawned, though `{dependency}` is not {}",
                edge.condition.word()
            );
        }
        ensure!(
            self.count_spawning() < SPAWNS_AT_A_TIME,
            "`{name}` was spawned out of turn"
        );
        let followed = self.followed_by(service);
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
            !service.is_skipped(),
            "`{name}` was spawned, though it is to be skipped"
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
            settles: None,
            failures_before: book.failures,
            ended: None,
            is_early: false,
            first_signal: None,
            killed: None,
            has_survived: false,
            failed_checks: 0,
            is_given_up: false,
            followed,
            is_told_again: false,
            was_timeout: false,
        });
        book.latest = Some(id);
        Ok(())
    }

    pub(super) fn saw_signal(
        &mut self,
        name: &ServiceName,
        id: RunId,
        is_kill: bool,
        now: Moment,
    ) -> Verdict {
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
        ensure!(
            !is_hurried || is_kill,
            "`{name}`: run {id} was given a grace in a hurry"
        );
        let is_timeout = run.must_be_ready_by().is_some_and(|by| by <= now);
        if run.ended.is_none() && !is_hurried && is_going && !run.is_told_again {
            ensure!(
                holders.is_empty(),
                "P2: `{name}` was signalled, though {holders:?} need it and live"
            );
        }
        ensure!(
            run.ended.is_some() || is_going || is_timeout || run.is_given_up,
            "`{name}`: run {id} was signalled without a reason"
        );
        run.first_signal = Some(Signalled {
            at: now,
            grace: run.service.stop.timeout,
            is_timeout: run.was_timeout || is_timeout && run.ended.is_none() && !is_going,
        });
        if is_kill {
            run.killed = Some(now);
        }
        Ok(())
    }

    /// Objects to what is true after a call is over and done with.
    pub(crate) fn judge(&mut self, project: &Project, now: Moment) -> Verdict {
        self.find_out_of_date();
        for (name, view) in self.views.clone() {
            self.judge_run(&name, &view, project, now)?;
            self.judge_word(&name, &view, now)?;
            self.judge_rest(&name, &view, now)?;
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

    pub(super) fn judge_run(
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
            ensure!(
                !run.is_given_up,
                "`{name}` is unhealthy, and is not restarted for it"
            );
            ensure!(
                view.failed_checks == run.failed_checks,
                "`{name}` shows {} failed checks, not {}",
                view.failed_checks,
                run.failed_checks
            );
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

    /// What is told to rest rests, and what rests is told to.
    fn judge_rest(&self, name: &ServiceName, view: &View, now: Moment) -> Verdict {
        ensure!(
            !view.is_settled || self.rests(name, now, true),
            "`{name}` counts as settled, and is on its way"
        );
        ensure!(
            view.is_settled || !self.rests(name, now, false),
            "`{name}` rests, and does not count as settled"
        );
        Ok(())
    }

    /// The word must be the one that the books lead to, and say why where it should.
    pub(super) fn judge_word(&mut self, name: &ServiceName, view: &View, now: Moment) -> Verdict {
        let book = &self.books[name];
        let expected: Vec<StateWord> = match (&book.run, book.goal, &book.outcome) {
            (Some(run), _, _) if !run.is_untouched() => vec![StateWord::Stopping],
            (Some(run), _, _) if run.is_unhealthy() => vec![StateWord::Unhealthy],
            (Some(run), _, _) if run.ready.is_some() => vec![StateWord::Ready],
            (Some(_), _, _) => vec![StateWord::Starting],
            (None, Goal::Down, _) => vec![StateWord::Inactive],
            (None, Goal::Up, _) if book.declaration.is_skipped() => vec![StateWord::Skipped],
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
            StateWord::Failed
            | StateWord::Blocked
            | StateWord::Skipped
            | StateWord::Unhealthy
            | StateWord::Backoff
            | StateWord::Waiting => true,
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
}
