//! Who gets which layer of what a line carries. Pure.

use crate::transport::Layer;

/// A layer that is sent already may be a little larger than what is left: rates breathe.
const KEEP: f64 = 0.9;

/// A larger one must fit with room to spare, or the line would be full at once.
const RISE: f64 = 1.15;

/// What a receiver could get of one video track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Demand {
    /// The largest layer the receiver has use for.
    pub most: Layer,
    /// What it gets now.
    pub current: Option<Layer>,
    /// It gets nothing because there was nothing, and not because the line was full.
    pub is_new: bool,
    /// Bits a second of each layer; `None` for those that do not arrive.
    pub rates: [Option<f64>; 3],
}

impl Demand {
    /// Layers that could be sent, from small to large. When all are larger than what there is use for, the
    /// smallest: a picture is better than none.
    pub(super) fn layers(&self) -> impl Iterator<Item = (Layer, f64)> + '_ {
        let arriving =
            move || Layer::ALL.into_iter().filter_map(|layer| Some((layer, self.rates[layer.index()]?)));
        let smallest = arriving().next().map(|(layer, _)| layer);
        arriving().filter(move |(layer, _)| *layer <= self.most || Some(*layer) == smallest)
    }

    /// The largest of them.
    pub(super) fn best(&self) -> Option<(Layer, f64)> {
        self.layers().last()
    }

    /// The next larger one than `layer`.
    pub(super) fn above(&self, layer: Option<Layer>) -> Option<(Layer, f64)> {
        self.layers().find(|(above, _)| layer.is_none_or(|layer| *above > layer))
    }

    fn rate(&self, layer: Option<Layer>) -> f64 {
        layer.and_then(|layer| self.rates[layer.index()]).unwrap_or(0.0)
    }
}

/// What may be done beside what fits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// Larger layers than now may be chosen.
    pub rise: bool,
    /// The budget is a guess: a smallest layer is tried although it does not fit.
    pub try_smallest: bool,
}

/// Layers for all tracks, in their order, which is that of their importance. First all get the smallest,
/// as long as there is something left; then everybody the next.
pub(super) fn allocate(budget: f64, demands: &[Demand], allowed: Allowed) -> Vec<Option<Layer>> {
    let mut chosen: Vec<Option<Layer>> = vec![None; demands.len()];
    let mut left = budget;
    for _ in Layer::ALL {
        for (demand, chosen) in demands.iter().zip(&mut chosen) {
            let Some((layer, rate)) = demand.above(*chosen) else { continue };
            let rises = demand.current.is_none_or(|current| layer > current);
            if rises && !allowed.rise && !(demand.is_new && chosen.is_none()) {
                continue;
            }
            let before = demand.rate(*chosen);
            let fits = (rate - before) * if rises { RISE } else { KEEP } <= left;
            if fits || (allowed.try_smallest && chosen.is_none()) {
                left -= rate - before;
                *chosen = Some(layer);
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    use Layer::{High, Low, Medium};

    const CAMERA: [Option<f64>; 3] = [Some(150e3), Some(500e3), Some(1_700e3)];

    fn camera(current: Option<Layer>) -> Demand {
        Demand { most: High, current, is_new: false, rates: CAMERA }
    }

    fn rising(budget: f64, demands: &[Demand]) -> Vec<Option<Layer>> {
        allocate(budget, demands, Allowed { rise: true, try_smallest: false })
    }

    #[test]
    fn one_camera_gets_the_largest_layer_that_fits() {
        for (budget, layer) in [
            (100e3, None),
            (200e3, Some(Low)),
            (600e3, Some(Medium)),
            (1_800e3, Some(Medium)),
            (2_000e3, Some(High)),
        ] {
            assert_eq!(rising(budget, &[camera(None)]), [layer], "{budget}");
        }
    }

    #[test]
    fn what_is_sent_stays_where_it_could_not_be_reached() {
        assert_eq!(rising(1_600e3, &[camera(Some(High))]), [Some(High)]);
        assert_eq!(rising(1_600e3, &[camera(Some(Medium))]), [Some(Medium)]);
        assert_eq!(rising(1_300e3, &[camera(Some(High))]), [Some(Medium)]);
        assert_eq!(rising(140e3, &[camera(Some(High))]), [Some(Low)]);
        assert_eq!(rising(100e3, &[camera(Some(High))]), [None], "sound alone");
        let new = Demand { is_new: true, ..camera(None) };
        let paused = Allowed { rise: false, try_smallest: false };
        assert_eq!(
            allocate(9e6, &[camera(Some(Low)), camera(None), new], paused),
            [Some(Low), None, Some(Low)]
        );
    }

    #[test]
    fn everybody_is_seen_before_anybody_is_seen_better() {
        let four = [camera(None); 4];
        assert_eq!(rising(700e3, &four), [Some(Low); 4]);
        assert_eq!(rising(400e3, &four), [Some(Low), Some(Low), None, None]);
        assert_eq!(rising(1_100e3, &four), [Some(Medium), Some(Low), Some(Low), Some(Low)]);
        let budget = 2_300e3;
        let sum: f64 =
            rising(budget, &four).iter().map(|layer| CAMERA[layer.unwrap().index()].unwrap()).sum();
        assert!(sum <= budget);
    }

    #[test]
    fn nobody_gets_more_than_there_is_use_for_or_than_arrives() {
        let small = Demand { most: Low, ..camera(None) };
        assert_eq!(rising(9e6, &[small]), [Some(Low)]);
        let single = Demand { rates: [None, None, Some(900e3)], ..small };
        assert_eq!(rising(9e6, &[single]), [Some(High)], "all there is");
        assert_eq!(rising(100e3, &[single]), [None]);
        let guess = Allowed { rise: true, try_smallest: true };
        assert_eq!(allocate(100e3, &[single, camera(None)], guess), [Some(High), Some(Low)], "who knows");
        let broken = Demand { rates: [Some(150e3), None, Some(1e6)], ..camera(Some(Medium)) };
        assert_eq!(rising(9e6, &[broken]), [Some(High)]);
        assert_eq!(rising(600e3, &[broken]), [Some(Low)]);
        assert_eq!(rising(9e6, &[Demand { rates: [None; 3], ..small }]), [None]);
    }
}
