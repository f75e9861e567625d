//! What goes into the event log: transitions with the order behind them, orders, and what happens
//! to the supervisor itself.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Supervisor;
use crate::control::protocol::OrderRequest;
use crate::event::{Asked, By, Cause, Change, Did, Event, Supervision, What};
use crate::id::ServiceName;
use crate::machine::{Ended, Occasion, Transition};
use crate::manifest::model::{Exit, Signal};
use crate::plan::{Action, Order, Plan};

/// The order that was taken last, for the transitions that it brings about.
#[derive(Debug)]
pub(super) struct Ordered {
    asked: Asked,
    /// What it does to each service, and why.
    steps: BTreeMap<ServiceName, (Action, String)>,
}

impl Supervisor {
    /// An order was taken: it goes into the log, before what comes of it.
    pub(super) fn note_order(&mut self, request: &OrderRequest, plan: &Plan, by: By) {
        let asked = Asked {
            order: request.order,
            selection: request.selection.iter().map(ToString::to_string).collect(),
            now: request.now,
            by,
        };
        let steps = plan.waves.iter().flatten();
        self.ordered = Some(Ordered {
            asked: asked.clone(),
            steps: steps
                .map(|step| (step.service.clone(), (step.action, step.reason.clone())))
                .collect(),
        });
        self.note(What::Order(asked));
    }

    pub(super) fn note_transition(&mut self, transition: Transition) {
        let Transition {
            service,
            from,
            to,
            run,
            occasion,
            reason,
        } = transition;
        let mut change = Change {
            service,
            from,
            to,
            run,
            cause: occasion.into(),
            reason,
            exit: match occasion {
                Occasion::Exited(ended) => Some(ended),
                _ => None,
            },
            asked: None,
            note: match occasion {
                Occasion::Exited(ended) => self.note_on_end(ended),
                _ => None,
            },
        };
        if let (Occasion::Order, Some(ordered)) = (occasion, &self.ordered) {
            change.asked = Some(ordered.asked.clone());
            if let Some((action, why)) = ordered.steps.get(&change.service) {
                // `up` ends a live run only because of what is written in the manifest now.
                let is_edit = matches!(action, Action::Restart | Action::Stop);
                if ordered.asked.order == Order::Up && is_edit {
                    change.cause = Cause::Edit;
                }
                change.reason.get_or_insert_with(|| why.clone());
            }
        }
        self.note(What::Service(change));
    }

    /// What is known of the end of a leader beside how it ended.
    fn note_on_end(&mut self, ended: Ended) -> Option<String> {
        // Looked at with every end, so that what it tells is not older than the end before.
        let has_struck = self.oom.has_struck();
        let is_killed = ended == Ended::Exit(Exit::Signal(Signal(9)));
        (is_killed && has_struck).then(|| {
            "the kernel ended some process for want of memory since it was last looked at, perhaps this one".into()
        })
    }

    /// Something about this supervisor.
    pub(super) fn note_supervision(&mut self, did: Did, detail: Option<String>) {
        let pid = std::process::id().cast_signed();
        self.note(What::Supervisor(Supervision { did, pid, detail }));
    }

    fn note(&mut self, what: What) {
        if let Err(error) = self.events.add(&Event::at(Timestamp::now(), what)) {
            eprintln!("events cannot be written and are dropped: {error}");
        }
    }
}
