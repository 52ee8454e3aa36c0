//! Documents are erased: in a request, and again on a copy that comes out of a backup.

use locum_backup::{DocumentName, Erased, Erasure, ErasureId};

use super::rows::{PAGE_ROWS, malformed};
use crate::clock::unix_ms;
use crate::store::{Caller, QueryResult, Session, SqlError, Value};

/// What erasing is made of: the reference goes and says which content it named; the content's hash, when nothing
/// names it any more; that content; the entry of the journal.
const TAKE_REFERENCE: &str =
    "DELETE FROM locum_blob_reference WHERE clinic = ? AND document = ? RETURNING blob";
const LAST_CONTENT: &str = "SELECT hash FROM locum_blob WHERE id = ?1
    AND NOT EXISTS (SELECT 1 FROM locum_blob_reference WHERE blob = ?1)";
const REMOVE_CONTENT: [&str; 2] =
    ["DELETE FROM locum_blob_order WHERE blob = ?", "DELETE FROM locum_blob WHERE id = ?"];
const JOURNAL: &str = "INSERT INTO locum_erasure (id, clinic, document, content, erased_at_ms)
    VALUES (?, ?, ?, ?, ?)";

/// Erases a document in the session's transaction, and writes it into the erasure journal. With the last that
/// names its content the key goes too: what is left on disks can be read by nobody.
pub(crate) async fn erase(session: &dyn Session, (clinic, document): (&str, &str)) -> Result<bool, SqlError> {
    let run = async |sql: &str, parameters| {
        let run = session.execute(sql.to_owned(), parameters, Caller::Host).await;
        run.map(|answer| answer.rows.into_iter().next().and_then(|row| row.into_iter().next()))
    };
    let Some(id) = run(TAKE_REFERENCE, vec![clinic.into(), document.into()]).await? else { return Ok(false) };
    let content = run(LAST_CONTENT, vec![id.clone()]).await?;
    if content.is_some() {
        for sql in REMOVE_CONTENT {
            run(sql, vec![id.clone()]).await?;
        }
    }
    let mut name = [0; 16];
    getrandom::fill(&mut name).map_err(|_| SqlError::Misuse("no random bytes".to_owned()))?;
    let entry = vec![
        Value::Blob(name.to_vec()),
        clinic.into(),
        document.into(),
        content.unwrap_or(Value::Null),
        unix_ms().into(),
    ];
    run(JOURNAL, entry).await?;
    Ok(true)
}

/// Erases again what was erased after a backup was taken, on a copy that nobody uses yet; how many entries of
/// the journal the copy did not know of. `run` carries out one statement that may write.
pub(crate) fn erase_again<E>(
    mut run: impl FnMut(&str, &[Value]) -> Result<QueryResult, E>,
    journal: &[Erasure],
) -> Result<u64, E> {
    let mut first = |sql: &str, parameters: &[Value]| {
        run(sql, parameters).map(|answer| answer.rows.into_iter().flatten().next())
    };
    // A release before there were documents, or before there was a journal, left no such table.
    let has = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?";
    if first(has, &["locum_blob_order".into()])?.is_none() {
        return Ok(0);
    }
    let mut erased = 0;
    for Erasure { id, at_ms, what: Erased::Document { clinic, document, content } } in journal {
        let entry = Value::Blob(id.to_bytes().to_vec());
        // A copy that knows of it is of a later moment: another document may have that name by now.
        if first("SELECT 1 FROM locum_erasure WHERE id = ?", std::slice::from_ref(&entry))?.is_some() {
            continue;
        }
        let (clinic, document) = (Value::from(clinic.as_str()), Value::from(document.as_str()));
        if let Some(blob) = first(TAKE_REFERENCE, &[clinic.clone(), document.clone()])?
            && first(LAST_CONTENT, std::slice::from_ref(&blob))?.is_some()
        {
            for sql in REMOVE_CONTENT {
                first(sql, std::slice::from_ref(&blob))?;
            }
        }
        let content = content.map_or(Value::Null, |content| Value::Blob(content.as_bytes().to_vec()));
        first(JOURNAL, &[entry, clinic, document, content, Value::Integer(*at_ms)])?;
        erased += 1;
    }
    Ok(erased)
}

/// What was erased, after the entry number `after`, with the number of each. `select` runs one statement.
pub(crate) fn erased_since(
    mut select: impl FnMut(&str) -> Result<Vec<Vec<Value>>, SqlError>,
    after: i64,
) -> Result<Vec<(i64, Erasure)>, SqlError> {
    let sql = format!(
        "SELECT sequence, id, clinic, document, content, erased_at_ms FROM locum_erasure
         WHERE sequence > {after} ORDER BY sequence LIMIT {PAGE_ROWS}"
    );
    let rows = select(&sql)?.into_iter().map(|row| read_erasure(row).ok_or_else(malformed));
    rows.collect()
}

/// Whether a document still has this content. `select` runs one statement.
pub(crate) fn is_named(
    mut select: impl FnMut(&str) -> Result<Vec<Vec<Value>>, SqlError>,
    content: DocumentName,
) -> Result<bool, SqlError> {
    Ok(!select(&format!("SELECT 1 FROM locum_blob WHERE hash = x'{content}'"))?.is_empty())
}

fn read_erasure(row: Vec<Value>) -> Option<(i64, Erasure)> {
    let [
        Value::Integer(sequence),
        Value::Blob(id),
        Value::Text(clinic),
        Value::Text(document),
        content,
        Value::Integer(at_ms),
    ] = <[Value; 6]>::try_from(row).ok()?
    else {
        return None;
    };
    let content = match content {
        Value::Blob(content) => Some(DocumentName::from(<[u8; 32]>::try_from(content).ok()?)),
        _ => None,
    };
    let id = ErasureId::from(<[u8; 16]>::try_from(id).ok()?);
    let what = Erased::Document { clinic, document, content };
    Some((sequence, Erasure { id, at_ms, what }))
}
