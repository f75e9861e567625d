//! What an order to bring up comes to: which services are what keeps it from being fulfilled, and which
//! only wait for those.
//!
//! Pure: it looks at the statuses of the services that the order is about.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use indexmap::IndexMap;

use crate::control::protocol::ServiceStatus;
use crate::id::ServiceName;
use crate::machine::StateWord;
use crate::render::tally::is_as_wanted;

/// After so many failures in a row, a service is not waited for any longer. The supervisor goes on trying.
pub(super) const MOST_FAILURES: u32 = 3;

/// How many times in a row services had failed when the order came.
pub(super) type FailedBefore = BTreeMap<ServiceName, u32>;

/// What the order is about and wants up; `None`: the project does not hold it any more.
pub(super) type Wanted<'a> = IndexMap<&'a ServiceName, Option<&'a ServiceStatus>>;

/// One cause, and the services that wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root<'a> {
    /// The service that is to be told about.
    pub(super) name: &'a ServiceName,
    /// Those that cannot be up because of it.
    pub(super) waiting: Vec<&'a ServiceName>,
}

/// The services that fail again and again, and those that wait for one that does.
pub(super) fn stalled<'a>(wanted: &Wanted<'a>, before: &FailedBefore) -> BTreeSet<&'a ServiceName> {
    let known = || {
        let known = wanted.iter();
        known.filter_map(|(name, service)| Some((*name, (*service)?)))
    };
    let mut stalled: BTreeSet<&ServiceName> = known()
        .filter(|(name, service)| keeps_failing(service, before.get(*name).copied()))
        .map(|(name, _)| name)
        .collect();
    loop {
        let held_up: Vec<&ServiceName> = known()
            .filter(|(name, service)| {
                let mut on = service.waits_for.iter();
                service.state == StateWord::Waiting
                    && !stalled.contains(name)
                    && on.any(|on| stalled.contains(on))
            })
            .map(|(name, _)| name)
            .collect();
        if held_up.is_empty() {
            return stalled;
        }
        stalled.extend(held_up);
    }
}

/// Whether it has failed so often in a row that its next attempt is not waited for. One that the order kept as it was, on its way, gets the chance of that attempt.
fn keeps_failing(service: &ServiceStatus, before: Option<u32>) -> bool {
    let has_failed_again = service.failures > before.unwrap_or(0);
    let is_often = service.failures >= MOST_FAILURES;
    !service.settled && is_often && has_failed_again
}

/// The causes, in the order of the services, each with those that wait for it.
pub(super) fn roots<'a>(wanted: &Wanted<'a>) -> Vec<Root<'a>> {
    let mut roots: IndexMap<&ServiceName, Vec<&'a ServiceName>> = IndexMap::new();
    // Those that wait for a service that is not itself in trouble, as when it was stopped, have that in
    // common: the first of them tells.
    let mut elsewhere: IndexMap<&ServiceName, &'a ServiceName> = IndexMap::new();
    let is_bad = |name: &ServiceName| {
        let service = wanted.get(name).copied().flatten();
        service.is_some_and(|service| !is_as_wanted(service))
    };
    for (name, service) in wanted {
        let Some(service) = service.filter(|service| !is_as_wanted(service)) else {
            continue;
        };
        let root = match root_of(name, service, wanted) {
            Some(root) if is_bad(root) => root,
            Some(root) => elsewhere.entry(root).or_insert(*name),
            None => *name,
        };
        let waiting = roots.entry(root).or_default();
        if root != *name {
            waiting.push(name);
        }
    }
    let roots = roots.into_iter();
    roots
        .map(|(name, waiting)| Root { name, waiting })
        .collect()
}

/// Takes out of `roots` those that are blocked for the same reason as an earlier one, and tells them by
/// that one: too low a limit, say, is one thing to mend however many services it blocks.
pub(super) fn blocked_alike<'a>(
    roots: &mut Vec<Root<'a>>,
    wanted: &Wanted<'a>,
) -> BTreeMap<&'a ServiceName, Vec<&'a ServiceName>> {
    let mut first: BTreeMap<&'a str, &'a ServiceName> = BTreeMap::new();
    let mut alike: BTreeMap<&'a ServiceName, Vec<&'a ServiceName>> = BTreeMap::new();
    roots.retain(|root| {
        let service = wanted.get(root.name).copied().flatten();
        let reason = service
            .filter(|service| service.state == StateWord::Blocked && root.waiting.is_empty())
            .and_then(|service| service.reason.as_deref());
        let Some(reason) = reason else {
            return true;
        };
        let earlier = *first.entry(reason).or_insert(root.name);
        if earlier != root.name {
            alike.entry(earlier).or_default().push(root.name);
        }
        earlier == root.name
    });
    alike
}

/// The first service of the chain that keeps this one from being up; `None`: itself.
fn root_of<'a>(
    name: &'a ServiceName,
    service: &'a ServiceStatus,
    wanted: &Wanted<'a>,
) -> Option<&'a ServiceName> {
    if let Some(root) = &service.root_cause {
        return Some(root);
    }
    let mut seen = BTreeSet::from([name]);
    let mut open: VecDeque<&ServiceName> = waits_for(service).collect();
    while let Some(name) = open.pop_front() {
        let Some(service) = wanted.get(name).copied().flatten() else {
            continue;
        };
        if service.state != StateWord::Waiting {
            return Some(service.root_cause.as_ref().unwrap_or(name));
        }
        if seen.insert(name) {
            open.extend(waits_for(service));
        }
    }
    None
}

