//! `baudbot validate`.

use clap::Args;

use super::{Call, Failure, project};
use crate::exit::ExitCode;
use crate::render::diagnostics;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print the diagnostics for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (file, loaded) = project::load(call)?;
    if arguments.json {
        call.print_json(&loaded.to_json())?;
    } else {
        call.print(&diagnostics::diagnostics(&loaded, &call.out))?;
        if let Some(manifest) = &loaded.manifest {
            let services = manifest.services.len();
            call.print(&diagnostics::valid(&file, services, &call.out))?;
        }
    }
    Ok(match loaded.manifest {
        Some(_) => ExitCode::Done,
        None => ExitCode::Manifest,
    })
}
