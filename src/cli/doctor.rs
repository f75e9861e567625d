//! `baudbot doctor`.
//!
//! Exit code: 0 when nothing is wrong, 1 otherwise.

use clap::Args;

use super::{Call, Failure, project};
use crate::doctor::gather::{Subject, gather};
use crate::doctor::{ManifestFact, examine};
use crate::exit::ExitCode;
use crate::id::ProjectName;
use crate::render;
use crate::store::{Project, StoreError};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print the findings for programs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let report = examine(&gather(&subject(call)?).await);
    if arguments.json {
        call.print_json(&report)?;
    } else {
        call.print(&render::doctor::report(&report, &call.out))?;
    }
    Ok(if report.is_well {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}

/// What this call is about. A host without a project, or one whose manifest is broken, can be
/// looked at too.
fn subject(call: &Call) -> Result<Subject, Failure> {
    let (manifest, manifest_fact) = match project::load(call) {
        Ok((file, loaded)) => {
            let errors = loaded
                .diagnostics
                .iter()
                .filter(|one| one.is_error())
                .count();
            let fact = match &loaded.manifest {
                Some(manifest) => ManifestFact::Good {
                    file,
                    services: manifest.services.len(),
                },
                None => ManifestFact::Wrong { file, errors },
            };
            (loaded.manifest, fact)
        }
        Err(failure) => (None, ManifestFact::Missing(failure.message().to_owned())),
    };
    let name = match project::project_name(call) {
        Ok(name) => Some(name),
        // Whoever names a project means it.
        Err(failure) if project::explicit_name(call)?.is_some() => return Err(failure),
        Err(_) => None,
    };
    let manifest = manifest.filter(|one| name.as_ref().is_none_or(|name| one.project == *name));
    let project = name.as_ref().map(place).transpose()?;
    if project.is_some() {
        project::to_look_at(call)?;
    }
    Ok(Subject {
        project,
        manifest,
        manifest_fact,
    })
}

/// The project's place; one that is not to be trusted is among what is looked at.
fn place(name: &ProjectName) -> Result<Project, StoreError> {
    Project::locate(name).or_else(|_| Project::derived(name))
}
