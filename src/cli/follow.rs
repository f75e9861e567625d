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

use super::session::{self, Limit, Notices};
use super::verdict::{self, FailedBefore, Wanted};
use super::{Call, Failure, up};
use crate::control::protocol::{LastWord, News, OrderReply, Ordered, Proof, ServiceStatus};
use crate::exit::ExitCode;
use crate::id::ServiceName;
use crate::machine::{Goal, StateWord, Survivor};
use crate::plan::{Action, Order};
use crate::render::progress::Progress;
use crate::render::tally::{Tally, is_as_wanted};
use crate::store::Project;

/// Within this time of each other, notices are taken to tell of one order.
const SAME_MOMENT: Duration = Duration::from_millis(50);

/// What is known of an order that is being carried out.
#[derive(Debug)]
pub(super) struct Following {
    order: Order,
    /// Its number. Only an order with a higher number can contradict it.
    id: u64,
    /// Whether the whole project goes down, and the supervisor with it.
    is_whole_project: bool,
    /// Whether that was asked for, and not only the end of the last services that run.
    is_everything: bool,
    /// What the order wants of each target: the goal that it had right after the order was taken.
    goals: BTreeMap<ServiceName, Goal>,
    /// The services of which a later order wants the contrary.
    overtaken: BTreeMap<ServiceName, (Goal, Ordered)>,
    /// The services that the order is about; `None`: the project does not hold it any more.
    targets: IndexMap<ServiceName, Option<ServiceStatus>>,
    /// Those of them that it stops, whatever it does to the others.
    stopped: BTreeSet<ServiceName>,
    proof: Option<Proof>,
    /// Those of whose first failure the user has read.
    told: BTreeSet<ServiceName>,
    failed_before: FailedBefore,
}

/// How the waiting ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every target rests.
    Settled,
    /// A later order contradicts this one.
    Overtaken,
    /// The supervisor left before.
    SupervisorLeft,
    /// The time is up.
    TimedOut,
    /// Ctrl-C.
    Interrupted,
}

impl Following {
    /// `is_everything`: the order named no service.
    pub(super) fn new(order: Order, is_everything: bool, reply: &OrderReply) -> Self {
        let targets = reply
            .targets
            .iter()
            .map(|name| (name.clone(), reply.status.services.get(name).cloned()))
            .collect();
        let is_everything = is_everything && reply.whole_project;
        let services = reply.status.services.iter();
        Self {
            order,
            id: reply.order_id,
            is_whole_project: reply.whole_project,
            is_everything,
            goals: services
                .clone()
                .filter(|(name, _)| is_everything || reply.targets.contains(name))
                .map(|(name, service)| (name.clone(), service.goal))
                .collect(),
            overtaken: BTreeMap::new(),
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
            told: BTreeSet::new(),
            failed_before: services
                .map(|(name, one)| (name.clone(), one.failures))
                .collect(),
        }
    }

    /// Sees whether the goal of a service is still the one that this order set.
    fn compare(&mut self, name: &ServiceName, service: &ServiceStatus) {
        let is_later = |ordered: &Ordered| ordered.id > self.id;
        let wanted = match self.goals.get(name) {
            Some(goal) => *goal,
            // A service that was not there when everything was ordered down.
            None if self.is_everything => Goal::Down,
            None => {
                // Then the supervisor stays.
                self.is_whole_project &=
                    service.goal == Goal::Down || !service.ordered.as_ref().is_some_and(is_later);
                return;
            }
        };
        match &service.ordered {
            Some(later) if is_later(later) && service.goal != wanted => {
                let contrary = (service.goal, later.clone());
                self.overtaken.insert(name.clone(), contrary);
            }
            // Two orders can contradict this one and then each other.
            _ => drop(self.overtaken.remove(name)),
        }
    }

    /// Takes in what is new; returns the targets that it is about.
    fn take(&mut self, news: News) -> Vec<ServiceName> {
        match &news {
            News::Snapshot(status) => {
                for (name, service) in &status.services {
                    self.compare(name, service);
                }
            }
            News::Service {
                name,
                status: Some(service),
            } => self.compare(name, service),
            News::Service { status: None, .. } | News::Finished(_) => {}
        }
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
                    // Another order makes it begin to count anew.
                    if let (Some(now), Some(before)) = (target, self.failed_before.get_mut(&name)) {
                        *before = now.failures.min(*before);
                    }
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
        // All that can be done to stop it has been done; so no new run begins either.
        service.is_stuck
            || match self.order {
                Order::Up | Order::Restart if !self.stopped.contains(name) => service.settled,
                Order::Up | Order::Restart | Order::Down => service.state.is_down(),
            }
    }

    fn is_settled(&self) -> bool {
        if self.order == Order::Down && self.proof.is_some() {
            return true;
        }
        // The supervisor stays as long as something outlives KILL: the proof has to be asked for.
        if self.is_whole_project && self.stuck().next().is_none() {
            return false;
        }
        let stalled = self.stalled();
        self.pending().all(|(name, _)| stalled.contains(name))
    }

