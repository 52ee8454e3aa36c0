//! Which layers viewers have use for, and which of them their publisher need not send.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::VideoQuality;

use crate::transport::Layer;

/// A layer that nobody wants any more is still sent for so long: whoever turns a page comes back.
const SWITCH_OFF_AFTER: Duration = Duration::from_secs(3);

/// A layer this much smaller than a window is not worth the next one: browsers scale well.
const NEARLY: f64 = 1.15;

/// What a viewer said of one track.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Setting {
    /// It does not look at the track for now.
    pub is_disabled: bool,
    /// Layer it asks for, when it names no size.
    pub quality: Layer,
    /// Size of its window, in pixels; zero when it names none.
    pub width: u32,
    /// See `width`.
    pub height: u32,
}

impl Default for Setting {
    fn default() -> Self {
        Self { is_disabled: false, quality: Layer::High, width: 0, height: 0 }
    }
}

impl Setting {
    /// As a client sends it.
    pub(super) fn of(update: &proto::UpdateTrackSettings) -> Self {
        let quality = match update.quality() {
            VideoQuality::Low => Layer::Low,
            VideoQuality::Medium => Layer::Medium,
            VideoQuality::High | VideoQuality::Off => Layer::High,
        };
        let (width, height) = (update.width, update.height);
        Self { is_disabled: update.disabled, quality, width, height }
    }

    /// The smallest of the layers that is large enough, given the longer side of each; all, when none is.
    pub(super) fn most_of(&self, layers: impl Iterator<Item = (Layer, u32)>) -> Layer {
        let window = self.width.max(self.height);
        if window == 0 {
            return self.quality;
        }
        let enough = layers.filter(|(_, side)| f64::from(*side) * NEARLY >= f64::from(window));
        enough.map(|(layer, _)| layer).min().unwrap_or(Layer::High)
    }
}

/// What the publisher of a track knows of who wants it.
#[derive(Debug, Default)]
pub(super) struct Demanded {
    /// The largest layer it was told; the outer `None` while it was told nothing and sends all.
    told: Option<Option<Layer>>,
    less_since: Option<Instant>,
}

impl Demanded {
    /// The publisher is to be told that this is the largest layer anybody wants, if it does not know.
    pub(super) fn update(&mut self, now: Instant, most: Option<Layer>) -> Option<Option<Layer>> {
        let told = self.told.unwrap_or(Some(Layer::High));
        if most >= told {
            self.less_since = None;
            return (most > told).then(|| self.tell(most));
        }
        let since = *self.less_since.get_or_insert(now);
        (now.saturating_duration_since(since) >= SWITCH_OFF_AFTER).then(|| self.tell(most))
    }

    fn tell(&mut self, most: Option<Layer>) -> Option<Layer> {
        self.less_since = None;
        self.told = Some(most);
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Layer::{High, Low, Medium};

    #[test]
    fn a_window_gets_the_smallest_layer_that_fills_it() {
        let sides = [(Low, 320), (Medium, 640), (High, 1_280)];
        for (width, height, layer) in [
            (160, 90, Low),
            (180, 320, Low),
            (360, 200, Low),
            (400, 225, Medium),
            (640, 360, Medium),
            (800, 450, High),
            (3_840, 2_160, High),
        ] {
            let setting = Setting { width, height, ..Setting::default() };
            assert_eq!(setting.most_of(sides.into_iter()), layer, "{width}x{height}");
        }
        let named = Setting { quality: Medium, ..Setting::default() };
        assert_eq!(named.most_of(sides.into_iter()), Medium);
    }

    #[test]
    fn more_is_told_at_once_and_less_after_a_while() {
        let (mut demanded, start) = (Demanded::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(demanded.update(at(0), Some(High)), None, "it sends all by itself");
        assert_eq!(demanded.update(at(1), None), None);
        assert_eq!(demanded.update(at(3), Some(High)), None, "somebody came back");
        assert_eq!(demanded.update(at(4), Some(Low)), None);
        assert_eq!(demanded.update(at(7), Some(Low)), Some(Some(Low)));
        assert_eq!(demanded.update(at(8), Some(Medium)), Some(Some(Medium)));
        assert_eq!(demanded.update(at(8), Some(Medium)), None);
        demanded.update(at(9), None);
        assert_eq!(demanded.update(at(12), None), Some(None));
        assert_eq!(demanded.update(at(12), Some(Low)), Some(Some(Low)));
    }
}
