//! Children that are no service: tmux clients, probes, hooks. Somebody awaits each of them, and
//! nobody else may reap it.

use std::io;
use std::process::Output;

use tokio::process::{Child, Command};

use super::process::DeclaredChild;

/// A child that its owner awaits; until it is dropped,
/// [`reap_orphans`](super::process::reap_orphans) leaves the process alone.
#[derive(Debug)]
pub struct Helper {
    /// The child itself: its streams, its exit, its end.
    pub child: Child,
    declared: DeclaredChild,
}

impl Helper {
    /// Starts `command`.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let (child, declared) = DeclaredChild::spawn(|| {
            let child = command.spawn()?;
            let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
            Ok((child, pid))
        })?;
        Ok(Self { child, declared })
    }

    /// Waits for its end and for all that it writes into its pipes.
    ///
    /// # Errors
    /// As [`Child::wait_with_output`].
    pub async fn output(self) -> io::Result<Output> {
        let Self { child, declared } = self;
        let output = child.wait_with_output().await;
        drop(declared);
        output
    }
}
