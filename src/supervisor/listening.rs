//! Whose answer a probe of an address of this host gets.
//!
//! A listener that was there before a run began says nothing about the run: a probe that it answers
//! would succeed although the service cannot even listen. So the sockets that listen on the port of a
//! service's `ready` probe are noted before the run executes anything, and an answer by one of them
//! counts only if a process of the run holds it by now, or one of a service that the run's service
//! depends on (a proxy through which it is asked). A socket that began to listen later counts,
//! whatever process holds it: a container engine's proxy, a tunnel.
//!
//! As a rule no socket listens on such a port then, and nothing is looked up.
//!
//! `health` is not judged so: it may ask for something that the service only uses, such as a database
//! of the host, and a wrong verdict would end a run that is well.
//!
//! The other way round, a probe that is refused says where the run listens instead.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpStream;

use super::Supervisor;
use super::ending::look;
use crate::control::protocol::Question;
use crate::id::RunId;
use crate::manifest::model::{Probe, Service};
use crate::sys::census::{Roots, look as look_at_processes};
use crate::sys::ports::{self, Listener};

/// What is known about the listeners of one run.
#[derive(Debug, Clone, Default)]
pub(super) struct Listening {
    /// The inodes of the sockets that listened on the port of its `ready` probe before it began.
    before: Vec<u64>,
    /// From what the run's processes are found.
    run: Roots,
    /// From what those of the services are found that it depends on.
    dependencies: Vec<Roots>,
    /// What was found last about where the run listens.
    found: Arc<Mutex<Found>>,
}

/// What was found when these sockets listened.
#[derive(Debug, Default)]
struct Found {
    listening: Vec<u64>,
    own: Vec<SocketAddr>,
}

/// The inodes of the sockets that listen on the port which the `ready` probe of the service connects
/// to. None, when they cannot be read.
pub(super) fn before(service: &Service) -> Vec<u64> {
    let Some(port) = probed_port(service) else {
        return Vec::new();
    };
    let listening = ports::listening().unwrap_or_default().into_iter();
    listening
        .filter(|listener| listener.number == port)
        .map(|listener| listener.inode)
        .collect()
}

fn probed_port(service: &Service) -> Option<u16> {
    match &service.ready.as_ref()?.probe {
        Probe::Tcp { port, .. } => Some(*port),
        Probe::Http(request) => {
            let uri: hyper::Uri = request.url.parse().ok()?;
            Some(uri.port_u16().unwrap_or(80))
        }
        Probe::Unix { .. }
        | Probe::Exec { .. }
        | Probe::Log { .. }
        | Probe::File { .. }
        | Probe::Notify
        | Probe::Watchdog { .. } => None,
    }
}

impl Supervisor {
    /// What the probes of a run need to know about listeners.
    pub(super) fn listening(&self, id: RunId, question: Question) -> Listening {
        let Some(run) = self.runs.get(&id) else {
            return Listening::default();
        };
        let before = match question {
            Question::Ready => run.listened_before.clone(),
            Question::Health => Vec::new(),
        };
        let needs = &run.service.depends_on;
        let dependencies = self
            .runs
            .iter()
            .filter(|(_, other)| !before.is_empty() && needs.contains_key(&other.service.name));
        Listening {
            run: self.roots(id),
            dependencies: dependencies.map(|(id, _)| self.roots(*id)).collect(),
            before,
            found: Arc::default(),
        }
    }
}

impl Listening {
    /// Refuses a connection that a listener accepted which was there before the run began.
    pub(super) async fn judge(&self, stream: &TcpStream) -> Result<(), String> {
        if self.before.is_empty() {
            return Ok(());
        }
        let (Ok(peer), Ok(own)) = (stream.peer_addr(), stream.local_addr()) else {
            return Ok(());
        };
        // An address of this host is reached from the same one, or is one of the loopback network.
        let (to, from) = (peer.ip().to_canonical(), own.ip().to_canonical());
        if !to.is_loopback() && to != from {
            return Ok(());
        }
        let this = self.clone();
        let found = look(move || this.stranger(SocketAddr::new(to, peer.port()))).await;
        match found {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(why),
            Err(error) => Err(format!(
                "cannot tell who holds port {}: {error}",
                peer.port()
            )),
        }
    }

