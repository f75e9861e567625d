//! The log of the selected service: kept, wrapped, scrolled and searched.

use std::collections::VecDeque;

use unicode_width::UnicodeWidthChar;

use crate::id::ServiceName;

/// How many lines are kept; older ones are in the files.
const MOST_LINES: usize = 10_000;

/// One line that a service printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When, as the clock on the wall showed it: `08:15:30`.
    pub clock: String,
    /// What, without anything that a terminal would act on.
    pub text: String,
    /// Whether it stands between lines: where a run begins, or lines are missing.
    pub is_note: bool,
}

/// The lines, and which of them are looked at. A line is known by its number, which stays the same
/// while older ones are let go.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub(super) service: Option<ServiceName>,
    pub(super) lines: VecDeque<LogLine>,
    /// The number of the first line that is kept.
    first: usize,
    /// The line at the top; `None`: the last lines are shown, whatever comes.
    top: Option<usize>,
    /// What is looked for. Capitals count if there are any in it.
    pub(super) search: String,
    /// The line that was found last.
    pub(super) found: Option<usize>,
    pub(super) error: Option<String>,
}

/// A part of the log that fits the screen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) width: usize,
    pub(super) height: usize,
}

/// A row on the screen: a line, or a piece of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) number: usize,
    /// Of the first row of a line.
    pub(super) clock: Option<&'a str>,
    pub(super) text: &'a str,
    pub(super) is_note: bool,
}

impl Log {
    /// An empty log of this service.
    pub(super) fn of(service: ServiceName) -> Self {
        Self {
            service: Some(service),
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, lines: Vec<LogLine>) {
        self.error = None;
        self.lines.extend(lines);
        let surplus = self.lines.len().saturating_sub(MOST_LINES);
        self.lines.drain(..surplus);
        self.first += surplus;
        self.top = self.top.map(|top| top.max(self.first));
    }

    pub(super) fn is_following(&self) -> bool {
        self.top.is_none()
    }

    /// The number behind the last line.
    fn end(&self) -> usize {
        self.first + self.lines.len()
    }

    fn line(&self, number: usize) -> Option<&LogLine> {
        self.lines.get(number.checked_sub(self.first)?)
    }

    /// The line at the top of the last screen.
    fn last_top(&self, window: Window) -> usize {
        let mut rows = 0;
        let mut top = self.end();
        for line in self.lines.iter().rev() {
            rows += pieces(&line.text, window.width).count();
            if rows > window.height {
                break;
            }
            top -= 1;
        }
        // A single line may be higher than the screen.
        top.min(self.end().saturating_sub(1))
    }

    /// What is to be seen.
    pub(super) fn rows(&self, window: Window) -> Vec<Row<'_>> {
        let top = self.top.unwrap_or_else(|| self.last_top(window));
        (top..self.end())
            .filter_map(|number| Some((number, self.line(number)?)))
            .flat_map(|(number, line)| {
                pieces(&line.text, window.width)
                    .enumerate()
                    .map(move |(index, text)| Row {
                        number,
                        clock: (index == 0).then_some(line.clock.as_str()),
                        text,
                        is_note: line.is_note,
                    })
            })
            .take(window.height)
            .collect()
    }

    /// Moves by so many lines; at the end new lines are followed again.
    pub(super) fn scroll(&mut self, lines: isize, window: Window) {
        let last = self.last_top(window);
        let top = self.top.unwrap_or(last).saturating_add_signed(lines);
        self.top = (top < last).then_some(top.max(self.first));
    }

    pub(super) fn go_to_start(&mut self, window: Window) {
        self.top = (self.first < self.last_top(window)).then_some(self.first);
    }

    pub(super) fn follow(&mut self) {
        self.top = None;
    }

    /// Which line is at the top, and how many there are, counted from 1.
    pub(super) fn place(&self, window: Window) -> (usize, usize) {
        let top = self.top.unwrap_or_else(|| self.last_top(window));
        (top + 1, self.end())
    }

    pub(super) fn set_search(&mut self, text: String) {
        self.search = text;
        self.found = None;
    }

    /// Where in `text` the search matches.
    pub(super) fn matches(&self, text: &str) -> Vec<(usize, usize)> {
        if self.search.is_empty() {
            return Vec::new();
        }
        let is_exact = self.search.chars().any(char::is_uppercase);
        // Lower case may have another length; then places would lie, so ASCII only is folded.
        let (hay, needle) = match is_exact {
            true => (text.to_owned(), self.search.clone()),
            false => (text.to_ascii_lowercase(), self.search.to_ascii_lowercase()),
        };
        hay.match_indices(&needle)
            .map(|(at, found)| (at, at + found.len()))
            .collect()
    }

    /// How many lines match.
    pub(super) fn count_matches(&self) -> usize {
        self.lines
            .iter()
            .filter(|line| !line.is_note && !self.matches(&line.text).is_empty())
            .count()
    }

    /// Goes to the next line that matches, back in time or forth; whether there is one.
    pub(super) fn find(&mut self, is_back: bool, window: Window) -> bool {
        let is_match = |number: &usize| {
            self.line(*number)
                .is_some_and(|line| !line.is_note && !self.matches(&line.text).is_empty())
        };
        let found = if is_back {
            let from = self.found.unwrap_or(self.end());
            (self.first..from).rev().find(is_match)
        } else {
            let from = self.found.map_or(self.first, |found| found + 1);
            (from..self.end()).find(is_match)
        };
        let Some(found) = found else {
            return false;
        };
        self.found = Some(found);
        // Some of what went before is shown too, as far as that leaves room for the line itself.
        let mut top = found;
        let mut rows = 0;
        while let Some(before) = top.checked_sub(1).and_then(|number| self.line(number)) {
            rows += pieces(&before.text, window.width).count();
            if rows > window.height / 3 {
                break;
            }
            top -= 1;
        }
        self.top = (top < self.last_top(window)).then_some(top);
        true
    }
}

/// `text` in pieces of at most `width` columns; one empty piece for an empty text.
pub(super) fn pieces(text: &str, width: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut columns = 0;
        for (at, character) in text.char_indices() {
            columns += character.width().unwrap_or(0);
            if columns > width && at > 0 {
                rest = Some(&text[at..]);
                return Some(&text[..at]);
            }
        }
        rest = None;
        Some(text)
    })
}
