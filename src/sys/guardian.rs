//! What a guardian and the supervisor that it guards do with each other, as far as the kernel is
//! concerned. When any of it happens is decided in [`crate::guardian`].
//!
//! The guardian has one thread and no runtime. The signals that it acts on are blocked and taken one
//! by one ([`next_signal`]), so nothing is ever interrupted. The supervisor is started with the stop
//! signals blocked too: one that comes before the supervisor listens waits, instead of killing it
//! ([`let_stop_signals_in`]).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal};

use super::identity::{Exit, Identity, PidFd};
use super::process::{last_errno, wait_id};

/// What asks the supervisor to end in order.
const STOPS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT];

/// What a guardian takes beside: a child ended, and "start the supervisor now".
const OTHERS: [Signal; 3] = [Signal::SIGCHLD, WAKE, FIFOS];

/// The signal that ends a guardian's wait before the next start.
const WAKE: Signal = Signal::SIGUSR1;

/// The signal that tells of new FIFOs, which the guardian is to hold open.
const FIFOS: Signal = Signal::SIGUSR2;

/// What wakes a guardian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Somebody asked for an orderly stop.
    StopAsked,
    /// A child may have ended.
    ChildEnded,
    /// Somebody wants the supervisor to be started now.
    StartAsked,
    /// There are new FIFOs.
    FifosMade,
    /// The time is over.
    TimeOver,
}

fn all_signals() -> SigSet {
    STOPS.into_iter().chain(OTHERS).collect()
}

/// Blocks the signals that [`next_signal`] takes. What is pending stays so, over an exec too.
///
/// # Errors
/// When the kernel refuses.
pub fn hold_signals() -> io::Result<()> {
    // A process that ignores SIGCHLD, as whoever started us may have done, has no zombies to look at.
    // SAFETY: the default disposition runs no code of ours.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    all_signals().thread_block().map_err(Into::into)
}

/// Lets the stop signals in that a guardian held back: from now on somebody listens.
///
/// # Errors
/// When the kernel refuses.
pub fn let_stop_signals_in() -> io::Result<()> {
    let stops: SigSet = STOPS.into_iter().collect();
    stops.thread_unblock().map_err(Into::into)
}

/// Lets in all that [`hold_signals`] holds back.
///
/// # Errors
/// When the kernel refuses.
pub fn let_all_signals_in() -> io::Result<()> {
    all_signals().thread_unblock().map_err(Into::into)
}

/// Waits for a signal, no longer than `limit` if there is one.
///
/// # Errors
/// When the kernel refuses.
pub fn next_signal(limit: Option<Duration>) -> io::Result<Woken> {
    let set = all_signals();
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref::<libc::timespec>);
    loop {
        // SAFETY: the set and the time outlive the call; what else is known of the signal is not
        // asked for. Without a time it waits for ever (`sigtimedwait(2)`).
        let taken = unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), limit) };
        let signal = match taken {
            -1 => match last_errno() {
                libc::EAGAIN => return Ok(Woken::TimeOver),
                libc::EINTR => continue,
                errno => return Err(io::Error::from_raw_os_error(errno)),
            },
            number => Signal::try_from(number).map_err(io::Error::from)?,
        };
        return Ok(match signal {
            Signal::SIGCHLD => Woken::ChildEnded,
            WAKE => Woken::StartAsked,
            FIFOS => Woken::FifosMade,
            _ => Woken::StopAsked,
        });
    }
}

/// Starts `program` with the stop signals blocked and this limit of open files. It has our standard
/// error, our standard output as well if `keeps_output`, and our environment but for `left_out`.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn<S: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = S>,
    keeps_output: bool,
    left_out: &[&str],
    open_files_limit: Option<(u64, u64)>,
) -> io::Result<i32> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    for name in left_out {
        command.env_remove(name);
    }
    if !keeps_output {
        command.stdout(Stdio::null());
    }
    let stops: SigSet = STOPS.into_iter().collect();
    // SAFETY: between fork and exec this makes async-signal-safe calls only.
    unsafe {
        // What is blocked here stays so over an exec: nothing but these, else.
        command.pre_exec(move || {
            if let Some((soft, hard)) = open_files_limit {
                nix::sys::resource::setrlimit(
                    nix::sys::resource::Resource::RLIMIT_NOFILE,
                    soft,
                    hard,
                )?;
            }
            stops
                .thread_swap_mask(SigmaskHow::SIG_SETMASK)
                .map(drop)
                .map_err(Into::into)
        });
    }
    // Nobody waits for it through this handle: it is a child among the orphans, see `ended_child`.
    command.spawn().map(|child| child.id().cast_signed())
}

/// Becomes `program`, with the same process id, children and held signals. Returns only when that
/// fails.
pub fn become_program<S: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> io::Error {
    // What is blocked stays so (`sigprocmask(2)`).
    Command::new(program).args(arguments).exec()
}

