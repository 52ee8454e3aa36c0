//! Names of zones, regions, nodes and roles: DNS labels, so that each can stand in a host name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that is not what it should be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseIdError {
    /// Neither a region, a node nor anything else that must be one DNS label.
    #[error("a {kind} is one DNS label: 1 to 63 of a-z, 0-9 and inner hyphens")]
    Label {
        /// What was being parsed.
        kind: &'static str,
    },
    /// Not a DNS name.
    #[error("a zone is a DNS name: labels of a-z, 0-9 and inner hyphens, joined by dots, at most 190 long")]
    Zone,
    /// None of the roles.
    #[error("a role is one of control, edge, media")]
    Role,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let check: fn(&str) -> Result<(), ParseIdError> = $parse;
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;
            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The DNS zone of a network, such as `locum.localhost`.
    Zone,
    zone
);
name!(
    /// A region, such as `eu-central`.
    RegionId,
    |text| label("region", text)
);
name!(
    /// A node, unique in its network, such as `edge-1`.
    NodeId,
    |text| label("node id", text)
);

/// What a node does. A node has one role, and its certificate says which.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A member of the control plane.
    Control,
    /// Runs the functions beside the record store.
    Edge,
    /// Carries calls.
    Media,
}

impl Role {
    /// Every role, in a fixed order.
    pub const ALL: [Role; 3] = [Role::Control, Role::Edge, Role::Media];

    /// Its text: `control`, `edge` or `media`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Control => "control",
            Role::Edge => "edge",
            Role::Media => "media",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or(ParseIdError::Role)
    }
}

fn label(kind: &'static str, text: &str) -> Result<(), ParseIdError> {
    is_label(text).then_some(()).ok_or(ParseIdError::Label { kind })
}

fn zone(text: &str) -> Result<(), ParseIdError> {
    // A node's name in the zone adds two labels and `mesh`; the whole stays within DNS's 253.
    (text.len() <= 190 && text.split('.').all(is_label)).then_some(()).ok_or(ParseIdError::Zone)
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_dns_labels() {
        let longest = "a".repeat(63);
        for good in ["eu-central", "a", "1", longest.as_str()] {
            assert_eq!(good.parse::<RegionId>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-a", "a-", "EU", "a.b", "a b", "ä", "a/b", "../x", too_long.as_str()] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad:?} is no label");
        }
    }

    #[test]
    fn zones_are_dns_names() {
        assert!("locum.localhost".parse::<Zone>().is_ok());
        for bad in ["", ".", "a..b", "a.", "A.b"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad:?} is no zone");
        }
    }

    #[test]
    fn serde_refuses_what_parse_refuses() {
        assert!(serde_json::from_str::<NodeId>("\"edge-1\"").is_ok());
        assert!(serde_json::from_str::<NodeId>("\"Edge 1\"").is_err());
        assert_eq!(serde_json::to_string(&Role::Edge).unwrap(), "\"edge\"");
    }
}
