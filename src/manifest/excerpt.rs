//! A source text as a diagnostic shows it: lines that are longer than any screen are cut around what is
//! pointed at, so that one mistake in generated YAML does not print hundreds of kilobytes.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// A line with more bytes than this is cut.
const LONGEST_LINE: usize = 400;

/// How many bytes before and after a place that is pointed at stay.
const AROUND: usize = 80;

/// How many bytes of what is pointed at stay.
const LONGEST_LABEL: usize = 160;

/// What stands for the bytes that were cut.
const CUT: &str = "…";

/// A text, cut, that tells places as they are in the whole.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    pieces: Vec<Piece>,
}

/// A part of the text that stayed.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Where it begins in the whole text.
    from: usize,
    /// Where it ends there.
    to: usize,
    /// Where it begins here.
    at: usize,
    /// How many bytes more stand before it in its line in the whole text than here.
    column_shift: usize,
}

impl Excerpt {
    /// The text with its long lines cut around `spans`, each with its start and length.
    pub(super) fn new(name: String, whole: &str, spans: &[(usize, usize)]) -> Self {
        let mut excerpt = Self {
            name,
            text: String::new(),
            pieces: Vec::new(),
        };
        let mut start = 0;
        for line in whole.split_inclusive('\n') {
            let end = start + line.len();
            if line.len() <= LONGEST_LINE {
                excerpt.keep(whole, start, end, start);
            } else {
                excerpt.cut(whole, start, end, spans);
            }
            start = end;
        }
        // A place behind the last line.
        excerpt.keep(whole, start, start, start);
        excerpt
    }

    fn keep(&mut self, whole: &str, from: usize, to: usize, line_start: usize) {
        let at = self.text.len();
        let line_at = self.text.rfind('\n').map_or(0, |newline| newline + 1);
        self.pieces.push(Piece {
            from,
            to,
            at,
            column_shift: (from - line_start).saturating_sub(at - line_at),
        });
        self.text += &whole[from..to];
    }

    /// Keeps of one line what is around the spans that begin in it, or its beginning.
    fn cut(&mut self, whole: &str, start: usize, end: usize, spans: &[(usize, usize)]) {
        let line_end = start + whole[start..end].trim_end_matches(['\n', '\r']).len();
        let mut kept: Vec<(usize, usize)> = spans
            .iter()
            .filter(|(at, _)| (start..end).contains(at))
            .map(|(at, length)| {
                let to = at + length.min(&LONGEST_LABEL) + AROUND;
                (at.saturating_sub(AROUND).max(start), to.min(line_end))
            })
            .collect();
        if kept.is_empty() {
            kept.push((start, start + AROUND));
        }
        kept.sort_unstable();
        let mut last = start;
        for (from, to) in kept {
            let from = floor(whole, from.max(last));
            let to = floor(whole, to.max(from));
            if from > last {
                self.text += CUT;
            }
            self.keep(whole, from, to, start);
            last = to;
        }
        if last < line_end {
            self.text += CUT;
        }
        self.keep(whole, line_end, end, start);
    }

    /// The span here that stands for one of the whole text.
    pub(super) fn span(&self, start: usize, length: usize) -> (usize, usize) {
        let holds = |piece: &&Piece| piece.from <= start;
        let Some(piece) = self.pieces.iter().rev().find(holds) else {
            return (0, 0);
        };
        let to = start.clamp(piece.from, piece.to);
        let room = piece.to - to;
        (piece.at + (to - piece.from), length.min(room))
    }
}

/// The nearest place at `at` or before it where a character begins.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text.read_span(span, lines_before, lines_after)?;
        let here = |piece: &&Piece| piece.at <= span.offset();
        let shift = match lines_before {
            0 => self.pieces.iter().rev().find(here),
            _ => None,
        };
        Ok(Box::new(
            MietteSpanContents::new_named(
                self.name.clone(),
                contents.data(),
                *contents.span(),
                contents.line(),
                contents.column() + shift.map_or(0, |piece| piece.column_shift),
                contents.line_count(),
            )
            .with_language("yaml"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_stay_as_they_are() {
        let text = "version: 1\nservices: {}\n";
        let excerpt = Excerpt::new("x".into(), text, &[(11, 8)]);
        assert_eq!(excerpt.text, text);
        assert_eq!(excerpt.span(11, 8), (11, 8));
        assert_eq!(excerpt.span(text.len(), 0), (text.len(), 0));
    }

    #[test]
    fn a_long_line_is_cut_around_what_is_pointed_at() {
        let text = format!(
            "a: 1\nb: {}wrong{}\nc: 3\n",
            "ä".repeat(500),
            "y".repeat(5000)
        );
        let at = text.find("wrong").unwrap();
        let excerpt = Excerpt::new("x".into(), &text, &[(at, 5), (at + 4, 5000)]);
        assert!(excerpt.text.len() < 700, "{}", excerpt.text);
        assert!(excerpt.text.starts_with("a: 1\n…ä"));
        assert!(excerpt.text.ends_with("y…\nc: 3\n"));
        let (start, length) = excerpt.span(at, 5);
        assert_eq!(&excerpt.text[start..start + length], "wrong");
        let contents = excerpt.read_span(&(start, 5).into(), 0, 0).unwrap();
        assert_eq!((contents.line(), contents.column()), (1, at - 5));
        let (start, length) = excerpt.span(at + 4, 5000);
        assert!(excerpt.text[start..start + length].starts_with("gyyy"));
    }
}
