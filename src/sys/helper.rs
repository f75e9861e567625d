//! Children that are no service: tmux clients, probes, hooks. Somebody awaits each of them, and
//! nobody else may reap it.

use std::io;

use tokio::process::{Child, Command};

use super::process::DeclaredChild;

/// A child that its owner awaits; until it is dropped,
/// [`reap_orphans`](super::process::reap_orphans) leaves the process alone.
#[derive(Debug)]
pub struct Helper {
    /// The child itself. Its output, its exit, its end.
    pub child: Child,
    _declared: DeclaredChild,
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
        Ok(Self {
            child,
            _declared: declared,
        })
    }
}
