//! The host's side inside a component: Spin's interfaces.

use std::error::Error;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full, Limited};
use spin_sdk::http::Request;
use spin_sdk::sqlite::wit::sqlite;
use spin_sdk::{key_value, variables};

use crate::Pending;
use crate::audit_log::{self, AuditLog, Report, Unavailable, Wish};
use crate::breached::{Breached, BreachedError};
use crate::clock::SystemClock;
use crate::context::Host;
use crate::database::{Database, DatabaseError, Row, Value};
use crate::outbound::{Incoming, MAX_ANSWER, Outbound, OutboundError, Outgoing};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::serve::{Function, serve};
use crate::variables::{VariableError, Variables};

/// Answers a request of Spin's HTTP trigger with `F`.
pub async fn handle<F: Function>(request: Request) -> Response<Full<Bytes>> {
    respond::<F>(request)
        .await
        .unwrap_or_else(|problem| {
            log(&problem);
            F::refuse(problem)
        })
        .map(|body| Full::new(Bytes::from(body)))
}

async fn respond<F: Function>(request: Request) -> Result<Reply, Problem> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Problem::unreadable_body())?;
    let request = http::Request::from_parts(parts, body.to_bytes().to_vec());
    let database = SpinDatabase::open()?;
    let host = Host {
        database: &database,
        variables: &SpinVariables,
        clock: &SystemClock,
        events: &HostAuditLog,
        breached: &SpinBreached,
        outbound: &SpinOutbound,
    };
    Ok(serve::<F>(host, request, log).await)
}

/// Standard error is the host's log. The text is of our own errors, which hold no value of a request or a
/// row.
#[allow(clippy::print_stderr, reason = "a component's only log")]
fn log(problem: &Problem) {
    let mut text = format!("failed: {}", problem.slug());
    let mut cause: Option<&dyn Error> = problem.cause();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    eprintln!("{text}");
}

/// Not by the SDK's own type, whose answers come in a stream: one call of the host is a third of the time, and no
/// instance has anything else to do meanwhile.
struct SpinDatabase(sqlite::Connection);

impl SpinDatabase {
    fn open() -> Result<Self, DatabaseError> {
        let opened = sqlite::Connection::open("default");
        opened.map(Self).map_err(|error| DatabaseError::Open(error.to_string()))
    }

    fn run(&self, sql: &str, parameters: Vec<Value>) -> Result<Vec<sqlite::RowResult>, DatabaseError> {
        let parameters = parameters.into_iter().map(|value| match value {
            Value::Null => sqlite::Value::Null,
            Value::Integer(number) => sqlite::Value::Integer(number),
            Value::Text(text) => sqlite::Value::Text(text),
            Value::Blob(bytes) => sqlite::Value::Blob(bytes),
        });
        let parameters: Vec<_> = parameters.collect();
        Ok(self.0.execute(sql, &parameters).map_err(sorted)?.rows)
    }
}

fn sorted(error: sqlite::Error) -> DatabaseError {
    match error {
        sqlite::Error::Io(text) => DatabaseError::from_statement(text),
        other => DatabaseError::Statement(other.to_string()),
    }
}

impl Database for SpinDatabase {
    fn query<'a>(
        &'a self,
        sql: &'a str,
        parameters: Vec<Value>,
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        Box::pin(async move {
            let rows = self.run(sql, parameters)?;
            rows.into_iter()
                .map(|row| row.values.into_iter().map(value).collect::<Result<_, _>>().map(Row::new))
                .collect()
        })
    }

    fn execute<'a>(
        &'a self,
        sql: &'a str,
        parameters: Vec<Value>,
    ) -> Pending<'a, Result<u64, DatabaseError>> {
        Box::pin(async move {
            self.run(sql, parameters)?;
            Ok(self.0.changes())
        })
    }
}

fn value(value: sqlite::Value) -> Result<Value, DatabaseError> {
    match value {
        sqlite::Value::Null => Ok(Value::Null),
        sqlite::Value::Integer(number) => Ok(Value::Integer(number)),
        sqlite::Value::Text(text) => Ok(Value::Text(text)),
        sqlite::Value::Blob(bytes) => Ok(Value::Blob(bytes)),
        sqlite::Value::Real(_) => {
            Err(DatabaseError::Statement("a real number, which no table of ours has".into()))
        }
    }
}

/// The host's, at an address that only it answers, and only to a component that may ask.
struct HostAuditLog;

impl AuditLog for HostAuditLog {
    fn search<'a>(&'a self, wish: &'a Wish) -> Pending<'a, Result<Report, Unavailable>> {
        Box::pin(async move {
            let wish = serde_json::to_vec(wish).map_err(|_| Unavailable)?;
            let answer = spin_sdk::http::post(audit_log::ADDRESS, wish).await.map_err(|_| Unavailable)?;
            if answer.status() != http::StatusCode::OK {
                return Err(Unavailable);
            }
            let body = answer.into_body().collect().await.map_err(|_| Unavailable)?.to_bytes();
            serde_json::from_slice(&body).map_err(|_| Unavailable)
        })
    }
}

struct SpinVariables;

impl Variables for SpinVariables {
    fn get<'a>(&'a self, name: &'a str) -> Pending<'a, Result<String, VariableError>> {
        Box::pin(
            async move { variables::get(name).await.map_err(|_| VariableError::Missing(name.to_owned())) },
        )
    }
}

/// A key-value store of this name, where the host has one; Spin itself has none.
struct SpinBreached;

impl Breached for SpinBreached {
    fn contains<'a>(&'a self, sha1: &'a str) -> Pending<'a, Result<Option<bool>, BreachedError>> {
        Box::pin(async move {
            let Ok(store) = key_value::Store::open("breached-passwords").await else { return Ok(None) };
            store.exists(sha1).await.map(Some).map_err(|_| BreachedError)
        })
    }
}

struct SpinOutbound;

impl Outbound for SpinOutbound {
    fn send(&self, request: Outgoing) -> Pending<'_, Result<Incoming, OutboundError>> {
        Box::pin(async move {
            let mut builder = http::Request::builder().method(request.method).uri(request.url);
            for (name, value) in request.headers {
                builder = builder.header(name, value);
            }
            let request =
                builder.body(Full::new(Bytes::from(request.body))).map_err(|_| OutboundError::Url)?;
            let answer = spin_sdk::http::send(request).await.map_err(|_| OutboundError::Unanswered)?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
                true => OutboundError::TooLong,
                false => OutboundError::Unanswered,
            })?;
            Ok(Incoming { status, body: body.to_bytes().to_vec() })
        })
    }
}
