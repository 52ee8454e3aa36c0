//! A running member of the quorum.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use locum_replication::Asked;
use metrics::counter;
use openraft::error::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, Config, ServerState, Snapshot, SnapshotPolicy};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::error::Elapsed;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::election::{HEARTBEAT, LEADER_LEASE, Patience, majority, would_vote};
use super::log_store::LogStore;
use super::machine::Machine;
use super::network::Network;
use super::rounds::{Reply, Rounds, WAITING};
use super::{LogId, Metrics, Raft};
use crate::life::Clock;
use crate::quorum::{
    Change, Confirmed, Disk, Held, MemberAnswer, MemberId, MemberRequest, Outcome, Peers, Place, Quorum,
    QuorumError, Standing,
};

/// A change not agreed on by then may be so later, or never.
const AGREED_WITHIN: Duration = Duration::from_secs(2);
/// Members change while entries are copied.
const MEMBERS_WITHIN: Duration = Duration::from_secs(20);
/// How often a member looks whether it should ask to lead.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Others are asked whether they would vote; a dead one does not hold that up.
const WOULD_WITHIN: Duration = Duration::from_millis(600);
/// Entries between two snapshots.
const SNAPSHOT_EVERY: u64 = 500;
/// Entries kept behind a snapshot, for members that are a little behind.
const KEPT_BEHIND: u64 = 100;

/// A member, running.
#[derive(Clone)]
pub(crate) struct RaftQuorum {
    raft: Raft,
    log: LogStore,
    machine: Machine,
    peers: Arc<Peers>,
    clock: Clock,
    rounds: Rounds,
    waiting: mpsc::Sender<Reply>,
    patience: Arc<Mutex<Patience>>,
    /// Whether it tells the others that it leads, while it does.
    asserts: Arc<AtomicBool>,
    standing: watch::Receiver<Standing>,
}

impl RaftQuorum {
    /// Starts on `disk`; works until `stop`. With `alone` a fresh disk begins a network of its own.
    pub(crate) async fn start(
        disk: Disk,
        peers: Arc<Peers>,
        clock: Clock,
        alone: Option<Place>,
        stop: CancellationToken,
    ) -> Result<Self, QuorumError> {
        let (own, fresh) = (disk.id, disk.fresh);
        let machine = Machine::new(disk.snapshot);
        let log = LogStore::new(disk.log, Some(machine.saved()));
        let network = Network(peers.clone());
        let raft = Raft::new(own, Arc::new(config()), network, log.clone(), machine.clone()).await;
        let raft = raft.map_err(|error| QuorumError::Members(error.into()))?;
        if let Some(place) = alone.filter(|_| fresh) {
            let begun = raft.initialize(BTreeMap::from([(own, place)])).await;
            begun.map_err(|error| QuorumError::Members(error.into()))?;
        }
        let now = clock.now().elapsed;
        let asked = Arc::new(Mutex::new(Asked::new(now)));
        let asserts = Arc::new(AtomicBool::new(true));
        let (round_raft, says_so) = (raft.clone(), asserts.clone());
        let rounds = Rounds { raft: round_raft, peers: peers.clone(), clock, asked, asserts: says_so };
        let (waiting, queue) = mpsc::channel(WAITING);
        tokio::spawn(rounds.clone().run(queue));
        let patience = Arc::new(Mutex::new(Patience::new(now, random())));
        let (told, standing) = watch::channel(stand(&raft.metrics().borrow()));
        let quorum = Self { raft, log, machine, peers, clock, rounds, waiting, patience, asserts, standing };
        tokio::spawn(quorum.clone().keep_told(told, stop.clone()));
        tokio::spawn(quorum.clone().keep_a_leader(stop));
        Ok(quorum)
    }

    /// Size of the log.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// How to reach the others.
    pub(crate) fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// Stops taking part; what was agreed on is on disk.
    pub(crate) async fn shut_down(&self) {
        let _ = self.raft.shutdown().await;
    }

