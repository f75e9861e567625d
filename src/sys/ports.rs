//! Who holds a port: from `/proc` alone, without the help of another program.
//!
//! The kernel lists sockets in `/proc/net/{tcp,tcp6,udp,udp6}` (`proc_pid_net(5)`), each with its
//! address, its user and the number of its inode, but not with its process. That takes a look at
//! what each process holds: a descriptor that is the socket is a link to `socket:[INODE]`. Reading
//! the lists takes well under a millisecond; looking at all descriptors of two thousand processes
//! takes some ten. So the second is done only when somebody must be named.
//!
//! A TCP port is held by who *listens*: connections, and what is left of them for a minute
//! (TIME_WAIT), keep nobody from listening who sets `SO_REUSEADDR`, as servers do. A UDP port is held
//! by who is bound to it.
//!
//! The lists are those of our own network namespace. What descriptors another user's process has is
//! told to root only; then the user is all that is known, from the list.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};

use super::identity::{Identity, is_no_process};
use super::sweep::{command_of, name_of_user};
use crate::port::{Host, Overlap, Port, Protocol};

/// A socket that holds a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listener {
    /// What is spoken there.
    pub protocol: Protocol,
    /// The address that it is bound to.
    pub address: IpAddr,
    /// The port.
    pub number: u16,
    /// The number of the user whose socket it is.
    pub uid: u32,
    /// The number of its inode.
    pub inode: u64,
}

/// Who holds a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The socket.
    pub listener: Listener,
    /// The process; `None` when it is not shown to us.
    pub process: Option<HolderProcess>,
    /// The user's name, or number.
    pub user: String,
}

/// The process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderProcess {
    /// Which.
    pub identity: Identity,
    /// Its command line, or its name in brackets.
    pub command: String,
    /// The systemd unit that it belongs to, when it belongs to one.
    pub unit: Option<String>,
}

impl fmt::Display for Holder {
    /// `pid 812 (node), user root, unit x.service`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(process) = &self.process else {
            return write!(
                f,
                "a process of user {} (uid {}) that is not shown to us",
                self.user, self.listener.uid
            );
        };
        let pid = process.identity.pid;
        write!(f, "pid {pid} (`{}`), user {}", process.command, self.user)?;
        match &process.unit {
            Some(unit) => write!(f, ", unit {unit}"),
            None => Ok(()),
        }
    }
}

/// The sockets that are in the way of one who wants this port now.
///
/// # Errors
/// When `/proc/net` cannot be read.
pub fn in_the_way(port: &Port) -> io::Result<Vec<Listener>> {
    let mut found: Vec<Listener> = listeners(port.protocol)?
        .into_iter()
        .filter(|listener| is_in_the_way(port, listener))
        .collect();
    found.sort_unstable();
    Ok(found)
}

fn is_in_the_way(port: &Port, listener: &Listener) -> bool {
    listener.number == port.number
        && match port.host.overlap(listener.address) {
            Overlap::No => false,
            Overlap::Yes => true,
            Overlap::UnlessV6Only => !is_beside(port, listener),
        }
}

/// Every socket that listens for TCP connections.
///
/// # Errors
/// When `/proc/net` cannot be read.
pub fn listening() -> io::Result<Vec<Listener>> {
    listeners(Protocol::Tcp)
}

/// The sockets one of which takes the connections to this address of the host: as a rule one; several
/// that share it (`SO_REUSEPORT`); none that is in another network namespace. A socket that is bound
/// to the very address comes before one that is bound to all of its family, and that before one on
/// `::` that takes IPv4 too, as in the kernel.
///
/// # Errors
/// When `/proc/net` cannot be read.
pub fn accepting(address: SocketAddr) -> io::Result<Vec<Listener>> {
    let to = address.ip().to_canonical();
    let rank = |listener: &Listener| {
        let bound = listener.address.to_canonical();
        match (bound == to, bound.is_unspecified()) {
            (true, _) => Some(0),
            (false, true) if bound.is_ipv4() == to.is_ipv4() => Some(1),
            (false, true) if bound.is_ipv6() => Some(2),
            (false, _) => None,
        }
    };
    let mut ranked: Vec<(u8, Listener)> = listening()?
        .into_iter()
        .filter(|listener| listener.number == address.port())
        .filter_map(|listener| Some((rank(&listener)?, listener)))
        .collect();
    ranked.sort_unstable();
    let best = ranked.first().map(|(rank, _)| *rank);
    ranked.retain(|(rank, _)| Some(*rank) == best);
    Ok(ranked.into_iter().map(|(_, listener)| listener).collect())
}

/// Whether a socket on `::` leaves the IPv4 address of `port` alone. The lists do not tell, but the
/// kernel does: it lets us be bound there, or not.
fn is_beside(port: &Port, listener: &Listener) -> bool {
    let (Host::Address(IpAddr::V4(address)), true) = (port.host, listener.address.is_ipv6()) else {
        return false;
    };
    bind_for_a_moment(port.protocol, address, port.number).is_ok()
}

