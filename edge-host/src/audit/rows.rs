//! Events of requests that write: rows of the same transaction, so there is never one without the other.
//!
//! The chain follows afterwards, by one task at the group's writer, so that no request waits for another's
//! hash. What stands before the end of the chain can be neither changed, removed, added nor moved unseen;
//! what stands behind it is a second old at most.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::event::{Action, Event};
use super::frame::{End, Hash};
use crate::store::{Access, Caller, GroupId, QueryResult, RecordStore, Session, SqlError, StoreError, Value};

/// Rows that one transaction chains.
const CHAIN_ROWS: i64 = 500;
const CHAIN_WITHIN: Duration = Duration::from_secs(5);

/// Of an event, in the order of [`read_event`].
macro_rules! columns {
    () => {
        "recorded_at_ms, clinic, request, region, node, status, action, code, agent_type, agent, \
         entity_type, entity, patient, purpose, token, old_value, new_value"
    };
}
pub(super) const COLUMNS: &str = concat!("sequence, ", columns!());
/// Where a backup of an earlier release has fewer.
const OLD_COLUMNS: &str = "sequence, recorded_at_ms, clinic, request, region, node, status, action, code, \
                           agent_type, agent, entity_type, entity, NULL, NULL, NULL, NULL, NULL";
/// With the sequence.
const WIDTH: usize = 18;

/// What the chain of a database says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Rows {
    /// Events that the chain covers, and its end.
    pub(crate) chained: u64,
    pub(crate) end: Hash,
    /// Events after it: at most those of the last second.
    pub(crate) unchained: u64,
    /// The hash at each sequence that was asked for, as far as the chain goes.
    pub(crate) hashes: Vec<(u64, Hash)>,
    /// The first thing that is wrong.
    pub(crate) fault: Option<Fault>,
}

/// What is wrong with an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("event {0} is not there")]
    Missing(u64),
    #[error("event {0} is not what it was")]
    Changed(u64),
    #[error("events from {0} on were cut off")]
    CutOff(u64),
}

