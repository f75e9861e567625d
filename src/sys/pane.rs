//! The exec shim in a tmux pane.
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::process::Command;
use super::start_error::StartError;

/// The supervisor's side: a socket at which the pane asks what to become.
#[derive(Debug)]
pub struct Gate {
    path: PathBuf,
}

impl Gate {
    /// Makes the socket at `path`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(_path: &Path) -> io::Result<Self> {
        todo!()
    }

    /// What the pane is to execute: `baudbot __pane PATH`.
    pub fn argv(&self, executable: &Path) -> Vec<String> {
        vec![
            executable.to_string_lossy().into_owned(),
            "__pane".to_owned(),
            self.path.to_string_lossy().into_owned(),
        ]
    }

    /// Tells the pane whose process is `pane_pid` to become `command`, once the ledger knows that
    /// pid; returns when the command is executed, or with the reason why it is not.
    pub async fn open(
        self,
        _pane_pid: i32,
        _command: &Command,
        _limit: Duration,
    ) -> Result<(), StartError> {
        todo!()
    }
}

/// The pane's side, `baudbot __pane GATE`. Returns only when there is nothing to become.
pub fn main(_gate: &OsStr) -> ExitCode {
    todo!()
}
