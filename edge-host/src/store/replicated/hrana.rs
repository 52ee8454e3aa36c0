//! The way into `sqld`: Hrana over HTTP on loopback (version 3, JSON). A whole transaction is one request, and the
//! stream stays open for the next: to open its database anew costs `sqld` a key derivation, some milliseconds.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use locum_replication::FrameNo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::store::Value;

/// Longest wait for one answer. Whoever is silent for longer is not waited for but ended.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// `sqld` is told the same bound, see `engine.rs`.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// `sqld` forgets a stream that nobody used for 10 s.
const STREAM_KEPT_FOR: Duration = Duration::from_secs(5);
/// Fails unless the stream has changed as many rows as it did on this host's own copy.
const SAME_CHANGES: &str = "SELECT CASE WHEN total_changes() = ? THEN 1 ELSE json('') END";

/// One running `sqld`, as the group's writer reaches it.
pub(super) struct HranaClient {
    address: SocketAddr,
    authorization: HeaderValue,
    /// There is one writer; it keeps what it speaks through.
    kept: Mutex<Kept>,
    /// The last commit.
    newest: AtomicU64,
    /// Nobody knows what it does: it has to go.
    given_up: CancellationToken,
}

#[derive(Default)]
struct Kept {
    connection: Option<SendRequest<Full<Bytes>>>,
    stream: Option<Stream>,
}

/// A stream of `sqld` between two transactions.
struct Stream {
    baton: String,
    /// Rows that it has changed since it began.
    changes: u64,
    used: Instant,
}

/// A statement that has run on this host's own copy.
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) parameters: Vec<Value>,
}

/// A transaction was not carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum CarryError {
    /// Nothing of it happened. Holds SQLite's code, never its words: those can quote values.
    #[error("the record engine refused step {step}: {code}")]
    Refused { step: usize, code: &'static str },
    /// It may have happened.
    #[error("the record engine gave no answer")]
    Unknown,
}

#[derive(Serialize)]
struct Pipeline<'a> {
    baton: Option<&'a str>,
    requests: &'a [StreamRequest<'a>],
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StreamRequest<'a> {
    Batch {
        batch: Batch<'a>,
    },
    /// Rolls back what is still open.
    Close,
}

#[derive(Serialize)]
struct Batch<'a> {
    steps: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Step<'a> {
    stmt: WireStatement<'a>,
    condition: Option<Condition>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Condition {
    /// Only if that step succeeded.
    Ok {
        step: usize,
    },
    Not {
        cond: Box<Self>,
    },
}

