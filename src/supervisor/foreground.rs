//! The supervisor in the foreground, as a unit's main process: `up --foreground`.
//!
//! It stays the process that it was started as. What a service manager hears of it stands in
//! `manager`.

use super::manager::{ReadyWhen, ServiceManager};
use super::{Supervisor, SupervisorError};
use crate::control::protocol::{OrderRequest, Proof, Refusal, Status};
use crate::event::By;
use crate::store::Project;

/// What somebody who watches wants to hear.
pub trait Foreground {
    /// Something that takes its time is being done.
    fn note(&mut self, text: &str);
    /// The state after each turn of the loop.
    fn turned(&mut self, status: &Status);
    /// All that should be up rests; whether all of it is well.
    fn fulfilled(&mut self, is_well: bool);
    /// The service manager takes the project for started, and something is still on its way.
    fn goes_on(&mut self);
    /// The state in one line, for the service manager.
    fn summary(&self, status: &Status) -> String;
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
    ready_when: ReadyWhen,
    foreground: &mut impl Foreground,
) -> Result<Proof, ForegroundError> {
    let mut manager = ServiceManager::begin(ready_when);
    let begun = Supervisor::begin(project, None, &mut |text: &str| foreground.note(text)).await;
    let (mut supervisor, mut sources, mut door) = begun?;
    supervisor.is_in_foreground = true;
    match supervisor.order(order, By::Foreground) {
        Ok(reply) => supervisor.sweep_skipped(&reply.targets),
        Err(refusal) => {
            supervisor.had_order = true;
            supervisor.leave(door).await;
            manager.finish().await;
            return Err(refusal.into());
        }
    }
    let mut was_fulfilled = false;
    let mut after = |supervisor: &Supervisor| {
        let status = supervisor.status();
        foreground.turned(&status);
        let line = foreground.summary(&status);
        let is_started = manager.after(supervisor, &line);
        if !was_fulfilled && let Some(is_well) = supervisor.fulfilled() {
            was_fulfilled = true;
            foreground.fulfilled(is_well);
        } else if is_started && !was_fulfilled {
            foreground.goes_on();
        }
    };
    after(&supervisor);
    loop {
        supervisor.turn(&mut sources, &mut door, &mut after).await;
        let Some(program) = supervisor.successor.take() else {
            break;
        };
        // Should that fail, this one goes on.
        supervisor.become_program(&program);
    }
    // Whoever asks from here on hears at once that nobody answers any more.
    drop(sources);
    manager.stopping();
    let proof = supervisor.leave(door).await;
    manager.finish().await;
    Ok(proof)
}
