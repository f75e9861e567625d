//! Tricks with the moment at which somebody looks: those who are never where they were seen, and
//! those who are many.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getppid, setsid};

use super::super::part::{BEAT, Part, Phase, Played, text};
use super::THOUSAND;
use crate::sys::escape::{Fork, fork};

/// On TERM, a child in a session of its own is made, which does the same, and its parent goes.
pub(super) fn fork_on_term(part: &Part) -> Played {
    let mut term = SigSet::empty();
    term.add(Signal::SIGTERM);
    term.thread_block()?;
    part.sign()?;
    part.ready()?;
    while !part.left().is_zero() {
        term.wait()?;
        if let Fork::Parent(_) = fork()? {
            std::process::exit(0);
        }
        setsid()?;
        part.sign()?;
    }
    std::process::exit(0)
}

/// The leader leaves as soon as all are there; or, should the supervisor be killed, just after that:
/// then nobody sees it go.
pub(super) fn leaver(part: &Part) -> Played {
    let supervisor = getppid();
    part.spawn(|| part.sign())?;
    part.spawn(|| {
        setsid()?;
        part.sign()
    })?;
    part.sign_and_be_ready_with(3)?;
    if part.phase == Phase::Kill {
        part.await_that(|| Ok(getppid() != supervisor))?;
    }
    std::process::exit(0)
}

/// Each lives for one beat; only the leader stays.
pub(super) fn hopper(part: &Part) -> Played {
    part.spawn(|| hop(part))?;
    part.sign()?;
    part.await_that(|| Ok(text(&part.path("heart"))?.is_some()))?;
    part.ready()?;
    part.rest()
}

fn hop(part: &Part) -> io::Result<()> {
    let mut beat = 0;
    while !part.left().is_zero() {
        beat += 1;
        part.beat(beat)?;
        std::thread::sleep(BEAT);
        if let Fork::Parent(_) = fork()? {
            std::process::exit(0);
        }
        setsid()?;
    }
    Ok(())
}

/// Every third has a session of its own.
pub(super) fn many(part: &Part) -> Played {
    for number in 0..THOUSAND {
        part.spawn(|| {
            if number % 3 == 0 {
                setsid()?;
            }
            part.sign()
        })?;
    }
    part.sign_and_be_ready_with(1 + THOUSAND)?;
    part.rest()
}
