//! Tricks with groups, sessions and parents.

use std::io;

use nix::unistd::{Pid, setpgid, setsid};

use super::super::part::{Part, Played, members};
use crate::sys::escape::{Fork, fork_sibling};

/// Signs and rests.
pub(super) fn member(part: &Part) -> Played {
    part.sign()?;
    part.rest()
}

pub(super) fn child(part: &Part) -> Played {
    part.spawn(|| part.sign())?;
    part.sign_and_be_ready_with(2)?;
    part.rest()
}

pub(super) fn session(part: &Part) -> Played {
    part.spawn(|| {
        setsid()?;
        part.sign()
    })?;
    part.sign_and_be_ready_with(2)?;
    part.rest()
}

pub(super) fn sibling(part: &Part) -> Played {
    if fork_sibling()? == Fork::Child {
        setsid()?;
        return member(part);
    }
    part.sign_and_be_ready_with(2)?;
    part.rest()
}

/// Three jobs, each with a group of its own and two processes in it.
pub(super) fn groups(part: &Part) -> Played {
    for _ in 0..3 {
        part.spawn(|| {
            setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            part.spawn(|| part.sign())?;
            part.sign()
        })?;
    }
    part.sign_and_be_ready_with(7)?;
    part.rest()
}

/// The kernel lets nobody into a group of another session (`setpgid(2)`). Should it ever, the mark
/// decides.
pub(super) fn joiner(part: &Part) -> Played {
    let other = part.dir.with_file_name("child");
    part.await_that(|| Ok(!members(&other)?.is_empty()))?;
    let leader = members(&other)?.first().map_or(0, |leader| leader.pid);
    part.spawn(|| {
        let note = match setpgid(Pid::from_raw(0), Pid::from_raw(leader)) {
            Ok(()) => "the kernel lets it".to_owned(),
            Err(errno) => format!("the kernel refuses: {}", io::Error::from(errno)),
        };
        part.note("note", &note)?;
        part.sign()
    })?;
    part.sign_and_be_ready_with(2)?;
    part.rest()
}
