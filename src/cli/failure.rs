//! Why a command could not do its work: the one place where errors become exit codes and help.

use std::error::Error;
use std::io;
use std::path::Path;

use super::call::quoted;
use super::{Call, origin};
use crate::catalogue::Code;
use crate::code;
use crate::exit::ExitCode;
use crate::manifest::FindError;
use crate::render::failure::{chain, failure};
use crate::render::origin as text;
use crate::store::StoreError;
use crate::supervisor::survey::SurveyError;

/// Why a command stops short.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something is wrong, and this is what people are told.
    Error {
        /// What kind of error it is.
        code: Code,
        /// How the command ends.
        exit: ExitCode,
        /// What is wrong.
        message: String,
        /// What to do about it; where it is not said, the catalogue's words are.
        help: Option<String>,
    },
    /// Everything was said already.
    Told(ExitCode),
    /// Nobody reads standard output any more (`baudbot logs | head`).
    ReaderGone,
}

impl Failure {
    /// An error of this kind: `code!("…")` names it in the catalogue.
    pub(super) fn new(code: Code, exit: ExitCode, message: impl Into<String>) -> Self {
        Self::Error {
            code,
            exit,
            message: message.into(),
            help: None,
        }
    }

    /// What is wrong, for those who tell it themselves.
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Error { message, .. } => message,
            Self::Told(_) | Self::ReaderGone => "",
        }
    }

    /// With what to do about it.
    pub(super) fn help(self, text: impl Into<String>) -> Self {
        self.maybe_help(Some(text.into()))
    }

    /// With what to do about it, where that can be said better than the catalogue does.
    pub(super) fn maybe_help(mut self, text: Option<String>) -> Self {
        if let (Self::Error { help, .. }, Some(text)) = (&mut self, text) {
            *help = Some(text);
        }
        self
    }

    /// An error of the system in what was being done, as in "cannot read FILE".
    pub(super) fn system(doing: &str, error: &io::Error) -> Self {
        Self::new(
            code!("cli::system"),
            ExitCode::Failed,
            format!("{doing}: {}", chain(error)),
        )
    }

    /// An error while writing to standard output.
    pub(super) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::new(
                code!("cli::output"),
                ExitCode::Failed,
                format!("cannot write to standard output: {}", chain(error)),
            )
        }
    }

    /// Tells people, and says how the command ends.
    pub(super) fn tell(self, call: &Call) -> ExitCode {
        match self {
            Self::ReaderGone => ExitCode::Done,
            Self::Told(exit) => exit,
            Self::Error {
                code,
                exit,
                message,
                help,
            } => {
                let help = help.as_deref().unwrap_or(code.entry().mend);
                let help = call.advised(help);
                call.note(&failure(code, &message, &help, &call.err));
                exit
            }
        }
    }

    /// Any other error.
    pub(super) fn of(code: Code, error: &dyn Error) -> Self {
        Self::new(code, ExitCode::Failed, chain(error))
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        let (code, help) = match &error {
            FindError::NotFound { start, stored } => (
                code!("cli::no_manifest"),
                no_manifest_here(start, stored.as_deref()),
            ),
            FindError::Unreadable { .. } => (
                code!("cli::unreadable_manifest"),
                "name the manifest with `-f FILE`".into(),
            ),
            FindError::NoProject { .. } => (
                code!("manifest::missing_project"),
                "see what is wrong with `baudbot validate`, or name the project with `-p NAME`"
                    .into(),
            ),
        };
        Self::new(code, ExitCode::Manifest, chain(&error)).help(help)
    }
}

/// What to do where there is no manifest: a project that runs from here, whose manifest is gone, comes
/// before a new manifest.
fn no_manifest_here(start: &Path, stored: Option<&Path>) -> String {
    let running = origin::from_elsewhere(|_| true);
    let is_from_here = |file: &Path| {
        let directory = file.parent()?;
        let directory = match directory.ends_with("manifests") {
            true => directory.parent()?,
            false => directory,
        };
        Some(start.starts_with(directory))
    };
    let from_here = running
        .iter()
        .find(|(_, file)| is_from_here(file) == Some(true));
    match (from_here, stored) {
        (Some((name, file)), _) => text::runs_from_here(name, file, origin::is_gone(file)),
        (None, Some(stored)) => {
            let shown = stored.strip_prefix(start).unwrap_or(stored);
            text::stored_only(&quoted(&shown.to_string_lossy()))
        }
        (None, None) => text::no_manifest(!running.is_empty()),
    }
}

impl From<SurveyError> for Failure {
    fn from(error: SurveyError) -> Self {
        let help = error.help();
        Self::of(error.code(), &error).maybe_help(help)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let help = error.help();
        Self::of(error.code(), &error).maybe_help(help)
    }
}
