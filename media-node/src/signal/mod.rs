//! LiveKit signalling over HTTP and WebSocket, protocol v1 (one peer connection).
//!
//! The token comes in the query, because browsers cannot set headers on a WebSocket: no query is ever logged.

mod budget;
mod join_request;
mod probe;
mod server;
mod socket;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics::counter;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tower_http::cors::{Any, CorsLayer};
use tracing::info;

pub use probe::Door;
pub use server::Acceptor;

use crate::room::{self, JoinError, Joining};
use crate::shard::Shard;
use crate::token::{self, Admission, KeySet, Refusal, Revoked};

/// Asked by everybody who looks for a node.
const PROBE: &str = "/probe";
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
}

#[derive(Deserialize)]
struct Parameters {
    access_token: Option<String>,
    join_request: Option<String>,
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
        .route("/rtc", get(v0))
        .route(PROBE, get(probe::probe))
        .with_state(signal)
        .layer(cors)
        .layer(middleware::from_fn(log_access))
}

/// v0 needs two peer connections. Not a 404: that tells clients to try the other version, for ever.
async fn v0() -> Response {
    (StatusCode::NOT_IMPLEMENTED, "this media node speaks LiveKit signalling v1 only").into_response()
}

async fn validate(
    State(signal): State<Signal>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    match admit(&signal, &parameters, &headers) {
        Ok(_) => "success".into_response(),
        Err(refusal) => refused(refusal),
    }
}

async fn join(
    State(signal): State<Signal>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let admission = match admit(&signal, &parameters, &headers) {
        Ok(admission) => admission,
        Err(refusal) => return refused(refusal),
    };
    let request = match join_request::parse(parameters.join_request.as_deref()) {
        Ok(request) => request,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    match signal.shard.join(Joining { admission, request }).await {
        Ok(Ok(attached)) => socket::accept(upgrade, signal, attached),
        Ok(Err(JoinError::UnknownStay)) => socket::dismiss(upgrade, signal, room::unknown_stay()),
        Ok(Err(error)) => {
            counter!("locum_media_joins_refused_total", "reason" => error.label()).increment(1);
            not_joined(error)
        }
        Err(overloaded) => unavailable(&overloaded.to_string()),
    }
}

fn admit(signal: &Signal, parameters: &Parameters, headers: &HeaderMap) -> Result<Admission, Refusal> {
    let bearer =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = parameters.access_token.as_deref().or(bearer);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let keys = Arc::clone(&signal.keys.borrow());
    let verified = token.ok_or(Refusal::Missing).and_then(|token| token::verify(token, &keys, now));
    let revoked = Arc::clone(&signal.revoked.borrow());
    let admission = verified.and_then(|admission| match revoked.covers_token(&admission) {
        true => Err(Refusal::Revoked),
        false => Ok(admission),
    });
    if let Err(refusal) = &admission {
        counter!("locum_media_tokens_refused_total", "reason" => refusal.label()).increment(1);
    }
    admission
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
