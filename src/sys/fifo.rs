//! Reading a FIFO so that a kill neither loses nor doubles what is in it.
//!
//! `read(2)` followed by `write(2)` has an instant in which the bytes are nowhere but in the memory of
//! the process. `splice(2)` has none: the kernel takes out of the pipe what it has put into the file,
//! and a signal, SIGKILL too, acts before or after.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
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
            Ok(()) | Err(Errno::EEXIST) => {}
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

    /// Its device and inode.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn inode(&self) -> io::Result<(u64, u64)> {
        let found = nix::sys::stat::fstat(self)?;
        Ok((found.st_dev, found.st_ino))
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

/// The FIFOs of a directory, held open. What is in a FIFO lasts as long as some process has it open
/// (`fifo(7)`): while these are held, supervisors and services may end and nothing is lost.
///
/// A project with a thousand services has thousands of files here, and makes them one after the
/// other. So the kernel is asked which names are new (`inotify(7)`) instead of reading the whole
/// directory again for each.
#[derive(Debug)]
pub struct HeldFifos {
    directory: PathBuf,
    by_name: BTreeMap<OsString, OwnedFd>,
    /// `None` where the directory cannot be watched; then it is read at each change.
    watch: Option<Watch>,
}

/// A directory that is watched, by its inode: its path may lead to another one later.
#[derive(Debug)]
struct Watch {
    inotify: Inotify,
    inode: u64,
}

impl HeldFifos {
    /// Opens every FIFO in `directory`.
    pub fn of(directory: &Path) -> Self {
        let mut held = Self {
            directory: directory.to_owned(),
            by_name: BTreeMap::new(),
            watch: None,
        };
        held.begin();
        held
    }

    /// Opens the FIFOs that were made since the last call, and lets go of those that were removed.
    pub fn renew(&mut self) {
        // The kernel does not tell of the directory's own end while a file of it is open.
        let is_same = |watch: &&Watch| inode_of(&self.directory).ok() == Some(watch.inode);
        let watch = self.watch.as_ref().filter(is_same);
        let Some(events) = watch.and_then(|watch| pending(&watch.inotify)) else {
            self.begin();
            return;
        };
        for event in events {
            let Some(name) = event.name else {
                // The queue overflowed: only a look tells what is there.
                self.begin();
                return;
            };
            if event.mask.intersects(REMOVED) {
                self.by_name.remove(&name);
            } else {
                self.hold(name);
            }
        }
    }

    /// The descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        self.by_name.values()
    }

    /// Watches the directory, then reads it: what is made in between is met twice, and not missed.
    fn begin(&mut self) {
        self.watch = watch(&self.directory).ok();
        let Ok(entries) = std::fs::read_dir(&self.directory) else {
            return;
        };
        // What was held before is let go only after it was opened again.
        let before = std::mem::take(&mut self.by_name);
        for entry in entries.flatten() {
            self.hold(entry.file_name());
        }
        drop(before);
    }

    fn hold(&mut self, name: OsString) {
        let path = self.directory.join(&name);
        let is_fifo = std::fs::symlink_metadata(&path).is_ok_and(|it| it.file_type().is_fifo());
        let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        if is_fifo && let Ok(opened) = nix::fcntl::open(&path, flags, Mode::empty()) {
            self.by_name.insert(name, opened);
        }
    }
}

/// What tells of a name that is not in the directory any more.
const REMOVED: AddWatchFlags = AddWatchFlags::IN_DELETE.union(AddWatchFlags::IN_MOVED_FROM);

fn watch(directory: &Path) -> io::Result<Watch> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let told = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
    // Should the path change hands in between, the next look finds another inode.
    let inode = inode_of(directory)?;
    inotify.add_watch(directory, told | REMOVED)?;
    Ok(Watch { inotify, inode })
}

fn inode_of(path: &Path) -> io::Result<u64> {
    std::fs::metadata(path).map(|found| found.ino())
}

/// All that has happened and was not told yet; `None` when that cannot be read.
fn pending(watch: &Inotify) -> Option<Vec<InotifyEvent>> {
    let mut all = Vec::new();
    loop {
        match watch.read_events() {
            Ok(events) => all.extend(events),
            Err(Errno::EAGAIN) => return Some(all),
            Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(held: &HeldFifos) -> Vec<i32> {
        held.descriptors().map(AsRawFd::as_raw_fd).collect()
    }

    #[test]
    fn a_new_fifo_is_held_and_those_that_are_held_stay_open_as_they_are() {
        let scratch = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            nix::unistd::mkfifo(&scratch.path().join(name), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        };
        make("a");
        std::fs::write(scratch.path().join("no fifo"), "").unwrap();
        let mut held = HeldFifos::of(scratch.path());
        let first = numbers(&held);
        assert_eq!(first.len(), 1);
        make("b");
        std::fs::write(scratch.path().join("neither"), "").unwrap();
        held.renew();
        let both = numbers(&held);
        assert_eq!(both.len(), 2);
        assert!(both.contains(&first[0]), "{first:?} is not in {both:?}");
        std::fs::remove_file(scratch.path().join("a")).unwrap();
        held.renew();
        assert_eq!(held.descriptors().count(), 1);
    }

    #[test]
    fn fifos_of_a_directory_that_was_removed_and_made_again_are_held() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("output");
        let make = |name: &str| {
            nix::unistd::mkfifo(&directory.join(name), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        };
        std::fs::create_dir(&directory).unwrap();
        make("a");
        let mut held = HeldFifos::of(&directory);
        std::fs::remove_dir_all(&directory).unwrap();
        std::fs::create_dir(&directory).unwrap();
        make("b");
        held.renew();
        assert_eq!(held.by_name.keys().collect::<Vec<_>>(), ["b"]);
        make("c");
        held.renew();
        assert_eq!(held.by_name.keys().collect::<Vec<_>>(), ["b", "c"]);
    }
}
