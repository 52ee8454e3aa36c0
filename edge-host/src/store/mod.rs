//! The record store: one database per record group, seen through one trait.
//!
//! The single-file store (one region) and the replicated one look the same from above: nothing above this
//! module knows where a group's database lives or who acknowledges its commits.

mod gate;
mod group;
mod key_value;
mod keys;
mod local_copy;
mod migrations;
mod on_disk;
mod pages;
mod readers;
mod replicated;
mod scratch;
mod session;
mod single_file;
mod sqlite;
#[cfg(test)]
pub(crate) mod testing;
mod transaction;
mod transaction_words;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use locum_identity::{NodeId, RegionId};
pub use locum_replication::{GroupId, Position};
use tokio_util::sync::CancellationToken;

pub(crate) use group::folder_of;
pub use key_value::{KeyValueError, KeyValueStore};
pub use keys::{DerivedKey, KeyError, MasterKey};
pub use local_copy::LocalCopy;
pub(crate) use local_copy::{Moment, MomentError};
pub use migrations::{Migration, MigrationError, ScriptError, load as load_migrations};
pub(crate) use on_disk::{GroupOnDisk, OnDiskError};
pub(crate) use replicated::position_of;
pub(crate) use replicated::{
    ByteStream, Links, LogRequest, NoAnswer, RecordsAnswer, RecordsQuestion, TailError, Tails,
};
pub use replicated::{ReplicatedStore, StartGroupError, Verified, VerifyError};
pub(crate) use scratch::{Batch, Scratch, ScratchError, count_rows, numbered};
pub(crate) use single_file::lock_records;
pub use single_file::{OpenError, SingleFileStore, StoreSettings};

/// One SQL value.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// 64-bit signed integer.
    Integer(i64),
    /// IEEE 754 double.
    Real(f64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// What a statement answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryResult {
    /// Names of the columns, in order.
    pub columns: Vec<String>,
    /// One entry a row, in the order of `columns`.
    pub rows: Vec<Vec<Value>>,
}

/// Bounds on one statement's answer.
#[derive(Clone, Copy, Debug)]
pub struct ResultLimits {
    /// Most rows.
    pub rows: usize,
    /// Most bytes of values, all rows together.
    pub bytes: usize,
}

/// Whether a request may write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// `GET` and `HEAD`, and what the manifest declares as `reads`.
    Read,
    /// Everything else.
    Write,
}

/// On whose behalf a statement runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Caller {
    /// A function: never the host's tables, the schema, other files or settings.
    Function,
    /// The host itself, for its own tables in the same transaction.
    Host,
}

/// What went wrong with a statement. The text is for the function, in SQLite's own words; it is never logged,
/// because a constraint's message can hold what a person typed.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// SQLite refused.
    #[error("{message}")]
    Sqlite {
        /// SQLite's extended result code.
        code: i32,
        /// SQLite's words, e.g. `UNIQUE constraint failed: appointment.slot`.
        message: String,
    },
    /// The statement may not do this here.
    #[error("{message}")]
    Refused {
        /// It was refused because the request only reads.
        write: bool,
        /// Why.
        message: String,
    },
    /// The answer went over its bound.
    #[error("the result is over the limit of {rows} rows or {bytes} bytes")]
    TooLarge {
        /// Bound on rows.
        rows: usize,
        /// Bound on bytes.
        bytes: usize,
    },
    /// The session ended before this statement, see [`Failure`].
    #[error("{0}")]
    Ended(Failure),
    /// Used wrongly.
    #[error("{0}")]
    Misuse(String),
}

/// Why a session can do nothing any more; the request's answer is then the host's, not the function's.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Failure {
    /// Another writer held the group for too long.
    #[error("the record store is busy")]
    Busy,
    /// The transaction was held longer than its bound and is rolled back.
    #[error("the transaction took too long and was rolled back")]
    TransactionTimeout,
    /// SQLite ended the transaction by itself, or the store failed.
    #[error("the transaction was lost and rolled back")]
    TransactionLost,
    /// This host does not lead the group now.
    #[error("nobody can write to the record group here now")]
    NoPrimary,
    /// What was read is not in a second region yet, or the copy does not follow any more.
    #[error("the newest records are not safe to show yet")]
    NotSettled,
    /// Committed here, not in a second region in time: it may or may not survive.
    #[error("the write is not kept in a second region yet")]
    NotDurableYet,
    /// What this browser has seen was lost, and a person accepted that.
    #[error("what was seen before is no longer part of the records")]
    HistoryLost,
    /// This host's copy lacks what its release needs, or a newer release took that away.
    #[error("the records' schema is not the one this release needs")]
    Upgrading,
    /// The commit was sent and not answered.
    #[error("whether the write happened is unknown")]
    OutcomeUnknown,
}

