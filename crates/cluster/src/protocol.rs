//! What nodes say to a member of the control plane over the mesh, as JSON. Nodes of two releases speak to one member: a
//! reader leaves aside what it does not know, and whatever is added has a default.

use std::net::{IpAddr, SocketAddr};

use locum_identity::{Jwks, NodeId, RegionId};
use locum_replication::{GroupId, GroupReport, GroupStatus, GroupView, PromotionPlan};
use serde::{Deserialize, Serialize};

use crate::operate::{OperationsView, Ordered};
use crate::probe::MediaProbe;
use crate::{Load, NodeOrder, SignedNodeList, Wish, several};

/// How often a node says that it is there.
pub const HEARTBEAT_INTERVAL_MS: u64 = 500;

/// Record groups of one network, and reports in one question.
pub const MAX_GROUPS: usize = 64;

/// The one question on `locum-join/1`: make me a node.
#[derive(Serialize, Deserialize)]
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
    /// Members of the control plane: the number under which the others know the node's disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u64>,
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
#[serde(rename_all = "kebab-case")]
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
    /// Members of the control plane among themselves, in words of their own.
    Member(serde_json::Value),
}

/// What a person at the control plane asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Who are the members of the control plane?
    Members,
    /// One of them leaves.
    RemoveMember {
        /// Its name.
        node: NodeId,
        /// Its number: a member that came back under the name of one that was lost is another one.
        id: u64,
    },
    /// What would follow from this wish at once?
    Preview(Wish),
    /// Keep this wish, until it is taken back.
    Wish(Wish),
    /// A drill begins: this fault is about to be made.
    Drill(FaultName),
    /// How is the network operated?
    Operations,
}

/// What a drill does to a network, in one word such as `region-loss`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct FaultName(String);

impl FaultName {
    const LONGEST: usize = 32;
}

impl std::str::FromStr for FaultName {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let fits = (1..=Self::LONGEST).contains(&text.len());
        (is_word && fits).then(|| Self(text.to_owned())).ok_or("a fault is 1 to 32 of a-z and hyphens")
    }
}

impl TryFrom<String> for FaultName {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FaultName> for String {
    fn from(name: FaultName) -> Self {
        name.0
    }
}

impl std::fmt::Display for FaultName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A member of the control plane, for people.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ControlMember {
    /// Stands for its disk; never given twice.
    pub id: u64,
    /// Its name.
    pub node: NodeId,
    /// Where. Not known of one that leaves.
    pub region: Option<RegionId>,
    /// Where it answers on the mesh.
    pub address: Option<SocketAddr>,
    /// How long ago it was heard from.
    pub heard_ms: Option<u64>,
    /// It leads.
    pub leads: bool,
    /// It votes; otherwise it is on its way in.
    pub votes: bool,
    /// It has lost its seat and is on its way out: until it is gone from here, the others count on it.
    #[serde(default)]
    pub leaves: bool,
    /// It declares other record groups than the leader: were it to lead, they would change.
    #[serde(default)]
    pub other_groups: bool,
    /// How many entries it lacks, if that is known.
    pub behind: Option<u64>,
}

/// What a node says of itself. Who it is, its certificate says.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its public URLs, best first.
    pub addresses: Vec<String>,
    /// Edges: the keys with which it signs tokens.
    pub jwks: Option<Jwks>,
    /// Where other nodes reach it on the mesh, best first; none: it does not listen there.
    #[serde(default, with = "several", skip_serializing_if = "Vec::is_empty")]
    pub mesh: Vec<SocketAddr>,
    /// Its own public addresses, one for each of its links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public: Vec<IpAddr>,
    /// Media nodes: how to try whether media gets through. For members of the control plane only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<MediaProbe>,
    /// Members of the control plane: which one, as the others number them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u64>,
    /// Members of the control plane: a checksum of the record groups that its configuration declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<u32>,
    /// How busy it is.
    pub load: Load,
    /// Whether it wants nobody new.
    pub draining: bool,
    /// The version of the node list it holds; 0 = none.
    pub held_version: u64,
    /// Generation of the newest order that it obeys; 0 = none.
    #[serde(default)]
    pub obeyed: u64,
    /// Edges: generation of the newest order of a person that it heard of; 0 = none.
    #[serde(default)]
    pub heard_of: u64,
}

/// Answers to a [`NodeRequest`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeAnswer {
    /// To a heartbeat.
    Heartbeat {
        /// The newest list, if newer than the one held.
        list: Option<SignedNodeList>,
        /// What this node was told last. It is said again with every answer; a node refuses what is older than what
        /// it obeys.
        #[serde(default)]
        order: NodeOrder,
        /// Edges: what people ordered lately and this host has not heard of, oldest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ordered: Vec<Ordered>,
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
    /// To a question about the members of the control plane, in the order of their names.
    Members(Vec<ControlMember>),
    /// To a preview: what would be done, for people; nothing, if the wish is kept already.
    Preview(Vec<String>),
    /// To a wish, which is kept then, and to a question about operations.
    Operations(Box<OperationsView>),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of two releases speak to one member, and a member of one release to nodes of two.
    #[test]
    fn what_a_newer_release_adds_is_left_aside() {
        let load = r#"{"sessions":1,"capacity":2,"cpu_permille":3,"newer":1}"#;
        for question in [
            format!(
                r#"{{"heartbeat":{{"addresses":[],"jwks":null,"load":{load},"draining":false,"held_version":1,"newer":1}}}}"#
            ),
            r#"{"renew":{"certificate_request":"pem","newer":1}}"#.to_owned(),
            r#"{"records":[{"group":"main","store":1,"promised":2,"copy":{"epoch":1,"frame":2,"newer":1},"started":2,
                "renew":null,"quiesced":false,"known":0,"newer":1}]}"#
                .to_owned(),
            r#"{"operator":{"plan":{"group":"main","to":"us-west","accept_loss":false,"newer":1}}}"#.to_owned(),
        ] {
            assert!(serde_json::from_str::<NodeRequest>(&question).is_ok(), "{question}");
        }
        let answer = r#"{"records":[{"group":"main","epoch":1,"primary":null,"start":null,"lease_ms":null,
            "prepare":null,"quiesce":false,"voters":[],"w":2,"complete":0,"missing":0,"again_ms":1,"history":[],
            "newer":1}]}"#;
        assert!(serde_json::from_str::<NodeAnswer>(answer).is_ok());
        assert!(serde_json::from_str::<NodeRequest>(r#"{"newer":1}"#).is_err(), "refused, and nothing else");
        let join = r#"{"token":"a","certificate_request":"pem","newer":1}"#;
        assert!(serde_json::from_str::<JoinRequest>(join).is_ok());
    }
}
