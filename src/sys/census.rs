//! Which processes there are, and which of them belong to a run.
//!
//! Nothing is ever matched by name or command line. A process belongs to a set of [`Roots`] because
//! - it is a process that was recorded as the set's, and is still that very one;
//! - it is in the process group or session that such a process leads;
//! - it carries the set's mark ([`mark`](super::mark));
//! - it carries the mark of a project that was brought up inside of the set; or
//! - it is a child of a member, or was orphaned to our own subreaper.
//!
//! And whoever an earlier look of the same stop found stays a member, whatever became of its proof.
//!
//! Each member has its proof with it ([`Why`]). Where several hold, the one named first above is
//! told. The rules are a pure function of what was seen ([`Census::members`]).
//!
//! # What the rules guard against
//!
//! **Numbers are reused.** A group or session counts only while its leader is there (a zombie is)
//! and is the recorded one. While that is so the kernel gives its number to nobody else; once it is
//! not, an unmarked process with that group may be anybody's.
//!
//! **A mark decides.** A process that carries the mark of another run of the same project belongs to
//! that run, whatever group it joined and whoever its parent is.
//!
//! **What must not be ended.** The supervisor, its guardian and the tmux servers are *spared*: they
//! are no members, and nothing is a member for descending from them. A shared tmux server that was
//! founded by a service carries that service's mark, and so does everything that people start in
//! it; therefore a mark that such a server has itself proves nothing about its descendants.
//!
//! # How it is fast
//!
//! Reading `/proc/PID/stat` costs ten times what a system call does. So all processes are asked for
//! their mark, group and session by system calls (under 3 µs each), and only the few that this makes
//! relevant are looked at. Unmarked descendants are then found from the top: by the lists of
//! children that the kernel keeps for each thread. Kernels built without those
//! (`CONFIG_PROC_CHILDREN`) make us look at every process.
//!
//! Many who look at the same time look once ([`look`](look::look)).
//!
//! What is seen of one process is consistent: its start time is read before its mark and again
//! after, so that both are of the same process. What is seen of several is not: processes come and
//! go meanwhile. [`sweep`](super::sweep) deals with that.

mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use super::identity::{Identity, Stat, boot_id};
use super::mark::{Decoded, Link, ProjectId, read_mark};
use super::process::is_answered_for;
use super::walk::{children_of, is_listing_children, visit_all, visit_children};
use crate::id::RunId;

pub(crate) use look::look;

/// Whose mark proves membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// One run.
    Run(ProjectId, RunId),
    /// The whole project: its own mark, and that of every run.
    Project(ProjectId),
}

impl Owner {
    pub(crate) fn owns(&self, mark: &Decoded) -> bool {
        match self {
            Self::Run(project, run) => mark.is_run(*project, *run),
            Self::Project(project) => mark.is_of(*project),
        }
    }

    fn is_of_same_project(&self, mark: &Decoded) -> bool {
        match self {
            Self::Run(project, _) | Self::Project(project) => mark.is_of(*project),
        }
    }

    /// Whether the mark says that its bearer belongs to another run of the same project.
    fn is_another_run(&self, mark: &Decoded) -> bool {
        match self {
            Self::Run(project, run) => {
                mark.is_of(*project)
                    && !mark.is_run(*project, *run)
                    && !mark.is_project_itself(*project)
            }
            Self::Project(_) => false,
        }
    }

    /// Whether a supervisor that set a mark with this link ran in what is owned.
    fn is_outer(&self, link: Link) -> bool {
        match self {
            Self::Run(project, run) => link == Link::of_run(*project, *run),
            Self::Project(project) => link.is_in(*project),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(_, run) => write!(f, "run {run}"),
            Self::Project(_) => f.write_str("the project"),
        }
    }
}

/// The runs of `project` whose mark some living process carries, as [`in_cycle`](super::mark::in_cycle)
/// numbers them.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn runs_present(project: ProjectId) -> io::Result<BTreeSet<RunId>> {
    let mut runs = BTreeSet::new();
    visit_all(|pid| {
        if let Some(run) = mark_of(pid).and_then(|mark| mark.run_of(project))
            && !runs.contains(&run)
            && Stat::read(pid)?.is_some_and(|stat| !stat.is_over())
        {
            runs.insert(run);
        }
        Ok(())
    })?;
    Ok(runs)
}

