//! Which files an `include` means: a path, or a pattern that picks up whatever lies in a directory.
//!
//! A path that exists as it is written is taken as it is, whatever characters it holds. Otherwise a
//! part with `*`, `?` or `[` is a pattern, and each file that matches is included, in the order of
//! their names. A pattern that nothing matches yet is no mistake: packages come and go. That its
//! directory does not exist is one.

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
    let (Some(base), Some(rest)) = (directory.to_str(), rest.to_str()) else {
        return Ok(Meant::File(path.to_owned()));
    };
    let pattern = Path::new(&Pattern::escape(base)).join(rest);
    let found = glob::glob_with(&pattern.to_string_lossy(), MATCHING).map_err(|error| {
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
    // What cannot be looked into has no files for us; nothing of ours lies there.
    let files = found.filter_map(Result::ok).filter(|path| !path.is_dir());
    Ok(Meant::Matching {
        files: files.take(most).collect(),
        directory: directory.to_owned(),
    })
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
