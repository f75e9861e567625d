//! The mark: a number that every process of a run carries from birth and cannot shed.
//!
//! `RLIMIT_LOCKS` has limited nothing since Linux 2.4.25 (`getrlimit(2)`), but the kernel still
//! stores it for each process, and hands it down over fork, exec, setsid, daemonising, a cleared
//! environment, closed descriptors, a change of user and new namespaces. Its hard limit can only be
//! lowered without `CAP_SYS_RESOURCE`, and anybody who may signal a process may read it. So a number
//! written there in the child, before it executes anything, names the run that a process belongs
//! to: at any time, for any supervisor, even when the state directory is lost.
//!
//! # Layout
//!
//! The **hard limit says who**:
//!
//! | bits | | |
//! | --- | --- | --- |
//! | 63‥56 | magic `0x5B` | no limit that people set; the top bit is clear for those who read it signed |
//! | 55‥53 | 7 − depth | 0 for a supervisor that is not itself in a mark, one more for each nesting |
//! | 52‥29 | project | the upper 24 of the 36 bits of a [`ProjectId`] |
//! | 28‥5 | 2²⁴−1 − run | the run number's place in its cycle, from 1; 0 is the project itself |
//! | 4‥0 | slack | all ones |
//!
//! The **soft limit says within whom**. It may be anything up to the hard limit, and nobody has a
//! use for it, but it can be changed at will: so what it says adds to what the hard limit says, and
//! nothing depends on it alone.
//!
//! | bits | | |
//! | --- | --- | --- |
//! | 63‥60 | `0x2` | below the magic, so that a soft limit is never above its hard one |
//! | 59‥48 | project | the lower 12 of the 36 bits of the [`ProjectId`] |
//! | 47‥24 | outer project | the upper 24 bits of the project whose run the supervisor is in; or 0 |
//! | 23‥0 | outer run | that run, as above but not inverted; or 0 |
//!
//! # Why it is so
//!
//! A mark can only be lowered. From that:
//! - **Depth** stands above the project: what a nested supervisor starts must encode to less than
//!   the supervisor's own mark, whatever the two projects are.
//! - **The project's own mark** (run 0) stands above all its runs at the same depth: the project's
//!   tmux server carries it, and the panes of services lower it to theirs. Runs are inverted for
//!   that, and so that a later run is always below an earlier one: a pane whose server was founded
//!   by a service of an earlier run can still be marked.
//! - **Slack** lies below: a process that lowers its limit by less than 32 is still recognised.
//!
//! Two projects are told apart by 36 bits, of a hash of name *and* state directory. Where somebody
//! changed the soft limit, 24 are left. A run number comes round after 16,777,215 runs.
//!
//! # Nesting
//!
//! When a service runs `baudbot` on another project, the inner supervisor is a member of the outer
//! run by its mark, but what it starts carries the inner project's mark and no longer the outer's.
//! As long as the inner supervisor lives, that is harmless: it is a subreaper, so whatever it
//! started descends from it. When it is gone, the *outer* fields still tell: each mark names the run
//! in which its supervisor ran, and [`census`](super::census) follows these links to the outermost.
//! A link is lost only when two nested supervisors, and every process of the run between them, died
//! without an orderly end.
//!
//! A service can also bring up its *own* project anew (its supervisor had died). Then outer and
//! inner project are the same, and the outer fields are ignored: each run is swept by itself.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::id::{ProjectName, RunId};

const MAGIC: u64 = 0x5B;
const MAGIC_SHIFT: u32 = 56;
const DEPTH_SHIFT: u32 = 53;
const PROJECT_SHIFT: u32 = 29;
const RUN_SHIFT: u32 = 5;
const SLACK: u64 = (1 << RUN_SHIFT) - 1;

const SOFT_MAGIC: u64 = 0x2;
const SOFT_MAGIC_SHIFT: u32 = 60;
const SOFT_PROJECT_SHIFT: u32 = 48;
const SOFT_OUTER_PROJECT_SHIFT: u32 = 24;

/// The deepest nesting that a mark can say.
pub const DEEPEST: u8 = 7;

