//! How often a publisher is asked for a keyframe.
//!
//! A keyframe is several times the size of other frames: asked for by every viewer at once, it would starve
//! the very link it should repair.

use std::time::{Duration, Instant};

/// At most one request in this time for each track.
pub(super) const KEYFRAME_FLOOR: Duration = Duration::from_millis(500);

/// Requests for one track.
#[derive(Debug, Default)]
pub(super) struct KeyframeFloor {
    last: Option<Instant>,
    wanted: bool,
}

impl KeyframeFloor {
    /// Somebody needs a keyframe. `true` when the publisher is to be asked now.
    pub(super) fn want(&mut self, now: Instant) -> bool {
        self.wanted = true;
        self.due(now)
    }

    /// Whether a request that had to wait is to be made now.
    pub(super) fn due(&mut self, now: Instant) -> bool {
        let allowed = self.last.is_none_or(|last| now.saturating_duration_since(last) >= KEYFRAME_FLOOR);
        let ask = self.wanted && allowed;
        if ask {
            self.last = Some(now);
            self.wanted = false;
        }
        ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_requests_become_one_now_and_one_later() {
        let (mut floor, start) = (KeyframeFloor::default(), Instant::now());
        let asked = (0..100).filter(|ms| floor.want(start + Duration::from_millis(*ms))).count();
        assert_eq!(asked, 1);
        assert!(!floor.due(start + KEYFRAME_FLOOR - Duration::from_millis(1)));
        assert!(floor.due(start + KEYFRAME_FLOOR), "the request that waited is not lost");
        assert!(!floor.due(start + KEYFRAME_FLOOR * 2), "and is made once");
    }
}
