//! The writer's way into `sqld`: Hrana over HTTP on loopback (version 3, JSON), one stream a transaction.
//!
//! Everything here blocks its thread, as the writer of a single file does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use libsql_sys::ffi;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::store::{Failure, QueryResult, SqlError, Value};

/// Idle connections that are kept; there is one writer at a time, and the one before may still be closing.
const IDLE: usize = 2;
/// Longest wait for one answer; a statement's own bound is shorter.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// `sqld` is told the same bound, see `engine.rs`.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// Blobs: `sqld` leaves the padding out and takes either.
const BLOB: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One running `sqld`, as its writers reach it.
pub(super) struct HranaClient {
    address: SocketAddr,
    authorization: HeaderValue,
    runtime: Handle,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// One transaction's stream. Dropping it closes the stream, which rolls back.
pub(super) struct Stream {
    client: Arc<HranaClient>,
    connection: Option<SendRequest<Full<Bytes>>>,
    baton: Option<String>,
    is_open: bool,
}

/// What a statement answered.
pub(super) struct Executed {
    pub(super) result: QueryResult,
    pub(super) changes: u64,
    pub(super) last_insert_rowid: Option<i64>,
    /// The newest committed frame when it was answered.
    pub(super) frame: Option<u64>,
}

#[derive(Serialize)]
struct Pipeline<'a> {
    baton: Option<&'a str>,
    requests: &'a [StreamRequest<'a>],
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StreamRequest<'a> {
    Execute { stmt: Statement<'a> },
    GetAutocommit,
    Close,
}

#[derive(Serialize)]
struct Statement<'a> {
    sql: &'a str,
    args: Vec<WireValue>,
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireValue {
    Null,
    /// As text: JSON numbers are doubles to many.
    Integer {
        value: String,
    },
    Float {
        value: f64,
    },
    Text {
        value: String,
    },
    Blob {
        base64: String,
    },
}

#[derive(Deserialize)]
struct PipelineAnswer {
    baton: Option<String>,
    results: Vec<StreamResult>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StreamResult {
    Ok { response: StreamResponse },
    Error { error: WireError },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StreamResponse {
    Execute { result: WireResult },
    GetAutocommit { is_autocommit: bool },
    Close,
}

#[derive(Deserialize)]
struct WireError {
    message: String,
    code: Option<String>,
}

#[derive(Deserialize)]
struct WireResult {
    cols: Vec<Column>,
    rows: Vec<Vec<WireValue>>,
    affected_row_count: u64,
    last_insert_rowid: Option<String>,
    replication_index: Option<String>,
}

#[derive(Deserialize)]
struct Column {
    name: Option<String>,
}

impl HranaClient {
    /// Speaks to `address` with `token`.
    pub(super) fn new(address: SocketAddr, token: &str, runtime: Handle) -> Option<Arc<Self>> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        authorization.set_sensitive(true);
        Some(Arc::new(Self { address, authorization, runtime, idle: Mutex::default() }))
    }

    /// A new stream; nothing is sent yet.
    pub(super) fn stream(self: &Arc<Self>) -> Stream {
        Stream { client: Arc::clone(self), connection: None, baton: None, is_open: false }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, SqlError> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(kept) = kept.filter(|kept| !kept.is_closed()) {
            return Ok(kept);
        }
        let stream = TcpStream::connect(self.address).await.map_err(|_| lost())?;
        stream.set_nodelay(true).map_err(|_| lost())?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| lost())?;
        // It ends with its last sender, and its error is the sender's.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn post(
        &self,
        connection: &mut SendRequest<Full<Bytes>>,
        body: Vec<u8>,
    ) -> Result<PipelineAnswer, SqlError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v3/pipeline")
            .header(HOST, "sqld")
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, self.authorization.clone())
            .body(Full::from(body))
            .map_err(|_| lost())?;
        connection.ready().await.map_err(|_| lost())?;
        let response = connection.send_request(request).await.map_err(|_| lost())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|_| lost())?.to_bytes();
        if status != StatusCode::OK {
            // Its text may quote values: only that it failed is told.
            tracing::warn!(status = status.as_u16(), "the record engine refused a request");
            return Err(lost());
        }
        serde_json::from_slice(&body).map_err(|_| lost())
    }
}

