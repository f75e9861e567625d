//! Brings the service manager's view up to date, beside the loop.
//!
//! A datagram socket takes a few messages and then makes the sender wait until one is read. A manager
//! that is slow must not make the supervisor wait, so the loop only says what is true now
//! ([`Told`]), and a task sends what the manager does not know yet. A state that was overtaken before
//! the manager could hear of it is never sent.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the manager is to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// STATUS=
    pub(super) status: String,
    /// READY=1
    pub(super) is_ready: bool,
    /// STOPPING=1
    pub(super) is_stopping: bool,
    /// Whether it is asked for more time, again and again.
    pub(super) is_on_the_way: bool,
}

/// How much time is asked for with each message.
const EXTENSION: Duration = Duration::from_secs(60);

/// How often it is asked for: several messages may be lost before the time is up.
const RENEWAL: Duration = Duration::from_secs(10);

/// How long the process waits at its end for a manager that does not read.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(1);

/// The task, and what it is to tell.
pub(super) struct Messenger {
    told: watch::Sender<Told>,
    task: JoinHandle<()>,
}

impl Messenger {
    /// Begins to tell. Call it within the runtime.
    pub(super) fn begin(told: Told) -> Self {
        let (told, news) = watch::channel(told);
        Self {
            told,
            task: tokio::spawn(run(news)),
        }
    }

    /// Changes what the manager is to know.
    pub(super) fn tell(&self, change: impl FnOnce(&mut Told)) {
        self.told.send_if_modified(|told| {
            let before = told.clone();
            change(told);
            *told != before
        });
    }

    /// Waits until the manager knows all of it, but not for long.
    pub(super) async fn finish(self) {
        drop(self.told);
        let _ = tokio::time::timeout(LAST_WORD_WITHIN, self.task).await;
    }
}

async fn run(mut news: watch::Receiver<Told>) {
    let Some(address) = address() else { return };
    // A manager that watches the supervisor (`WatchdogSec=`) wants to hear twice in each period.
    let watchdog = sd_notify::watchdog_enabled();
    let period = watchdog.map_or(RENEWAL, |within| (within / 2).min(RENEWAL));
    let mut known = Told::default();
    loop {
        let told = news.borrow_and_update().clone();
        let message = message(&known, &told, watchdog.is_some());
        if !message.is_empty() {
            match send(&address, &message).await {
                Ok(()) => known = told,
                Err(error) => {
                    eprintln!("cannot notify the service manager: {error}");
                    return;
                }
            }
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(period) => {}
        }
    }
}

/// What a manager that knows `known` is sent: the news, and what is to be said again each time.
fn message(known: &Told, told: &Told, has_watchdog: bool) -> String {
    let extension = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
    let mut states = Vec::new();
    if told.is_on_the_way {
        states.push(NotifyState::ExtendTimeoutUsec(extension));
    }
    if told.status != known.status {
        states.push(NotifyState::Status(&told.status));
    }
    if told.is_ready && !known.is_ready {
        states.push(NotifyState::Ready);
    }
    if told.is_stopping && !known.is_stopping {
        states.push(NotifyState::Stopping);
    }
    if has_watchdog {
        states.push(NotifyState::Watchdog);
    }
    states.iter().map(|state| format!("{state}\n")).collect()
}

/// Where the manager listens; `None` where there is none.
fn address() -> Option<SocketAddr> {
    let name = std::env::var("NOTIFY_SOCKET").ok()?;
    let address = match name.strip_prefix('@') {
        // `@` stands for the byte that the names of the abstract namespace begin with.
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    address
        .inspect_err(|error| eprintln!("NOTIFY_SOCKET={name} is no address: {error}"))
        .ok()
}

/// Waits until the manager has room for the message. The socket is connected each time: a manager
/// that was started again has another one at the same address.
async fn send(address: &SocketAddr, message: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(address)?;
    let socket = tokio::net::UnixDatagram::from_std(socket)?;
    socket.send(message.as_bytes()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_manager_does_not_know_is_sent_and_time_is_asked_for_each_time() {
        let begun = Told {
            status: "0 of 1 service up".into(),
            is_on_the_way: true,
            ..Told::default()
        };
        let asks = "EXTEND_TIMEOUT_USEC=60000000\n";
        assert_eq!(
            message(&Told::default(), &begun, false),
            format!("{asks}STATUS=0 of 1 service up\n")
        );
        assert_eq!(message(&begun, &begun, false), asks);
        let up = Told {
            is_ready: true,
            is_on_the_way: false,
            ..begun.clone()
        };
        assert_eq!(message(&begun, &up, false), "READY=1\n");
        assert_eq!(message(&up, &up, false), "");
        assert_eq!(message(&up, &up, true), "WATCHDOG=1\n");
    }
}
