//! A command that asks something and ends: an exec probe. It runs in a process group of its own and
//! under the mark of the run that it asks about, so that nothing of it can outlive that run.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::account::Account;
use super::helper::Helper;
use super::mark::Mark;

/// How much of the end of its output is kept, in bytes.
const KEPT: usize = 4 << 10;

/// How long output that is still in the pipe after the command's end is read for.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What is executed.
#[derive(Debug, Clone, Copy)]
pub struct ProbeCommand<'a> {
    /// The argument vector; the first word is searched for in the environment's `PATH`.
    pub argv: &'a [String],
    /// The whole environment.
    pub environment: &'a BTreeMap<String, String>,
    /// Where it starts.
    pub working_dir: &'a Path,
    /// The mark of the run that it belongs to.
    pub mark: Option<Mark>,
    /// Who it runs as; `None`: as we do.
    pub user: Option<&'a Account>,
}

/// A probe that runs. Dropping it kills its process group.
#[derive(Debug)]
pub struct Probe {
    helper: Helper,
    group: Option<i32>,
}

impl Probe {
    /// Starts it.
    ///
    /// # Errors
    /// What keeps it from being executed.
    pub fn start(command: &ProbeCommand<'_>) -> io::Result<Self> {
        let (program, arguments) = command
            .argv
            .split_first()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let path = command.environment.get("PATH").map(String::as_str);
        let program = super::process::resolve_executable(program, path, command.working_dir)
            .map_err(io::Error::other)?;
        let mut child = Command::new(program);
        child
            .args(arguments)
            .env_clear()
            .envs(command.environment)
            .current_dir(command.working_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(mark) = command.mark {
            // SAFETY: `Mark::apply` makes one system call and is async-signal-safe.
            unsafe { child.pre_exec(move || mark.apply()) };
        }
        if let Some(user) = command.user.cloned() {
            // SAFETY: system calls only, in the only thread of a child that is to become the command.
            unsafe { child.pre_exec(move || user.become_it()) };
        }
        let helper = Helper::spawn(&mut child)?;
        let group = helper.child.id().and_then(|pid| i32::try_from(pid).ok());
        Ok(Self { helper, group })
    }

    /// Waits for its end; returns how it ended and the end of what it said.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn finish(mut self) -> io::Result<(ExitStatus, String)> {
        let stdout = self.helper.child.stdout.take();
        let stderr = self.helper.child.stderr.take();
        let mut said = Vec::new();
        let status = {
            let reading = async {
                if let Some(mut stream) = stdout {
                    tail(&mut stream, &mut said).await;
                }
                if let Some(mut stream) = stderr {
                    tail(&mut stream, &mut said).await;
                }
            };
            tokio::pin!(reading);
            // A child of the probe may hold the pipe open; only the probe itself is waited for.
            tokio::select! {
                status = self.helper.child.wait() => {
                    let _ = tokio::time::timeout(LAST_WORDS, reading).await;
                    status?
                }
                () = &mut reading => self.helper.child.wait().await?,
            }
        };
        // Reaped: its number may be another's from now on.
        self.group = None;
        Ok((status, String::from_utf8_lossy(&said).into_owned()))
    }
}

async fn tail(stream: &mut (impl AsyncReadExt + Unpin), said: &mut Vec<u8>) {
    let mut chunk = [0; 1024];
    while let Ok(length) = stream.read(&mut chunk).await {
        if length == 0 {
            return;
        }
        said.extend_from_slice(&chunk[..length]);
        let excess = said.len().saturating_sub(KEPT);
        said.drain(..excess);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Not reaped yet, so the number is still its own.
            let group = nix::unistd::Pid::from_raw(group);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
    }
}
