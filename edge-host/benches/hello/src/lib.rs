//! Answers one line: what is measured is the host around it.
#![cfg(target_family = "wasm")]

use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;

#[http_service]
async fn answer(_: Request) -> anyhow::Result<impl IntoResponse> {
    Ok((StatusCode::OK, "hello".to_owned()))
}
