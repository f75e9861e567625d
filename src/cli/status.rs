//! `baudbot status`.
//!
//! Exit code: 0 when every service that should be up is ready or completed, 3 when nothing runs,
//! 1 otherwise.

use clap::Args;
use indexmap::IndexMap;
use jiff::Timestamp;

use super::{Call, Failure, project, session};
use crate::control::protocol::{ServiceStatus, Status, VERSION};
use crate::exit::ExitCode;
use crate::id::ProjectName;
use crate::machine::{Goal, StateWord};
use crate::manifest::model::{Manifest, Service};
use crate::render;
use crate::store::Project;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print the status for programs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let name = project::project_name(call)?;
    let project = Project::locate(&name)?;
    let status = match answer(&project).await? {
        Some(status) => match project::manifest_if_any(call, &name) {
            Some(manifest) => with_declared(status, &manifest),
            None => status,
        },
        None => not_running(call, name)?,
    };
    if arguments.json {
        call.print_json(&status)?;
    } else {
        let screen = render::status::status(&status, Timestamp::now(), &call.out);
        call.print(&screen)?;
    }
    Ok(exit(&status))
}

/// What the supervisor says, if one runs. One that goes away while it is asked runs no more.
async fn answer(project: &Project) -> Result<Option<Status>, Failure> {
    let Some(client) = session::running(project).await? else {
        return Ok(None);
    };
    match client.status_with_usage().await {
        Ok(status) => Ok(Some(status)),
        Err(error) if error.is_leaving() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What there is to say when no supervisor runs: the services that could.
fn not_running(call: &Call, name: ProjectName) -> Result<Status, Failure> {
    let status = Status {
        version: VERSION,
        project: name,
        supervisor: None,
        services: IndexMap::new(),
    };
    if let Some(manifest) = project::manifest_if_any(call, &status.project) {
        return Ok(with_declared(status, &manifest));
    }
    // A project that was named need not have a manifest here. Where the name comes from a manifest,
    // what keeps that from being read is what people need to know.
    if project::explicit_name(call)?.is_none() && project::manifest_file(call).is_ok() {
        project::manifest(call)?;
    }
    Ok(status)
}

/// The status in the order of the manifest, with the declared services that were never ordered up;
/// what is held and no longer declared comes last.
fn with_declared(mut status: Status, manifest: &Manifest) -> Status {
    let mut services = IndexMap::new();
    for (name, service) in &manifest.services {
        let held = status.services.shift_remove(name);
        services.insert(name.clone(), held.unwrap_or_else(|| inactive(service)));
    }
    services.extend(status.services);
    Status { services, ..status }
}

fn inactive(service: &Service) -> ServiceStatus {
    ServiceStatus {
        kind: service.kind.word().into(),
        description: service.description.clone(),
        goal: Goal::Down,
        state: StateWord::Inactive,
        reason: None,
        pid: None,
        since: None,
        restarts: 0,
        run: None,
        groups: service.groups.clone(),
        ports: service.ports.iter().map(|port| port.number).collect(),
        session: service.session().map(str::to_owned),
        survivors: Vec::new(),
        usage: None,
        last_probe: None,
        deadline: None,
        waits_for: Vec::new(),
        is_stuck: false,
    }
}

fn exit(status: &Status) -> ExitCode {
    let is_well = status.services.values().all(render::status::is_as_wanted);
    let is_anything_wanted = status.services.values().any(|one| one.goal == Goal::Up);
    match (&status.supervisor, is_well, is_anything_wanted) {
        (None, _, _) | (_, true, false) => ExitCode::NotRunning,
        (Some(_), true, true) => ExitCode::Done,
        (Some(_), false, _) => ExitCode::Failed,
    }
}
