//! Which step of a start failed, and how that crosses from a child to the supervisor.

use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// A step on the way from nothing to the command running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Looking for the first word of the command.
    FindExecutable(String),
    /// Making the process.
    Fork,
    /// Leaving the supervisor's session.
    Session,
    /// Opening standard input, output or error.
    Stream(PathBuf),
    /// Setting the limit of open files.
    OpenFilesLimit,
    /// Setting the limit of this name.
    Limit(String),
    /// Becoming another user.
    User,
    /// Changing to the working directory.
    WorkingDir(PathBuf),
    /// Executing the file.
    Execute(PathBuf),
    /// The conversation between a tmux pane and the supervisor.
    Pane,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FindExecutable(word) => write!(f, "finding the executable `{word}`"),
            Self::Fork => f.write_str("creating a process"),
            Self::Session => f.write_str("starting a session"),
            Self::Stream(path) => write!(f, "opening the log {}", path.display()),
            Self::OpenFilesLimit => f.write_str("setting the limit of open files"),
            Self::Limit(name) => write!(f, "setting the limit `{name}`"),
            Self::User => f.write_str("becoming the user"),
            Self::WorkingDir(path) => write!(f, "changing directory to {}", path.display()),
            Self::Execute(path) => write!(f, "executing {}", path.display()),
            Self::Pane => f.write_str("preparing the tmux pane"),
        }
    }
}

/// Why a command does not run.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {}", self.message())]
pub struct StartError {
    /// What was being done.
    pub stage: Stage,
    /// What went wrong there.
    pub source: io::Error,
}

impl StartError {
    /// A failure of `stage`.
    pub fn new(stage: Stage, source: io::Error) -> Self {
        Self { stage, source }
    }

    /// A failure of `stage` with an error number of the kernel.
    pub(crate) fn from_errno(stage: Stage, errno: i32) -> Self {
        Self::new(stage, io::Error::from_raw_os_error(errno))
    }

    /// What went wrong, in words: "no such file or directory".
    pub fn message(&self) -> String {
        match (&self.stage, self.source.raw_os_error()) {
            // The file itself was found before the fork.
            (Stage::Execute(_), Some(libc::ENOENT)) => {
                "the interpreter that its first line names does not exist".to_owned()
            }
            (Stage::Execute(_), Some(libc::ENOEXEC)) => {
                "neither a program for this machine nor a script with a `#!` line".to_owned()
            }
            (Stage::FindExecutable(word), Some(libc::ENOENT)) if !word.contains('/') => {
                "not in any directory of PATH".to_owned()
            }
            (_, Some(errno)) => errno_text(errno),
            (_, None) => self.source.to_string(),
        }
    }

    /// Whether trying again is pointless until somebody mends something.
    pub fn is_blocked(&self) -> bool {
        match self.stage {
            Stage::FindExecutable(_)
            | Stage::WorkingDir(_)
            | Stage::Limit(_)
            | Stage::User
            | Stage::Execute(_) => !matches!(
                self.source.raw_os_error(),
                Some(
                    libc::EAGAIN
                        | libc::EINTR
                        | libc::EIO
                        | libc::EMFILE
                        | libc::ENFILE
                        | libc::ENOMEM
                        | libc::ESTALE
                        | libc::ETXTBSY
                )
            ),
            Stage::Fork
            | Stage::Session
            | Stage::Stream(_)
            | Stage::OpenFilesLimit
            | Stage::Pane => false,
        }
    }

    /// As bytes for [`parse_report`]: a letter for the stage, the error number, and the path or
    /// word that the stage is about.
    pub(crate) fn report(&self) -> Vec<u8> {
        let (code, detail) = self.stage.encode();
        let errno = self.source.raw_os_error().unwrap_or(libc::EIO);
        let mut report = report_head(code, errno).to_vec();
        report.extend_from_slice(detail);
        report
    }
}

/// The letters that stand for the stages in a report.
pub(crate) mod letter {
    pub(crate) const FIND_EXECUTABLE: u8 = b'f';
    pub(crate) const FORK: u8 = b'k';
    pub(crate) const SESSION: u8 = b's';
    pub(crate) const STREAM: u8 = b'o';
    pub(crate) const OPEN_FILES_LIMIT: u8 = b'l';
    pub(crate) const LIMIT: u8 = b'r';
    pub(crate) const USER: u8 = b'u';
    pub(crate) const WORKING_DIR: u8 = b'd';
    pub(crate) const EXECUTE: u8 = b'x';
    pub(crate) const PANE: u8 = b'p';
}

