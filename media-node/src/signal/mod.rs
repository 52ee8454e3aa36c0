//! LiveKit signalling over HTTP and WebSocket, protocol v1 (one peer connection) and v0 (two, what the mobile
//! SDKs speak).
//!
//! The token comes in the query, because browsers cannot set headers on a WebSocket: no query is ever logged.

mod budget;
mod join_request;
mod passes;
mod probe;
mod prove;
mod server;
mod socket;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics::counter;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tower_http::cors::{Any, CorsLayer};
use tracing::info;

use passes::{Passes, Purpose};
pub use probe::Door;
pub use server::Acceptor;

use crate::events::Recorder;
use crate::room::{self, JoinError, Joining, Signalling};
use crate::shard::Shard;
use crate::token::{self, Admission, KeySet, Refusal, Revoked};

/// Asked by everybody who looks for a node.
const PROBE: &str = "/probe";
/// Where a device proves itself.
const JOIN: &str = "/join";
/// Where the control plane looks whether anybody is there; every LiveKit server answers here.
const ROOT: &str = "/";

/// What every request needs.
#[derive(Clone)]
pub struct Signal {
    /// The event loop.
    pub shard: Shard,
    /// Keys of the edge hosts, as of now.
    pub keys: watch::Receiver<Arc<KeySet>>,
    /// Whose tokens are refused although they have not expired, as of now.
    pub revoked: watch::Receiver<Arc<Revoked>>,
    /// Every open socket.
    pub sockets: TaskTracker,
    /// Whether new calls may come.
    pub door: Door,
    /// Tells the record of refused tokens.
    pub recorder: Recorder,
    /// Of `POST /join` on this node, as clients are told of it.
    pub urls: Arc<[String]>,
    /// What proved devices got.
    pub passes: PassBook,
}

/// The passes of a node, for every request.
#[derive(Clone, Default)]
pub struct PassBook(Arc<Mutex<Passes>>);

impl Signal {
    fn passes(&self) -> MutexGuard<'_, Passes> {
        self.passes.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new pass: it opens the WebSocket once.
    fn pass_for(&self, admission: Admission) -> String {
        self.passes().issue(&passes::secret(), admission, Instant::now())
    }

    /// Tells the record of a genuine token that was not taken.
    fn tell_refused(&self, token: &str, refusal: Refusal) {
        let keys = Arc::clone(&self.keys.borrow());
        if let Some((sink, participant)) = token::named(token, &keys) {
            self.recorder.refused(sink, participant, refusal.label());
        }
    }
}

/// Where nodes announced under these WebSocket addresses are joined.
#[must_use]
pub fn join_urls(addresses: &[String]) -> Arc<[String]> {
    let url = |address: &String| {
        let address = address.replacen("ws", "http", 1);
        format!("{}{JOIN}", address.trim_end_matches('/'))
    };
    addresses.iter().map(url).collect()
}

#[derive(Deserialize)]
struct Parameters {
    access_token: Option<String>,
    join_request: Option<String>,
    #[serde(flatten)]
    v0: join_request::V0,
}

/// The node's public endpoints.
pub fn router(signal: Signal) -> Router {
    // Credentials are in the request itself, never in what a browser adds, so any page may ask.
    let cors = CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any);
    Router::new()
        .route(ROOT, get(async || "OK"))
        .route("/rtc/v1", get(join))
        .route("/rtc/v1/validate", get(validate))
        .route("/rtc/validate", get(validate))
        .route("/rtc", get(join_v0))
        .route(PROBE, get(probe::probe))
        .route(JOIN, post(prove::prove))
        .with_state(signal)
        .layer(cors)
        .layer(middleware::from_fn(log_access))
}

async fn validate(
    State(signal): State<Signal>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    match admit(&signal, &parameters, &headers, Purpose::Look) {
        Ok((_, _)) => "success".into_response(),
        Err(refusal) => refused(refusal),
    }
}