/// 24 bits: the widest value of the upper part of a project and of a run.
const WIDEST_24: u64 = (1 << 24) - 1;
/// 12 bits: the widest value of the lower part of a project.
const WIDEST_12: u64 = (1 << 12) - 1;

/// Which project: 36 bits of a hash of its name and its state directory.
///
/// The hash is part of the layout: another version of this program computes the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectId(u64);

impl ProjectId {
    /// The id of the project `name` whose state is kept in `state_dir`. Give the canonical path, or
    /// two ways to the same directory are two projects.
    pub fn new(name: &ProjectName, state_dir: &Path) -> Self {
        // FNV-1a over both, NUL between them, then the finalizer of MurmurHash3, since FNV leaves
        // the upper bits of similar texts similar.
        let bytes = name.as_str().bytes().chain([0]);
        let mut hash = bytes
            .chain(state_dir.as_os_str().as_bytes().iter().copied())
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
            });
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
        hash ^= hash >> 33;
        // Zero stands for "no project" in the outer fields.
        let upper = ((hash >> 40) & WIDEST_24).max(1);
        Self(upper << 12 | hash & WIDEST_12)
    }

    /// The id as a word.
    pub fn word(self) -> String {
        format!("{:09x}", self.0)
    }

    /// An id that [`ProjectId::new`] gives to nobody: to try whether marks work here.
    pub(crate) fn of_nobody() -> Self {
        Self(0)
    }

    fn upper(self) -> u64 {
        self.0 >> 12
    }

    fn lower(self) -> u64 {
        self.0 & WIDEST_12
    }
}

/// The number under which marks know a run: they have room for a cycle of numbers only.
pub fn in_cycle(run: RunId) -> RunId {
    RunId(run.0 % WIDEST_24)
}

/// Where in its cycle a run number stands, from 1.
fn place_of(run: RunId) -> u64 {
    1 + run.0 % WIDEST_24
}

/// The two numbers that a process is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark {
    soft: u64,
    hard: u64,
}

/// How deep in other marks we are, and in which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Nesting {
    depth: u8,
    outer: Option<Link>,
}

/// A run as the outer fields name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Link {
    project_upper: u64,
    /// 0: the project itself.
    place: u64,
}

impl Link {
    pub(crate) fn of_run(project: ProjectId, run: RunId) -> Self {
        Self {
            project_upper: project.upper(),
            place: place_of(run),
        }
    }

    /// Whether it names `project` or one of its runs.
    pub(crate) fn is_in(self, project: ProjectId) -> bool {
        self.project_upper == project.upper()
    }
}

/// Why no mark can be set here; everything else works without.
#[derive(Debug, thiserror::Error)]
pub enum NoMark {
    /// Somebody lowered our limit so far that no mark lies below it.
    #[error("the limit of file locks is already {0}, and can only be lowered")]
    LimitTooLow(u64),
    /// A supervisor in a service of a supervisor in a service of ….
    #[error("supervisors are nested more than {DEEPEST} deep here")]
    NestedTooDeep,
    /// The kernel, or a filter before it, refuses.
    #[error("the limit of file locks cannot be changed here: {0}")]
    Refused(#[source] io::Error),
}

impl Nesting {
    /// Not in any mark.
    pub const NONE: Self = Self {
        depth: 0,
        outer: None,
    };

    /// Where a supervisor stands that carries this mark itself.
    ///
    /// # Errors
    /// [`NoMark::NestedTooDeep`].
    pub fn within(own: &Decoded) -> Result<Self, NoMark> {
        if own.depth >= DEEPEST {
            return Err(NoMark::NestedTooDeep);
        }
        Ok(Self {
            depth: own.depth + 1,
            outer: Some(own.link()),
        })
    }

