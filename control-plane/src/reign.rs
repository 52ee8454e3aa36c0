//! A member that leads lives the life of a single one: it begins with what the others have agreed on, and ends at once
//! when it is not sure to lead any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use locum_identity::NodeIdentity;
use locum_replication::{GroupConfig, GroupId, LEASE, MARGIN, OtherRegions};
use locum_telemetry::config::chain;
use metrics::{counter, gauge};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::groups::Groups;
use crate::life::{Clock, Command, Life};
use crate::member::{Keys, Member};
use crate::membership::{Record, Seat};
use crate::quorum::{Change, Confirmed, Held, MemberId, Patch, Place, Quorum, QuorumError, Standing};
use crate::store::{self, Folder, OpenError, QuorumStore, RecordError};

/// How often a leader makes sure that it leads, when no report asks for it.
const CONFIRM_EVERY: Duration = Duration::from_millis(400);
/// A leader that nobody has confirmed for this long gives up, and lets the others choose another.
const UNCONFIRMED: Duration = Duration::from_millis(1_600);
/// Between two tries to begin.
const AGAIN: Duration = Duration::from_millis(150);
/// How often members that come and go are looked at.
const SEATS_EVERY: Duration = Duration::from_millis(250);
/// A member on its way in that lacks no more entries than this votes from now on, …
const CAUGHT_UP: u64 = 16;
/// … if it was heard from within this time: one that is gone would only be missing.
const THERE: Duration = Duration::from_secs(3);
/// How often it is said that no majority confirms this member.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// The thread of a life that is over has at most one change to wait for.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Why a reign did not begin, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReignError {
    #[error("agree with the others")]
    Quorum(#[from] QuorumError),
    #[error("open the members' record")]
    Record(#[from] RecordError),
    #[error("open the record of the release before")]
    Former(#[from] OpenError),
    #[error("write the members' record")]
    Write(#[from] serde_json::Error),
    #[error("open the record groups")]
    Groups(#[from] OtherRegions),
    #[error("start the member's thread")]
    Thread(#[source] std::io::Error),
}

/// What a member needs to lead.
pub(crate) struct Heir<Q> {
    pub(crate) quorum: Q,
    pub(crate) id: MemberId,
    pub(crate) identity: NodeIdentity,
    pub(crate) folder: Folder,
    pub(crate) keys: Arc<Keys>,
    pub(crate) groups: BTreeMap<GroupId, GroupConfig>,
    pub(crate) clock: Clock,
    /// Who answers questions now.
    pub(crate) life: watch::Sender<Option<Life>>,
}

impl<Q: Quorum> Heir<Q> {
    /// Leads whenever it is this member's turn, until `stop` or until it can go on no more.
    pub(crate) async fn wait(self, stop: CancellationToken) -> Result<(), ReignError> {
        let mut standing = self.quorum.standing();
        let (mut ended_at, mut warned) = (Duration::ZERO, None);
        loop {
            let leads =
                async { standing.wait_for(|standing| standing.leads || standing.failed).await.is_ok() };
            let alive = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                alive = leads => alive,
            };
            if !alive || standing.borrow().failed {
                return Err(QuorumError::Failed.into());
            }
            let reign = tokio::select! {
                () = stop.cancelled() => Ok(()),
                reign = self.reign(&mut ended_at) => reign,
            };
            self.end();
            let now = self.clock.now().elapsed;
            match reign {
                Ok(()) => {}
                Err(ReignError::Quorum(error)) => {
                    // Without a majority it tries again and again.
                    if warned.is_none_or(|at| now.saturating_sub(at) > WARN_EVERY) {
                        warned = Some(now);
                        warn!(error = chain(&error), "this member does not lead (any more)");
                    }
                }
                // It would be the same next time, and a member that cannot lead must not stand in the way.
                Err(error) => return Err(error),
            }
            sleep(AGAIN).await;
        }
    }

    /// One reign. No earlier life in this process granted anything after `ended_at`, and neither will this one.
    async fn reign(&self, ended_at: &mut Duration) -> Result<(), ReignError> {
        // Before anybody hears of it: one that can never lead must not keep the others from choosing.
        self.check(&self.quorum.held())?;
        let confirmed = self.quorum.confirm().await.inspect_err(|_| self.quorum.assert_itself(false))?;
        self.quorum.assert_itself(true);
        // Whatever was agreed on before is carried out here by now, and nobody can change it in an earlier life's name.
        let begun = self.quorum.propose(Change::Begin).await?;
        // Deposed and chosen again since: others may have granted what was not asked for.
        if begun.term != confirmed.term {
            return Err(QuorumError::NotLeading.into());
        }
        let (held, record, first) = self.record().await?;
        let granted_until = confirmed.others_until.max(*ended_at);
        let now = self.clock.now();
        // Those who vote next need not have confirmed what those who voted before did: see `locum_replication::Round`.
        let over = granted_until + LEASE + MARGIN;
        let settled = if first { Duration::ZERO } else { over.saturating_sub(now.elapsed) };
        let groups = Groups::new(&self.groups, &record.groups, granted_until, now.elapsed)?;
        groups.warn_of_undeclared(&record.groups);
        let ended = CancellationToken::new();
        let store = QuorumStore::new(self.quorum.clone(), Handle::current(), held, ended.clone());
        let (version, nodes) = (record.list.version, record.list.nodes.len());
        let member = Member::new(self.identity.node.clone(), record, groups, store, self.keys.clone(), now)?;
        let (life, thread) =
            Life::begin(member, confirmed.term, self.clock, ended.clone()).map_err(ReignError::Thread)?;
        let waited_ms =
            u64::try_from(now.elapsed.saturating_sub(granted_until).as_millis()).unwrap_or(u64::MAX);
        info!(term = confirmed.term, version, nodes, waited_ms, "this member leads");
        counter!("locum_quorum_reigns_total").increment(1);
        gauge!("locum_quorum_leads").set(1.0);
        let _guard = ended.clone().drop_guard();
        tokio::spawn(life.clone().keep_looking());
        self.life.send_replace(Some(life.clone()));
        let over = tokio::select! {
            () = ended.cancelled() => Ok(()),
            over = self.hold(confirmed) => over,
            never = self.keep_seats(&life, settled) => never,
        };
        ended.cancel();
        self.end();
        *ended_at = self.clock.now().elapsed;
        drop(life);
        // Nothing depends on it: the next reign begins with a change that shuts this one out.
        let _ = timeout(END_WITHIN, tokio::task::spawn_blocking(move || thread.join())).await;
        over
    }

    /// Whether it could lead with this record.
    fn check(&self, held: &Held) -> Result<(), ReignError> {
        if !held.record.is_null() {
            let record = store::read(&held.record)?;
            Groups::new(&self.groups, &record.groups, Duration::ZERO, Duration::ZERO)?;
        }
        Ok(())
    }

    fn end(&self) {
        self.quorum.assert_itself(false);
        if self.life.send_replace(None).is_some_and(|life| {
            life.ended.cancel();
            true
        }) {
            gauge!("locum_quorum_leads").set(0.0);
        }
    }

    /// What the members agree on, which is at first what this one knows alone; whether it is the first time.
    async fn record(&self) -> Result<(Held, Record, bool), ReignError> {
        let held = self.quorum.held();
        if !held.record.is_null() {
            self.folder.set_former_aside();
            let record = store::read(&held.record)?;
            return Ok((held, record, false));
        }
        let former = self.folder.former()?.unwrap_or_default();
        let record = former.founded_by(&self.identity, self.id).unwrap_or(former);
        let first = store::write(&record)?;
        let patch = Patch::Set(first.clone());
        let outcome = self.quorum.propose(Change::Record { base: held.revision, patch }).await?;
        self.folder.set_former_aside();
        Ok((Held { revision: outcome.revision, record: first }, record, true))
    }

    /// Until this member is not sure to lead any more.
    async fn hold(&self, begun: Confirmed) -> Result<(), ReignError> {
        let mut standing = self.quorum.standing();
        let mut ticks = interval(CONFIRM_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sure = begun.begun;
        loop {
            {
                let now = standing.borrow_and_update();
                if !now.leads || now.term != begun.term || now.failed {
                    return Err(QuorumError::NotLeading.into());
                }
            }
            tokio::select! {
                changed = standing.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Err(QuorumError::Failed.into()),
                },
                _ = ticks.tick() => {}
            }
            match self.quorum.confirm().await {
                Ok(confirmed) if confirmed.term == begun.term => sure = confirmed.begun,
                Ok(_) | Err(QuorumError::NotLeading) => return Err(QuorumError::NotLeading.into()),
                Err(error) if self.clock.now().elapsed.saturating_sub(sure) > UNCONFIRMED => {
                    self.quorum.assert_itself(false);
                    return Err(error.into());
                }
                Err(_) => {}
            }
        }
    }

    /// Brings those who vote in line with who has a seat, one step at a time. Never ends.
    async fn keep_seats(&self, life: &Life, settled: Duration) -> Result<(), ReignError> {
        sleep(settled).await;
        loop {
            sleep(SEATS_EVERY).await;
            let Ok(seats) = life.ask(Command::Seats).await else { continue };
            let Some(step) = next_step(&seats, &self.quorum.standing().borrow()) else { continue };
            // A majority of the next members shares one with every majority of these, but not of those before them: whatever
            // those confirmed, one of these must have confirmed later. See `locum_replication::Round`.
            if self.quorum.confirm().await.is_err() {
                continue;
            }
            info!(?step, "the members of the control plane change");
            let taken = match step {
                Step::Settle => self.quorum.settle().await,
                Step::Listen(id, place) => self.quorum.add_learner(id, place).await,
                Step::Vote(id) => self.quorum.promote(id).await,
                Step::Leave(id) => self.quorum.remove(id).await,
            };
            if let Err(error) = taken {
                warn!(error = chain(&error), "the members of the control plane could not be changed yet");
            }
        }
    }
}

/// A change of the members.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    /// What an earlier leader, or an earlier step, left half-way.
    Settle,
    Listen(MemberId, Place),
    Vote(MemberId),
    Leave(MemberId),
}

/// What to do next so that exactly those with a seat vote. Whoever lost its seat goes first.
fn next_step(seats: &[Seat], standing: &Standing) -> Option<Step> {
    if standing.between {
        return Some(Step::Settle);
    }
    let seated = |id: &MemberId| seats.iter().any(|seat| seat.id == *id);
    let known = standing.voters.keys().chain(standing.learners.keys());
    if let Some(gone) = known.clone().find(|id| !seated(id)) {
        return Some(Step::Leave(*gone));
    }
    for seat in seats {
        if standing.voters.contains_key(&seat.id) {
            continue;
        }
        if !standing.learners.contains_key(&seat.id) {
            let Some((address, age)) = seat.heard else { continue };
            if age > THERE {
                continue;
            }
            let place = Place { name: seat.node.to_string(), address: Some(address) };
            return Some(Step::Listen(seat.id, place));
        }
        let there = seat.heard.is_some_and(|(_, age)| age <= THERE);
        let matched = standing.matched.get(&seat.id).filter(|_| there);
        if matched.is_some_and(|matched| standing.last_log.saturating_sub(*matched) <= CAUGHT_UP) {
            return Some(Step::Vote(seat.id));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(id: u64, heard: bool) -> Seat {
        let address = "127.0.0.1:1".parse().unwrap();
        Seat {
            id: MemberId(id),
            node: format!("c-{id}").parse().unwrap(),
            region: "west".parse().unwrap(),
            heard: heard.then_some((address, Duration::ZERO)),
            groups: None,
        }
    }

    fn standing(voters: &[u64], learners: &[u64]) -> Standing {
        let places = |ids: &[u64]| ids.iter().map(|id| (MemberId(*id), Place::default())).collect();
        Standing { last_log: 100, voters: places(voters), learners: places(learners), ..Standing::default() }
    }

    #[test]
    fn members_come_by_listening_first_and_one_at_a_time() {
        let seats = [seat(1, true), seat(2, false), seat(3, true)];
        let listen = next_step(&seats, &standing(&[1], &[]));
        assert!(
            matches!(listen, Some(Step::Listen(MemberId(3), _))),
            "{listen:?}: who was not heard of cannot"
        );
        let mut behind = standing(&[1], &[3]);
        behind.matched.insert(MemberId(3), 50);
        assert_eq!(next_step(&seats, &behind), None);
        behind.matched.insert(MemberId(3), 99);
        assert_eq!(next_step(&seats, &behind), Some(Step::Vote(MemberId(3))));
        assert_eq!(next_step(&seats, &standing(&[1, 3], &[])), None);
    }

    #[test]
    fn whoever_told_nothing_of_its_log_or_is_silent_does_not_vote() {
        let mut seats = [seat(1, true), seat(3, true)];
        let mut young = standing(&[1], &[3]);
        young.last_log = 4;
        assert_eq!(next_step(&seats, &young), None, "a short log is no reason to take it for copied");
        young.matched.insert(MemberId(3), 4);
        assert_eq!(next_step(&seats, &young), Some(Step::Vote(MemberId(3))));
        seats[1].heard = seats[1].heard.map(|(address, _)| (address, THERE * 2));
        assert_eq!(next_step(&seats, &young), None);
        assert_eq!(next_step(&seats, &standing(&[1], &[])), None);
    }

    #[test]
    fn a_change_left_half_way_ends_first() {
        let mut between = standing(&[1, 2, 3], &[]);
        between.between = true;
        assert_eq!(next_step(&[seat(1, true), seat(2, true)], &between), Some(Step::Settle));
    }

    #[test]
    fn whoever_lost_its_seat_leaves_first() {
        let seats = [seat(1, true), seat(4, true)];
        assert_eq!(next_step(&seats, &standing(&[1, 2], &[])), Some(Step::Leave(MemberId(2))));
        assert_eq!(next_step(&seats, &standing(&[1], &[2])), Some(Step::Leave(MemberId(2))));
    }
}
