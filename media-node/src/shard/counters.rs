//! Counts on the packet path, published now and then: a registry look-up for each packet would cost more than
//! sending it.

use std::time::{Duration, Instant};

use metrics::{counter, gauge};

use crate::transport::datagrams::Sent;

const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// Counts since they were last published.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) received: u64,
    /// From nobody known, or not readable.
    pub(super) strangers: u64,
    pub(super) checks: u64,
    pub(super) forwarded: u64,
    pub(super) not_forwarded: u64,
    pub(super) keyframe_requests: u64,
    pub(super) data_dropped: u64,
    sent: u64,
    send_failed: u64,
    published_at: Option<Instant>,
}

impl Counters {
    pub(super) fn add_sent(&mut self, sent: Sent) {
        self.sent += sent.datagrams;
        self.send_failed += sent.dropped;
    }

    /// Publishes about once a second.
    pub(super) fn publish(&mut self, now: Instant, sessions: usize, rooms: usize) {
        if self.published_at.is_some_and(|at| now.saturating_duration_since(at) < PUBLISH_EVERY) {
            return;
        }
        for (name, count) in [
            ("locum_media_datagrams_received_total", self.received),
            ("locum_media_datagrams_from_strangers_total", self.strangers),
            ("locum_media_connectivity_checks_total", self.checks),
            ("locum_media_packets_forwarded_total", self.forwarded),
            ("locum_media_packets_not_forwarded_total", self.not_forwarded),
            ("locum_media_keyframe_requests_total", self.keyframe_requests),
            ("locum_media_data_dropped_total", self.data_dropped),
            ("locum_media_datagrams_sent_total", self.sent),
            ("locum_media_datagrams_not_sent_total", self.send_failed),
        ] {
            counter!(name).increment(count);
        }
        gauge!("locum_media_sessions").set(as_f64(sessions));
        gauge!("locum_media_rooms").set(as_f64(rooms));
        *self = Self { published_at: Some(now), ..Self::default() };
    }
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