fn bind_for_a_moment(protocol: Protocol, address: Ipv4Addr, number: u16) -> Result<(), Errno> {
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let socket = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    if protocol == Protocol::Tcp {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    let [a, b, c, d] = address.octets();
    bind(
        std::os::fd::AsRawFd::as_raw_fd(&socket),
        &SockaddrIn::new(a, b, c, d, number),
    )
}

/// Every socket that holds a port of this protocol.
fn listeners(protocol: Protocol) -> io::Result<Vec<Listener>> {
    let lists = match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let mut found = Vec::new();
    for list in lists {
        match fs::read_to_string(list) {
            Ok(text) => found.extend(
                text.lines()
                    .skip(1)
                    .filter_map(|line| parse_line(line, protocol)),
            ),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The state of a TCP socket that listens (`TCP_LISTEN` of `include/net/tcp_states.h`).
const LISTEN: &str = "0A";

/// One line of the lists: `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode`.
fn parse_line(line: &str, protocol: Protocol) -> Option<Listener> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, state, _, _, _, uid, _, inode, ..] = fields[..] else {
        return None;
    };
    if protocol == Protocol::Tcp && state != LISTEN {
        return None;
    }
    let (address, number) = local.split_once(':')?;
    Some(Listener {
        protocol,
        address: parse_address(address)?,
        number: u16::from_str_radix(number, 16).ok()?,
        uid: uid.parse().ok()?,
        inode: inode.parse().ok()?,
    })
}

/// An address as the kernel prints it: its 32-bit words in the byte order of the host.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |from: usize| {
        let digits = text.get(from..from + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for index in 0..4 {
                bytes[index * 4..][..4].copy_from_slice(&word(index * 8)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Names who holds these sockets: every process that does, for each. A socket whose process is not
/// shown to us has one holder, without a process.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn holders(listeners: &[Listener]) -> io::Result<Vec<Holder>> {
    if listeners.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_inode: BTreeMap<u64, Vec<i32>> = BTreeMap::new();
    for pid in super::walk::pids()? {
        for inode in held_among(pid, listeners) {
            by_inode.entry(inode).or_default().push(pid);
        }
    }
    Ok(listeners
        .iter()
        .flat_map(|listener| {
            let pids = by_inode.get(&listener.inode).map_or(&[][..], Vec::as_slice);
            named(listener, pids)
        })
        .collect())
}

fn named(listener: &Listener, pids: &[i32]) -> Vec<Holder> {
    let processes: Vec<HolderProcess> = pids.iter().filter_map(|pid| process(*pid)).collect();
    let holder = |process| Holder {
        listener: *listener,
        process,
        user: name_of_user(listener.uid),
    };
    if processes.is_empty() {
        return vec![holder(None)];
    }
    processes.into_iter().map(Some).map(holder).collect()
}

fn process(pid: i32) -> Option<HolderProcess> {
    let identity = Identity::of(pid).ok().flatten()?;
    Some(HolderProcess {
        identity,
        command: command_of(pid),
        unit: unit_of(pid),
    })
}

/// Which of these sockets a process holds; none when it is gone, or does not show us.
pub fn held_among(pid: i32, listeners: &[Listener]) -> Vec<u64> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let mut held: Vec<u64> = descriptors
        .flatten()
        .filter_map(|descriptor| {
            let link = fs::read_link(descriptor.path()).ok()?;
            let link = link.to_str()?.strip_prefix("socket:[")?;
            link.strip_suffix(']')?.parse().ok()
        })
        .filter(|inode| listeners.iter().any(|one| one.inode == *inode))
        .collect();
    held.sort_unstable();
    held.dedup();
    held
}

/// The systemd unit that a process belongs to, by the name of its control group.
pub fn unit_of(pid: i32) -> Option<String> {
    match fs::read_to_string(format!("/proc/{pid}/cgroup")) {
        Ok(text) => unit_in(&text),
        Err(error) if is_no_process(&error) => None,
        Err(_) => None,
    }
}

/// The unit in the text of `/proc/PID/cgroup` (`cgroups(7)`): the innermost of the unified hierarchy,
/// or of the one that systemd keeps where there is none.
fn unit_in(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        (controllers.is_empty() || controllers == "name=systemd").then_some(path)
    })?;
    let is_unit = |name: &&str| name.ends_with(".service") || name.ends_with(".scope");
    path.rsplit('/').find(is_unit).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    fn port(host: Host, number: u16, protocol: Protocol) -> Port {
        Port {
            host,
            number,
            protocol,
        }
    }

    fn pids_on(port: &Port) -> Vec<i32> {
        let holders = holders(&in_the_way(port).unwrap()).unwrap();
        let pids = holders.into_iter().filter_map(|one| one.process);
        pids.map(|process| process.identity.pid).collect()
    }

    fn me() -> i32 {
        std::process::id().cast_signed()
    }

    #[test]
    fn who_listens_is_found_on_every_kind_of_address() {
        for (bound, declared) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.1"),
            ("[::1]:0", "::1"),
            ("[::]:0", "::1"),
            ("[::]:0", "127.0.0.1"),
        ] {
            let listener = TcpListener::bind(bound).unwrap();
            let number = listener.local_addr().unwrap().port();
            let host = Host::Address(declared.parse().unwrap());
            assert_eq!(pids_on(&port(host, number, Protocol::Tcp)), [me()]);
            assert_eq!(pids_on(&port(Host::Every, number, Protocol::Tcp)), [me()]);
            drop(listener);
            let left = in_the_way(&port(Host::Every, number, Protocol::Tcp)).unwrap();
            assert!(left.is_empty(), "{bound}: {left:?}");
        }
    }

    #[test]
    fn the_socket_that_takes_a_connection_is_found() {
        for (bound, asked) in [
            (&["127.0.0.1:0"][..], "127.0.0.1"),
            (&["0.0.0.0:0"], "127.0.0.1"),
            (&["[::]:0"], "127.0.0.1"),
            (&["[::]:0"], "::1"),
            (&["[::1]:0"], "::1"),
            (&["127.0.0.1:0", "127.0.0.2:0"], "127.0.0.2"),
        ] {
            let first = TcpListener::bind(bound[0]).unwrap();
            let number = first.local_addr().unwrap().port();
            let more = bound.get(1).map(|address| {
                TcpListener::bind((address.trim_end_matches(":0"), number)).unwrap()
            });
            let asked = SocketAddr::new(asked.parse().unwrap(), number);
            let accepting = accepting(asked).unwrap();
            let expected = more.as_ref().unwrap_or(&first).local_addr().unwrap().ip();
            let found: Vec<IpAddr> = accepting.iter().map(|one| one.address).collect();
            assert_eq!(found, [expected], "{bound:?} {asked}");
        }
    }

    #[test]
    fn another_address_or_protocol_is_not_in_the_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = listener.local_addr().unwrap().port();
        let other = Host::Address("127.0.0.2".parse().unwrap());
        assert_eq!(in_the_way(&port(other, number, Protocol::Tcp)).unwrap(), []);
        let six = Host::Address("::1".parse().unwrap());
        assert_eq!(in_the_way(&port(six, number, Protocol::Tcp)).unwrap(), []);
        let udp = port(Host::Every, number, Protocol::Udp);
        assert_eq!(in_the_way(&udp).unwrap(), []);
    }

    #[test]
    fn who_is_bound_holds_a_port_for_datagrams() {
        let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
        let number = bound.local_addr().unwrap().port();
        let udp = port(Host::Localhost, number, Protocol::Udp);
        assert_eq!(pids_on(&udp), [me()]);
    }

    /// `::` with `IPV6_V6ONLY` leaves IPv4 alone, which only the kernel can tell.
    #[test]
    fn a_socket_of_ipv6_alone_is_not_in_the_way_of_ipv4() {
        use nix::sys::socket::{Backlog, SockaddrIn6, getsockname, listen};
        let six = socket(
            AddressFamily::Inet6,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap();
        setsockopt(&six, sockopt::Ipv6V6Only, &true).unwrap();
        let raw = std::os::fd::AsRawFd::as_raw_fd(&six);
        let every = "[::]:0".parse::<std::net::SocketAddrV6>().unwrap();
        bind(raw, &SockaddrIn6::from(every)).unwrap();
        listen(&six, Backlog::new(1).unwrap()).unwrap();
        let number = getsockname::<SockaddrIn6>(raw).unwrap().port();
        let four = Host::Address("127.0.0.1".parse().unwrap());
        assert_eq!(in_the_way(&port(four, number, Protocol::Tcp)).unwrap(), []);
        let host = Host::Address("::1".parse().unwrap());
        assert_eq!(pids_on(&port(host, number, Protocol::Tcp)), [me()]);
    }

    /// A closed connection stays in the kernel for a minute, and is in nobody's way.
    #[test]
    fn what_is_left_of_a_connection_holds_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        // Who closes first keeps it.
        drop(accepted);
        drop(client);
        drop(listener);
        let list = fs::read_to_string("/proc/net/tcp").unwrap();
        assert!(list.contains(&format!(":{number:04X} ")), "{list}");
        let every = port(Host::Every, number, Protocol::Tcp);
        assert_eq!(in_the_way(&every).unwrap(), []);
    }

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let line = "   0: 0100007F:1ED2 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0";
        let found = parse_line(line, Protocol::Tcp).unwrap();
        assert_eq!(found.number, 7890);
        assert_eq!((found.uid, found.inode), (1000, 4711));
        if cfg!(target_endian = "little") {
            assert_eq!(found.address, IpAddr::from([127, 0, 0, 1]));
        }
        assert_eq!(
            parse_line(&line.replace(" 0A ", " 06 "), Protocol::Tcp),
            None
        );
        assert_eq!(parse_line("nonsense", Protocol::Tcp), None);
    }

    #[test]
    fn the_unit_is_the_innermost() {
        for (text, unit) in [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service/worker\n",
                Some("web.service"),
            ),
            (
                "12:pids:/x.scope\n1:name=systemd:/user.slice/session-3.scope\n",
                Some("session-3.scope"),
            ),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(unit_in(text).as_deref(), unit);
        }
    }
}
