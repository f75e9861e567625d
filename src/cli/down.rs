//! `baudbot down` and `stop`.
//!
//! Only the project's name is needed: a broken manifest keeps nobody from stopping things.

use std::time::Duration;

use clap::Args;

use super::follow::{Ended, Following, follow};
use super::project::Subject;
use super::session::Limit;
use super::{Call, Failure, ending, overtaken, project, session};
use crate::code;
use crate::control::protocol::{OrderReply, OrderRequest, Proof, VERSION};
use crate::exit::ExitCode;
use crate::plan::{Order, Selector};
use crate::render::{outcome, plan, proof};
use crate::store::Project;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which services; all, when none is named. What needs them goes along
    #[arg(value_name = "NAME|@GROUP")]
    selection: Vec<Selector>,
    /// Only list every process and tmux session that would be ended, and why it is ours
    #[arg(long, conflicts_with_all = ["now", "timeout"])]
    plan: bool,
    /// With --plan: print the list for programs
    #[arg(long, requires = "plan")]
    json: bool,
    #[command(flatten)]
    stopping: Stopping,
}

#[derive(Debug, Args)]
pub(super) struct StopArguments {
    /// Which services. What needs them goes along
    #[arg(value_name = "NAME|@GROUP", required = true)]
    selection: Vec<Selector>,
    #[command(flatten)]
    stopping: Stopping,
}

/// How to stop.
#[derive(Debug, Args)]
pub(super) struct Stopping {
    /// KILL at once, without grace
    #[arg(long)]
    now: bool,
    /// Wait no longer than this, as in 90s or 5m; the work goes on
    #[arg(long, value_name = "DURATION", value_parser = crate::manifest::parse_duration)]
    timeout: Option<Duration>,
}

pub(super) async fn run(call: &Call, arguments: Arguments) -> Result<ExitCode, Failure> {
    if arguments.plan {
        let project = project::subject_to_change(call)?.project;
        return ending::show(call, &project, &arguments.selection, arguments.json).await;
    }
    take_down(call, arguments.selection, &arguments.stopping).await
}

pub(super) async fn stop(call: &Call, arguments: StopArguments) -> Result<ExitCode, Failure> {
    take_down(call, arguments.selection, &arguments.stopping).await
}

async fn take_down(
    call: &Call,
    selection: Vec<Selector>,
    stopping: &Stopping,
) -> Result<ExitCode, Failure> {
    let limit = Limit::of(stopping.timeout);
    let subject = project::subject_to_change(call)?;
    project::tell_renamed(call)?;
    let mut crashes = 0;
    loop {
        if let Some(exit) = taken_down(
            call,
            &subject,
            selection.clone(),
            stopping.now,
            limit,
            crashes,
        )
        .await?
        {
            return Ok(exit);
        }
        crashes += 1;
    }
}

/// As [`take_down`], under one supervisor; `None` when that crashed and another one can be asked.
async fn taken_down(
    call: &Call,
    subject: &Subject,
    selection: Vec<Selector>,
    now: bool,
    limit: Limit,
    crashes: u32,
) -> Result<Option<ExitCode>, Failure> {
    let project = Project::locate(subject.project.name())?;
    let is_everything = selection.is_empty();
    let request = OrderRequest {
        version: VERSION,
        order: Order::Down,
        manifest: None,
        selection,
        dry_run: false,
        now,
        manifest_file: subject.manifest_file.clone(),
    };
    let ordered = async {
        let is_running = session::running(&project).await?.is_some();
        if !is_running && !session::has_leftovers(&project)? {
            return Ok(None);
        }
        session::order(call, &project, &request).await.map(Some)
    };
    let (reply, notices) = match limit.within(ordered).await {
        Some(Ok(Some(ordered))) => ordered,
        Some(Ok(None)) => {
            call.note(&outcome::nothing_runs(project.name()));
            return Ok(Some(ExitCode::Done));
        }
        Some(Err(failure)) => return Err(failure),
        None => return Ok(Some(session::not_answered_in_time(call, &project))),
    };
    call.note(&plan::changes(&reply.plan, &call.err));
    let mut following = Following::new(Order::Down, is_everything, &reply);
    match follow(call, &project, &mut following, &reply, notices, limit).await? {
        Ended::Settled => {
            let report = report(call, &project, &following, &reply);
            match limit.within(report).await {
                Some(report) => report.map(Some),
                None => Ok(Some(session::not_answered_in_time(call, &project))),
            }
        }
        Ended::Overtaken => Err(overtaken::failure(call, &following)),
        Ended::SupervisorLeft if session::goes_on(call, &project, &reply, crashes).await => {
            Ok(None)
        }
        Ended::SupervisorLeft => Err(Failure::new(
            code!("cli::supervisor_left"),
            ExitCode::Failed,
            "the supervisor left before everything was down",
        )
        .help(format!("end what is left with `{}`", call.typed("down")))),
        Ended::TimedOut => {
            call.note(&outcome::timed_out(following.pending(), &call.err));
            call.note(&outcome::goes_on(
                &call.typed("status"),
                &call.typed("down --now"),
                &call.err,
            ));
            Ok(Some(ExitCode::TimedOut))
        }
        Ended::Interrupted => {
            call.note(&outcome::detached(following.pending(), &call.err));
            call.note(&outcome::goes_on(
                &call.typed("status"),
                &call.typed("down --now"),
                &call.err,
            ));
            Ok(Some(ExitCode::Interrupted))
        }
    }
}

async fn report(
    call: &Call,
    project: &Project,
    following: &Following,
    reply: &OrderReply,
) -> Result<ExitCode, Failure> {
    let proof = match following.proof() {
        Some(proof) => proof.clone(),
        None => asked_for(project, following, reply).await?,
    };
    call.print(&proof::proof(&proof, &call.out))?;
    Ok(exit(proof.is_clean()))
}

/// The proof for some services while others run on.
async fn asked_for(
    project: &Project,
    following: &Following,
    reply: &OrderReply,
) -> Result<Proof, Failure> {
    if let Some(client) = session::running(project).await? {
        match client.proof(reply.targets.clone()).await {
            Ok(proof) => return Ok(proof),
            Err(error) if error.is_leaving() => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Somebody took down the rest meanwhile, and has the proof.
    Ok(Proof {
        verified: Vec::new(),
        survivors: following.survivors(),
        unclaimed: Vec::new(),
    })
}

fn exit(is_clean: bool) -> ExitCode {
    if is_clean {
        ExitCode::Done
    } else {
        ExitCode::Failed
    }
}
