//! The control plane's side of a group: who is primary of which epoch.
//!
//! What must survive a crash is the [`GroupRecord`]. [`GroupRegistry::next`] gives the next one when one is
//! due; it counts only once [`GroupRegistry::commit`] was told that it is on disk, and nobody is told of it
//! before. Everything else may be forgotten: voters say it again, and a promise is on the voter's own disk.

mod heard;
mod promotion;
mod record;
mod voters;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use locum_identity::{NodeId, RegionId};
use serde::{Deserialize, Serialize};

use crate::{
    Epoch, EpochStart, GroupId, GroupReport, GroupView, LEASE, MARGIN, POLL, POLL_SOON, promise_quorum,
    write_quorum,
};

use heard::Heard;
use promotion::Wish;
pub use promotion::{AtRisk, PromoteError, Promotion, PromotionPlan};
pub use record::{GroupConfig, GroupRecord, Seat};
pub use voters::VoterStatus;

/// A promise further ahead than this is damage, not a promise: believing it would spend all epochs.
const MAX_AHEAD: u64 = 1 << 32;
/// This process looks at its groups ten times a second: a longer gap means that it did not run, and that
/// primaries could not renew whatever they tried.
const AWAY: Duration = Duration::from_millis(1_000);
/// How long they then have for it.
const COME_BACK_WITHIN: Duration = Duration::from_millis(1_500);

/// The declared regions are not those the group was made with.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("group `{group}` was made for regions {made_for:?}; changing them is not possible yet")]
pub struct OtherRegions {
    /// The group.
    pub group: GroupId,
    /// Its regions, in the order of their names.
    pub made_for: Vec<RegionId>,
}

/// A report that is not taken in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReportRefused {
    /// It speaks of an epoch that cannot be.
    #[error("the report speaks of an epoch too far ahead")]
    TooFarAhead,
}

/// How a group is, for metrics and people.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupStatus {
    /// The newest epoch that has a primary.
    pub epoch: Epoch,
    /// Who leads it.
    pub primary: Option<NodeId>,
    /// The primary holds a lease now.
    pub served: bool,
    /// The epoch being prepared.
    pub preparing: Option<Epoch>,
    /// How many promises that still lacks.
    pub missing: usize,
    /// How many voters were heard from lately and hold a complete copy of `epoch`.
    pub complete: usize,
    /// How many voters there are to be.
    pub voters: usize,
    /// Hosts that hold a copy which their region may not hold: restored to the wrong place.
    #[serde(default)]
    pub misplaced: Vec<NodeId>,
}

/// The state machine of one group. `now` is the time since this process began, on a clock that never goes
/// back.
#[derive(Clone, Debug)]
pub struct GroupRegistry {
    group: GroupId,
    /// Allowed regions, preferred ones first.
    regions: Vec<RegionId>,
    single_copy: bool,
    record: GroupRecord,
    heard: BTreeMap<NodeId, Heard>,
    /// Hold a copy which their region may not hold.
    misplaced: BTreeSet<NodeId>,
    /// Until then somebody may still hold a lease.
    leased_until: Duration,
    looked_at: Duration,
    /// The primary of the current epoch asked for its lease at least once.
    renewed: bool,
    /// The primary of the epoch before, if it never did.
    failed: Option<NodeId>,
    /// The epoch being prepared. From its beginning to its end no lease is granted.
    round: Option<Epoch>,
    wish: Option<Wish>,
}

impl GroupRegistry {
    /// From what was on disk. Nobody knows which leases were granted before, but no report on which one was
    /// granted arrived after `granted_until`: see [`crate::Round`].
    ///
    /// # Errors
    /// [`OtherRegions`].
    pub fn new(
        group: GroupId,
        config: &GroupConfig,
        record: Option<GroupRecord>,
        granted_until: Duration,
        now: Duration,
    ) -> Result<Self, OtherRegions> {
        let record = record.unwrap_or_else(|| GroupRecord::new(config));
        let declared = GroupRecord::new(config).seats;
        if !declared.keys().eq(record.seats.keys()) {
            return Err(OtherRegions { group, made_for: record.seats.into_keys().collect() });
        }
        Ok(Self {
            group,
            regions: config.regions.clone(),
            single_copy: config.single_copy,
            record,
            heard: BTreeMap::new(),
            misplaced: BTreeSet::new(),
            // A primary that lives needs a moment to find whom to ask now.
            leased_until: (granted_until + LEASE + MARGIN).max(now + COME_BACK_WITHIN),
            looked_at: now,
            renewed: false,
            failed: None,
            round: None,
            wish: None,
        })
    }

