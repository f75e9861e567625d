//! `baudbot up`, `start` and `restart`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;

use super::follow::{Ended, Following, follow};
use super::last_lines::{self, Whose};
use super::session::Limit;
use super::{Call, Failure, instances, origin, overtaken, project, session, verdict};
use crate::code;
use crate::control::protocol::{OrderReply, OrderRequest, ServiceStatus, VERSION};
use crate::exit::ExitCode;
use crate::id::ServiceName;
use crate::log_reader::Line;
use crate::machine::StateWord;
use crate::manifest::model::Instance;
use crate::plan::{Action, Order, Plan, Selector};
use crate::render::{outcome, plan};
use crate::store::Project;
use crate::supervisor::ReadyWhen;

/// Of how many failed services the log is shown.
const MOST_LOGS: usize = 5;

/// How many lines of a failed service's log are shown.
const LAST_LINES: usize = 10;

/// How many of them are shown when it fails for the first time.
const FIRST_LINES: usize = 3;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which services; all, when none is named. What they need comes along
    #[arg(value_name = "NAME|@GROUP")]
    selection: Vec<Selector>,
    #[command(flatten)]
    waiting: Waiting,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Run the supervisor in this process, as the main process of a systemd unit; exits when
    /// everything is down
    #[arg(long, conflicts_with_all = ["dry_run", "no_wait", "timeout"])]
    foreground: bool,
    /// When a unit of Type=notify has started: as soon as each service is up, has given up or has
    /// failed to start once (`settled`), or only when all are up (`all`)
    #[arg(
        long,
        value_name = "WHEN",
        requires = "foreground",
        default_value = "settled"
    )]
    ready: Ready,
    /// Then apply each edit of the manifest as it is saved; a broken one is refused
    #[arg(long, conflicts_with_all = ["dry_run", "no_wait", "timeout", "foreground"])]
    watch: bool,
}

/// The words for [`ReadyWhen`].
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Ready {
    Settled,
    All,
}

impl From<Ready> for ReadyWhen {
    fn from(ready: Ready) -> Self {
        match ready {
            Ready::Settled => Self::Settled,
            Ready::All => Self::All,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct StartArguments {
    /// Which services. What they need comes along
    #[arg(value_name = "NAME|@GROUP", required = true)]
    selection: Vec<Selector>,
    /// What an instance of a template (`TEMPLATE@NAME`) is given
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = instances::parse_param)]
    params: Vec<(String, String)>,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Debug, Args)]
pub(super) struct RestartArguments {
    /// Which services; all, when none is named
    #[arg(value_name = "NAME|@GROUP")]
    selection: Vec<Selector>,
    #[command(flatten)]
    waiting: Waiting,
}

/// How long to wait.
#[derive(Debug, Default, Args)]
pub(super) struct Waiting {
    /// Do not wait until everything is ready
    #[arg(long)]
    no_wait: bool,
    /// Wait no longer than this, as in 90s or 5m; the work goes on
    #[arg(long, value_name = "DURATION", value_parser = crate::manifest::parse_duration)]
    timeout: Option<Duration>,
}

pub(super) async fn run(call: &Call, arguments: Arguments) -> Result<ExitCode, Failure> {
    if arguments.dry_run {
        return super::plan::show(call, Order::Up, arguments.selection, false).await;
    }
    if arguments.foreground {
        let (project, request) = request(call, Order::Up, arguments.selection, &[])?;
        return super::foreground::run(call, project, &request, arguments.ready.into()).await;
    }
    if arguments.watch {
        return super::watch::run(call, arguments.selection).await;
    }
    bring_up(
        call,
        Order::Up,
        arguments.selection,
        &[],
        &arguments.waiting,
    )
    .await
}

pub(super) async fn start(call: &Call, arguments: StartArguments) -> Result<ExitCode, Failure> {
    let wanted = instances::wanted(&arguments.selection, &arguments.params)?;
    bring_up(
        call,
        Order::Up,
        arguments.selection,
        &wanted,
        &arguments.waiting,
    )
    .await
}

pub(super) async fn restart(call: &Call, arguments: RestartArguments) -> Result<ExitCode, Failure> {
    bring_up(
        call,
        Order::Restart,
        arguments.selection,
        &[],
        &arguments.waiting,
    )
    .await
}