/// The processes that were orphaned to one of these subreapers and that nothing here answers for.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn orphans(subreapers: &[i32]) -> io::Result<Vec<ProcessInfo>> {
    let mut found = Vec::new();
    let mut take = |pid| {
        if let Some(process) = ProcessInfo::of(pid)?
            && subreapers.contains(&process.ppid)
            && !subreapers.contains(&pid)
            && !process.is_over
            && !process.is_answered_for
        {
            found.push(process);
        }
        Ok(())
    };
    if is_listing_children() {
        for subreaper in subreapers {
            visit_children(*subreaper, &mut take)?;
        }
    } else {
        visit_all(take)?;
    }
    Ok(found)
}

/// From what the members of a set are found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// Whose mark counts; `None` where no mark could be set.
    pub owner: Option<Owner>,
    /// The recorded processes: the leader of the run, the first processes of its panes. Each counts
    /// itself, with the group and the session that it leads.
    pub leaders: Vec<Identity>,
    /// Who was found to be a member by an earlier look, and stays one: what proved it then, a parent
    /// say, may be gone.
    pub known: Vec<Member>,
    /// The subreapers, that is ourselves and the guardian, whose children count when nobody answers for
    /// them: when the whole project ends.
    pub orphans_of: Vec<i32>,
    /// Never members, nor is anything because it descends from them: the supervisor, its guardian,
    /// the project's own tmux server.
    pub spared: Vec<i32>,
    /// tmux servers that are shared property: spared, and the mark that such a server carries
    /// itself proves nothing about its descendants.
    pub shared_servers: Vec<i32>,
}

/// The recorded leader of a run, if it may count as one: where the run is marked, a process that has
/// the recorded identity and does not carry the mark is not believed.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn recorded_leader(recorded: Identity, owner: Option<&Owner>) -> io::Result<Option<Identity>> {
    let Some(owner) = owner else {
        return Ok(Some(recorded));
    };
    // The mark first: should the number change hands in between, the identity tells.
    let is_marked = mark_of(recorded.pid).is_some_and(|mark| owner.owns(&mark));
    Ok((is_marked && recorded.is_present()?).then_some(recorded))
}

impl Roots {
    /// Whether this process is never a member.
    pub(crate) fn is_spared(&self, pid: i32) -> bool {
        self.spared.contains(&pid) || self.shared_servers.contains(&pid)
    }
}

/// What was seen of one process.
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
    /// Whether nothing of it runs any more: a zombie without living threads.
    pub is_over: bool,
    /// What it carries.
    pub mark: Option<Decoded>,
    /// Whether it is a child of ours that somebody waits for.
    pub is_answered_for: bool,
}

impl ProcessInfo {
    /// Looks at one process; `None` when it is gone.
    fn of(pid: i32) -> io::Result<Option<Self>> {
        let Some(before) = Stat::read(pid)? else {
            return Ok(None);
        };
        let mark = mark_of(pid);
        // The number may have changed hands between the two reads, but then not back again.
        match Stat::read(pid)? {
            Some(stat) if stat.start_time == before.start_time => Ok(Some(Self {
                pid,
                ppid: stat.ppid,
                pgid: stat.pgid,
                sid: stat.sid,
                start_time: stat.start_time,
                is_over: stat.is_over(),
                mark,
                is_answered_for: is_answered_for(pid),
            })),
            _ => Ok(None),
        }
    }
}

/// The mark of a process, as far as the kernel lets us read it; what cannot be read proves nothing.
fn mark_of(pid: i32) -> Option<Decoded> {
    read_mark(pid).ok().flatten()
}

/// The proof that a process belongs to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was recorded when it was started, and is still that very process.
    Leader,
    /// It is in the process group of this leader.
    Group(i32),
    /// It carries the mark.
    Marked(Owner),
    /// It is in the session of this leader.
    Session(i32),
    /// It carries the mark of a project that was brought up inside.
    Nested(Owner),
    /// It is a child of this member.
    Child(i32),
    /// It was orphaned to this subreaper, the supervisor or its guardian, and nobody else answers for it.
    Orphan(i32),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("is the process that was started"),
            Self::Group(leader) => write!(f, "in the process group of the leader {leader}"),
            Self::Marked(owner) => write!(f, "carries the mark of {owner}"),
            Self::Session(leader) => write!(f, "in the session of the leader {leader}"),
            Self::Nested(owner) => {
                write!(
                    f,
                    "carries the mark of a project that was brought up in {owner}"
                )
            }
            Self::Child(parent) => write!(f, "child of {parent}, which belongs to it"),
            Self::Orphan(subreaper) => write!(f, "orphaned to the supervisor {subreaper}"),
        }
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

