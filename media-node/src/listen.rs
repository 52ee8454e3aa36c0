//! The node's listeners and sockets: all are bound before the sandbox closes and before anybody is told of them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Config;
use crate::transport::candidates::Announced;

/// Connections the kernel keeps for us between two accepts.
const BACKLOG: i32 = 1_024;

/// Everything a node is reached by.
pub struct Sockets {
    /// Health and metrics.
    pub telemetry: TcpListener,
    /// Signalling, and media by TCP.
    pub signal: Vec<TcpListener>,
    /// Media.
    pub media: Vec<UdpSocket>,
    /// The first of each kind, as the ready file names them.
    pub addresses: BTreeMap<String, SocketAddr>,
    /// What clients are told to send media to.
    pub announced: Announced,
}

impl Sockets {
    /// Binds them all.
    ///
    /// # Errors
    /// Names the key whose address cannot be had.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let (telemetry, telemetry_address) = tcp(config.telemetry_listen).context("bind telemetry_listen")?;
        let (signal, signals) = all(config.signal_listen.all(), tcp).context("bind signal_listen")?;
        let (media, medias) = all(config.media_listen.all(), udp).context("bind media_listen")?;
        let first =
            [("signal", signals.first()), ("media", medias.first()), ("telemetry", Some(&telemetry_address))];
        let named = |(name, address): (&str, Option<&SocketAddr>)| Some((name.to_owned(), *address?));
        Ok(Self {
            telemetry,
            signal,
            media,
            addresses: first.into_iter().filter_map(named).collect(),
            announced: announced(&config.announced_ips(), &config.announce_ips, &signals, &medias),
        })
    }
}

/// `ips` are where the node is reached; `outside` says that its own addresses are not (RFC 8445 §5.1.1.1: a mapping
/// that is known by configuration).
fn announced(ips: &[IpAddr], outside: &[IpAddr], signals: &[SocketAddr], medias: &[SocketAddr]) -> Announced {
    let candidates = |bound: &[SocketAddr]| {
        let mut all: Vec<SocketAddr> = Vec::new();
        for address in bound {
            let is_own = outside.is_empty() && !address.ip().is_unspecified();
            let own = is_own.then(|| address.ip());
            let mapped = ips.iter().filter(|ip| !is_own && ip.is_ipv4() == address.is_ipv4()).copied();
            for ip in own.into_iter().chain(mapped) {
                let candidate = SocketAddr::new(ip, address.port());
                if !all.contains(&candidate) {
                    all.push(candidate);
                }
            }
        }
        all
    };
    Announced { udp: candidates(medias), tcp: candidates(signals) }
}

/// Port 0 after the first address is the port of the first: one port for all.
fn all<T>(
    addresses: Vec<SocketAddr>,
    bind: impl Fn(SocketAddr) -> io::Result<(T, SocketAddr)>,
) -> io::Result<(Vec<T>, Vec<SocketAddr>)> {
    let (mut sockets, mut bound) = (Vec::new(), Vec::<SocketAddr>::new());
    for mut address in addresses {
        if let (0, Some(first)) = (address.port(), bound.first()) {
            address.set_port(first.port());
        }
        let (socket, address) = bind(address)?;
        sockets.push(socket);
        bound.push(address);
    }
    Ok((sockets, bound))
}

fn tcp(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    // Connections of a process before this one may linger on the port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn udp(address: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    let bound = socket.local_addr()?;
    Ok((socket, bound))
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // A client is never told of its IPv4 address as one of IPv6: `0.0.0.0` is listened at by itself.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn own_addresses_are_announced_as_they_are() {
        let media = addresses(&["192.0.2.1:443", "[2001:db8::1]:443"]);
        let signal = addresses(&["0.0.0.0:443"]);
        let seen = announced(&ips(&["192.0.2.1", "2001:db8::1"]), &[], &signal, &media);
        assert_eq!(seen, Announced { udp: media, tcp: addresses(&["192.0.2.1:443"]) });
    }

    #[test]
    fn behind_a_nat_the_outside_is_announced_instead() {
        let outside = ips(&["198.51.100.7", "198.51.100.8", "2001:db8::7"]);
        let seen =
            announced(&outside, &outside, &addresses(&["10.0.0.1:444"]), &addresses(&["10.0.0.1:443"]));
        let expected = Announced {
            udp: addresses(&["198.51.100.7:443", "198.51.100.8:443"]),
            tcp: addresses(&["198.51.100.7:444", "198.51.100.8:444"]),
        };
        assert_eq!(seen, expected, "of the family that is listened at only");
    }

    #[test]
    fn both_families_are_bound_at_one_port() {
        let (sockets, bound) = all(addresses(&["0.0.0.0:0", "[::]:0"]), udp).unwrap();
        assert_eq!((sockets.len(), bound[0].port()), (2, bound[1].port()));
    }
}
