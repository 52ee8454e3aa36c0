//! Whether packets arrive later and later (draft-ietf-rmcat-gcc-02 §5.3, by a line through the delays).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets sent within this are one group: they wait for each other.
const GROUP: Duration = Duration::from_millis(5);

/// Groups a line is fitted through.
const WINDOW: usize = 20;

/// Weight of what was in the smoothed delay.
const SMOOTHING: f64 = 0.9;

/// The slope is small while the queue is: scaled to be compared with milliseconds.
const GAIN: f64 = 4.0;
const MOST_GROUPS: f64 = 60.0;

/// The slope must be steep for so long.
const OVER_MS: f64 = 10.0;

/// Bounds of the threshold, and how fast it follows: a line that always trembles is not full.
const THRESHOLD_MS: f64 = 12.5;
const LEAST_THRESHOLD_MS: f64 = 6.0;
const MOST_THRESHOLD_MS: f64 = 600.0;
const FOLLOW_UP: f64 = 0.0087;
const FOLLOW_DOWN: f64 = 0.039;

/// Arrivals so far apart, or backwards, are another clock.
const JUMP: Duration = Duration::from_secs(3);

/// How the line is used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Usage {
    /// Neither fills nor empties.
    #[default]
    Normal,
    /// Its queue grows.
    Over,
    /// Its queue empties.
    Under,
}

/// The trend of delays.
#[derive(Debug)]
pub(super) struct Trend {
    group: Option<Group>,
    before: Option<Group>,
    delay_ms: f64,
    smoothed_ms: f64,
    /// Arrival and smoothed delay, in milliseconds.
    points: VecDeque<(f64, f64)>,
    groups: f64,
    threshold_ms: f64,
    threshold_at: Option<Instant>,
    over_ms: f64,
    over_count: u32,
    last_slope: f64,
    usage: Usage,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: Instant,
    sent: Instant,
    first_arrived: Duration,
    arrived: Duration,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            group: None,
            before: None,
            delay_ms: 0.0,
            smoothed_ms: 0.0,
            points: VecDeque::new(),
            groups: 0.0,
            threshold_ms: THRESHOLD_MS,
            threshold_at: None,
            over_ms: 0.0,
            over_count: 0,
            last_slope: 0.0,
            usage: Usage::Normal,
        }
    }
}

impl Trend {
    /// How the line is used, by the last packets.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// A packet arrived.
    pub(super) fn add(&mut self, now: Instant, sent: Instant, arrived: Duration) {
        let Some(group) = &mut self.group else {
            self.group = Some(Group::new(sent, arrived));
            return;
        };
        if group.takes(sent, arrived) {
            group.sent = group.sent.max(sent);
            group.arrived = group.arrived.max(arrived);
            return;
        }
        let ended = *group;
        if ended.arrived.abs_diff(arrived) > JUMP {
            *self = Self { threshold_ms: self.threshold_ms, ..Self::default() };
            self.group = Some(Group::new(sent, arrived));
            return;
        }
        self.group = Some(Group::new(sent, arrived));
        if let Some(before) = self.before.replace(ended) {
            self.compare(now, &before, &ended);
        }
    }

    fn compare(&mut self, now: Instant, before: &Group, group: &Group) {
        let sent_ms = group.sent.saturating_duration_since(before.sent).as_secs_f64() * 1_000.0;
        let arrived_ms = (group.arrived.as_secs_f64() - before.arrived.as_secs_f64()) * 1_000.0;
        self.groups = (self.groups + 1.0).min(MOST_GROUPS);
        self.delay_ms += arrived_ms - sent_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.delay_ms;
        self.points.push_back((group.arrived.as_secs_f64() * 1_000.0, self.smoothed_ms));
        if self.points.len() > WINDOW {
            self.points.pop_front();
        }
        let slope = if self.points.len() == WINDOW { slope(&self.points) } else { None };
        if let Some(slope) = slope {
            self.judge(now, slope, sent_ms);
        }
    }