    /// Where this process stands, and whether what it starts can be marked at all.
    ///
    /// # Errors
    /// [`NoMark`] says why it cannot.
    pub fn here() -> Result<Self, NoMark> {
        let limits = read_limits(0).map_err(NoMark::Refused)?;
        // Setting what is set already asks for nothing but the permission.
        set_limits(limits).map_err(NoMark::Refused)?;
        let nesting = match decode(limits.soft, limits.hard) {
            None => Self::NONE,
            Some(own) => Self::within(&own)?,
        };
        // The highest number that we could want to set.
        let highest = hard(nesting.depth, WIDEST_24, 0);
        if limits.hard >= highest {
            Ok(nesting)
        } else {
            Err(NoMark::LimitTooLow(limits.hard))
        }
    }
}

/// Whether what this process starts can be marked.
///
/// # Errors
/// [`NoMark`] says why it cannot.
pub fn can_mark() -> Result<(), NoMark> {
    Nesting::here().map(drop)
}

fn hard(depth: u8, project_upper: u64, place: u64) -> u64 {
    MAGIC << MAGIC_SHIFT
        | u64::from(DEEPEST - depth) << DEPTH_SHIFT
        | project_upper << PROJECT_SHIFT
        | (WIDEST_24 - place) << RUN_SHIFT
        | SLACK
}

impl Mark {
    /// The project's own mark, above those of all its runs.
    pub fn for_project(project: ProjectId, nesting: Nesting) -> Self {
        Self::new(project, 0, nesting)
    }

    /// The mark of one run.
    pub fn for_run(project: ProjectId, run: RunId, nesting: Nesting) -> Self {
        Self::new(project, place_of(run), nesting)
    }

    fn new(project: ProjectId, place: u64, nesting: Nesting) -> Self {
        let outer = nesting.outer.map_or(0, |outer| {
            outer.project_upper << SOFT_OUTER_PROJECT_SHIFT | outer.place
        });
        Self {
            soft: SOFT_MAGIC << SOFT_MAGIC_SHIFT | project.lower() << SOFT_PROJECT_SHIFT | outer,
            hard: hard(nesting.depth, project.upper(), place),
        }
    }

    /// What the mark says; `None` when it was read from somewhere and is none.
    pub fn decoded(&self) -> Option<Decoded> {
        decode(self.soft, self.hard)
    }

