//! How a process of a service is started: first known, then executed.
//!
//! A child is forked and stops at a *gate*: a pipe that it reads from. It is its own session and
//! carries its mark by then, but has executed nothing. The supervisor writes down who it is
//! ([`Gated::identity`]) and opens the gate ([`Gated::release`]); if the supervisor dies before
//! that, the pipe ends and the child exits. So there is no instant in which something runs that
//! the ledger does not tell of.
//!
//! What fails between gate and `execve` comes back through a second pipe that closes on exec: its
//! end without a word means that the command runs.
//!
//! Between fork and exec only async-signal-safe calls are made (`signal-safety(7)`): the supervisor
//! has threads. Everything that allocates is done before the fork.
//!
//! **Reaping.** The supervisor is a child subreaper, so what its services orphan becomes its child.
//! [`reap_orphans`] reaps those, and only those: a child that somebody here *answers for* (a leader
//! of a run, a helper such as a tmux client) is reaped by that somebody. A leader is kept as a
//! zombie until its run has no member left, since only the zombie keeps the kernel from giving its
//! number, and with it its group's and session's, to a stranger.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::child::{ChildEnds, Prepared};
use super::crash;
use super::identity::{Exit, Identity};
use super::limits::Limit;
use super::mark::Mark;
use super::start_error::{Stage, StartError};
use super::walk::own_children;

/// What is searched when a service's environment has no `PATH`.
pub const FALLBACK_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What is executed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The argument vector; the first word is searched for in the environment's `PATH` unless it
    /// has a slash.
    pub argv: Vec<String>,
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    /// Where it starts; absolute.
    pub working_dir: PathBuf,
    /// The file mode creation mask; `None` keeps ours.
    pub umask: Option<u32>,
    /// What all its processes carry; `None` where no mark can be set.
    pub mark: Option<Mark>,
    /// Soft and hard limit of open files; `None` keeps ours.
    pub open_files_limit: Option<(u64, u64)>,
    /// Further limits, over that one.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// Who it runs as; `None`: as we do.
    #[serde(default)]
    pub user: Option<Account>,
    /// What it leaves behind on its way from its gate to the command.
    #[serde(default)]
    pub passage: Option<Passage>,
}

impl Command {
    /// What a limit is laid over, where that is not our own.
    pub(crate) fn inherited(&self, limit: &Limit) -> Option<(u64, u64)> {
        match limit.resource {
            libc::RLIMIT_NOFILE => self.open_files_limit,
            _ => None,
        }
    }
}

/// A text that a process appends to a file as the first thing past its gate: it is there if and only
/// if the command was tried, whatever has become of the supervisor meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// The file, which is there already.
    pub file: PathBuf,
    /// What is appended to it.
    pub text: String,
}

/// A command together with where its output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// What is executed.
    pub command: Command,
    /// The FIFO for its standard output. The child opens it for reading and writing, so that it
    /// never gets SIGPIPE while no supervisor reads, and nothing that it wrote is lost.
    pub stdout: PathBuf,
    /// The FIFO for its standard error.
    pub stderr: PathBuf,
}

/// Finds the file that the first word of a command names, as `execvp(3)` would: a word with a slash
/// is a path from the working directory, any other is searched for along `path`.
///
/// # Errors
/// [`Stage::WorkingDir`] when there is no such directory, else [`Stage::FindExecutable`]: nothing
/// there, or nothing that may be executed.
pub fn resolve_executable(
    word: &str,
    path: Option<&str>,
    working_dir: &Path,
) -> Result<PathBuf, StartError> {
    let stage = || Stage::FindExecutable(word.to_owned());
    fs::metadata(working_dir)
        .and_then(|found| {
            if found.is_dir() {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(libc::ENOTDIR))
            }
        })
        .map_err(|error| StartError::new(Stage::WorkingDir(working_dir.into()), error))?;
    if word.is_empty() {
        return Err(StartError::from_errno(stage(), libc::ENOENT));
    }
    if word.contains('/') {
        let file = working_dir.join(word);
        return match check_executable(&file) {
            Ok(()) => Ok(file),
            Err(errno) => Err(StartError::from_errno(stage(), errno)),
        };
    }
    let mut worst = libc::ENOENT;
    for directory in path.unwrap_or(FALLBACK_PATH).split(':') {
        let file = working_dir.join(directory).join(word);
        match check_executable(&file) {
            Ok(()) => return Ok(file),
            // A file that may not be executed tells more than its absence elsewhere.
            Err(libc::EACCES) => worst = libc::EACCES,
            Err(_) => {}
        }
    }
    Err(StartError::from_errno(stage(), worst))
}

