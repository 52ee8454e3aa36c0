//! `spin:key-value` stores, kept as rows of the clinic's record group: the same transaction, key and copies.

use std::sync::Arc;

use super::{Caller, Session, SqlError, Value};

/// Longest key, in bytes.
const MAX_KEY_BYTES: usize = 255;
/// Largest value, in bytes.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// One store, for one clinic, in one request.
#[derive(Clone)]
pub struct KeyValueStore {
    session: Arc<dyn Session>,
    label: String,
    clinic: String,
}

/// Text is for the function.
#[derive(Debug, thiserror::Error)]
pub enum KeyValueError {
    /// The record group.
    #[error("{0}")]
    Sql(#[from] SqlError),
    /// A bound was crossed.
    #[error("a key is at most 255 bytes, a value at most 1 MiB")]
    TooLarge,
}

impl KeyValueStore {
    /// A store of the session's group. Clinics of one group do not see each other's keys.
    pub fn new(session: Arc<dyn Session>, label: String, clinic: String) -> Self {
        Self { session, label, clinic }
    }

    /// The value, if any.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        let sql = "SELECT value FROM locum_key_value WHERE store = ? AND clinic = ? AND key = ?";
        let rows = self.run(sql, [key.into()]).await?;
        Ok(rows.into_iter().flatten().next().and_then(|value| match value {
            Value::Blob(bytes) => Some(bytes),
            _ => None,
        }))
    }

    /// Whether the key is there.
    pub async fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        let sql = "SELECT 1 FROM locum_key_value WHERE store = ? AND clinic = ? AND key = ?";
        Ok(!self.run(sql, [key.into()]).await?.is_empty())
    }

    /// Sets or replaces.
    pub async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), KeyValueError> {
        if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
            return Err(KeyValueError::TooLarge);
        }
        let sql = "INSERT INTO locum_key_value (store, clinic, key, value) VALUES (?, ?, ?, ?)
                   ON CONFLICT (store, clinic, key) DO UPDATE SET value = excluded.value";
        self.run(sql, [key.into(), Value::Blob(value)]).await.map(drop)
    }

    /// Removes; no error when it is not there.
    pub async fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        let sql = "DELETE FROM locum_key_value WHERE store = ? AND clinic = ? AND key = ?";
        self.run(sql, [key.into()]).await.map(drop)
    }

    /// All keys, in order.
    pub async fn keys(&self) -> Result<Vec<String>, KeyValueError> {
        let sql = "SELECT key FROM locum_key_value WHERE store = ? AND clinic = ? ORDER BY key";
        let rows = self.run(sql, []).await?;
        let text = |value| if let Value::Text(key) = value { Some(key) } else { None };
        Ok(rows.into_iter().flatten().filter_map(text).collect())
    }

    async fn run<const N: usize>(
        &self,
        sql: &str,
        rest: [Value; N],
    ) -> Result<Vec<Vec<Value>>, KeyValueError> {
        let mut parameters = vec![self.label.as_str().into(), self.clinic.as_str().into()];
        parameters.extend(rest);
        Ok(self.session.execute(sql.to_owned(), parameters, Caller::Host).await?.rows)
    }
}
