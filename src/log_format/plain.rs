//! What a line of output says: its text without control characters and escape sequences.
//!
//! Programs colour their output, move the cursor and draw over what they have just drawn. A reader
//! sees the text that results; patterns and readers of a log are given the same.

use regex::bytes::Regex;

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text without any control character but tabs.
    Text(&'a str),
    /// One control character, or one escape sequence (ECMA-48).
    Control(&'a str),
}

/// Takes a text apart. Empty parts are left out.
pub fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let is_control = |character: char| character.is_control() && character != '\t';
    let mut rest = text;
    std::iter::from_fn(move || {
        let length = match rest.find(is_control) {
            Some(0) => sequence_length(rest),
            Some(at) => at,
            None => rest.len(),
        };
        let (part, after) = rest.split_at(length);
        let is_text = !rest.starts_with(is_control);
        rest = after;
        match (part.is_empty(), is_text) {
            (true, _) => None,
            (false, true) => Some(Part::Text(part)),
            (false, false) => Some(Part::Control(part)),
        }
    })
}

/// The text of a line, without control characters (but tabs) and escape sequences.
pub fn plain(content: &[u8]) -> String {
    parts(&String::from_utf8_lossy(content))
        .filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Control(_) => None,
        })
        .collect()
}

/// What of a line is to be seen at the end: what a program drew last, after a carriage return that
/// had brought it back to the beginning of the line. What shows nothing takes nothing away.
pub fn drawn_last(line: &[u8]) -> &[u8] {
    let mut frames = line.rsplit(|byte| *byte == b'\r');
    frames
        .find(|frame| !plain(frame).trim().is_empty())
        .unwrap_or(line)
}

/// The text without its escape sequences. Other control characters, line ends among them, stay.
pub fn without_sequences(text: &str) -> String {
    parts(text)
        .filter_map(|part| match part {
            Part::Control(sequence) if sequence.starts_with('\x1b') => None,
            Part::Text(text) | Part::Control(text) => Some(text),
        })
        .collect()
}

/// Whether a pattern matches a line of output in one of its forms: as it was written, as a reader
/// sees it, and what was drawn over the beginning of the line, each time.
pub fn is_match(pattern: &Regex, line: &[u8]) -> bool {
    if pattern.is_match(line) {
        return true;
    }
    if !line.iter().any(u8::is_ascii_control) {
        return false;
    }
    let plain = plain(line);
    if pattern.is_match(plain.as_bytes()) {
        return true;
    }
    let drawn = drawn(&String::from_utf8_lossy(line));
    drawn.len() > 1 && drawn.iter().any(|text| pattern.is_match(text.as_bytes()))
}

/// The texts that were drawn one over the other in the same line.
fn drawn(line: &str) -> Vec<String> {
    let mut texts = vec![String::new()];
    for part in parts(line) {
        match (part, texts.last_mut()) {
            (Part::Text(text), Some(last)) => last.push_str(text),
            (Part::Control(sequence), Some(last)) => {
                if returns(sequence) && !last.is_empty() {
                    texts.push(String::new());
                }
            }
            (_, None) => {}
        }
    }
    texts.retain(|text| !text.is_empty());
    texts
}

/// Whether what follows is drawn over the beginning of the line, or on an empty line: a carriage
/// return, a move of the cursor (CHA, CUP, HVP), or the erasure of the whole line or screen.
fn returns(sequence: &str) -> bool {
    matches!(
        sequence,
        "\r" | "\x1b[G" | "\x1b[0G" | "\x1b[1G" | "\x1b[2K" | "\x1b[2J"
    ) || (sequence.starts_with("\x1b[") && sequence.ends_with(['H', 'f']))
}

/// How many bytes the control character or escape sequence at the start of `text` has.
fn sequence_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let first = text.chars().next().map_or(0, char::len_utf8);
    if bytes[0] != 0x1b {
        return first;
    }
    let find = |from: usize, ends: &dyn Fn(u8) -> bool| {
        bytes[from..]
            .iter()
            .position(|byte| ends(*byte))
            .map(|at| from + at)
    };
    match bytes.get(1) {
        // CSI: parameters, then one byte from `@` to `~`. A sequence without end takes all, one that
        // is broken off ends where it breaks.
        Some(b'[') => find(2, &|byte| !(0x20..=0x3f).contains(&byte)).map_or(text.len(), |at| {
            at + usize::from((0x40..=0x7e).contains(&bytes[at]))
        }),
        // OSC, DCS, SOS, PM, APC: up to BEL or ESC \.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            match find(2, &|byte| byte == 7 || byte == 0x1b) {
                Some(at) if bytes[at] == 7 => at + 1,
                Some(at) => {
                    (at + 1 + usize::from(bytes.get(at + 1) == Some(&b'\\'))).min(text.len())
                }
                None => text.len(),
            }
        }
        // ESC, intermediate bytes, one final byte.
        Some(0x20..=0x7e) => find(1, &|byte| !(0x20..=0x2f).contains(&byte))
            .map_or(text.len(), |at| at + usize::from(bytes[at].is_ascii())),
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, line: &str) -> bool {
        is_match(&Regex::new(pattern).unwrap(), line.as_bytes())
    }

    #[test]
    fn of_a_line_that_is_drawn_again_and_again_the_last_is_seen() {
        let seen = |line: &str| plain(drawn_last(line.as_bytes()));
        assert_eq!(seen("- working\r\\ working\rdone"), "done");
        assert_eq!(seen("windows\r"), "windows");
        assert_eq!(seen("10%\r100%\r\x1b[K"), "100%");
        assert_eq!(seen("plain"), "plain");
        assert_eq!(seen("\r"), "");
    }

    #[test]
    fn a_pattern_matches_what_a_reader_sees() {
        let coloured =
            "\x1b[32mServer \x1b[1mready\x1b[0m on \x1b]8;;http://x\x1b\\8080\x1b]8;;\x1b\\";
        for pattern in ["Server ready", "^Server ready on 8080$", "\x1b\\[1mready"] {
            assert!(matches(pattern, coloured), "{pattern}");
        }
        assert!(!matches("Server  ready", coloured));
        assert!(!matches("^ready", coloured));
    }

    #[test]
    fn a_pattern_matches_what_was_drawn_over_the_beginning_of_the_line() {
        for line in [
            "10 %\r50 %\rready",
            "building\x1b[2K\x1b[1Gready\x1b[0m",
            "\x1b[2J\x1b[Hx\x1b[1;1Hready\r",
        ] {
            assert!(matches("^ready$", line), "{line:?}");
        }
        assert!(!matches("^$", "ready\r"));
        assert!(!matches("^ready$", "not \x1b[31mready\x1b[K"));
    }

    #[test]
    fn a_text_loses_its_escape_sequences_and_nothing_else() {
        assert_eq!(
            without_sequences("\x1b[1ma\x1b[0m\tb\r\n\x1b(Bc"),
            "a\tb\r\nc"
        );
    }
}
