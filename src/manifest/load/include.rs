//! Which files an `include` means: a path, or a pattern that picks up whatever lies in a directory.
//!
//! A path that exists as it is written is taken as it is, whatever characters it holds. Otherwise a
//! part with `*`, `?` or `[` is a pattern, and each file that matches is included, in the order of
//! their names. A pattern that nothing matches yet is no mistake: packages come and go. That its
//! directory does not exist, or that a directory cannot be listed, is one: what is not seen would
//! count as removed, and be stopped.

use std::io;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::source::Span;

/// As a shell has it: `*` stays within a name, and hidden files are not meant.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// What an `include` means.
pub(super) enum Meant {
    /// This one file.
    File(PathBuf),
    /// What matches a pattern.
    Matching {
        /// The files, in the order of their names.
        files: Vec<PathBuf>,
        /// The directory where a further one may appear.
        directory: PathBuf,
    },
}

/// Finds what `path` means; `most` files of a pattern are enough.
pub(super) fn meant(path: &Path, span: Span, most: usize) -> Result<Meant, Box<Diagnostic>> {
    let (directory, rest) = literal_part(path);
    if !has_wildcard(rest) {
        return Ok(Meant::File(path.to_owned()));
    }
    let is_recursive = rest
        .components()
        .any(|part| part.as_os_str().as_encoded_bytes() == b"**");
    if is_recursive {
        return Err(Box::new(
            Diagnostic::error(
                "bad_pattern",
                "`include` does not look below directories with `**`",
            )
            .label(span, "would search a whole tree")
            .help("name each level, as in `services.d/*/*.yaml`"),
        ));
    }
    let first = rest
        .components()
        .next()
        .map(|part| Path::new(part.as_os_str()));
    if first.is_some_and(|first| !has_wildcard(first)) {
        // A directory before the pattern is missing.
        return Ok(Meant::File(path.to_owned()));
    }
    let mut parts = Vec::new();
    for component in rest.components() {
        parts.push(part(component, span)?);
    }
    let mut files = Vec::new();
    collect(directory, &parts, &mut files).map_err(|blind| Box::new(blind.told(span)))?;
    files.truncate(most);
    Ok(Meant::Matching {
        files,
        directory: directory.to_owned(),
    })
}

/// One level of a pattern.
enum Part {
    /// This name.
    Name(PathBuf),
    /// All names that match.
    Like(Pattern),
}

fn part(component: Component<'_>, span: Span) -> Result<Part, Box<Diagnostic>> {
    let name = Path::new(component.as_os_str());
    if !has_wildcard(name) {
        return Ok(Part::Name(name.to_owned()));
    }
    let pattern = Pattern::new(&name.to_string_lossy()).map_err(|error| {
        Box::new(
            Diagnostic::error(
                "bad_pattern",
                format!("`include` has a bad pattern: {}", error.msg),
            )
            .label(span, "not a pattern")
            .help(
                "`*` stands for any part of a name, `?` for one character, `[ab]` for one of these",
            ),
        )
    })?;
    Ok(Part::Like(pattern))
}

/// A place of which it cannot be told which files lie there. To take it for empty would stop the
/// services that are declared there.
struct Blind {
    place: PathBuf,
    error: io::Error,
}

impl Blind {
    fn told(self, span: Span) -> Diagnostic {
        let Self { place, error } = self;
        let shown = place.display();
        let is_dangling = error.kind() == io::ErrorKind::NotFound && place.is_symlink();
        let (what, help) = if is_dangling {
            (
                "it is a link to nothing".to_owned(),
                format!("mend or remove the link: `ls -l {shown}` shows where it leads"),
            )
        } else if error.kind() == io::ErrorKind::NotADirectory {
            (
                "it is not a directory".to_owned(),
                "name a directory before the pattern".to_owned(),
            )
        } else {
            (
                error.to_string(),
                format!("`ls -ld {shown}` shows whose it is and what its rights are"),
            )
        };
        Diagnostic::error(
            "unreadable",
            format!("`include` cannot list {shown}: {what}"),
        )
        .label(span, "which files this names cannot be told")
        .help(help)
    }
}

/// Adds the files below `directory` that the levels `parts` mean, in the order of their names.
fn collect(directory: &Path, parts: &[Part], files: &mut Vec<PathBuf>) -> Result<(), Blind> {
    let Some((part, below)) = parts.split_first() else {
        return Ok(());
    };
    match part {
        Part::Name(name) => {
            let path = directory.join(name);
            match path.symlink_metadata() {
                Ok(_) => enter(path, below, true, files),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(Blind { place: path, error }),
            }
        }
        Part::Like(pattern) => {
            for name in names(directory)? {
                if pattern.matches_with(&name, MATCHING) {
                    enter(directory.join(name), below, false, files)?;
                }
            }
            Ok(())
        }
    }
}

/// Goes on at `path`, which exists: a file at the last level, a directory before. A file that matches
/// a level of directories lies there by chance, unless it `is_named`.
fn enter(
    path: PathBuf,
    below: &[Part],
    is_named: bool,
    files: &mut Vec<PathBuf>,
) -> Result<(), Blind> {
    if below.is_empty() {
        // That a link leads nowhere, or that it cannot be followed, is told when the file is read.
        if !path.is_dir() {
            files.push(path);
        }
        return Ok(());
    }
    match path.metadata() {
        Ok(found) if found.is_dir() || is_named => collect(&path, below, files),
        Ok(_) => Ok(()),
        Err(error) => Err(Blind { place: path, error }),
    }
}

/// The names in a directory, sorted; those that are not UTF-8 match no pattern.
fn names(directory: &Path) -> Result<Vec<String>, Blind> {
    let blind = |error| Blind {
        place: directory.to_owned(),
        error,
    };
    let mut names = Vec::new();
    for entry in directory.read_dir().map_err(blind)? {
        names.extend(entry.map_err(blind)?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// The longest beginning of a path that exists as it is written, and the rest.
fn literal_part(path: &Path) -> (&Path, &Path) {
    let existing = path
        .ancestors()
        .find(|ancestor| ancestor.symlink_metadata().is_ok())
        .unwrap_or(Path::new("/"));
    (existing, path.strip_prefix(existing).unwrap_or(path))
}

fn has_wildcard(path: &Path) -> bool {
    path.components().any(|part| match part {
        Component::Normal(name) => name
            .as_encoded_bytes()
            .iter()
            .any(|byte| matches!(byte, b'*' | b'?' | b'[')),
        _ => false,
    })
}
