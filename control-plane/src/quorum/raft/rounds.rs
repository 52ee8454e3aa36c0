//! Confirmations: one round at a time, shared by all who waited when it began.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use locum_replication::{Asked, Reign, Round};
use openraft::ServerState;
use tokio::sync::{mpsc, oneshot};

use super::Raft;
use crate::life::Clock;
use crate::quorum::{Confirmed, MemberAnswer, MemberId, MemberRequest, Peers, QuorumError};

/// A round not answered by a majority by then has failed.
const ROUND_WITHIN: Duration = Duration::from_millis(800);
/// Who wait for the next round; beyond it the answer is that nobody confirms.
pub(super) const WAITING: usize = 4096;

pub(super) type Reply = oneshot::Sender<Result<Confirmed, Refused>>;

/// A round in vain.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    NotLeading,
    NoMajority,
}

impl From<Refused> for QuorumError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotLeading => QuorumError::NotLeading,
            Refused::NoMajority => QuorumError::NoMajority,
        }
    }
}

/// What rounds are made of, at both ends.
#[derive(Clone)]
pub(super) struct Rounds {
    pub(super) raft: Raft,
    pub(super) peers: Arc<Peers>,
    pub(super) clock: Clock,
    pub(super) asked: Arc<Mutex<Asked>>,
    /// Whether this member tells the others that it leads, while it does.
    pub(super) asserts: Arc<AtomicBool>,
}

impl Rounds {
    /// One round for all who wait, again and again. Ends when nobody can wait any more.
    pub(super) async fn run(self, mut waiting: mpsc::Receiver<Reply>) {
        let mut together = Vec::new();
        while waiting.recv_many(&mut together, WAITING).await > 0 {
            let round = tokio::time::timeout(ROUND_WITHIN * 2, self.round()).await;
            let outcome = round.unwrap_or(Err(Refused::NoMajority));
            for reply in together.drain(..) {
                // Whoever left does not need it.
                let _ = reply.send(outcome);
            }
        }
    }

    /// A voter's answer to a leader: how long ago it may last have confirmed another one, if it follows this one.
    pub(super) async fn answer(&self, leader: MemberId, term: u64) -> Option<Duration> {
        let age = self.note(Reign { term, leader: leader.0 });
        let follows = move |vote: &super::Vote| {
            let id = vote.leader_id();
            id.get_term() == term && id.voted_for() == Some(leader)
        };
        let follows = self.raft.with_raft_state(move |state| follows(state.vote_ref())).await;
        follows.unwrap_or(false).then_some(age)
    }

    /// Before anything is looked up: see [`Asked::note`].
    fn note(&self, reign: Reign) -> Duration {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).note(reign, self.clock.now().elapsed)
    }

    async fn round(&self) -> Result<Confirmed, Refused> {
        let begun = self.clock.now().elapsed;
        let own = self.peers.own();
        let (term, sets) = self.leading().await.ok_or(Refused::NotLeading)?;
        let mut round = Round::new(sets.iter().map(|set| set.iter().map(|id| id.0).collect()).collect());
        let others: BTreeSet<MemberId> = sets.into_iter().flatten().filter(|id| *id != own).collect();
        // Its own voice may already be another leader's.
        let age = self.answer(own, term).await.ok_or(Refused::NotLeading)?;
        round.confirmed(own.0, age, self.clock.now().elapsed);
        let mut answers: FuturesUnordered<_> =
            others.into_iter().map(|other| self.ask(other, term)).collect();
        while !round.holds() {
            let Some((other, age)) = answers.next().await else { return Err(Refused::NoMajority) };
            if let Some(age) = age {
                round.confirmed(other.0, age, self.clock.now().elapsed);
            }
        }
        Ok(Confirmed { term, begun, others_until: round.others_until() })
    }

    /// The term in which this member leads, as far as it knows, and the sets of voters that matter: now, not when somebody
    /// last looked, because the next change of the members waits for a round of these.
    async fn leading(&self) -> Option<(u64, Vec<BTreeSet<MemberId>>)> {
        let leading = self.raft.with_raft_state(|state| {
            let sets = state.membership_state.effective().membership().get_joint_config().clone();
            let term = state.vote_ref().leader_id().get_term();
            (state.server_state == ServerState::Leader).then_some((term, sets))
        });
        leading.await.ok().flatten()
    }

    async fn ask(&self, other: MemberId, term: u64) -> (MemberId, Option<Duration>) {
        let request = MemberRequest::Confirm { term, asserts: self.asserts.load(Ordering::Relaxed) };
        let answer = self.peers.ask(other, request, ROUND_WITHIN).await;
        match answer {
            Ok(MemberAnswer::Confirm(age)) => (other, age.map(Duration::from_millis)),
            _ => (other, None),
        }
    }
}