/// What was seen of the processes that matter to some roots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// The boot in which it was taken.
    pub boot_id: String,
    /// The processes by their ids. All that are marked, in a group or session of a leader, or
    /// descend from such; perhaps others.
    pub processes: BTreeMap<i32, ProcessInfo>,
}

impl Census {
    /// Looks at the processes that matter to any of `all`.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn take(all: &[Roots]) -> io::Result<Self> {
        let mut census = Self {
            boot_id: boot_id()?,
            processes: BTreeMap::new(),
        };
        let is_listing_children = is_listing_children();
        let relevance = Relevance::of(all);
        visit_all(|pid| {
            if !is_listing_children || relevance.covers(pid) {
                census.look_at(pid)?;
            }
            Ok(())
        })?;
        if is_listing_children {
            for roots in all {
                census.add_descendants(roots)?;
            }
        }
        Ok(census)
    }

    fn look_at(&mut self, pid: i32) -> io::Result<()> {
        if let Some(process) = ProcessInfo::of(pid)? {
            self.processes.insert(pid, process);
        }
        Ok(())
    }

    /// Looks at the children of members, until all of those are known.
    fn add_descendants(&mut self, roots: &Roots) -> io::Result<()> {
        let mut asked = BTreeSet::new();
        for subreaper in &roots.orphans_of {
            visit_children(*subreaper, |orphan| self.look_at(orphan))?;
        }
        loop {
            let mut is_complete = true;
            for member in self.members(roots) {
                if !asked.insert(member.identity.pid) {
                    continue;
                }
                for child in children_of(member.identity.pid) {
                    if !self.processes.contains_key(&child) {
                        self.look_at(child)?;
                        is_complete = false;
                    }
                }
            }
            if is_complete {
                return Ok(());
            }
        }
    }

    /// Which of the processes belong to the set, in the order of their ids. Pure.
    pub fn members(&self, roots: &Roots) -> Vec<Member> {
        let candidates: Vec<&ProcessInfo> = self
            .processes
            .values()
            .filter(|process| !process.is_over && !roots.is_spared(process.pid))
            .collect();
        let leaders = self.present_leaders(roots);
        let known = self.known(roots);
        let mut proofs: BTreeMap<i32, Why> = candidates
            .iter()
            .filter_map(|process| {
                let proof = self.proof_of(process, roots, &leaders, &known)?;
                Some((process.pid, proof))
            })
            .collect();
        self.close(&candidates, roots, &mut proofs);
        proofs
            .into_iter()
            .filter_map(|(pid, why)| {
                Some(Member {
                    identity: Identity {
                        pid,
                        start_time: self.processes.get(&pid)?.start_time,
                        boot_id: self.boot_id.clone(),
                    },
                    why,
                })
            })
            .collect()
    }

    /// The pids of the leaders that are there, be it as zombies, and are the recorded ones.
    fn present_leaders(&self, roots: &Roots) -> BTreeSet<i32> {
        roots
            .leaders
            .iter()
            .filter(|leader| {
                leader.boot_id == self.boot_id
                    && self
                        .processes
                        .get(&leader.pid)
                        .is_some_and(|process| process.start_time == leader.start_time)
            })
            .map(|leader| leader.pid)
            .collect()
    }

    /// What an earlier look found, by pid and start time.
    fn known(&self, roots: &Roots) -> BTreeMap<(i32, u64), Why> {
        let known = roots.known.iter();
        known
            .filter(|known| known.identity.boot_id == self.boot_id)
            .map(|known| ((known.identity.pid, known.identity.start_time), known.why))
            .collect()
    }

    /// The proof that a process has by itself, whoever else is a member.
    fn proof_of(
        &self,
        process: &ProcessInfo,
        roots: &Roots,
        leaders: &BTreeSet<i32>,
        known: &BTreeMap<(i32, u64), Why>,
    ) -> Option<Why> {
        if leaders.contains(&process.pid) {
            return Some(Why::Leader);
        }
        if is_of_another_run(process, roots) {
            return None;
        }
        if let Some(known) = known.get(&(process.pid, process.start_time)) {
            return Some(*known);
        }
        if leaders.contains(&process.pgid) {
            return Some(Why::Group(process.pgid));
        }
        if let (Some(owner), Some(mark)) = (&roots.owner, &process.mark)
            && owner.owns(mark)
            && !self.is_mark_of_shared_server(process, roots)
        {
            return Some(Why::Marked(*owner));
        }
        if leaders.contains(&process.sid) {
            return Some(Why::Session(process.sid));
        }
        None
    }

    /// Whether the process descends from a shared tmux server that carries the same mark.
    fn is_mark_of_shared_server(&self, process: &ProcessInfo, roots: &Roots) -> bool {
        let link = |process: &ProcessInfo| process.mark.map(|mark| mark.link());
        let mut seen = BTreeSet::new();
        let mut descendant = process;
        while seen.insert(descendant.pid) {
            let Some(parent) = self.processes.get(&descendant.ppid) else {
                return false;
            };
            if roots.shared_servers.contains(&parent.pid) {
                return link(parent) == link(process);
            }
            descendant = parent;
        }
        false
    }

    /// Adds what belongs to the set because of members, until nothing more does.
    fn close(&self, candidates: &[&ProcessInfo], roots: &Roots, proofs: &mut BTreeMap<i32, Why>) {
        loop {
            let links: BTreeSet<Link> = proofs
                .keys()
                .filter_map(|pid| self.processes.get(pid)?.mark)
                .filter(|mark| {
                    !roots
                        .owner
                        .is_some_and(|owner| owner.is_of_same_project(mark))
                })
                .map(|mark| mark.link())
                .collect();
            let before = proofs.len();
            for process in candidates {
                if !proofs.contains_key(&process.pid)
                    && !is_of_another_run(process, roots)
                    && let Some(why) = proof_by_members(process, roots, &links, proofs)
                {
                    proofs.insert(process.pid, why);
                }
            }
            if proofs.len() == before {
                return;
            }
        }
    }
}