    fn judge(&mut self, now: Instant, slope: f64, sent_ms: f64) {
        let trend_ms = self.groups * slope * GAIN;
        if trend_ms > self.threshold_ms {
            self.over_ms += if self.over_count == 0 { sent_ms / 2.0 } else { sent_ms };
            self.over_count += 1;
            if self.over_ms > OVER_MS && self.over_count > 1 && slope >= self.last_slope {
                (self.over_ms, self.over_count) = (0.0, 0);
                self.usage = Usage::Over;
            }
        } else {
            (self.over_ms, self.over_count) = (0.0, 0);
            self.usage = if trend_ms < -self.threshold_ms { Usage::Under } else { Usage::Normal };
        }
        self.last_slope = slope;
        self.follow(now, trend_ms.abs());
    }

    fn follow(&mut self, now: Instant, trend_ms: f64) {
        let passed =
            self.threshold_at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64() * 1_000.0);
        self.threshold_at = Some(now);
        // A sudden leap is a full line, nothing to get used to.
        if trend_ms > self.threshold_ms + 15.0 {
            return;
        }
        let speed = if trend_ms < self.threshold_ms { FOLLOW_DOWN } else { FOLLOW_UP };
        let followed = self.threshold_ms + speed * (trend_ms - self.threshold_ms) * passed.min(100.0);
        self.threshold_ms = followed.clamp(LEAST_THRESHOLD_MS, MOST_THRESHOLD_MS);
    }
}

impl Group {
    fn new(sent: Instant, arrived: Duration) -> Self {
        Self { first_sent: sent, sent, first_arrived: arrived, arrived }
    }

    /// Packets sent together, and those that caught up with the one before on their way.
    fn takes(&self, sent: Instant, arrived: Duration) -> bool {
        if sent.saturating_duration_since(self.first_sent) <= GROUP {
            return true;
        }
        let sent_apart = sent.saturating_duration_since(self.sent);
        let arrived_apart = arrived.saturating_sub(self.arrived);
        arrived >= self.arrived
            && arrived_apart < sent_apart
            && arrived_apart <= GROUP
            && arrived.saturating_sub(self.first_arrived) < Duration::from_millis(100)
    }
}

/// Least squares. `None` when all arrived at the same time.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let count = f64::from(u32::try_from(points.len()).ok()?);
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let above: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (below > 0.0).then(|| above / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets every 20 ms, each as much later than the one before as `delay` says.
    fn usage(count: u32, delay: impl Fn(u32) -> f64) -> Vec<Usage> {
        let (mut trend, start) = (Trend::default(), Instant::now());
        let mut seen = Vec::new();
        let mut late_ms = 50.0;
        for nth in 0..count {
            late_ms += delay(nth);
            let sent = Duration::from_millis(u64::from(nth) * 20);
            trend.add(start + sent, start + sent, sent + Duration::from_secs_f64(late_ms / 1_000.0));
            seen.push(trend.usage());
        }
        seen
    }

    #[test]
    fn a_queue_that_grows_is_seen_and_so_is_its_end() {
        let seen = usage(300, |nth| match nth {
            0..100 => 0.0,
            100..130 => 5.0,
            130..150 => -7.0,
            _ => 0.0,
        });
        let at = |usage| seen.iter().position(|seen| *seen == usage);
        assert!((100..120).contains(&at(Usage::Over).unwrap()), "{:?}", at(Usage::Over));
        assert!((130..160).contains(&at(Usage::Under).unwrap()), "{:?}", at(Usage::Under));
        assert_eq!(seen[299], Usage::Normal);
    }

    #[test]
    fn a_trembling_line_is_not_a_full_one() {
        let seen = usage(500, |nth| if nth % 2 == 0 { 8.0 } else { -8.0 });
        assert!(!seen.contains(&Usage::Over));
    }

    #[test]
    fn another_clock_is_no_delay() {
        let seen = usage(200, |nth| if nth == 100 { 3_600_000.0 } else { 0.0 });
        assert!(seen.iter().all(|seen| *seen == Usage::Normal));
    }
}
