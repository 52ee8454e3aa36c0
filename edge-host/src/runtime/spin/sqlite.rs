//! `spin:sqlite` on the clinic's record group.

use std::sync::Arc;

use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::bindings::spin::sqlite::sqlite::{
    Error, Host, HostConnection, HostConnectionWithStore, QueryResult, RowResult, Value,
};
use super::{Platform, Spin, View};
use crate::store::{self, Caller, Session, SqlError};

/// A function's handle; all handles of a request share its session.
#[allow(unreachable_pub, reason = "the generated code re-exports it")]
pub type Connection = Arc<dyn Session>;

/// Columns, rows, and how reading them ended.
type Rows = (Vec<String>, StreamReader<RowResult>, FutureReader<Result<(), Error>>);

impl Host for View<'_> {}

impl HostConnection for View<'_> {
    async fn open(&mut self, database: String) -> Result<Resource<Connection>, Error> {
        let connection = self.platform.connect(&database)?;
        self.table.push(connection).map_err(|_| Error::Io("too many connections".to_owned()))
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<QueryResult, Error> {
        let session = self.session(&connection).ok_or(Error::InvalidConnection)?;
        run(session, statement, parameters).await
    }

    async fn last_insert_rowid(&mut self, connection: Resource<Connection>) -> i64 {
        self.session(&connection).map_or(0, |session| session.last_insert_rowid())
    }

    async fn changes(&mut self, connection: Resource<Connection>) -> u64 {
        self.session(&connection).map_or(0, |session| session.changes())
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send> HostConnectionWithStore<T> for Spin {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        database: String,
    ) -> Result<Resource<Connection>, Error> {
        accessor.with(|mut access| {
            let view = access.get();
            let connection = view.platform.connect(&database)?;
            view.table.push(connection).map_err(|_| Error::Io("too many connections".to_owned()))
        })
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<Rows, Error> {
        let session = find(accessor, &connection).ok_or(Error::InvalidConnection)?;
        let result = run(session, statement, parameters).await?;
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, result.rows).map_err(host)?;
            let end = FutureReader::new(&mut access, async { wasmtime::error::Ok(Ok(())) }).map_err(host)?;
            Ok((result.columns, rows, end))
        })
    }

    async fn last_insert_rowid_async(accessor: &Accessor<T, Self>, connection: Resource<Connection>) -> i64 {
        find(accessor, &connection).map_or(0, |session| session.last_insert_rowid())
    }

    async fn changes_async(accessor: &Accessor<T, Self>, connection: Resource<Connection>) -> u64 {
        find(accessor, &connection).map_or(0, |session| session.changes())
    }
}

impl Platform {
    fn connect(&self, label: &str) -> Result<Connection, Error> {
        if !self.environment.sqlite_databases.iter().any(|allowed| allowed == label) {
            return Err(Error::AccessDenied);
        }
        // Without a clinic in the route there is no group to open.
        self.session.clone().ok_or(Error::NoSuchDatabase)
    }
}

impl View<'_> {
    fn session(&self, connection: &Resource<Connection>) -> Option<Connection> {
        self.table.get(connection).ok().cloned()
    }
}

fn find<T: Send>(accessor: &Accessor<T, Spin>, connection: &Resource<Connection>) -> Option<Connection> {
    accessor.with(|mut access| access.get().session(connection))
}

async fn run(session: Connection, statement: String, parameters: Vec<Value>) -> Result<QueryResult, Error> {
    let parameters = parameters.into_iter().map(store::Value::from).collect();
    let result = session.execute(statement, parameters, Caller::Function).await.map_err(Error::from)?;
    let row = |row: Vec<store::Value>| RowResult { values: row.into_iter().map(Value::from).collect() };
    Ok(QueryResult { columns: result.columns, rows: result.rows.into_iter().map(row).collect() })
}

fn host(_: wasmtime::Error) -> Error {
    Error::Io("the rows cannot be handed over".to_owned())
}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Self {
        if error.is_full() { Self::DatabaseFull } else { Self::Io(error.to_string()) }
    }
}

impl From<Value> for store::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Integer(value) => Self::Integer(value),
            Value::Real(value) => Self::Real(value),
            Value::Text(text) => Self::Text(text),
            Value::Blob(bytes) => Self::Blob(bytes),
            Value::Null => Self::Null,
        }
    }
}

impl From<store::Value> for Value {
    fn from(value: store::Value) -> Self {
        match value {
            store::Value::Integer(value) => Self::Integer(value),
            store::Value::Real(value) => Self::Real(value),
            store::Value::Text(text) => Self::Text(text),
            store::Value::Blob(bytes) => Self::Blob(bytes),
            store::Value::Null => Self::Null,
        }
    }
}
