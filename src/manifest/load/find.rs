//! Finds the manifest, and tells whose it is.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
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
        /// The manifest in a directory `manifests`, here or above, which is used only when it is named.
        stored: Option<PathBuf>,
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

/// Finds the manifest: `baudbot.yaml` in `start` or a directory above it. The result is absolute.
///
/// A `manifests/baudbot.yaml` does not count: it is where a repository keeps the manifests of hosts,
/// and a command that is typed in a fresh clone must not begin to run one of them.
///
/// # Errors
/// [`FindError::NotFound`].
pub fn find(start: &Path) -> Result<PathBuf, FindError> {
    let absolute = std::path::absolute(start).unwrap_or_else(|_| start.to_owned());
    let named = |name: &Path| {
        absolute
            .ancestors()
            .map(|directory| directory.join(name))
            .find(|candidate| candidate.is_file())
    };
    named(Path::new(FILE_NAME)).ok_or_else(|| FindError::NotFound {
        start: start.to_owned(),
        stored: named(&Path::new(check::MANIFESTS).join(FILE_NAME)),
    })
}

/// Whether there is certainly no such file any more, as after its checkout was moved.
pub fn is_gone(file: &Path) -> bool {
    std::fs::metadata(file)
        .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// Whether both paths lead to one file: through a symbolic link or a bind mount, say. Two hard links
/// in different directories are two manifests, for what they declare is relative to where they are.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    if one == other {
        return true;
    }
    let (Ok(one), Ok(other)) = (std::fs::canonicalize(one), std::fs::canonicalize(other)) else {
        return false;
    };
    if one == other {
        return true;
    }
    let identity = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    let is_same = |one: &Path, other: &Path| {
        let identity_of_one = identity(one);
        identity_of_one.is_some() && identity_of_one == identity(other)
    };
    let has_one_name = std::fs::metadata(&one).is_ok_and(|found| found.nlink() == 1);
    let share_a_directory = || match (one.parent(), other.parent()) {
        (Some(one), Some(other)) => is_same(one, other),
        _ => false,
    };
    is_same(&one, &other) && (has_one_name || share_a_directory())
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
    let (absolute, written) = absolute_and_written(file)?;
    match written {
        Some(name) => Ok(name),
        None => check::default_project(&absolute).ok_or_else(|| FindError::NoProject {
            file: file.to_owned(),
            reason: "it has no `project`, and its directory has no name".into(),
        }),
    }
}

/// The name that earlier versions gave to the project of this manifest, where it was another one:
/// they cut the name of a directory after 64 characters, so that two projects could share a name.
pub fn former_project_name(file: &Path) -> Option<ProjectName> {
    match absolute_and_written(file) {
        Ok((absolute, None)) => check::former_default_project(&absolute),
        Ok((_, Some(_))) | Err(_) => None,
    }
}

/// The absolute path of a manifest, and the name that it gives to its project, if it gives one.
fn absolute_and_written(file: &Path) -> Result<(PathBuf, Option<ProjectName>), FindError> {
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
        Ok(Some(name)) => match ProjectName::new(name) {
            Ok(name) => Ok((absolute, Some(name))),
            Err(error) => Err(no_project(format!("in `project`, {error}"))),
        },
        Ok(None) => Ok((absolute, None)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_one_file_and_copies_do_not() {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["one", "two", "three"] {
            std::fs::create_dir(scratch.path().join(name)).unwrap();
        }
        let at = |path: &str| scratch.path().join(path);
        std::fs::write(at("one/baudbot.yaml"), "version: 1").unwrap();
        std::fs::write(at("two/baudbot.yaml"), "version: 1").unwrap();
        std::os::unix::fs::symlink(at("one"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("one/baudbot.yaml"), at("three/baudbot.yaml")).unwrap();
        let is_that_of_one =
            |path: &str| is_same_file(&at("one/baudbot.yaml"), &at(path).join("baudbot.yaml"));
        assert!(is_that_of_one("one"));
        assert!(is_that_of_one("one/../one"));
        assert!(is_that_of_one("link"));
        assert!(is_that_of_one("three"));
        assert!(!is_that_of_one("two"));
        assert!(!is_that_of_one("nowhere"));
        std::fs::create_dir(at("hard")).unwrap();
        std::fs::hard_link(at("one/baudbot.yaml"), at("hard/baudbot.yaml")).unwrap();
        assert!(!is_that_of_one("hard"));
    }

    #[test]
    fn what_a_repository_keeps_for_hosts_is_not_found_but_told_of() {
        let scratch = tempfile::tempdir().unwrap();
        let stored = scratch.path().join("manifests/baudbot.yaml");
        std::fs::create_dir_all(scratch.path().join("manifests")).unwrap();
        std::fs::create_dir_all(scratch.path().join("src/deep")).unwrap();
        std::fs::write(&stored, "version: 1").unwrap();
        match find(&scratch.path().join("src/deep")) {
            Err(FindError::NotFound { stored: told, .. }) => assert_eq!(told, Some(stored)),
            other => panic!("{other:?}"),
        }
    }
}
