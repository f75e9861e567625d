//! Why a command could not do its work: the one place where errors become exit codes and help.

use std::error::Error;
use std::io;

use super::Call;
use crate::exit::ExitCode;
use crate::manifest::FindError;
use crate::render::failure::{chain, failure};
use crate::store::StoreError;

/// Why a command stops short.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something is wrong, and this is what people are told.
    Error {
        /// How the command ends.
        exit: ExitCode,
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// Everything was said already.
    Told(ExitCode),
    /// Nobody reads standard output any more (`baudbot logs | head`).
    ReaderGone,
}

impl Failure {
    /// An error of this kind.
    pub(super) fn new(exit: ExitCode, message: impl Into<String>) -> Self {
        Self::Error {
            exit,
            message: message.into(),
            help: None,
        }
    }

    /// With what to do about it.
    pub(super) fn help(self, text: impl Into<String>) -> Self {
        match self {
            Self::Error { exit, message, .. } => Self::Error {
                exit,
                message,
                help: Some(text.into()),
            },
            other => other,
        }
    }

    /// With what to do about it, where that can be said.
    pub(super) fn maybe_help(self, text: Option<String>) -> Self {
        match text {
            Some(text) => self.help(text),
            None => self,
        }
    }

    /// An error of the system in what was being done, as in "cannot read FILE".
    pub(super) fn system(doing: &str, error: &io::Error) -> Self {
        Self::new(ExitCode::Failed, format!("{doing}: {}", chain(error)))
    }

    /// An error while writing to standard output.
    pub(super) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::system("cannot write to standard output", error)
        }
    }

    /// Tells people, and says how the command ends.
    pub(super) fn tell(self, call: &Call) -> ExitCode {
        match self {
            Self::ReaderGone => ExitCode::Done,
            Self::Told(exit) => exit,
            Self::Error {
                exit,
                message,
                help,
            } => {
                call.note(&failure(&message, help.as_deref(), &call.err));
                exit
            }
        }
    }

    /// Any other error.
    pub(super) fn of(error: &dyn Error) -> Self {
        Self::new(ExitCode::Failed, chain(error))
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        let help = match &error {
            FindError::NotFound { .. } => {
                "write one with `baudbot init`, or name one with `-f FILE`".to_owned()
            }
            FindError::Unreadable { .. } => "name the manifest with `-f FILE`".to_owned(),
            FindError::NoProject { .. } => {
                "see what is wrong with `baudbot validate`, or name the project with `-p NAME`"
                    .to_owned()
            }
        };
        Self::new(ExitCode::Manifest, chain(&error)).help(help)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let help = error.help();
        Self::of(&error).maybe_help(help)
    }
}
