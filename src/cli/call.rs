//! One call of the program: what was asked for in general, and where answers go.

use std::io::{self, Write};

use serde::Serialize;

use super::{ColorArgument, Failure, Options};
use crate::code;
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
        }
    }

    /// Writes data to standard output.
    pub(super) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| Failure::output(&error))
    }

    /// Writes data for programs to standard output.
    pub(super) fn print_json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::of(code!("cli::output"), &error))?;
        self.print(&(text + "\n"))
    }

    /// Writes to standard error. That nobody reads it is no reason to stop.
    pub(super) fn note(&self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// How `baudbot COMMAND` is typed so that it means the same manifest and project as this call.
    pub(super) fn typed(&self, command: &str) -> String {
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
fn quoted(text: &str) -> String {
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
    }
}
