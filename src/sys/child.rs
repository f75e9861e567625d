//! What a child does between fork and exec, and what is made ready for it before the fork.
//!
//! The second half ([`Prepared::execute`]) is also what the shim in a tmux pane does once the
//! supervisor has told it what to become.

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use super::account::Account;
use super::limits::PreparedLimit;
use super::process::{Command, Launch, resolve_executable};
use super::start_error::{Stage, StartError, letter, report_head};

/// The child's ends of its two pipes, both above the standard streams.
pub(crate) struct ChildEnds {
    /// A byte comes through here when the child is known; an end when it never will be.
    pub(crate) gate: RawFd,
    /// Through here goes the report of a failed stage.
    pub(crate) report: RawFd,
}

/// A command in the form that the kernel takes, so that nothing need be allocated after a fork.
pub(crate) struct Prepared {
    executable: CString,
    argv: Strings,
    environment: Strings,
    working_dir: CString,
    umask: Option<libc::mode_t>,
    mark: Option<super::mark::Mark>,
    open_files_limit: Option<libc::rlimit>,
    limits: Vec<PreparedLimit>,
    user: Option<Account>,
    passage: Option<(CString, Vec<u8>)>,
    streams: Option<Streams>,
}

struct Streams {
    stdout: CString,
    stderr: CString,
}

/// A list of strings, and the list of pointers to them that ends in null.
struct Strings {
    /// Owns what `pointers` lead to. Moving the vector does not move the strings.
    _owned: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl Strings {
    fn new(owned: Vec<CString>) -> Self {
        let pointers = owned
            .iter()
            .map(|string| string.as_ptr())
            .chain([ptr::null()])
            .collect();
        Self {
            _owned: owned,
            pointers,
        }
    }
}

/// Why the child goes no further. No allocation: it is made after a fork.
pub(crate) struct Failed<'a> {
    code: u8,
    detail: &'a CStr,
    errno: i32,
}

impl Prepared {
    /// Makes `launch` ready, with its streams.
    pub(crate) fn new(launch: &Launch) -> Result<Self, StartError> {
        let streams = Streams {
            stdout: path_string(&launch.stdout, Stage::Stream)?,
            stderr: path_string(&launch.stderr, Stage::Stream)?,
        };
        let prepared = Self::without_streams(&launch.command)?;
        Ok(Self {
            streams: Some(streams),
            ..prepared
        })
    }

    /// Makes `command` ready to be executed with the standard streams that are there.
    pub(crate) fn without_streams(command: &Command) -> Result<Self, StartError> {
        let word = command.argv.first().map_or("", String::as_str);
        let path = command.environment.get("PATH").map(String::as_str);
        let executable = resolve_executable(word, path, &command.working_dir)?;
        let stage = || Stage::Execute(executable.clone());
        let argv = command
            .argv
            .iter()
            .map(|word| string(word.as_bytes().to_vec(), stage))
            .collect::<Result<_, _>>()?;
        let environment = command
            .environment
            .iter()
            .map(|(name, value)| string(format!("{name}={value}").into_bytes(), stage))
            .collect::<Result<_, _>>()?;
        let limits = command
            .limits
            .iter()
            .map(|limit| {
                let stage = || Stage::Limit(limit.name.clone());
                limit
                    .prepare(command.inherited(limit))
                    .map_err(|error| StartError::new(stage(), error))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            limits,
            user: command.user.clone(),
            argv: Strings::new(argv),
            environment: Strings::new(environment),
            working_dir: path_string(&command.working_dir, Stage::WorkingDir)?,
            executable: path_string(&executable, Stage::Execute)?,
            umask: command.umask,
            mark: command.mark,
            open_files_limit: command
                .open_files_limit
                .map(|(rlim_cur, rlim_max)| libc::rlimit { rlim_cur, rlim_max }),
            passage: match &command.passage {
                Some(passage) => Some((
                    path_string(&passage.file, Stage::Stream)?,
                    passage.text.clone().into_bytes(),
                )),
                None => None,
            },
            streams: None,
        })
    }

