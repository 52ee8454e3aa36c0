//! What members of the control plane need to look at nodes from outside.

use std::fmt;
use std::net::SocketAddr;

use locum_replication::GroupId;
use serde::{Deserialize, Serialize};

/// Addresses of one media node for media; it announces one or two.
const MAX_ADDRESSES: usize = 8;
/// Longest fragment and password; RFC 8839 §5.4 allows 256.
const MAX_CREDENTIAL_BYTES: usize = 64;

/// How to try whether media gets through to a media node: it answers a connectivity check that carries these
/// credentials, and the first flights of DTLS from wherever one came. They open nothing else, and whoever lacks
/// them gets no answer at all.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaProbe {
    /// Where media is received.
    pub addresses: Vec<SocketAddr>,
    /// ICE user name fragment.
    pub ufrag: String,
    /// ICE password.
    pub password: ProbePassword,
}

/// Never printed.
#[derive(Clone, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProbePassword(String);

/// What a member of the control plane asks an edge host.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum MemberQuestion {
    /// Read the canary row of each record group that you hold; of those that you lead, write it too if asked to.
    /// The row is a number.
    Canary {
        /// Whether to write.
        write: bool,
    },
}

/// What it answers.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberAnswer {
    /// How it went, group by group; groups that are elsewhere are left out.
    Canary(Vec<GroupCanary>),
}

/// How the canary of one group is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct GroupCanary {
    /// Which group.
    pub group: GroupId,
    /// It was read.
    pub read: bool,
    /// It was written and acknowledged; `None`: this host does not lead, or was not asked to.
    pub write: Option<bool>,
}

impl MediaProbe {
    /// Whether it is one that can be used.
    pub fn is_acceptable(&self) -> bool {
        let credential = |text: &str| {
            (4..=MAX_CREDENTIAL_BYTES).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        };
        let callable = |address: &SocketAddr| {
            address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
        };
        (1..=MAX_ADDRESSES).contains(&self.addresses.len())
            && self.addresses.iter().all(callable)
            && credential(&self.ufrag)
            && credential(&self.password.0)
    }
}

impl ProbePassword {
    /// Keeps it.
    pub fn new(password: String) -> Self {
        Self(password)
    }

    /// For making and checking the tags that prove knowledge of it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProbePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl GroupCanary {
    /// Whether nothing that was tried failed.
    pub fn is_good(&self) -> bool {
        self.read && self.write != Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_what_ice_allows_and_are_not_printed() {
        let probe = |address: &str, ufrag: &str, password: &str| MediaProbe {
            addresses: vec![address.parse().unwrap()],
            ufrag: ufrag.to_owned(),
            password: ProbePassword::new(password.to_owned()),
        };
        let good = probe("127.0.0.1:7882", "abcd", "0123456789abcdefghijkl");
        assert!(good.is_acceptable());
        assert!(!format!("{good:?}").contains("0123456789"));
        assert!(!probe("0.0.0.0:7882", "abcd", "0123456789").is_acceptable());
        assert!(!probe("127.0.0.1:0", "abcd", "0123456789").is_acceptable());
        assert!(!probe("127.0.0.1:1", "a:cd", "0123456789").is_acceptable());
        assert!(!probe("127.0.0.1:1", "abcd", &"x".repeat(65)).is_acceptable());
        assert!(!MediaProbe { addresses: Vec::new(), ..good }.is_acceptable());
    }
}
