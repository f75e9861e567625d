//! `baudbot schema`.

use clap::{Args, ValueEnum};

use super::{Call, Failure};
use crate::control::openapi::openapi_text;
use crate::control::schema::status_schema_text;
use crate::exit::ExitCode;
use crate::manifest::schema::schema_text;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Of what
    #[arg(value_enum, default_value_t)]
    what: What,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum What {
    /// The manifest, for editors
    #[default]
    Manifest,
    /// What `status --json` prints
    Status,
    /// The control socket, as OpenAPI
    ControlApi,
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    call.print(&match arguments.what {
        What::Manifest => schema_text(),
        What::Status => status_schema_text(),
        What::ControlApi => openapi_text(),
    })?;
    Ok(ExitCode::Done)
}
