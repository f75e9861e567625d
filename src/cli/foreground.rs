//! `baudbot up --foreground`: this very process is the supervisor, as a service manager wants it.

use std::io::{self, Stderr};
use std::time::Instant;

use super::{Call, Failure};
use crate::catalogue::Code;
use crate::code;
use crate::control::protocol::{OrderRequest, Status};
use crate::exit::ExitCode;
use crate::machine::StateWord;
use crate::render::progress::Progress;
use crate::render::{Look, failure, outcome, proof};
use crate::store::Project;
use crate::supervisor::{Foreground, ForegroundError, run_in_foreground};

/// Runs the project until it is down.
pub(super) async fn run(
    call: &Call,
    project: Project,
    request: &OrderRequest,
) -> Result<ExitCode, Failure> {
    // Plain lines, on a terminal too: this is a log, and it may run for months.
    let look = Look {
        is_live: false,
        ..call.err
    };
    let names: Vec<_> = request
        .manifest
        .iter()
        .flat_map(|manifest| manifest.services.keys())
        .collect();
    let mut watching = Watching {
        call,
        begun: Instant::now(),
        progress: Progress::new(look, io::stderr(), names),
        well: 0,
        total: 0,
    };
    let proof = run_in_foreground(project, request, &mut watching).await?;
    call.print(&proof::proof(&proof, &call.out))?;
    Ok(if proof.is_clean() {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}

struct Watching<'a> {
    call: &'a Call,
    begun: Instant,
    progress: Progress<Stderr>,
    well: usize,
    total: usize,
}

impl Foreground for Watching<'_> {
    fn note(&mut self, text: &str) {
        self.call.note(&format!("{text}\n"));
    }

    fn turned(&mut self, status: &Status) {
        for (name, service) in &status.services {
            self.progress
                .update(name, service, service.state.is_settled_up());
        }
        let services = status.services.values();
        let to_run = services.filter(|service| service.state != StateWord::Skipped);
        self.total = to_run.clone().count();
        self.well = to_run.filter(|service| service.state.is_well()).count();
    }

    fn fulfilled(&mut self, _is_well: bool) {
        self.call.note(&outcome::up(
            self.well,
            self.total,
            self.begun.elapsed(),
            &self.call.err,
        ));
    }
}

impl From<ForegroundError> for Failure {
    fn from(error: ForegroundError) -> Self {
        let (code, exit, help) = match &error {
            ForegroundError::Begin(error) => (error.code(), ExitCode::Failed, error.help()),
            ForegroundError::Refused(refusal) => (
                Code::received(&refusal.code).unwrap_or(code!("control::bad_order")),
                ExitCode::from_number(refusal.exit),
                refusal.help.clone(),
            ),
        };
        Self::new(code, exit, failure::chain(&error)).maybe_help(help)
    }
}