/// Adds events to the session's transaction; the caller commits.
pub(crate) async fn insert(session: &dyn Session, events: &[Event]) -> Result<(), SqlError> {
    const SQL: &str = concat!(
        "INSERT INTO locum_audit (",
        columns!(),
        ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    for event in events {
        session.execute(SQL.to_owned(), columns(event), Caller::Host).await?;
    }
    Ok(())
}

/// Adds events of the host's own, those that are not there yet: the time and the request tell.
pub(crate) async fn write(
    store: &dyn RecordStore,
    group: &GroupId,
    events: &[Event],
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let session = store.session(group, Access::Write, Instant::now() + CHAIN_WITHIN)?;
    for event in events {
        let sql = concat!(
            "INSERT INTO locum_audit (",
            columns!(),
            ") SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17 WHERE NOT EXISTS \
             (SELECT 1 FROM locum_audit WHERE clinic = ?2 AND recorded_at_ms = ?1 AND request = ?3)"
        );
        let written = session.execute(sql.to_owned(), columns(event), Caller::Host).await;
        written.map_err(StoreError::Commit)?;
    }
    session.commit().await
}

fn columns(event: &Event) -> Vec<Value> {
    let optional = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
    vec![
        event.recorded_at_ms.into(),
        event.clinic.as_str().into(),
        event.request.as_str().into(),
        event.region.as_str().into(),
        event.node.as_str().into(),
        i64::from(event.status).into(),
        event.action.as_str().into(),
        event.code.as_str().into(),
        event.agent_type.as_str().into(),
        optional(&event.agent),
        optional(&event.entity_type),
        optional(&event.entity),
        optional(&event.patient),
        optional(&event.purpose),
        optional(&event.token),
        optional(&event.old),
        optional(&event.new),
    ]
}

/// Chains what is not chained yet; the chain's end. Only at the group's writer: should two believe that they
/// are, the sequence's being unique refuses one of them.
pub(crate) async fn chain(store: &dyn RecordStore, group: &GroupId) -> Result<End, StoreError> {
    loop {
        let session = store.session(group, Access::Write, Instant::now() + CHAIN_WITHIN)?;
        let select = async |sql: String, parameters| {
            let rows = session.execute(sql, parameters, Caller::Host).await;
            rows.map(|found| found.rows).map_err(StoreError::Commit)
        };
        let sql = "SELECT sequence, hash FROM locum_audit_chain ORDER BY sequence DESC LIMIT 1";
        let mut end = match select(sql.to_owned(), Vec::new()).await?.first() {
            Some(row) => read_link(row).ok_or_else(malformed)?,
            None => End { sequence: 0, hash: [0; 32] },
        };
        let sql = format!("SELECT {COLUMNS} FROM locum_audit WHERE sequence > ? ORDER BY sequence LIMIT ?");
        let rows = select(sql, vec![number(end.sequence), CHAIN_ROWS.into()]).await?;
        for row in &rows {
            let (sequence, event) = read_event(row).ok_or_else(malformed)?;
            // A sequence that is missing stays missing: the hash is of what is there, and verifying tells.
            end = End { sequence, hash: link(&end.hash, sequence, &event) };
            let sql = "INSERT INTO locum_audit_chain (sequence, hash) VALUES (?, ?)";
            select(sql.to_owned(), vec![number(sequence), Value::Blob(end.hash.to_vec())]).await?;
        }
        // Also without a row: the end is answered once it is acknowledged.
        session.commit().await?;
        if (rows.len() as i64) < CHAIN_ROWS {
            return Ok(end);
        }
    }
}

/// Walks the chain inside a database and says what is first wrong with it. `run` carries out one statement;
/// `wanted` are sequences whose hash somebody has signed.
pub(crate) fn verify<E>(
    mut run: impl FnMut(&str, &[Value]) -> Result<QueryResult, E>,
    wanted: &[u64],
) -> Result<Rows, E> {
    let mut found = Rows::default();
    let last = run("SELECT seq FROM sqlite_sequence WHERE name = 'locum_audit'", &[])?;
    let last = match last.rows.first().map(Vec::as_slice) {
        Some([Value::Integer(last)]) => u64::try_from(*last).unwrap_or(0),
        _ => 0,
    };
    let mut seen = 0;
    let columns = stored_columns(&mut run)?;
    let sql = format!(
        "SELECT {columns}, \
         (SELECT c.hash FROM locum_audit_chain c WHERE c.sequence = a.sequence) \
         FROM locum_audit a WHERE sequence > ? ORDER BY sequence LIMIT ?"
    );
    loop {
        let rows = run(&sql, &[number(seen), CHAIN_ROWS.into()])?.rows;
        for row in &rows {
            let Some((sequence, event)) = row.get(..WIDTH).and_then(read_event) else {
                found.fault = Some(Fault::Changed(seen + 1));
                return Ok(found);
            };
            if let Some(fault) = found.take_in((seen + 1, sequence), &event, row.get(WIDTH), wanted) {
                found.fault = Some(fault);
                return Ok(found);
            }
            seen = sequence;
        }
        if (rows.len() as i64) < CHAIN_ROWS {
            break;
        }
    }
    let beyond = run("SELECT max(sequence) FROM locum_audit_chain", &[])?;
    let beyond = match beyond.rows.first().map(Vec::as_slice) {
        Some([Value::Integer(beyond)]) => u64::try_from(*beyond).unwrap_or(0),
        _ => 0,
    };
    if last.max(beyond) > seen {
        found.fault = Some(Fault::CutOff(seen + 1));
    }
    Ok(found)
}

/// The columns of an event in this database, which may be of an earlier release.
fn stored_columns<E>(
    run: &mut impl FnMut(&str, &[Value]) -> Result<QueryResult, E>,
) -> Result<&'static str, E> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'locum_audit_by_patient'";
    let is_new = run(sql, &[])?.rows.first().is_some_and(|row| row.first() == Some(&Value::Integer(1)));
    Ok(if is_new { COLUMNS } else { OLD_COLUMNS })
}

/// The last sequence there is.
pub(crate) fn last<E>(mut run: impl FnMut(&str, &[Value]) -> Result<QueryResult, E>) -> Result<u64, E> {
    let last = run("SELECT max(sequence) FROM locum_audit", &[])?;
    Ok(match last.rows.first().map(Vec::as_slice) {
        Some([Value::Integer(last)]) => u64::try_from(*last).unwrap_or(0),
        _ => 0,
    })
}

