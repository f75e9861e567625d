//! Every text that people see, made here and nowhere else.
//!
//! Functions take values and a [`Look`] and return text; printing is the business of the commands.
//! So every screen can be tested as a string. The one exception is [`progress`], which owns the
//! lines of a terminal while something goes on.
//!
//! The words: lower case, no final period; the message says what is wrong, `help:` says what to type
//! next; names stand in backticks in sentences, so that nothing depends on colour.

pub mod config;
pub mod diagnostics;
pub mod doctor;
pub mod ending;
pub mod events;
pub mod failure;
pub mod graph;
pub mod human;
pub mod log;
pub mod origin;
pub mod outcome;
pub mod plan;
pub mod progress;
pub mod proof;
pub mod ps;
pub mod screen;
pub mod selftest;
pub mod status;
pub mod table;
pub mod tally;
pub mod visible;
pub mod why;

use std::os::fd::AsFd;

use anstyle::{AnsiColor, Style};

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorChoice {
    /// On a terminal that has colours, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// What text may look like where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether colours and emphasis are used.
    pub has_colour: bool,
    /// Whether a person looks at a terminal that can move its cursor: lines may be redrawn.
    pub is_live: bool,
    /// Whether characters beyond ASCII are used for drawing.
    pub has_unicode: bool,
    /// The width of the terminal in columns; `None` where text need not be fitted.
    pub width: Option<u16>,
    /// The height of the terminal in lines; `None` where there is none.
    pub height: Option<u16>,
}

impl Look {
    /// What a pipe or a file gets, and tests compare.
    pub const PLAIN: Self = Self {
        has_colour: false,
        is_live: false,
        has_unicode: true,
        width: None,
        height: None,
    };

    /// What suits `stream`, as the terminal, the environment (`NO_COLOR`, `CLICOLOR_FORCE`, `TERM`,
    /// the locale) and `choice` say.
    pub fn of(stream: &(impl anstream::stream::RawStream + AsFd), choice: ColorChoice) -> Self {
        let is_terminal = stream.is_terminal();
        let has_colour = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never
            }
        };
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let (width, height) = size_of(stream);
        Self {
            has_colour,
            is_live: is_terminal && !is_dumb,
            has_unicode: is_unicode_locale(),
            width,
            height,
        }
    }

    /// The same, for the size that the terminal of `stream` has now.
    pub fn resized(self, stream: &impl AsFd) -> Self {
        let (width, height) = size_of(stream);
        Self {
            width,
            height,
            ..self
        }
    }

    /// `text` in this style, or as it is where there is no colour.
    pub fn paint(&self, style: Style, text: &str) -> String {
        if self.has_colour && !text.is_empty() && style != Style::new() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// Columns and lines of the terminal behind `stream`, where it has such and tells.
fn size_of(stream: &impl AsFd) -> (Option<u16>, Option<u16>) {
    let size = terminal_size::terminal_size_of(stream);
    let told = |number: u16| (number > 0).then_some(number);
    (
        size.and_then(|(width, _)| told(width.0)),
        size.and_then(|(_, height)| told(height.0)),
    )
}

/// Whether the locale takes UTF-8: the first of the three variables that is set decides (locale(7)).
fn is_unicode_locale() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
        .is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.contains("utf-8") || value.contains("utf8")
        })
}

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
}

/// What is well.
pub const GOOD: Style = colour(AnsiColor::Green);
/// What is on its way.
pub const BUSY: Style = colour(AnsiColor::Yellow);
/// What is wrong.
pub const BAD: Style = colour(AnsiColor::Red).bold();
/// What matters less.
pub const FAINT: Style = Style::new().dimmed();
/// What a heading is.
pub const STRONG: Style = Style::new().bold();
/// What can be typed.
pub const TYPED: Style = colour(AnsiColor::Cyan);
