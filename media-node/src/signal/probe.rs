//! `GET /probe`: how far away the node is, and whether it takes new calls. It asks nobody and keeps nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use locum_cluster::Load;
use metrics::counter;
use tokio_util::sync::CancellationToken;

use super::Signal;
use super::budget::{self, Budget};

/// Lets any page read how long each part of a probe took (Resource Timing §4.5).
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// Whether new calls may come, for those who only ask.
#[derive(Clone)]
pub struct Door {
    capacity: u32,
    draining: CancellationToken,
    budget: Arc<Mutex<Budget>>,
}

impl Door {
    /// Of a node for so many, which takes nobody from when `draining` is cancelled.
    #[must_use]
    pub fn new(capacity: u32, draining: CancellationToken) -> Self {
        let budget = Budget::new(budget::PROBES, Instant::now());
        Self { capacity, draining, budget: Arc::new(Mutex::new(budget)) }
    }

    fn is_open(&self, sessions: u32) -> bool {
        let load = Load { sessions, capacity: self.capacity, cpu_permille: 0 };
        !load.is_full() && !self.draining.is_cancelled()
    }

    fn may_be_asked(&self) -> bool {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }
}

pub(super) async fn probe(State(signal): State<Signal>) -> Response {
    let status = match signal.door.may_be_asked() {
        false => StatusCode::TOO_MANY_REQUESTS,
        true if !signal.shard.is_draining() && signal.door.is_open(signal.shard.session_count()) => {
            StatusCode::NO_CONTENT
        }
        true => StatusCode::SERVICE_UNAVAILABLE,
    };
    counter!("locum_media_probes_total", "status" => status.as_str().to_owned()).increment(1);
    let common = [(header::CACHE_CONTROL, "no-store"), (TIMING_ALLOW_ORIGIN, "*")];
    match status {
        StatusCode::NO_CONTENT => (status, common).into_response(),
        _ => (status, common, [(header::RETRY_AFTER, "5")]).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_calls_may_come_while_there_is_room_and_no_drain() {
        let draining = CancellationToken::new();
        let door = Door::new(10, draining.clone());
        assert!(door.is_open(0) && door.is_open(6));
        assert!(!door.is_open(7) && !door.is_open(10));
        draining.cancel();
        assert!(!door.is_open(0));
    }
}