fn waits_for(service: &ServiceStatus) -> impl Iterator<Item = &ServiceName> {
    let waits = service.state == StateWord::Waiting;
    service.waits_for.iter().filter(move |_| waits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Goal;
    use crate::render::status::tests::service;

    type Services = IndexMap<ServiceName, ServiceStatus>;

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text).unwrap()
    }

    fn services(states: &[(&str, StateWord)]) -> Services {
        let all = states.iter();
        all.map(|(text, state)| (name(text), service(Goal::Up, *state)))
            .collect()
    }

    fn wanted(services: &Services) -> Wanted<'_> {
        services.iter().map(|(n, s)| (n, Some(s))).collect()
    }

    fn waits(services: &mut Services, who: &str, on: &str) {
        services[&name(who)].waits_for.push(name(on));
    }

    fn told(services: &Services) -> Vec<(String, Vec<String>)> {
        let roots = roots(&wanted(services));
        let text = |name: &ServiceName| name.to_string();
        let roots = roots.iter();
        roots
            .map(|root| {
                let waiting = root.waiting.iter().map(|name| text(name));
                (text(root.name), waiting.collect())
            })
            .collect()
    }

    #[test]
    fn what_is_blocked_for_one_reason_is_one_cause() {
        let mut all = services(&[
            ("a", StateWord::Blocked),
            ("b", StateWord::Blocked),
            ("c", StateWord::Blocked),
            ("d", StateWord::Failed),
        ]);
        for (who, reason) in [("a", "low limit"), ("b", "no program"), ("c", "low limit")] {
            all[&name(who)].reason = Some(reason.into());
        }
        let wanted = wanted(&all);
        let mut roots = roots(&wanted);
        let alike = blocked_alike(&mut roots, &wanted);
        let told: Vec<String> = roots.iter().map(|root| root.name.to_string()).collect();
        assert_eq!(told, ["a", "b", "d"]);
        assert_eq!(alike.len(), 1);
        assert_eq!(alike[&name("a")], [&name("c")]);
    }

    #[test]
    fn what_fails_again_and_again_holds_up_what_waits_for_it_and_nothing_else() {
        let mut all = services(&[
            ("app", StateWord::Waiting),
            ("db", StateWord::Backoff),
            ("other", StateWord::Starting),
            ("web", StateWord::Waiting),
            ("x", StateWord::Waiting),
        ]);
        waits(&mut all, "app", "web");
        waits(&mut all, "web", "db");
        waits(&mut all, "x", "other");
        let names_of = |all: &Services| -> Vec<String> {
            let stalled = stalled(&wanted(all), &[(name("kept"), 7)].into());
            stalled.iter().map(ToString::to_string).collect()
        };
        all[&name("db")].failures = MOST_FAILURES - 1;
        assert_eq!(names_of(&all), [""; 0]);
        all[&name("db")].failures = MOST_FAILURES;
        assert_eq!(names_of(&all), ["app", "db", "web"]);
        all.insert(name("kept"), service(Goal::Up, StateWord::Starting));
        all[&name("kept")].failures = 7;
        assert_eq!(names_of(&all), ["app", "db", "web"], "it gets its chance");
        all[&name("kept")].failures = 8;
        assert_eq!(names_of(&all), ["app", "db", "kept", "web"]);
        all.shift_remove(&name("kept"));
        // That an earlier run was ready for a while changes nothing.
        all[&name("db")].has_been_ready = true;
        assert_eq!(names_of(&all), ["app", "db", "web"]);
        all[&name("db")].failures = 2;
        assert_eq!(names_of(&all), [""; 0]);
    }

    #[test]
    fn a_cause_is_told_once_with_all_that_wait_for_it() {
        let mut all = services(&[
            ("a", StateWord::Blocked),
            ("b", StateWord::Waiting),
            ("c", StateWord::Waiting),
            ("migrate", StateWord::Failed),
            ("slow", StateWord::Backoff),
            ("well", StateWord::Ready),
            ("z", StateWord::Blocked),
        ]);
        all[&name("a")].root_cause = Some(name("migrate"));
        waits(&mut all, "b", "slow");
        waits(&mut all, "c", "b");
        let expected = [
            ("migrate", vec!["a"]),
            ("slow", vec!["b", "c"]),
            ("z", vec![]),
        ];
        let expected = expected.map(|(root, waiting)| {
            let waiting = waiting.into_iter().map(str::to_owned);
            (root.to_owned(), waiting.collect::<Vec<_>>())
        });
        assert_eq!(told(&all), expected);
    }

    #[test]
    fn of_those_that_wait_for_what_was_stopped_the_first_tells() {
        let mut all = services(&[("a", StateWord::Blocked), ("b", StateWord::Blocked)]);
        all[&name("a")].root_cause = Some(name("gone"));
        all[&name("b")].root_cause = Some(name("gone"));
        assert_eq!(told(&all), [("a".to_owned(), vec!["b".to_owned()])]);
    }
}
