//! Where the parser's events stand in the file.

use crate::manifest::source::{FileId, Span};

/// Character indexes, which the parser counts in, to bytes of the file.
pub(super) struct Places {
    file: FileId,
    /// Bytes before the text: a byte order mark.
    offset: usize,
    /// The byte of each character, when the two differ.
    bytes: Option<Vec<usize>>,
    length: usize,
}

impl Places {
    pub(super) fn new(text: &str, file: FileId, offset: usize) -> Self {
        Self {
            file,
            offset,
            bytes: (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect()),
            length: text.len(),
        }
    }

    fn byte(&self, index: usize) -> usize {
        let at = match &self.bytes {
            None => index.min(self.length),
            Some(bytes) => bytes.get(index).copied().unwrap_or(self.length),
        };
        at + self.offset
    }

    pub(super) fn shift(&self, local: usize) -> usize {
        local + self.offset
    }

    pub(super) fn local(&self, byte: usize) -> usize {
        byte - self.offset
    }

    pub(super) fn at(&self, index: usize) -> Span {
        let start = self.byte(index);
        Span {
            file: self.file,
            start,
            end: start,
        }
    }

    pub(super) fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.byte(span.start.index());
        Span {
            file: self.file,
            start,
            end: self.byte(span.end.index()).max(start),
        }
    }

    pub(super) fn source<'a>(&self, span: Span, text: &'a str) -> &'a str {
        &text[self.local(span.start)..]
    }
}
