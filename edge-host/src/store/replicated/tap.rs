//! Whoever wants every transaction that this host's copy takes in: backups ship the log so.

use bytes::Bytes;
use locum_replication::{FrameNo, GroupId, Position};

/// Hears of transactions, in order.
pub(crate) trait LogTap: Send + Sync {
    /// This host's copy of `group` holds it durably. The next one waits meanwhile: hand it on, no more.
    ///
    /// A gap (another epoch, or `first` is not the frame after the last one heard of) means that this copy was
    /// brought up to date otherwise: what lies between is only in the copy.
    fn applied(&self, group: &GroupId, transaction: &Applied);
}

/// One or several commits of the primary that this copy took in as one.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    /// The first frame.
    pub(crate) first: FrameNo,
    /// The last one, which ended a transaction.
    pub(crate) last: Position,
    /// Number and content of each page; a later one replaces an earlier one of the same number.
    pub(crate) pages: Vec<(u32, Bytes)>,
    /// Pages of the database afterwards.
    pub(crate) size: u32,
}

/// Hears nothing.
impl LogTap for () {
    fn applied(&self, _group: &GroupId, _transaction: &Applied) {}
}
