//! Whether the copies of a host that does not run are whole in themselves.

use locum_replication::Position;

use super::ReplicatedStore;
use super::copies::{Copies, CopyError};
use crate::store::sqlite::Database;
use crate::store::{GroupId, Value};

/// What was found in the newest complete copy of a group.
#[derive(Debug)]
pub struct Verified {
    /// The group.
    pub group: GroupId,
    /// How far the copy goes; `None`: there is none yet.
    pub copy: Option<Position>,
    /// What SQLite's `integrity_check` and `foreign_key_check` object to: tables and row ids, never what is in them.
    pub damage: Vec<String>,
}

/// A copy cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("verify the records of `{group}`")]
pub struct VerifyError {
    group: GroupId,
    #[source]
    source: CopyError,
}

impl ReplicatedStore {
    /// Looks at the newest copy of each group. Blocks. Not while the host runs: it holds the store's lock.
    pub fn verify(&self) -> Result<Vec<Verified>, VerifyError> {
        let verify = |(group, copies): (&GroupId, &Copies)| {
            let failed = |source| VerifyError { group: group.clone(), source };
            let copy = copies.newest().map_err(failed)?;
            let damage = copy.map(|copy| damage(copies, copy)).transpose().map_err(failed)?;
            Ok(Verified { group: group.clone(), copy, damage: damage.unwrap_or_default() })
        };
        self.copies.iter().map(verify).collect()
    }
}

fn damage(copies: &Copies, copy: Position) -> Result<Vec<String>, CopyError> {
    let path = copies.data_file(copy.epoch);
    let key = copies.key()?;
    let run = || {
        let mut database = Database::open(&path, &key)?;
        let integrity = database.host("PRAGMA integrity_check", &[])?;
        let references = database.host("PRAGMA foreign_key_check", &[])?;
        Ok((integrity, references))
    };
    let (integrity, references) =
        run().map_err(|source| CopyError::Database { path: path.clone(), source })?;
    let mut damage: Vec<String> = integrity.rows.iter().filter_map(|row| text(row.first()?)).collect();
    damage.retain(|line| line != "ok");
    let dangling = |row: &Vec<Value>| match row.as_slice() {
        [Value::Text(table), Value::Integer(id), Value::Text(parent), ..] => {
            format!("row {id} of {table} refers to a row of {parent} that is not there")
        }
        _ => "a row refers to one that is not there".to_owned(),
    };
    damage.extend(references.rows.iter().map(dangling));
    Ok(damage)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}
