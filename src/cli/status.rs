//! `baudbot status`.
//!
//! Exit code: 0 when every service that should be up is ready or completed, 3 when nothing runs,
//! 1 otherwise. With `--wait` the same, once it is decided; 4 when it is not in time.

mod live;
mod unsupervised;
mod wait;
mod watch;

use std::time::Duration;

use clap::{Args, ValueEnum};
use indexmap::IndexMap;
use jiff::Timestamp;

use super::{Call, Failure, project, session};
use crate::code;
use crate::control::protocol::{ServiceStatus, Status, VERSION};
use crate::exit::ExitCode;
use crate::id::ProjectName;
use crate::machine::{Goal, StateWord};
use crate::manifest::model::{Manifest, Service};
use crate::plan::Selector;
use crate::render::Look;
use crate::render::status::{Screen, status as screen};
use crate::render::tally::is_as_wanted;
use crate::store::Project;

/// How long the status may take after the time is up.
const LAST_LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which services; all, when none is named
    #[arg(value_name = "NAME|@GROUP")]
    selection: Vec<Selector>,
    /// Print the status for programs
    #[arg(long)]
    json: bool,
    /// Show what changes, as it changes, until Ctrl-C
    #[arg(short, long, conflicts_with = "wait")]
    watch: bool,
    /// First wait until all that should be up rests (ready), or until nothing runs (stopped)
    #[arg(long, value_enum, value_name = "FOR", num_args = 0..=1, require_equals = true, default_missing_value = "ready")]
    wait: Option<WaitFor>,
    /// Wait no longer than this, as in 90s or 5m
    #[arg(long, value_name = "DURATION", value_parser = crate::manifest::parse_duration, requires = "wait")]
    timeout: Option<Duration>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WaitFor {
    /// Every service that should be up is ready or completed, or nothing more becomes of it
    Ready,
    /// Nothing runs
    Stopped,
}

pub(super) async fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let project = project::to_look_at(call)?;
    project::tell_renamed(call)?;
    if arguments.watch {
        return watch::run(call, &project, arguments).await;
    }
    if let Some(what) = arguments.wait {
        let waited = wait::wait(
            call,
            &project,
            &arguments.selection,
            what,
            arguments.timeout,
        )
        .await?;
        if waited == wait::Waited::Interrupted {
            return Ok(ExitCode::Interrupted);
        }
        let status = present(call, &project, &arguments.selection);
        // A supervisor that did not answer in time is not waited for once more.
        let patience = (waited == wait::Waited::TimedOut).then_some(LAST_LOOK);
        let Some(status) = session::Limit::of(patience).within(status).await else {
            return Ok(session::not_answered_in_time(call, &project));
        };
        let status = status?;
        show(call, &status, arguments.json)?;
        return Ok(waited.exit(what, &status));
    }
    let status = present(call, &project, &arguments.selection).await?;
    show(call, &status, arguments.json)?;
    Ok(exit(&status))
}

fn show(call: &Call, status: &Status, is_json: bool) -> Result<(), Failure> {
    if is_json {
        call.print_json(&status)
    } else {
        call.print(&rendered(call, status, call.out, None))
    }
}

fn rendered(call: &Call, status: &Status, look: Look, most_lines: Option<usize>) -> String {
    screen(
        status,
        &Screen {
            now: Timestamp::now(),
            look,
            most_lines,
            typed: &|command| call.typed(command),
        },
    )
}

/// The status as it is now, of the services that are meant.
pub(super) async fn present(
    call: &Call,
    project: &Project,
    selection: &[Selector],
) -> Result<Status, Failure> {
    let answered = match answer(project).await? {
        // One that has just crashed is back in a moment.
        None if unsupervised::is_brought_back(project).await => answer(project).await?,
        answered => answered,
    };
    selected(complete(call, project, answered)?, selection)
}

/// With the services that could run and do not.
fn complete(call: &Call, project: &Project, answered: Option<Status>) -> Result<Status, Failure> {
    let name = project.name();
    match answered {
        Some(status) => Ok(declared(call, status)),
        None => Ok(unsupervised::with_what_runs(
            not_running(call, name.clone())?,
            project,
        )),
    }
}

/// Only the services that are meant; all, when none is named.
fn selected(mut status: Status, selection: &[Selector]) -> Result<Status, Failure> {
    if selection.is_empty() {
        return Ok(status);
    }
    for selector in selection {
        if !status
            .services
            .iter()
            .any(|(name, one)| is_meant(selector, name, one))
        {
            return Err(Failure::new(
                code!("cli::unknown_name"),
                ExitCode::Usage,
                format!("no service or group is called `{selector}`"),
            ));
        }
    }
    status.services.retain(|name, service| {
        selection
            .iter()
            .any(|selector| is_meant(selector, name, service))
    });
    Ok(status)
}

fn is_meant(selector: &Selector, name: &crate::id::ServiceName, service: &ServiceStatus) -> bool {
    match selector {
        Selector::Service(wanted) => wanted == name,
        Selector::Group(group) => service.groups.contains(group),
    }
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
    let status = without_supervisor(name);
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

/// What there is to say without a supervisor, before anybody looked at a manifest.
pub(super) fn without_supervisor(project: ProjectName) -> Status {
    Status {
        version: VERSION,
        project,
        supervisor: None,
        services: IndexMap::new(),
    }
}

/// The status together with what the manifest declares, if that can be had without a word.
pub(super) fn declared(call: &Call, status: Status) -> Status {
    match project::manifest_if_any(call, &status.project) {
        Some(manifest) => with_declared(status, &manifest),
        None => status,
    }
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
        instance: service.instance.clone().map(Box::new),
        kind: service.kind.word().into(),
        description: service.description.clone(),
        goal: Goal::Down,
        ordered: None,
        state: StateWord::Inactive,
        reason: None,
        lacks: Vec::new(),
        left_behind: None,
        pid: None,
        since: None,
        restarts: 0,
        run: None,
        groups: service.groups.clone(),
        ports: service.ports.iter().map(|port| port.number).collect(),
        session: service.session().map(str::to_owned),
        survivors: Vec::new(),
        usage: None,
        exports: std::collections::BTreeMap::new(),
        says: None,
        last_probe: None,
        deadline: None,
        awaits: None,
        waits_for: Vec::new(),
        is_stuck: false,
        settled: true,
        failures: 0,
        has_been_ready: false,
        root_cause: None,
    }
}

fn exit(status: &Status) -> ExitCode {
    let is_well = status.services.values().all(is_as_wanted);
    let is_anything_wanted = status.services.values().any(|one| one.goal == Goal::Up);
    match (&status.supervisor, is_well, is_anything_wanted) {
        // What runs without a supervisor is not as it should be.
        (None, _, true) => ExitCode::Failed,
        (None, _, false) | (_, true, false) => ExitCode::NotRunning,
        (Some(_), true, true) => ExitCode::Done,
        (Some(_), false, _) => ExitCode::Failed,
    }
}