/// Shows each event that can be read, in order.
pub(crate) fn each<E>(
    mut run: impl FnMut(&str, &[Value]) -> Result<QueryResult, E>,
    mut take: impl FnMut(Event),
) -> Result<(), E> {
    let columns = stored_columns(&mut run)?;
    let sql = format!("SELECT {columns} FROM locum_audit WHERE sequence > ? ORDER BY sequence LIMIT ?");
    let mut seen = 0;
    loop {
        let rows = run(&sql, &[number(seen), CHAIN_ROWS.into()])?.rows;
        for row in &rows {
            if let Some(Value::Integer(sequence)) = row.first() {
                seen = u64::try_from(*sequence).unwrap_or(seen + 1);
            }
            if let Some((_, event)) = read_event(row) {
                take(event);
            }
        }
        if (rows.len() as i64) < CHAIN_ROWS {
            return Ok(());
        }
    }
}

impl Rows {
    fn take_in(
        &mut self,
        (expected, sequence): (u64, u64),
        event: &Event,
        chained: Option<&Value>,
        wanted: &[u64],
    ) -> Option<Fault> {
        if sequence != expected {
            return Some(Fault::Missing(expected));
        }
        let hash = match chained {
            Some(Value::Blob(hash)) => hash,
            _ => {
                self.unchained += 1;
                return None;
            }
        };
        // A link behind one that is missing: somebody took it away.
        let own = link(&self.end, sequence, event);
        if self.unchained > 0 || *hash != own {
            return Some(Fault::Changed(sequence - self.unchained));
        }
        (self.chained, self.end) = (sequence, own);
        if wanted.contains(&sequence) {
            self.hashes.push((sequence, own));
        }
        None
    }
}

fn link(before: &Hash, sequence: u64, event: &Event) -> Hash {
    let hash = Sha256::new().chain_update(before).chain_update(sequence.to_be_bytes());
    hash.chain_update(event.canonical()).finalize().into()
}

pub(super) fn read_event(row: &[Value]) -> Option<(u64, Event)> {
    let text = |value: &Value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let [sequence, at, clinic, request, region, node, status, action, code, agent_type, agent, rest @ ..] =
        row
    else {
        return None;
    };
    let [kind, entity, patient, purpose, token, old, new] = rest else { return None };
    let (Value::Integer(sequence), Value::Integer(recorded_at_ms), Value::Integer(status)) =
        (sequence, at, status)
    else {
        return None;
    };
    let event = Event {
        recorded_at_ms: *recorded_at_ms,
        clinic: text(clinic)?,
        request: text(request)?,
        region: text(region)?,
        node: text(node)?,
        status: u16::try_from(*status).ok()?,
        action: Action::parse(&text(action)?)?,
        code: text(code)?,
        agent_type: text(agent_type)?,
        agent: text(agent),
        entity_type: text(kind),
        entity: text(entity),
        patient: text(patient),
        purpose: text(purpose),
        token: text(token),
        old: text(old),
        new: text(new),
    };
    Some((u64::try_from(*sequence).ok()?, event))
}

fn read_link(row: &[Value]) -> Option<End> {
    let [Value::Integer(sequence), Value::Blob(hash)] = row else { return None };
    Some(End { sequence: u64::try_from(*sequence).ok()?, hash: hash.as_slice().try_into().ok()? })
}

fn malformed() -> StoreError {
    StoreError::Commit(SqlError::Misuse("a row of the audit tables is malformed".to_owned()))
}

