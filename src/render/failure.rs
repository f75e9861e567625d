//! A command that could not do its work: what is wrong, and what to type next.

use std::error::Error;

use super::{BAD, BUSY, FAINT, Look, STRONG, TYPED};
use crate::catalogue::{Code, Entry};

/// `error[run::service_failed]: …`, then `help: …`.
pub fn failure(code: Code, message: &str, help: &str, look: &Look) -> String {
    format!(
        "{} {message}\n{}",
        error_word(code, look),
        self::help(help, look)
    )
}

/// `error[run::service_failed]:`, which begins what is told of an error.
pub fn error_word(code: Code, look: &Look) -> String {
    format!(
        "{}{}{}",
        look.paint(BAD, "error"),
        look.paint(FAINT, &format!("[{}]", code.short())),
        look.paint(BAD, ":")
    )
}

/// What the catalogue says about an error.
pub fn explanation(entry: &Entry, look: &Look) -> String {
    format!(
        "{}\n{}\n{}",
        look.paint(STRONG, entry.code),
        entry.means,
        help(entry.mend, look)
    )
}

/// `warning[…]: …`.
pub fn warning_with(code: Code, message: &str, look: &Look) -> String {
    format!(
        "{}{}{} {message}\n",
        look.paint(BUSY, "warning"),
        look.paint(FAINT, &format!("[{}]", code.short())),
        look.paint(BUSY, ":")
    )
}

/// `warning: …`.
pub fn warning(message: &str, look: &Look) -> String {
    format!("{} {message}\n", look.paint(BUSY, "warning:"))
}

/// `note: …`: nothing is wrong, and yet people wonder.
pub fn note(message: &str, look: &Look) -> String {
    format!("{} {message}\n", look.paint(STRONG, "note:"))
}

/// `help: …`.
pub fn help(help: &str, look: &Look) -> String {
    format!("{} {help}\n", look.paint(TYPED, "help:"))
}

/// A manifest was given where a name was expected; `file` is quoted for a shell.
pub fn file_for_name(file: &str) -> String {
    format!(
        "a manifest is named by `--file {file}`; `-f` means the same, but in `logs` and `events` it is to follow"
    )
}

/// What a person is told who asks for the background, which is where services run anyway.
pub const BACKGROUND: &str = "services run in the background already, and go on when the command \
                              has ended; with `--no-wait` it does not wait until they are ready";

/// An error and all that caused it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many errors repeat their cause in their own words.
        if !text.contains(&cause_text) {
            text += ": ";
            text += &cause_text;
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_stands_before_the_help() {
        assert_eq!(
            failure(
                crate::code!("cli::not_running"),
                "nothing runs",
                "start it with `baudbot up`",
                &Look::PLAIN
            ),
            "error[cli::not_running]: nothing runs
help: start it with `baudbot up`
"
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the log")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_told_once() {
        let inner = || std::io::Error::other("the disk is on fire");
        assert_eq!(
            chain(&Outer(inner())),
            "cannot open the log: the disk is on fire"
        );
        assert_eq!(chain(&inner()), "the disk is on fire");
    }
}
