//! What the members of the control plane agree on: one record, changed by whoever leads them.
//!
//! [`Quorum`] is all that the rest knows of the protocol; [`raft`] is the one there is. The leader lives the life of
//! a single member (`reign.rs`); the others keep the record and hand questions on.

mod disk;
mod patch;
mod peer;
pub(crate) mod raft;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

pub(crate) use disk::Disk;
pub(crate) use patch::Patch;
pub(crate) use peer::{MemberAnswer, MemberQuestion, MemberRequest, PeerError, Peers};

/// Names a member for as long as its disk lasts: one that comes back without its log is another one, under whatever
/// name. 0 is nobody.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub(crate) struct MemberId(pub(crate) u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for MemberId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

/// Where a member is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Its name, as its certificate says it.
    pub(crate) name: String,
    /// Where it answers on the mesh. `None`: not known.
    pub(crate) address: Option<SocketAddr>,
}

/// The record, and how often it has changed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Held {
    /// Grows by one with each change.
    pub(crate) revision: u64,
    /// `Null` before the first.
    pub(crate) record: Value,
}

/// What is proposed to the members.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Change {
    /// A reign begins: nothing that an earlier one proposes counts from here on.
    Begin,
    /// A change of the record of revision `base`, and of no other.
    Record {
        /// Its revision.
        base: u64,
        /// What changes.
        patch: Patch,
    },
}

/// What came of a change.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// Whether the record changed.
    pub(crate) changed: bool,
    /// Its revision now.
    pub(crate) revision: u64,
    /// The term of the leader that proposed it.
    pub(crate) term: u64,
}

/// Why the members did not agree, as far as one of them knows. A change may have happened all the same.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuorumError {
    #[error("this member does not lead")]
    NotLeading,
    #[error("no majority of members answers")]
    NoMajority,
    #[error("the record is another one by now")]
    Overtaken,
    #[error("this member cannot write its log")]
    Failed,
    #[error("change the members")]
    Members(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How a member stands among the others.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Standing {
    /// The newest term it knows.
    pub(crate) term: u64,
    /// Who leads, as far as it knows: itself, or whoever it heard from just now.
    pub(crate) leader: Option<MemberId>,
    /// It leads itself, as far as it knows; see [`Quorum::confirm`].
    pub(crate) leads: bool,
    /// The newest entry of its log.
    pub(crate) last_log: u64,
    /// The newest entry that is agreed on and carried out here.
    pub(crate) applied: u64,
    /// Those who vote.
    pub(crate) voters: BTreeMap<MemberId, Place>,
    /// Those who only listen: on their way in.
    pub(crate) learners: BTreeMap<MemberId, Place>,
    /// The set of those who vote is being changed: both the old and the new one must agree.
    pub(crate) between: bool,
    /// Leaders: the newest entry each other member has, of those that told.
    pub(crate) matched: BTreeMap<MemberId, u64>,
    /// It cannot go on.
    pub(crate) failed: bool,
}

/// A leader's reign, confirmed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirmed {
    /// Its term.
    pub(crate) term: u64,
    /// When the round began, since the process did.
    pub(crate) begun: Duration,
    /// No other leader was confirmed after this moment: see [`locum_replication::Round`].
    pub(crate) others_until: Duration,
}

/// Members that agree on one record.
pub(crate) trait Quorum: Clone + Send + Sync + 'static {
    /// Where this member stands, now and when it changes.
    fn standing(&self) -> watch::Receiver<Standing>;

    /// The record as this member knows it: agreed on, but there may be a newer one.
    fn held(&self) -> Held;

    /// Returns once `change` is agreed on and carried out here. After an error it may be, or may become so.
    fn propose(&self, change: Change) -> impl Future<Output = Result<Outcome, QuorumError>> + Send;

    /// Asks a majority whether this member still leads. Questions that wait share one round, which begins after
    /// they were asked.
    fn confirm(&self) -> impl Future<Output = Result<Confirmed, QuorumError>> + Send;

    /// Leaders: whether to tell the others that there is one. One that is not confirmed lets them choose another.
    fn assert_itself(&self, on: bool);

    /// Leaders: takes in a member that listens.
    fn add_learner(
        &self,
        member: MemberId,
        place: Place,
    ) -> impl Future<Output = Result<(), QuorumError>> + Send;

    /// Leaders: ends a change of those who vote that was left half-way.
    fn settle(&self) -> impl Future<Output = Result<(), QuorumError>> + Send;

    /// Leaders: a listening member votes from now on.
    fn promote(&self, member: MemberId) -> impl Future<Output = Result<(), QuorumError>> + Send;

    /// Leaders: a member is none any more.
    fn remove(&self, member: MemberId) -> impl Future<Output = Result<(), QuorumError>> + Send;
}
