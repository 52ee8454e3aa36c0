//! The host's own answer to a function that asks for audit events, at an address that leads nowhere else.
//!
//! It answers with events of the clinic whose request the function answers, and to components only that the manifest
//! allows it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use locum_telemetry::config::chain;
use wasmtime_wasi_http::{Error, WasiBody};

use super::outbound::{Answer, BodyIo};
use crate::audit::{AuditDoor, Wish};

/// Where functions ask.
pub(super) const HOST: &str = "audit.localhost";
/// Longest wish: some hundred ids of a patient's appointments.
const MAX_WISH_BYTES: usize = 256 << 10;

pub(super) async fn answer(
    door: Option<Arc<AuditDoor>>,
    request: Request<WasiBody>,
) -> Result<Answer, Error> {
    let door = door.ok_or(Error::HttpRequestDenied)?;
    let body = Limited::new(request.into_body(), MAX_WISH_BYTES).collect().await;
    let body = body.map_err(|_| Error::HttpRequestBodySize(None))?.to_bytes();
    let (status, body) = match serde_json::from_slice::<Wish>(&body) {
        Ok(wish) => match door.report(wish).await {
            Ok(report) => (StatusCode::OK, serde_json::to_vec(&report).unwrap_or_default()),
            Err(error) => {
                tracing::error!(error = chain(&error), "a report of audit events failed");
                (StatusCode::SERVICE_UNAVAILABLE, Vec::new())
            }
        },
        Err(_) => (StatusCode::BAD_REQUEST, Vec::new()),
    };
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let io: BodyIo = Box::new(async { Ok(()) });
    Ok((response, io))
}
