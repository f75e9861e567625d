//! Directories and sockets that are ours alone.
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Makes the directory `path` (its parents too) with rights 0700, or checks that the one that is
/// there is a real directory, ours, and nobody else's to enter.
///
/// # Errors
/// When it cannot be made or is not as it should be; the message says how.
pub fn ensure_private(_path: &Path) -> io::Result<()> {
    todo!()
}

/// Listens on a unix socket at `path`, rights 0600, in place of whatever socket lay there. The path
/// may be longer than the 107 bytes of a socket address.
///
/// # Errors
/// When something that is no socket is in the way, or the kernel refuses.
pub fn listen(_path: &Path) -> io::Result<UnixListener> {
    todo!()
}

/// Connects to the socket at `path`, however long that is.
///
/// # Errors
/// As `connect(2)`.
pub fn connect(_path: &Path) -> io::Result<UnixStream> {
    todo!()
}
