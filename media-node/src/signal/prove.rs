//! `POST /join`: a device proves that it holds the key its token names, and gets a pass for the WebSocket.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{Signal, refuse, refused, unix_seconds};
use crate::token::{self, Admission, Refusal, Wanted};

const DPOP: HeaderName = HeaderName::from_static("dpop");

pub(super) async fn prove(State(signal): State<Signal>, headers: HeaderMap) -> Response {
    match judge(&signal, &headers) {
        Ok(admission) => {
            let pass = signal.pass_for(admission);
            (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(json!({ "pass": pass })))
                .into_response()
        }
        Err(refusal) => refused(refuse(refusal)),
    }
}

fn judge(signal: &Signal, headers: &HeaderMap) -> Result<Admission, Refusal> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let token = text(&header::AUTHORIZATION).and_then(|value| value.strip_prefix("DPoP "));
    let token = token.ok_or(Refusal::Missing)?;
    let now_unix = unix_seconds();
    let keys = Arc::clone(&signal.keys.borrow());
    let revoked = Arc::clone(&signal.revoked.borrow());
    let token::Believed { admission, device } = token::believe(token, &keys, &revoked, now_unix)?;
    let device = device.as_deref().ok_or(Refusal::Proof)?;
    let proof = text(&DPOP).ok_or(Refusal::Proof)?;
    let wanted = Wanted { device, token, urls: &signal.urls, now_unix };
    let proof = token::verify_proof(proof, wanted)?;
    signal.passes().accept(proof, Instant::now())?;
    Ok(admission)
}