    /// The life of a forked child: gate, then exec. Never returns.
    ///
    /// # Safety
    /// Only in the child of a fork, before it has done anything else.
    pub(crate) unsafe fn run_child(&self, ends: &ChildEnds) -> ! {
        // SAFETY: async-signal-safe calls with values that outlive them; this process is ours
        // alone, so that its descriptors are too.
        unsafe {
            // Which session it is in is the first layer of containment; it is set before anybody
            // can look.
            if libc::setsid() < 0 {
                Failed::now(letter::SESSION, c"").report_and_exit(ends.report);
            }
            default_signals();
            if let Some(mark) = &self.mark {
                // Where it cannot be set, the other layers of containment do the work.
                let _ = mark.apply();
            }
            close_all_but(ends.gate, ends.report);
            if !is_released(ends.gate) {
                libc::_exit(0);
            }
            libc::close(ends.gate);
            match self.open_streams() {
                Ok(()) => self.execute().report_and_exit(ends.report),
                Err(failed) => failed.report_and_exit(ends.report),
            }
        }
    }

    /// Takes on the command's limits, mask, user, directory, and executes it; returns only on failure.
    /// Signal dispositions are set to their defaults before.
    ///
    /// # Safety
    /// It changes this whole process: only in one that is to become the command.
    pub(crate) unsafe fn execute(&self) -> Failed<'_> {
        // SAFETY: every pointer leads to a string or a list that `self` owns; the lists end in null.
        unsafe {
            default_signals();
            self.tell_passage();
            if let Some(limit) = &self.open_files_limit
                && libc::setrlimit(libc::RLIMIT_NOFILE, limit) != 0
            {
                return Failed::now(letter::OPEN_FILES_LIMIT, c"");
            }
            for limit in &self.limits {
                if !limit.set() {
                    return Failed::now(letter::LIMIT, &limit.name);
                }
            }
            if let Some(umask) = self.umask {
                libc::umask(umask);
            }
            if let Some(user) = &self.user {
                // The terminal of a pane: programs open `/dev/tty` and their own streams anew.
                for stream in 0..3 {
                    if libc::isatty(stream) == 1 {
                        libc::fchown(stream, user.uid, libc::gid_t::MAX);
                    }
                }
                if user.become_it().is_err() {
                    return Failed::now(letter::USER, c"");
                }
            }
            if libc::chdir(self.working_dir.as_ptr()) != 0 {
                return Failed::now(letter::WORKING_DIR, &self.working_dir);
            }
            libc::execve(
                self.executable.as_ptr(),
                self.argv.pointers.as_ptr(),
                self.environment.pointers.as_ptr(),
            );
            Failed::now(letter::EXECUTE, &self.executable)
        }
    }

    /// Tells that the gate is passed, while we still may write there and as much as we like.
    ///
    /// # Safety
    /// Only in a process that is to become the command.
    unsafe fn tell_passage(&self) {
        let Some((file, text)) = &self.passage else {
            return;
        };
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CLOEXEC | libc::O_NOCTTY;
        // SAFETY: async-signal-safe calls with a string and a slice that outlive them.
        unsafe {
            let opened = libc::open(file.as_ptr(), flags);
            if opened >= 0 {
                // A disk that is full costs the line, and no more.
                libc::write(opened, text.as_ptr().cast(), text.len());
                libc::close(opened);
            }
        }
    }

    /// The mark that the command shall carry.
    pub(crate) fn mark(&self) -> Option<&super::mark::Mark> {
        self.mark.as_ref()
    }

    /// # Safety
    /// Only in the child of a fork: it replaces the standard streams.
    unsafe fn open_streams(&self) -> Result<(), Failed<'_>> {
        let Some(streams) = &self.streams else {
            return Ok(());
        };
        // SAFETY: as for the caller.
        unsafe {
            open_as(libc::STDIN_FILENO, c"/dev/null", libc::O_RDONLY)?;
            // For reading and writing: a FIFO opened so never blocks at opening, and never breaks.
            let both = libc::O_RDWR | libc::O_APPEND | libc::O_NOCTTY;
            open_as(libc::STDOUT_FILENO, &streams.stdout, both)?;
            open_as(libc::STDERR_FILENO, &streams.stderr, both)?;
            if let Some(user) = &self.user {
                // Opened before the rights are given up; and programs open `/dev/stdout` anew.
                libc::fchown(libc::STDOUT_FILENO, user.uid, libc::gid_t::MAX);
                libc::fchown(libc::STDERR_FILENO, user.uid, libc::gid_t::MAX);
            }
            Ok(())
        }
    }
}

