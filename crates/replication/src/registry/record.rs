//! What the registry must not forget.

use std::collections::BTreeMap;

use locum_identity::{NodeId, RegionId};
use serde::{Deserialize, Serialize};

use crate::{Epoch, History, StoreId};

/// How many lost disks of one voter are told from late reports.
const MAX_RETIRED: usize = 16;

/// A group as its operator declares it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// The regions that may hold the group; each has one voter. Where nothing else decides, the first leads.
    pub regions: Vec<RegionId>,
    /// Whether a change is acknowledged, and marked, that only the primary's region holds, while no second one
    /// answers. Otherwise the group can then only be read.
    #[serde(default)]
    pub single_copy: bool,
}

/// The durable state of one group. A change counts only once it would survive a power cut.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRecord {
    /// One for each allowed region; empty until an edge host of the region reports.
    pub seats: BTreeMap<RegionId, Option<Seat>>,
    /// The newest epoch that has a primary.
    pub epoch: Epoch,
    /// Who leads it.
    pub primary: Option<NodeId>,
    /// A voter has held a copy: from now on nothing begins empty.
    pub established: bool,
    /// Where each epoch began.
    pub history: History,
}

/// The voter of a region.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Seat {
    /// The edge host.
    pub node: NodeId,
    /// Its durable state.
    pub store: StoreId,
    /// Its promises count. `false` after it lost its disk, until it holds a complete copy of the current
    /// epoch again: its new state knows nothing of what the old one acknowledged.
    pub counted: bool,
    /// States it lost.
    pub retired: Vec<StoreId>,
}

impl GroupRecord {
    /// A group that nobody has reported on.
    pub fn new(config: &GroupConfig) -> Self {
        Self {
            seats: config.regions.iter().map(|region| (region.clone(), None)).collect(),
            epoch: Epoch::ZERO,
            primary: None,
            established: false,
            history: History::default(),
        }
    }

    /// The seat of `node`, with its region.
    pub(super) fn seat(&self, node: &NodeId) -> Option<&Seat> {
        self.seats.values().flatten().find(|seat| seat.node == *node)
    }
}

impl Seat {
    pub(super) fn new(node: NodeId, store: StoreId) -> Self {
        Self { node, store, counted: true, retired: Vec::new() }
    }

    /// The same host with another disk.
    pub(super) fn replace_store(&mut self, store: StoreId, counted: bool) {
        if self.retired.len() >= MAX_RETIRED {
            self.retired.remove(0);
        }
        self.retired.push(self.store);
        self.store = store;
        self.counted = counted;
    }
}
