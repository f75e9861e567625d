//! How many more files this process may open.
//!
//! The kernel does not tell how many descriptors are free, and counting those in use means reading a
//! directory. A small number of them can be asked for instead, and given back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit};

/// The limit of open files that this process has now (`RLIMIT_NOFILE`); `None` when it cannot be told.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE)
        .ok()
        .map(|(soft, _)| soft)
}

/// Whether so many more files can be opened at the same time.
pub fn has_room_for(count: usize) -> bool {
    let take = || -> io::Result<Vec<OwnedFd>> {
        let first: OwnedFd = std::fs::File::open("/dev/null")?.into();
        let mut taken = vec![first];
        while taken.len() < count {
            let next = copy(taken[0].as_fd())?;
            taken.push(next);
        }
        Ok(taken)
    };
    take().is_ok()
}

fn copy(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let number = fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(0))?;
    // SAFETY: the kernel has just given us this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether an error says that no descriptor is free.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_some_and_not_for_more_than_the_limit() {
        assert!(has_room_for(8));
        let limit = usize::try_from(limit().unwrap()).unwrap();
        // Where the limit is in the millions, asking for all takes too long.
        assert!(limit > 1 << 16 || !has_room_for(limit));
    }
}
