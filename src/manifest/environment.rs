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

/// Values up to this length are not hidden: hiding them would make holes into words and numbers that
/// merely look the same.
pub const LONGEST_SHOWN: usize = 5;

/// What stands in the place of a value that is hidden.
pub const MASK: &str = "***";

/// The values of a run's environment that may be secrets: what came from env files or was taken over.
/// The longest come first, since one may hold another.
pub fn secrets(environment: &Environment, built: &BTreeMap<String, String>) -> Vec<String> {
    let is_known = |name: &String| {
        environment.set.contains_key(name)
            || environment.base.contains_key(name)
            || matches!(
                name.as_str(),
                "TMUX_TMPDIR" | "NOTIFY_SOCKET" | "WATCHDOG_USEC"
            )
            || name.starts_with("BAUDBOT_")
    };
    let mut secrets: Vec<String> = built
        .iter()
        .filter(|(name, value)| !is_known(name) && value.chars().count() > LONGEST_SHOWN)
        .map(|(_, value)| value.clone())
        .collect();
    secrets.sort_by_key(|value| std::cmp::Reverse(value.len()));
    secrets
}

/// The text without these.
pub fn masked(mut text: String, secrets: &[String]) -> String {
    for secret in secrets {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), MASK);
        }
    }
    text
}
