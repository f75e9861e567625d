//! Ports that services own: what is declared, and when two of them are in each other's way.
//!
//! (`core::net` holds addresses only, no sockets.)

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

use serde::{Deserialize, Serialize};

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Connections: who listens holds the port.
    Tcp,
    /// Datagrams: who is bound holds the port.
    Udp,
}

impl Protocol {
    /// The word that the manifest uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// On which of the host's addresses a port is owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// On all of them, of both families.
    Every,
    /// On 127.0.0.1 and `::1`.
    Localhost,
    /// On this one; the unspecified address stands for all of its family.
    Address(IpAddr),
}

/// A port that a service owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// On which addresses.
    pub host: Host,
    /// Its number; never 0.
    pub number: u16,
    /// What is spoken on it.
    pub protocol: Protocol,
}

/// Whether a socket on one address keeps another from being bound to the same port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Overlap {
    /// It does not.
    No,
    /// It does if the socket on `::` takes IPv4 too, as it does unless it was told not to
    /// (`IPV6_V6ONLY` in `ipv6(7)`).
    UnlessV6Only,
    /// It does.
    Yes,
}

impl Host {
    /// The addresses that it stands for.
    fn addresses(self) -> Vec<IpAddr> {
        match self {
            Self::Every => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            Self::Localhost => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Self::Address(address) => vec![address],
        }
    }

    /// Whether a socket on `bound` is in the way of what is declared.
    pub fn overlap(self, bound: IpAddr) -> Overlap {
        let declared = self.addresses().into_iter();
        let overlaps = declared.map(|declared| overlap(declared, bound));
        overlaps.max().unwrap_or(Overlap::No)
    }
}

impl Port {
    /// Whether two services cannot own both at the same time.
    pub fn clashes_with(self, other: Self) -> bool {
        let mut addresses = other.host.addresses().into_iter();
        self.number == other.number
            && self.protocol == other.protocol
            && addresses.any(|address| self.host.overlap(address) != Overlap::No)
    }
}

/// An IPv4 address that is written as an IPv6 one is the IPv4 one: so the kernel sees it.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn overlap(one: IpAddr, other: IpAddr) -> Overlap {
    let (one, other) = (plain(one), plain(other));
    if one == other {
        return Overlap::Yes;
    }
    match (one.is_unspecified(), other.is_unspecified()) {
        (false, false) => Overlap::No,
        _ if one.is_ipv4() == other.is_ipv4() => Overlap::Yes,
        // `::` and something of IPv4.
        (true, _) if one.is_ipv6() => Overlap::UnlessV6Only,
        (_, true) if other.is_ipv6() => Overlap::UnlessV6Only,
        // 0.0.0.0 and one address of IPv6.
        _ => Overlap::No,
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("*"),
            Self::Localhost => f.write_str("localhost"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for Port {
    /// As people write it: `7890`, `127.0.0.1:7890`, `[::1]:7890`, `udp 53`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.protocol == Protocol::Udp {
            f.write_str("udp ")?;
        }
        match self.host {
            Host::Every => write!(f, "{}", self.number),
            Host::Address(address @ IpAddr::V6(_)) => write!(f, "[{address}]:{}", self.number),
            Host::Localhost | Host::Address(IpAddr::V4(_)) => {
                write!(f, "{}:{}", self.host, self.number)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host: &str) -> Port {
        let host = match host {
            "*" => Host::Every,
            "localhost" => Host::Localhost,
            address => Host::Address(address.parse().unwrap()),
        };
        Port {
            host,
            number: 7890,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn addresses_overlap_as_the_kernel_sees_it() {
        let overlap =
            |declared: &str, bound: &str| port(declared).host.overlap(bound.parse().unwrap());
        for (declared, bound, expected) in [
            ("127.0.0.1", "127.0.0.1", Overlap::Yes),
            ("127.0.0.1", "127.0.0.2", Overlap::No),
            ("127.0.0.1", "0.0.0.0", Overlap::Yes),
            ("127.0.0.1", "::1", Overlap::No),
            ("127.0.0.1", "::", Overlap::UnlessV6Only),
            ("127.0.0.1", "::ffff:127.0.0.1", Overlap::Yes),
            ("::1", "0.0.0.0", Overlap::No),
            ("::1", "::", Overlap::Yes),
            ("0.0.0.0", "127.0.0.1", Overlap::Yes),
            ("0.0.0.0", "::", Overlap::UnlessV6Only),
            ("::", "10.0.0.1", Overlap::UnlessV6Only),
            ("localhost", "127.0.0.1", Overlap::Yes),
            ("localhost", "::1", Overlap::Yes),
            ("localhost", "10.0.0.1", Overlap::No),
            ("*", "10.0.0.1", Overlap::Yes),
            ("*", "::1", Overlap::Yes),
        ] {
            assert_eq!(overlap(declared, bound), expected, "{declared} {bound}");
        }
    }

    #[test]
    fn ports_clash_when_number_protocol_and_address_do() {
        let udp = Port {
            protocol: Protocol::Udp,
            ..port("*")
        };
        let next = Port {
            number: 7891,
            ..port("*")
        };
        assert!(port("*").clashes_with(port("127.0.0.1")));
        assert!(port("localhost").clashes_with(port("::1")));
        assert!(!port("127.0.0.1").clashes_with(port("::1")));
        assert!(!port("*").clashes_with(udp));
        assert!(!port("*").clashes_with(next));
    }

    #[test]
    fn ports_are_written_as_people_write_them() {
        assert_eq!(port("*").to_string(), "7890");
        assert_eq!(port("127.0.0.1").to_string(), "127.0.0.1:7890");
        assert_eq!(port("::1").to_string(), "[::1]:7890");
        assert_eq!(port("localhost").to_string(), "localhost:7890");
        let udp = Port {
            protocol: Protocol::Udp,
            ..port("*")
        };
        assert_eq!(udp.to_string(), "udp 7890");
    }
}
