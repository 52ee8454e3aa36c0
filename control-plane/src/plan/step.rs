//! One step of a plan.

use locum_cluster::Wish;
use locum_identity::{NodeId, RegionId};
use locum_replication::{Epoch, GroupId};
use serde::{Deserialize, Serialize};

use crate::health::{Change, Evidence};

/// Something to do, once. Its generation is the record's next one: applied twice, or late, it is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Step {
    /// The generation that begins with it.
    pub(crate) generation: u64,
    /// What.
    pub(crate) action: Action,
    /// How long what made it necessary had lasted, milliseconds.
    pub(crate) after_ms: u64,
}

/// What a step does. This is also what the timeline says of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Action {
    /// A node's standing changes: out of the list, or back into it. A media node that is lost is also told to
    /// send its rooms elsewhere, should it hear that.
    Node {
        /// Which.
        node: NodeId,
        /// How.
        change: Change,
        /// On what grounds.
        evidence: Evidence,
    },
    /// A region has no node left, or has one again.
    Region {
        /// Which.
        region: RegionId,
        /// Whether it is down now.
        down: bool,
    },
    /// A node is told to take nobody new and to send away whom it has, or that it may take people again.
    Tell {
        /// Which.
        node: NodeId,
        /// Which of both.
        drain: bool,
    },
    /// The primary of a record group moves while it lives: it comes to rest, the target catches up, the epoch
    /// changes. Void if another epoch began meanwhile.
    MovePrimary {
        /// Which group.
        group: GroupId,
        /// The epoch that is to end.
        epoch: Epoch,
        /// Who should lead next.
        to: NodeId,
        /// Why.
        because: Because,
    },
    /// A person wants something, or no longer.
    Wish(Wish),
    /// A person moves the primary of a record group.
    Promote {
        /// Which group.
        group: GroupId,
        /// The epoch that is to end.
        epoch: Epoch,
        /// Who should lead next.
        to: NodeId,
        /// Also when acknowledged writes may be lost by it.
        accept_loss: bool,
    },
    /// A person takes a member of the control plane its seat.
    RemoveMember {
        /// Which.
        node: NodeId,
    },
    /// A person has the network lose a part, to see how it comes back.
    Drill {
        /// Which fault.
        fault: String,
    },
    /// A record group has a new primary, whoever wanted that.
    Led {
        /// Which group.
        group: GroupId,
        /// The epoch that began.
        epoch: Epoch,
        /// Who leads it.
        by: NodeId,
    },
}

/// Why a primary moves.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Because {
    /// Its host or region is drained.
    Drained,
    /// Nobody outside reaches its host, which goes on all the same: others still follow it over the mesh.
    Lost,
    /// A person wants it elsewhere, and it can be there.
    Pinned,
}
