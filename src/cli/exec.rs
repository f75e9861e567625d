//! `baudbot exec`: a command where a service lives: its environment, its directory, its user.
//!
//! This program becomes the command, so input, output, signals and the exit code are the command's
//! own. It is nobody's member: `down` does not end it, for whoever typed it can.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::Args;

use super::{Call, Failure, origin, project, session};
use crate::code;
use crate::exit::ExitCode;
use crate::id::ServiceName;
use crate::manifest::load;
use crate::manifest::model::{Service, TmuxServer};
use crate::manifest::reference::{self, Reference};
use crate::store::Project;
use crate::sys::account::Account;
use crate::sys::become_command::{Become, become_command};
use crate::sys::process::resolve_executable;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where: the service whose environment, directory, umask and user are taken
    name: ServiceName,
    /// What, after `--`
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<OsString>,
}

pub(super) async fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let manifest = project::manifest(call)?;
    let project = Project::locate(&manifest.project)?;
    origin::refuse_other(call, &project, &manifest.file)?;
    let name = &arguments.name;
    let Some(service) = manifest.services.get(name) else {
        return Err(Failure::new(
            code!("run::unknown_name"),
            ExitCode::Usage,
            format!("no service is called `{name}`"),
        )
        .help(format!("see what there is with `{}`", call.typed("status"))));
    };
    let lacking = |reason: String| {
        Failure::new(
            code!("run::service_blocked"),
            ExitCode::Blocked,
            format!("`{name}` has no environment to run in: {reason}"),
        )
        .help("mend what is missing; the service itself would not start either")
    };
    if !service.missing.is_empty() {
        return Err(lacking(service.missing.join("; ")));
    }
    let values = exported(&project, service).await?;
    if let Some(lost) = service
        .references
        .iter()
        .find(|one| !values.contains_key(one))
    {
        return Err(lacking(format!(
            "`{}` does not run and exports no `{}` now",
            lost.service, lost.export
        )));
    }
    let service = &reference::fill(service, &values);
    let user = user(service).map_err(lacking)?;
    let uid = user.as_ref().map(|user| user.uid);
    let mut environment = load::environment(&service.env, uid).map_err(|errors| {
        let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
        lacking(reasons.join("; "))
    })?;
    // As the supervisor gives them to the service.
    if manifest.tmux == TmuxServer::Private && user.is_none() {
        let directory = project.tmux_tmpdir().to_string_lossy().into_owned();
        environment.insert("TMUX_TMPDIR".into(), directory);
    }
    environment.extend(project.told_to(name, Some(&manifest.file), user.is_none()));
    // A terminal is ours, not the service's.
    if let (Ok(term), false) = (std::env::var("TERM"), environment.contains_key("TERM")) {
        environment.insert("TERM".into(), term);
    }
    let path = environment.get("PATH").map(String::as_str);
    let program = arguments.command[0].to_string_lossy();
    let program = resolve_executable(&program, path, &service.working_dir).map_err(|error| {
        Failure::new(
            code!("cli::cannot_execute"),
            ExitCode::Failed,
            format!("cannot execute `{program}` as `{name}` would: {error}"),
        )
        .help(format!("its PATH is {}", path.unwrap_or("not set")))
    })?;
    let error = become_command(&Become {
        program: Path::new(&program),
        arguments: &arguments.command,
        environment: &environment,
        working_dir: &service.working_dir,
        umask: service.umask,
        user: user.as_ref(),
    });
    Err(Failure::new(
        code!("cli::cannot_execute"),
        ExitCode::Failed,
        format!(
            "cannot execute {} in {}: {error}",
            Path::new(&program).display(),
            service.working_dir.display()
        ),
    ))
}

/// What the services that run export now, as far as this one refers to it.
async fn exported(
    project: &Project,
    service: &Service,
) -> Result<BTreeMap<Reference, String>, Failure> {
    if service.references.is_empty() {
        return Ok(BTreeMap::new());
    }
    let Some(client) = session::running(project).await? else {
        return Ok(BTreeMap::new());
    };
    let status = client.status().await?;
    let value = |reference: &Reference| {
        let exports = &status.services.get(&reference.service)?.exports;
        Some((reference.clone(), exports.get(&reference.export)?.clone()))
    };
    Ok(service.references.iter().filter_map(value).collect())
}

/// Who the service runs as, if not as we do.
fn user(service: &Service) -> Result<Option<Account>, String> {
    let Some(name) = &service.user else {
        return Ok(None);
    };
    match Account::find(name) {
        Ok(Some(user)) if user.is_self() => Ok(None),
        Ok(Some(user)) if user.may_become() => Ok(Some(user)),
        Ok(Some(_)) => Err(format!("only root can become `{name}`; try it with sudo")),
        Ok(None) => Err(format!("there is no user `{name}`")),
        Err(error) => Err(format!("the user `{name}` cannot be looked up: {error}")),
    }
}
