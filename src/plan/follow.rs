//! Who follows whom: a service with `restart: true` on an edge gets a new run along with what it
//! depends on, and so do those that follow that one. One that was started with a value that another
//! exports gets one when the value changes.

use std::collections::{BTreeMap, BTreeSet};

use super::step::{has_run, lacks, skip_step};
use super::{Action, Observed, Step, starts};
use crate::graph::Graph;
use crate::id::ServiceName;
use crate::machine::Goal;
use crate::manifest::model::{Manifest, Service};

/// The steps for `selected`, for those that follow what is restarted among them, and for all that
/// these need, in the waves in which they start.
pub(super) fn with_followers(
    selected: &BTreeSet<ServiceName>,
    manifest: &Manifest,
    graph: &Graph,
    observed: &Observed,
    step: impl Fn(&ServiceName) -> Step,
) -> Vec<Vec<Step>> {
    let mut about = selected.clone();
    loop {
        let mut waves = starts(&about, graph, &step);
        let renewed = pass_on(&mut waves, manifest, observed);
        // One that followed until now is named too, so that it takes over that it does no more.
        let follows = |service: &Service| {
            let mut needs = service.depends_on.iter();
            needs.any(|(name, edge)| edge.restart && renewed.contains(name))
        };
        let followers = manifest.services.values().filter(|service| {
            let held = observed.services.get(&service.name);
            runs(&service.name, observed)
                && (follows(service) || held.is_some_and(|held| follows(&held.service)))
        });
        let before = about.len();
        about.extend(followers.map(|service| service.name.clone()));
        if about.len() == before {
            return waves;
        }
    }
}

/// Turns what is kept and follows something new into a restart. Returns what gets a new run instead
/// of the one that it has, or had.
fn pass_on(
    waves: &mut [Vec<Step>],
    manifest: &Manifest,
    observed: &Observed,
) -> BTreeSet<ServiceName> {
    let mut renewed: BTreeMap<ServiceName, Action> = BTreeMap::new();
    for wave in waves {
        for step in wave {
            let followed = manifest.services[&step.service]
                .depends_on
                .iter()
                .filter(|(_, edge)| edge.restart)
                .find_map(|(name, _)| Some((name, renewed.get(name)?)));
            if let (Action::Keep, true, Some((name, action))) =
                (step.action, runs(&step.service, observed), followed)
            {
                let declared = &manifest.services[&step.service];
                if let Some(why) = &declared.when.unmet {
                    *step = skip_step(&step.service, why, observed.services.get(&step.service));
                    continue;
                }
                if !step.lacks.is_empty() {
                    // It keeps what it was made from, of which a new run may be able to start.
                    step.reason += &format!("; follows `{name}`");
                    continue;
                }
                let lacks = lacks(declared, observed);
                if !lacks.is_empty() {
                    step.reason = format!(
                        "goes on as it is; it could not be started anew to follow `{name}`: {}",
                        lacks.join("; ")
                    );
                    step.lacks = lacks;
                    continue;
                }
                step.action = Action::Restart;
                step.reason = match action {
                    Action::Restart => format!("follows `{name}`, which is restarted"),
                    Action::Start | Action::Stop | Action::Keep => {
                        format!("follows `{name}`, which is started")
                    }
                };
            }
            if is_renewed(step, observed) {
                renewed.insert(step.service.clone(), step.action);
            }
        }
    }
    renewed.into_keys().collect()
}

/// Whether it gets a new run instead of the one that it has, or had.
fn is_renewed(step: &Step, observed: &Observed) -> bool {
    let held = observed.services.get(&step.service);
    match step.action {
        Action::Restart => true,
        // One that has a run keeps it, or ends already.
        Action::Start => held.is_some_and(|held| !has_run(held.state)),
        Action::Stop | Action::Keep => false,
    }
}

/// Those that run with values of what is renewed, and those that follow these. Whether they get a new
/// run shows when the values do.
pub(super) fn value_followers(
    waves: &[Vec<Step>],
    manifest: &Manifest,
    observed: &Observed,
) -> Vec<Step> {
    let steps = waves.iter().flatten();
    let renewed = steps.filter(|step| is_renewed(step, observed));
    let mut renewed: BTreeSet<ServiceName> = renewed.map(|step| step.service.clone()).collect();
    let mut followers = Vec::new();
    loop {
        let found: Vec<Step> = manifest
            .services
            .keys()
            .filter(|name| !renewed.contains(*name) && runs(name, observed))
            .filter_map(|name| follower(&observed.services.get(name)?.service, &renewed))
            .collect();
        if found.is_empty() {
            break;
        }
        renewed.extend(found.iter().map(|step| step.service.clone()));
        followers.extend(found);
    }
    // One that is stopped follows nothing.
    followers.retain(|follower| {
        let mut steps = waves.iter().flatten();
        steps.all(|step| step.service != follower.service || step.action == Action::Keep)
    });
    followers
}

/// What is said of a running service if it may be renewed along with one of `renewed`.
fn follower(service: &Service, renewed: &BTreeSet<ServiceName>) -> Option<Step> {
    let mut references = service.references.iter();
    let value = references.find(|one| renewed.contains(&one.service));
    let mut edges = service.depends_on.iter();
    let reason = match value {
        Some(value) => format!("restarts when `{value}` changes"),
        None => {
            let (name, _) = edges.find(|(name, edge)| edge.restart && renewed.contains(*name))?;
            format!("restarts when `{name}` does")
        }
    };
    Some(Step {
        action: Action::Keep,
        service: service.name.clone(),
        reason,
        lacks: Vec::new(),
    })
}

/// Whether it has a run that is wanted.
fn runs(name: &ServiceName, observed: &Observed) -> bool {
    let held = observed.services.get(name);
    held.is_some_and(|held| held.goal == Goal::Up && has_run(held.state))
}
