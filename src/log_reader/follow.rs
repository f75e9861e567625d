//! Waits until something changes in the directory of the logs, by inotify: idle costs nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// A file was written to.
    Written,
    /// A file came or was renamed; others may have been written to as well.
    Appeared,
    /// Nobody reads any more what is printed.
    ReaderGone,
}

/// A watch on a directory of logs. One watch sees all files in it, so rotations and new logs too.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
}

impl Watch {
    /// Watches `directory` from now on. To miss nothing, watch first and read afterwards.
    ///
    /// # Errors
    /// The directory does not exist, or the user has no inotify instances left
    /// (`/proc/sys/fs/inotify/max_user_instances`).
    pub fn new(directory: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(
            directory,
            AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO,
        )?;
        Ok(Self { inotify })
    }

    /// Waits for the next change, or until nobody reads `output` any more (a closed pipe).
    ///
    /// # Errors
    /// The system refuses to wait.
    pub fn wait(&self, output: BorrowedFd<'_>) -> io::Result<Woken> {
        loop {
            // No events are asked for on `output`: errors and hang-ups are always told (poll(2)).
            let mut descriptors = [
                PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN),
                PollFd::new(output, PollFlags::empty()),
            ];
            match poll(&mut descriptors, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let is_output_gone = descriptors[1]
                .revents()
                .is_some_and(|events| events.intersects(PollFlags::POLLERR));
            if is_output_gone {
                return Ok(Woken::ReaderGone);
            }
            if let Some(woken) = self.take_events()? {
                return Ok(woken);
            }
        }
    }

    fn take_events(&self) -> io::Result<Option<Woken>> {
        let mut woken = None;
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        // A full queue (IN_Q_OVERFLOW) may have swallowed a new file's event.
                        let is_write = event.mask == AddWatchFlags::IN_MODIFY;
                        woken = match woken {
                            Some(Woken::Appeared) => woken,
                            _ if !is_write => Some(Woken::Appeared),
                            _ => Some(Woken::Written),
                        };
                    }
                }
                Err(Errno::EAGAIN) => return Ok(woken),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
