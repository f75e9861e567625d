//! What people and the planner see.

use std::sync::Arc;

use crate::id::ServiceName;
use crate::machine::service::{Cause, Node, Stage, State, Why};
use crate::machine::{Project, StateWord, View, text};
use crate::plan::{Observed, ObservedService};

impl Project {
    /// What the planner needs to know of what runs.
    pub fn observed(&self) -> Observed {
        Observed {
            services: self
                .nodes
                .iter()
                .map(|(name, node)| (name.clone(), self.observed_service(name, node)))
                .collect(),
            ..Observed::default()
        }
    }

    fn observed_service(&self, name: &ServiceName, node: &Node) -> ObservedService {
        ObservedService {
            service: Arc::clone(&node.declaration),
            goal: node.goal,
            // Its work is done and its run is cleared away: an order for it finds that it goes its way.
            state: if node.is_task_ending_well() {
                StateWord::Starting
            } else {
                node.word()
            },
            was_started: node.state != State::Down(Why::NotStarted),
            reason: self.reason(name, node),
        }
    }

    /// One service as people see it; `None` for a name that the project does not hold.
    pub fn view(&self, service: &ServiceName) -> Option<View> {
        let node = self.nodes.get(service)?;
        let survivors = match &node.state {
            State::Stopping {
                stage: Stage::Stuck { survivors },
                ..
            } => survivors.clone(),
            _ => Vec::new(),
        };
        Some(View {
            goal: node.goal,
            state: node.word(),
            reason: self.reason(service, node),
            run: node.run().map(|run| run.id),
            since: node.since,
            deadline: node.deadline(),
            waits_for: self.waits_for(service, node),
            is_settled: self.is_settled(node),
            restarts: node.restarts,
            failures: node.row.failures,
            has_been_ready: node.has_been_ready,
            root_cause: match &node.state {
                State::Down(Why::Dependency(hopeless)) => Some(hopeless.root.clone()),
                _ => None,
            },
            exports: node.exports.clone(),
            left_behind: node.left_behind.clone(),
            lacks: node.lacks().to_vec(),
            failed_checks: match &node.state {
                State::Ready { checks, .. } => checks.failed,
                _ => 0,
            },
            is_in_grace: matches!(
                node.state,
                State::Stopping {
                    stage: Stage::Grace { .. },
                    ..
                }
            ),
            is_stuck: node.is_stuck(),
            survivors,
            service: match node.run() {
                Some(run) => Arc::clone(&run.service),
                None => Arc::clone(&node.declaration),
            },
        })
    }

    fn waits_for(&self, name: &ServiceName, node: &Node) -> Vec<ServiceName> {
        if node.state == State::Waiting {
            let pending = self.pending(node);
            return pending.into_iter().map(|(name, _)| name).collect();
        }
        if node.is_running() && node.is_going() {
            return self.holders_of(name);
        }
        Vec::new()
    }

    fn reason(&self, name: &ServiceName, node: &Node) -> Option<String> {
        if node.is_running() && node.is_going() {
            let when = text::stops_after(&self.holders_of(name));
            return Some(match node.cause_of_stop() {
                Cause::OutOfDate(why) => format!("{why}; {when}"),
                Cause::Ordered
                | Cause::Ended(_)
                | Cause::EndedEarly(_)
                | Cause::StartTimeout(_)
                | Cause::Unhealthy(_) => when,
            });
        }
        match &node.state {
            State::Waiting => Some(text::waits_for(&self.pending(node))),
            _ => node.own_reason(),
        }
    }
}

impl Node {
    /// Why it is as it is, as far as it knows by itself.
    pub(super) fn own_reason(&self) -> Option<String> {
        let renewal = self.run().and_then(|run| run.renewal.as_ref());
        if let Some(renewal) = renewal
            && !self.lacks().is_empty()
        {
            return Some(text::kept(&self.why_renewed(renewal), &renewal.lacks));
        }
        match &self.state {
            State::Down(Why::Skipped) => self.declaration.when.unmet.clone(),
            State::Down(Why::Completed) => self.left_behind.as_ref().map(text::left_behind),
            State::Down(Why::NotStarted | Why::Stopped)
            | State::Waiting
            | State::Spawning { .. } => None,
            State::Ready { checks, .. } => self.is_unhealthy().then(|| text::found(checks)),
            State::Down(Why::EndedWell(why) | Why::Failed(why) | Why::Blocked(why))
            | State::Backoff { why, .. } => Some(match &self.left_behind {
                Some(left) => format!("{why}; {}", text::left_behind(left)),
                None => why.clone(),
            }),
            State::Down(Why::Dependency(hopeless)) => Some(text::hopeless(hopeless)),
            State::Starting { last, .. } => last.clone(),
            State::Stopping { stage, cause, .. } => Some(text::stopping(stage, cause)),
        }
    }
}
