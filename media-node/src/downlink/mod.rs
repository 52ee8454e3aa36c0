//! What one receiver gets: of each video track the layer its line carries, and sound before all pictures.
//!
//! Falls at once when the line is full, rises after a pause when a probe showed that more fits; a rise that
//! is soon taken back doubles the pause. Without I/O and without a clock.

mod allocation;
mod meter;
#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::bandwidth::{Estimator, ProbeOutcome, probe_lasts};
use crate::forward::{ForwardLeg, Outgoing};
use crate::transport::{Fate, Layer, MediaKind, MediaPacket, Mid};
use allocation::{Allowed, Demand, allocate};
pub use meter::Meter;

/// How often the choice is looked at when nothing calls for it.
const EVERY: Duration = Duration::from_millis(200);

/// A keyframe that does not come is asked for again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Pause before a layer rises after one fell.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// A picture is taken away altogether only when there was no room for it all this time: what is sent has just been
/// delivered, and a line that hesitates once would cost a pause of seconds.
const LAST_PICTURE_FOR: Duration = Duration::from_secs(1);

/// A fall so soon after a rise takes it back.
const TAKEN_BACK_WITHIN: Duration = Duration::from_secs(6);

/// Pause between probes, and after one that showed too little.
const PROBE_AGAIN_AFTER: Duration = Duration::from_millis(500);
const PROBE_AFTER_FAILURE: Duration = Duration::from_secs(3);

/// A probe tries more than the next layer needs, for what it shows is a little less.
const PROBE_MARGIN: f64 = 1.3;

/// How finely a probe is spread.
const PROBE_TICK: Duration = Duration::from_millis(5);

/// Taken for sound whose rate is not known.
const SOUND: f64 = 40_000.0;

/// Something for the rooms to know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DownlinkEvent {
    /// What is sent on a section needs a keyframe of a layer.
    KeyframeWanted(Mid, Layer),
    /// The line carries a section's picture no more, or again.
    Paused(Mid, bool),
}

/// One receiver.
#[derive(Debug, Default)]
pub struct Downlink {
    estimator: Estimator,
    tracks: BTreeMap<Mid, Track>,
    events: VecDeque<DownlinkEvent>,
    looked_at: Option<Instant>,
    is_due: bool,
    probe: Option<Probe>,
    probe_not_before: Option<Instant>,
    /// A probe found nothing to send.
    is_untried: bool,
    rise: Rise,
}

#[derive(Debug)]
struct Track {
    leg: ForwardLeg,
    kind: MediaKind,
    most: Layer,
    rates: [Option<f64>; 3],
    is_paused: bool,
    asked_at: Option<Instant>,
    /// Since when there is no room for even its smallest layer.
    short_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    start: Instant,
    lasts: Duration,
    rate: f64,
    sent: f64,
    could_send: bool,
}

/// When layers may rise.
#[derive(Debug)]
struct Rise {
    not_before: Option<Instant>,
    pause: Duration,
    rose_at: Option<Instant>,
}

impl Default for Rise {
    fn default() -> Self {
        Self { not_before: None, pause: FIRST_PAUSE, rose_at: None }
    }
}

impl Downlink {
    /// A section carries a track from now on, at most in this layer.
    pub fn route(&mut self, mid: Mid, kind: MediaKind, most: Layer) {
        let track = self.tracks.entry(mid).or_insert_with(|| Track {
            leg: ForwardLeg::default(),
            kind,
            most,
            rates: [None; 3],
            is_paused: false,
            asked_at: None,
            short_since: None,
        });
        track.leg.restart();
        (track.kind, track.most, track.rates, track.asked_at) = (kind, most, [None; 3], None);
        if kind == MediaKind::Audio {
            track.leg.want(Some(Layer::High));
        }
        self.is_due = true;
    }

    /// The receiver has use for another layer.
    pub fn limit(&mut self, mid: Mid, most: Layer) {
        if let Some(track) = self.tracks.get_mut(&mid) {
            track.most = most;
            self.is_due = true;
        }
    }

    /// A section carries nothing for now. Its numbers go on when it does again.
    pub fn unroute(&mut self, mid: Mid) {
        if let Some(track) = self.tracks.get_mut(&mid) {
            track.leg.want(None);
            track.rates = [None; 3];
            track.is_paused = false;
        }
    }

    /// The packet as it is sent on a section, `None` when it is not.
    pub fn forward(&mut self, now: Instant, mid: Mid, packet: &MediaPacket) -> Option<Outgoing> {
        self.tracks.get_mut(&mid)?.leg.forward(now, packet)
    }

