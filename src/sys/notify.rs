//! Where services tell how they are: the receiving end of `sd_notify(3)`.
//!
//! A datagram socket for each run, in the abstract namespace (`unix(7)`): it can be reached by
//! whatever user the service runs as and from wherever its processes went, leaves no file behind, and
//! its name is free again the moment its holder is gone, so that the next supervisor can open the same
//! one. Any local user may take an abstract name first; so each name is random, and the ledger keeps it
//! for the next supervisor. Anybody in the same network namespace can send to it; therefore the kernel
//! says with each message who sent it (`SCM_CREDENTIALS`), and only members of the run are heard. A sender that is
//! gone by the time its message is read cannot be told from anybody else, and is not heard:
//! `systemd-notify` waits for its message to be read, by a descriptor that is sent along and that is
//! closed here (`BARRIER=1`).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt};
use tokio::io::Interest;

use super::mark::ProjectId;
use crate::id::RunId;

/// The longest message; what is longer is cut off by the kernel.
const LONGEST: usize = 4096;

/// The longest time that can be asked for at once: what is longer does not fit the clocks below us.
const LONGEST_EXTENSION: Duration = Duration::from_secs(365 * 24 * 3600);

/// The receiving end for one run.
#[derive(Debug)]
pub struct NotifySocket {
    socket: tokio::net::UnixDatagram,
    name: String,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The process that sent it, as the kernel says.
    pub sender: i32,
    /// What it says.
    pub news: News,
}

/// What a message says, as far as it is understood (`sd_notify(3)`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// `READY=1`.
    pub is_ready: bool,
    /// `STOPPING=1`.
    pub is_stopping: bool,
    /// `WATCHDOG=1`.
    pub is_alive: bool,
    /// `WATCHDOG=trigger`.
    pub is_failing: bool,
    /// `STATUS=…`, for people.
    pub status: Option<String>,
    /// `MAINPID=…`.
    pub main_pid: Option<i32>,
    /// `EXTEND_TIMEOUT_USEC=…`.
    pub extension: Option<Duration>,
}

impl News {
    /// Reads the lines of a message; what is not known is passed over.
    pub fn read(text: &str) -> Self {
        let mut news = Self::default();
        for line in text.lines() {
            match line.split_once('=') {
                Some(("READY", "1")) => news.is_ready = true,
                Some(("STOPPING", "1")) => news.is_stopping = true,
                Some(("WATCHDOG", "1")) => news.is_alive = true,
                Some(("WATCHDOG", "trigger")) => news.is_failing = true,
                Some(("STATUS", status)) => {
                    let is_fit = |c: &char| !c.is_control();
                    news.status = Some(status.chars().filter(is_fit).take(200).collect());
                }
                Some(("MAINPID", number)) => news.main_pid = number.parse().ok(),
                Some(("EXTEND_TIMEOUT_USEC", number)) => {
                    news.extension = number.parse().ok().map(Duration::from_micros);
                    news.extension = news.extension.map(|span| span.min(LONGEST_EXTENSION));
                }
                _ => {}
            }
        }
        news
    }
}

impl NotifySocket {
    /// Opens a socket whose name no other process can foretell. Call it within the runtime.
    ///
    /// # Errors
    /// As `bind(2)`, and when the kernel gives no random numbers.
    pub fn open() -> io::Result<Self> {
        let mut bytes = [0_u8; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Self::reopen(format!(
            "baudbot/notify/{:032x}",
            u128::from_ne_bytes(bytes)
        ))
    }

    /// The name that a supervisor of an earlier version gave the socket of a run.
    ///
    /// # Errors
    /// None that is known.
    pub fn former_name(project: ProjectId, run: RunId) -> io::Result<String> {
        let project = serde_json::to_string(&project).map_err(io::Error::other)?;
        Ok(format!("baudbot/notify/{project}/{}", run.0))
    }

    /// Opens the socket of this name again, which a supervisor that is gone had. Call it within the
    /// runtime.
    ///
    /// # Errors
    /// As `bind(2)`: another process holds the name.
    pub fn reopen(name: String) -> io::Result<Self> {
        let address = SocketAddr::from_abstract_name(&name)?;
        let socket = UnixDatagram::bind_addr(&address)?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, PassCred, &true)?;
        Ok(Self {
            socket: tokio::net::UnixDatagram::from_std(socket)?,
            name,
        })
    }

    /// Its name, for the ledger.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `NOTIFY_SOCKET` has to be: `@` stands for the byte that abstract names begin with.
    pub fn variable(&self) -> String {
        format!("@{}", self.name)
    }

    /// Waits for the next message that says who sent it.
    ///
    /// # Errors
    /// As `recvmsg(2)`.
    pub async fn receive(&self) -> io::Result<Message> {
        loop {
            let received = self
                .socket
                .async_io(Interest::READABLE, || receive(&self.socket))
                .await?;
            if let Some(message) = received {
                return Ok(message);
            }
        }
    }
}

fn receive(socket: &tokio::net::UnixDatagram) -> io::Result<Option<Message>> {
    let mut buffer = [0; LONGEST];
    let mut control = nix::cmsg_space!(UnixCredentials, [std::os::fd::RawFd; 16]);
    let mut slices = [io::IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    let length = received.bytes;
    let mut sender = None;
    for message in received.cmsgs()? {
        match message {
            ControlMessageOwned::ScmCredentials(credentials) => sender = Some(credentials.pid()),
            ControlMessageOwned::ScmRights(descriptors) => {
                for descriptor in descriptors {
                    // SAFETY: the kernel has just made these for us, and nobody else knows them.
                    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
                }
            }
            _ => {}
        }
    }
    let text = String::from_utf8_lossy(&buffer[..length]);
    Ok(sender.map(|sender| Message {
        sender,
        news: News::read(&text),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_read_and_the_rest_passed_over() {
        let text = "READY=1\nSTATUS=loading \u{1b}[31mmodel\nEXTEND_TIMEOUT_USEC=1500000\nX_Y=1\nFDSTORE=1\nnothing";
        assert_eq!(
            News::read(text),
            News {
                is_ready: true,
                status: Some("loading [31mmodel".into()),
                extension: Some(Duration::from_millis(1500)),
                ..News::default()
            }
        );
        assert!(News::read("WATCHDOG=1").is_alive);
        assert!(News::read("WATCHDOG=trigger").is_failing);
        assert_eq!(News::read("READY=0\nWATCHDOG_USEC=7"), News::default());
    }

    #[tokio::test]
    async fn the_kernel_says_who_sent_a_message_and_the_name_is_free_again_afterwards() {
        let socket = NotifySocket::open().unwrap();
        let name = socket.name().to_owned();
        assert_ne!(
            NotifySocket::open().unwrap().name(),
            name,
            "it can be foretold"
        );
        assert!(NotifySocket::reopen(name.clone()).is_err());
        let address = SocketAddr::from_abstract_name(&socket.name).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to_addr(b"READY=1\n", &address).unwrap();
        let message = socket.receive().await.unwrap();
        assert_eq!(message.sender, std::process::id().cast_signed());
        assert!(message.news.is_ready);
        drop(socket);
        NotifySocket::reopen(name).unwrap();
    }
}
