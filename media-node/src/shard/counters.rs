//! Counts on the packet path, published now and then: a registry look-up for each packet would cost more than
//! sending it.

use std::time::{Duration, Instant};

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::transport::datagrams::Sent;

const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// Names and meanings, in the order they are published.
const DESCRIBED: [(&str, &str); 11] = [
    ("locum_media_datagrams_received_total", "Datagrams on the media port."),
    ("locum_media_datagrams_from_strangers_total", "Of those, from nobody in a room, or unsigned checks."),
    ("locum_media_connectivity_checks_total", "Signed connectivity checks, answered."),
    ("locum_media_probes_total", "Probes of the control plane, answered."),
    ("locum_media_packets_forwarded_total", "Media packets sent on, once for each receiver."),
    ("locum_media_packets_not_forwarded_total", "Media packets a receiver's connection did not take."),
    ("locum_media_keyframe_requests_total", "Keyframes asked of publishers."),
    ("locum_media_data_dropped_total", "Data messages a receiver's connection did not take."),
    ("locum_media_datagrams_sent_total", "Datagrams sent."),
    ("locum_media_datagrams_not_sent_total", "Datagrams the kernel did not take."),
    ("locum_media_probe_bytes_total", "Bytes sent only to try what a receiver's line carries."),
];

/// Describes what this process counts.
pub(crate) fn describe() {
    for (name, meaning) in DESCRIBED {
        describe_counter!(name, meaning);
    }
    describe_gauge!("locum_media_sessions", "Participants of all rooms.");
    describe_gauge!("locum_media_rooms", "Rooms, with those kept for somebody to come back.");
    describe_gauge!("locum_media_addresses", "Addresses of clients that proved to be theirs.");
    describe_gauge!("locum_media_streams", "TCP connections that carry media.");
    describe_gauge!("locum_media_relay_links", "Media nodes that this one is linked to.");
    describe_gauge!("locum_media_relay_rooms", "Rooms with people here and at other nodes.");
    describe_gauge!(
        "locum_media_capacity",
        "Participants there may be; new calls are taken up to 70 % of them."
    );
    for (name, meaning) in [
        ("locum_media_tokens_refused_total", "Join tokens not believed, by reason."),
        ("locum_media_joins_refused_total", "Joins with a good token that were refused, by reason."),
        ("locum_media_probes_total", "Probes answered, by status."),
        ("locum_media_sockets_ended_total", "WebSockets ended, by how."),
        ("locum_media_sockets_behind_total", "WebSockets let go because they did not take their messages."),
        ("locum_media_connections_refused_total", "TCP connections beyond the bound."),
        ("locum_media_connections_total", "TCP connections, by what they turned out to carry."),
        ("locum_media_commands_refused_total", "Requests the event loop did not take in time."),
        ("locum_media_offers_refused_total", "Offers and answers that could not be applied."),
        ("locum_media_data_refused_total", "Data messages of clients that may not be sent on."),
        ("locum_media_peer_panics_total", "Sessions ended because their connection panicked."),
        (
            "locum_media_relay_dropped_total",
            "What was not passed on to or from another node, by what it was.",
        ),
        ("locum_media_relay_lost_total", "Packets of other nodes that were asked for again."),
        ("locum_media_relay_repaired_total", "Packets sent to another node again."),
        ("locum_media_relay_links_silent_total", "Links made anew because nothing came back."),
        ("locum_media_relay_links_behind_total", "Links made anew because too much waited."),
        ("locum_media_relay_links_refused_total", "Links of nodes that are no media nodes."),
    ] {
        describe_counter!(name, meaning);
    }
}

/// What there is now.
pub(super) struct Gauges {
    pub(super) sessions: usize,
    pub(super) rooms: usize,
    pub(super) addresses: usize,
    pub(super) streams: usize,
}

/// Counts since they were last published.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) received: u64,
    /// From nobody known, or not readable.
    pub(super) strangers: u64,
    pub(super) checks: u64,
    pub(super) probes: u64,
    pub(super) forwarded: u64,
    pub(super) not_forwarded: u64,
    pub(super) keyframe_requests: u64,
    pub(super) data_dropped: u64,
    pub(super) probe_bytes: u64,
    sent: u64,
    send_failed: u64,
    published_at: Option<Instant>,
}

impl Counters {
    pub(super) fn add_sent(&mut self, sent: Sent) {
        self.sent += sent.datagrams;
        self.send_failed += sent.dropped;
    }

    /// Publishes about once a second; whether it did.
    pub(super) fn publish(&mut self, now: Instant, gauges: &Gauges) -> bool {
        if self.published_at.is_some_and(|at| now.saturating_duration_since(at) < PUBLISH_EVERY) {
            return false;
        }
        for ((name, _), count) in DESCRIBED.iter().zip([
            self.received,
            self.strangers,
            self.checks,
            self.probes,
            self.forwarded,
            self.not_forwarded,
            self.keyframe_requests,
            self.data_dropped,
            self.sent,
            self.send_failed,
            self.probe_bytes,
        ]) {
            counter!(*name).increment(count);
        }
        gauge!("locum_media_sessions").set(as_f64(gauges.sessions));
        gauge!("locum_media_rooms").set(as_f64(gauges.rooms));
        gauge!("locum_media_addresses").set(as_f64(gauges.addresses));
        gauge!("locum_media_streams").set(as_f64(gauges.streams));
        *self = Self { published_at: Some(now), ..Self::default() };
        true
    }
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