fn check_executable(file: &Path) -> Result<(), i32> {
    let found = fs::metadata(file).map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?;
    if !found.is_file() {
        return Err(libc::EACCES);
    }
    let name = CString::new(file.as_os_str().as_bytes()).map_err(|_| libc::ENOENT)?;
    // SAFETY: the pointer leads to a string that ends in NUL and outlives the call.
    let result =
        unsafe { libc::faccessat(libc::AT_FDCWD, name.as_ptr(), libc::X_OK, libc::AT_EACCESS) };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}

pub(crate) fn last_errno() -> i32 {
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

/// Children that somebody here answers for, and so reaps; see the head of this module.
static ANSWERED_FOR: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn answered_for() -> MutexGuard<'static, BTreeSet<i32>> {
    ANSWERED_FOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Declares that somebody waits for this child, so that [`reap_orphans`] leaves it alone. What
/// [`fork_gated`] and [`Helper`](super::helper::Helper) start is declared by them; this is for children that an earlier
/// image of this very process started.
pub fn answer_for(pid: i32) {
    answered_for().insert(pid);
}

/// Whether somebody here waits for this child.
pub(crate) fn is_answered_for(pid: i32) -> bool {
    answered_for().contains(&pid)
}

/// A child that is declared as long as this lives.
#[derive(Debug)]
pub(crate) struct DeclaredChild(Option<i32>);

impl DeclaredChild {
    /// Runs `spawn`, which tells the pid of the child that it made, so that the child is declared
    /// before anybody can look for orphans.
    pub(crate) fn spawn<T>(
        spawn: impl FnOnce() -> io::Result<(T, Option<i32>)>,
    ) -> io::Result<(T, Self)> {
        let mut declared = answered_for();
        let (made, pid) = spawn()?;
        declared.extend(pid);
        Ok((made, Self(pid)))
    }
}

impl Drop for DeclaredChild {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            answered_for().remove(&pid);
        }
    }
}

/// A child that stands at its gate: known, but nothing of it executed yet.
#[derive(Debug)]
pub struct Gated {
    identity: Identity,
    gate: OwnedFd,
    report: OwnedFd,
}

/// Forks a child for `launch` and lets it come as far as its gate.
///
/// # Errors
/// Whatever can be told before the fork: a missing executable or working directory, a value that
/// no process can have, a kernel that refuses.
pub fn fork_gated(launch: &Launch) -> Result<Gated, StartError> {
    let prepared = Prepared::new(launch)?;
    let fork_error = |error| StartError::new(Stage::Fork, error);
    let (gate_read, gate_write) = pipe().map_err(fork_error)?;
    let (report_read, report_write) = pipe().map_err(fork_error)?;
    set_nonblocking(&report_read).map_err(fork_error)?;
    let child_ends = ChildEnds {
        gate: gate_read.as_raw_fd(),
        report: report_write.as_raw_fd(),
    };

    // Held over the fork: `reap_orphans` must not meet a child that is not declared yet.
    crash::point("fork: before");
    let mut declared = answered_for();
    // No handler of ours may run in the child: it would speak into the parent's descriptors.
    let blocked = BlockedSignals::block_all().map_err(fork_error)?;
    // SAFETY: the child calls nothing but async-signal-safe functions until it executes or exits.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: we are the child of a fork, alone in it, and never return.
        unsafe { prepared.run_child(&child_ends) }
    }
    let forked = io::Error::last_os_error();
    drop(blocked);
    if pid < 0 {
        return Err(fork_error(forked));
    }
    declared.insert(pid);
    drop(declared);
    crash::point("fork: after");

    // An unreaped child is always there, so its identity can be read; should /proc fail us after
    // all, the closing gate ends the child, and it is reaped here.
    let identity = match Identity::of(pid) {
        Ok(Some(identity)) => Ok(identity),
        Ok(None) => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        Err(error) => Err(error),
    };
    match identity {
        Ok(identity) => Ok(Gated {
            identity,
            gate: gate_write,
            report: report_read,
        }),
        Err(error) => {
            drop(gate_write);
            let _ = wait_for_end(pid);
            Err(fork_error(error))
        }
    }
}

