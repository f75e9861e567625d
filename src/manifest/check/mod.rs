//! Raw to model.
//!
//! Two kinds of work, both of which report all they find. *Values*: each service is resolved by
//! itself ([`service`]), and a value that makes no sense is reported and replaced by its default.
//! *Relations*: rules over the whole [`World`], each a small function in [`RULES`]. A manifest comes
//! of it exactly when nobody reported an error.

mod cleanup;
mod edges;
mod environment;
mod exports;
mod given;
mod health;
mod limits;
mod names;
mod ports;
mod probe;
mod ready;
mod references;
mod service;
mod tasks;
mod templates;
mod text;
mod tmux;
mod user;
mod when;
mod world;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::Context;
use super::diagnostic::Diagnostic;
use super::environment::EnvironmentError;
use super::model::{Manifest, Service};
use super::raw;
use super::reference::Reference;
use super::source::{FileId, Sources};
use crate::id::{ProjectName, ServiceName};

use exports::Found;
pub(crate) use given::NOTHING as NOTHING_GIVEN;
pub(crate) use names::{MANIFESTS, bad_name, default_project, former_default_project};
pub(crate) use text::Texts;
use world::{Origin, World};

/// One file, read.
pub(crate) struct Document {
    /// Where it stands among the sources.
    pub(crate) file: FileId,
    /// The directory that its relative paths start from; absolute.
    pub(crate) directory: PathBuf,
    /// What is in it.
    pub(crate) raw: raw::Manifest,
}

/// All that a manifest is made of.
pub(crate) struct Input<'a> {
    /// The manifest that was named or found; absolute.
    pub(crate) file: &'a Path,
    /// It, then what it includes, in order.
    pub(crate) documents: &'a [Document],
    /// Whether every file that should be there could be read whole. Otherwise a name that is not
    /// declared may well be in the part that is missing.
    pub(crate) is_complete: bool,
    /// The circumstances.
    pub(crate) context: &'a Context<'a>,
    /// The texts of the files.
    pub(crate) sources: &'a Sources,
    /// Reads an env file; `None` when it does not exist.
    pub(crate) read_env_file: &'a ReadEnvFile<'a>,
    /// Whether something exists at a path.
    pub(crate) exists: &'a dyn Fn(&Path) -> bool,
}

/// Reads the variables of an env file.
pub(crate) type ReadEnvFile<'a> =
    dyn Fn(&Path) -> Result<Option<Vec<(String, String)>>, EnvironmentError> + 'a;

/// How many diagnostics are enough to stop looking for more.
const MOST_DIAGNOSTICS: usize = 10_000;
/// The largest resolved form, in bytes of its JSON.
const LARGEST_MANIFEST: usize = 64 << 20;

/// A rule over the whole manifest.
type Rule = fn(&World<'_>) -> Vec<Diagnostic>;

/// All of them. The order does not matter: what is reported is sorted by its place.
const RULES: &[Rule] = &[
    names::versions,
    names::only_in_the_main_manifest,
    names::declared_twice,
    names::no_services,
    references::unknown_groups,
    references::unknown_dependencies,
    references::on_itself,
    references::empty_groups,
    references::conflicting_conditions,
    references::completed_is_for_tasks,
    references::cycles,
    cleanup::groups_disagree,
    cleanup::prefix_is_missing,
    cleanup::prefix_takes_foreign_sessions,
    cleanup::prefix_misses_own_session,
    cleanup::process_group_of_a_session,
    tmux::two_services_with_one_session,
    tmux::legacy_session_in_use,
    tmux::session_of_another_type,
    templates::needed,
    templates::one_session_for_all,
    templates::only_of_templates,
    tasks::always_restarted,
    tasks::with_readiness,
    tasks::with_a_hook_for_readiness,
    tasks::with_health,
];

/// Checks everything, and resolves it. The manifest is of use only when no diagnostic is an error.
pub(crate) fn check(
    input: &Input<'_>,
    project: ProjectName,
    diagnostics: &mut Vec<Diagnostic>,
) -> Manifest {
    let mut world = World::new(input, project, diagnostics);
    let (mut services, references) = services(&world, diagnostics);
    diagnostics.append(&mut exports::unknown(&world, &references));
    for (dependent, found) in &references {
        // A template is no service that could wait.
        if !services.contains_key(dependent) {
            continue;
        }
        let known = |name: &str| Some(world.services.get(name)?.name.clone());
        let needed: Vec<_> = found
            .iter()
            .filter_map(|one| Some((known(&one.service)?, one.span)))
            .collect();
        world.edges.imply(dependent, needed);
    }
    for rule in RULES {
        diagnostics.append(&mut rule(&world));
    }
    for (name, service) in &mut services {
        service.depends_on = service::dependencies(&world, name);
    }
    pass_over_skipped_members(&world, &mut services);
    Manifest {
        project: world.project.clone(),
        file: input.file.to_owned(),
        tmux: world.tmux_server.clone(),
        groups: world.model_groups(diagnostics),
        services,
        templates: world.templates.clone(),
    }
}

/// Who needs a group needs those of its members that are to run here. (Who names a service itself
/// needs that one.)
fn pass_over_skipped_members(world: &World<'_>, services: &mut IndexMap<ServiceName, Service>) {
    let skipped: Vec<ServiceName> = services
        .values()
        .filter(|service| service.is_skipped())
        .map(|service| service.name.clone())
        .collect();
    for (name, service) in services {
        for edge in world.edges.decisive_of(name) {
            if edge.group.is_some() && skipped.contains(&edge.dependency) {
                service.depends_on.shift_remove(&edge.dependency);
            }
        }
    }
}

/// Resolves the services, as long as there is no end of mistakes and memory.
fn services(
    world: &World<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (
    IndexMap<ServiceName, Service>,
    IndexMap<ServiceName, Vec<Found>>,
) {
    let mut services = IndexMap::new();
    let mut references = IndexMap::new();
    let mut size = 0;
    for declared in world.services.values() {
        if diagnostics.len() > MOST_DIAGNOSTICS {
            break;
        }
        let (mut service, found) = service::resolve(world, declared, diagnostics);
        service.references = found
            .iter()
            .filter_map(|one| {
                Some(Reference {
                    service: world.services.get(one.service.as_str())?.name.clone(),
                    export: one.export.clone(),
                })
            })
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        references.insert(declared.name.clone(), found);
        if matches!(declared.origin, Origin::Template(_)) {
            continue;
        }
        // A short manifest can say a long thing of many services: `defaults` multiply.
        size += serde_json::to_vec(&service).map_or(0, |text| text.len());
        if size > LARGEST_MANIFEST {
            diagnostics.push(
                Diagnostic::error(
                    "too_large",
                    "the services are too large once they are resolved",
                )
                .label(declared.key, "too much from here on")
                .help("64 MiB are the most; what `env` and `defaults` say counts for each service"),
            );
            break;
        }
        services.insert(declared.name.clone(), service);
    }
    diagnostics.append(&mut ports::clashes(world, &services));
    (services, references)
}
