//! Which manifest a project runs from, and whether that is the one by which a command found it.
//!
//! Two checkouts in directories of one name are one project by name. A command that found its project
//! by a manifest means what that manifest declares, so it must not act on services that another
//! manifest declares. The ledger names the manifest, whether a supervisor answers or not.

use std::path::{Path, PathBuf};

use super::{Call, Failure};
use crate::code;
use crate::exit::ExitCode;
use crate::id::ProjectName;
pub(super) use crate::manifest::is_gone;
use crate::manifest::is_same_file;
use crate::render::{failure, origin};
use crate::store::{self, Project};
use crate::sys::identity::boot_id;

/// The manifest that the project runs from; `None` when nothing of it is up.
pub(super) fn running_from(project: &Project) -> Option<PathBuf> {
    // What cannot be read tells nothing; the supervisor checks each order once more.
    let ledger = project.read_ledger().ok()?;
    let ledger = match boot_id() {
        Ok(boot) => ledger.in_boot(&boot),
        Err(_) => ledger,
    };
    let is_up = ledger.is_anything_up();
    ledger.manifest.filter(|_| is_up).map(|one| one.file)
}

/// The manifest that the project was brought up from last, whatever runs now.
pub(super) fn last_from(project: &Project) -> Option<PathBuf> {
    project.read_ledger().ok()?.manifest_file
}

/// What a project runs from, seen from a manifest of that project.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// From this manifest, or nothing of it is up.
    This,
    /// From a file that is not there any more: the checkout was moved, say.
    Gone(PathBuf),
    /// From another manifest.
    Other(PathBuf),
}

pub(super) fn origin(project: &Project, manifest: &Path) -> Origin {
    match running_from(project) {
        None => Origin::This,
        Some(running) if is_same_file(&running, manifest) => Origin::This,
        Some(running) if is_gone(&running) => Origin::Gone(running),
        Some(running) => Origin::Other(running),
    }
}

/// Refuses what would change a project that runs from another manifest.
pub(super) fn refuse_other(call: &Call, project: &Project, manifest: &Path) -> Result<(), Failure> {
    match origin(project, manifest) {
        Origin::This => Ok(()),
        Origin::Gone(running) => {
            let text = origin::goes_on(project.name(), &running, manifest);
            call.note_once(&failure::note(&text, &call.err));
            Ok(())
        }
        Origin::Other(running) => Err(Failure::new(
            code!("run::other_manifest"),
            ExitCode::Blocked,
            origin::other(project.name(), &running, manifest),
        )
        .help(origin::what_to_do_about_other(project.name()))),
    }
}

/// Says which manifest the project runs from, where that is another.
pub(super) fn tell_other(call: &Call, project: &Project, manifest: &Path) {
    let text = match origin(project, manifest) {
        Origin::This => return,
        Origin::Gone(running) => origin::runs_from_what_is_gone(project.name(), &running),
        Origin::Other(running) => {
            // An order that is typed here without the name is refused.
            call.mean(project.name());
            origin::other(project.name(), &running, manifest)
        }
    };
    call.note_once(&failure::note(&text, &call.err));
}

/// Says which projects of other names run from this manifest: its `project` was edited while it was
/// up, or it had none and its directory was renamed.
pub(super) fn tell_renamed(call: &Call, name: &ProjectName, manifest: &Path) {
    let running = from_elsewhere(|file| is_same_file(file, manifest));
    for (other, _) in running.iter().filter(|(other, _)| other != name) {
        call.note_once(&failure::note(&origin::renamed(other), &call.err));
    }
}

/// The projects of this user that run from a manifest of which `is_meant` is true.
pub(super) fn from_elsewhere(is_meant: impl Fn(&Path) -> bool) -> Vec<(ProjectName, PathBuf)> {
    let runs = |project: Project| {
        // Of a project that is down the lock names no holder, and the ledger need not be read.
        project.lock_holder()?;
        let file = running_from(&project).filter(|file| is_meant(file))?;
        Some((project.name().clone(), file))
    };
    let projects = store::all_projects().unwrap_or_default();
    projects.into_iter().filter_map(runs).collect()
}
