//! `baudbot up --foreground`: this very process is the supervisor, as a service manager wants it.

use std::io::{self, Stderr};
use std::time::Instant;

use super::{Call, Failure};
use crate::catalogue::Code;
use crate::code;
use crate::control::protocol::{OrderRequest, Status};
use crate::exit::ExitCode;
use crate::render::progress::Progress;
use crate::render::tally::{self, Tally};
use crate::render::{Look, failure, outcome, proof};
use crate::store::Project;
use crate::supervisor::{Foreground, ForegroundError, ReadyWhen, run_in_foreground};

/// Runs the project until it is down.
pub(super) async fn run(
    call: &Call,
    project: Project,
    request: &OrderRequest,
    ready_when: ReadyWhen,
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
        tally: Tally::default(),
    };
    let proof = run_in_foreground(project, request, ready_when, &mut watching).await?;
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
    tally: Tally,
}

impl Foreground for Watching<'_> {
    fn note(&mut self, text: &str) {
        self.call.note(&format!("{text}\n"));
    }

    fn turned(&mut self, status: &Status) {
        for (name, service) in &status.services {
            self.progress.update(name, service, service.settled);
        }
        self.tally = Tally::of(status.services.values().map(Some));
    }

    fn fulfilled(&mut self, _is_well: bool) {
        self.tell_outcome();
    }

    fn goes_on(&mut self) {
        self.tell_outcome();
    }

    fn summary(&self, status: &Status) -> String {
        tally::one_line(status)
    }
}

impl Watching<'_> {
    fn tell_outcome(&self) {
        let elapsed = self.begun.elapsed();
        self.call
            .note(&outcome::up(&self.tally, elapsed, &self.call.err));
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