/// The letter and the error number with which each report begins.
pub(crate) fn report_head(code: u8, errno: i32) -> [u8; 5] {
    let [a, b, c, d] = errno.to_le_bytes();
    [code, a, b, c, d]
}

impl Stage {
    /// The letter that stands for the stage in a report, and what it is about.
    pub(crate) fn encode(&self) -> (u8, &[u8]) {
        match self {
            Self::FindExecutable(word) => (letter::FIND_EXECUTABLE, word.as_bytes()),
            Self::Fork => (letter::FORK, b""),
            Self::Session => (letter::SESSION, b""),
            Self::Stream(path) => (letter::STREAM, path.as_os_str().as_bytes()),
            Self::OpenFilesLimit => (letter::OPEN_FILES_LIMIT, b""),
            Self::Limit(name) => (letter::LIMIT, name.as_bytes()),
            Self::User => (letter::USER, b""),
            Self::WorkingDir(path) => (letter::WORKING_DIR, path.as_os_str().as_bytes()),
            Self::Execute(path) => (letter::EXECUTE, path.as_os_str().as_bytes()),
            Self::Pane => (letter::PANE, b""),
        }
    }

    fn decode(code: u8, detail: &[u8]) -> Option<Self> {
        let path = || PathBuf::from(std::ffi::OsString::from_vec(detail.to_vec()));
        Some(match code {
            letter::FIND_EXECUTABLE => {
                Self::FindExecutable(String::from_utf8_lossy(detail).into_owned())
            }
            letter::FORK => Self::Fork,
            letter::SESSION => Self::Session,
            letter::STREAM => Self::Stream(path()),
            letter::OPEN_FILES_LIMIT => Self::OpenFilesLimit,
            letter::LIMIT => Self::Limit(String::from_utf8_lossy(detail).into_owned()),
            letter::USER => Self::User,
            letter::WORKING_DIR => Self::WorkingDir(path()),
            letter::EXECUTE => Self::Execute(path()),
            letter::PANE => Self::Pane,
            _ => return None,
        })
    }
}

/// Reads all that came through a report pipe until its end.
///
/// # Errors
/// The failed stage, when there is a report. Nothing at all means that the command was executed
/// (or that the child was killed before it could, which its exit status will tell).
pub fn parse_report(report: &[u8]) -> Result<(), StartError> {
    let Some((code, rest)) = report.split_first() else {
        return Ok(());
    };
    let parsed = rest.split_first_chunk::<4>().and_then(|(errno, detail)| {
        let stage = Stage::decode(*code, detail)?;
        Some(StartError::from_errno(stage, i32::from_le_bytes(*errno)))
    });
    Err(parsed.unwrap_or_else(|| {
        StartError::new(
            Stage::Fork,
            io::Error::new(io::ErrorKind::InvalidData, "the child's report was cut off"),
        )
    }))
}

/// The kernel's words for an error number, as the messages of this program write them.
/// An error number in the words of the system: "no such file or directory".
pub fn errno_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = words.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => format!("error {errno}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_survives_the_pipe() {
        for stage in [
            Stage::FindExecutable("node".into()),
            Stage::Fork,
            Stage::Session,
            Stage::Stream("/run/x.out".into()),
            Stage::OpenFilesLimit,
            Stage::WorkingDir("/srv/a b".into()),
            Stage::Execute("/bin/x".into()),
            Stage::Pane,
        ] {
            let sent = StartError::from_errno(stage.clone(), libc::EACCES);
            let received = parse_report(&sent.report()).unwrap_err();
            assert_eq!(received.stage, stage);
            assert_eq!(received.source.raw_os_error(), Some(libc::EACCES));
        }
    }

    #[test]
    fn silence_means_executed_and_a_torn_report_does_not() {
        assert!(parse_report(b"").is_ok());
        assert!(parse_report(b"d\x02").is_err());
        assert!(parse_report(b"?\x02\0\0\0").is_err());
    }

    #[test]
    fn the_words_fit_after_failed_to() {
        let error = StartError::from_errno(Stage::WorkingDir("/nowhere".into()), libc::ENOENT);
        assert_eq!(
            error.to_string(),
            "changing directory to /nowhere: no such file or directory"
        );
        assert!(error.is_blocked());
        assert!(!StartError::from_errno(Stage::Fork, libc::EAGAIN).is_blocked());
        assert!(
            !StartError::from_errno(Stage::Execute("/bin/x".into()), libc::ETXTBSY).is_blocked()
        );
    }
}
