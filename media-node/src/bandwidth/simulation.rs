//! The estimator over links that exist only here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::*;

const PACKET: u32 = 1_200;
const DELAY: Duration = Duration::from_millis(25);
const REPORT_EVERY: Duration = Duration::from_millis(60);

/// A line with a bottleneck and its queue, and a sender that sends what it may or has, whichever is less.
struct Line {
    start: Instant,
    now: Instant,
    capacity: f64,
    longest_queue: Duration,
    loss_permille: u64,
    /// What there is to send; `None` for as much as may be.
    demand: Option<f64>,
    free_at: Instant,
    due: f64,
    on_the_way: VecDeque<(Instant, Fate)>,
    reported_at: Instant,
    probe: Option<(Instant, f64)>,
    random: u64,
    estimator: Estimator,
    outcomes: Vec<ProbeOutcome>,
    worst_queue: Duration,
}

impl Line {
    fn new(capacity: f64) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            capacity,
            longest_queue: Duration::from_millis(600),
            loss_permille: 0,
            demand: None,
            free_at: start,
            due: 0.0,
            on_the_way: VecDeque::new(),
            reported_at: start,
            probe: None,
            random: 42,
            estimator: Estimator::default(),
            outcomes: Vec::new(),
            worst_queue: Duration::ZERO,
        }
    }

    fn rate(&self) -> f64 {
        self.estimator.bits_per_second().unwrap_or(START)
    }

    fn probe(&mut self, rate: f64) {
        let lasts = probe_lasts(rate);
        self.estimator.probe(self.now, lasts);
        self.probe = Some((self.now + lasts, rate));
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.worst_queue = Duration::ZERO;
        while self.now < end {
            self.now += Duration::from_millis(1);
            let mut rate = self.demand.map_or(self.rate(), |demand| demand.min(self.rate()));
            self.probe = self.probe.filter(|(until, _)| self.now <= *until);
            if let Some((_, probed)) = self.probe {
                rate = rate.max(probed);
            }
            self.due += rate / 1_000.0;
            while self.due >= f64::from(PACKET) * 8.0 {
                self.due -= f64::from(PACKET) * 8.0;
                self.send();
            }
            self.report();
            self.outcomes.extend(self.estimator.handle_timeout(self.now));
        }
    }

    fn send(&mut self) {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let queue = self.free_at.saturating_duration_since(self.now);
        self.worst_queue = self.worst_queue.max(queue);
        let is_lost = queue > self.longest_queue || (self.random >> 33) % 1_000 < self.loss_permille;
        let mut fate = Fate { sent: self.now, bytes: PACKET, arrived: None };
        if !is_lost {
            let takes = Duration::from_secs_f64(f64::from(PACKET) * 8.0 / self.capacity);
            self.free_at = self.free_at.max(self.now) + takes;
            fate.arrived = Some(self.free_at + DELAY - self.start);
        }
        let known_at = fate.arrived.map_or(self.now + queue, |arrived| self.start + arrived);
        self.estimator.sent(self.now);
        self.on_the_way.push_back((known_at, fate));
    }

    fn report(&mut self) {
        if self.now < self.reported_at + REPORT_EVERY {
            return;
        }
        self.reported_at = self.now;
        let mut fates = Vec::new();
        while self.on_the_way.front().is_some_and(|(at, _)| *at + DELAY <= self.now) {
            fates.extend(self.on_the_way.pop_front().map(|(_, fate)| fate));
        }
        let now = self.now;
        self.outcomes.extend(self.estimator.reported(now, &fates));
    }

    fn assert_rate(&self, range: std::ops::Range<f64>) {
        assert!(
            range.contains(&self.rate()),
            "{} not in {range:?} after {:?}",
            self.rate(),
            self.now - self.start
        );
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_line_is_filled_but_not_its_queue() {
    let mut line = Line::new(2_000_000.0);
    line.run(seconds(30));
    line.run(seconds(30));
    line.assert_rate(1_300_000.0..2_200_000.0);
    assert!(line.worst_queue < Duration::from_millis(300), "{:?}", line.worst_queue);
}

#[test]
fn steps_of_capacity_are_followed() {
    let mut line = Line::new(2_000_000.0);
    line.run(seconds(20));
    line.capacity = 400_000.0;
    line.run(seconds(4));
    line.assert_rate(200_000.0..440_000.0);
    line.run(seconds(10));
    assert!(line.worst_queue < Duration::from_millis(300), "{:?}", line.worst_queue);
    line.assert_rate(200_000.0..480_000.0);
    line.capacity = 2_000_000.0;
    line.run(seconds(40));
    line.assert_rate(900_000.0..2_200_000.0);
}

#[test]
fn a_tenth_lost_at_random_is_no_full_line() {
    let mut line = Line::new(3_000_000.0);
    line.loss_permille = 100;
    line.demand = Some(800_000.0);
    line.run(seconds(30));
    line.assert_rate(800_000.0..f64::MAX);
}

#[test]
fn a_line_without_a_queue_is_known_by_its_losses() {
    let mut line = Line::new(2_000_000.0);
    line.longest_queue = Duration::from_millis(5);
    line.run(seconds(10));
    line.capacity = 300_000.0;
    line.run(seconds(15));
    line.assert_rate(100_000.0..450_000.0);
}

#[test]
fn what_is_not_tried_is_not_believed_and_a_probe_tries_it() {
    let mut line = Line::new(5_000_000.0);
    line.demand = Some(150_000.0);
    line.capacity = 120_000.0;
    line.run(seconds(10));
    line.capacity = 5_000_000.0;
    line.run(seconds(10));
    line.assert_rate(100_000.0..400_000.0);
    line.probe(2_000_000.0);
    line.run(seconds(1));
    line.assert_rate(1_700_000.0..2_300_000.0);
    assert!(matches!(line.outcomes[..], [ProbeOutcome::Carried(_)]), "{:?}", line.outcomes);
}

#[test]
fn a_probe_beyond_the_line_shows_what_it_carries() {
    let mut line = Line::new(600_000.0);
    line.demand = Some(150_000.0);
    line.run(seconds(10));
    line.probe(2_000_000.0);
    line.run(seconds(1));
    line.assert_rate(200_000.0..700_000.0);
}

#[test]
fn a_line_that_says_nothing_is_trusted_less_and_less() {
    let mut line = Line::new(2_000_000.0);
    line.run(seconds(5));
    let before = line.rate();
    line.reported_at = line.now + seconds(100);
    line.run(seconds(5));
    line.assert_rate(LEAST..before / 5.0);
    line.probe(2_000_000.0);
    line.run(seconds(3));
    assert_eq!(line.outcomes.last(), Some(&ProbeOutcome::Unclear));
}

#[test]
fn without_reports_nothing_is_known() {
    let mut estimator = Estimator::default();
    let now = Instant::now();
    estimator.sent(now);
    estimator.handle_timeout(now + seconds(60));
    assert_eq!(estimator.bits_per_second(), None);
}
