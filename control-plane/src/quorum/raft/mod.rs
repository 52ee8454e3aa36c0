//! [`super::Quorum`] by Raft, as `openraft` implements it, over the mesh and with a log of our own.

mod election;
mod log;
mod log_store;
mod machine;
mod network;
mod rounds;
mod running;
#[cfg(test)]
mod storage_suite;

pub(crate) use log::{LogError, LogFile};
pub(crate) use machine::SnapshotFile;
pub(crate) use running::RaftQuorum;

use super::{Change, Held, MemberId, Outcome, Place};

openraft::declare_raft_types!(
    /// What Raft agrees on here.
    pub(crate) Types:
        D = Change,
        R = Outcome,
        NodeId = MemberId,
        Node = Place,
        SnapshotData = Held,
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<MemberId>;
pub(crate) type Vote = openraft::Vote<MemberId>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<MemberId, Place>;
pub(crate) type StorageError = openraft::StorageError<MemberId>;
pub(crate) type Metrics = openraft::RaftMetrics<MemberId, Place>;
