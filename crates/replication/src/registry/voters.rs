//! How a group's voters are, for whoever plans where it is led.

use std::time::Duration;

use locum_identity::{NodeId, RegionId};

use super::GroupRegistry;

/// One voter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VoterStatus {
    /// Its host.
    pub node: NodeId,
    /// Its region.
    pub region: RegionId,
    /// It was heard from lately, its disk counts, and it holds a complete copy of the current epoch.
    pub is_current: bool,
    /// How many frames it lacks of what the primary told last.
    pub behind: u64,
}

impl GroupRegistry {
    /// Every voter there is, preferred regions first.
    pub fn voter_statuses(&self, now: Duration) -> Vec<VoterStatus> {
        let copy = |node: &NodeId| {
            let copy = self.heard.get(node)?.copy?;
            (copy.epoch == self.record.epoch).then_some(copy.frame.0)
        };
        let led = self.record.primary.as_ref().and_then(copy).unwrap_or(0);
        let status = |region: &RegionId| {
            let node = &self.record.seats.get(region)?.as_ref()?.node;
            let answers = self.heard.get(node).is_some_and(|heard| heard.is_fresh(now)) && self.counts(node);
            let held = copy(node).filter(|_| answers);
            Some(VoterStatus {
                node: node.clone(),
                region: region.clone(),
                is_current: held.is_some(),
                behind: held.map_or(u64::MAX, |held| led.saturating_sub(held)),
            })
        };
        self.regions.iter().filter_map(status).collect()
    }

    /// Whether somebody asked for the primary to move, or an epoch is being prepared.
    pub fn is_moving(&self) -> bool {
        self.wish.is_some() || self.round.is_some()
    }
}
