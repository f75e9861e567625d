//! Tricks of those who do not go when they are asked.

use std::io;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, setsid};

use super::super::part::{Part, Played};
use crate::sys::escape;

fn be_deaf() -> io::Result<()> {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
        .into_iter()
        .try_for_each(|signal| escape::ignore(signal as i32))
}

pub(super) fn deaf(part: &Part) -> Played {
    be_deaf()?;
    part.spawn(|| part.sign())?;
    part.sign_and_be_ready_with(2)?;
    part.rest()
}

/// Signs and rests, whatever it hears.
pub(super) fn deaf_member(part: &Part) -> Played {
    be_deaf()?;
    part.sign()?;
    part.rest()
}

pub(super) fn stopped(part: &Part) -> Played {
    let child = part.spawn(|| {
        setsid()?;
        part.sign()?;
        Ok(raise(Signal::SIGSTOP)?)
    })?;
    waitpid(Pid::from_raw(child), Some(WaitPidFlag::WUNTRACED))?;
    part.sign_and_be_ready_with(2)?;
    part.rest()
}

/// How long the slow leader needs to end.
const SLOWNESS: Duration = Duration::from_millis(100);

/// The leader takes its time, its children are gone at once: a stop waits for all of them, and the
/// leader gets its grace.
pub(super) fn slow_leader(part: &Part) -> Played {
    for _ in 0..3 {
        part.spawn(|| part.sign())?;
    }
    let mut term = SigSet::empty();
    term.add(Signal::SIGTERM);
    term.thread_block()?;
    part.sign_and_be_ready_with(4)?;
    term.wait()?;
    std::thread::sleep(SLOWNESS);
    part.note("bye", "it was given its time\n")?;
    std::process::exit(0)
}