impl Gated {
    /// Who the child is. Its process group and session have its pid for their number.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.identity.pid
    }

    /// Opens the gate. What is returned is nonblocking, becomes readable when the command is
    /// executed or could not be, and is to be read to its end and given to
    /// [`parse_report`](super::start_error::parse_report).
    ///
    /// A child that could not execute exits; it is still to be observed and reaped.
    pub fn release(self) -> OwnedFd {
        let Self { gate, report, .. } = self;
        // A child that was killed at the gate leaves a pipe without a reader: SIGPIPE is ignored in
        // every Rust program, and its exit status tells the rest.
        crash::point("gate: before it opens");
        let _ = write_all(&gate, b"!");
        crash::point("gate: after it opened");
        report
    }

    /// Closes the gate: the child exits without having executed anything, and is reaped here.
    ///
    /// # Errors
    /// When it could not be waited for.
    pub fn abort(self) -> io::Result<()> {
        let pid = self.pid();
        drop(self);
        wait_for_end(pid)
    }
}

/// Looks whether the child `pid` has ended, and how, and leaves it a zombie; `None`: it runs.
///
/// # Errors
/// `ECHILD` when it is not an unreaped child of ours.
pub fn observe_exit(pid: i32) -> io::Result<Option<Exit>> {
    wait_child(pid, libc::WEXITED | libc::WNOWAIT | libc::WNOHANG)
}

/// Reaps the child `pid`, which must have ended, and gives its number back to the kernel: from now
/// on its pid, group and session may be anybody's.
///
/// # Errors
/// `ECHILD` when it is not an unreaped child of ours.
pub fn reap(pid: i32) -> io::Result<Option<Exit>> {
    let mut declared = answered_for();
    let exit = wait_child(pid, libc::WEXITED | libc::WNOHANG)?;
    if exit.is_some() {
        declared.remove(&pid);
    }
    Ok(exit)
}

/// Ends the group of the child `pid` by KILL, and leaves it to [`reap_orphans`] to reap the child.
pub fn kill_group_and_disown(pid: i32) {
    let mut declared = answered_for();
    if declared.remove(&pid) {
        // Not reaped yet, so the number is still its own.
        let _ = nix::sys::signal::killpg(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        );
        // It may have ended before; then no signal tells of it any more.
        let _ = wait_child(pid, libc::WEXITED | libc::WNOHANG);
    }
}

/// Reaps every child that has ended and that nobody here answers for: what our descendants orphaned
/// came to us, the subreaper. Returns the pids.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn reap_orphans() -> io::Result<Vec<i32>> {
    // Held throughout, so that no child is between its fork and its declaration.
    let declared = answered_for();
    let mut reaped = Vec::new();
    for pid in own_children()? {
        if !declared.contains(&pid)
            && matches!(wait_child(pid, libc::WEXITED | libc::WNOHANG), Ok(Some(_)))
        {
            reaped.push(pid);
        }
    }
    Ok(reaped)
}

