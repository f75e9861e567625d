//! `baudbot man`: manual pages, made from what `--help` is made from.

use std::path::PathBuf;

use clap::Args;

use super::{Call, Failure};
use crate::code;
use crate::exit::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write a page for each command into this directory, as in ~/.local/share/man/man1
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let command = super::command();
    let Some(directory) = &arguments.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| Failure::of(code!("cli::system"), &error))?;
        call.print(&String::from_utf8_lossy(&page))?;
        return Ok(ExitCode::Done);
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command, directory))
        .map_err(|error| {
            let doing = format!("cannot write manual pages into {}", directory.display());
            Failure::system(&doing, &error)
        })?;
    call.note(&format!(
        "manual pages are in {}; read one with `man -l {}`\n",
        directory.display(),
        directory.join("baudbot-up.1").display()
    ));
    Ok(ExitCode::Done)
}
