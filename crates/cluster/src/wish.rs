//! What people want of the network, beyond what it does by itself.

use std::fmt;
use std::str::FromStr;

use locum_identity::{NodeId, RegionId};
use locum_replication::GroupId;
use serde::{Deserialize, Serialize};

/// What a person wants of the network.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wish {
    /// Nobody new, and nothing that must be there.
    Drain(Subject),
    /// As before, once it has caught up.
    Undrain(Subject),
    /// A group's primary belongs in this region whenever it can be there.
    Pin {
        /// Which group.
        group: GroupId,
        /// Where.
        region: RegionId,
    },
    /// It may be anywhere.
    Unpin {
        /// Which group.
        group: GroupId,
    },
}

/// What can be drained.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// One node.
    Node(NodeId),
    /// Every node of a region, also those that join later.
    Region(RegionId),
}

/// Neither `node/NAME` nor `region/NAME`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("what is drained is `node/NAME` or `region/NAME`")]
pub struct ParseSubjectError;

impl Subject {
    /// Whether this node belongs to it.
    pub fn covers(&self, node: &NodeId, region: &RegionId) -> bool {
        match self {
            Self::Node(named) => named == node,
            Self::Region(named) => named == region,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node/{node}"),
            Self::Region(region) => write!(f, "region/{region}"),
        }
    }
}

impl FromStr for Subject {
    type Err = ParseSubjectError;

    fn from_str(text: &str) -> Result<Self, ParseSubjectError> {
        let (kind, name) = text.split_once('/').ok_or(ParseSubjectError)?;
        match kind {
            "node" => name.parse().map(Self::Node).map_err(|_| ParseSubjectError),
            "region" => name.parse().map(Self::Region).map_err(|_| ParseSubjectError),
            _ => Err(ParseSubjectError),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = ParseSubjectError;

    fn try_from(text: String) -> Result<Self, ParseSubjectError> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> String {
        subject.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_keys_of_json() {
        let subject = Subject::Region("us-west".parse().unwrap());
        let text = serde_json::to_string(&subject).unwrap();
        assert_eq!(text, "\"region/us-west\"");
        assert_eq!(serde_json::from_str::<Subject>(&text).unwrap(), subject);
        for bad in ["us-west", "region/", "zone/us-west", "node/a/b", ""] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
        let node: Subject = "node/edge-1".parse().unwrap();
        assert!(node.covers(&"edge-1".parse().unwrap(), &"us-west".parse().unwrap()));
        assert!(!node.covers(&"edge-2".parse().unwrap(), &"us-west".parse().unwrap()));
        assert!(subject.covers(&"edge-2".parse().unwrap(), &"us-west".parse().unwrap()));
    }
}
