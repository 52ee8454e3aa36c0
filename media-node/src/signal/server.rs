//! Accepts HTTP connections: a bounded number, and none for longer than a request takes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics::counter;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Connections that are not, or not yet, a session's WebSocket; sessions are bounded by the node's capacity.
const MAX_CONNECTIONS: usize = 1_024;

/// For a request's head to arrive, and between two requests.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// A pause after an error that would otherwise come again at once (no file descriptors, say).
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// Serves until `over`.
pub async fn serve(listener: TcpListener, router: Router, over: CancellationToken) {
    let (slots, connections) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = over.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "accept failed");
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            counter!("locum_media_connections_refused_total").increment(1);
            continue;
        };
        let (router, over) = (router.clone(), over.clone());
        connections.spawn(async move {
            tokio::select! {
                () = connection(stream, router) => {}
                () = over.cancelled() => {}
            }
            drop(slot);
        });
    }
    connections.close();
    connections.wait().await;
}

/// Ends when the client does, or when it becomes a WebSocket.
async fn connection(stream: TcpStream, router: Router) {
    // Signalling is small messages that somebody waits for.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(%error, "connection ended");
    }
}