/// The order, with the manifest as it is now.
fn request(
    call: &Call,
    order: Order,
    selection: Vec<Selector>,
    wanted: &[Instance],
) -> Result<(Project, OrderRequest), Failure> {
    let manifest = project::manifest_with(call, wanted, &selection)?;
    let project = Project::locate(&manifest.project)?;
    origin::refuse_other(call, &project, &manifest.file)?;
    origin::tell_renamed(call, project.name(), &manifest.file);
    let request = OrderRequest {
        version: VERSION,
        order,
        manifest: Some(manifest),
        selection,
        dry_run: false,
        now: false,
        manifest_file: None,
    };
    Ok((project, request))
}

/// Gives the order, with the manifest as it is now, and follows it.
pub(super) async fn bring_up(
    call: &Call,
    order: Order,
    selection: Vec<Selector>,
    wanted: &[Instance],
    waiting: &Waiting,
) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    let limit = Limit::of(waiting.timeout);
    let (project, request) = request(call, order, selection, wanted)?;
    let mut crashes = 0;
    loop {
        let once = brought_up(call, &project, &request, waiting, limit, begun, crashes);
        if let Some(exit) = once.await? {
            return Ok(exit);
        }
        crashes += 1;
    }
}

/// As [`bring_up`], under one supervisor; `None` when that crashed and another one can be asked.
async fn brought_up(
    call: &Call,
    project: &Project,
    request: &OrderRequest,
    waiting: &Waiting,
    limit: Limit,
    begun: Instant,
    crashes: u32,
) -> Result<Option<ExitCode>, Failure> {
    let order = request.order;
    let ordered = session::order(call, project, request);
    let Some(ordered) = limit.within(ordered).await else {
        return Ok(Some(session::not_answered_in_time(call, project)));
    };
    let (reply, notices) = ordered?;
    call.note(&plan::changes(&reply.plan, &call.err));
    if waiting.no_wait {
        if !plan::changes_anything(&reply.plan) {
            call.note(&format!("{}\n", plan::summary(&reply.plan)));
        }
        let is_kept = tell_kept(
            call,
            order,
            &reply,
            &Following::new(order, request.selection.is_empty(), &reply),
        );
        return Ok(Some(if is_kept {
            ExitCode::Blocked
        } else {
            ExitCode::Done
        }));
    }
    let mut following = Following::new(order, request.selection.is_empty(), &reply);
    let ended = follow(call, project, &mut following, &reply, notices, limit).await?;
    match ended {
        Ended::Overtaken => Err(overtaken::failure(call, &following)),
        Ended::Settled => {
            let exit = report(call, project, &following, &reply, begun);
            let is_kept = tell_kept(call, order, &reply, &following);
            // What runs goes on, but not as the manifest would have it.
            if exit == ExitCode::Done && is_kept {
                return Ok(Some(ExitCode::Blocked));
            }
            Ok(Some(exit))
        }
        // To be up is what was asked for; a second restart is not.
        Ended::SupervisorLeft
            if order == Order::Up && session::goes_on(call, project, &reply, crashes).await =>
        {
            Ok(None)
        }
        Ended::SupervisorLeft if order == Order::Restart => Err(Failure::new(
            code!("cli::supervisor_left"),
            ExitCode::Failed,
            "the supervisor left before everything was restarted",
        )
        .help(format!(
            "see what was with `{}`, and give the order again",
            call.typed("status")
        ))),
        Ended::SupervisorLeft => Err(Failure::new(
            code!("cli::supervisor_left"),
            ExitCode::Failed,
            "the supervisor left before everything was up",
        )
        .help(format!("see what is left with `{}`", call.typed("status")))),
        Ended::TimedOut => {
            call.note(&outcome::timed_out(following.pending(), &call.err));
            call.note(&outcome::goes_on(
                &call.typed("status"),
                &call.typed("down"),
                &call.err,
            ));
            Ok(Some(ExitCode::TimedOut))
        }
        Ended::Interrupted => {
            call.note(&outcome::detached(following.pending(), &call.err));
            call.note(&outcome::goes_on(
                &call.typed("status"),
                &call.typed("down"),
                &call.err,
            ));
            Ok(Some(ExitCode::Interrupted))
        }
    }
}

