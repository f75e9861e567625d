//! Who follows whom: a service with `restart: true` on an edge gets a new run along with what it
//! depends on, and whoever follows that one too.

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
            let held = observed.services.get(&step.service);
            let is_new = match step.action {
                Action::Restart => true,
                // One that has a run keeps it, or ends already.
                Action::Start => held.is_some_and(|held| !has_run(held.state)),
                Action::Stop | Action::Keep => false,
            };
            if is_new {
                renewed.insert(step.service.clone(), step.action);
            }
        }
    }
    renewed.into_keys().collect()
}

/// Whether it has a run that is wanted.
fn runs(name: &ServiceName, observed: &Observed) -> bool {
    let held = observed.services.get(name);
    held.is_some_and(|held| held.goal == Goal::Up && has_run(held.state))
}
