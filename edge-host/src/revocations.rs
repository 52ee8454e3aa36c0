//! Whose tokens media nodes are to refuse: read out of this host's copies, and told to the nodes that ask.
//!
//! Every host that holds a copy tells the same, so a removal reaches the nodes also when the host it was made at is
//! gone a moment later.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use locum_cluster::revocation::{MAX_REVOCATIONS, MediaAnswer, Revocation, RevocationList};
use locum_mesh::{Refusal, RefusalCode};
use metrics::{counter, gauge};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::unix_ms;
use crate::manifest::TableName;
use crate::store::{Access, Caller, GroupId, RecordStore, SqlError, StoreError, Value};

/// Between two looks; media nodes ask every few seconds too, and a person must be out within 30.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const READ_WITHIN: Duration = Duration::from_secs(2);

/// What this host knows.
pub(crate) struct Revocations {
    /// Where the application keeps them.
    table: Option<TableName>,
    newest: watch::Sender<RevocationList>,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("open the record group")]
    Open(#[from] StoreError),
    #[error("read who is refused")]
    Read(#[from] SqlError),
    #[error("a row is not of room, participant and time")]
    Shape,
}

impl Revocations {
    /// Of an application that keeps them in `table`; without one nobody is ever refused.
    pub(crate) fn new(table: Option<TableName>) -> Self {
        Self { table, newest: watch::Sender::default() }
    }

    /// Keeps them at what the copies say, until `stop`.
    pub(crate) async fn run(&self, store: &dyn RecordStore, stop: CancellationToken) {
        let Some(table) = &self.table else { return };
        let mut known = BTreeMap::new();
        loop {
            self.look(store, table, &mut known).await;
            if tokio::time::timeout(LOOK_EVERY, stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    /// Of a group that cannot be read, what was read last still counts.
    async fn look(
        &self,
        store: &dyn RecordStore,
        table: &TableName,
        known: &mut BTreeMap<GroupId, Vec<Revocation>>,
    ) {
        for group in store.groups().into_iter().filter(|group| store.holders(group).is_empty()) {
            match read(store, &group, table).await {
                Ok(revocations) => drop(known.insert(group, revocations)),
                Err(error) => {
                    counter!("locum_edge_revocations_unread_total").increment(1);
                    tracing::debug!(%group, %error, "could not read whose tokens are refused");
                }
            }
        }
        let now = unix_ms();
        let live = known.values().flatten().filter(|revocation| revocation.until_ms > now);
        let all: Vec<_> = live.cloned().collect();
        gauge!("locum_edge_revocations").set(all.len() as f64);
        let revocations: Vec<_> = all.into_iter().take(MAX_REVOCATIONS).collect();
        if self.newest.borrow().revocations != revocations {
            // Without randomness it stays as it was: another look comes soon.
            let Ok(edition) = getrandom::u64() else { return };
            self.newest.send_replace(RevocationList { edition: edition.max(1), revocations });
        }
    }

    /// Answers a media node that knows this edition.
    pub(crate) fn answer(&self, known: u64) -> Result<Vec<u8>, Refusal> {
        let newest = self.newest.borrow();
        let answer = match newest.edition == known {
            true => MediaAnswer::Unchanged,
            false => MediaAnswer::Revocations(newest.clone()),
        };
        serde_json::to_vec(&answer)
            .map_err(|_| Refusal::new(RefusalCode::Internal, "the answer cannot be written"))
    }
}

async fn read(
    store: &dyn RecordStore,
    group: &GroupId,
    table: &TableName,
) -> Result<Vec<Revocation>, ReadError> {
    let session = store.session(group, Access::Read, Instant::now() + READ_WITHIN)?;
    // What a second region does not have yet may come to nothing; what it has is enough to begin with.
    session.allow_older(None);
    let sql = format!(
        "SELECT room, participant, until FROM {table} WHERE until > ?
         ORDER BY until DESC, room, participant LIMIT ?"
    );
    let limit = i64::try_from(MAX_REVOCATIONS / 2).unwrap_or(i64::MAX);
    let rows = session.execute(sql, vec![unix_ms().into(), limit.into()], Caller::Host).await?.rows;
    let revocation = |row: Vec<Value>| match <[Value; 3]>::try_from(row) {
        Ok([Value::Text(room), Value::Text(participant), Value::Integer(until_ms)]) => {
            let participant = Some(participant).filter(|name| !name.is_empty());
            Ok(Revocation { room, participant, until_ms })
        }
        _ => Err(ReadError::Shape),
    };
    let read = rows.into_iter().map(revocation).collect();
    session.rollback().await;
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::store;

    const SCHEMA: &str = "CREATE TABLE revocation (
        room TEXT NOT NULL, participant TEXT NOT NULL, until INTEGER NOT NULL) STRICT";

    async fn run(store: &dyn RecordStore, group: &GroupId, sql: &str) {
        let session = store.session(group, Access::Write, Instant::now() + READ_WITHIN).unwrap();
        session.execute(sql.to_owned(), Vec::new(), Caller::Host).await.unwrap();
        session.commit().await.unwrap();
    }

    fn ask(revocations: &Revocations, known: u64) -> MediaAnswer {
        serde_json::from_slice(&revocations.answer(known).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn nodes_are_told_who_is_refused_until_it_does_not_matter_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let (store, group) = store(folder.path());
        let table: TableName = "revocation".parse().unwrap();
        let (revocations, mut known) = (Revocations::new(Some(table.clone())), BTreeMap::new());
        let mut told = async || {
            revocations.look(&store, &table, &mut known).await;
            match ask(&revocations, 0) {
                MediaAnswer::Revocations(list) => list,
                MediaAnswer::Unchanged => RevocationList::default(),
            }
        };
        assert_eq!(told().await, RevocationList::default(), "no table yet, nobody refused");
        run(&store, &group, SCHEMA).await;
        let soon = unix_ms() + 600_000;
        let rows = format!("('r1', 'p1', {soon}), ('r2', '', {soon}), ('r3', '', 1)");
        let insert = format!("INSERT INTO revocation VALUES {rows}");
        run(&store, &group, &insert).await;
        let first = told().await;
        let one = Revocation { room: "r1".to_owned(), participant: Some("p1".to_owned()), until_ms: soon };
        let all = Revocation { room: "r2".to_owned(), participant: None, until_ms: soon };
        assert_eq!(first.revocations, [one, all.clone()]);
        assert_eq!(told().await.edition, first.edition);
        assert_eq!(ask(&revocations, first.edition), MediaAnswer::Unchanged);
        run(&store, &group, "DELETE FROM revocation WHERE room = 'r1'").await;
        let second = told().await;
        assert_eq!(second.revocations, [all]);
        assert_ne!(second.edition, first.edition);
        // Of a group that cannot be read, what was read last still counts.
        run(&store, &group, "DROP TABLE revocation").await;
        assert_eq!(told().await, second);
    }
}
