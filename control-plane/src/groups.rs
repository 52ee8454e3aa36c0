//! The record groups of the network: one registry each, all in the member's one record.

use std::collections::BTreeMap;
use std::time::Duration;

use locum_identity::{NodeId, NodeIdentity, RegionId};
use locum_replication::{
    Epoch, GroupConfig, GroupId, GroupRecord, GroupRegistry, GroupReport, GroupStatus, GroupView,
    OtherRegions, PromoteError, Promotion, PromotionPlan, ReportRefused,
};
use tracing::warn;

use crate::plan::GroupSight;

/// Why reports are not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("group `{0}` is not one of this network")]
    Unknown(GroupId),
    #[error("{0} has no voter in this group")]
    NoVoter(RegionId),
    #[error("move the primary")]
    Promote(#[from] PromoteError),
    #[error("too many reports in one question")]
    TooMany,
    #[error("report on group `{group}`")]
    Report {
        group: GroupId,
        #[source]
        source: ReportRefused,
    },
}

/// Every declared group.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    registries: BTreeMap<GroupId, GroupRegistry>,
    checksum: u32,
}

/// Of what a configuration declares: all members must declare the same.
pub(crate) fn checksum(declared: &BTreeMap<GroupId, GroupConfig>) -> u32 {
    // Names and lists of names can always be written.
    crc32fast::hash(&serde_json::to_vec(declared).unwrap_or_default())
}

impl Groups {
    /// The declared groups, as they stood on disk. No lease was granted on a report that arrived after
    /// `granted_until`.
    pub(crate) fn new(
        declared: &BTreeMap<GroupId, GroupConfig>,
        records: &BTreeMap<GroupId, GroupRecord>,
        granted_until: Duration,
        now: Duration,
    ) -> Result<Self, OtherRegions> {
        let open = |(group, config): (&GroupId, &GroupConfig)| {
            let registry =
                GroupRegistry::new(group.clone(), config, records.get(group).cloned(), granted_until, now)?;
            Ok((group.clone(), registry))
        };
        let registries = declared.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { registries, checksum: checksum(declared) })
    }

    /// [`checksum`] of what this member declares.
    pub(crate) fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Says which groups of the record are declared no more.
    pub(crate) fn warn_of_undeclared(&self, records: &BTreeMap<GroupId, GroupRecord>) {
        for group in records.keys().filter(|group| !self.registries.contains_key(group)) {
            warn!(%group, "a record group is no longer declared: nobody leads it");
        }
    }

    /// Takes in what an edge host says.
    pub(crate) fn hear(
        &mut self,
        from: &NodeIdentity,
        report: &GroupReport,
        now: Duration,
    ) -> Result<(), GroupError> {
        let group = &report.group;
        let registry = self.registries.get_mut(group).ok_or_else(|| GroupError::Unknown(group.clone()))?;
        registry
            .hear(&from.node, &from.region, report, now)
            .map_err(|source| GroupError::Report { group: group.clone(), source })
    }

    /// How a group is.
    pub(crate) fn status(&self, group: &GroupId, now: Duration) -> Result<GroupStatus, GroupError> {
        self.find(group).map(|registry| registry.status(now))
    }

    /// What moving a group's primary would cost.
    pub(crate) fn plan(
        &self,
        group: &GroupId,
        to: &RegionId,
        accept_loss: bool,
        now: Duration,
    ) -> Result<PromotionPlan, GroupError> {
        let registry = self.find(group)?;
        let target = registry.voter_of(to).ok_or_else(|| GroupError::NoVoter(to.clone()))?;
        Ok(registry.plan(target, accept_loss, now)?)
    }

    /// Whether a region has a voter of this group.
    pub(crate) fn check_voter(&self, group: &GroupId, region: &RegionId) -> Result<(), GroupError> {
        let voter = self.find(group)?.voter_of(region);
        voter.map(drop).ok_or_else(|| GroupError::NoVoter(region.clone()))
    }

    /// Begins to carry out a plan.
    pub(crate) fn promote(&mut self, plan: &PromotionPlan, now: Duration) -> Result<(), GroupError> {
        let unknown = || GroupError::Unknown(plan.group.clone());
        Ok(self.registries.get_mut(&plan.group).ok_or_else(unknown)?.promote(plan, now)?)
    }

    /// How each group is led, for the planner.
    pub(crate) fn sights(&self, now: Duration) -> Vec<GroupSight> {
        let sight = |(group, registry): (&GroupId, &GroupRegistry)| {
            let status = registry.status(now);
            GroupSight {
                group: group.clone(),
                epoch: status.epoch,
                is_served: status.served,
                is_moving: registry.is_moving(),
                leads: status.primary,
                voters: registry.voter_statuses(now),
            }
        };
        self.registries.iter().map(sight).collect()
    }

    /// Lets a group's primary move while it lives, if `epoch` is still the one it leads.
    pub(crate) fn move_primary(
        &mut self,
        group: &GroupId,
        epoch: Epoch,
        to: &NodeId,
        now: Duration,
    ) -> Result<(), GroupError> {
        let unknown = || GroupError::Unknown(group.clone());
        let registry = self.registries.get_mut(group).ok_or_else(unknown)?;
        let plan = registry.plan(to, false, now)?;
        if plan.epoch != epoch || plan.promotion != Promotion::Switchover {
            return Err(PromoteError::Changed.into());
        }
        Ok(registry.promote(&plan, now)?)
    }

    fn find(&self, group: &GroupId) -> Result<&GroupRegistry, GroupError> {
        self.registries.get(group).ok_or_else(|| GroupError::Unknown(group.clone()))
    }

    /// Time passed.
    pub(crate) fn look(&mut self, now: Duration) {
        for registry in self.registries.values_mut() {
            registry.look(now);
        }
    }

    /// A group's record that must be on disk before anybody is answered.
    pub(crate) fn next(&self, now: Duration) -> Option<(GroupId, GroupRecord)> {
        self.registries.iter().find_map(|(group, registry)| Some((group.clone(), registry.next(now)?)))
    }

    /// It is on disk.
    pub(crate) fn commit(&mut self, group: &GroupId, record: GroupRecord, now: Duration) {
        if let Some(registry) = self.registries.get_mut(group) {
            registry.commit(record, now);
        }
    }

    /// The answer to a report that was heard.
    pub(crate) fn view(
        &mut self,
        from: &NodeIdentity,
        report: &GroupReport,
        now: Duration,
    ) -> Option<GroupView> {
        Some(self.registries.get_mut(&report.group)?.view(&from.node, report.known, now))
    }

    /// How each group is.
    pub(crate) fn statuses(&self, now: Duration) -> impl Iterator<Item = (&GroupId, GroupStatus)> {
        self.registries.iter().map(move |(group, registry)| (group, registry.status(now)))
    }
}
