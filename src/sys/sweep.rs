//! Ending all that belongs to a run, with proof.
use std::io;
use std::time::Duration;

use super::census::{Member, Roots};
use super::identity::PidFd;

/// A process that could not be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// Its process id.
    pub pid: i32,
    /// Its command line, or its name in brackets.
    pub command: String,
    /// The user that it runs as.
    pub user: String,
    /// Why it is still there.
    pub reason: String,
}

/// How long a sweep may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// To freeze the set.
    pub freeze: Duration,
    /// From the first KILL until what is left counts as a survivor.
    pub kill: Duration,
}

/// What a sweep came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was ended.
    pub killed: Vec<Member>,
    /// What was not.
    pub survivors: Vec<Survivor>,
}

/// A member and a handle on it, opened before the member's identity was checked.
#[derive(Debug)]
pub struct Present {
    /// Who, and why it belongs.
    pub member: Member,
    /// The handle.
    pub handle: PidFd,
}

/// The members that are there now, each with a handle that tells when it ends.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn present(_roots: &Roots) -> io::Result<Vec<Present>> {
    todo!()
}

/// Sends `signal`, and then SIGCONT, to every member; returns those that got it.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn signal_members(_roots: &Roots, _signal: i32) -> io::Result<Vec<Member>> {
    todo!()
}

/// Ends every member and proves it. Blocking; bounded by `limits`.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn sweep(_roots: &Roots, _limits: &Limits) -> io::Result<Outcome> {
    todo!()
}
