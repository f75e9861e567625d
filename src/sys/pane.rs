//! How a process in a tmux pane is started: by a shim that asks what to become.
//!
//! tmux makes the process of a pane, not we; so it cannot be told what to carry, nor be known
//! before it runs. Therefore the pane executes `baudbot __pane GATE` ([`main`]), which connects to
//! the socket `GATE` and waits. The supervisor learns the pane's pid from tmux, writes it into the
//! ledger, and only then answers at its end ([`Gate::open`]) with the command: argument vector,
//! environment, directory, mask, mark. The shim becomes that command. If the supervisor dies before
//! it answered, the connection ends and the shim exits without having executed anything.
//!
//! The connection carries both directions: the command as JSON until the supervisor shuts its side,
//! then a report if a stage fails (as in [`start_error`](super::start_error)). It closes on exec, so
//! its end without a report means that the command runs. Who connects is asked of the kernel: only
//! the process of that very pane is answered.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::child::Prepared;
use super::crash;
use super::directory;
use super::process::Command;
use super::start_error::{Stage, StartError, parse_report};

/// The hidden command of our own executable that [`main`] is behind.
pub const PANE_COMMAND: &str = "__pane";

/// What tmux sets for each pane and what programs in it need.
const SET_BY_TMUX: [&str; 2] = ["TMUX", "TMUX_PANE"];

/// The supervisor's side: a socket at which one pane asks what to become. The socket is removed
/// when this is dropped.
#[derive(Debug)]
pub struct Gate {
    path: PathBuf,
    listener: UnixListener,
}

impl Gate {
    /// Makes the socket at `path`, in a directory that is ours alone. To be called within a
    /// runtime.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let listener = directory::listen(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            path: path.to_owned(),
            listener: UnixListener::from_std(listener)?,
        })
    }

    /// What the pane is to execute, when our own executable is `executable`.
    pub fn argv(&self, executable: &Path) -> Vec<String> {
        vec![
            executable.to_string_lossy().into_owned(),
            PANE_COMMAND.to_owned(),
            self.path.to_string_lossy().into_owned(),
        ]
    }

    /// Tells the pane whose process is `pane_pid` to become `command`; to be called once the ledger
    /// knows that pid. Returns when the command is executed.
    ///
    /// # Errors
    /// The stage that failed; [`Stage::Pane`] when the shim did not come or did not answer within
    /// `limit`, because the pane was closed say.
    pub async fn open(
        self,
        pane_pid: i32,
        command: &Command,
        limit: Duration,
    ) -> Result<(), StartError> {
        match tokio::time::timeout(limit, self.converse(pane_pid, command)).await {
            Ok(Ok(report)) => parse_report(&report),
            Ok(Err(error)) => Err(StartError::new(Stage::Pane, error)),
            Err(_) => Err(StartError::new(
                Stage::Pane,
                io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no answer within {} s", limit.as_secs()),
                ),
            )),
        }
    }

    async fn converse(&self, pane_pid: i32, command: &Command) -> io::Result<Vec<u8>> {
        let mut pane = loop {
            let (peer, _) = self.listener.accept().await?;
            if peer.peer_cred()?.pid() == Some(pane_pid) {
                break peer;
            }
        };
        crash::point("gate of a pane: before it opens");
        pane.write_all(&serde_json::to_vec(command)?).await?;
        pane.shutdown().await?;
        crash::point("gate of a pane: after it opened");
        let mut report = Vec::new();
        pane.read_to_end(&mut report).await?;
        Ok(report)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Gone already, or in a directory that is going: no matter.
        let _ = fs::remove_file(&self.path);
    }
}

/// The pane's side: `baudbot __pane GATE`. Returns only when there is nothing to become.
///
/// It must run before anything else in the process: no thread may have been started.
pub fn main(gate: &OsStr) -> ExitCode {
    // Whatever goes wrong before a command has come means that nobody wants one any more: the
    // supervisor has died, or given this start up.
    let Ok(mut supervisor) = directory::connect(Path::new(gate)) else {
        return ExitCode::SUCCESS;
    };
    let Some(command) = receive(&mut supervisor) else {
        return ExitCode::SUCCESS;
    };
    let report = match Prepared::without_streams(&with_terminal(command)) {
        Ok(prepared) => {
            if let Some(mark) = prepared.mark() {
                // Where it cannot be set, the other layers of containment do the work.
                let _ = mark.apply();
            }
            // SAFETY: this process exists to become the command, and has no other thread.
            unsafe { prepared.execute() }.to_report()
        }
        Err(error) => error.report(),
    };
    let _ = supervisor.write_all(&report);
    let _ = supervisor.shutdown(Shutdown::Both);
    // What a shell exits with when it cannot execute.
    ExitCode::from(127)
}

fn receive(supervisor: &mut UnixStream) -> Option<Command> {
    let mut json = Vec::new();
    supervisor.read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

/// The command with what only tmux knows: in which pane it runs, and what terminal that is.
fn with_terminal(mut command: Command) -> Command {
    let environment: &mut BTreeMap<_, _> = &mut command.environment;
    for name in SET_BY_TMUX {
        if let Ok(value) = std::env::var(name) {
            environment.insert(name.to_owned(), value);
        }
    }
    if let Ok(terminal) = std::env::var("TERM") {
        environment.entry("TERM".to_owned()).or_insert(terminal);
    }
    command
}
