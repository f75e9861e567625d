//! What goes into the event log: transitions with the order behind them, orders, and what happens
//! to the supervisor itself.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Supervisor;
use crate::control::protocol::{LastWord, OrderRequest, Ordered as GoalSetter, Proof, VERSION};
use crate::event::{Asked, By, Cause, Change, Did, Event, Supervision, What};
use crate::id::ServiceName;
use crate::machine::{Ended, Goal, Occasion, Transition};
use crate::manifest::model::{Exit, Signal};
use crate::plan::{Action, Order, Plan};

/// The order that was taken last, for the transitions that it brings about.
#[derive(Debug)]
pub(super) struct Ordered {
    asked: Asked,
    /// What it does to each service, and why.
    steps: BTreeMap<ServiceName, (Action, String)>,
}

/// Which order set the goal of each service, so that a client which waits for an order learns that
/// a later one contradicts it.
#[derive(Debug, Default)]
pub(super) struct Goals {
    last: Option<GoalSetter>,
    set_by: BTreeMap<ServiceName, GoalSetter>,
}

impl Goals {
    /// Numbers the order that is being taken.
    fn begin(&mut self, order: Order, by: By) {
        self.last = Some(GoalSetter {
            id: self.last_id() + 1,
            order,
            by,
        });
    }

    /// The number of the order that was taken last; 0 when there was none.
    pub(super) fn last_id(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.id)
    }

    /// The order that set the goal of a service.
    pub(super) fn of(&self, service: &ServiceName) -> Option<&GoalSetter> {
        self.set_by.get(service)
    }
}

impl Supervisor {
    /// Remembers which goals the last order has changed since `before`.
    pub(super) fn note_goals(&mut self, before: &BTreeMap<ServiceName, Goal>) {
        let now = self.machine.goals();
        self.goals.set_by.retain(|name, _| now.contains_key(name));
        let Some(last) = &self.goals.last else {
            return;
        };
        for (name, goal) in now {
            // A service that the project did not hold was not wanted.
            let was = before.get(&name).copied().unwrap_or(Goal::Down);
            if was != goal {
                self.goals.set_by.insert(name, last.clone());
            }
        }
    }

    /// Writes down how it ended, for a client that does not hear it.
    pub(super) fn write_last_word(&self, proof: &Proof) {
        let word = LastWord {
            version: VERSION,
            pid: std::process::id().cast_signed(),
            began: self.clock.timestamp(self.clock.begun_at()),
            ordered: self.goals.last.clone(),
            proof: proof.clone(),
        };
        let text = serde_json::to_string(&word).unwrap_or_default();
        if let Err(error) = self.project.write_last_word(&text) {
            eprintln!("{error}");
        }
    }

    /// An order was taken: it goes into the log, before what comes of it.
    pub(super) fn note_order(&mut self, request: &OrderRequest, plan: &Plan, by: By) {
        self.goals.begin(request.order, by.clone());
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
