//! Processes that an earlier supervisor started.

use std::io;

use super::identity::{Exit, Identity, PidFd, Stat, exit_of_zombie};
use super::process::observe_exit;

/// What there is of a recorded process now.
#[derive(Debug, Default)]
pub enum Inherited {
    /// It lives.
    Alive {
        /// A handle on it.
        handle: PidFd,
        /// Whether it is a child of ours: an earlier image of this very process started it.
        is_child: bool,
    },
    /// It is over, and nobody has reaped it.
    Over {
        /// How it ended, if that can be told.
        exit: Option<Exit>,
        /// Whether it is ours to reap.
        is_child: bool,
    },
    /// It is gone.
    #[default]
    Gone,
}

/// Looks at a recorded process. Whoever has its number now is nobody, unless it is that very one.
///
/// # Errors
/// When the kernel refuses, or `/proc` makes no sense.
pub fn look_at(identity: &Identity) -> io::Result<Inherited> {
    let Some(handle) = PidFd::open_verified(identity)? else {
        return Ok(Inherited::Gone);
    };
    let Some(stat) = Stat::read(identity.pid)? else {
        return Ok(Inherited::Gone);
    };
    let is_child = stat.ppid == std::process::id().cast_signed();
    if !stat.is_over() {
        return Ok(Inherited::Alive { handle, is_child });
    }
    let exit = if is_child {
        observe_exit(identity.pid)?
    } else {
        exit_of_zombie(identity)
    };
    Ok(Inherited::Over { exit, is_child })
}
