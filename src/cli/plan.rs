//! `baudbot plan`.

use clap::Args;

use super::{Call, Failure, origin, project, session};
use crate::code;
use crate::control::protocol::{OrderRequest, VERSION};
use crate::exit::ExitCode;
use crate::graph::Graph;
use crate::manifest::model::Manifest;
use crate::plan::{Observed, Order, Plan, Selector, UnknownSelector, plan};
use crate::render;
use crate::store::Project;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Of what: `up` (the default), `down` or `restart`; then which services, all when none is named
    #[arg(value_name = "[up|down|restart] [NAME|@GROUP]...")]
    words: Vec<String>,
    /// Print the plan for programs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(call: &Call, arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut words = arguments.words.as_slice();
    let order = match words.first().map(String::as_str) {
        Some("up") => Some(Order::Up),
        Some("down") => Some(Order::Down),
        Some("restart") => Some(Order::Restart),
        _ => None,
    };
    if order.is_some() {
        words = &words[1..];
    }
    let selection = words
        .iter()
        .map(|word| {
            word.parse().map_err(|error| {
                Failure::new(
                    code!("cli::unknown_name"),
                    ExitCode::Usage,
                    format!("`{word}` is no service or group: {error}"),
                )
            })
        })
        .collect::<Result<_, _>>()?;
    show(call, order.unwrap_or(Order::Up), selection, arguments.json).await
}

/// Plans and prints the plan; changes nothing.
pub(super) async fn show(
    call: &Call,
    order: Order,
    selection: Vec<Selector>,
    is_json: bool,
) -> Result<ExitCode, Failure> {
    let plan = made(call, order, selection).await?;
    if is_json {
        call.print_json(&plan)?;
    } else {
        call.print(&render::plan::plan(&plan, &call.out))?;
    }
    Ok(ExitCode::Done)
}

/// The plan: the supervisor's, if one runs; else against a project in which nothing runs.
async fn made(call: &Call, order: Order, selection: Vec<Selector>) -> Result<Plan, Failure> {
    // `down` must be possible without a manifest, and so must be looking at what it would do.
    let manifest = match order {
        Order::Up | Order::Restart => Some(project::manifest(call)?),
        Order::Down => None,
    };
    let (project, manifest_file) = match &manifest {
        Some(manifest) => (Project::locate(&manifest.project)?, None),
        None => {
            let subject = project::subject_to_change(call)?;
            (subject.project, subject.manifest_file)
        }
    };
    // What an order that is refused would do is nothing.
    if let Some(manifest) = &manifest {
        origin::refuse_other(call, &project, &manifest.file)?;
    }
    if let Some(client) = session::running(&project).await? {
        let request = OrderRequest {
            version: VERSION,
            order,
            manifest,
            selection,
            dry_run: true,
            now: false,
            manifest_file,
        };
        return Ok(client.order(&request).await?.plan);
    }
    match manifest {
        Some(manifest) => against_nothing(order, &selection, &manifest),
        None => Ok(Plan {
            version: VERSION,
            waves: Vec::new(),
            followers: Vec::new(),
        }),
    }
}

fn against_nothing(
    order: Order,
    selection: &[Selector],
    manifest: &Manifest,
) -> Result<Plan, Failure> {
    let graph = Graph::new(manifest)
        .map_err(|cycle| Failure::of(code!("manifest::dependency_cycle"), &cycle))?;
    plan(order, selection, manifest, &graph, &Observed::default()).map_err(|unknown| {
        let messages: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        let helps: Vec<String> = unknown.iter().filter_map(UnknownSelector::help).collect();
        let help = (!helps.is_empty()).then(|| helps.join("; "));
        Failure::new(
            code!("cli::unknown_name"),
            ExitCode::Usage,
            messages.join("; "),
        )
        .maybe_help(help)
    })
}
