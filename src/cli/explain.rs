//! `baudbot explain CODE`.

use clap::Args;

use super::{Call, Failure};
use crate::catalogue::{self, Entry};
use crate::code;
use crate::exit::ExitCode;
use crate::render;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The code of an error, as it stands in brackets: run::service_failed
    #[arg(value_name = "CODE", required_unless_present = "all")]
    code: Option<String>,
    /// All errors, as the page docs/errors.md
    #[arg(long, conflicts_with = "code")]
    all: bool,
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Some(word) = &arguments.code else {
        call.print(&catalogue::markdown())?;
        return Ok(ExitCode::Done);
    };
    let entries: Vec<&Entry> = catalogue::lookup(word);
    if entries.is_empty() {
        return Err(Failure::new(
            code!("cli::unknown_code"),
            ExitCode::Usage,
            format!("no error has the code `{word}`"),
        ));
    }
    for entry in entries {
        call.print(&render::failure::explanation(entry, &call.out))?;
    }
    Ok(ExitCode::Done)
}
