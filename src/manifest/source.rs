//! Where each value stands.
//!
//! Every value of the raw form carries a [`Span`]: a file and a range of bytes in it. The texts
//! themselves stay here, in [`Sources`], so that a span stays two numbers wide and can be copied
//! around freely. Lines and columns are worked out only when somebody looks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A range of bytes in one source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

/// A file among [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub(crate) usize);

/// One file that was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file as it was named, or found.
    pub path: PathBuf,
    /// What it holds.
    pub text: Arc<str>,
}

/// A place as people count: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// All files that went into one manifest.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Takes a file in.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> FileId {
        self.files.push(Source {
            path: path.into(),
            text: text.into(),
        });
        FileId(self.files.len() - 1)
    }

    /// The file of this id.
    ///
    /// # Panics
    /// When the id is of other sources.
    pub fn source(&self, file: FileId) -> &Source {
        &self.files[file.0]
    }

    /// All files, in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    /// The path of this file.
    pub fn path(&self, file: FileId) -> &Path {
        &self.source(file).path
    }

    /// Where the span begins.
    pub fn place(&self, span: Span) -> Place {
        let text = &self.source(span.file).text;
        let before = &text[..floor_char_boundary(text, span.start)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The text of the span.
    pub fn text(&self, span: Span) -> &str {
        self.source(span.file)
            .text
            .get(span.start..span.end)
            .unwrap_or_default()
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", "é: 1\nüü: x\n");
        let place = |start| {
            let span = Span {
                file,
                start,
                end: start,
            };
            let Place { line, column } = sources.place(span);
            (line, column)
        };
        assert_eq!(place(0), (1, 1));
        assert_eq!(place(2), (1, 2), "after a character of two bytes");
        assert_eq!(place(6), (2, 1));
        assert_eq!(place(10), (2, 3));
        assert_eq!(place(1), (1, 1), "inside a character");
        assert_eq!(place(900), (3, 1), "after the end");
    }
}