/// Says what the services left behind that this order started.
fn tell_left_behind(call: &Call, following: &Following, plan: &Plan) {
    let states = [
        StateWord::Completed,
        StateWord::Inactive,
        StateWord::Failed,
        StateWord::Backoff,
    ];
    let services = states
        .into_iter()
        .flat_map(|state| following.in_state(state));
    for (name, service) in services {
        let mut steps = plan.waves.iter().flatten();
        let is_started = steps.any(|step| step.service == *name && step.action != Action::Keep);
        if let (true, Some(left)) = (is_started, &service.left_behind) {
            call.note(&outcome::left_behind(name, left, &call.err));
        }
    }
}

/// Says which services run on because a new run could not start; returns whether there is one.
fn tell_kept(call: &Call, order: Order, reply: &OrderReply, following: &Following) -> bool {
    let again = |name: &ServiceName| match order {
        Order::Restart => call.typed(&format!("restart {name}")),
        Order::Up | Order::Down => call.typed(&format!("up {name}")),
    };
    let mut kept: BTreeMap<&ServiceName, &[String]> = BTreeMap::new();
    for state in [StateWord::Starting, StateWord::Ready, StateWord::Unhealthy] {
        let lacking = following.in_state(state);
        let lacking = lacking.filter(|(_, service)| !service.lacks.is_empty());
        kept.extend(lacking.map(|(name, service)| (name, &*service.lacks)));
    }
    let steps = reply.plan.kept_for_lack();
    kept.extend(steps.map(|step| (&step.service, &*step.lacks)));
    for (name, lacks) in &kept {
        call.note(&outcome::kept(name, lacks, &again(name), &call.err));
    }
    !kept.is_empty()
}

/// Says what the order came to; of what failed, the last lines of its log.
fn report(
    call: &Call,
    project: &Project,
    following: &Following,
    reply: &OrderReply,
    begun: Instant,
) -> ExitCode {
    let exit = following.up_exit();
    tell_causes(call, project, following);
    tell_left_behind(call, following, &reply.plan);
    call.note(&outcome::skipped(
        following.in_state(StateWord::Skipped),
        &call.err,
    ));
    if exit == ExitCode::Done && !plan::changes_anything(&reply.plan) {
        call.note(&format!("{}\n", plan::summary(&reply.plan)));
        return exit;
    }
    call.note(&outcome::up(&following.tally(), begun.elapsed(), &call.err));
    exit
}

/// One error for each cause, with the services that wait for it.
fn tell_causes(call: &Call, project: &Project, following: &Following) {
    let typed = |command: &str, name: &ServiceName| call.typed(&format!("{command} {name}"));
    let wanted = following.wanted_up();
    let stalled = following.stalled();
    let mut logs_shown = 0;
    let mut roots = verdict::roots(&wanted);
    let alike = verdict::blocked_alike(&mut roots, &wanted);
    for root in roots {
        let Some(service) = wanted.get(root.name).copied().flatten() else {
            continue;
        };
        let has_run = service.failures > 0
            || matches!(service.state, StateWord::Failed | StateWord::Inactive);
        // The logs of many services at once would bury what is wrong.
        let lines = if has_run && logs_shown < MOST_LOGS {
            logs_shown += 1;
            failed_run(project, root.name, service, LAST_LINES)
        } else {
            Vec::new()
        };
        let cause = outcome::Cause {
            name: root.name,
            service,
            lines: &lines,
            waiting: &root.waiting,
            alike: alike.get(root.name).map_or(&[], Vec::as_slice),
            is_tried_again: stalled.contains(root.name),
        };
        call.note(&outcome::cause(&cause, &typed, &call.err));
    }
    if !stalled.is_empty() {
        call.note(&outcome::goes_on(
            &call.typed("status"),
            &call.typed("down"),
            &call.err,
        ));
    }
}

/// What is told when a service fails for the first time.
pub(super) fn first_failure(
    call: &Call,
    project: &Project,
    name: &ServiceName,
    service: &ServiceStatus,
) -> String {
    let lines = last_lines::of_run(project, name, Whose::Latest, FIRST_LINES);
    let why = call.typed(&format!("why {name}"));
    outcome::first_failure(name, service, &lines, &why, &call.err)
}

/// The last lines of the run that failed.
fn failed_run(
    project: &Project,
    name: &ServiceName,
    service: &ServiceStatus,
    count: usize,
) -> Vec<Line> {
    let whose = match service.state {
        StateWord::Starting => Whose::Previous,
        _ => Whose::Latest,
    };
    last_lines::of_run(project, name, whose, count)
}
