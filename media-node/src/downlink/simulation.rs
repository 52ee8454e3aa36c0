//! A receiver of cameras and sound behind a line that changes.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::transport::Codec;

const PACKET: usize = 1_000;
const DELAY: Duration = Duration::from_millis(30);
const LAYERS: [f64; 3] = [150_000.0, 500_000.0, 1_700_000.0];
const SOUND_RATE: f64 = 32_000.0;

/// Publishers, the node's side of the line, and the line.
struct World {
    start: Instant,
    now: Instant,
    downlink: Downlink,
    cameras: Vec<Camera>,
    capacity: f64,
    loss_permille: u64,
    free_at: Instant,
    on_the_way: Vec<(Instant, Fate)>,
    sound_due: f64,
    sound_packets: (u32, u32),
    random: u64,
    paused: Vec<bool>,
    /// Nothing fills a probe before a picture was sent: it is made of what was sent last.
    pictures_sent: bool,
}

struct Camera {
    mid: Mid,
    meter: Meter,
    due: [f64; 3],
    sequence: [u16; 3],
    keyframe: [bool; 3],
    /// Layers that arrive at the node.
    arrives: [bool; 3],
}

impl World {
    fn new(capacity: f64, cameras: usize) -> Self {
        let start = Instant::now();
        let mut downlink = Downlink::default();
        downlink.route(mid("sound"), MediaKind::Audio, Layer::High);
        let camera = |nth: usize| Camera {
            mid: mid(&format!("c{nth}")),
            meter: Meter::default(),
            due: [0.0; 3],
            sequence: [100, 7_000, 60_000],
            keyframe: [true; 3],
            arrives: [true; 3],
        };
        let cameras: Vec<_> = (0..cameras).map(camera).collect();
        for camera in &cameras {
            downlink.route(camera.mid, MediaKind::Video, Layer::High);
        }
        Self {
            start,
            now: start,
            downlink,
            cameras,
            capacity,
            loss_permille: 0,
            free_at: start,
            on_the_way: Vec::new(),
            sound_due: 0.0,
            sound_packets: (0, 0),
            random: 7,
            paused: Vec::new(),
            pictures_sent: false,
        }
    }

    fn layer(&self, nth: usize) -> Option<Layer> {
        self.downlink.tracks[&self.cameras[nth].mid].leg.current()
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(5);
            self.publish();
            let bytes = self.downlink.probe_bytes(self.now);
            if bytes > 0 {
                let packets = if self.pictures_sent { bytes.div_ceil(PACKET) } else { 0 };
                self.downlink.probe_sent(self.now, packets * PACKET);
                for _ in 0..packets {
                    self.transmit(PACKET);
                }
            }
            if self.downlink.poll_timeout(self.now).is_some_and(|at| at <= self.now) {
                self.downlink.handle_timeout(self.now);
            }
            self.report();
            while let Some(event) = self.downlink.poll_event() {
                match event {
                    DownlinkEvent::KeyframeWanted(mid, layer) => {
                        let camera = self.cameras.iter_mut().find(|camera| camera.mid == mid).unwrap();
                        camera.keyframe[layer.index()] = true;
                    }
                    DownlinkEvent::Paused(_, is_paused) => self.paused.push(is_paused),
                }
            }
        }
    }

    fn publish(&mut self) {
        self.sound_due += SOUND_RATE * 0.005;
        while self.sound_due >= 80.0 * 8.0 {
            self.sound_due -= 80.0 * 8.0;
            self.sound_packets.0 += 1;
            let packet = packet(Layer::High, Codec::Opus, self.sound_packets.0 as u16, false);
            assert!(self.downlink.forward(self.now, mid("sound"), &packet).is_some(), "sound always passes");
            self.downlink.sent(self.now, 80);
            self.sound_packets.1 += u32::from(self.transmit(80));
        }
        let mut sent = Vec::new();
        for camera in &mut self.cameras {
            for layer in Layer::ALL.into_iter().filter(|layer| camera.arrives[layer.index()]) {
                let at = layer.index();
                camera.due[at] += LAYERS[at] * 0.005;
                while camera.due[at] >= (PACKET * 8) as f64 {
                    camera.due[at] -= (PACKET * 8) as f64;
                    camera.sequence[at] = camera.sequence[at].wrapping_add(1);
                    let is_key = std::mem::take(&mut camera.keyframe[at]);
                    let packet = packet(layer, Codec::Vp8, camera.sequence[at], is_key);
                    if camera.meter.add(self.now, layer, PACKET) {
                        self.downlink.arriving(camera.mid, camera.meter.rates(self.now));
                    }
                    sent.extend(self.downlink.forward(self.now, camera.mid, &packet));
                }
            }
            self.downlink.arriving(camera.mid, camera.meter.rates(self.now));
        }
        for _ in sent {
            self.pictures_sent = true;
            self.downlink.sent(self.now, PACKET);
            self.transmit(PACKET);
        }
    }

    fn transmit(&mut self, bytes: usize) -> bool {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let queue = self.free_at.saturating_duration_since(self.now);
        let is_lost = queue > Duration::from_millis(500) || (self.random >> 33) % 1_000 < self.loss_permille;
        let mut fate = Fate { sent: self.now, bytes: bytes as u32, arrived: None };
        if !is_lost {
            self.free_at =
                self.free_at.max(self.now) + Duration::from_secs_f64(bytes as f64 * 8.0 / self.capacity);
            fate.arrived = Some(self.free_at + DELAY - self.start);
        }
        self.on_the_way.push((self.now.max(self.free_at) + 2 * DELAY, fate));
        !is_lost
    }

    fn report(&mut self) {
        if !(self.now - self.start).as_millis().is_multiple_of(60) {
            return;
        }
        let count = self.on_the_way.iter().take_while(|(at, _)| *at <= self.now).count();
        let fates: Vec<Fate> = self.on_the_way.drain(..count).map(|(_, fate)| fate).collect();
        self.downlink.reported(self.now, &fates);
    }
}

