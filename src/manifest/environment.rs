//! A service's environment: layers, from the lowest to the highest.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::model::{EnvFile, Environment};

/// Why an environment could not be built. Each message names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// A required file is not there.
    #[error("environment file {} does not exist", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read environment file {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A file is not in the dotenv form.
    #[error("environment file {}, line {line}: {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl EnvironmentError {
    /// The file.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Missing { path }
            | Self::Unreadable { path, .. }
            | Self::Malformed { path, .. } => path,
        }
    }
}

/// Lays the layers over one another: `base`, `inherited`, `files`, `set`; then `unset` removes.
/// `read` gives the variables of one file, `None` when it does not exist.
///
/// # Errors
/// What `read` says, and [`EnvironmentError::Missing`] for a required file that does not exist: of
/// all files at once.
pub fn build(
    environment: &Environment,
    read: impl Fn(&EnvFile) -> Result<Option<Vec<(String, String)>>, EnvironmentError>,
) -> Result<BTreeMap<String, String>, Vec<EnvironmentError>> {
    let mut built = environment.base.clone();
    built.extend(environment.inherited.clone());
    let mut errors = Vec::new();
    for file in &environment.files {
        match read(file) {
            Ok(Some(variables)) => built.extend(variables),
            Ok(None) if file.required => errors.push(EnvironmentError::Missing {
                path: file.path.clone(),
            }),
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    built.extend(environment.set.clone());
    for name in &environment.unset {
        built.remove(name);
    }
    Ok(built)
}
