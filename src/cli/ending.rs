//! `baudbot down --plan`: what `down` would end, and why it is ours. Nothing is touched, and no
//! supervisor is started for it.

use std::collections::BTreeSet;

use super::{Call, Failure, session};
use crate::code;
use crate::control::protocol::{OrderRequest, VERSION};
use crate::exit::ExitCode;
use crate::graph::Graph;
use crate::id::ServiceName;
use crate::plan::{Action, Order, Selector};
use crate::render::ending::{Ending, Target, ending};
use crate::render::outcome;
use crate::store::Project;
use crate::supervisor::survey::{Of, Owned, Survey, What, survey};

pub(super) async fn show(
    call: &Call,
    project: &Project,
    selection: &[Selector],
    is_json: bool,
) -> Result<ExitCode, Failure> {
    let found = survey(project).await?;
    let is_selected: Box<dyn Fn(&Of) -> bool> = if selection.is_empty() {
        Box::new(|_| true)
    } else {
        let (services, groups) = selected(call, project, selection, &found).await?;
        Box::new(move |of| match of {
            Of::Service(name) => services.contains(name),
            Of::Group(name) => groups.contains(name),
            Of::Project | Of::Leftover => false,
        })
    };
    let owned = found
        .owned
        .into_iter()
        .filter(|owned| is_selected(&owned.of));
    let list = Ending {
        version: VERSION,
        project: project.name().clone(),
        targets: owned.map(target).collect(),
    };
    if is_json {
        call.print_json(&list)?;
    } else if list.targets.is_empty() {
        call.note(&outcome::nothing_runs(project.name()));
    } else {
        call.print(&ending(&list, &call.out))?;
    }
    Ok(ExitCode::Done)
}

fn target(owned: Owned) -> Target {
    let is_leftover = owned.of == Of::Leftover;
    let owner = match owned.of {
        Of::Service(name) => Some(name.to_string()),
        Of::Group(name) => Some(format!("@{name}")),
        Of::Project | Of::Leftover => None,
    };
    let (kind, pid, user, command, session) = match owned.what {
        What::Process { pid, command, user } => {
            ("process", Some(pid), Some(user), Some(command), None)
        }
        What::Session { name } => ("session", None, None, None, Some(name)),
    };
    Target {
        owner,
        is_leftover,
        kind,
        pid,
        user,
        command,
        session,
        why: owned.why,
    }
}

/// The services that an order about this selection would stop, and the groups that it names.
async fn selected(
    call: &Call,
    project: &Project,
    selection: &[Selector],
    found: &Survey,
) -> Result<(BTreeSet<ServiceName>, BTreeSet<String>), Failure> {
    let groups = selection.iter().filter_map(|selector| match selector {
        Selector::Group(name) => Some(name.to_string()),
        Selector::Service(_) => None,
    });
    let groups: BTreeSet<String> = groups.collect();
    let services = if session::running(project).await?.is_some() {
        asked(call, project, selection).await?
    } else {
        concluded(selection, found)?
    };
    Ok((services, groups))
}

/// What the supervisor says that it would stop.
async fn asked(
    call: &Call,
    project: &Project,
    selection: &[Selector],
) -> Result<BTreeSet<ServiceName>, Failure> {
    let request = OrderRequest {
        version: VERSION,
        order: Order::Down,
        manifest: None,
        selection: selection.to_vec(),
        dry_run: true,
        now: false,
        manifest_file: None,
    };
    let (reply, _) = session::order(call, project, &request).await?;
    let steps = reply.plan.waves.into_iter().flatten();
    Ok(steps
        .filter(|step| step.action == Action::Stop)
        .map(|step| step.service)
        .collect())
}

/// The same, from what the last supervisor wrote down.
fn concluded(selection: &[Selector], found: &Survey) -> Result<BTreeSet<ServiceName>, Failure> {
    let running = found.owned.iter().filter_map(|owned| match &owned.of {
        Of::Service(name) => Some(name),
        Of::Group(_) | Of::Project | Of::Leftover => None,
    });
    let running: BTreeSet<&ServiceName> = running.collect();
    let mut names = BTreeSet::new();
    for selector in selection {
        let manifest = found.manifest.as_ref();
        let is_known = match selector {
            Selector::Service(name) => {
                names.insert(name.clone());
                running.contains(name)
                    || manifest.is_some_and(|one| one.services.contains_key(name))
            }
            Selector::Group(group) => {
                names.extend(manifest.iter().flat_map(|one| one.members(group)).cloned());
                manifest.is_some_and(|one| one.groups.contains_key(group))
            }
        };
        if !is_known {
            let message = format!("the project knows no `{selector}`");
            return Err(Failure::new(
                code!("run::unknown_name"),
                ExitCode::Usage,
                message,
            ));
        }
    }
    let graph = found.manifest.as_ref().and_then(|one| Graph::new(one).ok());
    if let Some(graph) = graph {
        names.extend(graph.dependents_of(&names));
    }
    Ok(names)
}
