//! `baudbot init`.
//!
//! It writes two files that can be committed together: the manifest, and the schema that its first
//! line points to by a relative path, so that an editor completes and checks without a network.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Call, Failure};
use crate::code;
use crate::exit::ExitCode;
use crate::id::{LONGEST_NAME, ProjectName};
use crate::manifest;

/// Where the schema goes, seen from the manifest's directory.
const SCHEMA: &str = ".baudbot/schema.json";

const TEMPLATE: &str = include_str!("init.yaml");

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The directory to write to, which is made if it is not there
    #[arg(default_value = ".", value_name = "DIRECTORY", conflicts_with = "file")]
    directory: PathBuf,
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let file = match &call.options.file {
        Some(file) => file.clone(),
        None => arguments.directory.join("baudbot.yaml"),
    };
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    make(&directory)?;
    let project = match &call.options.project {
        Some(name) => name.clone(),
        None => project_for(&directory)?,
    };
    // The manifest comes last: whatever goes wrong before, nothing is in the way of another try.
    if file.exists() {
        return Err(exists_already(&file));
    }
    write_schema(&directory.join(SCHEMA))?;
    write_new(&file, &template(&project))?;
    call.note(&format!(
        "wrote {} and {}\n",
        shown(&file),
        shown(&directory.join(SCHEMA))
    ));
    call.note(&crate::render::failure::help(
        &format!(
            "edit {}, then bring it up with `{}`",
            shown(&file),
            call.typed("up")
        ),
        &call.err,
    ));
    Ok(ExitCode::Done)
}

/// Makes the directory to write to, and those above it, where they are not there yet.
fn make(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory)
        .map_err(|error| Failure::system(&format!("cannot make {}", shown(directory)), &error))
}

fn template(project: &ProjectName) -> String {
    // A directory may be called `no` or `2026-01-01`.
    let name = manifest::to_yaml(&project.as_str().into());
    let name = name.unwrap_or_else(|_| project.to_string());
    TEMPLATE
        .replace("@SCHEMA@", SCHEMA)
        .replace("@PROJECT@", name.trim_end())
}

/// A name made of the directory's: what a name cannot hold becomes a dash.
fn project_for(directory: &Path) -> Result<ProjectName, Failure> {
    let directory = directory
        .canonicalize()
        .map_err(|error| Failure::system(&format!("cannot open {}", shown(directory)), &error))?;
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let fit: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(LONGEST_NAME)
        .collect();
    ProjectName::new(fit.trim_matches(|c: char| !c.is_ascii_alphanumeric())).map_err(|_| {
        Failure::new(
            code!("cli::broken_project_name"),
            ExitCode::Usage,
            format!("no project's name can be made of `{name}`"),
        )
        .help("choose one with `-p NAME`")
    })
}

/// Writes a file that must not exist yet.
fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let opened = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file);
    opened
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists_already(file),
            _ => Failure::system(&format!("cannot write {}", shown(file)), &error),
        })
}

fn exists_already(file: &Path) -> Failure {
    Failure::new(
        code!("cli::exists_already"),
        ExitCode::Failed,
        format!("{} is there already, and is left as it is", shown(file)),
    )
    .help("write elsewhere with `baudbot init DIRECTORY`")
}

/// Writes the schema; one that is there is made by us too and is renewed.
fn write_schema(file: &Path) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&manifest::schema())
        .map_err(|error| Failure::of(code!("cli::output"), &error))?;
    file.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(file, text + "\n"))
        .map_err(|error| Failure::system(&format!("cannot write {}", shown(file)), &error))
}

/// The path as a person would type it.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_is_made() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("new/web");
        make(&directory).unwrap();
        make(&directory).unwrap();
        assert_eq!(project_for(&directory).unwrap().as_str(), "web");
    }

    #[test]
    fn names_are_made_fit() {
        let scratch = tempfile::tempdir().unwrap();
        for (directory, name) in [("my host", "my-host"), ("_x.1", "x.1"), ("web", "web")] {
            let directory = scratch.path().join(directory);
            fs::create_dir(&directory).unwrap();
            assert_eq!(project_for(&directory).unwrap().as_str(), name);
        }
        let hopeless = scratch.path().join("---");
        fs::create_dir(&hopeless).unwrap();
        assert!(project_for(&hopeless).is_err());
    }
}
