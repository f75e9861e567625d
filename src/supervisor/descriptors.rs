//! A reserve of descriptors, so that what was started can be stopped.
//!
//! A stop needs a handle on each process, a look at `/proc` and a connection for the command that asks
//! for it. Where the limit of open files is low, starts could take all that; so a start that would go
//! below the reserve is refused, and says what to do.

use super::{Supervisor, SupervisorError};
use crate::machine::{Goal, StartFailure};
use crate::sys::descriptors::{has_room_for, limit};

/// What has to be free at any time: for looks at `/proc`, for connections, for the tmux program.
pub(super) const RESERVE: usize = 24;

/// What a run takes at most: FIFOs, spools, its log, pipes to the child, a handle on it, a probe.
const FOR_A_START: usize = 12;

/// How much of that a run that is beginning has not taken yet: it has its FIFOs and its log.
const FOR_A_BEGINNING: usize = 4;

/// What has to be free for each run that lives: a handle on what is left of it, and a probe.
const FOR_A_RUN: usize = 2;

impl Supervisor {
    /// Whether there are descriptors enough for one run more.
    pub(super) fn check_descriptors(&self) -> Result<(), StartFailure> {
        let beginning = self.runs.values().filter(|run| !run.is_past_gate).count();
        let for_runs = FOR_A_RUN * self.runs.len() + FOR_A_BEGINNING * beginning;
        let needed = RESERVE + for_runs + FOR_A_START;
        let limit = limit().unwrap_or(u64::MAX);
        // Where the limit is far away there is nothing to be asked.
        let is_far = |limit: usize| limit / 4 > needed + FOR_A_START * self.runs.len();
        if usize::try_from(limit).map_or(true, is_far) || has_room_for(needed) {
            return Ok(());
        }
        let goals = self.machine.goals();
        let wanted = goals.values().filter(|goal| **goal == Goal::Up).count();
        let services = match wanted {
            1 => "1 service".to_owned(),
            many => format!("{many} services"),
        };
        let enough = (2 * RESERVE + 2 * FOR_A_START * wanted).next_power_of_two();
        Err(StartFailure {
            stage: String::new(),
            message: format!(
                "the limit of open files, {limit}, is too low for {services}: raise it \
                 (`ulimit -n {enough}`, or LimitNOFILE= of the unit), then take the project down \
                 and up again"
            ),
            is_blocked: true,
        })
    }
}

/// Whether there are descriptors enough to supervise anything.
///
/// # Errors
/// [`SupervisorError::FewDescriptors`].
pub(super) fn check_reserve() -> Result<(), SupervisorError> {
    if has_room_for(RESERVE) {
        Ok(())
    } else {
        let limit = limit().unwrap_or(0);
        Err(SupervisorError::FewDescriptors { limit })
    }
}
