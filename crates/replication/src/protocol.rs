//! What edge hosts and the control plane say to each other about a record group, and what the hosts of one
//! group say among themselves. JSON, like the rest of the mesh: hosts of two releases speak to each other, so a reader
//! leaves aside what it does not know, and whatever is added has a default.

use locum_identity::{NodeId, RegionId};
use serde::{Deserialize, Serialize};

use crate::{Epoch, EpochStart, FrameNo, GroupId, Position, StoreId};

/// Edge host → control plane, about twice a second and at once when something changed.
///
/// Everything but `quiesced` only ever grows (or, for `renew`, ends), so a report that comes late or twice
/// takes nothing back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupReport {
    /// Which group.
    pub group: GroupId,
    /// Which durable state speaks.
    pub store: StoreId,
    /// On disk: the asker takes part in no epoch below this one.
    pub promised: Epoch,
    /// The newest *complete* copy on the asker's disk, synced. `None`: it holds nothing.
    pub copy: Option<Position>,
    /// On disk: the newest epoch in which the asker started, or was about to start, an engine.
    pub started: Epoch,
    /// The asker leads this epoch and asks for its lease to be renewed. `None` with `started` at the current
    /// epoch means that its engine is gone, and an engine is never started twice in one epoch.
    pub renew: Option<Epoch>,
    /// The asker leads, was asked to quiesce, and lets no new write begin: `copy` is the end of its epoch.
    pub quiesced: bool,
    /// The newest epoch of the history the asker knows; it is told what came after.
    pub known: Epoch,
    /// The copy has been through a contract that the asker's release does not know: the asker can hand it on, and
    /// serve nothing from it.
    #[serde(default)]
    pub outdated: bool,
}

/// Control plane → edge host: the answer to a [`GroupReport`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupView {
    /// Which group.
    pub group: GroupId,
    /// The newest epoch that has a primary; 0: none yet.
    pub epoch: Epoch,
    /// Who leads `epoch`.
    pub primary: Option<NodeId>,
    /// Where `epoch` began: the greatest position among those who promised. `None`: with an empty database.
    pub start: Option<Position>,
    /// The asker leads `epoch` and may serve for so long, counted from just before it sent its report.
    pub lease_ms: Option<u64>,
    /// The asker should promise this epoch, that is stop taking part in older ones, and report again.
    pub prepare: Option<Epoch>,
    /// The asker leads and should let no new write begin, but keep its followers supplied.
    pub quiesce: bool,
    /// Whose copies count. Empty until every allowed region has one.
    pub voters: Vec<NodeId>,
    /// The regions that may hold the group, preferred ones first. Empty: an older release does not say.
    #[serde(default)]
    pub regions: Vec<RegionId>,
    /// How many voters, the primary included, must hold a frame before it is acknowledged.
    pub w: usize,
    /// While no second voter answers, one copy is enough: the group's policy.
    #[serde(default)]
    pub single_copy: bool,
    /// How many of them are known to hold a complete copy of `epoch`.
    pub complete: usize,
    /// An epoch is being prepared and lacks so many promises: somebody should look if this stays above 0.
    pub missing: usize,
    /// When to report again, milliseconds, if nothing happens before.
    pub again_ms: u64,
    /// Epochs after the one the asker knows, oldest first.
    pub history: Vec<EpochStart>,
}

/// Primary → followers: there is something to fetch.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hint {
    /// Which group.
    pub group: GroupId,
    /// The primary's epoch.
    pub epoch: Epoch,
    /// The newest frame that is durable at the primary.
    pub frame: FrameNo,
    /// The newest frame that is acknowledged, if any.
    pub acked: Option<FrameNo>,
}

/// What a follower makes of a [`Hint`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HintAnswer {
    /// It follows that epoch and fetches.
    Fetches,
    /// It promised not to take part in that epoch: its sender's time is over.
    Fenced {
        /// What it promised.
        promised: Epoch,
    },
    /// It does not follow that epoch (yet) and asks the control plane.
    Asks,
}

/// Voter → primary: these frames of your epoch are complete and synced here.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CopyReport {
    /// Which group.
    pub group: GroupId,
    /// The primary's epoch.
    pub epoch: Epoch,
    /// Everything up to this frame.
    pub frame: FrameNo,
}
