//! Which documents there are: rows of the host, written in the request's own transaction.

use std::time::Instant;

use super::disk::FileHash;
use super::seal::{BlobId, ObjectId};
use crate::clock::unix_ms;
use crate::store::{Access, Caller, GroupId, RecordStore, Session, SqlError, StoreError, Value};

/// Most objects that one look takes up.
pub(crate) const PAGE_ROWS: i64 = 1_000;

/// A document's content, as its row knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Blob {
    pub(crate) id: BlobId,
    pub(super) object: ObjectId,
    pub(super) wrapped_key: Vec<u8>,
    /// Of the content.
    pub(crate) bytes: u64,
    /// Of the sealed file.
    pub(super) hash: FileHash,
}

const COLUMNS: &str = "b.id, b.object, b.wrapped_key, b.bytes, b.hash";

/// Adds a stored document to the session's transaction under the application's own id of it; the caller
/// commits. Content that the group has already is not kept twice.
pub(crate) async fn refer(
    session: &dyn Session,
    (clinic, document): (&str, &str),
    blob: &Blob,
) -> Result<(), SqlError> {
    let sql = "INSERT INTO locum_blob (id, object, wrapped_key, bytes, hash, created_at_ms)
               VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING";
    let row = vec![
        Value::Blob(blob.id.0.to_vec()),
        Value::Blob(blob.object.0.to_vec()),
        Value::Blob(blob.wrapped_key.clone()),
        Value::Integer(i64::try_from(blob.bytes).unwrap_or(i64::MAX)),
        Value::Blob(blob.hash.to_vec()),
        unix_ms().into(),
    ];
    session.execute(sql.to_owned(), row, Caller::Host).await?;
    let sql = "INSERT INTO locum_blob_order (blob) VALUES (?) ON CONFLICT (blob) DO NOTHING";
    session.execute(sql.to_owned(), vec![Value::Blob(blob.id.0.to_vec())], Caller::Host).await?;
    let sql = "INSERT INTO locum_blob_reference (clinic, document, blob) VALUES (?, ?, ?)";
    let row = vec![clinic.into(), document.into(), Value::Blob(blob.id.0.to_vec())];
    session.execute(sql.to_owned(), row, Caller::Host).await.map(drop)
}

/// The content of a document.
pub(crate) async fn find(
    session: &dyn Session,
    (clinic, document): (&str, &str),
) -> Result<Option<Blob>, SqlError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM locum_blob_reference r JOIN locum_blob b ON b.id = r.blob
         WHERE r.clinic = ? AND r.document = ?"
    );
    let rows = session.execute(sql, vec![clinic.into(), document.into()], Caller::Host).await?.rows;
    rows.into_iter().next().map(|row| read(row).ok_or_else(malformed)).transpose()
}

/// Documents in the order in which they came, after number `after`, with the number of each: at most
/// [`PAGE_ROWS`]. `select` runs one statement.
pub(crate) fn stored_since(
    mut select: impl FnMut(&str) -> Result<Vec<Vec<Value>>, SqlError>,
    after: i64,
) -> Result<Vec<(i64, Blob)>, SqlError> {
    let sql = format!(
        "SELECT o.sequence, {COLUMNS} FROM locum_blob_order o JOIN locum_blob b ON b.id = o.blob
         WHERE o.sequence > {after} ORDER BY o.sequence LIMIT {PAGE_ROWS}"
    );
    let rows = select(&sql)?.into_iter().map(|mut row| {
        let Value::Integer(sequence) = row.remove(0) else { return Err(malformed()) };
        read(row).map(|blob| (sequence, blob)).ok_or_else(malformed)
    });
    rows.collect()
}

/// Every content that a document names, in pages after `after`.
pub(super) async fn page(
    store: &dyn RecordStore,
    group: &GroupId,
    after: Option<BlobId>,
    until: Instant,
) -> Result<Vec<Blob>, StoreError> {
    let session = store.session(group, Access::Read, until)?;
    let sql = format!("SELECT {COLUMNS} FROM locum_blob b WHERE b.id > ? ORDER BY b.id LIMIT ?");
    let after = Value::Blob(after.map(|id| id.0.to_vec()).unwrap_or_default());
    let rows = session.execute(sql, vec![after, PAGE_ROWS.into()], Caller::Host).await;
    let rows = rows.map_err(StoreError::Commit)?.rows;
    session.commit().await?;
    let blobs = rows.into_iter().map(|row| read(row).ok_or_else(malformed));
    blobs.collect::<Result<_, _>>().map_err(StoreError::Commit)
}

fn read(row: Vec<Value>) -> Option<Blob> {
    let [
        Value::Blob(id),
        Value::Blob(object),
        Value::Blob(wrapped_key),
        Value::Integer(bytes),
        Value::Blob(hash),
    ] = <[Value; 5]>::try_from(row).ok()?
    else {
        return None;
    };
    Some(Blob {
        id: BlobId(id.try_into().ok()?),
        object: ObjectId(object.try_into().ok()?),
        wrapped_key,
        bytes: u64::try_from(bytes).ok()?,
        hash: hash.try_into().ok()?,
    })
}

pub(super) fn malformed() -> SqlError {
    SqlError::Misuse("a row of the blob tables is malformed".to_owned())
}
