//! Room on the disk. A primary without it refuses every write, and would keep its lease while it does: it steps down
//! before, so that a host with room leads.

use std::path::Path;

/// A commit, its log and its copy fit in many times over; a promise does too, which every host must still be able to
/// keep.
const LEAST_BYTES: u64 = 16 << 20;

/// Whether a primary whose records are in `folder` has to step down.
pub(super) fn is_short(folder: &Path) -> bool {
    // A file system that does not say is not taken for full: statements find out.
    let Ok(disk) = rustix::fs::statvfs(folder) else { return false };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    metrics::gauge!("locum_edge_records_free_bytes").set(free as f64);
    free < LEAST_BYTES
}
