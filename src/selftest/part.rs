//! What every trick does the same way: it signs a register, shows its heart, says that it is ready.
//!
//! A trick has a directory of its own. Each of its processes appends its identity to `members` as
//! soon as it lives, so that whoever judges knows of every process that ever was, and can tell
//! whether that very process is dead. A trick whose processes live for a moment only writes a
//! growing number to `heart` instead: it is dead when that stands still.

use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::sys::escape::{Fork, fork};
use crate::sys::identity::{Identity, boot_id};

/// The hidden command of our own executable by which a trick is played.
pub const TRICK_COMMAND: &str = "__trick";

/// How long any process of a trick lives when nobody ends it: should the self-test itself be killed,
/// the tricks go by themselves.
const LIFETIME: Duration = Duration::from_secs(120);

/// How often something is looked for that another process does.
const PAUSE: Duration = Duration::from_millis(5);

/// Between two beats of a heart.
pub const BEAT: Duration = Duration::from_millis(20);

/// Why a trick is not being played.
#[derive(Debug)]
pub(super) enum Unplayed {
    /// This host does not allow it, in words.
    Skipped(String),
    /// It should have worked.
    Failed(io::Error),
}

impl From<io::Error> for Unplayed {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<nix::errno::Errno> for Unplayed {
    fn from(errno: nix::errno::Errno) -> Self {
        Self::Failed(errno.into())
    }
}

/// A trick ends with its process, which rests until it is ended.
pub(super) type Played = Result<Infallible, Unplayed>;

/// Whether the supervisor is stopped in an orderly way or killed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A normal stop.
    Stop,
    /// The supervisor is killed, and then comes the stop.
    Kill,
}

impl Phase {
    /// As it stands on the command line of a trick.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
        }
    }
}

/// One playing of a trick.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) dir: PathBuf,
    pub(super) phase: Phase,
    born: Instant,
}

impl Part {
    pub(super) fn new(dir: PathBuf, phase: Phase) -> Self {
        // Read now, it is known to all that are forked later. Whoever needs it hears of an error.
        let _ = boot_id();
        Self {
            dir,
            phase,
            born: Instant::now(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The register, to be signed later, when it cannot be opened any more.
    pub(super) fn register(&self) -> io::Result<Register> {
        Register::open(&self.dir)
    }

    /// Says that this process is alive.
    pub(super) fn sign(&self) -> io::Result<()> {
        self.register()?.sign()
    }

    /// Says that the process `pid` is alive, which cannot say so itself.
    pub(super) fn sign_for(&self, pid: i32) -> io::Result<()> {
        let Some(identity) = Identity::of(pid)? else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        self.register()?.enter(&identity)
    }

    /// Waits until so many processes have signed. Only counts lines: a thousand are many to parse.
    pub(super) fn await_members(&self, count: usize) -> io::Result<()> {
        let register = self.path("members");
        self.await_that(|| {
            let text = text(&register)?.unwrap_or_default();
            Ok(text.bytes().filter(|byte| *byte == b'\n').count() >= count)
        })
    }

    /// Waits until something is so, as long as anything of a trick lives.
    pub(super) fn await_that(&self, is_so: impl Fn() -> io::Result<bool>) -> io::Result<()> {
        while !is_so()? {
            if self.born.elapsed() > LIFETIME {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Says that the trick is being played.
    pub(super) fn ready(&self) -> io::Result<()> {
        write_whole(&self.path("ready"), "ready\n")
    }

    /// Signs, and says that the trick is being played once so many processes have.
    pub(super) fn sign_and_be_ready_with(&self, count: usize) -> io::Result<()> {
        self.sign()?;
        self.await_members(count)?;
        self.ready()
    }

    /// Says how the kernel took it, or that it was not played at all.
    pub(super) fn note(&self, name: &str, text: &str) -> io::Result<()> {
        write_whole(&self.path(name), text)
    }

    /// Makes a child that does this and then rests.
    pub(super) fn spawn(&self, child: impl FnOnce() -> io::Result<()>) -> io::Result<i32> {
        match fork()? {
            Fork::Parent(pid) => Ok(pid),
            Fork::Child => self.end_as(child()),
        }
    }

    /// Makes a child with a session of its own, and in that another one, which does this and then
    /// rests as a daemon. Returns when the one in between has gone.
    pub(super) fn daemonize(&self, daemon: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match fork()? {
            Fork::Parent(between) => {
                nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(between), None)?;
                Ok(())
            }
            Fork::Child => {
                let left = nix::unistd::setsid().map_err(io::Error::from);
                match left.and_then(|_| fork()) {
                    Ok(Fork::Parent(_)) => std::process::exit(0),
                    Ok(Fork::Child) => self.end_as(daemon()),
                    Err(error) => self.end_as(Err(error)),
                }
            }
        }
    }

    fn end_as(&self, done: io::Result<()>) -> ! {
        match done {
            Ok(()) => self.rest(),
            Err(error) => {
                let _ = self.note("failed", &error.to_string());
                std::process::exit(1)
            }
        }
    }

    /// Rests until somebody ends it.
    pub(super) fn rest(&self) -> ! {
        std::thread::sleep(self.left());
        std::process::exit(0)
    }

    /// How much of its life is left.
    pub(super) fn left(&self) -> Duration {
        LIFETIME.saturating_sub(self.born.elapsed())
    }

    /// Beats once, for the `count`th time.
    pub(super) fn beat(&self, count: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let heart = options.mode(0o600).open(self.path("heart"))?;
        heart.write_all_at(format!("{count:020}").as_bytes(), 0)
    }
}

/// The register of a trick, open.
#[derive(Debug)]
pub(super) struct Register(File);

impl Register {
    fn open(dir: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        options.open(dir.join("members")).map(Self)
    }

    /// Says that this process is alive.
    pub(super) fn sign(&self) -> io::Result<()> {
        // Not `getpid`: in a pid namespace of its own a process does not know its number outside.
        // The `/proc` that is mounted is that of outside.
        let link = fs::read_link("/proc/self")?;
        let pid = link.to_str().and_then(|text| text.parse().ok());
        match Identity::of(pid.unwrap_or_default())? {
            Some(identity) => self.enter(&identity),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn enter(&self, identity: &Identity) -> io::Result<()> {
        let line = format!("{} {}\n", identity.pid, identity.start_time);
        // One write, so that lines of many who sign at once do not mix.
        (&self.0).write_all(line.as_bytes())
    }
}

/// Who has signed the register in `dir`.
///
/// # Errors
/// When it cannot be read.
pub fn members(dir: &Path) -> io::Result<Vec<Identity>> {
    let Some(text) = text(&dir.join("members"))? else {
        return Ok(Vec::new());
    };
    let boot_id = boot_id()?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let (pid, start_time) = line.split_once(' ')?;
            Some(Identity {
                pid: pid.parse().ok()?,
                start_time: start_time.parse().ok()?,
                boot_id: boot_id.clone(),
            })
        })
        .collect())
}

/// What is in a file of a trick; `None` when there is none.
///
/// # Errors
/// When it cannot be read.
pub fn text(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file so that whoever finds it finds it whole.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}
