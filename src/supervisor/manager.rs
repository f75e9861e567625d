//! What a service manager is told of the supervisor that it started: `sd_notify(3)`.
//!
//! A manager gives a unit a fixed time to start and a fixed time to stop (`TimeoutStartSec=`,
//! `TimeoutStopSec=`), and kills all of it when that has passed. How long the services of a project
//! take is declared in the manifest, so here the manager is asked for more time, again and again, for
//! as long as something is on the way (EXTEND_TIMEOUT_USEC=). The task that asks runs on the thread of the
//! supervisor's loop: a loop that hangs gets no more time.
//!
//! READY=1 says that the start is over, not that all went well. It does not wait for a service that has
//! failed to start once: that one goes through its delays while the others do their work, and one
//! service that cannot be reached must not take the healthy ones down with it. [`ReadyWhen::All`]
//! waits for all of them all the same. Once all rest and some are not up, nothing is left to wait
//! for: the manager's own limit then ends the start.
//!
//! STOPPING=1 is sent only when the process is sure to end: a manager that hears it kills what has
//! not ended in time, and an order of `down` may yet be overtaken by an `up`.

mod messenger;

use std::collections::BTreeSet;

use super::Supervisor;
use crate::id::ServiceName;
use crate::machine::{Goal, StateWord, View};
use messenger::{Messenger, Told};

/// When the service manager is told that the start is over (READY=1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadyWhen {
    /// Each service is up, rests otherwise, or has failed to start once.
    #[default]
    Settled,
    /// Each service is up.
    All,
}

/// How far the services have come that should be up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    /// Each of them rests, or has failed to start once and has been given another chance.
    is_settled: bool,
    /// Each of them rests.
    is_at_rest: bool,
    /// Each of them is up.
    is_well: bool,
}

/// The supervisor's side of the conversation.
pub(super) struct ServiceManager {
    ready_when: ReadyWhen,
    was_told_ready: bool,
    messenger: Messenger,
}

impl ServiceManager {
    /// From now on the manager is asked for time, until [`after`](Self::after) finds that nothing is
    /// on the way. Call it within the runtime.
    pub(super) fn begin(ready_when: ReadyWhen) -> Self {
        Self {
            ready_when,
            was_told_ready: false,
            messenger: Messenger::begin(Told {
                is_on_the_way: true,
                ..Told::default()
            }),
        }
    }

    /// Tells what has become of the project; `line` is the same for people. Returns whether this is
    /// the moment in which the start is over.
    pub(super) fn after(&mut self, supervisor: &Supervisor, line: &str) -> bool {
        let status: String = line.chars().filter(|one| !one.is_control()).collect();
        if supervisor.is_stopping_for_good() {
            let is_on_the_way = supervisor.is_being_stopped();
            self.messenger.tell(|told| {
                told.status = status;
                told.is_stopping = true;
                told.is_on_the_way = is_on_the_way;
            });
            return false;
        }
        let progress = supervisor.progress();
        let is_ready = match self.ready_when {
            ReadyWhen::Settled => progress.is_settled,
            ReadyWhen::All => progress.is_well,
        };
        let is_first = is_ready && !self.was_told_ready;
        self.was_told_ready |= is_ready;
        let was_told_ready = self.was_told_ready;
        self.messenger.tell(|told| {
            told.status = status;
            told.is_ready = was_told_ready;
            // After the start the manager has no limit that more time could be asked for.
            told.is_on_the_way = !was_told_ready && !progress.is_at_rest;
        });
        is_first
    }

    /// The process is about to end.
    pub(super) fn stopping(&mut self) {
        self.messenger.tell(|told| {
            told.is_stopping = true;
            told.is_on_the_way = true;
        });
    }

    /// Waits until the manager has heard the last word, but not for long.
    pub(super) async fn finish(self) {
        self.messenger.finish().await;
    }
}

/// Whether a service that should be up has failed to start once and is being given another chance.
fn has_failed_once(view: &View) -> bool {
    view.state == StateWord::Backoff || view.restarts > 0 || view.is_stuck
}

impl Supervisor {
    fn progress(&self) -> Progress {
        let names = self.machine.services();
        let views = names
            .into_iter()
            .filter_map(|name| Some((name.clone(), self.machine.view(&name)?)))
            .filter(|(_, view)| view.goal == Goal::Up);
        progress(&views.collect::<Vec<_>>())
    }

    /// Whether the process was asked to end, and no order since wants anything up.
    fn is_stopping_for_good(&self) -> bool {
        self.was_asked_to_end
            && self
                .machine
                .services()
                .iter()
                .filter_map(|name| self.machine.view(name))
                .all(|view| view.goal == Goal::Down)
    }

    /// Whether something still ends, and can: what outlived KILL is not waited for.
    fn is_being_stopped(&self) -> bool {
        self.machine
            .services()
            .iter()
            .filter_map(|name| self.machine.view(name))
            .any(|view| !view.state.is_down() && !view.is_stuck)
    }
}

/// What these services that should be up come to.
fn progress(views: &[(ServiceName, View)]) -> Progress {
    let mut tried: BTreeSet<&ServiceName> = views
        .iter()
        .filter(|(_, view)| has_failed_once(view))
        .map(|(name, _)| name)
        .collect();
    // What waits for one of these has no better prospect than that.
    loop {
        let known = tried.len();
        let waiting = views.iter().filter(|(_, view)| {
            view.state == StateWord::Waiting && view.waits_for.iter().any(|one| tried.contains(one))
        });
        tried.extend(waiting.map(|(name, _)| name).collect::<Vec<_>>());
        if tried.len() == known {
            break;
        }
    }
    Progress {
        is_settled: views
            .iter()
            .all(|(name, view)| view.is_settled || tried.contains(name)),
        is_at_rest: views.iter().all(|(_, view)| view.is_settled),
        is_well: views
            .iter()
            .all(|(_, view)| view.is_settled && view.state.is_well()),
    }
}
