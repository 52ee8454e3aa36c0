//! How many requests may be inside at once: some running, some waiting, the rest told to come back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::config::Limits;

/// The host's doors.
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    waiting_room: Arc<Semaphore>,
    wait: Duration,
    concurrent: u32,
}

/// A request inside that may still read its body, but not run.
pub(crate) struct Admitted {
    _inside: OwnedSemaphorePermit,
}

/// A request that may run.
pub(crate) struct Running {
    _place: OwnedSemaphorePermit,
    _inside: OwnedSemaphorePermit,
}

impl Admission {
    /// Doors for these bounds.
    pub(crate) fn new(limits: &Limits) -> Self {
        let inside = limits.concurrent_calls + limits.queued_calls;
        Self {
            places: Arc::new(Semaphore::new(limits.concurrent_calls as usize)),
            waiting_room: Arc::new(Semaphore::new(inside as usize)),
            wait: limits.queue_wait(),
            concurrent: limits.concurrent_calls,
        }
    }

    /// `None` when the waiting room is full too.
    pub(crate) fn enter(&self) -> Option<Admitted> {
        match Arc::clone(&self.waiting_room).try_acquire_owned() {
            Ok(inside) => Some(Admitted { _inside: inside }),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => None,
        }
    }

    /// Waits for a place, first come, first served; `None` when that takes too long.
    pub(crate) async fn run(&self, admitted: Admitted) -> Option<Running> {
        let place = tokio::time::timeout(self.wait, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.ok().and_then(Result::ok)?;
        metrics::gauge!("locum_edge_calls_running").increment(1.0);
        Some(Running { _place: place, _inside: admitted._inside })
    }

    /// Calls that run now.
    pub(crate) fn running(&self) -> u32 {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        self.concurrent.saturating_sub(free)
    }

    /// Most calls at once.
    pub(crate) fn capacity(&self) -> u32 {
        self.concurrent
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::gauge!("locum_edge_calls_running").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(concurrent_calls: u32, queued_calls: u32) -> Admission {
        Admission::new(&Limits { concurrent_calls, queued_calls, queue_wait_ms: 1, ..Limits::default() })
    }

    #[tokio::test]
    async fn runs_queues_and_refuses_in_that_order() {
        let doors = doors(1, 1);
        let first = doors.run(doors.enter().unwrap()).await.unwrap();
        let second = doors.enter().unwrap();
        assert!(doors.enter().is_none(), "one runs, one waits, nobody else enters");
        assert_eq!(doors.running(), 1);
        assert!(doors.run(second).await.is_none(), "waiting has an end");
        drop(first);
        assert!(doors.run(doors.enter().unwrap()).await.is_some());
        assert_eq!(doors.running(), 0);
    }
}
