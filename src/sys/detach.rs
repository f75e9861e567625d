//! Leaving whoever started us behind.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// Makes this process the leader of a session of its own, without a terminal, and closes every
/// descriptor beyond the standard streams: whatever a shell or a script had open must not be held
/// open by a process that outlives it.
///
/// # Errors
/// When the kernel refuses.
pub fn detach() -> io::Result<()> {
    nix::unistd::setsid()?;
    // SAFETY: takes integers only; nothing in this process owns these descriptors yet.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets go of standard output, so that whoever reads it sees its end.
///
/// # Errors
/// When `/dev/null` cannot be opened.
pub fn close_stdout() -> io::Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    nix::unistd::dup2_stdout(null.as_fd())?;
    Ok(())
}