    /// The services that the order wants up.
    pub(super) fn wanted_up(&self) -> Wanted<'_> {
        let targets = self.targets.iter();
        targets
            .filter(|(name, _)| self.order != Order::Down && self.is_wanted(name))
            .map(|(name, service)| (name, service.as_ref()))
            .collect()
    }

    /// The targets that are on their way, and are not waited for: they fail again and again.
    pub(super) fn stalled(&self) -> BTreeSet<&ServiceName> {
        verdict::stalled(&self.wanted_up(), &self.failed_before)
    }

    /// The targets of which something outlives KILL.
    pub(super) fn stuck(&self) -> impl Iterator<Item = (&ServiceName, &ServiceStatus)> {
        let targets = self.targets.iter();
        targets
            .filter_map(|(name, service)| Some((name, service.as_ref()?)))
            .filter(|(_, service)| service.is_stuck)
    }

    /// The services of which a later order wants the contrary, with what it wants.
    pub(super) fn overtaken(&self) -> &BTreeMap<ServiceName, (Goal, Ordered)> {
        &self.overtaken
    }

    /// The supervisor left, and this is what it said last: nothing is wanted any more.
    fn take_last_word(&mut self, word: LastWord) {
        if let Some(ordered) = word.ordered.filter(|ordered| ordered.id > self.id) {
            for (name, goal) in &self.goals {
                if *goal == Goal::Up {
                    let contrary = (Goal::Down, ordered.clone());
                    self.overtaken.insert(name.clone(), contrary);
                }
            }
        }
        self.proof = Some(word.proof);
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

    /// What became of the services that the order wants up.
    pub(super) fn tally(&self) -> Tally {
        let wanted = self.targets.iter();
        let wanted = wanted.filter(|(name, _)| self.is_wanted(name));
        Tally::of(wanted.map(|(_, service)| service.as_ref()))
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
    /// neither ready nor completed, because it ended, is unhealthy or was stopped meanwhile, is not
    /// what was asked for.
    pub(super) fn up_exit(&self) -> ExitCode {
        let wanted = || {
            self.targets
                .iter()
                .filter(|(name, _)| !self.stopped.contains(*name))
                .map(|(_, service)| service)
        };
        let is_missing = wanted().any(Option::is_none);
        let bad = || wanted().flatten().filter(|service| !is_as_wanted(service));
        let cannot_start =
            |service: &ServiceStatus| service.state == StateWord::Blocked || service.is_stuck;
        if is_missing || !bad().all(cannot_start) {
            ExitCode::Failed
        } else if bad().next().is_some() {
            ExitCode::Blocked
        } else {
            ExitCode::Done
        }
    }
}

/// Shows what becomes of an order until it is settled, a later order contradicts it, the time is up,
/// or Ctrl-C.
pub(super) async fn follow(
    call: &Call,
    project: &Project,
    following: &mut Following,
    reply: &OrderReply,
    mut notices: Notices,
    limit: Limit,
) -> Result<Ended, Failure> {
    let supervisor = reply.status.supervisor.as_ref().map(session::identities);
    // From here on, before anything is shown: whoever sees a line may press Ctrl-C.
    let mut interrupted = interrupts()?;
    let mut progress = begin(call, following, reply);
    let time_is_up = limit.over();
    tokio::pin!(time_is_up);
    // The supervisor of a project that went down leaves; what it said before that counts.
    loop {
        if !following.overtaken.is_empty() {
            // What the later order wants of the other services comes in the same moment.
            while let Ok(Some(Ok(notice))) = tokio::time::timeout(SAME_MOMENT, notices.next()).await
            {
                following.take(notice.what);
            }
            return Ok(Ended::Overtaken);
        }
        if following.is_settled() {
            if following.order == Order::Down {
                break;
            }
            // What was heard last may be over by now: the answer is what is true now.
            let now = tokio::select! {
                now = session::present(project) => now?,
                () = &mut time_is_up => return Ok(Ended::TimedOut),
                _ = interrupted.recv() => return Ok(Ended::Interrupted),
            };
            let Some(now) = now else {
                // An order to take everything down may be what it left for.
                if let Some(word) = session::last_word(project, reply) {
                    following.take_last_word(word);
                }
                match following.overtaken.is_empty() {
                    true => return Ok(Ended::SupervisorLeft),
                    false => continue,
                }
            };
            for name in following.take(News::Snapshot(now)) {
                show(&mut progress, following, &name);
            }
            match (following.overtaken.is_empty(), following.is_settled()) {
                (false, _) => continue,
                (true, true) => return Ok(Ended::Settled),
                (true, false) => {}
            }
        }
        tokio::select! {
            notice = notices.next() => match notice {
                Some(Err(error)) if !error.is_leaving() => return Err(error.into()),
                None | Some(Err(_)) => match session::last_word(project, reply) {
                    // A client that is slow, or was stopped, does not miss the end.
                    Some(word) => {
                        following.take_last_word(word);
                        if following.overtaken.is_empty() && !following.is_settled() {
                            return Ok(Ended::SupervisorLeft);
                        }
                    }
                    None => return Ok(Ended::SupervisorLeft),
                },
                Some(Ok(notice)) if notice.sequence <= reply.sequence => {}
                Some(Ok(notice)) => {
                    for name in following.take(notice.what) {
                        show(&mut progress, following, &name);
                        tell_first_failure(call, project, following, &mut progress, &name);
                    }
                }
            },
            () = &mut time_is_up => return Ok(Ended::TimedOut),
            _ = interrupted.recv() => return Ok(Ended::Interrupted),
        }
    }
    if following.is_whole_project && following.proof.is_some() {
        // What it has to say is said; the stream ends when it has let go of its files.
        let end = async {
            while let Some(Ok(_)) = notices.next().await {}
            if let Some(supervisor) = supervisor {
                session::wait_for_end(&supervisor).await;
            }
        };
        tokio::select! {
            () = end => {}
            () = &mut time_is_up => return Ok(Ended::TimedOut),
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
        // A task that was done before `down` came is not told of.
        let was_over = following.order == Order::Down && service.state.is_down();
        if is_changed && !was_over || !following.is_resting(name, service) {
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

/// Says why a service that was to come up failed for the first time: the next attempts say the same.
fn tell_first_failure(
    call: &Call,
    project: &Project,
    following: &mut Following,
    progress: &mut Progress<io::Stderr>,
    name: &ServiceName,
) {
    let wanted = following.order != Order::Down && following.is_wanted(name);
    let Some(Some(service)) = following.targets.get(name).filter(|_| wanted) else {
        return;
    };
    let before = following.failed_before.get(name).copied().unwrap_or(0);
    let has_failed = service.state == StateWord::Backoff && service.failures > before;
    if has_failed && !service.has_been_ready && following.told.insert(name.clone()) {
        progress.print(&up::first_failure(call, project, name, service));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::Status;
    use serde_json::json;

    fn service(state: &str) -> ServiceStatus {
        let is_on_its_way = ["waiting", "starting", "backoff", "stopping"].contains(&state);
        serde_json::from_value(json!({
            "settled": !is_on_its_way,
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
                followers: Vec::new(),
            },
            targets: services
                .iter()
                .map(|(name, _)| name.parse().unwrap())
                .collect(),
            whole_project,
            order_id: 7,
            sequence: 0,
            status: status(services),
        };
        Following::new(order, whole_project, &reply)
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
            is_killed: true,
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

    /// What a later order, or an earlier one, makes of a service.
    fn ordered(following: &mut Following, name: &str, goal: &str, id: u64) {
        let mut new = service("stopping");
        new.goal = serde_json::from_value(json!(goal)).unwrap();
        let by = json!({"process": {"uid": 1000, "pid": 42}});
        new.ordered = serde_json::from_value(json!({"id": id, "order": "up", "by": by})).unwrap();
        let (name, status) = (name.parse().unwrap(), Some(Box::new(new)));
        following.take(News::Service { name, status });
    }

    #[test]
    fn a_later_order_with_another_goal_overtakes_this_one() {
        let mut order = following(Order::Up, false, &[("a", "starting"), ("b", "ready")]);
        ordered(&mut order, "a", "up", 8);
        ordered(&mut order, "a", "down", 6);
        ordered(&mut order, "c", "down", 8);
        assert!(order.overtaken().is_empty(), "{:?}", order.overtaken());
        ordered(&mut order, "b", "down", 8);
        let overtaken: Vec<_> = order.overtaken().iter().collect();
        assert_eq!(overtaken.len(), 1);
        assert_eq!(overtaken[0].1.0, Goal::Down);
        ordered(&mut order, "b", "up", 9);
        assert!(order.overtaken().is_empty());
    }

    #[test]
    fn whatever_is_ordered_up_overtakes_the_end_of_everything() {
        let mut order = following(Order::Down, true, &[("a", "stopping")]);
        order.goals.insert("a".parse().unwrap(), Goal::Down);
        ordered(&mut order, "new", "up", 8);
        assert_eq!(order.overtaken().len(), 1);
    }

    #[test]
    fn the_end_of_the_last_services_is_not_overtaken_by_the_start_of_others() {
        let mut order = following(Order::Down, true, &[("a", "stopping")]);
        order.is_everything = false;
        order.goals = BTreeMap::from([("a".parse().unwrap(), Goal::Down)]);
        ordered(&mut order, "other", "up", 8);
        assert!(order.overtaken().is_empty());
        becomes(&mut order, "a", "inactive");
        assert!(order.is_settled(), "the supervisor stays");
    }

    #[test]
    fn a_later_snapshot_replaces_what_was_known() {
        let mut order = following(Order::Up, false, &[("a", "starting"), ("b", "starting")]);
        let changed = order.take(News::Snapshot(status(&[("a", "ready"), ("b", "ready")])));
        assert_eq!(changed.len(), 2);
        assert!(order.is_settled());
    }
}
