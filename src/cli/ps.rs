//! `baudbot ps`: all projects of this user.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{Call, Failure, origin, session};
use crate::control::protocol::{Status, VERSION};
use crate::exit::ExitCode;
use crate::machine::{Goal, StateWord};
use crate::render::ps::{ProjectLine, ProjectState, projects};
use crate::render::tally::is_as_wanted;
use crate::store::{self, Project};

/// How long a supervisor may take to answer before it is told to be silent: a stopped one should not
/// keep the others from being told.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Those too of which nothing runs
    #[arg(short, long)]
    all: bool,
    /// Print the projects for programs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut lines = Vec::new();
    for project in store::all_projects()? {
        lines.push(line(&project).await);
    }
    let is_any_known = !lines.is_empty();
    lines.retain(|line| arguments.all || line.state != ProjectState::Down);
    if arguments.json {
        call.print_json(&json!({ "version": VERSION, "projects": lines }))?;
    } else if lines.is_empty() {
        let more = match is_any_known {
            true => "; `baudbot ps --all` lists those that ran once",
            false => "",
        };
        call.note(&format!("no project of yours is running{more}\n"));
    } else {
        call.print(&projects(&lines, &call.out))?;
    }
    Ok(ExitCode::Done)
}

/// What is true of one project. One that cannot be asked is told too.
async fn line(project: &Project) -> ProjectLine {
    let mut line = ProjectLine {
        project: project.name().clone(),
        state: ProjectState::Down,
        supervisor_pid: None,
        up: None,
        total: None,
        manifest: origin::last_from(project),
        manifest_is_gone: false,
        skipped: None,
        state_dir: project.state_dir().to_owned(),
    };
    line.manifest_is_gone = line.manifest.as_deref().is_some_and(origin::is_gone);
    match answer(project).await {
        Ok(Some(status)) => {
            fill(&mut line, &status);
            return line;
        }
        Ok(None) => {
            // A ledger that cannot be read may tell of something too.
            if session::has_leftovers(project).unwrap_or(true) {
                line.state = ProjectState::LeftBehind;
            }
        }
        Err(Silent) => line.state = ProjectState::Silent,
    }
    if line.state != ProjectState::Down {
        line.supervisor_pid = project.lock_holder().map(|holder| holder.pid);
    }
    line
}

/// Somebody is there and does not answer.
struct Silent;

async fn answer(project: &Project) -> Result<Option<Status>, Silent> {
    let asked = async {
        let Some(client) = session::running(project).await.map_err(|_| Silent)? else {
            return Ok(None);
        };
        match client.status().await {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.is_leaving() => Ok(None),
            Err(_) => Err(Silent),
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .unwrap_or(Err(Silent))
}

fn fill(line: &mut ProjectLine, status: &Status) {
    let wanted = || {
        let services = status.services.values();
        services.filter(|one| one.goal == Goal::Up && one.state != StateWord::Skipped)
    };
    line.up = Some(wanted().filter(|one| is_as_wanted(one)).count());
    line.total = Some(wanted().count());
    let services = status.services.values();
    let skipped = services.filter(|one| one.state == StateWord::Skipped);
    line.skipped = Some(skipped.count());
    line.state = match status.services.values().all(is_as_wanted) {
        true => ProjectState::Up,
        false => ProjectState::Degraded,
    };
    if let Some(supervisor) = &status.supervisor {
        line.supervisor_pid = Some(supervisor.pid);
        // One of another version may keep its ledger in a way that cannot be read here.
        if let Some(file) = &supervisor.manifest {
            line.manifest_is_gone = origin::is_gone(file);
            line.manifest = Some(file.clone());
        }
    }
}
