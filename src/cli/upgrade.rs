//! `baudbot upgrade` and `baudbot supervisor restart`: another supervisor takes over, and services do
//! not notice.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Call, Failure, session};
use crate::code;
use crate::control::protocol::{Status, SupervisorStatus, VERSION};
use crate::exit::ExitCode;
use crate::render::human;
use crate::store::Project;

/// How long the next supervisor may take to answer.
const TAKES_AT_MOST: Duration = Duration::from_secs(60);

/// How long to wait between two questions.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The program to go on with [default: this one]
    #[arg(value_name = "PROGRAM")]
    program: Option<PathBuf>,
    /// Print what came of it for programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SupervisorArguments {
    #[command(subcommand)]
    command: SupervisorCommand,
}

#[derive(Debug, Subcommand)]
enum SupervisorCommand {
    /// Let another supervisor take over; services do not notice
    Restart(Arguments),
}

pub(super) async fn supervisor(
    call: &Call,
    arguments: SupervisorArguments,
) -> Result<ExitCode, Failure> {
    match arguments.command {
        SupervisorCommand::Restart(arguments) => run(call, arguments).await,
    }
}

pub(super) async fn run(call: &Call, arguments: Arguments) -> Result<ExitCode, Failure> {
    let project = super::project::subject_to_change(call)?.project;
    let Some(client) = session::running(&project).await? else {
        return Err(Failure::new(
            code!("cli::not_running"),
            ExitCode::NotRunning,
            format!(
                "`{}` is not running: there is no supervisor to take over from",
                project.name()
            ),
        )
        .help(format!("`{}` starts one", call.typed("up"))));
    };
    let before = supervisor_of(&client.status().await?)?;
    let program = match arguments.program {
        Some(program) => std::path::absolute(&program)
            .map_err(|error| Failure::system("cannot tell where the program is", &error))?,
        None => crate::sys::guardian::own_program(),
    };
    let begun = Instant::now();
    let reply = client.hand_over(program).await?;
    let (after, status) = successor(&project, &before).await?;
    let took = begun.elapsed();
    let kept = status
        .services
        .values()
        .filter(|service| service.pid.is_some());
    let kept = kept.count();
    if arguments.json {
        call.print_json(&json!({
            "version": VERSION,
            "before": { "pid": before.pid, "program_version": before.program_version },
            "after": { "pid": after.pid, "program_version": after.program_version },
            "running": kept,
        }))?;
    } else {
        let version =
            |one: &SupervisorStatus| one.program_version.clone().unwrap_or_else(|| "?".into());
        call.print(&format!(
            "supervisor {} (baudbot {}) took over from {} (baudbot {}) in {}; {kept} running services did not notice\n",
            after.pid,
            version(&after),
            before.pid,
            version(&before),
            human::span(took),
        ))?;
        let _ = reply;
    }
    Ok(ExitCode::Done)
}

fn supervisor_of(status: &Status) -> Result<SupervisorStatus, Failure> {
    status.supervisor.clone().ok_or_else(|| {
        Failure::new(
            code!("control::bad_answer"),
            ExitCode::Failed,
            "the supervisor does not tell of itself",
        )
    })
}

/// Waits until another supervisor than `before` answers.
async fn successor(
    project: &Project,
    before: &SupervisorStatus,
) -> Result<(SupervisorStatus, Status), Failure> {
    let begun = Instant::now();
    while begun.elapsed() < TAKES_AT_MOST {
        if let Ok(Some(client)) = session::running(project).await
            && let Ok(status) = client.status().await
            && let Some(supervisor) = &status.supervisor
            && (supervisor.pid, supervisor.began) != (before.pid, before.began)
        {
            return Ok((supervisor.clone(), status));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Failure::new(
        code!("cli::not_taken_over"),
        ExitCode::Failed,
        format!(
            "no other supervisor answered within {}",
            human::span(TAKES_AT_MOST)
        ),
    ))
}
