//! Which process is meant: a pid is a number that the kernel gives out again.
//!
//! An [`Identity`] is a pid together with the moment at which the kernel made the process and the
//! boot in which it did. Two processes never share one. A [`PidFd`] is a handle on one process that
//! stays on it whatever happens to the number; one that was opened *before* its identity was
//! checked ([`PidFd::open_verified`]) is therefore proof, and it is the only way in which this
//! program sends a signal.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// How a process ended, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It called `exit` with this code, 0 to 255.
    Code(i32),
    /// The signal with this number ended it.
    Signal(i32),
}

impl Exit {
    /// Reads a status as `wait(2)` encodes it.
    pub(crate) fn from_wait_status(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }
}

/// The random id that the kernel drew when it booted, as text.
///
/// # Errors
/// When `/proc/sys/kernel/random/boot_id` cannot be read.
pub fn boot_id() -> io::Result<String> {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(known) = BOOT_ID.get() {
        return Ok(known.clone());
    }
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(BOOT_ID.get_or_init(|| read.trim().to_owned()).clone())
}

/// One process, past or present; never two.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Its process id.
    pub pid: i32,
    /// When the kernel made it, in clock ticks since boot (`proc_pid_stat(5)`, field 22).
    pub start_time: u64,
    /// The boot in which it was made, see [`boot_id`].
    pub boot_id: String,
}

impl Identity {
    /// The identity of the process that has `pid` now; `None` when there is none. A zombie is there.
    ///
    /// # Errors
    /// When `/proc` cannot be read or makes no sense.
    pub fn of(pid: i32) -> io::Result<Option<Self>> {
        let Some(stat) = Stat::read(pid)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            pid,
            start_time: stat.start_time,
            boot_id: boot_id()?,
        }))
    }

    /// Whether this very process is still there, be it as a zombie.
    ///
    /// # Errors
    /// When `/proc` cannot be read or makes no sense.
    pub fn is_present(&self) -> io::Result<bool> {
        Ok(Self::of(self.pid)?.as_ref() == Some(self))
    }

    /// Whether this very process is stopped, by a signal or by a tracer.
    pub fn is_stopped(&self) -> bool {
        matches!(Stat::read(self.pid), Ok(Some(stat))
            if stat.start_time == self.start_time && stat.is_stopped())
    }

    /// Whether this very process is still there and something of it runs. When that cannot be told,
    /// it is taken to be alive.
    pub fn is_alive(&self) -> bool {
        match (Stat::read(self.pid), boot_id()) {
            (Ok(Some(stat)), Ok(boot_id)) => {
                stat.start_time == self.start_time && boot_id == self.boot_id && !stat.is_over()
            }
            (Ok(None), _) => false,
            (Err(_), _) | (_, Err(_)) => true,
        }
    }
}

/// The fields of `/proc/PID/stat` that matter here (`proc_pid_stat(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Field 3.
    pub(crate) state: u8,
    /// Field 4.
    pub(crate) ppid: i32,
    /// Field 5.
    pub(crate) pgid: i32,
    /// Field 6.
    pub(crate) sid: i32,
    /// Field 20: living threads, and the leader as long as it has not been reaped.
    pub(crate) threads: u32,
    /// Field 22, in clock ticks since boot.
    pub(crate) start_time: u64,
}

impl Stat {
    /// Reads the fields for `pid`; `None` when there is no such process.
    pub(crate) fn read(pid: i32) -> io::Result<Option<Self>> {
        match fs::read(format!("/proc/{pid}/stat")) {
            Ok(bytes) => Self::parse(&bytes).map(Some).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("/proc/{pid}/stat makes no sense"),
                )
            }),
            Err(error) if is_no_process(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Parses a line of `stat`. The name in field 2 may hold anything, `)` and line ends too; but no
    /// later field holds a `)`, so the last one ends it.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let end_of_name = line.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(line.get(end_of_name + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let ppid = fields.next()?.parse().ok()?;
        let pgid = fields.next()?.parse().ok()?;
        let sid = fields.next()?.parse().ok()?;
        let threads = fields.nth(20 - 7)?.parse().ok()?;
        let start_time = fields.nth(22 - 21)?.parse().ok()?;
        Some(Self {
            state,
            ppid,
            pgid,
            sid,
            threads,
            start_time,
        })
    }

    /// Whether nothing of the process runs any more: it is a zombie, and no thread has outlived its
    /// leader.
    pub(crate) fn is_over(&self) -> bool {
        match self.state {
            b'X' | b'x' => true,
            b'Z' => self.threads <= 1,
            _ => false,
        }
    }

    /// Whether the process is stopped, by a signal or by a tracer.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }
}

