//! Finds the manifest, and tells whose it is.

use std::path::{Path, PathBuf};

use super::read::{ReadError, read_text};
use crate::id::ProjectName;
use crate::manifest::check;
use crate::manifest::source::Sources;
use crate::manifest::yaml::{self, Data, Meaning};

/// The name of a manifest.
const FILE_NAME: &str = "baudbot.yaml";

/// Why there is no manifest to load, or no project name in it.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Neither here nor above.
    #[error("no {FILE_NAME} in {} or a directory above it", .start.display())]
    NotFound {
        /// Where the search began.
        start: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .file.display())]
    Unreadable {
        /// The manifest.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The name of the project cannot be told.
    #[error("cannot tell the project's name from {}: {reason}", .file.display())]
    NoProject {
        /// The manifest.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Finds the manifest: `baudbot.yaml` in `start` or a directory above it, else
/// `manifests/baudbot.yaml` in `start` or a directory above it. The result is absolute.
///
/// # Errors
/// [`FindError::NotFound`].
pub fn find(start: &Path) -> Result<PathBuf, FindError> {
    let not_found = || FindError::NotFound {
        start: start.to_owned(),
    };
    let absolute = std::path::absolute(start).map_err(|_| not_found())?;
    let in_manifests = Path::new("manifests").join(FILE_NAME);
    [Path::new(FILE_NAME), &in_manifests]
        .into_iter()
        .flat_map(|name| {
            absolute
                .ancestors()
                .map(move |directory| directory.join(name))
        })
        .find(|candidate| candidate.is_file())
        .ok_or_else(not_found)
}

/// The project's name, although the rest of the manifest may be broken: `down`, `status` and `logs`
/// need no more.
///
/// Without the key `project`, it is the name of the directory that holds the manifest, or of that
/// directory's parent when it is called `manifests`, made fit as a name.
///
/// # Errors
/// When the file cannot be read, or a name can be told neither from it nor from its place.
pub fn project_name(file: &Path) -> Result<ProjectName, FindError> {
    let unreadable = |source| FindError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let no_project = |reason: String| FindError::NoProject {
        file: file.to_owned(),
        reason,
    };
    let absolute = std::path::absolute(file).map_err(unreadable)?;
    let text = match read_text(&absolute) {
        Ok(text) => text,
        Err(ReadError::Io(source)) => return Err(unreadable(source)),
        Err(ReadError::NotUtf8 { lossy, .. }) => lossy,
        Err(ReadError::NotRegular) => return Err(no_project("it is not a regular file".into())),
        Err(ReadError::TooLarge) => return Err(no_project("it is larger than 1 MiB".into())),
    };
    match written_project(&text) {
        Ok(Some(name)) => {
            ProjectName::new(name).map_err(|error| no_project(format!("in `project`, {error}")))
        }
        Ok(None) => check::default_project(&absolute)
            .ok_or_else(|| no_project("it has no `project`, and its directory has no name".into())),
        Err(reason) => Err(no_project(reason)),
    }
}

/// The value of the top-level key `project`. Of a text that is not YAML, the line that begins with it.
fn written_project(text: &str) -> Result<Option<String>, String> {
    let file = Sources::default().add("", "");
    let parse = |text: &str| yaml::parse(text, file, &mut Vec::new());
    let node = parse(text).or_else(|| {
        let line = text
            .lines()
            .find(|line| line.trim_start_matches('\u{feff}').starts_with("project:"))?;
        parse(line)
    });
    let Some(node) = node else {
        let is_flow = text.trim_start().starts_with('{');
        return if is_flow || text.contains("project\"") || text.contains("project'") {
            Err("it is not YAML".to_owned())
        } else {
            Ok(None)
        };
    };
    match node.entry("project").map(|entry| &entry.value.data) {
        None => Ok(None),
        Some(Data::Scalar(scalar)) if scalar.meaning == Meaning::Text => {
            Ok(Some(scalar.text.clone()))
        }
        Some(_) => Err("`project` is not a text".to_owned()),
    }
}