    /// Who listens there and is not of the run, in a sentence. Blocking.
    fn stranger(&self, address: SocketAddr) -> io::Result<Option<String>> {
        let accepting = ports::accepting(address)?;
        let is_old = |listener: &Listener| self.before.contains(&listener.inode);
        if !accepting.iter().all(is_old) {
            return Ok(None);
        }
        for roots in std::iter::once(&self.run).chain(&self.dependencies) {
            if !held_by(roots, &accepting)?.is_empty() {
                return Ok(None);
            }
        }
        let holder = ports::holders(&accepting)?.into_iter().next();
        Ok(holder.map(|holder| {
            let port = address.port();
            format!("port {port} is held by {holder}, which was there before this start and is not of this service")
        }))
    }

    /// Where the run listens, since it does not at `address`: a remark, or nothing. `probe` is the word
    /// of the probe that wants the advice.
    pub(super) async fn elsewhere(&self, address: SocketAddr, probe: &str) -> String {
        let this = self.clone();
        match look(move || this.own()).await {
            Ok(own) => remark(&own, address, probe),
            Err(_) => String::new(),
        }
    }

    /// Where processes of the run listen. Blocking.
    fn own(&self) -> io::Result<Vec<SocketAddr>> {
        let all = ports::listening()?;
        let inodes: Vec<u64> = all.iter().map(|listener| listener.inode).collect();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        // It is asked ten times a second, and as a rule nothing has changed.
        if found.listening != inodes {
            let held = held_by(&self.run, &all)?;
            let own = all
                .iter()
                .filter(|listener| held.contains(&listener.inode))
                .map(|listener| SocketAddr::new(listener.address.to_canonical(), listener.number));
            found.own = own.collect();
            found.listening = inodes;
        }
        Ok(found.own.clone())
    }
}

/// Which of these sockets the members of a set hold.
fn held_by(roots: &Roots, listeners: &[Listener]) -> io::Result<BTreeSet<u64>> {
    if listeners.is_empty() {
        return Ok(BTreeSet::new());
    }
    let members = look_at_processes(roots)?.members(roots);
    Ok(members
        .iter()
        .flat_map(|member| ports::held_among(member.identity.pid, listeners))
        .collect())
}

/// How many addresses are told.
const MOST_TOLD: usize = 3;

fn remark(own: &[SocketAddr], wanted: SocketAddr, probe: &str) -> String {
    let advised = own.iter().find(|own| own.port() == wanted.port());
    if let Some(found) = advised {
        let host = match found.ip() {
            IpAddr::V6(address) if address.is_loopback() => "localhost".to_owned(),
            IpAddr::V6(address) => format!("[{address}]"),
            IpAddr::V4(address) => address.to_string(),
        };
        let port = found.port();
        return match probe {
            "tcp" => {
                format!("; the service listens on {found}: write `tcp: \"{host}:{port}\"`")
            }
            _ => {
                format!("; the service listens on {found}: write `http://{host}:{port}` in the URL")
            }
        };
    }
    let told: Vec<String> = own
        .iter()
        .take(MOST_TOLD)
        .map(ToString::to_string)
        .collect();
    match told.as_slice() {
        [] => String::new(),
        told => format!("; the service listens on {}", told.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_where_the_service_listens() {
        let said = |own: &[&str], probe| {
            let own: Vec<SocketAddr> = own.iter().map(|one| one.parse().unwrap()).collect();
            remark(&own, "127.0.0.1:5173".parse().unwrap(), probe)
        };
        assert_eq!(
            said(&["[::1]:5173"], "tcp"),
            "; the service listens on [::1]:5173: write `tcp: \"localhost:5173\"`"
        );
        assert_eq!(
            said(&["10.0.0.5:80", "10.0.0.5:5173"], "http"),
            "; the service listens on 10.0.0.5:5173: write `http://10.0.0.5:5173` in the URL"
        );
        assert_eq!(
            said(&["127.0.0.1:5174"], "tcp"),
            "; the service listens on 127.0.0.1:5174"
        );
        assert_eq!(said(&[], "tcp"), "");
    }
}
