//! `baudbot graph`.

use clap::{Args, ValueEnum};

use super::origin::{self, Origin};
use super::{Call, Failure, project, session};
use crate::code;
use crate::exit::ExitCode;
use crate::graph::Graph;
use crate::render::graph::{self, States};
use crate::store::Project;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For reading: services in the order in which they start, and what each needs
    #[default]
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown pages
    Mermaid,
    /// For programs
    Json,
}

pub(super) async fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let manifest = project::manifest(call)?;
    let graph = Graph::new(&manifest)
        .map_err(|cycle| Failure::of(code!("manifest::dependency_cycle"), &cycle))?;
    let project = Project::locate(&manifest.project)?;
    origin::tell_other(call, &project, &manifest.file);
    let states = match origin::origin(&project, &manifest.file) {
        // Services of the same names are not these.
        Origin::Other(_) => States::new(),
        Origin::This | Origin::Gone(_) => states(&project).await,
    };
    let format = match arguments.json {
        true => Format::Json,
        false => arguments.format,
    };
    match format {
        Format::Text => call.print(&graph::text(&manifest, &graph, &states, &call.out))?,
        Format::Dot => call.print(&graph::dot(&manifest, &graph, &states))?,
        Format::Mermaid => call.print(&graph::mermaid(&manifest, &graph, &states))?,
        Format::Json => call.print_json(&graph::json(&manifest, &graph, &states))?,
    }
    Ok(ExitCode::Done)
}

/// What the services are now. The graph is that of the manifest, so it is shown as well when nobody
/// can be asked.
async fn states(project: &Project) -> States {
    let Ok(Some(client)) = session::running(project).await else {
        return States::new();
    };
    let Ok(status) = client.status().await else {
        return States::new();
    };
    let services = status.services.into_iter();
    services
        .map(|(name, service)| (name, service.state))
        .collect()
}
