//! The node list: who is there, where, in which state; versioned and signed by the control plane.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use locum_identity::{Jwks, NodeId, RegionId, Role, SigningKey, VerifyError};
use serde::{Deserialize, Serialize};

use crate::Load;

const TYPE: &str = "locum-nodes+jwt";

/// What the control plane thinks of a node.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// It answers.
    Up,
    /// It asked for nobody new.
    Draining,
    /// It was not heard from for a while.
    Down,
}

impl NodeState {
    /// Every state, in a fixed order.
    pub const ALL: [NodeState; 3] = [NodeState::Up, NodeState::Draining, NodeState::Down];

    /// Its text: `up`, `draining` or `down`.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeState::Up => "up",
            NodeState::Draining => "draining",
            NodeState::Down => "down",
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One node of the list.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRecord {
    /// Its name.
    pub id: NodeId,
    /// What it does.
    pub role: Role,
    /// Where.
    pub region: RegionId,
    /// Its public URLs, best first.
    pub addresses: Vec<String>,
    /// Its public addresses, best first: what its names lead to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public: Vec<IpAddr>,
    /// Edges: the keys with which it signs tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Jwks>,
    /// Where other nodes reach it on the mesh, if it listens there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<SocketAddr>,
    /// How busy it was when last worth telling: coarse on purpose, so that the list changes rarely.
    pub load: Load,
    /// What the control plane thinks of it.
    pub state: NodeState,
}

/// Every node that joined the network.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeList {
    /// Grows by one with each change. A reader never goes back to a smaller one.
    pub version: u64,
    /// When this version was made, milliseconds since 1970.
    pub issued_at_ms: i64,
    /// Ordered by id.
    pub nodes: Vec<NodeRecord>,
}

impl NodeList {
    /// The union of the keys with which edges sign tokens, also of edges that are down: their tokens are
    /// still good.
    pub fn token_keys(&self) -> Jwks {
        let keys =
            self.nodes.iter().filter(|node| node.role == Role::Edge).filter_map(|node| node.jwks.as_ref());
        Jwks { keys: keys.flat_map(|jwks| jwks.keys.iter().cloned()).collect() }
    }
}

/// A [`NodeList`] as a compact JWS, as clients get it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedNodeList(String);

impl SignedNodeList {
    /// Signs `list`.
    ///
    /// # Errors
    /// [`serde_json::Error`], which no valid list gives.
    pub fn sign(list: &NodeList, key: &SigningKey) -> Result<Self, serde_json::Error> {
        key.sign_typed(TYPE, list).map(Self)
    }

    /// The list, if one of `keys` signed it.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(&self, keys: &Jwks) -> Result<NodeList, VerifyError> {
        keys.verify_typed(TYPE, &self.0)
    }

    /// The compact JWS.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_list_verifies_only_as_a_list_and_with_its_key() {
        let key = SigningKey::generate().unwrap();
        let list = NodeList { version: 7, issued_at_ms: 1, nodes: Vec::new() };
        let signed = SignedNodeList::sign(&list, &key).unwrap();
        assert_eq!(signed.verify(&key.jwks()).unwrap(), list);
        let other = SigningKey::generate().unwrap();
        assert_eq!(signed.verify(&other.jwks()), Err(VerifyError::UnknownKey));
        let not_a_list = SignedNodeList(key.sign_jws(&list).unwrap());
        assert_eq!(not_a_list.verify(&key.jwks()), Err(VerifyError::Type));
    }
}