    /// What is on disk.
    pub fn record(&self) -> &GroupRecord {
        &self.record
    }

    /// Takes in a report of `node`, which its certificate places in `region`. Then [`Self::next`] and
    /// [`Self::commit`] until there is nothing more to write, then [`Self::view`] for the answer.
    ///
    /// # Errors
    /// [`ReportRefused`].
    pub fn hear(
        &mut self,
        node: &NodeId,
        region: &RegionId,
        report: &GroupReport,
        now: Duration,
    ) -> Result<(), ReportRefused> {
        let newest = report.promised.max(report.started).0;
        if newest.saturating_sub(self.record.epoch.0) > MAX_AHEAD {
            return Err(ReportRefused::TooFarAhead);
        }
        let late = match self.record.seats.get(region) {
            // A region that may not hold the group.
            None => true,
            Some(Some(seat)) => seat.node != *node || seat.retired.contains(&report.store),
            // The first to come gets the seat.
            Some(None) => self.heard.iter().any(|(other, heard)| other != node && heard.region == *region),
        };
        if !self.record.seats.contains_key(region) && report.copy.is_some() {
            self.misplaced.insert(node.clone());
        } else {
            self.misplaced.remove(node);
        }
        if !late {
            match self.heard.get_mut(node).filter(|heard| heard.store == report.store) {
                Some(heard) => heard.merge(report, now),
                None => drop(self.heard.insert(node.clone(), Heard::new(region, report, now))),
            }
        }
        self.look(now);
        Ok(())
    }

    /// Time passed: begins to prepare an epoch if one is due.
    pub fn look(&mut self, now: Duration) {
        self.forget_old_wish(now);
        self.wish_for_another_than_an_outdated(now);
        if now.saturating_sub(self.looked_at) > AWAY {
            self.leased_until = self.leased_until.max(now + COME_BACK_WITHIN);
        }
        self.looked_at = now;
        let due = self.round.is_some() || self.record.primary.is_none() || self.is_over(now);
        if due && let Some(next) = self.next_epoch() {
            self.round = Some(next);
        }
    }

    /// The record that must be written before anybody is answered, if it is another than the one there is.
    pub fn next(&self, now: Duration) -> Option<GroupRecord> {
        let mut next = self.record.clone();
        self.fill_seats(&mut next);
        if next == self.record {
            self.appoint(&mut next, now);
        }
        (next != self.record).then_some(next)
    }

    /// `record`, as [`Self::next`] gave it, is on disk: from now on it counts.
    pub fn commit(&mut self, record: GroupRecord, now: Duration) {
        if record.epoch > self.record.epoch {
            let began = self.began();
            self.failed = self.record.primary.take().filter(|_| !began);
            self.renewed = false;
            self.round = None;
            self.wish = None;
            // As long as after a renewal to begin.
            self.leased_until = now + LEASE + MARGIN;
        }
        self.record = record;
        self.look(now);
    }

    /// The answer to `node`. Grants the lease it holds.
    pub fn view(&mut self, node: &NodeId, known: Epoch, now: Duration) -> GroupView {
        let leads = self.round.is_none() && self.record.primary.as_ref() == Some(node);
        let running = self.heard.get(node).is_some_and(|heard| heard.running == Some(self.record.epoch));
        let granted = leads && running && self.counts(node);
        if granted {
            self.renewed = true;
            self.leased_until = now + LEASE + MARGIN;
        }
        let lease_ms = u64::try_from(LEASE.as_millis()).unwrap_or(0);
        let promised = self.heard.get(node).map(|heard| heard.promised);
        let seated = self.record.seat(node).is_some();
        let status = self.status(now);
        let soon = self.round.is_some() || !self.renewed;
        GroupView {
            group: self.group.clone(),
            epoch: self.record.epoch,
            primary: self.record.primary.clone(),
            start: self.record.history.since(Epoch::ZERO).last().and_then(|newest| newest.start),
            lease_ms: granted.then_some(lease_ms),
            prepare: self.round.filter(|round| seated && promised < Some(*round)),
            quiesce: leads && self.wants_quiet(),
            voters: self.voters(),
            regions: self.regions.clone(),
            w: write_quorum(self.regions.len()),
            single_copy: self.single_copy,
            complete: self.complete().count(),
            missing: status.missing,
            again_ms: u64::try_from(if soon { POLL_SOON } else { POLL }.as_millis()).unwrap_or(0),
            history: self.record.history.since(known).to_vec(),
        }
    }