async fn join(
    State(signal): State<Signal>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let request = join_request::parse(parameters.join_request.as_deref());
    let resumes = request.as_ref().is_ok_and(|request| request.reconnect);
    let purpose = if resumes { Purpose::Resume } else { Purpose::Enter };
    let (admission, proved) = match admit(&signal, &parameters, &headers, purpose) {
        Ok(admitted) => admitted,
        Err(refusal) => return refused(refusal),
    };
    match request {
        Ok(request) => {
            let joining = Joining { admission, request, signalling: Signalling::V1 };
            attach(signal, upgrade, joining, proved).await
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn join_v0(
    State(signal): State<Signal>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let request = livekit_protocol::JoinRequest::from(parameters.v0.clone().sent_by(agent));
    let purpose = if request.reconnect { Purpose::Resume } else { Purpose::Enter };
    match admit(&signal, &parameters, &headers, purpose) {
        Ok((admission, proved)) => {
            let joining = Joining { admission, request, signalling: Signalling::V0 };
            attach(signal, upgrade, joining, proved).await
        }
        Err(refusal) => refused(refusal),
    }
}

/// `proved`: by a device, which gets a new pass now and then.
async fn attach(signal: Signal, upgrade: WebSocketUpgrade, joining: Joining, proved: bool) -> Response {
    let renewing = proved.then(|| joining.admission.clone());
    match signal.shard.join(joining).await {
        Ok(Ok(attached)) => socket::accept(upgrade, signal, attached, renewing),
        Ok(Err(JoinError::UnknownStay)) => socket::dismiss(upgrade, signal, room::unknown_stay()),
        Ok(Err(error)) => {
            counter!("locum_media_joins_refused_total", "reason" => error.label()).increment(1);
            not_joined(error)
        }
        Err(overloaded) => unavailable(&overloaded.to_string()),
    }
}

/// What somebody is admitted to, and whether a device proved itself for it.
fn admit(
    signal: &Signal,
    parameters: &Parameters,
    headers: &HeaderMap,
    purpose: Purpose,
) -> Result<(Admission, bool), Refusal> {
    let bearer =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = parameters.access_token.as_deref().or(bearer).ok_or(Refusal::Missing).map_err(refuse)?;
    let proved = token.starts_with(passes::PREFIX);
    let revoked = Arc::clone(&signal.revoked.borrow());
    let admitted = if proved {
        signal.passes().open(token, purpose, &revoked, Instant::now())
    } else {
        let keys = Arc::clone(&signal.keys.borrow());
        token::verify(token, &keys, &revoked, unix_seconds())
    };
    if let Err(refusal) = &admitted {
        signal.tell_refused(token, *refusal);
    }
    admitted.map(|admission| (admission, proved)).map_err(refuse)
}

/// Counts a refusal.
fn refuse(refusal: Refusal) -> Refusal {
    counter!("locum_media_tokens_refused_total", "reason" => refusal.label()).increment(1);
    refusal
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn refused(refusal: Refusal) -> Response {
    let status = if refusal.is_authenticated() { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
    (status, refusal.to_string()).into_response()
}

fn not_joined(error: JoinError) -> Response {
    match error {
        JoinError::RoomFull | JoinError::UnknownStay => {
            (StatusCode::FORBIDDEN, error.to_string()).into_response()
        }
        JoinError::Draining | JoinError::NodeFull | JoinError::NoNewCalls => unavailable(&error.to_string()),
    }
}

fn unavailable(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], reason.to_owned()).into_response()
}

/// A join request as it stands in a query.
#[cfg(test)]
pub(crate) fn parse_join_request(text: &str) -> Option<livekit_protocol::JoinRequest> {
    join_request::parse(Some(text)).ok()
}

async fn log_access(request: Request, next: Next) -> Response {
    // Not worth a line each time.
    if [PROBE, ROOT].contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let started = Instant::now();
    let response = next.run(request).await;
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    info!(%method, path, status, elapsed_ms, "request");
    response
}
