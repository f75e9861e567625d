//! Ways in which a process can try to leave whoever started it. The
//! [self-test](crate::selftest) goes them, to prove that none leads anywhere.
//!
//! A fork is only safe in a process without other threads, whose locks and half-done work the child
//! would have inherited: each function that forks makes sure of that.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// Who one is after a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The old process; the child has this pid.
    Parent(i32),
    /// The new process.
    Child,
}

/// Makes a child that goes on from here.
///
/// # Errors
/// When this process has other threads, or the kernel refuses.
pub fn fork() -> io::Result<Fork> {
    demand_single_thread()?;
    // SAFETY: no other thread exists, so the child finds everything in a consistent state.
    told(unsafe { libc::fork() }.into())
}

/// Makes a child that goes on from here and is not ours but our parent's: `CLONE_PARENT`,
/// `clone(2)`.
///
/// # Errors
/// As [`fork`].
pub fn fork_sibling() -> io::Result<Fork> {
    demand_single_thread()?;
    let flags = libc::c_long::from(libc::CLONE_PARENT | libc::SIGCHLD);
    // SAFETY: as `fork`: no memory is shared, no stack and no thread-local storage is set, and
    // nothing but the flags is given, in whatever order the architecture takes the rest.
    told(unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) })
}

fn demand_single_thread() -> io::Result<()> {
    if fs::read_dir("/proc/self/task")?.count() == 1 {
        Ok(())
    } else {
        Err(io::Error::other(
            "a process with several threads cannot fork safely",
        ))
    }
}

fn told(result: libc::c_long) -> io::Result<Fork> {
    match i32::try_from(result) {
        Ok(0) => Ok(Fork::Child),
        Ok(pid) if pid > 0 => Ok(Fork::Parent(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ignores a signal from now on, here and in whatever is forked or executed.
///
/// # Errors
/// `EINVAL` for a signal that cannot be ignored.
pub fn ignore(signal: i32) -> io::Result<()> {
    // SAFETY: no handler is installed, so nothing of ours can run at a bad moment.
    if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Closes every descriptor, the standard streams too. To be called by a process that opens anew
/// whatever it still needs.
pub fn close_all_descriptors() {
    // SAFETY: takes integers. Whoever owned a descriptor here closes it in vain, which is harmless
    // as long as nothing else was opened under its number: this process only rests from now on.
    unsafe { libc::syscall(libc::SYS_close_range, 0_u32, u32::MAX, 0_u32) };
}

/// Calls this process `name`, in its command line and as its thread's name.
///
/// # Errors
/// When the kernel refuses.
pub fn rename(name: &str) -> io::Result<()> {
    let text = CString::new(name)?;
    // SAFETY: the pointer leads to a string that ends in NUL; the kernel copies up to 16 bytes.
    if unsafe { libc::prctl(libc::PR_SET_NAME, text.as_ptr(), 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // Fields 48 and 49 of `proc_pid_stat(5)`: where the command line lies in our memory.
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = after_name.split_ascii_whitespace().skip(48 - 3);
    let mut address = || fields.next().and_then(|field| field.parse::<u64>().ok());
    let (Some(start), Some(end)) = (address(), address()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    };
    let length = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
    let mut bytes = vec![0; length];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    let memory = File::options().write(true).open("/proc/self/mem")?;
    memory.write_all_at(&bytes, start)
}

/// Moves this process into a user namespace of its own, in which it is root, and its future children
/// into a pid namespace of their own.
///
/// # Errors
/// When this process has other threads, or namespaces are not given to us here.
pub fn unshare_user_and_pids() -> io::Result<()> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    // SAFETY: takes flags only.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // Without this an ordinary user may not map its group (`user_namespaces(7)`).
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

/// Lowers both limits of file locks, and with them the mark, by `amount`.
///
/// # Errors
/// When there is no limit, or the kernel refuses.
pub fn lower_mark(amount: u64) -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_LOCKS)?;
    let hard = hard.saturating_sub(amount);
    Ok(setrlimit(Resource::RLIMIT_LOCKS, soft.min(hard), hard)?)
}
