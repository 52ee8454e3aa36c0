//! Bound on the linear memory and tables of one call.

use wasmtime::ResourceLimiter;

/// Entries of one table; far more than a compiled function's own.
const TABLE_ELEMENTS: usize = 100_000;

pub(super) struct MemoryLimit {
    bytes: usize,
    used: usize,
    refused: bool,
}

impl MemoryLimit {
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes, used: 0, refused: false }
    }

    /// True once the call asked for more than it may have.
    pub(super) fn was_refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // All memories of the call count together.
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.bytes {
            self.refused = true;
            return Ok(false);
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(limit.memory_growing(0, 40, None).unwrap());
        assert!(!limit.was_refused());
        assert!(!limit.memory_growing(40, 41, None).unwrap());
        assert!(limit.was_refused());
    }
}
