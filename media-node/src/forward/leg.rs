//! A track's way to one receiver.

use std::time::Instant;

use bytes::Bytes;

use super::keyframe;
use super::numbers::Numbers;
use super::vp8;
use crate::transport::{Codec, Layer, MediaPacket};

/// How one receiver gets one track.
///
/// A receiver sees a single stream: whatever the layer, numbers and time go on. A layer is left only when a
/// keyframe of the wanted one arrives, so there is always a picture; until then the old one goes on.
#[derive(Debug, Default)]
pub struct ForwardLeg {
    wanted: Option<Layer>,
    current: Option<Layer>,
    numbers: Numbers,
    vp8: vp8::Numbers,
    /// Layer that was sent last, also before a pause.
    last: Option<Layer>,
}

/// What differs from the packet that came in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outgoing {
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Payload.
    pub payload: Bytes,
}

impl ForwardLeg {
    /// Another layer is wanted, or none. Returns whether that needs a keyframe of it.
    pub fn want(&mut self, layer: Option<Layer>) -> bool {
        let changed = self.wanted != layer;
        self.wanted = layer;
        if layer.is_none() {
            self.current = None;
        }
        changed && self.needs_keyframe().is_some()
    }

    /// The layer that is to be sent, whether or not it is yet.
    #[must_use]
    pub fn wanted(&self) -> Option<Layer> {
        self.wanted
    }

    /// The layer that is sent.
    #[must_use]
    pub fn current(&self) -> Option<Layer> {
        self.current
    }

    /// The layer whose keyframe is waited for.
    #[must_use]
    pub fn needs_keyframe(&self) -> Option<Layer> {
        self.wanted.filter(|wanted| self.current != Some(*wanted))
    }

    /// The source is routed here anew: packets before this were not meant for the receiver.
    pub fn restart(&mut self) {
        self.current = None;
        self.last = None;
    }

    /// The packet as it is sent on, `None` when it is not.
    pub fn forward(&mut self, now: Instant, packet: &MediaPacket) -> Option<Outgoing> {
        if self.current != Some(packet.layer) {
            if self.wanted != Some(packet.layer) || !keyframe::begins(packet.codec, &packet.payload) {
                return None;
            }
            self.begin(packet);
        }
        let (sequence, is_newest) = self.numbers.sequence(packet.sequence)?;
        let timestamp = self.numbers.timestamp(now, packet.timestamp, packet.codec.clock_hz());
        let payload = match packet.codec {
            Codec::Vp8 => self.vp8.rewrite(&packet.payload, is_newest),
            Codec::Opus | Codec::H264 => packet.payload.clone(),
        };
        Some(Outgoing { sequence, timestamp, payload })
    }

    fn begin(&mut self, packet: &MediaPacket) {
        if self.last == Some(packet.layer) {
            self.numbers.resume();
        } else {
            self.numbers.change_source();
        }
        if packet.codec == Codec::Vp8 {
            self.vp8.follow(&packet.payload);
        }
        self.current = Some(packet.layer);
        self.last = Some(packet.layer);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::vp8::tests::{numbers, payload};
    use super::*;

    /// One layer of a camera: its numbers start anywhere and go on by one a picture.
    struct Camera {
        layer: Layer,
        sequence: u16,
        timestamp: u32,
        picture: u16,
        key: u8,
    }

    impl Camera {
        fn new(layer: Layer, sequence: u16, timestamp: u32, picture: u16) -> Self {
            Self { layer, sequence, timestamp, picture, key: 0 }
        }

        fn picture(&mut self, is_key: bool) -> MediaPacket {
            self.sequence = self.sequence.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(3_000);
            self.picture = (self.picture + 1) & 0x7fff;
            self.key = (self.key + u8::from(is_key)) & 0x1f;
            MediaPacket {
                layer: self.layer,
                codec: Codec::Vp8,
                sequence: self.sequence,
                timestamp: self.timestamp,
                marker: true,
                audio_level: None,
                orientation: None,
                payload: payload(is_key, self.picture, self.picture as u8, self.key),
            }
        }
    }

    /// Both layers of a camera, a leg, and a clock of 30 pictures a second.
    struct World {
        low: Camera,
        high: Camera,
        leg: ForwardLeg,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let (low, high) =
                (Camera::new(Layer::Low, 65_500, 9_000, 100), Camera::new(Layer::High, 7, 1 << 31, 0x7fff));
            Self { low, high, leg: ForwardLeg::default(), now: Instant::now() }
        }

        /// One picture of each layer, the wanted one first; what of them was sent.
        fn step(&mut self, low_key: bool, high_key: bool) -> Vec<(Layer, Outgoing)> {
            self.now += Duration::from_micros(33_333);
            let mut pictures = [self.low.picture(low_key), self.high.picture(high_key)];
            if self.leg.wanted() == Some(Layer::High) {
                pictures.reverse();
            }
            let sent = pictures.iter().map(|packet| (packet.layer, self.leg.forward(self.now, packet)));
            sent.filter_map(|(layer, outgoing)| Some((layer, outgoing?))).collect()
        }
    }

