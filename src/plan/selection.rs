//! From the names that people give to the services that they mean.

use std::collections::BTreeSet;

use crate::id::ServiceName;
use crate::machine::Goal;
use crate::manifest::model::{Manifest, Service};
use crate::plan::{Observed, Order, Selector, UnknownSelector};

/// The services that the selection names. For `Down` they may be held, declared or both.
pub(super) fn select(
    order: Order,
    selection: &[Selector],
    manifest: &Manifest,
    observed: &Observed,
) -> Result<BTreeSet<ServiceName>, Vec<UnknownSelector>> {
    let is_about_held = order == Order::Down;
    let held = || observed.services.keys().filter(|_| is_about_held);
    if selection.is_empty() && is_about_held {
        return Ok(held().cloned().collect());
    }
    if selection.is_empty() {
        let services = manifest.services.values();
        return Ok(services
            .filter(|service| is_of_an_order_for_many(service, observed))
            .map(|service| service.name.clone())
            .collect());
    }
    let mut selected = BTreeSet::new();
    let mut unknown: Vec<UnknownSelector> = Vec::new();
    for selector in selection {
        let mut found: Vec<&ServiceName> = match selector {
            Selector::Service(name) => manifest
                .services
                .keys()
                .chain(held())
                .filter(|known| *known == name)
                .collect(),
            Selector::Group(group) => manifest
                .members(group)
                .filter(|name| {
                    is_about_held || is_of_an_order_for_many(&manifest.services[*name], observed)
                })
                .chain(
                    held().filter(|name| observed.services[*name].service.groups.contains(group)),
                )
                .collect(),
        };
        let is_known = match selector {
            Selector::Service(_) => !found.is_empty(),
            // A group may have no members.
            Selector::Group(group) => !found.is_empty() || manifest.groups.contains_key(group),
        };
        selected.extend(found.drain(..).cloned());
        let text = selector.to_string();
        if !is_known && unknown.iter().all(|known| known.selector != text) {
            let names = manifest
                .services
                .keys()
                .chain(held())
                .map(ToString::to_string);
            let groups = manifest.groups.keys().map(|group| format!("@{group}"));
            let is_template = matches!(selector, Selector::Service(_))
                && manifest.templates.contains_key(text.as_str());
            unknown.push(UnknownSelector {
                is_template,
                similar: similar(&text, names.chain(groups)),
                selector: text,
            });
        }
    }
    if unknown.is_empty() {
        Ok(selected)
    } else {
        Err(unknown)
    }
}

/// An instance of a template is started by its name only; what runs of them follows the manifest.
fn is_of_an_order_for_many(service: &Service, observed: &Observed) -> bool {
    service.instance.is_none()
        || observed
            .services
            .get(&service.name)
            .is_some_and(|held| held.goal == Goal::Up && !held.state.is_down())
}

/// The nearest of `candidates`, if it is near enough to be what was meant.
fn similar(text: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let bare = |name: &str| name.trim_start_matches('@').to_lowercase();
    let longest = text.chars().count().div_ceil(3).max(1);
    candidates
        .map(|name| (strsim::damerau_levenshtein(&bare(text), &bare(&name)), name))
        .filter(|(distance, _)| *distance <= longest)
        .min()
        .map(|(_, name)| name)
}
