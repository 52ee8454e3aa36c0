//! Whether a process takes work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The readiness of a process: false until it can serve and again from the first moment of its drain.
#[derive(Clone, Debug, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// Not ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether the process takes work.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether the process takes work.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}