/// A session could not be opened or committed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such group on this host.
    #[error("no record group `{0}` on this host")]
    UnknownGroup(GroupId),
    /// The session failed before.
    #[error("record session")]
    Failed(#[source] Failure),
    /// The commit did not happen.
    #[error("commit")]
    Commit(#[source] SqlError),
}

/// Every record group this host serves.
pub trait RecordStore: Send + Sync {
    /// One request's view of a group. Opening costs nothing; connections are taken at the first statement.
    /// Statements of the session are interrupted at `deadline`.
    fn session(
        &self,
        group: &GroupId,
        access: Access,
        deadline: Instant,
    ) -> Result<Arc<dyn Session>, StoreError>;

    /// Where requests that write the group are carried out now. Only a hint: a host that is the writer no
    /// longer finds out at the latest when it commits.
    fn writer(&self, group: &GroupId) -> Writer;

    /// Whom to ask for what is read, best first, on a host that may not or need not hold the group. Empty: this
    /// one holds a copy, or will.
    fn holders(&self, _group: &GroupId) -> Arc<[NodeId]> {
        Arc::default()
    }

    /// Whether what is written now, or was lately, may be on this host only: by policy that is acknowledged, and
    /// marked.
    fn is_single_copy(&self, _group: &GroupId) -> bool {
        false
    }

    /// Whether this host could show what was acknowledged last, see [`Session::allow_older`].
    fn shows_settled(&self, _group: &GroupId) -> bool {
        false
    }

    /// `position` as a browser carries it; `None` where there is one copy only.
    fn seal(&self, group: &GroupId, position: Position) -> Option<String>;

    /// Waits until this host holds what a browser has seen before, by its token, and says where that stands; a
    /// token that no host of the group has sealed asks for nothing.
    fn catch_up<'a>(
        &'a self,
        group: &'a GroupId,
        token: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Position>, Failure>>;

    /// This host's own copy, to be backed up, while it leads: also while nobody follows and nothing is written.
    fn local_copy(&self, _group: &GroupId) -> Option<LocalCopy> {
        None
    }

    /// The regions that may hold the group, preferred ones first; empty where nobody says.
    fn regions(&self, _group: &GroupId) -> Vec<RegionId> {
        Vec::new()
    }

    /// A key for `purpose`, the same on every host of the group; `None` while this host has no key of it.
    fn derived_key(&self, group: &GroupId, purpose: &str) -> Option<DerivedKey>;

    /// The groups, in order.
    fn groups(&self) -> Vec<GroupId>;

    /// Whether functions of this release may run on every copy that this host holds.
    fn is_fit(&self) -> bool {
        true
    }

    /// Runs contracts when their time has come, until `stop`, where no other host has a say in it.
    fn keep_schema<'a>(&'a self, _stop: &'a CancellationToken) -> BoxFuture<'a, ()> {
        std::future::ready(()).boxed()
    }
}

/// Where a group is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Writer {
    /// On this host.
    Here,
    /// On that host.
    At(NodeId),
    /// Nowhere for now: the group is read-only.
    Nowhere,
}

/// One request's work on one record group.
///
/// Reads see one snapshot. The first write (or the function's own `BEGIN`) opens the host's transaction on
/// the group's only writer; from then on reads see it too. What was read before that is not part of the
/// transaction: a function that decides on what it read says `BEGIN` first. Dropping a session rolls back.
pub trait Session: Send + Sync {
    /// Runs one statement. `BEGIN`, `COMMIT` and `ROLLBACK` of a function become a savepoint.
    fn execute(
        &self,
        sql: String,
        parameters: Vec<Value>,
        caller: Caller,
    ) -> BoxFuture<'_, Result<QueryResult, SqlError>>;

    /// While what is newest here is not acknowledged, this session may read what was acknowledged last, unless
    /// that is from before `not_before`. Called before the first statement.
    fn allow_older(&self, not_before: Option<Position>);

    /// Rowid of the last successful `INSERT`, or 0.
    fn last_insert_rowid(&self) -> i64;

    /// Rows changed by the last `INSERT`, `UPDATE` or `DELETE`.
    fn changes(&self) -> u64;

    /// True from the first write until commit or rollback.
    fn in_transaction(&self) -> bool;

    /// True when a write was refused because the session only reads.
    fn write_refused(&self) -> bool;

    /// Set once the session can do nothing any more.
    fn failure(&self) -> Option<Failure>;

    /// Where what this session read or wrote stands, once committed; `None` when there is one copy only.
    fn position(&self) -> Option<Position>;

    /// Makes what was written durable; answers only then. Without a write this ends the snapshot.
    fn commit(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Undoes what was written.
    fn rollback(&self) -> BoxFuture<'_, ()>;
}

/// Values are health data: only their kind is ever printed.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Integer(_) => "Integer([phi])",
            Self::Real(_) => "Real([phi])",
            Self::Text(_) => "Text([phi])",
            Self::Blob(_) => "Blob([phi])",
        })
    }
}

impl Value {
    /// Bytes it counts for against [`ResultLimits`].
    pub(crate) fn size(&self) -> usize {
        // Also a NULL costs something: many of them are not free.
        const EACH: usize = 16;
        EACH + match self {
            Self::Null | Self::Integer(_) | Self::Real(_) => 0,
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl Default for ResultLimits {
    fn default() -> Self {
        Self { rows: 10_000, bytes: 4 << 20 }
    }
}

impl From<gate::Refusal> for SqlError {
    fn from(refusal: gate::Refusal) -> Self {
        Self::Refused { write: refusal == gate::Refusal::Write, message: refusal.message() }
    }
}

impl SqlError {
    fn misuse(text: &str) -> Self {
        Self::Misuse(text.to_owned())
    }

    /// The primary result code, when SQLite gave one.
    fn code(&self) -> Option<i32> {
        match self {
            Self::Sqlite { code, .. } => Some(code & 0xff),
            _ => None,
        }
    }

    /// Another connection holds the lock.
    fn is_busy(&self) -> bool {
        self.code() == Some(libsql_sys::ffi::SQLITE_BUSY)
    }

    /// The disk, or the database's own bound, is full.
    pub fn is_full(&self) -> bool {
        self.code() == Some(libsql_sys::ffi::SQLITE_FULL)
    }
}

/// Waiting for the group's writer, and holding it.
#[derive(Clone, Copy, Debug)]
pub struct TransactionLimits {
    /// Longest wait for the writer.
    pub wait: Duration,
    /// Longest time from the first write to the commit.
    pub hold: Duration,
}

impl Default for TransactionLimits {
    fn default() -> Self {
        Self { wait: Duration::from_secs(5), hold: Duration::from_secs(2) }
    }
}