/// How a process ended that nobody has reaped yet and that is not our child, as far as the kernel
/// tells: field 52 of `/proc/PID/stat`, for processes of our own user (`proc_pid_stat(5)`).
pub fn exit_of_zombie(identity: &Identity) -> Option<Exit> {
    let line = fs::read(format!("/proc/{}/stat", identity.pid)).ok()?;
    let stat = Stat::parse(&line)?;
    if stat.start_time != identity.start_time || stat.state != b'Z' || !stat.is_over() {
        return None;
    }
    let end_of_name = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(line.get(end_of_name + 1..)?).ok()?;
    let status = rest.split_ascii_whitespace().nth(52 - 3)?.parse().ok()?;
    Some(Exit::from_wait_status(status))
}

/// Whether a read below `/proc/PID` failed because the process is gone.
pub(crate) fn is_no_process(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The kernel took it.
    Delivered,
    /// The process is gone.
    Gone,
}

/// A handle on one process, `pidfd_open(2)`. It becomes readable when the process is over.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process that has `pid` now; `None` when there is none. Whose number it was a
    /// moment ago is not checked: this is for children that cannot have been reaped yet.
    ///
    /// # Errors
    /// When the kernel refuses, for want of descriptors say.
    pub fn open(pid: i32) -> io::Result<Option<Self>> {
        // SAFETY: takes two integers and returns a new descriptor or -1.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        match RawFd::try_from(result) {
            Ok(fd) if fd >= 0 => {
                // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
                Ok(Some(Self(unsafe { OwnedFd::from_raw_fd(fd) })))
            }
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Opens the very process that `identity` names; `None` when it is gone, or its pid is now
    /// another's, or the identity is of another boot.
    ///
    /// # Errors
    /// When the kernel refuses, or `/proc` makes no sense.
    pub fn open_verified(identity: &Identity) -> io::Result<Option<Self>> {
        let Some(opened) = Self::open(identity.pid)? else {
            return Ok(None);
        };
        // Opened first, looked at second: as long as the handle is open it names one process, and
        // if that one has since gone, the number that we look up is not its own any more. Then
        // either the start times differ, or we find what we hold.
        if identity.is_present()? {
            Ok(Some(opened))
        } else {
            Ok(None)
        }
    }

    /// Sends `signal` (0 only asks whether it could be sent).
    ///
    /// # Errors
    /// `EPERM` when the process is another user's.
    pub fn send(&self, signal: i32) -> io::Result<Delivery> {
        // SAFETY: a descriptor that we own, an integer, no siginfo, no flags.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if result == 0 {
            return Ok(Delivery::Delivered);
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(Delivery::Gone),
            error => Err(error),
        }
    }

    /// Whether the process is over: all of its threads have ended, reaped or not.
    ///
    /// # Errors
    /// When `poll(2)` fails.
    pub fn is_over(&self) -> io::Result<bool> {
        wait_all(&[self], Instant::now())
    }

    /// How the process ended, once it was reaped by whoever is its parent, on a kernel that tells
    /// (Linux 6.15 and later); `None` in every other case.
    pub fn exit(&self) -> Option<Exit> {
        let mut info = PidFdInfo {
            mask: PidFdInfo::EXIT,
            ..PidFdInfo::default()
        };
        // SAFETY: the request carries the size of the structure that the pointer leads to, and the
        // kernel writes no more than that.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), PidFdInfo::REQUEST, &raw mut info) };
        (result == 0 && info.mask & PidFdInfo::EXIT != 0)
            .then(|| Exit::from_wait_status(info.exit_code))
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for PidFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// `struct pidfd_info` of `linux/pidfd.h`, its first published size of 64 bytes.
#[repr(C)]
#[derive(Default)]
struct PidFdInfo {
    mask: u64,
    cgroup: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

impl PidFdInfo {
    /// `PIDFD_INFO_EXIT`.
    const EXIT: u64 = 1 << 3;
    /// `PIDFD_GET_INFO`: `_IOWR(0xFF, 11, struct pidfd_info)`.
    const REQUEST: libc::c_ulong =
        (3 << 30) | ((size_of::<Self>() as libc::c_ulong) << 16) | (0xFF << 8) | 11;
}

/// Waits until all of the processes are over, at most to the deadline; says whether they are.
///
/// # Errors
/// When `poll(2)` fails.
pub(crate) fn wait_all(handles: &[&PidFd], deadline: Instant) -> io::Result<bool> {
    let mut left: Vec<libc::pollfd> = handles
        .iter()
        .map(|handle| libc::pollfd {
            fd: handle.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    while !left.is_empty() {
        if poll(&mut left, deadline)? == 0 {
            return Ok(false);
        }
        left.retain(|polled| polled.revents == 0);
    }
    Ok(true)
}

/// `poll(2)` until the deadline; returns how many descriptors have something to tell.
fn poll(polled: &mut [libc::pollfd], deadline: Instant) -> io::Result<i32> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that the last wait is not a busy one.
        let milliseconds = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        // SAFETY: pointer and length describe the slice, which outlives the call.
        let result = unsafe {
            libc::poll(
                polled.as_mut_ptr(),
                polled.len() as libc::nfds_t,
                milliseconds,
            )
        };
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
