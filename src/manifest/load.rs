//! The only I/O of the manifest: finds files, reads them, follows includes, reads env files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::EnvironmentError;
use super::model::Environment;
use super::{Context, Loaded};
use crate::id::ProjectName;

/// Why there is no manifest to load, or no project name in it.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Neither here nor above.
    #[error("no baudbot.yaml in {} or a directory above it", .start.display())]
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
pub fn find(_start: &Path) -> Result<PathBuf, FindError> {
    todo!()
}

/// Loads the manifest `file` and all that it includes, checks everything and resolves it. Never
/// panics; whatever is wrong is among the diagnostics.
pub fn load(_file: &Path, _context: &Context<'_>) -> Loaded {
    todo!()
}

/// The project's name, although the rest of the manifest may be broken: `down`, `status` and `logs`
/// need no more.
///
/// Without the key `project`, it is the name of the directory that holds the manifest, or of that
/// directory's parent when it is called `manifests`, made fit as a name.
///
/// # Errors
/// When the file cannot be read, or a name can be told neither from it nor from its place.
pub fn project_name(_file: &Path) -> Result<ProjectName, FindError> {
    todo!()
}

/// Reads the env files of a service and lays all layers of its environment over one another: what
/// its next run sees.
///
/// # Errors
/// A file that is missing though required, unreadable or malformed; the message names it.
pub fn environment(
    _environment: &Environment,
) -> Result<BTreeMap<String, String>, EnvironmentError> {
    todo!()
}
