//! The supervisor in the foreground, as a unit's main process: `up --foreground`.
//!
//! It stays the process that it was started as. Where a service manager listens (`NOTIFY_SOCKET`,
//! `sd_notify(3)`), it hears READY=1 once the order is fulfilled, STATUS= as things change, and
//! STOPPING=1 when they end.

use sd_notify::NotifyState;

use super::{Supervisor, SupervisorError};
use crate::control::protocol::{OrderRequest, Proof, Refusal, Status};
use crate::event::By;
use crate::machine::StateWord;
use crate::store::Project;

/// What somebody who watches wants to hear.
pub trait Foreground {
    /// Something that takes its time is being done.
    fn note(&mut self, text: &str);
    /// The state after each turn of the loop.
    fn turned(&mut self, status: &Status);
    /// All that should be up rests; whether all of it is well.
    fn fulfilled(&mut self, is_well: bool);
}

/// Why a supervisor in the foreground did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ForegroundError {
    /// It could not begin.
    #[error(transparent)]
    Begin(#[from] SupervisorError),
    /// The order was not taken.
    #[error("{0}")]
    Refused(#[from] Refusal),
}

/// Runs the project until it is down: by an order of another command, by TERM, HUP or INT, or
/// because nothing was to be run. A second INT stops without grace.
///
/// # Errors
/// What keeps it from beginning. Everything that happens later is in the proof.
pub async fn run_in_foreground(
    project: Project,
    order: &OrderRequest,
    foreground: &mut impl Foreground,
) -> Result<Proof, ForegroundError> {
    let begun = Supervisor::begin(project, None, &mut |text: &str| foreground.note(text)).await;
    let (mut supervisor, mut sources, door) = begun?;
    supervisor.is_in_foreground = true;
    match supervisor.order(order, By::Foreground) {
        Ok(reply) => supervisor.sweep_skipped(&reply.targets),
        Err(refusal) => {
            supervisor.had_order = true;
            supervisor.leave(door).await;
            return Err(refusal.into());
        }
    }
    let mut was_fulfilled = false;
    let mut last_status = String::new();
    let mut after = |supervisor: &Supervisor| {
        let status = supervisor.status();
        foreground.turned(&status);
        let line = summary(&status);
        if line != last_status {
            notify(&[NotifyState::Status(&line)]);
            last_status = line;
        }
        if !was_fulfilled && let Some(is_well) = supervisor.fulfilled() {
            was_fulfilled = true;
            foreground.fulfilled(is_well);
            notify(&[NotifyState::Ready]);
        }
    };
    after(&supervisor);
    loop {
        supervisor.turn(&mut sources, &mut after).await;
        let Some(program) = supervisor.successor.take() else {
            break;
        };
        // Should that fail, this one goes on.
        supervisor.become_program(&program);
    }
    // Whoever asks from here on hears at once that nobody answers any more.
    drop(sources);
    notify(&[NotifyState::Stopping]);
    Ok(supervisor.leave(door).await)
}

fn notify(states: &[NotifyState<'_>]) {
    // Without a listener this does nothing; one that is gone is not waited for.
    if let Err(error) = sd_notify::notify(states) {
        eprintln!("cannot notify the service manager: {error}");
    }
}

/// One line for `systemctl status`.
fn summary(status: &Status) -> String {
    let count = |wanted: &dyn Fn(StateWord) -> bool| {
        status
            .services
            .values()
            .filter(|service| wanted(service.state))
            .count()
    };
    let skipped = count(&|state| state == StateWord::Skipped);
    let well = count(&StateWord::is_well) - skipped;
    let bad = count(&|state| matches!(state, StateWord::Failed | StateWord::Blocked));
    let total = status.services.len() - skipped;
    match bad {
        0 => format!("{well} of {total} services are up"),
        bad => format!("{well} of {total} services are up, {bad} failed or blocked"),
    }
}