    /// A question of Raft's, or about leading. `None`: it is of another kind.
    pub(crate) async fn answer(&self, from: MemberId, request: MemberRequest) -> Option<MemberAnswer> {
        Some(match request {
            MemberRequest::Append(request) => {
                let answer = self.raft.append_entries(request).await;
                let follows =
                    !matches!(answer, Err(_) | Ok(openraft::raft::AppendEntriesResponse::HigherVote(_)));
                if follows {
                    self.patience().heard(self.clock.now().elapsed);
                }
                MemberAnswer::Append(answer)
            }
            MemberRequest::Vote(request) => MemberAnswer::Vote(self.raft.vote(request).await),
            MemberRequest::Snapshot { vote, meta, held } => {
                let snapshot = Snapshot { meta, snapshot: Box::new(held) };
                let answer = self.raft.install_full_snapshot(vote, snapshot).await;
                // A leader that was deposed hears of a greater vote.
                if answer.as_ref().is_ok_and(|answer| answer.vote == vote) {
                    self.patience().heard(self.clock.now().elapsed);
                }
                MemberAnswer::Snapshot(answer)
            }
            MemberRequest::WouldVote { last } => MemberAnswer::WouldVote(self.would_vote(last)),
            MemberRequest::Confirm { term, asserts } => {
                let age = self.rounds.answer(from, term).await;
                // One that has given up must not keep the others from choosing.
                if age.is_some() && asserts {
                    self.patience().heard(self.clock.now().elapsed);
                }
                MemberAnswer::Confirm(age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
            }
            MemberRequest::Observed(_) | MemberRequest::Forward { .. } | MemberRequest::Keys => return None,
        })
    }

    /// One that leads and that nobody confirms would vote too: two of those must not hold up the others.
    fn would_vote(&self, last: Option<LogId>) -> bool {
        let hears_nobody = self.patience().hears_nobody(self.clock.now().elapsed);
        !self.leads_and_says_so() && hears_nobody && would_vote(last, self.log.last())
    }

    fn leads_and_says_so(&self) -> bool {
        self.standing.borrow().leads && self.asserts.load(Ordering::Relaxed)
    }

    /// Tells the rest of the program where this member stands.
    async fn keep_told(self, told: watch::Sender<Standing>, stop: CancellationToken) {
        let mut changes = self.raft.metrics();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut standing = stand(&changes.borrow_and_update());
            let (own, now) = (self.peers.own(), self.clock.now().elapsed);
            // Raft never forgets a leader, however dead.
            let hears_somebody = self.patience().hears_somebody(now);
            standing.leader = standing.leader.filter(|leader| *leader == own || hears_somebody);
            for (member, place) in standing.voters.iter().chain(&standing.learners) {
                self.peers.know(*member, place);
            }
            told.send_if_modified(|before| {
                let news = *before != standing;
                *before = standing;
                news
            });
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
                changed = changes.changed() => if changed.is_err() {
                    told.send_modify(|standing| (standing.failed, standing.leads) = (true, false));
                    return;
                }
            }
        }
    }

    /// Asks to lead when nobody does.
    async fn keep_a_leader(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = self.clock.now().elapsed;
            let (own, leads, votes, alone) = {
                let standing = self.standing.borrow();
                let own = self.peers.own();
                (own, standing.leads, standing.voters.contains_key(&own), standing.voters.len() == 1)
            };
            if leads || !votes {
                let mut patience = self.patience();
                if self.leads_and_says_so() {
                    patience.heard(now);
                }
                patience.settle(random());
                continue;
            }
            if !alone && !self.patience().is_over(now) {
                continue;
            }
            if alone || self.others_would(own).await {
                info!("no leader is heard of: this member asks to lead");
                counter!("locum_quorum_elections_total").increment(1);
                self.asserts.store(true, Ordering::Relaxed);
                // Fails only when the member ends.
                let _ = self.raft.trigger().elect().await;
            }
            self.patience().again(self.clock.now().elapsed, random());
        }
    }

    async fn others_would(&self, own: MemberId) -> bool {
        let (sets, last) = {
            let metrics = self.raft.metrics();
            let sets = metrics.borrow().membership_config.membership().get_joint_config().clone();
            (sets, self.log.last())
        };
        let others: BTreeSet<MemberId> = sets.iter().flatten().copied().filter(|id| *id != own).collect();
        let ask = |other: MemberId| async move {
            let answer = self.peers.ask(other, MemberRequest::WouldVote { last }, WOULD_WITHIN).await;
            matches!(answer, Ok(MemberAnswer::WouldVote(true))).then_some(other)
        };
        let mut yes = BTreeSet::from([own]);
        let mut answers: FuturesUnordered<_> = others.into_iter().map(ask).collect();
        while !majority(&sets, &yes) {
            let Some(answer) = answers.next().await else { return false };
            yes.extend(answer);
        }
        true
    }

    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn change_members(
        &self,
        change: ChangeMembers<MemberId, Place>,
        retain: bool,
    ) -> Result<(), QuorumError> {
        let changed = timeout(MEMBERS_WITHIN, self.raft.change_membership(change, retain)).await;
        members_changed(changed)
    }
}

