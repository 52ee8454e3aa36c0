//! A real SQLite with the real migrations.

use std::path::{Path, PathBuf};
use std::time::Duration;

use libsql::{Builder, Connection};

use crate::Pending;
use crate::database::{Database, DatabaseError, Row, Value};

/// A connection to a database file.
pub struct LibsqlDatabase {
    connection: Connection,
}

impl LibsqlDatabase {
    /// Opens `file`, a new one if there is none.
    pub async fn open(file: &Path) -> Self {
        let database = Builder::new_local(file).build().await.unwrap();
        let connection = database.connect().unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = ON").await.unwrap();
        Self { connection }
    }

    /// Applies every migration of the project, in order.
    pub async fn migrate(&self) {
        self.connection.execute_batch("PRAGMA journal_mode = WAL").await.unwrap();
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"));
        let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
        files.sort();
        assert!(!files.is_empty(), "no migrations");
        for file in files {
            let sql = std::fs::read_to_string(&file).unwrap();
            self.connection.execute_batch(&sql).await.unwrap();
        }
    }
}

impl Database for LibsqlDatabase {
    fn query<'a>(
        &'a self,
        sql: &'a str,
        parameters: Vec<Value>,
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        Box::pin(async move {
            let mut answer = self.connection.query(sql, bound(parameters)).await.map_err(sorted)?;
            let mut rows = Vec::new();
            while let Some(row) = answer.next().await.map_err(sorted)? {
                let values = (0..row.column_count()).map(|column| row.get_value(column).map(value));
                rows.push(Row::new(values.collect::<Result<_, _>>().map_err(sorted)?));
            }
            Ok(rows)
        })
    }

    fn execute<'a>(
        &'a self,
        sql: &'a str,
        parameters: Vec<Value>,
    ) -> Pending<'a, Result<u64, DatabaseError>> {
        Box::pin(async move { self.connection.execute(sql, bound(parameters)).await.map_err(sorted) })
    }
}

fn bound(parameters: Vec<Value>) -> Vec<libsql::Value> {
    let to_libsql = |value| match value {
        Value::Null => libsql::Value::Null,
        Value::Integer(number) => libsql::Value::Integer(number),
        Value::Text(text) => libsql::Value::Text(text),
        Value::Blob(bytes) => libsql::Value::Blob(bytes),
    };
    parameters.into_iter().map(to_libsql).collect()
}

fn value(value: libsql::Value) -> Value {
    match value {
        libsql::Value::Null => Value::Null,
        libsql::Value::Integer(number) => Value::Integer(number),
        libsql::Value::Text(text) => Value::Text(text),
        libsql::Value::Blob(bytes) => Value::Blob(bytes),
        libsql::Value::Real(_) => unreachable!("no table has real numbers"),
    }
}

fn sorted(error: libsql::Error) -> DatabaseError {
    match error {
        libsql::Error::SqliteFailure(_, text) => DatabaseError::from_statement(text),
        other => DatabaseError::Statement(other.to_string()),
    }
}
