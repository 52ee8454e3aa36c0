//! Bounds on the linear memory of one call and of all calls together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

/// Entries of one table; far more than a compiled function's own.
const TABLE_ELEMENTS: usize = 100_000;

/// What all calls together may still take: the host must not die of many calls that are each within their
/// bound.
#[derive(Clone)]
pub(super) struct MemoryBudget(Arc<AtomicUsize>);

/// Who said no.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shortage {
    /// The call is over its own bound.
    OfTheCall,
    /// All calls together are over the host's.
    OfTheHost,
}

/// One call's memory; given back when dropped.
pub(super) struct MemoryLimit {
    bytes: usize,
    used: usize,
    budget: MemoryBudget,
    shortage: Option<Shortage>,
}

impl MemoryBudget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.is_ok()
    }
}

impl MemoryLimit {
    pub(super) fn new(bytes: usize, budget: MemoryBudget) -> Self {
        Self { bytes, used: 0, budget, shortage: None }
    }

    /// Set once the call asked for more than there is.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        self.shortage
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        // All memories of the call count together.
        if self.used.saturating_add(more) > self.bytes {
            self.shortage = Some(Shortage::OfTheCall);
        } else if !self.budget.take(more) {
            self.shortage = Some(Shortage::OfTheHost);
        } else {
            self.used += more;
            return Ok(true);
        }
        Ok(false)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.used, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_of_a_call_count_together() {
        let mut limit = MemoryLimit::new(100, MemoryBudget::new(1_000));
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(limit.memory_growing(0, 40, None).unwrap());
        assert_eq!(limit.shortage(), None);
        assert!(!limit.memory_growing(40, 41, None).unwrap());
        assert_eq!(limit.shortage(), Some(Shortage::OfTheCall));
    }

    #[test]
    fn calls_share_the_hosts_memory_and_give_it_back() {
        let budget = MemoryBudget::new(100);
        let mut first = MemoryLimit::new(80, budget.clone());
        let mut second = MemoryLimit::new(80, budget);
        assert!(first.memory_growing(0, 80, None).unwrap());
        assert!(!second.memory_growing(0, 40, None).unwrap());
        assert_eq!(second.shortage(), Some(Shortage::OfTheHost));
        drop(first);
        assert!(second.memory_growing(0, 40, None).unwrap());
    }
}
