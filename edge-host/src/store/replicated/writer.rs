//! The host's transaction inside `sqld`.

use std::sync::Arc;
use std::time::Instant;

use locum_replication::{Epoch, FrameNo, Position};

use super::hrana::{HranaClient, Stream};
use crate::store::gate::Authority;
use crate::store::readers::Readers;
use crate::store::sqlite::Database;
use crate::store::transaction::WriteConnection;
use crate::store::{Failure, QueryResult, ResultLimits, SqlError, Value};

/// `sqld` knows no authorizer: every statement is first compiled against this host's own copy, which has the
/// same schema.
pub(super) struct EngineWriter {
    epoch: Epoch,
    stream: Stream,
    readers: Arc<Readers>,
    /// `None` only while being dropped.
    checker: Option<Database>,
    deadline: Instant,
    last_insert_rowid: i64,
    changes: u64,
}

impl EngineWriter {
    /// Opens the transaction. Blocks.
    pub(super) fn begin(
        client: &Arc<HranaClient>,
        readers: &Arc<Readers>,
        epoch: Epoch,
        deadline: Instant,
    ) -> Result<Self, SqlError> {
        let mut stream = client.stream();
        stream.execute("BEGIN IMMEDIATE", &[], Some(deadline))?;
        let mut checker = readers.connection()?;
        checker.set_deadline(None);
        let readers = Arc::clone(readers);
        let checker = Some(checker);
        Ok(Self { epoch, stream, readers, checker, deadline, last_insert_rowid: 0, changes: 0 })
    }
}

impl WriteConnection for EngineWriter {
    fn run(
        &mut self,
        sql: &str,
        parameters: &[Value],
        authority: Authority,
        limits: ResultLimits,
    ) -> Result<QueryResult, SqlError> {
        if let Some(checker) = &mut self.checker {
            checker.check_only(sql, parameters.len(), authority)?;
        }
        let executed = self.stream.execute(sql, parameters, Some(self.deadline))?;
        self.changes = executed.changes;
        self.last_insert_rowid = executed.last_insert_rowid.unwrap_or(self.last_insert_rowid);
        limits.check(&executed.result)?;
        Ok(executed.result)
    }

    fn is_open(&self) -> bool {
        self.stream.is_open()
    }

    fn last_insert_rowid(&self) -> i64 {
        self.last_insert_rowid
    }

    fn changes(&self) -> u64 {
        self.changes
    }

    fn commit(mut self: Box<Self>) -> Result<Option<Position>, SqlError> {
        let committed = self.stream.execute("COMMIT", &[], None).map_err(|error| match error {
            // Sent, and no answer came: it may have happened.
            SqlError::Ended(_) => SqlError::Ended(Failure::OutcomeUnknown),
            error => error,
        })?;
        let frame = committed.frame.ok_or(SqlError::Ended(Failure::OutcomeUnknown))?;
        Ok(Some(Position { epoch: self.epoch, frame: FrameNo(frame) }))
    }
}

impl Drop for EngineWriter {
    fn drop(&mut self) {
        if let Some(checker) = self.checker.take() {
            self.readers.give_back(checker);
        }
    }
}
