//! `status --wait`: until it is decided.

use std::time::Duration;

use super::super::follow::interrupts;
use super::super::{Call, Failure};
use super::live::Live;
use super::{WaitFor, complete, exit, selected};
use crate::control::protocol::Status;
use crate::exit::ExitCode;
use crate::machine::Goal;
use crate::plan::Selector;
use crate::store::Project;

/// How the waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// It is decided.
    Decided,
    /// The time is up.
    TimedOut,
    /// Ctrl-C.
    Interrupted,
}

impl Waited {
    /// How the command ends, with the status that it shows.
    pub(super) fn exit(self, what: WaitFor, status: &Status) -> ExitCode {
        match (self, what) {
            (Self::TimedOut, _) => ExitCode::TimedOut,
            (Self::Interrupted, _) => ExitCode::Interrupted,
            (Self::Decided, WaitFor::Ready) => exit(status),
            (Self::Decided, WaitFor::Stopped)
                if status.services.values().any(|one| one.is_stuck) =>
            {
                ExitCode::Failed
            }
            (Self::Decided, WaitFor::Stopped) => ExitCode::Done,
        }
    }
}

pub(super) async fn wait(
    call: &Call,
    project: &Project,
    selection: &[Selector],
    what: WaitFor,
    timeout: Option<Duration>,
) -> Result<Waited, Failure> {
    let mut interrupted = interrupts()?;
    let time_is_up = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        decided = decide(call, project, selection, what) => decided.map(|()| Waited::Decided),
        () = time_is_up => Ok(Waited::TimedOut),
        _ = interrupted.recv() => Ok(Waited::Interrupted),
    }
}

/// Returns when it is decided. That nothing runs decides either.
async fn decide(
    call: &Call,
    project: &Project,
    selection: &[Selector],
    what: WaitFor,
) -> Result<(), Failure> {
    // A name that nobody knows is an error before there is anything to wait for.
    selected(
        complete(call, project, super::answer(project).await?)?,
        selection,
    )?;
    while let Some(mut live) = Live::open(project).await? {
        while let Some(status) = live.next().await {
            // A service that the supervisor does not hold yet is not up, and nobody wants it to be.
            let meant = selected(status.clone(), selection);
            if meant.is_ok_and(|status| is_decided(&status, what, selection.is_empty())) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn is_decided(status: &Status, what: WaitFor, is_whole_project: bool) -> bool {
    let mut services = status.services.values();
    match what {
        WaitFor::Ready => services.all(|one| one.goal == Goal::Down || one.settled || one.is_stuck),
        // The whole project is stopped when its supervisor has left.
        WaitFor::Stopped => {
            let has_stuck = status.services.values().any(|one| one.is_stuck);
            (!is_whole_project || has_stuck)
                && services.all(|one| one.state.is_down() || one.is_stuck)
        }
    }
}
