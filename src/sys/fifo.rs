//! Reading a FIFO so that a kill neither loses nor doubles what is in it.
//!
//! `read(2)` followed by `write(2)` has an instant in which the bytes are nowhere but in the memory of
//! the process. `splice(2)` has none: the kernel takes out of the pipe what it has put into the file,
//! and a signal, SIGKILL too, acts before or after.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// A FIFO, open for reading; for writing too, so that it never ends because nobody writes.
#[derive(Debug)]
pub struct Fifo(AsyncFd<OwnedFd>);

impl Fifo {
    /// Opens the FIFO at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made or opened, or the runtime cannot wait for it.
    pub fn open(path: &Path) -> io::Result<Self> {
        match nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let descriptor = nix::fcntl::open(path, flags, Mode::empty())?;
        // SAFETY: an `OwnedFd` is one and the same descriptor all its life, and is owned by the
        // `AsyncFd` from here on.
        unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }
            .map(Self)
            .map_err(io::Error::from)
    }

    /// Waits until something is in it. What is returned is to be cleared when nothing is left.
    ///
    /// # Errors
    /// When the runtime is gone.
    pub async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
        self.0.readable().await
    }
}

impl AsFd for Fifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

/// Opens every FIFO in `directory`. What is in a FIFO lasts as long as somebody has it open
/// (`fifo(7)`): whoever holds these may see supervisors and services go, and nothing is lost.
pub fn hold_all(directory: &Path) -> Vec<OwnedFd> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_fifo()))
        .filter_map(|entry| {
            let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            nix::fcntl::open(&entry.path(), flags, Mode::empty()).ok()
        })
        .collect()
}

/// Moves up to `length` bytes that are in `pipe` to `offset` in `file`; returns how many.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] when the pipe is empty; `EINVAL` when the file system cannot do it;
/// else what writing to the file says. Then nothing was moved.
pub fn move_into_file(
    pipe: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    length: usize,
) -> io::Result<usize> {
    let mut offset = libc::loff_t::try_from(offset)
        .map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    loop {
        // SAFETY: two descriptors that outlive the call; the offset is ours, and the pipe has none.
        let moved = unsafe {
            libc::splice(
                pipe.as_raw_fd(),
                std::ptr::null_mut(),
                file.as_raw_fd(),
                &raw mut offset,
                length,
                libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE,
            )
        };
        match usize::try_from(moved) {
            Ok(moved) => return Ok(moved),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}
