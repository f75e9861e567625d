//! Lines of services' logs.
//!
//! What a service prints is not trusted: on a terminal it could move the cursor, rename the window
//! or hide other lines. So colours are all that passes, and only where colours are wanted.

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{FAINT, Look, colour};
use crate::id::{RunId, ServiceName};
use crate::log_format::plain::{Part, parts};
pub use crate::log_format::plain::{drawn_last, plain};
use crate::log_reader::Line;

const PREFIX_COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightRed,
];

/// The colour of the service that comes at this place.
pub fn prefix_style(index: usize) -> Style {
    colour(PREFIX_COLOURS[index % PREFIX_COLOURS.len()])
}

/// `name | text`, the name padded to `width`.
pub fn line(name: &ServiceName, width: usize, style: Style, line: &Line, look: &Look) -> String {
    let prefix = look.paint(style, &format!("{name:width$} |"));
    let mut text = format!(
        "{prefix} {}",
        shown(drawn_last(&line.content), look.has_colour)
    );
    if line.is_cut {
        text += &look.paint(FAINT, " ... (cut)");
    }
    text.push('\n');
    text
}

/// What stands between two lines where a run begins.
pub fn run_begins(run: RunId, look: &Look) -> String {
    let rule = if look.has_unicode { "──" } else { "--" };
    look.paint(FAINT, &format!("{rule} run {run} begins {rule}"))
}

/// What stands where lines are missing.
pub const GAP: &str = "[baudbot] lines before this one were rotated away before they were read";

/// Something that is told between the lines of a service.
pub fn between(name: &ServiceName, width: usize, style: Style, text: &str, look: &Look) -> String {
    let prefix = look.paint(style, &format!("{name:width$} |"));
    format!("{prefix} {text}\n")
}

/// When a line was printed, as the clock on the wall showed it; `--since` understands it.
pub fn time(time: Timestamp, zone: &TimeZone, look: &Look) -> String {
    let time = time.to_zoned_datetime(zone.clone());
    look.paint(FAINT, &time.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()) + " "
}

/// The text with all control characters removed but tabs and, if `with_colour`, escape sequences
/// that set colours (`ESC [ … m`, ECMA-48 SGR). Colours end with the line.
fn shown(content: &[u8], with_colour: bool) -> String {
    let content = String::from_utf8_lossy(content);
    let mut text = String::with_capacity(content.len());
    let mut is_coloured = false;
    for part in parts(&content) {
        match part {
            Part::Text(plain) => text += plain,
            Part::Control(sequence)
                if with_colour && sequence.starts_with("\x1b[") && sequence.ends_with('m') =>
            {
                text += sequence;
                is_coloured = true;
            }
            Part::Control(_) => {}
        }
    }
    if is_coloured {
        text += "\x1b[0m";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_colours_pass_and_only_where_wanted() {
        let noisy = b"\x1b]0;title\x07a\x1b[2J\x1b[31mred\x1b[0m\x1b(Bz\r\x1b[?25l\tq\x1bPx\x1b\\!";
        assert_eq!(shown(noisy, false), "aredz\tq!");
        assert_eq!(shown(noisy, true), "a\x1b[31mred\x1b[0mz\tq!\x1b[0m");
        assert_eq!(shown(b"plain", true), "plain");
    }

    #[test]
    fn sequences_without_end_take_the_rest() {
        for text in ["a\x1b[31", "a\x1b]0;x", "a\x1b"] {
            assert_eq!(shown(text.as_bytes(), true), "a", "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_service_prints_no_other_control_passes(content: Vec<u8>, with_colour: bool) {
            let text = shown(&content, with_colour);
            let text = if with_colour { text.replace('\x1b', "") } else { text };
            prop_assert!(text.chars().all(|c| !c.is_control() || c == '\t'));
        }

        #[test]
        fn escapes_are_only_colours(content in "[\x1b\\[\\]mP0-9;a\\\\\x07é]{0,24}") {
            let text = shown(content.as_bytes(), true);
            for part in text.split('\x1b').skip(1) {
                let colours = part.strip_prefix('[').and_then(|part| part.split_once('m'));
                let is_colour = colours.is_some_and(|(numbers, _)| {
                    numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b';')
                });
                prop_assert!(is_colour, "{text:?}");
            }
        }
    }
}
