//! What nodes say to a member of the control plane over the mesh, as JSON.

use std::net::{IpAddr, SocketAddr};

use locum_identity::{Jwks, RegionId};
use locum_replication::{GroupId, GroupReport, GroupStatus, GroupView, PromotionPlan};
use serde::{Deserialize, Serialize};

use crate::{Load, SignedNodeList};

/// How often a node says that it is there.
pub const HEARTBEAT_INTERVAL_MS: u64 = 500;

/// Record groups of one network, and reports in one question.
pub const MAX_GROUPS: usize = 64;

/// The one question on `locum-join/1`: make me a node.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The one-time join token.
    pub token: String,
    /// PKCS#10, PEM.
    pub certificate_request: String,
}

/// The answer to a [`JoinRequest`].
#[derive(Debug, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The node's certificate, PEM.
    pub certificate: String,
    /// What to trust from now on.
    pub trust: Trust,
}

/// What a node needs to believe others.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Trust {
    /// The authority that signs nodes' certificates, PEM.
    pub authority: String,
    /// The keys that sign node lists.
    pub list_keys: Jwks,
}

/// Questions on `locum-mesh/1` to a member of the control plane.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum NodeRequest {
    /// I am here.
    Heartbeat(Heartbeat),
    /// My certificate is getting old.
    Renew {
        /// PKCS#10, PEM.
        certificate_request: String,
    },
    /// Edges: this is how my copies of these record groups stand; at most [`MAX_GROUPS`].
    Records(Vec<GroupReport>),
    /// Whoever holds the authority's key: a person moves the primary of a record group.
    Operator(OperatorRequest),
}

/// What a person at the control plane asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum OperatorRequest {
    /// How is this group?
    Status(GroupId),
    /// What would it cost to move a group's primary?
    Plan {
        /// The group.
        group: GroupId,
        /// The region whose voter should lead.
        to: RegionId,
        /// Also when too few voters answer to rule out that acknowledged writes are missing.
        accept_loss: bool,
    },
    /// Do that, if it is still what it would cost.
    Promote(PromotionPlan),
}

/// What a node says of itself. Who it is, its certificate says.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Its public URLs, best first.
    pub addresses: Vec<String>,
    /// Its public addresses, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public: Vec<IpAddr>,
    /// Edges: the keys with which it signs tokens.
    pub jwks: Option<Jwks>,
    /// Where other nodes reach it on the mesh, if it listens there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<SocketAddr>,
    /// How busy it is.
    pub load: Load,
    /// Whether it wants nobody new.
    pub draining: bool,
    /// The version of the node list it holds; 0 = none.
    pub held_version: u64,
}

/// Answers to a [`NodeRequest`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeAnswer {
    /// To a heartbeat.
    Heartbeat {
        /// The newest list, if newer than the one held.
        list: Option<SignedNodeList>,
    },
    /// To a renewal.
    Renewed {
        /// The node's new certificate, PEM.
        certificate: String,
    },
    /// To reports on record groups, in their order.
    Records(Vec<GroupView>),
    /// How the group is: to a question of status, and to a promotion, which happens soon or not at all.
    Status(GroupStatus),
    /// To a question of what a promotion would cost.
    Plan(PromotionPlan),
}
