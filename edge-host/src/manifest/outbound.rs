//! `allowed_outbound_hosts`: where a function may send requests.
//!
//! An entry may name variables, as in Spin: then the operator says which hosts these are. A variable of ours may hold
//! several, with blanks between them, or none.

use http::Uri;

use super::template::Template;

/// One entry: `scheme://host[:port]`, where scheme and port may be `*` and the host may begin with `*.`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowedHost {
    scheme: Option<String>,
    host: HostPattern,
    port: PortPattern,
}

/// The list of one component; empty allows nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AllowedHosts(Vec<AllowedHost>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum HostPattern {
    Exact(String),
    /// `*.example.org`: any name below, not the name itself.
    Below(String),
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum PortPattern {
    /// The scheme's own.
    Default,
    Exact(u16),
    Any,
}

/// Not an entry.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is not scheme://host[:port] (https, or http for a loopback name; hosts are named, never `*`)")]
pub struct ParseHostError(String);

/// The list as the manifest has it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OutboundList(Vec<Template>);

impl OutboundList {
    /// Parses the manifest's list; what names no variable must be an entry already.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let parse = |entry: &String| {
            let template = Template::parse(entry).map_err(|error| error.to_string())?;
            if template.names().next().is_none() {
                AllowedHost::parse(entry).map_err(|error| error.to_string())?;
            }
            Ok(template)
        };
        entries.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// The variables it uses.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(Template::names)
    }

    /// The hosts, with every variable in its place.
    pub fn resolve(&self, value: impl Fn(&str) -> Option<String>) -> Result<AllowedHosts, ParseHostError> {
        let mut hosts = Vec::new();
        for template in &self.0 {
            let text = template.render(&value).map_err(|name| ParseHostError(name.to_owned()))?;
            for entry in text.split_ascii_whitespace() {
                hosts.push(AllowedHost::parse(entry)?);
            }
        }
        Ok(AllowedHosts(hosts))
    }
}

impl AllowedHosts {
    /// Parses a list of entries.
    pub fn parse(entries: &[String]) -> Result<Self, ParseHostError> {
        entries.iter().map(|entry| AllowedHost::parse(entry)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an entry covers this absolute URI.
    pub fn allows(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        self.0.iter().any(|allowed| allowed.covers(scheme, host, uri.port_u16()))
    }
}

impl AllowedHost {
    fn parse(entry: &str) -> Result<Self, ParseHostError> {
        let error = || ParseHostError(entry.to_owned());
        let (scheme, rest) = entry.split_once("://").ok_or_else(error)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, "*")) => (host, PortPattern::Any),
            Some((host, port)) => (host, PortPattern::Exact(port.parse().map_err(|_| error())?)),
            None => (rest, PortPattern::Default),
        };
        let is_host = |name: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
            !name.is_empty() && name.bytes().all(inner)
        };
        let host = match host.strip_prefix("*.") {
            Some(below) if is_host(below) => HostPattern::Below(below.to_ascii_lowercase()),
            None if is_host(host) => HostPattern::Exact(host.to_ascii_lowercase()),
            _ => return Err(error()),
        };
        let scheme = match scheme {
            "https" => Some("https".to_owned()),
            // Health data never leaves in the clear; a development service on this machine may be plain.
            "http" if host.is_loopback() => Some("http".to_owned()),
            "*" if host.is_loopback() => None,
            _ => return Err(error()),
        };
        Ok(Self { scheme, host, port })
    }

    fn covers(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        let scheme_fits = match &self.scheme {
            Some(own) => own == scheme,
            None => scheme == "http" || scheme == "https",
        };
        let default_port = if scheme == "https" { 443 } else { 80 };
        let port_fits = match self.port {
            PortPattern::Any => true,
            PortPattern::Exact(own) => port.unwrap_or(default_port) == own,
            PortPattern::Default => port.is_none_or(|port| port == default_port),
        };
        scheme_fits && port_fits && self.host.covers(&host.to_ascii_lowercase())
    }
}

impl HostPattern {
    fn covers(&self, host: &str) -> bool {
        match self {
            Self::Exact(own) => own == host,
            Self::Below(own) => host
                .strip_suffix(own.as_str())
                .and_then(|head| head.strip_suffix('.'))
                .is_some_and(|head| !head.is_empty()),
        }
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Exact(name) => {
                name == "localhost" || name.ends_with(".localhost") || name.starts_with("127.")
            }
            Self::Below(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entry: &str, uri: &str) -> bool {
        AllowedHosts::parse(&[entry.to_owned()]).unwrap().allows(&uri.parse().unwrap())
    }

    #[test]
    fn only_what_is_named_is_allowed() {
        assert!(allows("https://api.example.org", "https://api.example.org/v1"));
        assert!(allows("https://api.example.org", "https://API.example.org:443/"));
        assert!(!allows("https://api.example.org", "https://api.example.org:8443/"));
        assert!(!allows("https://api.example.org", "http://api.example.org/"));
        assert!(!allows("https://api.example.org", "https://api.example.org.evil.net/"));
        assert!(!allows("https://api.example.org", "https://evil.net/?api.example.org"));
        assert!(!allows("https://api.example.org", "https://api.example.org@evil.net/"));
        assert!(allows("https://*.example.org", "https://a.example.org/"));
        assert!(!allows("https://*.example.org", "https://example.org/"));
        assert!(!allows("https://*.example.org", "https://evilexample.org/"));
        assert!(allows("http://localhost:*", "http://localhost:1234/"));
        assert!(!AllowedHosts::default().allows(&"https://a.b/".parse().unwrap()));
    }

    #[test]
    fn an_operator_names_several_hosts_or_none() {
        let list = ["{{ more }}".to_owned(), "https://fixed.example".to_owned()];
        let list = OutboundList::parse(&list).unwrap();
        assert_eq!(list.names().collect::<Vec<_>>(), ["more"]);
        let allows = |more: &str, uri: &str| {
            let hosts = list.resolve(|_| Some(more.to_owned())).unwrap();
            hosts.allows(&uri.parse().unwrap())
        };
        assert!(allows("https://a.example  https://b.example:8443", "https://b.example:8443/"));
        assert!(allows("", "https://fixed.example/") && !allows("", "https://a.example/"));
        for bad in ["https://*", "http://a.example", "a.example"] {
            assert!(list.resolve(|_| Some(bad.to_owned())).is_err(), "{bad}");
        }
        assert!(list.resolve(|_| None).is_err());
        assert!(OutboundList::parse(&["a.example".to_owned()]).is_err());
    }

    #[test]
    fn the_open_world_cannot_be_named() {
        for bad in
            ["*", "*://*:*", "https://*", "http://example.org", "https://", "https://a:b", "example.org"]
        {
            assert!(AllowedHosts::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