/// Waits for the end of the child `pid`, and reaps it. Blocking.
pub(crate) fn wait_for_end(pid: i32) -> io::Result<()> {
    wait_child(pid, libc::WEXITED | libc::WNOWAIT)?;
    reap(pid).map(drop)
}

fn wait_child(pid: i32, options: i32) -> io::Result<Option<Exit>> {
    Ok(wait_id(libc::P_PID, pid, options)?.map(|(_, exit)| exit))
}

/// `waitid(2)`: which child ended, and how.
pub(crate) fn wait_id(
    which: libc::idtype_t,
    pid: i32,
    options: i32,
) -> io::Result<Option<(i32, Exit)>> {
    let id = libc::id_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ECHILD))?;
    loop {
        // SAFETY: all zeroes is a valid siginfo_t; the kernel fills it in.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer leads to that structure.
        let result = unsafe { libc::waitid(which, id, &raw mut info, options) };
        if result != 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        // SAFETY: after a successful waitid these are the fields of a child's siginfo, or zero
        // when no child was ready (`waitid(2)`).
        let (found, status) = unsafe { (info.si_pid(), info.si_status()) };
        if found == 0 {
            return Ok(None);
        }
        let exit = match info.si_code {
            libc::CLD_EXITED => Exit::Code(status),
            _ => Exit::Signal(status),
        };
        return Ok(Some((found, exit)));
    }
}

/// Makes this process the one that inherits what its descendants orphan.
///
/// # Errors
/// When the kernel refuses.
pub fn set_subreaper() -> io::Result<()> {
    // SAFETY: takes integers only.
    let result = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets a write beyond `RLIMIT_FSIZE` fail like one to a full disk, instead of ending the process
/// (`setrlimit(2)`). What we start gets the default again.
///
/// # Errors
/// When the kernel refuses.
pub fn ignore_file_size_signal() -> io::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: nothing of ours runs when it comes.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    Ok(())
}

/// Raises our own soft limit of open files to the hard one, and returns soft and hard limit as
/// they were: children are to get those, since programs that use `select(2)` break above 1,024.
///
/// # Errors
/// When the kernel refuses.
pub fn raise_open_files_limit() -> io::Result<(u64, u64)> {
    let original = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    let (soft, hard) = original;
    if soft < hard {
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok((soft, hard))
}

/// Sets our own limits of open files, soft and hard, as far as that is allowed.
pub fn set_open_files_limit((soft, hard): (u64, u64)) {
    let resource = nix::sys::resource::Resource::RLIMIT_NOFILE;
    let _ = nix::sys::resource::setrlimit(resource, soft, hard);
}

/// The signal mask of this thread with everything blocked, until dropped.
pub(crate) struct BlockedSignals(nix::sys::signal::SigSet);

impl BlockedSignals {
    pub(crate) fn block_all() -> io::Result<Self> {
        let before = nix::sys::signal::SigSet::all()
            .thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)?;
        Ok(Self(before))
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // It was this thread's mask before, so it is a valid one: this cannot fail.
        let _ = self.0.thread_set_mask();
    }
}

/// A pipe whose ends close on exec and lie above the standard streams, so that the child can put
/// those in their place without treading on it.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: the pointer leads to two integers, which the kernel fills in.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us these descriptors; nobody else owns them.
    let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    Ok((
        above_standard_streams(read)?,
        above_standard_streams(write)?,
    ))
}

fn above_standard_streams(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    if descriptor.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(descriptor);
    }
    // SAFETY: a descriptor that we own and an integer; returns a new descriptor or -1.
    let moved = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
    if moved < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

fn set_nonblocking(descriptor: &OwnedFd) -> io::Result<()> {
    // SAFETY: a descriptor that we own and integers.
    let result = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn write_all(descriptor: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    nix::unistd::write(descriptor, bytes)
        .map(drop)
        .map_err(Into::into)
}