impl Quorum for RaftQuorum {
    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    fn held(&self) -> Held {
        self.machine.held()
    }

    async fn propose(&self, change: Change) -> Result<Outcome, QuorumError> {
        let conditional = matches!(change, Change::Record { .. });
        let written = timeout(AGREED_WITHIN, self.raft.client_write(change)).await;
        match written.map_err(|_| QuorumError::NoMajority)? {
            Ok(answer) if conditional && !answer.data.changed => Err(QuorumError::Overtaken),
            Ok(answer) => Ok(answer.data),
            Err(RaftError::Fatal(_)) => Err(QuorumError::Failed),
            Err(RaftError::APIError(_)) => Err(QuorumError::NotLeading),
        }
    }

    async fn confirm(&self) -> Result<Confirmed, QuorumError> {
        let (reply, answer) = oneshot::channel();
        self.waiting.try_send(reply).map_err(|full| match full {
            TrySendError::Full(_) => QuorumError::NoMajority,
            TrySendError::Closed(_) => QuorumError::Failed,
        })?;
        Ok(answer.await.map_err(|_| QuorumError::Failed)??)
    }

    fn assert_itself(&self, on: bool) {
        self.asserts.store(on, Ordering::Relaxed);
        self.raft.runtime_config().heartbeat(on);
    }

    async fn add_learner(&self, member: MemberId, place: Place) -> Result<(), QuorumError> {
        let added = timeout(MEMBERS_WITHIN, self.raft.add_learner(member, place, false)).await;
        members_changed(added)
    }

    async fn settle(&self) -> Result<(), QuorumError> {
        // Nobody is added: the newer of the two sets is what stays.
        self.change_members(ChangeMembers::AddVoterIds(BTreeSet::new()), true).await
    }

    async fn promote(&self, member: MemberId) -> Result<(), QuorumError> {
        self.change_members(ChangeMembers::AddVoterIds(BTreeSet::from([member])), true).await
    }

    async fn remove(&self, member: MemberId) -> Result<(), QuorumError> {
        let votes = self.standing.borrow().voters.contains_key(&member);
        let members = BTreeSet::from([member]);
        if votes {
            self.change_members(ChangeMembers::RemoveVoters(members), false).await
        } else {
            self.change_members(ChangeMembers::RemoveNodes(members), false).await
        }
    }
}

type Answered<T> = Result<T, RaftError<MemberId, ClientWriteError<MemberId, Place>>>;

fn members_changed<T>(changed: Result<Answered<T>, Elapsed>) -> Result<(), QuorumError> {
    match changed {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(RaftError::Fatal(_))) => Err(QuorumError::Failed),
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => Err(QuorumError::NotLeading),
        Ok(Err(error)) => Err(QuorumError::Members(error.into())),
        Err(_) => Err(QuorumError::NoMajority),
    }
}

fn config() -> Config {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Config {
        cluster_name: "locum".to_owned(),
        heartbeat_interval: ms(HEARTBEAT),
        // Only so much of it is used: how long a voter is true to its leader.
        election_timeout_min: ms(LEADER_LEASE) - 1,
        election_timeout_max: ms(LEADER_LEASE),
        enable_elect: false,
        // A leader that is started again says nothing before it knows that it can lead.
        enable_heartbeat: false,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
        max_in_snapshot_log_to_keep: KEPT_BEHIND,
        max_payload_entries: 64,
        replication_lag_threshold: SNAPSHOT_EVERY + KEPT_BEHIND,
        ..Config::default()
    }
}

fn stand(metrics: &Metrics) -> Standing {
    let members = metrics.membership_config.membership();
    let votes: BTreeSet<MemberId> = members.voter_ids().collect();
    let (voters, learners) =
        members.nodes().map(|(id, place)| (*id, place.clone())).partition(|(id, _)| votes.contains(id));
    let matched = metrics.replication.iter().flatten();
    if let Err(error) = &metrics.running_state {
        warn!(%error, "this member of the quorum cannot go on");
    }
    Standing {
        term: metrics.current_term,
        leader: metrics.current_leader,
        leads: metrics.state == ServerState::Leader,
        last_log: metrics.last_log_index.unwrap_or(0),
        applied: metrics.last_applied.map_or(0, |id| id.index),
        voters,
        learners,
        matched: matched.filter_map(|(id, log)| Some((*id, (*log)?.index))).collect(),
        between: members.get_joint_config().len() > 1,
        failed: metrics.running_state.is_err(),
    }
}

fn random() -> u32 {
    // Without randomness members ask at the same moment, and then again.
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