/// A child that has ended, and how; it stays a zombie until it is [reaped](super::process::reap).
///
/// # Errors
/// When the kernel refuses.
pub fn ended_child() -> io::Result<Option<(i32, Exit)>> {
    let options = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    match wait_id(libc::P_ALL, 0, options) {
        Err(error) if error.raw_os_error() == Some(Errno::ECHILD as i32) => Ok(None),
        result => result,
    }
}

/// This program, also when its file was replaced by a newer one since it was started.
pub fn own_program() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        // The kernel's link leads to the file that is being executed, deleted or not (`proc(5)`).
        Ok(_) | Err(_) => PathBuf::from(format!("/proc/{}/exe", std::process::id())),
    }
}

/// What the file that this program was started from holds now; the program itself when the file is
/// gone.
pub fn newest_program() -> PathBuf {
    let Ok(path) = std::env::current_exe() else {
        return own_program();
    };
    // `proc(5)`: the link of a file that was removed or replaced ends in this.
    let replaced = path
        .to_str()
        .and_then(|text| text.strip_suffix(" (deleted)"))
        .map(PathBuf::from)
        .filter(|path| fs::metadata(path).is_ok_and(|found| found.is_file()));
    replaced.unwrap_or_else(own_program)
}

/// The guardian of this supervisor; 0 when it has none.
static GUARDIAN: AtomicI32 = AtomicI32::new(0);

/// Learns who guards this process: its parent, if that is `pid`.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn set_guardian(pid: Option<i32>) -> io::Result<Option<Identity>> {
    let Some(pid) = pid.filter(|pid| nix::unistd::getppid().as_raw() == *pid) else {
        return Ok(None);
    };
    let guardian = Identity::of(pid)?;
    // A parent that ended meanwhile is none any more, and its number may be another's.
    let is_parent = nix::unistd::getppid().as_raw() == pid;
    let guardian = guardian.filter(|_| is_parent);
    GUARDIAN.store(
        guardian.as_ref().map_or(0, |guardian| guardian.pid),
        Ordering::Relaxed,
    );
    Ok(guardian)
}

/// The guardian has ended.
pub fn forget_guardian() {
    GUARDIAN.store(0, Ordering::Relaxed);
}

/// The guardian's process id, as long as there is one.
pub fn guardian_pid() -> Option<i32> {
    Some(GUARDIAN.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
}

/// The processes that supervise: this one and its guardian. No census ever takes them for members of
/// anything.
pub fn ourselves() -> Vec<i32> {
    std::iter::once(std::process::id().cast_signed())
        .chain(guardian_pid())
        .collect()
}

/// Tells the guardian, if there is one, that there are new FIFOs to hold open.
pub fn tell_of_fifos() {
    if let Some(guardian) = guardian_pid()
        // As long as it is our parent, the number is its own.
        && nix::unistd::getppid().as_raw() == guardian
    {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(guardian), FIFOS);
    }
}

/// The descriptors beyond the standard streams that an earlier image of this process left open.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn inherited_descriptors() -> io::Result<Vec<OwnedFd>> {
    let mut inherited = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        inherited.extend(number.filter(|number: &RawFd| *number > libc::STDERR_FILENO));
    }
    // The listing had a descriptor of its own, which is closed by now.
    inherited.retain(|number| {
        // SAFETY: takes integers only.
        let flags = unsafe { libc::fcntl(*number, libc::F_GETFD) };
        flags >= 0
    });
    let own = |number| {
        // SAFETY: nothing in this process owns these descriptors yet.
        unsafe { OwnedFd::from_raw_fd(number) }
    };
    Ok(inherited.into_iter().map(own).collect())
}

/// Lets this descriptor live on in the next image of this process.
///
/// # Errors
/// When the kernel refuses.
pub fn keep_over_exec(descriptor: &OwnedFd) -> io::Result<()> {
    nix::fcntl::fcntl(
        descriptor,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )?;
    Ok(())
}

/// Asks a process for an orderly stop, also when it is stopped.
///
/// # Errors
/// When the kernel refuses.
pub fn ask_to_stop(pid: i32) -> io::Result<()> {
    // A child of ours that we have not reaped: the number is its own.
    if let Some(handle) = PidFd::open(pid)? {
        handle.send(libc::SIGTERM)?;
        handle.send(libc::SIGCONT)?;
    }
    Ok(())
}

/// The signal that has a supervisor look after its control socket. What does not know it ignores it.
pub const LOOK_AFTER_SOCKET: i32 = libc::SIGURG;

/// Asks a supervisor to see to it that its control socket is there.
///
/// # Errors
/// When the kernel refuses.
pub fn ask_for_socket(supervisor: &Identity) -> io::Result<()> {
    if let Some(handle) = PidFd::open_verified(supervisor)? {
        handle.send(LOOK_AFTER_SOCKET)?;
    }
    Ok(())
}

/// Asks a guardian to start its supervisor now rather than later. One that does not wait takes no
/// harm.
///
/// # Errors
/// When the kernel refuses.
pub fn wake(guardian: &Identity) -> io::Result<()> {
    if let Some(handle) = PidFd::open_verified(guardian)? {
        handle.send(WAKE as i32)?;
    }
    Ok(())
}
