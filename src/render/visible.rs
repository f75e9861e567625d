//! What a service, a file or another user wrote, on its way to a terminal.
//!
//! A terminal obeys control characters: a probe's output or a file name could clear the screen, set
//! the window's title, or write over the lines above. So each text that this program shows goes
//! through [`visible`] at the moment it is written, whatever it was made of: control characters and
//! those that reorder text are shown as escapes, and only line ends, tabs and our own colours stay.
//! A value that is to be one line of a screen goes through [`one_line`] before.
//!
//! What services print has rules of its own, in [`log`](super::log).

use std::borrow::Cow;
use std::fmt::Write;

/// The parameters of the colour sequences (SGR, ECMA-48) that this program writes: reset, bold,
/// faint, italic, underlined, their ends, and the colours but black, which a dark terminal hides.
fn is_own_colour(parameters: &str) -> bool {
    let is_own = |number: u8| matches!(number, 0..=4 | 22..=24 | 31..=37 | 39 | 91..=97);
    parameters.is_empty()
        || parameters
            .split(';')
            .all(|number| number.parse().is_ok_and(is_own))
}

/// The length of the colour sequence that `text` begins with, if this program could have written it.
fn own_colour(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("\x1b[")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    (rest[end..].starts_with('m') && is_own_colour(&rest[..end])).then_some(2 + end + 1)
}

/// Whether a terminal obeys this character, or reorders or breaks text because of it, instead of
/// showing it (Unicode's bidirectional controls and line separators).
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn escape(character: char, shown: &mut String) {
    match character {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        // Writing to a string cannot fail.
        _ => drop(write!(shown, "\\u{{{:x}}}", u32::from(character))),
    }
}

/// `text` with everything that a terminal would obey shown as an escape, but for line ends, tabs
/// and, if `has_colour`, the colours that this program writes.
pub fn visible(text: &str, has_colour: bool) -> Cow<'_, str> {
    shown(text, |rest| match rest.as_bytes()[0] {
        b'\n' | b'\t' => Some(1),
        _ if has_colour => own_colour(rest),
        _ => None,
    })
}

/// `text` as a part of one line: line ends and tabs are shown as escapes too.
pub fn one_line(text: &str) -> Cow<'_, str> {
    shown(text, |_| None)
}

/// `text` with what a terminal obeys shown as escapes; `kept` tells how many bytes at such a place
/// stay as they are.
fn shown(text: &str, kept: impl Fn(&str) -> Option<usize>) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_obeyed) {
        shown.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = if let Some(length) = kept(rest) {
            shown.push_str(&rest[..length]);
            length
        } else {
            let character = rest.chars().next().unwrap_or_default();
            escape(character, &mut shown);
            character.len_utf8()
        };
        rest = &rest[length..];
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::render::{BAD, Look};

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (text, expected) in [
            ("plain, with `names` and é", "plain, with `names` and é"),
            ("\x1b]0;title\x07", r"\u{1b}]0;title\u{7}"),
            ("\x1b[2Jcleared\r", r"\u{1b}[2Jcleared\r"),
            ("\u{9b}2J", r"\u{9b}2J"),
            ("\u{202e}txt.exe", r"\u{202e}txt.exe"),
            ("\x1b[31mred\x1b[0m", r"\u{1b}[31mred\u{1b}[0m"),
            ("one\n\ttwo", "one\n\ttwo"),
        ] {
            assert_eq!(visible(text, false), expected);
        }
        assert_eq!(one_line("one\n\ttwo"), r"one\n\ttwo");
    }

    #[test]
    fn our_own_colours_stay_where_there_is_colour_and_no_others_do() {
        let look = Look {
            has_colour: true,
            ..Look::PLAIN
        };
        let painted = look.paint(BAD, "failed");
        assert_eq!(visible(&painted, true), painted);
        for sequence in [
            "\x1b[8m",
            "\x1b[30m",
            "\x1b[5;31m",
            "\x1b[1A",
            "\x1b[31",
            "\x1b[",
        ] {
            assert!(
                visible(sequence, true).starts_with(r"\u{1b}"),
                "{sequence:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_obeyed_is_left(text in "[\x1b\\[\\]m0-9;a\\\\\x07\r\u{202e}\u{9b}é]{0,24}") {
            prop_assert!(!one_line(&text).contains(is_obeyed));
            prop_assert!(!visible(&text, false).contains(is_obeyed));
        }
    }
}
