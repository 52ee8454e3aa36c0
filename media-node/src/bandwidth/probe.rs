//! A short burst that tries whether the line carries more.

use std::time::{Duration, Instant};

use crate::transport::Fate;

/// Bounds of how long a burst lasts: short, for on a full line it is a queue in front of the sound.
const SHORTEST: Duration = Duration::from_millis(40);
const LONGEST: Duration = Duration::from_millis(400);

/// So many packets of a kilobyte show a rate.
const PACKET_BITS: f64 = 8.0 * 8_000.0;

/// A burst whose packets are not reported within this tried nothing.
const REPORTED_WITHIN: Duration = Duration::from_secs(2);

/// Fewer packets say nothing.
const LEAST_PACKETS: u32 = 5;

/// Of those, so many must arrive.
const LEAST_ARRIVED: f64 = 0.8;

/// What a burst showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProbeOutcome {
    /// The line carried this many bits a second, and perhaps more.
    Carried(f64),
    /// The line carried less than was sent: this many bits a second.
    Full(f64),
    /// Nothing can be said.
    Unclear,
}

/// How long a burst has to last to show whether a line carries so much.
#[must_use]
pub fn probe_lasts(bits_per_second: f64) -> Duration {
    let lasts = Duration::try_from_secs_f64(PACKET_BITS / bits_per_second).unwrap_or(LONGEST);
    lasts.clamp(SHORTEST, LONGEST)
}

/// The burst under way, if any.
#[derive(Debug, Default)]
pub(super) struct Probing(Option<Burst>);

#[derive(Debug)]
struct Burst {
    start: Instant,
    end: Instant,
    sent: Option<Span<Instant>>,
    arrived: Option<Span<Duration>>,
    packets: u32,
}

/// First and last of some packets, and their bytes.
#[derive(Clone, Copy, Debug)]
struct Span<T> {
    first: T,
    last: T,
    first_bytes: u32,
    last_bytes: u32,
    bytes: u32,
    packets: u32,
}

impl<T: Copy + Ord> Span<T> {
    fn with(span: Option<Self>, at: T, size: u32) -> Option<Self> {
        let mut span = span.unwrap_or(Self {
            first: at,
            last: at,
            first_bytes: size,
            last_bytes: size,
            bytes: 0,
            packets: 0,
        });
        if at < span.first {
            (span.first, span.first_bytes) = (at, size);
        }
        if at >= span.last {
            (span.last, span.last_bytes) = (at, size);
        }
        span.bytes += size;
        span.packets += 1;
        Some(span)
    }
}

impl Probing {
    pub(super) fn start(&mut self, now: Instant, lasts: Duration) {
        self.0 = Some(Burst { start: now, end: now + lasts, sent: None, arrived: None, packets: 0 });
    }

    pub(super) fn add(&mut self, fate: &Fate) {
        let Some(burst) = &mut self.0 else { return };
        if fate.sent < burst.start || fate.sent > burst.end {
            return;
        }
        burst.packets += 1;
        if let Some(arrived) = fate.arrived {
            burst.sent = Span::with(burst.sent, fate.sent, fate.bytes);
            burst.arrived = Span::with(burst.arrived, arrived, fate.bytes);
        }
    }

    /// The outcome once what was sent later is reported too.
    pub(super) fn finish(&mut self, now: Instant, reported_until: Instant) -> Option<ProbeOutcome> {
        let burst = self.0.as_ref()?;
        if reported_until <= burst.end {
            return self.give_up(now);
        }
        self.0.take().map(|burst| burst.outcome().unwrap_or(ProbeOutcome::Unclear))
    }

    pub(super) fn give_up(&mut self, now: Instant) -> Option<ProbeOutcome> {
        let burst = self.0.as_ref()?;
        if now.saturating_duration_since(burst.end) < REPORTED_WITHIN {
            return None;
        }
        self.0 = None;
        Some(ProbeOutcome::Unclear)
    }
}

impl Burst {
    fn outcome(&self) -> Option<ProbeOutcome> {
        let (sent, arrived) = (self.sent?, self.arrived?);
        if arrived.packets < LEAST_PACKETS
            || f64::from(arrived.packets) < LEAST_ARRIVED * f64::from(self.packets)
        {
            return None;
        }
        // The last packet sent, and the first that arrived, took no time of it.
        let rate = |bytes: u32, time: Duration| f64::from(bytes) * 8.0 / time.as_secs_f64().max(0.001);
        let sent_rate = rate(sent.bytes - sent.last_bytes, sent.last - sent.first);
        let arrived_rate = rate(arrived.bytes - arrived.first_bytes, arrived.last - arrived.first);
        // Behind a queue packets leave at the line's rate, which is then known; a little less lets it empty.
        Some(if arrived_rate < sent_rate * 0.9 {
            ProbeOutcome::Full(arrived_rate * 0.95)
        } else {
            ProbeOutcome::Carried(sent_rate.min(arrived_rate))
        })
    }
}
