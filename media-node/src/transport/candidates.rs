//! Where clients may send: the node's ICE candidates (RFC 8839 §5.1), UDP first, TCP for those whom a firewall leaves
//! nothing else.

use std::net::SocketAddr;

/// RFC 8445 §5.1.2.2: host candidates.
const UDP_TYPE_PREFERENCE: u32 = 126;

/// Below every way by UDP, a relay of UDP excepted (RFC 6544 §4.2): a lost segment holds up all that come after it.
const TCP_TYPE_PREFERENCE: u32 = 90;

/// All of a connection is one component: RTP and RTCP share it (RFC 5761).
const COMPONENT: u32 = 1;

/// Addresses clients are told, the preferred first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Announced {
    /// Of the UDP sockets.
    pub udp: Vec<SocketAddr>,
    /// Of the listeners that take media too.
    pub tcp: Vec<SocketAddr>,
}

impl Announced {
    /// The values of their `candidate` attributes.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let udp = self
            .udp
            .iter()
            .enumerate()
            .map(|(i, address)| line(i, "udp", priority(UDP_TYPE_PREFERENCE, i), *address, ""));
        let tcp = self.tcp.iter().enumerate().map(|(i, address)| {
            let foundation = self.udp.len() + i;
            line(foundation, "tcp", priority(TCP_TYPE_PREFERENCE, i), *address, " tcptype passive")
        });
        udp.chain(tcp).collect()
    }
}

fn line(number: usize, protocol: &str, priority: u32, address: SocketAddr, more: &str) -> String {
    let (foundation, ip, port) = (number + 1, address.ip(), address.port());
    format!("candidate:{foundation} {COMPONENT} {protocol} {priority} {ip} {port} typ host{more}")
}

/// RFC 8445 §5.1.2.1.
fn priority(type_preference: u32, place: usize) -> u32 {
    let local_preference = u32::from(u16::MAX).saturating_sub(u32::try_from(place).unwrap_or(u32::MAX));
    (type_preference << 24) + (local_preference << 8) + (256 - COMPONENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_named_the_preferred_first_and_tcp_last() {
        let announced = Announced {
            udp: vec!["192.0.2.1:443".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap()],
            tcp: vec!["192.0.2.1:443".parse().unwrap()],
        };
        let lines = announced.lines();
        assert_eq!(lines[0], "candidate:1 1 udp 2130706431 192.0.2.1 443 typ host");
        assert_eq!(lines[2], "candidate:3 1 tcp 1526726655 192.0.2.1 443 typ host tcptype passive");
        assert!(lines[1].contains(" 2001:db8::1 443 "), "no brackets: {}", lines[1]);
        let priority = |line: &String| line.split(' ').nth(3).unwrap().parse::<u32>().unwrap();
        assert!(lines.iter().map(priority).is_sorted_by(|a, b| a > b), "{lines:?}");
    }
}
