//! From the URLs and addresses a node announces to where its probes go.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Miss;
use crate::health::Reason;

/// Addresses of one node that are tried; it announces one or two.
const MAX_ADDRESSES: usize = 4;

/// Names asked for at once. The system's resolver may take longer than a probe waits, and holds a thread meanwhile.
const NAMES_AT_ONCE: usize = 16;

/// The system's resolver, bounded.
pub(super) struct Names(Arc<Semaphore>);

impl Names {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(NAMES_AT_ONCE)))
    }

    async fn find(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Miss> {
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(|_| Miss(Reason::Unresolved))?;
        let host = host.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            let _place = place;
            (host.as_str(), port).to_socket_addrs().map(|found| found.take(MAX_ADDRESSES).collect::<Vec<_>>())
        });
        let found = found.await.ok().and_then(Result::ok).unwrap_or_default();
        if found.is_empty() { Err(Miss(Reason::Unresolved)) } else { Ok(found) }
    }
}

/// What matters of a public URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Url {
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Url {
    /// `http`, `https`, `ws` and `wss`; what follows the authority does not matter.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_tls = match scheme {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        // Of `user@host` only trouble could come, and an address in brackets has colons of its own.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.contains('[') || host.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, if is_tls { 443 } else { 80 }),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_host = !host.is_empty() && !host.contains(['@', '[', ']', ' ']);
        is_host.then(|| Self { is_tls, host: host.to_owned(), port })
    }

    /// As it stands in a request.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.is_tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Where to find it: at the node's own addresses if it announces them. Its name is asked for only if not:
    /// names of this network lead wherever the network wants people to go, which need not be this node.
    pub(super) async fn addresses(&self, own: &[IpAddr], names: &Names) -> Result<Vec<SocketAddr>, Miss> {
        let at = |ip: IpAddr| SocketAddr::new(ip, self.port);
        if let Ok(ip) = self.host.parse() {
            return Ok(vec![at(ip)]);
        }
        if !own.is_empty() {
            return Ok(own.iter().copied().take(MAX_ADDRESSES).map(at).collect());
        }
        // RFC 6761 §6.3: always this machine, whether its resolver knows that or not.
        if self.host == "localhost" || self.host.ends_with(".localhost") {
            return Ok(vec![at(Ipv4Addr::LOCALHOST.into())]);
        }
        names.find(&self.host, self.port).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let url = |text: &str| {
            Url::parse(text).map(|url| (url.is_tls, url.host.clone(), url.port, url.authority()))
        };
        let is = |is_tls, host: &str, port, authority: &str| {
            Some((is_tls, host.to_owned(), port, authority.to_owned()))
        };
        assert_eq!(url("https://us-west.example"), is(true, "us-west.example", 443, "us-west.example"));
        assert_eq!(url("ws://a.localhost:7880/rtc?x"), is(false, "a.localhost", 7880, "a.localhost:7880"));
        assert_eq!(url("http://[::1]:80/"), is(false, "::1", 80, "[::1]"));
        assert_eq!(url("wss://[2001:db8::1]"), is(true, "2001:db8::1", 443, "[2001:db8::1]"));
        for bad in ["ftp://a", "https://", "https://user@host", "https://host:port", "host", "https://a b"] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_nodes_own_addresses_come_before_its_name() {
        let url = Url::parse("https://us-west.example:8443").unwrap();
        let own: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let found: Vec<String> =
            url.addresses(&own, &Names::new()).await.ok().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:8443", "[2001:db8::1]:8443"]);
        let local = Url::parse("http://us-west.locum.localhost:8080").unwrap();
        let found = local.addresses(&[], &Names::new()).await.ok().unwrap();
        assert_eq!(found, ["127.0.0.1:8080".parse().unwrap()]);
    }
}
