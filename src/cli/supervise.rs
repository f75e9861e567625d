//! `baudbot supervise`: what a guardian starts in the background. Not for people.

use std::path::PathBuf;
use std::process;

use clap::Args;

use crate::id::ProjectName;
use crate::store::Project;
use crate::supervisor;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(long)]
    name: ProjectName,
    #[arg(long)]
    state_dir: PathBuf,
    #[arg(long)]
    runtime_dir: PathBuf,
    /// The process that starts it again when it crashes
    #[arg(long)]
    guardian: Option<i32>,
}

/// Runs the supervisor and ends the process with its exit code.
pub(super) fn run(arguments: Arguments) -> ! {
    let project = Project::at(arguments.name, arguments.state_dir, arguments.runtime_dir);
    process::exit(supervisor::supervise(project, arguments.guardian).into())
}
