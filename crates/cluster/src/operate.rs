//! How a network is operated: what a person at the control plane is shown.

use std::collections::BTreeMap;

use locum_identity::{NodeId, RegionId, Role};
use locum_replication::{Epoch, GroupId};
use serde::{Deserialize, Serialize};

use crate::{NodeOrder, NodeState, Subject};

/// Everything that a person can change, and what became of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationsView {
    /// Of the newest step.
    pub generation: u64,
    /// By name.
    pub nodes: Vec<NodeView>,
    /// By name.
    pub groups: Vec<GroupPlace>,
    /// Regions that are down.
    pub down: Vec<RegionId>,
    /// What people want drained.
    pub drains: Vec<Subject>,
    /// Where people want primaries.
    pub pins: BTreeMap<GroupId, RegionId>,
    /// What happened lately, oldest first.
    pub timeline: Vec<TimelineEntry>,
}

/// A node.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Which.
    pub node: NodeId,
    /// What it does.
    pub role: Role,
    /// Where.
    pub region: RegionId,
    /// What the node list says of it.
    pub state: NodeState,
    /// How often it was lost lately: the next return takes longer.
    pub strikes: u8,
    /// What it was told last.
    pub told: NodeOrder,
    /// Generation of the newest order that it obeys, as far as it said so.
    pub obeyed: u64,
    /// People or requests that it serves.
    pub sessions: u32,
}

/// Where a record group is led.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupPlace {
    /// Which group.
    pub group: GroupId,
    /// The newest epoch that has a primary.
    pub epoch: Epoch,
    /// Who leads it.
    pub primary: Option<NodeId>,
    /// Where that is.
    pub region: Option<RegionId>,
    /// It holds a lease.
    pub served: bool,
}

/// One thing that happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEntry {
    /// The generation that began with it.
    pub generation: u64,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Who: a member, or a person, whose name begins with `operator`.
    pub by: String,
    /// What, for people.
    pub what: String,
    /// Why, for people; empty if nothing more is to be said.
    pub why: String,
    /// How long what made it necessary had lasted.
    pub after_ms: u64,
}

/// Something that a person ordered, for the audit of whom it concerns: ids and words only.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ordered {
    /// The generation that began with it: no two orders have the same.
    pub generation: u64,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Who, as their certificate says.
    pub by: String,
    /// `drain`, `undrain`, `pin`, `unpin`, `promote`, `promote-accept-loss`, `remove-member` or `drill`.
    pub what: String,
    /// `Node`, `Region`, `Group` or `Network`.
    pub kind: String,
    /// Its name.
    pub subject: String,
    /// Where to, if it says that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl Ordered {
    /// Orders that are remembered on the way to the audit.
    pub const MOST: usize = 64;

    /// Whether it concerns the records of a group: its own, or all where it names a place.
    pub fn concerns(&self, group: &GroupId) -> bool {
        self.kind != "Group" || self.subject == group.as_str()
    }
}

impl NodeView {
    /// Whether it was told something that it does not obey yet, as far as it said so.
    pub fn is_behind(&self) -> bool {
        self.obeyed < self.told.generation
    }
}
