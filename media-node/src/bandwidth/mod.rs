//! How much a receiver's line carries, judged by what became of packets sent to it.
//!
//! Two signs of a full line: packets arrive later and later ([`trend`]), or not at all ([`loss`]). Without
//! them the estimate grows slowly, and never far beyond what was delivered, for what was not tried is not known. A
//! probe tries: a short burst at a higher rate ([`probe`]). After draft-ietf-rmcat-gcc-02. Without I/O and
//! without a clock.

mod delivered;
mod loss;
mod probe;
#[cfg(test)]
mod simulation;
mod trend;

use std::time::{Duration, Instant};

use crate::transport::Fate;
use delivered::Delivered;
use loss::Loss;
use probe::Probing;
pub use probe::{ProbeOutcome, probe_lasts};
use trend::{Trend, Usage};

/// Bits a second; enough for one layer of a camera to begin with.
const START: f64 = 1_000_000.0;
const LEAST: f64 = 30_000.0;
const MOST: f64 = 20_000_000.0;

/// Share of what is delivered that a full line is sent from then on, so that its queue empties.
const BACK_OFF: f64 = 0.85;

/// Growth in a second while nothing is known of the line's capacity.
const GROWTH: f64 = 1.08;

/// Without a report for so long, while packets are sent, the line is taken for broken.
const REPORTED_WITHIN: Duration = Duration::from_secs(1);

/// A receiver that said nothing for so long since the beginning never will.
const FIRST_REPORT_WITHIN: Duration = Duration::from_secs(3);

/// What is left of the estimate after each such time.
const SILENCE: f64 = 0.6;

/// The estimate for one receiver.
#[derive(Debug)]
pub struct Estimator {
    rate: f64,
    trend: Trend,
    loss: Loss,
    delivered: Delivered,
    probing: Probing,
    is_held: bool,
    /// What was delivered when the line was full last, averaged.
    capacity: Option<f64>,
    round_trip: Duration,
    updated_at: Option<Instant>,
    decreased_at: Option<Instant>,
    unreported_since: Option<Instant>,
    is_reported: bool,
    is_mute: bool,
    was_full: bool,
}

impl Default for Estimator {
    fn default() -> Self {
        Self {
            rate: START,
            trend: Trend::default(),
            loss: Loss::default(),
            delivered: Delivered::default(),
            probing: Probing::default(),
            is_held: false,
            capacity: None,
            round_trip: Duration::from_millis(100),
            updated_at: None,
            decreased_at: None,
            unreported_since: None,
            is_reported: false,
            is_mute: false,
            was_full: false,
        }
    }
}

impl Estimator {
    /// Bits a second the line carries; `None` when the receiver reports nothing, as some never do.
    #[must_use]
    pub fn bits_per_second(&self) -> Option<f64> {
        (!self.is_mute).then_some(self.rate)
    }

    /// Whether the line was ever seen to carry less than was sent. Until then the estimate is a guess.
    #[must_use]
    pub fn was_full(&self) -> bool {
        self.was_full
    }

    /// Something was sent.
    pub fn sent(&mut self, now: Instant) {
        self.unreported_since.get_or_insert(now);
    }

    /// For [`probe_lasts`] from now, more is sent than there is.
    pub fn probe(&mut self, now: Instant, lasts: Duration) {
        self.probing.start(now, lasts);
    }

    /// The receiver reported.
    pub fn reported(&mut self, now: Instant, fates: &[Fate]) -> Option<ProbeOutcome> {
        let last = fates.last()?;
        (self.is_reported, self.is_mute) = (true, false);
        self.unreported_since = None;
        let round_trip = now.saturating_duration_since(last.sent);
        self.round_trip = (self.round_trip * 7 + round_trip) / 8;
        for fate in fates {
            if let Some(arrived) = fate.arrived {
                self.trend.add(now, fate.sent, arrived);
                self.delivered.add(arrived, fate.bytes);
            }
            self.probing.add(fate);
        }
        self.by_delay(now);
        if let Some(share) = self.loss.add(now, fates) {
            self.by_loss(now, share);
        }
        self.updated_at = Some(now);
        let outcome = self.probing.finish(now, last.sent);
        match outcome {
            Some(ProbeOutcome::Carried(rate)) => self.carried(rate),
            Some(ProbeOutcome::Full(rate)) if rate > self.rate => self.carried(rate),
            // What is delivered all the time is carried, whatever a short burst seems to say.
            Some(ProbeOutcome::Full(rate)) => {
                let delivered = self.delivered.bits_per_second().unwrap_or(LEAST);
                self.set(self.rate.min(rate.max(delivered)));
            }
            Some(ProbeOutcome::Unclear) | None => {}
        }
        outcome
    }

    /// Looks at how long nothing was reported.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<ProbeOutcome> {
        let silent =
            |limit| self.unreported_since.is_some_and(|at| now.saturating_duration_since(at) >= limit);
        if !self.is_reported {
            self.is_mute |= silent(FIRST_REPORT_WITHIN);
        } else if silent(REPORTED_WITHIN) {
            self.unreported_since = Some(now);
            self.set(self.rate * SILENCE);
            self.capacity = None;
        }
        self.probing.give_up(now)
    }

    fn by_delay(&mut self, now: Instant) {
        match self.trend.usage() {
            Usage::Over => {
                let delivered = self.delivered.bits_per_second();
                let again_after =
                    self.round_trip.clamp(Duration::from_millis(50), Duration::from_millis(200));
                let waits =
                    self.decreased_at.is_some_and(|at| now.saturating_duration_since(at) < again_after);
                if let Some(delivered) = delivered.filter(|_| !waits) {
                    self.decreased_at = Some(now);
                    self.capacity = Some(self.capacity.map_or(delivered, |c| c * 0.8 + delivered * 0.2));
                    self.set(self.rate.min(delivered * BACK_OFF));
                }
                self.is_held = true;
            }
            // The queue empties: what arrives now says nothing of what the line carries.
            Usage::Under => self.is_held = true,
            Usage::Normal if self.is_held => self.is_held = false,
            Usage::Normal => self.grow(now),
        }
    }

    fn grow(&mut self, now: Instant) {
        let Some(delivered) = self.delivered.bits_per_second() else { return };
        let passed =
            self.updated_at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64()).min(1.0);
        // Clearly more than the line could do: it is another line now.
        if self.capacity.is_some_and(|capacity| delivered > capacity * 1.3) {
            self.capacity = None;
        }
        let near = self.capacity.is_some_and(|capacity| self.rate > capacity * BACK_OFF);
        let grown = if near {
            // One packet a round trip, for the line was full here.
            self.rate + passed * 9_600.0 / (self.round_trip.as_secs_f64() + 0.1)
        } else {
            self.rate * GROWTH.powf(passed) + passed * 4_000.0
        };
        let tried = delivered * 1.5 + 10_000.0;
        self.set(self.rate.max(grown.min(tried)).max(delivered));
    }

    fn by_loss(&mut self, now: Instant, share: f64) {
        self.decreased_at = Some(now);
        self.set(self.rate * (1.0 - share / 2.0));
    }

    fn carried(&mut self, rate: f64) {
        if rate > self.rate {
            self.set(rate);
            if self.capacity.is_some_and(|capacity| rate > capacity) {
                self.capacity = None;
            }
        }
    }

    fn set(&mut self, rate: f64) {
        self.was_full |= rate < self.rate;
        self.rate = rate.clamp(LEAST, MOST);
    }
}
