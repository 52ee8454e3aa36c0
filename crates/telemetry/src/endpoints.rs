//! `/livez`, `/readyz`, `/metrics` on a private address.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{Health, Telemetry, service_manager};

/// Serves the three endpoints until `stop`. Give it a token that is cancelled after the drain, not before: a
/// draining process still says that it lives and is not ready.
pub async fn serve(listener: TcpListener, health: Health, telemetry: Telemetry, stop: CancellationToken) {
    let upkeep = tokio::spawn(upkeep(telemetry.clone(), stop.clone()));
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state((health, telemetry));
    let stopped = stop.clone();
    let served =
        axum::serve(listener, router).with_graceful_shutdown(async move { stopped.cancelled().await });
    tokio::select! {
        served = served => if let Err(error) = served {
            error!(%error, "telemetry endpoints ended");
        },
        // A scraper that keeps its connection open does not hold the process.
        () = stop.cancelled() => {}
    }
    upkeep.abort();
}

async fn readyz(State((health, _)): State<(Health, Telemetry)>) -> impl IntoResponse {
    if health.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn render(State((_, telemetry)): State<(Health, Telemetry)>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry.render())
}

async fn upkeep(telemetry: Telemetry, stop: CancellationToken) {
    const INTERVAL: Duration = Duration::from_secs(5);
    while tokio::time::timeout(INTERVAL, stop.cancelled()).await.is_err() {
        telemetry.upkeep();
        service_manager::alive();
    }
}