    /// The layer a receiver that cannot decode a section waits for.
    #[must_use]
    pub fn keyframe_of(&self, mid: Mid) -> Option<Layer> {
        self.tracks.get(&mid)?.leg.wanted()
    }

    /// A packet was sent.
    pub fn sent(&mut self, now: Instant, bytes: usize) {
        self.estimator.sent(now);
        if let Some(probe) = &mut self.probe {
            probe.sent += bits(bytes);
        }
    }

    /// The receiver reported.
    pub fn reported(&mut self, now: Instant, fates: &[Fate]) {
        let before = self.estimator.bits_per_second();
        let outcome = self.estimator.reported(now, fates);
        self.probed(now, outcome);
        let after = self.estimator.bits_per_second();
        self.is_due |= before.zip(after).is_none_or(|(before, after)| after < before * 0.95);
    }

    /// Bit rates as they arrive from the publisher. When a layer appears, the choice is looked at again.
    pub fn arriving(&mut self, mid: Mid, rates: [Option<f64>; 3]) {
        if let Some(track) = self.tracks.get_mut(&mid) {
            let appeared =
                rates.iter().zip(&track.rates).any(|(now, before)| now.is_some() && before.is_none());
            self.is_due |= appeared;
            track.rates = rates;
        }
    }

    /// Lets time pass: looks at the choice when it is time to.
    pub fn handle_timeout(&mut self, now: Instant) {
        let outcome = self.estimator.handle_timeout(now);
        self.probed(now, outcome);
        let last = self.looked_at;
        if !self.is_due && last.is_some_and(|at| now.saturating_duration_since(at) < EVERY) {
            return;
        }
        (self.looked_at, self.is_due) = (Some(now), false);
        self.choose(now);
        self.ask_for_keyframes(now);
        self.consider_probe(now);
    }