impl Stream {
    /// Whether a transaction is open.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Runs one statement within `deadline`. An error of SQLite leaves the stream usable; any other ends it.
    pub(super) fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value],
        deadline: Option<Instant>,
    ) -> Result<Executed, SqlError> {
        let stmt = Statement { sql, args: parameters.iter().map(WireValue::from).collect() };
        let answers =
            self.pipeline(&[StreamRequest::Execute { stmt }, StreamRequest::GetAutocommit], deadline)?;
        let Ok([executed, autocommit]) = <[StreamResult; 2]>::try_from(answers) else {
            return Err(self.give_up());
        };
        match autocommit {
            StreamResult::Ok { response: StreamResponse::GetAutocommit { is_autocommit } } => {
                self.is_open = !is_autocommit;
            }
            _ => return Err(self.give_up()),
        }
        match executed {
            StreamResult::Ok { response: StreamResponse::Execute { result } } => {
                Executed::try_from(result).map_err(|Malformed| self.give_up())
            }
            StreamResult::Error { error } => Err(error.into_sql_error()),
            StreamResult::Ok { .. } => Err(self.give_up()),
        }
    }

    fn pipeline(
        &mut self,
        requests: &[StreamRequest<'_>],
        deadline: Option<Instant>,
    ) -> Result<Vec<StreamResult>, SqlError> {
        let pipeline = Pipeline { baton: self.baton.as_deref(), requests };
        let body = serde_json::to_vec(&pipeline).map_err(|_| SqlError::misuse("a value is not a number"))?;
        let bound = deadline.map_or(ANSWER_WITHIN, |deadline| {
            deadline.saturating_duration_since(Instant::now()).min(ANSWER_WITHIN)
        });
        let client = Arc::clone(&self.client);
        let connection = &mut self.connection;
        let asked = client.runtime.block_on(tokio::time::timeout(bound, async {
            if connection.is_none() {
                *connection = Some(client.connect().await?);
            }
            match connection {
                Some(connection) => client.post(connection, body).await,
                None => Err(lost()),
            }
        }));
        match asked {
            Ok(Ok(answer)) => {
                // Without a baton the stream is gone, and with it what was open.
                self.is_open &= answer.baton.is_some();
                self.baton = answer.baton;
                Ok(answer.results)
            }
            Ok(Err(error)) => {
                self.give_up();
                Err(error)
            }
            Err(_) => {
                self.give_up();
                Err(SqlError::Ended(Failure::TransactionTimeout))
            }
        }
    }

    /// The connection's state is unknown: nothing more is said on it, and `sqld` rolls back by its own bound.
    fn give_up(&mut self) -> SqlError {
        (self.connection, self.baton, self.is_open) = (None, None, false);
        lost()
    }
}

impl Drop for Stream {
    /// Blocks until `sqld` has closed the stream: the next writer must not find it busy.
    fn drop(&mut self) {
        if self.baton.is_some() {
            let _ = self.pipeline(&[StreamRequest::Close], None);
        }
        if let Some(connection) = self.connection.take() {
            let mut idle = self.client.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE {
                idle.push(connection);
            }
        }
    }
}

struct Malformed;

impl TryFrom<WireResult> for Executed {
    type Error = Malformed;

    fn try_from(wire: WireResult) -> Result<Self, Malformed> {
        let number = |text: Option<String>| text.map(|text| text.parse::<i64>()).transpose();
        let row = |row: Vec<WireValue>| row.into_iter().map(Value::try_from).collect::<Result<Vec<_>, _>>();
        let frame = wire.replication_index.map(|text| text.parse()).transpose().map_err(|_| Malformed)?;
        Ok(Self {
            result: QueryResult {
                columns: wire.cols.into_iter().map(|column| column.name.unwrap_or_default()).collect(),
                rows: wire.rows.into_iter().map(row).collect::<Result<_, _>>()?,
            },
            changes: wire.affected_row_count,
            last_insert_rowid: number(wire.last_insert_rowid).map_err(|_| Malformed)?,
            frame,
        })
    }
}

impl From<&Value> for WireValue {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(value) => Self::Integer { value: value.to_string() },
            // SQLite has no NaN: it stores NULL.
            Value::Real(value) if value.is_nan() => Self::Null,
            Value::Real(value) => Self::Float { value: *value },
            Value::Text(text) => Self::Text { value: text.clone() },
            Value::Blob(bytes) => Self::Blob { base64: BLOB.encode(bytes) },
        }
    }
}

impl TryFrom<WireValue> for Value {
    type Error = Malformed;

    fn try_from(value: WireValue) -> Result<Self, Malformed> {
        Ok(match value {
            WireValue::Null => Self::Null,
            WireValue::Integer { value } => Self::Integer(value.parse().map_err(|_| Malformed)?),
            WireValue::Float { value } => Self::Real(value),
            WireValue::Text { value } => Self::Text(value),
            WireValue::Blob { base64 } => Self::Blob(BLOB.decode(base64).map_err(|_| Malformed)?),
        })
    }
}

impl WireError {
    /// In SQLite's own words, as the single file gives them.
    fn into_sql_error(self) -> SqlError {
        let message = ["SQLite error: ", "SQL input error: "]
            .iter()
            .find_map(|prefix| self.message.strip_prefix(prefix))
            .unwrap_or(&self.message);
        let message = message.split(" (at offset ").next().unwrap_or(message).to_owned();
        let code = match self.code.as_deref() {
            Some("SQLITE_CONSTRAINT") => ffi::SQLITE_CONSTRAINT,
            Some("SQLITE_FULL") => ffi::SQLITE_FULL,
            Some("SQLITE_BUSY") => ffi::SQLITE_BUSY,
            _ => ffi::SQLITE_ERROR,
        };
        SqlError::Sqlite { code, message }
    }
}

fn lost() -> SqlError {
    SqlError::Ended(Failure::TransactionLost)
}
