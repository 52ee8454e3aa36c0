//! Bit rates of a published track's layers.

use std::time::{Duration, Instant};

use crate::transport::Layer;

/// Looked at together.
const SLICE: Duration = Duration::from_millis(500);

/// Without a packet for so long a layer does not arrive any more.
const SILENT_AFTER: Duration = Duration::from_millis(1_500);

/// Weight of what was before: a keyframe is no change of rate.
const SMOOTHING: f64 = 0.7;

/// Rates of the layers of one track.
#[derive(Debug, Default)]
pub struct Meter([Option<Rate>; 3]);

#[derive(Clone, Copy, Debug)]
struct Rate {
    slice: Instant,
    bytes: u32,
    last: Instant,
    bits_per_second: Option<f64>,
}

impl Meter {
    /// A packet arrived. `true` when its layer did not arrive before.
    pub fn add(&mut self, now: Instant, layer: Layer, bytes: usize) -> bool {
        let rate = &mut self.0[layer.index()];
        let begins = rate.is_none_or(|rate| rate.is_silent(now));
        if begins {
            *rate = None;
        }
        let rate = rate.get_or_insert(Rate { slice: now, bytes: 0, last: now, bits_per_second: None });
        let passed = now.saturating_duration_since(rate.slice);
        if passed >= SLICE {
            let measured = f64::from(rate.bytes) * 8.0 / passed.as_secs_f64();
            let smoothed = |before: f64| SMOOTHING * before + (1.0 - SMOOTHING) * measured;
            rate.bits_per_second = Some(rate.bits_per_second.map_or(measured, smoothed));
            (rate.slice, rate.bytes) = (now, 0);
        }
        rate.bytes = rate.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        rate.last = now;
        begins
    }

    /// Bits a second of each layer that arrives. One that just began is taken for what cameras send.
    #[must_use]
    pub fn rates(&self, now: Instant) -> [Option<f64>; 3] {
        const USUAL: [f64; 3] = [150_000.0, 450_000.0, 1_700_000.0];
        Layer::ALL.map(|layer| {
            let rate = self.0[layer.index()].filter(|rate| !rate.is_silent(now))?;
            Some(rate.bits_per_second.unwrap_or(USUAL[layer.index()]))
        })
    }
}

impl Rate {
    fn is_silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= SILENT_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_measured_and_forgotten() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(meter.add(at(0), Layer::Low, 250));
        assert_eq!(meter.rates(at(0)), [Some(150_000.0), None, None]);
        for nth in 1..=300 {
            assert!(!meter.add(at(nth * 10), Layer::Low, 250));
        }
        let rate = meter.rates(at(3_000))[0].unwrap();
        assert!((195_000.0..205_000.0).contains(&rate), "{rate}");
        assert_eq!(meter.rates(at(4_500)), [None; 3]);
        assert!(meter.add(at(4_500), Layer::Low, 1), "it begins again");
    }
}
