//! A command that could not do its work: what is wrong, and what to type next.

use std::error::Error;

use super::{BAD, BUSY, Look, TYPED};

/// `error: …`, then `help: …` where there is something to say.
pub fn failure(message: &str, help: Option<&str>, look: &Look) -> String {
    let mut text = format!("{} {message}\n", look.paint(BAD, "error:"));
    if let Some(help) = help {
        text += &self::help(help, look);
    }
    text
}

/// `warning: …`.
pub fn warning(message: &str, look: &Look) -> String {
    format!("{} {message}\n", look.paint(BUSY, "warning:"))
}

/// `help: …`.
pub fn help(help: &str, look: &Look) -> String {
    format!("{} {help}\n", look.paint(TYPED, "help:"))
}

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
                "nothing runs",
                Some("start it with `baudbot up`"),
                &Look::PLAIN
            ),
            "error: nothing runs\nhelp: start it with `baudbot up`\n"
        );
        assert_eq!(failure("no", None, &Look::PLAIN), "error: no\n");
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
