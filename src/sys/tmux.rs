//! What is said to tmux, and how.
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::mark::Mark;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The project's own server, on this socket.
    Private(PathBuf),
    /// The user's ordinary server.
    Default,
    /// Somebody's server on this socket.
    Socket(PathBuf),
}

/// A tmux server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens.
    pub target: Target,
    /// The tmux executable.
    pub executable: PathBuf,
    /// The whole environment of each tmux command, and so of a server that one of them founds.
    pub environment: BTreeMap<String, String>,
}

/// A session that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id, as in `$3`.
    pub id: String,
    /// The id of its pane, as in `%5`.
    pub pane_id: String,
    /// The process in the pane.
    pub pane_pid: i32,
}

/// A session that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id, as in `$3`.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A pane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pane {
    /// Its id, as in `%5`.
    pub id: String,
    /// The process that was started in it.
    pub pid: i32,
    /// How that ended; `None` while it runs.
    pub dead: Option<DeadPane>,
}

/// How the process of a pane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadPane {
    /// Where tmux can tell.
    pub exit: Option<super::identity::Exit>,
}

/// Why tmux did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum TmuxError {
    /// It could not be executed.
    #[error("cannot execute {executable}: {source}")]
    Execute {
        /// The executable.
        executable: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("tmux {command} did not answer within {seconds} s")]
    TimedOut {
        /// The tmux command.
        command: String,
        /// The limit.
        seconds: u64,
    },
    /// There is no server.
    #[error("no tmux server is running on {socket}")]
    NoServer {
        /// Where it was looked for.
        socket: String,
    },
    /// It refused.
    #[error("tmux {command} failed: {message}")]
    Refused {
        /// The tmux command.
        command: String,
        /// What it said.
        message: String,
    },
}

impl Server {
    /// Starts the private server if it does not run, with `mark`; returns its pid.
    pub async fn start(&self, _mark: Option<Mark>) -> Result<i32, TmuxError> {
        todo!()
    }
    /// The server's pid; `None` when none runs.
    pub async fn server_pid(&self) -> Result<Option<i32>, TmuxError> {
        todo!()
    }
    /// Makes a detached session called `name` that executes `argv`, without a shell.
    pub async fn new_session(
        &self,
        _name: &str,
        _working_dir: &Path,
        _argv: &[String],
        _size: (u16, u16),
    ) -> Result<Session, TmuxError> {
        todo!()
    }
    /// All sessions; none when there is no server.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, TmuxError> {
        todo!()
    }
    /// All panes of a session; none when it is gone.
    pub async fn panes(&self, _session_id: &str) -> Result<Vec<Pane>, TmuxError> {
        todo!()
    }
    /// Lets what a pane shows flow into a FIFO.
    pub async fn pipe_pane(&self, _pane_id: &str, _fifo: &Path) -> Result<(), TmuxError> {
        todo!()
    }
    /// Ends a session; one that is gone already is well.
    pub async fn kill_session(&self, _session_id: &str) -> Result<(), TmuxError> {
        todo!()
    }
    /// Ends the private server.
    pub async fn kill_server(&self) -> Result<(), TmuxError> {
        todo!()
    }
}
