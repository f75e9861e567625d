//! The control socket, and its directory, as long as the supervisor lives.
//!
//! A runtime directory may go while services run: at the last logout of a user, by a cleaner of
//! temporary files, by a person. Services and pipes go on; but no command could reach the supervisor
//! any more. So the supervisor watches the directory (`inotify(7)`) and makes it and the socket anew.
//! It does not hear of everything: a file system that is mounted over the directory, or unmounted
//! while it is in use, tells nothing. A command that finds the project's lock held and no socket
//! therefore sends a signal ([`guardian::LOOK_AFTER_SOCKET`]), which has the supervisor look.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use inotify::{EventStream, Inotify, WatchMask};
use nix::sys::signal::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Supervisor;
use crate::control::protocol::Notice;
use crate::control::server::{self, Shared};
use crate::store::{Project, living};
use crate::sys::directory;
use crate::sys::identity::PidFd;

/// The control socket's side of things.
pub(super) struct Door {
    pub(super) leaving: watch::Sender<bool>,
    /// Keeps the notice that tells how it ended.
    pub(super) last: Arc<OnceLock<Notice>>,
    pub(super) server: JoinHandle<io::Result<()>>,
    shared: Shared,
    /// The socket that the server listens on.
    socket: Option<Inode>,
}

/// A file, whatever its name is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
}

impl Inode {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::symlink_metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            number: found.ino(),
        })
    }
}

impl Door {
    /// Answers on the control socket from now on.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub(super) fn open(
        project: &Project,
        leaving: watch::Sender<bool>,
        shared: Shared,
    ) -> io::Result<Self> {
        let path = project.control_socket();
        let listener = server::bind(&path)?;
        Ok(Self {
            leaving,
            last: Arc::clone(&shared.last),
            server: tokio::spawn(server::serve(listener, shared.clone())),
            socket: Inode::of(&path),
            shared,
        })
    }

    fn is_in_place(&self, project: &Project) -> bool {
        self.socket.is_some() && Inode::of(&project.control_socket()) == self.socket
    }

    /// Listens on a new socket. Connections that are open stay so.
    fn renew(&mut self, project: &Project) -> io::Result<()> {
        let path = project.control_socket();
        let listener = server::bind(&path)?;
        // It accepts on a socket that has no name any more.
        self.server.abort();
        self.server = tokio::spawn(server::serve(listener, self.shared.clone()));
        self.socket = Inode::of(&path);
        Ok(())
    }
}

impl Supervisor {
    /// Sees to it that the runtime directory and the sockets in it are there. A directory above it that
    /// is missing is made only if `is_asked`: its owner may be about to remove all that is in there.
    pub(super) fn look_after_files(&mut self, door: &mut Door, is_asked: bool) {
        let above = self.project.runtime_dir().ancestors().nth(2);
        let is_above_there = above.is_none_or(Path::is_dir);
        if !is_asked && !is_above_there {
            return;
        }
        let was_there = self.project.fifo_dir().is_dir() && self.project.gate_dir().is_dir();
        if !was_there && let Err(error) = self.project.create_directories() {
            eprintln!("the runtime directory is gone and cannot be made: {error}");
            return;
        }
        if !door.is_in_place(&self.project) {
            match door.renew(&self.project) {
                Ok(()) => eprintln!("the control socket was gone, and is there again"),
                Err(error) => eprintln!("the control socket is gone and cannot be made: {error}"),
            }
        }
        if let Err(error) = self.restore_tmux_socket() {
            eprintln!("the socket of the tmux server is gone and cannot be made: {error}");
        }
    }

    /// Has the project's tmux server make its socket anew, if it has lost it: that is what SIGUSR1 is
    /// for (`tmux(1)`).
    fn restore_tmux_socket(&self) -> io::Result<()> {
        let socket = self.project.tmux_socket();
        let Some(server) = &self.ledger.sum().tmux_server else {
            return Ok(());
        };
        if self.private_tmux.pid() != Some(server.pid) || Inode::of(&socket).is_some() {
            return Ok(());
        }
        let Some(server) = living(server) else {
            return Ok(());
        };
        if let Some(parent) = socket.parent() {
            directory::ensure_private(parent)?;
        }
        if let Some(handle) = PidFd::open_verified(&server)? {
            handle.send(Signal::SIGUSR1 as i32)?;
        }
        Ok(())
    }
}

/// Hears that something of the runtime directory is gone, or may be made again.
pub(super) struct Watch {
    events: Option<EventStream<Vec<u8>>>,
    /// Something was heard; it is time to look then.
    due: Option<Instant>,
}

/// How long after the first sign that something is gone it is made anew: whoever removes a directory
/// should come to the end of it.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);

/// Room for a burst of events; what does not fit is read next.
const BUFFER: usize = 4 << 10;

impl Watch {
    /// Watches the directory of `project`, or the nearest one above it that is there.
    pub(super) fn of(project: &Project) -> Self {
        // Without it only a command that needs the socket has it made.
        Self {
            events: Self::watch(project).ok(),
            due: None,
        }
    }

    fn watch(project: &Project) -> io::Result<EventStream<Vec<u8>>> {
        let inotify = Inotify::init()?;
        let place = project.runtime_dir();
        let gone = WatchMask::DELETE_SELF | WatchMask::MOVE_SELF;
        if place.is_dir() {
            let of_files = WatchMask::DELETE | WatchMask::MOVED_FROM;
            inotify.watches().add(place, gone | of_files)?;
        } else if let Some(above) = place.ancestors().find(|one| one.is_dir()) {
            let of_files = WatchMask::CREATE | WatchMask::MOVED_TO;
            inotify.watches().add(above, gone | of_files)?;
        }
        inotify.into_event_stream(vec![0; BUFFER])
    }

    /// Returns when it may be time to look. It may be dropped and called again at any time.
    pub(super) async fn changed(&mut self) {
        while self.due.is_none() {
            let Some(events) = &mut self.events else {
                return std::future::pending().await;
            };
            match events.next().await {
                Some(Ok(_)) => self.due = Some(Instant::now() + SETTLES_WITHIN),
                Some(Err(_)) | None => self.events = None,
            }
        }
        if let Some(due) = self.due {
            tokio::time::sleep_until(due).await;
        }
    }
}