fn mid(text: &str) -> Mid {
    Mid::parse(text).unwrap()
}

fn packet(layer: Layer, codec: Codec, sequence: u16, is_key: bool) -> MediaPacket {
    let payload = Bytes::from_static(if is_key { &[0x10, 0] } else { &[0x10, 1] });
    let (timestamp, marker) = (u32::from(sequence) * 3_000, true);
    MediaPacket { layer, codec, sequence, timestamp, marker, audio_level: None, orientation: None, payload }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What the camera's layer was over time, without repetitions.
fn watch(world: &mut World, time: Duration) -> Vec<Option<Layer>> {
    let mut seen = vec![world.layer(0)];
    for _ in 0..time.as_millis() / 100 {
        world.run(Duration::from_millis(100));
        if seen.last() != Some(&world.layer(0)) {
            seen.push(world.layer(0));
        }
    }
    seen
}

#[test]
fn a_good_line_gets_the_best_picture_soon() {
    let mut world = World::new(5_000_000.0, 1);
    world.run(seconds(3));
    assert_eq!(world.layer(0), Some(Layer::High));
    assert_eq!(watch(&mut world, seconds(60)), [Some(Layer::High)], "and keeps it");
}

#[test]
fn the_picture_follows_the_line_down_and_up_again() {
    let mut world = World::new(5_000_000.0, 1);
    world.run(seconds(5));
    for (capacity, layer) in [
        (900_000.0, Some(Layer::Medium)),
        (300_000.0, Some(Layer::Low)),
        (80_000.0, None),
        (300_000.0, Some(Layer::Low)),
        (900_000.0, Some(Layer::Medium)),
        (5_000_000.0, Some(Layer::High)),
    ] {
        world.capacity = capacity;
        world.run(seconds(15));
        assert_eq!(world.layer(0), layer, "at {capacity}, estimate {:?}", world.downlink.bits_per_second());
        let after = watch(&mut world, seconds(20));
        assert!(after.len() <= 5, "{capacity}: {after:?}");
    }
    assert_eq!(world.paused.first(), Some(&true), "the rooms were told");
    assert_eq!(world.paused.last(), Some(&false));
}

#[test]
fn a_line_that_hesitates_takes_no_picture_away() {
    let mut world = World::new(5_000_000.0, 1);
    world.cameras[0].arrives = [true, false, false];
    world.run(seconds(5));
    for _ in 0..20 {
        // As when the receiver's processor is busy.
        world.free_at = world.now + Duration::from_millis(200);
        world.run(seconds(3));
    }
    assert_eq!((world.layer(0), world.paused.as_slice()), (Some(Layer::Low), [].as_slice()));
}

/// As when somebody comes to a busy machine and looks at pictures only later.
#[test]
fn a_line_that_hesitated_before_there_was_a_picture_is_tried_with_one() {
    let mut world = World::new(5_000_000.0, 1);
    world.cameras[0].arrives = [false; 3];
    world.run(seconds(1));
    world.capacity = 20_000.0;
    world.run(seconds(3));
    (world.capacity, world.free_at) = (5_000_000.0, world.now);
    assert!(world.downlink.estimator.was_full(), "the line did not seem full");
    world.cameras[0].arrives = [true; 3];
    world.run(seconds(8));
    assert_eq!(world.layer(0), Some(Layer::High));
}

#[test]
fn sound_survives_where_no_picture_does() {
    let mut world = World::new(5_000_000.0, 2);
    world.run(seconds(5));
    world.capacity = 150_000.0;
    world.loss_permille = 50;
    world.run(seconds(8));
    world.sound_packets = (0, 0);
    world.run(seconds(20));
    let (sent, arrived) = world.sound_packets;
    assert!(arrived * 100 >= sent * 90, "{arrived} of {sent}");
}

#[test]
fn several_cameras_share_a_line() {
    let mut world = World::new(1_000_000.0, 4);
    world.run(seconds(20));
    let layers: Vec<_> = (0..4).map(|nth| world.layer(nth)).collect();
    assert!(layers.iter().all(Option::is_some), "{layers:?}");
    let sum: f64 = layers.iter().flatten().map(|layer| LAYERS[layer.index()]).sum();
    assert!(sum < 1_000_000.0, "{layers:?}");
}

#[test]
fn a_layer_that_stops_arriving_is_replaced() {
    let mut world = World::new(5_000_000.0, 1);
    world.run(seconds(5));
    world.cameras[0].arrives[2] = false;
    world.run(seconds(3));
    assert_eq!(world.layer(0), Some(Layer::Medium));
    world.cameras[0].arrives[2] = true;
    world.run(seconds(3));
    assert_eq!(world.layer(0), Some(Layer::High));
}

#[test]
fn a_camera_without_layers_is_tried_and_left_out_where_it_does_not_fit() {
    let mut world = World::new(3_000_000.0, 1);
    world.cameras[0].arrives = [false, false, true];
    world.run(seconds(10));
    assert_eq!((world.layer(0), world.paused.len()), (Some(Layer::High), 0));
    world.capacity = 500_000.0;
    world.run(seconds(10));
    assert_eq!((world.layer(0), world.paused.last()), (None, Some(&true)));
    world.capacity = 3_000_000.0;
    world.run(seconds(15));
    assert_eq!((world.layer(0), world.paused.last()), (Some(Layer::High), Some(&false)));
}

#[test]
fn a_pause_of_the_camera_needs_no_keyframe_after() {
    let mut world = World::new(5_000_000.0, 1);
    world.run(seconds(5));
    world.cameras[0].arrives = [false; 3];
    world.run(seconds(5));
    assert_eq!(world.layer(0), Some(Layer::High));
    assert!(world.paused.is_empty(), "the line is not to blame");
}

#[test]
fn no_more_is_sent_than_there_is_use_for() {
    let mut world = World::new(5_000_000.0, 1);
    world.run(seconds(5));
    world.downlink.limit(mid("c0"), Layer::Low);
    world.run(seconds(1));
    assert_eq!(world.layer(0), Some(Layer::Low));
    world.downlink.limit(mid("c0"), Layer::High);
    world.run(seconds(1));
    assert_eq!(world.layer(0), Some(Layer::High), "the line was never in question");
}

#[test]
fn a_receiver_that_never_reports_gets_the_best() {
    let mut world = World::new(5_000_000.0, 1);
    for _ in 0..100 {
        world.on_the_way.clear();
        world.run(Duration::from_millis(50));
    }
    assert_eq!(world.layer(0), Some(Layer::High));
}