/// Opens `path` as the descriptor `wanted`.
///
/// # Safety
/// Only in the child of a fork: it replaces whatever `wanted` was.
unsafe fn open_as(wanted: RawFd, path: &CStr, flags: i32) -> Result<(), Failed<'_>> {
    // SAFETY: async-signal-safe calls with a string that outlives them.
    unsafe {
        let opened = libc::open(path.as_ptr(), flags);
        if opened < 0 {
            return Err(Failed::now(letter::STREAM, path));
        }
        if opened == wanted {
            return Ok(());
        }
        if libc::dup2(opened, wanted) < 0 {
            return Err(Failed::now(letter::STREAM, path));
        }
        libc::close(opened);
        Ok(())
    }
}

/// Gives every signal its default disposition and unblocks it.
///
/// # Safety
/// Only in a process that is about to execute something.
unsafe fn default_signals() {
    // The C library refuses to touch the two signals that it uses itself, although somebody before
    // us may have left them ignored; hence the system call. Zeroes are SIG_DFL without flags, in a
    // structure of at most four words on every architecture (`rt_sigaction(2)`).
    let default = [0_u64; 4];
    let size_of_kernel_set = 8;
    // SAFETY: async-signal-safe calls with pointers to what they expect; all zeroes is a valid set.
    // KILL and STOP are refused, which is no harm: nobody can have changed them.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null::<u64>(),
                size_of_kernel_set,
            );
        }
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, ptr::null_mut());
    }
}

/// Closes every descriptor above the standard streams but these two. On a kernel without
/// `close_range(2)` (before 5.9) they stay open until exec closes them, as all of ours do.
///
/// # Safety
/// Only in the child of a fork.
unsafe fn close_all_but(one: RawFd, other: RawFd) {
    let (low, high) = if one < other {
        (one, other)
    } else {
        (other, one)
    };
    let close = |from: RawFd, to: libc::c_uint| {
        if let Ok(from) = libc::c_uint::try_from(from)
            && from <= to
        {
            // SAFETY: takes integers; this process is ours alone, nobody else uses its descriptors.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
    };
    let below = |fd: RawFd| libc::c_uint::try_from(fd - 1).unwrap_or(0);
    close(3, below(low));
    close(low + 1, below(high));
    close(high + 1, libc::c_uint::MAX);
}

/// Waits for the byte that opens the gate; `false` when the pipe ends without one.
fn is_released(gate: RawFd) -> bool {
    let mut byte = 0_u8;
    loop {
        // SAFETY: one byte is read into one byte.
        let result = unsafe { libc::read(gate, (&raw mut byte).cast(), 1) };
        if result < 0 && last_errno() == libc::EINTR {
            continue;
        }
        return result == 1;
    }
}

/// The calling thread's error number, without allocating.
fn last_errno() -> i32 {
    // SAFETY: the C library's error location is always valid for the calling thread.
    unsafe { *libc::__errno_location() }
}

impl<'a> Failed<'a> {
    fn now(code: u8, detail: &'a CStr) -> Self {
        Self {
            code,
            detail,
            errno: last_errno(),
        }
    }

    /// As the supervisor will read it.
    pub(crate) fn to_report(&self) -> Vec<u8> {
        let mut report = report_head(self.code, self.errno).to_vec();
        report.extend_from_slice(self.detail.to_bytes());
        report
    }

    /// # Safety
    /// Only in the child of a fork.
    unsafe fn report_and_exit(&self, report: RawFd) -> ! {
        let head = report_head(self.code, self.errno);
        let detail = self.detail.to_bytes();
        // SAFETY: the lengths are those of the slices. The pipe is empty, so what is written fits
        // or is cut off; a reader that has gone is no concern of ours any more.
        unsafe {
            libc::write(report, head.as_ptr().cast(), head.len());
            libc::write(report, detail.as_ptr().cast(), detail.len());
            // What a shell exits with when it cannot execute.
            libc::_exit(127)
        }
    }
}

fn string(bytes: Vec<u8>, stage: impl FnOnce() -> Stage) -> Result<CString, StartError> {
    CString::new(bytes).map_err(|error| StartError::new(stage(), error.into()))
}

fn path_string(path: &Path, stage: impl FnOnce(PathBuf) -> Stage) -> Result<CString, StartError> {
    string(path.as_os_str().as_bytes().to_vec(), || {
        stage(path.to_owned())
    })
}
