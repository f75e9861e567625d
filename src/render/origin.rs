//! Which manifest a project runs from, where that is not the one that people expect.

use std::path::Path;

use crate::id::ProjectName;

/// The project runs from another manifest than the one that was found or named.
pub fn other(project: &ProjectName, running: &Path, manifest: &Path) -> String {
    format!(
        "project `{project}` runs from {}, not from {}",
        running.display(),
        manifest.display()
    )
}

/// A project was named of which there is no trace.
pub fn never_ran(project: &ProjectName) -> String {
    format!("no project `{project}` has ever run here; `baudbot ps --all` lists those that have")
}

/// What to do then.
pub fn what_to_do_about_other(project: &ProjectName) -> String {
    format!(
        "give one of the two another `project`; `baudbot -p {project} status` shows what runs, \
         and `baudbot -p {project} down` takes it down"
    )
}

/// The manifest of a running project is not there any more, and the command uses the one that it found.
pub fn goes_on(project: &ProjectName, running: &Path, manifest: &Path) -> String {
    format!(
        "project `{project}` runs from {}, which is not there any more; {} takes its place",
        running.display(),
        manifest.display()
    )
}

/// The manifest of a running project is not there any more.
pub fn runs_from_what_is_gone(project: &ProjectName, running: &Path) -> String {
    format!(
        "project `{project}` runs from {}, which is not there any more",
        running.display()
    )
}

/// What to do then, where a command needs the manifest.
pub fn what_to_do_about_gone(project: &ProjectName) -> String {
    format!(
        "name the manifest with `-f FILE` where it is now, \
         or take the project down with `baudbot -p {project} down`"
    )
}

/// `-p` names a project that runs from another manifest than the one here.
pub fn read_instead(project: &ProjectName, running: &Path, found: &Path) -> String {
    format!(
        "project `{project}` runs from {}: that is read, and not {}",
        running.display(),
        found.display()
    )
}

/// A project of another name still runs from the manifest that was found or named.
pub fn renamed(other: &ProjectName) -> String {
    format!(
        "project `{other}` still runs from this manifest; `baudbot -p {other} down` takes it down"
    )
}

/// There is no manifest here, but a project runs from a manifest that is or was here.
pub fn runs_from_here(project: &ProjectName, file: &Path, is_gone: bool) -> String {
    let gone = match is_gone {
        true => ", which is not there any more",
        false => "",
    };
    format!(
        "project `{project}` runs from {}{gone}: `baudbot -p {project} status` shows it, \
         and `baudbot -p {project} down` takes it down",
        file.display()
    )
}

/// There is no manifest but one in a directory `manifests`; `file` is quoted for a shell.
pub fn stored_only(file: &str) -> String {
    format!("a manifest in a directory `manifests` must be named: `baudbot -f {file} up`")
}

/// There is no manifest, and `is_any_running` tells whether another project of the user runs.
pub fn no_manifest(is_any_running: bool) -> String {
    match is_any_running {
        true => {
            "name a project that runs with `-p NAME`, `baudbot ps` lists them; \
                 `baudbot init` writes a new manifest"
        }
        false => "write one with `baudbot init`, or name one with `-f FILE`",
    }
    .into()
}