    /// How the group is.
    pub fn status(&self, now: Duration) -> GroupStatus {
        let promised = self.round.map_or(0, |round| self.promised(round, now).len());
        GroupStatus {
            epoch: self.record.epoch,
            primary: self.record.primary.clone(),
            served: self.renewed && self.round.is_none() && now < self.leased_until,
            preparing: self.round,
            missing: self.round.map_or(0, |_| promise_quorum(self.regions.len()).saturating_sub(promised)),
            complete: self.complete().filter(|heard| heard.is_fresh(now)).count(),
            voters: self.regions.len(),
            misplaced: self.misplaced.iter().cloned().collect(),
        }
    }

    /// The voters that said of themselves that they hold a complete copy of the newest epoch.
    fn complete(&self) -> impl Iterator<Item = &Heard> {
        let epoch = self.record.epoch;
        let heard = self.seats().filter_map(|seat| self.heard.get(&seat.node));
        heard.filter(move |heard| epoch > Epoch::ZERO && heard.copy.is_some_and(|copy| copy.epoch == epoch))
    }

    fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.regions.iter().filter_map(|region| self.record.seats.get(region)?.as_ref())
    }

    /// All of them or none: as long as a seat is empty nothing begins.
    fn voters(&self) -> Vec<NodeId> {
        let voters: Vec<NodeId> = self.seats().map(|seat| seat.node.clone()).collect();
        if voters.len() == self.regions.len() { voters } else { Vec::new() }
    }

    /// Whether `node`'s promises count: it has a seat, and the disk it always had.
    fn counts(&self, node: &NodeId) -> bool {
        let heard = self.heard.get(node).map(|heard| heard.store);
        self.record
            .seat(node)
            .is_some_and(|seat| seat.counted && heard.is_none_or(|store| store == seat.store))
    }

    /// Whether the epoch of the primary there is must end.
    fn is_over(&self, now: Duration) -> bool {
        let Some(primary) = &self.record.primary else { return false };
        let epoch = self.record.epoch;
        let spent = self
            .heard
            .get(primary)
            .is_some_and(|heard| heard.started >= epoch && heard.running != Some(epoch));
        // Somebody promised more than there is: a round that this process no longer knows of. Whoever did
        // takes no part in this epoch any more, whether its promise counts or not.
        let abandoned = self.heard.values().any(|heard| heard.promised > epoch);
        now >= self.leased_until || spent || !self.counts(primary) || abandoned || self.moves_now()
    }

    /// Above all epochs that were ever promised to anybody.
    fn next_epoch(&self) -> Option<Epoch> {
        let next = self.record.epoch.next()?;
        let promised =
            self.heard.iter().filter(|(node, _)| self.counts(node)).map(|(_, heard)| heard.promised);
        promised.max().max(self.round).max(Some(next))
    }

    /// Who counts, was heard from lately, and takes part in no epoch below `round`.
    fn promised(&self, round: Epoch, now: Duration) -> Vec<(&NodeId, &Heard)> {
        let counts = |(node, heard): &(&NodeId, &Heard)| {
            self.counts(node) && heard.is_fresh(now) && heard.promised >= round
        };
        self.heard.iter().filter(counts).collect()
    }

    fn fill_seats(&self, next: &mut GroupRecord) {
        for (node, heard) in &self.heard {
            let Some(seat) = next.seats.get_mut(&heard.region) else { continue };
            match seat {
                None => *seat = Some(Seat::new(node.clone(), heard.store)),
                Some(seat) if seat.node != *node => {}
                Some(seat) if seat.store != heard.store => {
                    seat.replace_store(heard.store, self.record.epoch == Epoch::ZERO);
                }
                // Begun after its disk was lost, and complete: it holds what the old one held of this epoch.
                Some(seat) if heard.copy.is_some_and(|copy| copy.epoch == self.record.epoch) => {
                    seat.counted = true;
                }
                Some(_) => {}
            }
            next.established |= heard.copy.is_some();
        }
    }

    /// Ends the round if enough have promised.
    fn appoint(&self, next: &mut GroupRecord, now: Duration) {
        let Some(round) = self.round else { return };
        let promised = self.promised(round, now);
        let needed = promise_quorum(self.regions.len());
        let too_few = promised.len() < needed;
        if self.voters().is_empty() || (too_few && !self.may_do_with(promised.len(), now)) {
            return;
        }
        // Whom a person wants is waited for as long as it answers; a lost one delays the rest by no more than that.
        if self.wished().is_some_and(|wished| wished.is_fresh(now) && wished.promised < round) {
            return;
        }
        // Whoever was appointed in vain, without room on its disk for instance, is passed over even if it holds more: where
        // enough others promise, what it alone holds was never acknowledged. They are waited for as long as they answer.
        let is_able = |node: &NodeId| !self.was_in_vain(node) || self.is_wished(node);
        let able: Vec<_> = promised.iter().filter(|(node, _)| is_able(node)).copied().collect();
        let answering = self.answering(now).filter(|(node, _)| is_able(node));
        let eligible = match (able.len() >= needed, answering.count() >= needed) {
            (true, _) if able.iter().any(|(_, heard)| heard.copy.is_some()) => able,
            (false, true) => return,
            _ => promised.clone(),
        };
        let Some(greatest) = eligible.iter().map(|(_, heard)| heard.copy).max() else { return };
        let begins = greatest.is_none();
        let nobody_holds_any = !self.record.established && self.misplaced.is_empty();
        let all_empty = nobody_holds_any && promised.len() == self.regions.len();
        if begins && !all_empty {
            return;
        }
        // Nobody who never had a primary can hold a lease; but a registry that lost its record cannot know.
        let nobody_ever_led = self.record.primary.is_none() && begins;
        let stopped = |(node, _): &(&NodeId, &Heard)| Some(*node) == self.record.primary.as_ref();
        if now < self.leased_until && !promised.iter().any(stopped) && !nobody_ever_led {
            return;
        }
        let candidates = eligible.into_iter().filter(|(_, heard)| heard.copy == greatest);
        let Some((winner, _)) = candidates.min_by_key(|(node, heard)| self.rank(node, &heard.region)) else {
            return;
        };
        if too_few && self.accepts_loss() != Some(winner) {
            return;
        }
        next.epoch = round;
        next.primary = Some(winner.clone());
        next.history.push(EpochStart {
            epoch: round,
            primary: winner.clone(),
            start: greatest,
            accepted_loss: too_few,
        });
    }

    /// Whether a person accepts what fewer promises may cost, and everybody who answers is among the
    /// `promised`.
    fn may_do_with(&self, promised: usize, now: Duration) -> bool {
        self.accepts_loss().is_some() && promised == self.answering(now).count()
    }

    /// Who counts and was heard from lately.
    fn answering(&self, now: Duration) -> impl Iterator<Item = (&NodeId, &Heard)> {
        self.heard.iter().filter(move |(node, heard)| self.counts(node) && heard.is_fresh(now))
    }

    /// Among equals: whom a person wants, then who can serve what it holds, not whoever was just appointed in vain, then
    /// as declared.
    fn rank(&self, node: &NodeId, region: &RegionId) -> (bool, bool, bool, usize) {
        let outdated = self.heard.get(node).is_some_and(|heard| heard.outdated);
        let declared = self.regions.iter().position(|declared| declared == region);
        (!self.is_wished(node), outdated, self.was_in_vain(node), declared.unwrap_or(usize::MAX))
    }

    /// Whether `node` was just appointed and did not begin. It may have held a lease while it tried.
    fn was_in_vain(&self, node: &NodeId) -> bool {
        (!self.began() && self.record.primary.as_ref() == Some(node)) || self.failed.as_ref() == Some(node)
    }

    /// Whether the epoch's primary has anything of it.
    fn began(&self) -> bool {
        let primary = self.record.primary.as_ref().and_then(|primary| self.heard.get(primary));
        primary.is_some_and(|primary| primary.copy.is_some_and(|copy| copy.epoch == self.record.epoch))
    }
}

#[cfg(test)]
mod tests;
