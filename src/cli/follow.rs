//! Follows an order until it is fulfilled, or can be no more, or nobody waits any longer.
//!
//! [`Following`] is what is known: pure, fed with news. [`follow`] is the loop around it, which also
//! listens to Ctrl-C and to the time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use indexmap::IndexMap;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::session::{self, Notices};
use super::{Call, Failure};
use crate::control::protocol::{News, OrderReply, Proof, ServiceStatus};
use crate::exit::ExitCode;
use crate::id::ServiceName;
use crate::machine::{StateWord, Survivor};
use crate::plan::{Action, Order};
use crate::render::progress::Progress;

/// What is known of an order that is being carried out.
#[derive(Debug)]
pub(super) struct Following {
    order: Order,
    /// Whether the whole project goes down, and the supervisor with it.
    is_whole_project: bool,
    /// The services that the order is about; `None`: the project does not hold it any more.
    targets: IndexMap<ServiceName, Option<ServiceStatus>>,
    /// Those of them that it stops, whatever it does to the others.
    stopped: BTreeSet<ServiceName>,
    proof: Option<Proof>,
}

/// How the waiting ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every target rests.
    Settled,
    /// The supervisor left before.
    SupervisorLeft,
    /// The time is up.
    TimedOut,
    /// Ctrl-C.
    Interrupted,
}

impl Following {
    pub(super) fn new(order: Order, reply: &OrderReply) -> Self {
        let targets = reply
            .targets
            .iter()
            .map(|name| (name.clone(), reply.status.services.get(name).cloned()))
            .collect();
        Self {
            order,
            is_whole_project: reply.whole_project,
            targets,
            stopped: reply
                .plan
                .waves
                .iter()
                .flatten()
                .filter(|step| step.action == Action::Stop)
                .map(|step| step.service.clone())
                .collect(),
            proof: None,
        }
    }

    /// Takes in what is new; returns the targets that it is about.
    fn take(&mut self, news: News) -> Vec<ServiceName> {
        match news {
            News::Snapshot(status) => {
                for (name, target) in &mut self.targets {
                    *target = status.services.get(name).cloned();
                }
                self.targets.keys().cloned().collect()
            }
            News::Service { name, status } => match self.targets.get_mut(&name) {
                Some(target) => {
                    *target = status.map(|status| *status);
                    vec![name]
                }
                None => Vec::new(),
            },
            News::Finished(proof) => {
                self.proof = Some(proof);
                Vec::new()
            }
        }
    }

    /// Whether nothing more will become of this service by this order.
    fn is_resting(&self, name: &ServiceName, service: &ServiceStatus) -> bool {
        match self.order {
            Order::Up | Order::Restart if !self.stopped.contains(name) => {
                service.state.is_settled_up()
            }
            Order::Up | Order::Restart | Order::Down => service.state.is_down() || service.is_stuck,
        }
    }

    fn is_settled(&self) -> bool {
        if self.is_whole_project {
            return self.proof.is_some();
        }
        self.pending().next().is_none()
    }

    /// The targets that are still on their way.
    pub(super) fn pending(&self) -> impl Iterator<Item = (&ServiceName, &ServiceStatus)> {
        self.targets
            .iter()
            .filter_map(|(name, service)| Some((name, service.as_ref()?)))
            .filter(|(name, service)| !self.is_resting(name, service))
    }

    /// The targets in this state.
    pub(super) fn in_state(
        &self,
        state: StateWord,
    ) -> impl Iterator<Item = (&ServiceName, &ServiceStatus)> {
        self.targets
            .iter()
            .filter_map(|(name, service)| Some((name, service.as_ref()?)))
            .filter(move |(_, service)| service.state == state)
    }

    /// Whether the order wants this service up.
    pub(super) fn is_wanted(&self, name: &ServiceName) -> bool {
        !self.stopped.contains(name)
    }

    /// How many services the order wants up. What is not to run here is not among them.
    pub(super) fn wanted(&self) -> usize {
        let is_skipped = |service: &Option<ServiceStatus>| matches!(service, Some(service) if service.state == StateWord::Skipped);
        self.targets
            .iter()
            .filter(|(name, service)| self.is_wanted(name) && !is_skipped(service))
            .count()
    }

