//! Which processes there are, and which of them belong to a run.
use std::fmt;
use std::io;

use super::identity::Identity;
use super::mark::{Decoded, ProjectId};
use crate::id::RunId;

/// Whose mark proves membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// One run.
    Run(ProjectId, RunId),
    /// The whole project: its own mark, and that of every run.
    Project(ProjectId),
}

/// A process whose group and session are a run's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// Who it is.
    pub identity: Identity,
    /// Whether it is our child and has not been reaped: then its number cannot be another's.
    pub is_held: bool,
}

/// From what the members of a set are found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// Whose mark counts.
    pub owner: Option<Owner>,
    /// The leader of the run, the processes of its panes.
    pub leaders: Vec<Leader>,
    /// A subreaper whose unattributed children count: the supervisor, when the project ends.
    pub orphans_of: Option<i32>,
    /// Never members, nor is anything because it descends from them: supervisor, guardian, the
    /// project's tmux server.
    pub spared: Vec<i32>,
    /// tmux servers that are shared property. Spared; and the mark that such a server carries
    /// itself proves nothing about what descends from it.
    pub shared_servers: Vec<i32>,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its process id.
    pub pid: i32,
    /// Its parent.
    pub ppid: i32,
    /// Its process group.
    pub pgid: i32,
    /// Its session.
    pub sid: i32,
    /// When it was made, in clock ticks since boot.
    pub start_time: u64,
    /// The letter of its state.
    pub state: u8,
    /// Its threads.
    pub threads: u32,
    /// Its mark.
    pub mark: Option<Decoded>,
}

/// The proof that a process belongs to a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It carries the mark.
    Marked(Owner),
    /// It is the leader.
    Leader,
    /// It is in the group of this leader.
    Group(i32),
    /// It is in the session of this leader.
    Session(i32),
    /// It carries the mark of a project that was brought up inside of the run.
    Nested,
    /// It is a child of this member.
    Child(i32),
    /// It came to this subreaper, and belongs to nobody else.
    Orphan(i32),
}

impl fmt::Display for Why {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

/// A process that belongs to a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub identity: Identity,
    /// Why it is ours.
    pub why: Why,
}

/// Looks at the processes that matter to `roots`.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn scan(_roots: &Roots) -> io::Result<Vec<ProcessInfo>> {
    todo!()
}

/// The children of all threads of a process, zombies too; none when the process is gone.
pub(crate) fn children_of(pid: i32) -> io::Result<Vec<i32>> {
    let mut children = Vec::new();
    let threads = match std::fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(threads) => threads,
        Err(error) if super::identity::is_no_process(&error) => return Ok(children),
        Err(error) => return Err(error),
    };
    for thread in threads.flatten() {
        if let Ok(text) = std::fs::read_to_string(thread.path().join("children")) {
            children.extend(
                text.split_ascii_whitespace()
                    .filter_map(|pid| pid.parse::<i32>().ok()),
            );
        }
    }
    Ok(children)
}

/// Which of `processes` belong to the set; pure.
pub fn members(_processes: &[ProcessInfo], _roots: &Roots) -> Vec<Member> {
    todo!()
}
