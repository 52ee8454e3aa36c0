//! The times of the protocol, for links between continents.

use std::time::Duration;

/// How long a granted lease lasts, counted by its holder from just before it asked.
pub const LEASE: Duration = Duration::from_millis(4_000);
/// How much longer than [`LEASE`] the registry waits before it takes a lease for over: clocks that run at
/// different speeds.
pub const MARGIN: Duration = Duration::from_millis(500);
/// How often an edge host reports.
pub const POLL: Duration = Duration::from_millis(500);
/// How often while an epoch is being changed.
pub const POLL_SOON: Duration = Duration::from_millis(100);
/// A voter not heard from for this long does not count in a promotion: it could not lead, and its promise
/// keeps.
pub const FRESH: Duration = Duration::from_millis(3_000);