#[derive(Serialize)]
struct WireStatement<'a> {
    sql: &'a str,
    args: Vec<WireValue<'a>>,
    want_rows: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireValue<'a> {
    Null,
    /// As text: JSON numbers are doubles to many.
    Integer {
        value: String,
    },
    Float {
        value: f64,
    },
    Text {
        value: &'a str,
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
    Error {},
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StreamResponse {
    Batch { result: BatchResult },
    Close,
}

#[derive(Deserialize)]
struct BatchResult {
    step_results: Vec<Option<StepResult>>,
    step_errors: Vec<Option<StepError>>,
    replication_index: Option<String>,
}

#[derive(Deserialize)]
struct StepResult {
    rows: Vec<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
struct StepError {
    code: Option<String>,
}

impl HranaClient {
    /// Speaks to `address` with `token`.
    pub(super) fn new(address: SocketAddr, token: &str) -> Option<Self> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        authorization.set_sensitive(true);
        let (kept, newest, given_up) = (Mutex::default(), AtomicU64::new(0), CancellationToken::new());
        Some(Self { address, authorization, kept, newest, given_up })
    }

    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it does is not known any more: the process has to end.
    pub(super) fn give_up(&self) {
        self.given_up.cancel();
    }

    /// Resolves when the process has to end.
    pub(super) async fn given_up(&self) {
        self.given_up.cancelled().await;
    }

    /// The newest commit that was answered.
    pub(super) fn newest(&self) -> FrameNo {
        FrameNo(self.newest.load(Ordering::Acquire))
    }

    /// Asks whether every commit is synced to disk (`synchronous=FULL`), and learns the newest frame.
    pub(super) async fn is_durable(&self) -> Result<bool, CarryError> {
        let result = self.alone(Step::new("PRAGMA synchronous", &[], None, true)).await?;
        let rows = result.step_results.into_iter().next().flatten().map(|step| step.rows);
        Ok(rows.is_some_and(|rows| rows == [[serde_json::json!({"type": "integer", "value": "2"})]]))
    }

    /// Carries out a transaction that changed `changes` rows on this host's own copy, and answers once it is
    /// synced, with its last frame. It happens whole or not at all.
    pub(super) async fn carry_out(
        &self,
        statements: &[Statement],
        changes: u64,
    ) -> Result<FrameNo, CarryError> {
        let mut kept = self.kept.lock().await;
        // Taken out: a transaction that fails, or that nobody waits for any more, leaves no stream behind.
        let stream = kept.stream.take().filter(|stream| stream.used.elapsed() < STREAM_KEPT_FOR);
        let changes = changes + stream.as_ref().map_or(0, |stream| stream.changes);
        let same = [Value::Integer(changes.cast_signed())];
        let written = statements.iter().map(|statement| (statement.sql.as_str(), &*statement.parameters));
        let all = std::iter::once(("BEGIN IMMEDIATE", [].as_slice()))
            .chain(written)
            .chain([(SAME_CHANGES, same.as_slice()), ("COMMIT", &[])]);
        let mut steps: Vec<_> = all
            .enumerate()
            .map(|(at, (sql, parameters))| {
                let condition = at.checked_sub(1).map(|step| Condition::Ok { step });
                Step::new(sql, parameters, condition, false)
            })
            .collect();
        let commit = steps.len() - 1;
        let uncommitted = Condition::Not { cond: Box::new(Condition::Ok { step: commit }) };
        steps.push(Step::new("ROLLBACK", &[], Some(uncommitted), false));
        let requests = [StreamRequest::Batch { batch: Batch { steps } }];
        let baton = stream.as_ref().map(|stream| stream.baton.as_str());
        let (result, baton) = self.ask(&mut kept, &Pipeline { baton, requests: &requests }).await?;
        if result.step_results.get(commit).is_none_or(Option::is_none) {
            if let Some(baton) = baton {
                self.close(&mut kept, &baton).await;
            }
            return Err(result.refused());
        }
        kept.stream = baton.map(|baton| Stream { baton, changes, used: Instant::now() });
        result.frame().ok_or(CarryError::Unknown)
    }

    /// One statement by itself, as applications use `sqld`.
    #[cfg(test)]
    pub(super) async fn autocommit(&self, statement: &Statement) -> Result<FrameNo, CarryError> {
        let result = self.alone(Step::new(&statement.sql, &statement.parameters, None, true)).await?;
        if result.step_results.iter().all(Option::is_some) {
            Ok(self.newest())
        } else {
            Err(result.refused())
        }
    }

    /// One statement on a stream of its own.
    async fn alone(&self, step: Step<'_>) -> Result<BatchResult, CarryError> {
        let requests = [StreamRequest::Batch { batch: Batch { steps: vec![step] } }, StreamRequest::Close];
        let mut kept = self.kept.lock().await;
        Ok(self.ask(&mut kept, &Pipeline { baton: None, requests: &requests }).await?.0)
    }

    /// `sqld` has room for 128 streams, and would keep this one for another 10 s.
    async fn close(&self, kept: &mut Kept, baton: &str) {
        let closing = Pipeline { baton: Some(baton), requests: &[StreamRequest::Close] };
        let Ok(body) = serde_json::to_vec(&closing) else { return };
        // If it does not close now it does so by itself.
        let _ = tokio::time::timeout(ANSWER_WITHIN, self.post(kept, body)).await;
    }

    /// What came of a batch, and the baton of its stream if that stays open.
    async fn ask(
        &self,
        kept: &mut Kept,
        pipeline: &Pipeline<'_>,
    ) -> Result<(BatchResult, Option<String>), CarryError> {
        let body = serde_json::to_vec(pipeline);
        let body = body.map_err(|_| CarryError::Refused { step: 0, code: "not JSON" })?;
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.post(kept, body)).await;
        let PipelineAnswer { baton, results } = asked.unwrap_or(Err(CarryError::Unknown))?;
        let Some(StreamResult::Ok { response: StreamResponse::Batch { result } }) =
            results.into_iter().next()
        else {
            return Err(CarryError::Unknown);
        };
        if let Some(FrameNo(frame)) = result.frame() {
            self.newest.fetch_max(frame, Ordering::AcqRel);
        }
        Ok((result, baton))
    }

    async fn post(&self, kept: &mut Kept, body: Vec<u8>) -> Result<PipelineAnswer, CarryError> {
        let (status, body) = self.send(kept, body).await.ok_or(CarryError::Unknown)?;
        if status != StatusCode::OK {
            // Its text may quote values: only that it failed is told.
            tracing::warn!(status = status.as_u16(), "the record engine refused a request");
        }
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|_| CarryError::Unknown),
            // It opened no stream.
            StatusCode::TOO_MANY_REQUESTS => Err(CarryError::Refused { step: 0, code: "too many streams" }),
            _ => Err(CarryError::Unknown),
        }
    }

    /// `None`: whatever was sent may have been done.
    async fn send(&self, kept: &mut Kept, body: Vec<u8>) -> Option<(StatusCode, Bytes)> {
        // Taken out: whoever gives up waiting leaves a connection behind whose state is unknown.
        let mut connection = match kept.connection.take().filter(|kept| !kept.is_closed()) {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v3/pipeline")
            .header(HOST, "sqld")
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, self.authorization.clone())
            .body(Full::from(body))
            .ok()?;
        connection.ready().await.ok()?;
        let response = connection.send_request(request).await.ok()?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await.ok()?.to_bytes();
        kept.connection = Some(connection);
        Some((status, body))
    }

    async fn connect(&self) -> Option<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        // It ends with its last sender, and its error is the sender's.
        tokio::spawn(connection);
        Some(sender)
    }
}