fn is_of_another_run(process: &ProcessInfo, roots: &Roots) -> bool {
    match (&roots.owner, &process.mark) {
        (Some(owner), Some(mark)) => owner.is_another_run(mark),
        _ => false,
    }
}

/// The proof that a process has because of those that are members already: `links` are the runs
/// of other projects whose marks they carry.
fn proof_by_members(
    process: &ProcessInfo,
    roots: &Roots,
    links: &BTreeSet<Link>,
    proofs: &BTreeMap<i32, Why>,
) -> Option<Why> {
    if let (Some(owner), Some(outer)) = (roots.owner, process.mark.and_then(|mark| mark.outer()))
        && (owner.is_outer(outer) || links.contains(&outer))
    {
        return Some(Why::Nested(owner));
    }
    if proofs.contains_key(&process.ppid) {
        return Some(Why::Child(process.ppid));
    }
    (roots.orphans_of.contains(&process.ppid) && !process.is_answered_for)
        .then_some(Why::Orphan(process.ppid))
}

/// What makes a process worth a look at `/proc`, by what system calls tell of it.
struct Relevance {
    known: BTreeSet<i32>,
    leaders: BTreeSet<i32>,
    owners: Vec<Owner>,
}

impl Relevance {
    fn of(all: &[Roots]) -> Self {
        let leaders = all.iter().flat_map(|roots| &roots.leaders);
        let known = all.iter().flat_map(|roots| &roots.known);
        Self {
            known: known.map(|known| known.identity.pid).collect(),
            leaders: leaders.map(|leader| leader.pid).collect(),
            owners: all.iter().filter_map(|roots| roots.owner).collect(),
        }
    }

    fn covers(&self, pid: i32) -> bool {
        if self.known.contains(&pid) {
            return true;
        }
        // SAFETY: take an integer and return one; a process that is gone is told as -1.
        let (pgid, sid) = unsafe { (libc::getpgid(pid), libc::getsid(pid)) };
        if [pid, pgid, sid]
            .iter()
            .any(|number| self.leaders.contains(number))
        {
            return true;
        }
        // A kernel thread, or one that came into our pid namespace from outside.
        if self.owners.is_empty() || (pgid == 0 && sid == 0) {
            return false;
        }
        mark_of(pid).is_some_and(|mark| {
            mark.outer().is_some() || self.owners.iter().any(|owner| owner.owns(&mark))
        })
    }
}

#[cfg(test)]
mod tests;