fn number(sequence: u64) -> Value {
    Value::Integer(i64::try_from(sequence).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::event;
    use super::*;
    use crate::store::testing;

    async fn write(store: &dyn RecordStore, group: &GroupId, events: std::ops::Range<u64>) {
        let session = store.session(group, Access::Write, Instant::now() + CHAIN_WITHIN).unwrap();
        insert(session.as_ref(), &events.map(event).collect::<Vec<_>>()).await.unwrap();
        session.commit().await.unwrap();
    }

    fn verify_file(folder: &Path, wanted: &[u64]) -> Rows {
        verify(testing::database(folder), wanted).unwrap()
    }

    /// A group with `events` chained and one more that is not.
    async fn group(folder: &Path, events: u64) -> End {
        let (store, group) = testing::store(folder);
        write(&store, &group, 0..events).await;
        let end = chain(&store, &group).await.unwrap();
        assert_eq!(chain(&store, &group).await.unwrap(), end, "chained twice");
        write(&store, &group, events..events + 1).await;
        end
    }

    #[tokio::test]
    async fn the_chain_covers_what_was_written_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let end = group(folder.path(), 5).await;
        let rows = verify_file(folder.path(), &[5]);
        assert_eq!((rows.chained, rows.unchained, rows.fault, rows.end), (5, 1, None, end.hash));
        assert_eq!(rows.hashes, [(5, end.hash)]);
        let (store, group) = testing::store(folder.path());
        let end = chain(&store, &group).await.unwrap();
        assert_eq!((end.sequence, verify_file(folder.path(), &[]).end), (6, end.hash));
    }

    #[tokio::test]
    async fn an_event_is_kept_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        group(folder.path(), 2).await;
        let mut database = testing::database(folder.path());
        for sql in ["UPDATE locum_audit SET agent = 'u-2'", "DELETE FROM locum_audit"] {
            assert!(database(sql, &[]).is_err(), "{sql}");
        }
    }

    #[tokio::test]
    async fn whatever_is_done_to_an_event_is_found_and_named() {
        for (tampering, fault) in [
            ("UPDATE locum_audit SET agent = 'u-2' WHERE sequence = 3", Fault::Changed(3)),
            ("UPDATE locum_audit SET entity = NULL WHERE sequence = 1", Fault::Changed(1)),
            ("DELETE FROM locum_audit WHERE sequence = 2", Fault::Missing(2)),
            ("DELETE FROM locum_audit WHERE sequence >= 4", Fault::CutOff(4)),
            ("DELETE FROM locum_audit WHERE sequence = 6", Fault::CutOff(6)),
            ("UPDATE locum_audit_chain SET hash = zeroblob(32) WHERE sequence = 4", Fault::Changed(4)),
            ("DELETE FROM locum_audit_chain WHERE sequence = 2", Fault::Changed(2)),
            (
                "UPDATE locum_audit SET sequence = CASE sequence WHEN 2 THEN -3 ELSE -2 END
                 WHERE sequence IN (2, 3);
                 UPDATE locum_audit SET sequence = -sequence WHERE sequence < 0",
                Fault::Changed(2),
            ),
            (
                "INSERT INTO locum_audit SELECT -1, recorded_at_ms, clinic, request, region, node, status,
                 action, code, agent_type, agent, entity_type, entity, patient, purpose, token, old_value, new_value
                 FROM locum_audit WHERE sequence = 1;
                 UPDATE locum_audit SET sequence = -sequence - 1 WHERE sequence > 2;
                 UPDATE locum_audit SET sequence = 3 WHERE sequence = -1;
                 UPDATE locum_audit SET sequence = -sequence WHERE sequence < 0",
                Fault::Changed(3),
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            group(folder.path(), 5).await;
            let mut database = testing::database(folder.path());
            for sql in ["DROP TRIGGER locum_audit_is_final", "DROP TRIGGER locum_audit_is_kept"] {
                database(sql, &[]).unwrap();
            }
            for sql in tampering.split(';') {
                database(sql, &[]).unwrap();
            }
            drop(database);
            assert_eq!(verify_file(folder.path(), &[]).fault, Some(fault), "{tampering}");
        }
    }

    /// Whoever alters an event and works out its hash anew has to do so for all that come after it.
    #[tokio::test]
    async fn each_hash_covers_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        group(folder.path(), 5).await;
        let mut database = testing::database(folder.path());
        database("DROP TRIGGER locum_audit_is_final", &[]).unwrap();
        database("UPDATE locum_audit SET agent = 'u-2' WHERE sequence = 3", &[]).unwrap();
        let before = "SELECT sequence, hash FROM locum_audit_chain WHERE sequence = 2";
        let before = read_link(&database(before, &[]).unwrap().rows[0]).unwrap();
        let altered = format!("SELECT {COLUMNS} FROM locum_audit WHERE sequence = 3");
        let (sequence, altered) = read_event(&database(&altered, &[]).unwrap().rows[0]).unwrap();
        let hash = Value::Blob(link(&before.hash, sequence, &altered).to_vec());
        database("UPDATE locum_audit_chain SET hash = ? WHERE sequence = 3", &[hash]).unwrap();
        drop(database);
        assert_eq!(verify_file(folder.path(), &[]).fault, Some(Fault::Changed(4)));
    }
}
