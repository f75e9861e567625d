//! One call of the program: what was asked for in general, and where answers go.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;

use super::{ColorArgument, Failure, Options};
use crate::code;
use crate::id::ProjectName;
use crate::render::visible::visible;
use crate::render::{ColorChoice, Look};

/// One call of the program.
#[derive(Debug)]
pub(super) struct Call {
    /// What every command takes.
    pub(super) options: Options,
    /// How data looks.
    pub(super) out: Look,
    /// How everything else looks.
    pub(super) err: Look,
    /// The project that what is told is about, where the same options would lead to another manifest.
    meant: RefCell<Option<ProjectName>>,
    /// What was said and is not to be said again.
    told: RefCell<BTreeSet<String>>,
}

impl Call {
    pub(super) fn new(options: Options) -> Self {
        let choice = match options.color {
            ColorArgument::Auto => ColorChoice::Auto,
            ColorArgument::Always => ColorChoice::Always,
            ColorArgument::Never => ColorChoice::Never,
        };
        Self {
            options,
            out: Look::of(&io::stdout(), choice),
            err: Look::of(&io::stderr(), choice),
            meant: RefCell::default(),
            told: RefCell::default(),
        }
    }

    /// Writes data to standard output.
    pub(super) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(visible(text, self.out.has_colour).as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| Failure::output(&error))
    }

    /// Writes data for programs to standard output.
    pub(super) fn print_json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::of(code!("cli::output"), &error))?;
        // JSON has its own escapes, and programs want the text as it is.
        let mut out = io::stdout().lock();
        out.write_all((text + "\n").as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| Failure::output(&error))
    }

    /// Writes to standard error. That nobody reads it is no reason to stop.
    pub(super) fn note(&self, text: &str) {
        let shown = visible(text, self.err.has_colour);
        let _ = io::stderr().lock().write_all(shown.as_bytes());
    }

    /// As [`Call::note`], but the same text only once: several parts of a command may come upon it.
    pub(super) fn note_once(&self, text: &str) {
        if self.told.borrow_mut().insert(text.to_owned()) {
            self.note(text);
        }
    }

    /// `text` with each command of this program that stands in it in backticks as [`Call::typed`] has
    /// it. One that names its project or manifest itself stays as it is.
    pub(super) fn advised(&self, text: &str) -> String {
        let mut pieces: Vec<String> = Vec::new();
        for (index, piece) in text.split('`').enumerate() {
            let is_quoted = index % 2 == 1;
            let command = piece.strip_prefix("baudbot ").filter(|_| is_quoted);
            pieces.push(match command {
                Some(command) if !command.starts_with('-') && !command.contains(" -p ") => {
                    self.typed(command)
                }
                _ => piece.to_owned(),
            });
        }
        pieces.join("`")
    }

    /// What is told from now on is about the project of this name, whatever manifest lies here.
    pub(super) fn mean(&self, project: &ProjectName) {
        *self.meant.borrow_mut() = Some(project.clone());
    }

    /// How `baudbot COMMAND` is typed so that it means the same manifest and project as this call.
    pub(super) fn typed(&self, command: &str) -> String {
        if let Some(project) = &*self.meant.borrow() {
            return format!("baudbot -p {project} {command}");
        }
        let mut words = vec!["baudbot".to_owned()];
        if let Some(file) = &self.options.file {
            words.push(format!("-f {}", quoted(&file.to_string_lossy())));
        }
        if let Some(project) = &self.options.project {
            words.push(format!("-p {project}"));
        }
        words.push(command.to_owned());
        words.join(" ")
    }
}

/// `text` as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_means_the_same_manifest() {
        let call = |file: Option<&str>, project: Option<&str>| {
            Call::new(Options {
                file: file.map(Into::into),
                project: project.map(|name| name.parse().unwrap()),
                color: ColorArgument::Never,
            })
        };
        assert_eq!(call(None, None).typed("status"), "baudbot status");
        assert_eq!(
            call(Some("manifests/demo.yaml"), Some("demo")).typed("logs web"),
            "baudbot -f manifests/demo.yaml -p demo logs web"
        );
        assert_eq!(
            call(Some("it's here/x.yaml"), None).typed("up"),
            r"baudbot -f 'it'\''s here/x.yaml' up"
        );
        let advice = "see `web` with `baudbot logs -f web`, or `baudbot down -p other`";
        assert_eq!(
            call(None, Some("demo")).advised(advice),
            "see `web` with `baudbot -p demo logs -f web`, or `baudbot down -p other`"
        );
        assert_eq!(call(None, None).advised(advice), advice);
    }
}