    #[test]
    fn nothing_is_sent_before_a_keyframe_of_what_is_wanted() {
        let mut world = World::new();
        assert!(world.step(true, true).is_empty(), "nothing is wanted");
        assert!(world.leg.want(Some(Layer::High)), "a keyframe is to be asked for");
        assert!(!world.leg.want(Some(Layer::High)), "once");
        assert!(world.step(true, false).is_empty());
        assert_eq!(world.leg.needs_keyframe(), Some(Layer::High));
        assert_eq!(world.step(false, true)[0].0, Layer::High);
        assert_eq!(world.leg.needs_keyframe(), None);
        assert_eq!(world.step(false, false).len(), 1);
    }

    #[test]
    fn layers_change_at_keyframes_and_read_as_one_stream() {
        let mut world = World::new();
        let mut stream: Vec<Outgoing> = Vec::new();
        let mut layers = Vec::new();
        for nth in 0..300 {
            // The wish changes every 40 pictures, the keyframe comes 10 later.
            let wanted = if nth / 40 % 2 == 0 { Layer::Low } else { Layer::High };
            world.leg.want(Some(wanted));
            let is_key = nth % 40 == 10;
            let sent = world.step(is_key && wanted == Layer::Low, is_key && wanted == Layer::High);
            assert!(nth < 10 || sent.len() == 1, "picture {nth}: {sent:?}");
            for (layer, outgoing) in sent {
                layers.push(layer);
                stream.push(outgoing);
            }
        }
        layers.dedup();
        assert_eq!(layers.len(), 8);
        for (before, after) in stream.iter().zip(&stream[1..]) {
            assert_eq!(after.sequence, before.sequence.wrapping_add(1));
            let step = after.timestamp.wrapping_sub(before.timestamp);
            assert!((2_990..=3_010).contains(&step), "{step}");
            let ((picture, base, _), (next, next_base, _)) =
                (numbers(&before.payload), numbers(&after.payload));
            assert_eq!(next, (picture + 1) & 0x7fff);
            assert_eq!(next_base, base.wrapping_add(1));
        }
    }

    #[test]
    fn late_packets_of_the_layer_left_are_dropped() {
        let mut world = World::new();
        world.leg.want(Some(Layer::Low));
        world.step(true, true);
        let late = world.low.picture(false);
        world.leg.want(Some(Layer::High));
        assert_eq!(world.step(false, false)[0].0, Layer::Low, "the old layer goes on until the keyframe");
        assert_eq!(world.step(false, true)[0].0, Layer::High);
        assert_eq!(world.leg.forward(world.now, &late), None);
        assert_eq!(world.step(true, false)[0].0, Layer::High);
    }

    #[test]
    fn a_pause_leaves_no_hole_and_time_goes_on() {
        let mut world = World::new();
        world.leg.want(Some(Layer::Low));
        let before = world.step(true, true).remove(0).1;
        world.leg.want(None);
        for _ in 0..100 {
            assert!(world.step(true, true).is_empty());
        }
        assert!(world.leg.want(Some(Layer::Low)));
        assert!(world.step(false, true).is_empty());
        let after = world.step(true, false).remove(0).1;
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
        assert_eq!(after.timestamp.wrapping_sub(before.timestamp), 102 * 3_000);
    }

    #[test]
    fn another_source_on_the_same_leg_is_the_same_stream() {
        let mut world = World::new();
        world.leg.want(Some(Layer::High));
        let before = world.step(true, true).remove(0).1;
        world.leg.restart();
        world.high = Camera::new(Layer::High, 999, 5, 20_000);
        assert!(world.step(false, false).is_empty());
        let after = world.step(false, true).remove(0).1;
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
        assert!((5_990..=6_010).contains(&after.timestamp.wrapping_sub(before.timestamp)));
    }

    #[test]
    fn sound_and_single_layers_pass_as_they_are() {
        let mut leg = ForwardLeg::default();
        leg.want(Some(Layer::High));
        let now = Instant::now();
        let mut packet = World::new().high.picture(true);
        for (codec, payload) in [(Codec::Opus, &[1, 2][..]), (Codec::H264, &[0x65, 1])] {
            (packet.codec, packet.payload) = (codec, Bytes::from_static(payload));
            packet.sequence += 1;
            let sent = leg.forward(now, &packet).unwrap();
            assert_eq!(
                (sent.sequence, sent.timestamp, &sent.payload),
                (packet.sequence, packet.timestamp, &packet.payload)
            );
        }
    }
}
