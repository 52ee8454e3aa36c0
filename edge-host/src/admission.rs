//! How many calls there may be at once: some running, some waiting, the rest told to come back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;

/// The host's doors.
pub(crate) struct Admission {
    /// One permit a running call.
    places: Arc<Semaphore>,
    /// One permit a call that runs or waits.
    inside: Arc<Semaphore>,
    wait: Duration,
    concurrent: u32,
    gauge: &'static str,
}

/// A call that may run, until dropped.
pub(crate) struct Running {
    _place: OwnedSemaphorePermit,
    _inside: OwnedSemaphorePermit,
    gauge: &'static str,
}

impl Admission {
    /// Doors for these bounds; the metric `gauge` says how many are through them.
    pub(crate) fn new(limits: &Limits, gauge: &'static str) -> Self {
        let inside = limits.concurrent_calls + limits.queued_calls;
        Self {
            places: Arc::new(Semaphore::new(limits.concurrent_calls as usize)),
            inside: Arc::new(Semaphore::new(inside as usize)),
            wait: limits.queue_wait(),
            concurrent: limits.concurrent_calls,
            gauge,
        }
    }

    /// Waits for a place, first come, first served. `None` when too many wait already, or it takes too long.
    pub(crate) async fn run(&self) -> Option<Running> {
        let inside = Arc::clone(&self.inside).try_acquire_owned().ok()?;
        let place = tokio::time::timeout(self.wait, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.ok().and_then(Result::ok)?;
        metrics::gauge!(self.gauge).increment(1.0);
        Some(Running { _place: place, _inside: inside, gauge: self.gauge })
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
        metrics::gauge!(self.gauge).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;

    fn doors(queue_wait_ms: u64) -> Admission {
        let limits = Limits { concurrent_calls: 1, queued_calls: 1, queue_wait_ms, ..Limits::default() };
        Admission::new(&limits, "test")
    }

    #[tokio::test]
    async fn one_runs_one_waits_and_the_third_is_refused() {
        let doors = doors(10_000);
        let first = doors.run().await.unwrap();
        let mut second = Box::pin(doors.run());
        assert!(poll!(second.as_mut()).is_pending());
        assert!(doors.run().await.is_none());
        assert_eq!(doors.running(), 1);
        drop(first);
        assert!(second.await.is_some());
        assert_eq!(doors.running(), 0);
    }

    #[tokio::test]
    async fn waiting_has_an_end() {
        let doors = doors(1);
        let _first = doors.run().await.unwrap();
        assert!(doors.run().await.is_none());
    }
}