    /// What was verified, once the whole project is down.
    pub(super) fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// What outlived its stop, by service.
    pub(super) fn survivors(&self) -> BTreeMap<String, Vec<Survivor>> {
        self.targets
            .iter()
            .filter_map(|(name, service)| Some((name.to_string(), service.as_ref()?)))
            .filter(|(_, service)| !service.survivors.is_empty())
            .map(|(name, service)| (name, service.survivors.clone()))
            .collect()
    }

    /// What an order to bring up came to: failed before blocked before well. A service that is
    /// neither ready nor completed, for it ended or somebody stopped it, is not what was asked for.
    pub(super) fn up_exit(&self) -> ExitCode {
        let wanted = || {
            self.targets
                .iter()
                .filter(|(name, _)| !self.stopped.contains(*name))
                .map(|(_, service)| service)
        };
        let states = || wanted().flatten().map(|service| service.state);
        let is_missing = wanted().any(Option::is_none);
        if is_missing || states().any(|s| matches!(s, StateWord::Failed | StateWord::Inactive)) {
            ExitCode::Failed
        } else if states().any(|state| state == StateWord::Blocked) {
            ExitCode::Blocked
        } else {
            ExitCode::Done
        }
    }
}

/// Shows what becomes of an order until it is settled, `timeout` has passed, or Ctrl-C.
pub(super) async fn follow(
    call: &Call,
    following: &mut Following,
    reply: &OrderReply,
    mut notices: Notices,
    timeout: Option<Duration>,
) -> Result<Ended, Failure> {
    let supervisor = reply.status.supervisor.as_ref().map(session::identities);
    // From here on, before anything is shown: whoever sees a line may press Ctrl-C.
    let mut interrupted = interrupts()?;
    let mut progress = begin(call, following, reply);
    let until = timeout.map(|timeout| tokio::time::Instant::now() + timeout);
    let time_is_up = async {
        match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(time_is_up);
    // The supervisor of a project that went down leaves; what it said before that counts.
    while !following.is_settled() {
        tokio::select! {
            notice = notices.next() => match notice {
                None => return Ok(Ended::SupervisorLeft),
                Some(Err(_)) => return Ok(Ended::SupervisorLeft),
                Some(Ok(notice)) if notice.sequence <= reply.sequence => {}
                Some(Ok(notice)) => {
                    for name in following.take(notice.what) {
                        show(&mut progress, following, &name);
                    }
                }
            },
            () = &mut time_is_up => return Ok(Ended::TimedOut),
            _ = interrupted.recv() => return Ok(Ended::Interrupted),
        }
    }
    if following.is_whole_project {
        // What it has to say is said; the stream ends when it has let go of its files.
        while let Some(Ok(_)) = notices.next().await {}
        if let Some(supervisor) = supervisor {
            session::wait_for_end(&supervisor).await;
        }
    }
    Ok(Ended::Settled)
}

/// Ctrl-C, from now on.
pub(super) fn interrupts() -> Result<Signal, Failure> {
    signal(SignalKind::interrupt())
        .map_err(|error| Failure::system("cannot listen to signals", &error))
}

fn begin(call: &Call, following: &Following, reply: &OrderReply) -> Progress<io::Stderr> {
    let mut progress = Progress::new(call.err, io::stderr(), following.targets.keys());
    for (name, service) in &following.targets {
        let Some(service) = service else {
            continue;
        };
        let is_changed = reply
            .plan
            .waves
            .iter()
            .flatten()
            .any(|step| step.service == *name && step.action != Action::Keep);
        if is_changed || !following.is_resting(name, service) {
            show(&mut progress, following, name);
        } else {
            progress.know(name, service);
        }
    }
    progress
}

fn show(progress: &mut Progress<io::Stderr>, following: &Following, name: &ServiceName) {
    if let Some(Some(service)) = following.targets.get(name) {
        progress.update(name, service, following.is_resting(name, service));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::Status;
    use serde_json::json;

    fn service(state: &str) -> ServiceStatus {
        serde_json::from_value(json!({
            "type": "process", "goal": "up", "state": state, "restarts": 0,
            "groups": [], "ports": [], "survivors": [], "waits_for": [], "is_stuck": false,
        }))
        .unwrap()
    }

    fn status(services: &[(&str, &str)]) -> Status {
        Status {
            version: 1,
            project: "demo".parse().unwrap(),
            supervisor: None,
            services: services
                .iter()
                .map(|(name, state)| (name.parse().unwrap(), service(state)))
                .collect(),
        }
    }

    fn following(order: Order, whole_project: bool, services: &[(&str, &str)]) -> Following {
        let reply = OrderReply {
            version: 1,
            plan: crate::plan::Plan {
                version: 1,
                waves: Vec::new(),
            },
            targets: services
                .iter()
                .map(|(name, _)| name.parse().unwrap())
                .collect(),
            whole_project,
            sequence: 0,
            status: status(services),
        };
        Following::new(order, &reply)
    }

    fn becomes(following: &mut Following, name: &str, state: &str) {
        following.take(News::Service {
            name: name.parse().unwrap(),
            status: Some(Box::new(service(state))),
        });
    }

    #[test]
    fn up_is_settled_when_every_target_rests() {
        let mut order = following(Order::Up, false, &[("a", "starting"), ("b", "waiting")]);
        assert_eq!(order.pending().count(), 2);
        becomes(&mut order, "a", "ready");
        becomes(&mut order, "somebody-else", "failed");
        assert!(!order.is_settled());
        becomes(&mut order, "b", "completed");
        assert!(order.is_settled());
        assert_eq!(order.up_exit(), ExitCode::Done);
    }

    #[test]
    fn failed_counts_more_than_blocked_and_blocked_more_than_well() {
        for (states, exit) in [
            (["ready", "completed"], ExitCode::Done),
            (["ready", "blocked"], ExitCode::Blocked),
            (["failed", "blocked"], ExitCode::Failed),
            (["ready", "inactive"], ExitCode::Failed),
        ] {
            let order = following(Order::Up, false, &[("a", states[0]), ("b", states[1])]);
            assert!(order.is_settled());
            assert_eq!(order.up_exit(), exit, "{states:?}");
        }
    }

    #[test]
    fn a_target_that_the_project_lost_is_not_up() {
        let mut order = following(Order::Up, false, &[("a", "starting")]);
        let name = "a".parse().unwrap();
        order.take(News::Service { name, status: None });
        assert!(order.is_settled());
        assert_eq!(order.up_exit(), ExitCode::Failed);
    }

    #[test]
    fn the_whole_project_is_down_only_with_its_proof() {
        let mut order = following(Order::Down, true, &[("a", "stopping")]);
        becomes(&mut order, "a", "inactive");
        assert!(!order.is_settled());
        order.take(News::Finished(Proof::default()));
        assert!(order.is_settled());
    }

    #[test]
    fn a_stop_rests_with_whatever_survived_it() {
        let mut order = following(Order::Down, false, &[("a", "stopping"), ("b", "inactive")]);
        assert!(!order.is_settled());
        let survivor = Survivor {
            pid: 1,
            command: "x".into(),
            user: "root".into(),
            reason: "y".into(),
        };
        let mut stuck = service("stopping");
        stuck.survivors = vec![survivor];
        stuck.is_stuck = true;
        order.take(News::Service {
            name: "a".parse().unwrap(),
            status: Some(Box::new(stuck)),
        });
        assert!(order.is_settled());
        assert_eq!(order.survivors().keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_later_snapshot_replaces_what_was_known() {
        let mut order = following(Order::Up, false, &[("a", "starting"), ("b", "starting")]);
        let changed = order.take(News::Snapshot(status(&[("a", "ready"), ("b", "ready")])));
        assert_eq!(changed.len(), 2);
        assert!(order.is_settled());
    }
}
