//! `baudbot selftest`: what can escape on this host.
//!
//! Exit code: 0 when everything was contained, 1 when something was not, or the test itself could
//! not be carried out; 130 when it was interrupted. In each case nothing of it is left.

use clap::Args;

use super::{Call, Failure};
use crate::code;
use crate::exit::ExitCode;
use crate::render;
use crate::selftest::{self, Failed, TRICKS, Trick};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these tricks, and those that they need; all, when none is named
    #[arg(value_name = "TRICK", value_parser = trick)]
    tricks: Vec<&'static Trick>,
    /// Print the report for programs
    #[arg(long)]
    json: bool,
}

fn trick(name: &str) -> Result<&'static Trick, String> {
    Trick::named(name).ok_or_else(|| {
        let names: Vec<&str> = TRICKS.iter().map(|trick| trick.name).collect();
        format!("there is no such trick; there are {}", names.join(", "))
    })
}

pub(super) async fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if !arguments.json {
        call.note(&render::selftest::begun(&call.err));
    }
    let report = match selftest::run(&arguments.tricks).await {
        Ok(report) => report,
        Err(Failed::Interrupted) => {
            call.note(&render::selftest::interrupted(&call.err));
            return Ok(ExitCode::Interrupted);
        }
        Err(error @ Failed::Broken { .. }) => {
            return Err(Failure::of(code!("cli::selftest"), &error));
        }
    };
    if arguments.json {
        call.print_json(&report)?;
    } else {
        call.print(&render::selftest::report(&report, &call.out))?;
    }
    Ok(if report.contained {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}