    /// Gives the mark to this process, and so to all that it will start. Async-signal-safe.
    ///
    /// # Errors
    /// `EPERM` when its limit is below the mark already.
    pub fn apply(&self) -> io::Result<()> {
        set_limits(Limits {
            soft: self.soft,
            hard: self.hard,
        })
    }
}

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decoded {
    depth: u8,
    project_upper: u64,
    /// 0: the project itself.
    place: u64,
    /// What the soft limit adds; `None` when somebody changed it.
    soft: Option<SoftPart>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SoftPart {
    project_lower: u64,
    outer: Option<Link>,
}

/// Reads the mark in a pair of limits; `None` when there is none.
pub fn decode(soft: u64, hard: u64) -> Option<Decoded> {
    if hard >> MAGIC_SHIFT != MAGIC {
        return None;
    }
    let decoded = Decoded {
        depth: DEEPEST - u8::try_from(hard >> DEPTH_SHIFT & u64::from(DEEPEST)).ok()?,
        project_upper: hard >> PROJECT_SHIFT & WIDEST_24,
        place: WIDEST_24 - (hard >> RUN_SHIFT & WIDEST_24),
        soft: (soft >> SOFT_MAGIC_SHIFT == SOFT_MAGIC).then(|| {
            let outer = Link {
                project_upper: soft >> SOFT_OUTER_PROJECT_SHIFT & WIDEST_24,
                place: soft & WIDEST_24,
            };
            SoftPart {
                project_lower: soft >> SOFT_PROJECT_SHIFT & WIDEST_12,
                outer: (outer.project_upper != 0).then_some(outer),
            }
        }),
    };
    // Project zero is never given out: see `ProjectId::new`.
    (decoded.project_upper != 0).then_some(decoded)
}

impl Decoded {
    /// How many supervisors there are around the one that set the mark.
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// Whether it is a mark of `project`, its own or that of any run.
    pub fn is_of(&self, project: ProjectId) -> bool {
        self.project_upper == project.upper()
            && self
                .soft
                .is_none_or(|soft| soft.project_lower == project.lower())
    }

    /// Whether it is the mark of this run of `project`.
    pub fn is_run(&self, project: ProjectId, run: RunId) -> bool {
        self.is_of(project) && self.place == place_of(run)
    }

    /// Whether it is the mark of `project` itself and of none of its runs.
    pub fn is_project_itself(&self, project: ProjectId) -> bool {
        self.is_of(project) && self.place == 0
    }

    /// The run that the mark names, when it is one of `project`. Run numbers come round after
    /// 16,777,215 runs: it stands for all that share its place in the cycle.
    pub fn run_of(&self, project: ProjectId) -> Option<RunId> {
        (self.is_of(project) && self.place > 0).then(|| RunId(self.place - 1))
    }

    /// Which run the mark is of, in the form in which others can point at it.
    pub(crate) fn link(&self) -> Link {
        Link {
            project_upper: self.project_upper,
            place: self.place,
        }
    }

    /// The run in which the supervisor that set the mark ran, when it is another project's.
    pub(crate) fn outer(&self) -> Option<Link> {
        self.soft
            .and_then(|soft| soft.outer)
            .filter(|outer| outer.project_upper != self.project_upper)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    soft: u64,
    hard: u64,
}

fn read_limits(pid: i32) -> io::Result<Limits> {
    let mut old = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: no new limits; the pointer to the old ones leads to a structure of that type.
    let result =
        unsafe { libc::prlimit64(pid, libc::RLIMIT_LOCKS, std::ptr::null(), &raw mut old) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Limits {
        soft: old.rlim_cur,
        hard: old.rlim_max,
    })
}

/// Async-signal-safe.
fn set_limits(limits: Limits) -> io::Result<()> {
    let new = libc::rlimit64 {
        rlim_cur: limits.soft,
        rlim_max: limits.hard,
    };
    // SAFETY: the pointer leads to a structure of that type; the old limits are not asked for.
    let result =
        unsafe { libc::prlimit64(0, libc::RLIMIT_LOCKS, &raw const new, std::ptr::null_mut()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The mark that we carry ourselves.
///
/// # Errors
/// When the kernel refuses to tell.
pub fn own_mark() -> io::Result<Option<Decoded>> {
    read_limits(0).map(|limits| decode(limits.soft, limits.hard))
}

/// The mark that the process `pid` carries; `None` when it carries none or is gone.
///
/// # Errors
/// When the kernel refuses to tell.
pub fn read_mark(pid: i32) -> io::Result<Option<Decoded>> {
    let limits = limits_of(pid)?;
    Ok(limits.and_then(|limits| decode(limits.soft, limits.hard)))
}

/// Whether the process `pid` carries this very mark.
///
/// # Errors
/// When the kernel refuses to tell.
pub(crate) fn is_carried_by(mark: &Mark, pid: i32) -> io::Result<bool> {
    Ok(limits_of(pid)?.is_some_and(|limits| (limits.soft, limits.hard) == (mark.soft, mark.hard)))
}

/// The limits of the process `pid`; `None` when it is gone or nothing limits it.
fn limits_of(pid: i32) -> io::Result<Option<Limits>> {
    match read_limits(pid) {
        Ok(limits) => Ok(Some(limits)),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        // Another user's, or a filter is before the call. What prlimit keeps from us, /proc tells
        // everybody.
        Err(_) => read_limits_from_proc(pid),
    }
}

fn read_limits_from_proc(pid: i32) -> io::Result<Option<Limits>> {
    match std::fs::read_to_string(format!("/proc/{pid}/limits")) {
        Ok(text) => Ok(parse_proc_limits(&text)),
        Err(error) if super::identity::is_no_process(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The limit of file locks in the text of `/proc/PID/limits`; `None` when it is unlimited.
fn parse_proc_limits(text: &str) -> Option<Limits> {
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("Max file locks"))?;
    let mut columns = line.split_ascii_whitespace();
    let soft = columns.next()?;
    let hard = columns.next()?.parse().ok()?;
    // An unlimited soft limit below a finite hard one cannot be; should it be read so, it says
    // nothing.
    Some(Limits {
        soft: soft.parse().unwrap_or(u64::MAX),
        hard,
    })
}

#[cfg(test)]
mod tests;