    /// Whether [`Downlink::handle_timeout`] should run before its time.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.is_due
    }

    /// When [`Downlink::handle_timeout`] should run next.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if self.probe.is_some() {
            return Some(now + PROBE_TICK);
        }
        let look = self.looked_at.filter(|_| !self.is_due).map_or(now, |at| at + EVERY);
        (!self.tracks.is_empty()).then_some(look)
    }

    /// Bytes that are to be sent now to probe the line; none most of the time.
    pub fn probe_bytes(&mut self, now: Instant) -> usize {
        let Some(probe) = self.probe else { return 0 };
        let passed = now.saturating_duration_since(probe.start);
        if passed >= probe.lasts {
            // Probes are made of pictures that were sent. Before the first one only a picture can try the line.
            self.is_untried = !probe.could_send;
            self.is_due |= self.is_untried;
            self.probe = None;
            return 0;
        }
        let due = probe.rate * (passed + PROBE_TICK).as_secs_f64() - probe.sent;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, some kB")]
        let bytes = (due.max(0.0) / 8.0) as usize;
        bytes
    }

    /// So much of what was due for a probe could be sent.
    pub fn probe_sent(&mut self, now: Instant, bytes: usize) {
        if let Some(probe) = &mut self.probe {
            probe.could_send |= bytes > 0;
        }
        if bytes > 0 {
            self.sent(now, bytes);
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<DownlinkEvent> {
        self.events.pop_front()
    }

    /// Bits a second the line carries, if that is known.
    #[must_use]
    pub fn bits_per_second(&self) -> Option<f64> {
        self.estimator.bits_per_second()
    }

    fn choose(&mut self, now: Instant) {
        let sound = self.sound();
        let allowed = Allowed {
            rise: self.rise.not_before.is_none_or(|at| now >= at),
            try_smallest: !self.estimator.was_full() || std::mem::take(&mut self.is_untried),
        };
        let mids: Vec<Mid> = self.pictures().map(|(mid, _)| mid).collect();
        let demands: Vec<Demand> = self.pictures().map(|(_, demand)| demand).collect();
        let chosen: Vec<Option<Layer>> = match self.estimator.bits_per_second() {
            Some(rate) => allocate(rate - sound, &demands, allowed),
            None => demands.iter().map(|demand| demand.best().map(|(layer, _)| layer)).collect(),
        };
        let (mut rose, mut fell) = (false, false);
        for ((mid, demand), mut layer) in mids.into_iter().zip(&demands).zip(chosen) {
            // While its source is silent it stays as it is: then what comes next needs no keyframe.
            if demand.best().is_none() {
                layer = demand.current;
            }
            if self.keeps_last_picture(now, mid, layer) {
                layer = demand.above(None).map(|(smallest, _)| smallest);
            }
            rose |= layer > demand.current && demand.current.is_some();
            // Smaller only because no more is wanted, or no more arrives, is no fall.
            fell |= layer < demand.current && demand.current <= demand.best().map(|(layer, _)| layer);
            self.want(now, mid, layer);
        }
        if fell {
            self.rise.fell(now);
        } else if rose {
            self.rise.rose_at = Some(now);
        }
    }

    /// Whether a picture that is shown has no room, and not for long.
    fn keeps_last_picture(&mut self, now: Instant, mid: Mid, layer: Option<Layer>) -> bool {
        let Some(track) = self.tracks.get_mut(&mid) else { return false };
        if layer.is_some() || track.leg.wanted().is_none() {
            track.short_since = None;
            return false;
        }
        let since = *track.short_since.get_or_insert(now);
        now.saturating_duration_since(since) < LAST_PICTURE_FOR
    }

    fn want(&mut self, now: Instant, mid: Mid, layer: Option<Layer>) {
        let Some(track) = self.tracks.get_mut(&mid) else { return };
        if track.leg.want(layer)
            && let Some(layer) = layer
        {
            track.asked_at = Some(now);
            self.events.push_back(DownlinkEvent::KeyframeWanted(mid, layer));
        }
        // What does not arrive is not kept back by the line.
        let is_paused = layer.is_none() && track.rates.iter().any(Option::is_some);
        if track.is_paused != is_paused {
            track.is_paused = is_paused;
            self.events.push_back(DownlinkEvent::Paused(mid, is_paused));
        }
    }

    fn ask_for_keyframes(&mut self, now: Instant) {
        for (mid, track) in self.tracks.iter_mut().filter(|(_, track)| track.kind == MediaKind::Video) {
            let Some(layer) = track.leg.needs_keyframe() else { continue };
            if track.asked_at.is_none_or(|at| now.saturating_duration_since(at) >= ASK_AGAIN_AFTER) {
                track.asked_at = Some(now);
                self.events.push_back(DownlinkEvent::KeyframeWanted(*mid, layer));
            }
        }
    }

    /// When somebody could get more if the line carried it, the line is tried.
    fn consider_probe(&mut self, now: Instant) {
        let Some(estimate) = self.estimator.bits_per_second() else { return };
        let is_early = |at: &Option<Instant>| at.is_some_and(|at| now < at);
        if self.probe.is_some() || is_early(&self.rise.not_before) || is_early(&self.probe_not_before) {
            return;
        }
        let sent: f64 = self.pictures().filter_map(|(_, demand)| demand.rates[demand.current?.index()]).sum();
        let next = self.pictures().find_map(|(_, demand)| {
            let (_, rate) = demand.above(demand.current)?;
            Some(rate - demand.current.and_then(|layer| demand.rates[layer.index()]).unwrap_or(0.0))
        });
        let Some(next) = next else { return };
        let rate = ((sent + next) * PROBE_MARGIN + self.sound()).max(estimate);
        let lasts = probe_lasts(rate);
        self.probe = Some(Probe { start: now, lasts, rate, sent: 0.0, could_send: false });
        self.probe_not_before = Some(now + PROBE_AFTER_FAILURE);
        self.estimator.probe(now, lasts);
    }

    fn probed(&mut self, now: Instant, outcome: Option<ProbeOutcome>) {
        let Some(outcome) = outcome else { return };
        if outcome != ProbeOutcome::Unclear {
            let before: Vec<_> = self.tracks.values().map(|track| track.leg.wanted()).collect();
            self.choose(now);
            // It was enough for more: perhaps there is more still.
            if self.tracks.values().map(|track| track.leg.wanted()).ne(before) {
                self.probe_not_before = Some(now + PROBE_AGAIN_AFTER);
            }
        }
    }

    fn pictures(&self) -> impl Iterator<Item = (Mid, Demand)> + '_ {
        let pictures = self.tracks.iter().filter(|(_, track)| track.kind == MediaKind::Video);
        pictures.map(|(mid, track)| {
            let current = track.leg.wanted();
            let is_new = current.is_none() && !track.is_paused;
            (*mid, Demand { most: track.most, current, is_new, rates: track.rates })
        })
    }

    fn sound(&self) -> f64 {
        let sounds = self.tracks.values().filter(|track| track.kind == MediaKind::Audio);
        sounds.filter(|track| track.leg.wanted().is_some()).map(|track| track.rates[2].unwrap_or(SOUND)).sum()
    }
}

impl Rise {
    fn fell(&mut self, now: Instant) {
        let taken_back = self.rose_at.is_some_and(|at| now.saturating_duration_since(at) < TAKEN_BACK_WITHIN);
        self.pause = if taken_back { (self.pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
        self.not_before = Some(now + self.pause);
        self.rose_at = None;
    }
}

fn bits(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) * 8.0
}