impl<'a> Step<'a> {
    fn new(sql: &'a str, parameters: &'a [Value], condition: Option<Condition>, want_rows: bool) -> Self {
        let args = parameters.iter().map(WireValue::from).collect();
        Self { stmt: WireStatement { sql, args, want_rows }, condition }
    }
}

impl BatchResult {
    /// The newest frame after it.
    fn frame(&self) -> Option<FrameNo> {
        self.replication_index.as_ref()?.parse().ok().map(FrameNo)
    }

    /// The step that failed; those after it did not run.
    fn refused(&self) -> CarryError {
        let failed = self.step_errors.iter().enumerate().find_map(|(at, error)| Some((at, error.as_ref()?)));
        let (step, code) = failed.map_or((0, None), |(step, error)| (step, error.code.as_deref()));
        let code = match code {
            Some("SQLITE_FULL") => "SQLITE_FULL",
            Some("SQLITE_BUSY") => "SQLITE_BUSY",
            Some("SQLITE_IOERR") => "SQLITE_IOERR",
            Some("SQLITE_CONSTRAINT") => "SQLITE_CONSTRAINT",
            _ => "another error",
        };
        CarryError::Refused { step, code }
    }
}

impl<'a> From<&'a Value> for WireValue<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(value) => Self::Integer { value: value.to_string() },
            // SQLite has no NaN: it stores NULL.
            Value::Real(value) if value.is_nan() => Self::Null,
            Value::Real(value) => Self::Float { value: *value },
            Value::Text(text) => Self::Text { value: text },
            Value::Blob(bytes) => Self::Blob { base64: STANDARD_NO_PAD.encode(bytes) },
        }
    }
}
