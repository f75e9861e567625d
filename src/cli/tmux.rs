//! `baudbot tmux`: tmux on the server that holds the project's sessions.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use clap::Args;

use super::{Call, Failure, attach, project};
use crate::exit::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What tmux is told, after `--`: `baudbot tmux -- list-sessions`
    #[arg(value_name = "ARGUMENT", last = true)]
    arguments: Vec<OsString>,
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let project = project::subject_to_change(call)?.project;
    let manifest = project::manifest_if_any(call, project.name());
    let server = attach::server(&project, manifest.as_ref());
    let error = attach::client(&server).args(&arguments.arguments).exec();
    Err(attach::no_tmux(&error))
}
