//! Many callers in one thread: each a whole WebRTC client with a camera and a microphone.

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};

use crate::signal::{Joining, Signalling, Told};

/// Far more than connecting takes.
const CONNECTED_WITHIN: Duration = Duration::from_secs(60);

/// Where a payload carries the time it was sent: behind what is read of it on its way.
const SENT_AT: std::ops::Range<usize> = 8..16;

const SOUND_BYTES: usize = 80;

/// What each caller sends.
#[derive(Clone, Copy, Debug)]
pub struct Media {
    /// Each leaves in one burst, as browsers send them.
    pub pictures_per_second: f64,
    pub packets_per_picture: u32,
    pub sounds_per_second: f64,
    pub payload_bytes: usize,
}

/// What arrived in a while.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: u64,
    pub received: u64,
    /// Of those, packets of sound, which no server withholds from a line it takes for full.
    pub sounds_sent: u64,
    pub sounds_received: u64,
    pub bytes: u64,
    pub seconds: f64,
    /// From one caller to the other, in microseconds, sorted.
    pub delays: Vec<u32>,
}

impl Tally {
    pub fn delay_ms(&self, quantile: f64) -> f64 {
        let place = (self.delays.len() as f64 * quantile) as usize;
        self.delays.get(place.min(self.delays.len().saturating_sub(1))).map_or(0.0, |us| f64::from(*us) / 1e3)
    }

    /// Of all packets, and of those with sound.
    pub fn lost_percent(&self) -> (f64, f64) {
        let lost =
            |sent: u64, received: u64| 100.0 * sent.saturating_sub(received) as f64 / sent.max(1) as f64;
        (lost(self.sent, self.received), lost(self.sounds_sent, self.sounds_received))
    }
}

/// All of them.
pub struct Callers {
    callers: Vec<Caller>,
    signalling: Box<dyn Signalling>,
    poll: Poll,
    media: Media,
    began: Instant,
}

struct Caller {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    next: Instant,
    connected: bool,
    ended: bool,
    microphone: Track,
    camera: Track,
    picture: u64,
    /// The next picture can be decoded without those before.
    is_key: bool,
    pending: Option<SdpPendingOffer>,
    /// Sections to receive on that are to be offered: for sound, for pictures.
    wanted: (u32, u32),
    tally: Tally,
}

struct Track {
    mid: Mid,
    payload_type: Option<Pt>,
    sequence: u64,
    next: Instant,
}

impl Callers {
    /// As many callers as that, connected, each with somebody to talk to (or with itself, at a server of echoes).
    pub fn connect(
        host: IpAddr,
        count: usize,
        media: Media,
        signalling: Box<dyn Signalling>,
    ) -> Result<Self> {
        let mut all =
            Self { callers: Vec::new(), signalling, poll: Poll::new()?, media, began: Instant::now() };
        for index in 0..count {
            all.join(host, index)?;
            // Those who are in already go on meanwhile.
            all.step()?;
        }
        let deadline = Instant::now() + CONNECTED_WITHIN;
        // The first packets open what they travel through: a second of media from everybody to everybody.
        let is_in = |caller: &Caller| caller.connected && caller.tally.received >= 4;
        while !all.callers.iter().all(is_in) {
            if Instant::now() > deadline {
                let missing = all.callers.iter().filter(|caller| !is_in(caller)).count();
                let connected = all.callers.iter().filter(|caller| caller.connected).count();
                bail!("{missing} of {count} callers hear nobody, {connected} are connected");
            }
            all.step()?;
        }
        Ok(all)
    }

    /// Lets time pass, and tells what arrived in it.
    pub fn run(&mut self, lasts: Duration) -> Result<Tally> {
        for caller in &mut self.callers {
            caller.tally = Tally::default();
        }
        let start = Instant::now();
        while start.elapsed() < lasts {
            self.step()?;
        }
        let mut all = Tally { seconds: start.elapsed().as_secs_f64(), ..Tally::default() };
        for caller in &mut self.callers {
            ensure!(!caller.ended, "a caller was disconnected");
            all.sent += caller.tally.sent;
            all.received += caller.tally.received;
            all.sounds_sent += caller.tally.sounds_sent;
            all.sounds_received += caller.tally.sounds_received;
            all.bytes += caller.tally.bytes;
            all.delays.append(&mut caller.tally.delays);
        }
        all.delays.sort_unstable();
        Ok(all)
    }

    fn join(&mut self, host: IpAddr, index: usize) -> Result<()> {
        let mut socket = UdpSocket::bind(SocketAddr::new(host, 0))?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(2 << 20)?;
        let address = socket.local_addr()?;
        self.poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
        let now = Instant::now();
        let codecs = Rtc::builder().set_rtp_mode(true).clear_codecs();
        let mut rtc = codecs.enable_opus(true, false).enable_vp8(true).build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp")?);

        let direction = self.signalling.direction();
        let tracks = [format!("sound-{index}"), format!("pictures-{index}")];
        let mut changes = rtc.sdp_api();
        let mut add = |kind, track: &String| {
            changes.add_media(kind, direction, Some(format!("caller-{index}")), Some(track.clone()), None)
        };
        let mids = [add(MediaKind::Audio, &tracks[0]), add(MediaKind::Video, &tracks[1])];
        let (offer, pending) = changes.apply().context("nothing to offer")?;
        let answer = self.signalling.join(Joining { index, tracks, offer: offer.to_sdp_string() })?;
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;

        // Not all at the same moment.
        let offset = Duration::from_micros(index as u64 * 7_919 % 40_000);
        let [microphone, camera] =
            mids.map(|mid| Track { mid, payload_type: None, sequence: 1_000, next: now + offset });
        self.callers.push(Caller {
            rtc,
            socket,
            address,
            next: now,
            connected: false,
            ended: false,
            microphone,
            camera,
            picture: 0,
            is_key: true,
            pending: None,
            wanted: (0, 0),
            tally: Tally::default(),
        });
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(256);
        match self.poll.poll(&mut events, Some(Duration::from_millis(1))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            if let Some(caller) = self.callers.get_mut(event.token().0) {
                caller.receive(self.began)?;
            }
        }
        let now = Instant::now();
        while let Some((index, told)) = self.signalling.told() {
            let Some(caller) = self.callers.get_mut(index) else { continue };
            match told {
                Told::Answer(answer) => caller.accept(&answer)?,
                Told::Wanted(audio, video) => caller.wanted = (audio, video),
                Told::Ended(why) => bail!("caller {index}: {why}"),
            }
        }
        for (index, caller) in self.callers.iter_mut().enumerate() {
            if let Some(offer) = caller.offer() {
                self.signalling.offer(index, offer);
            }
            let wrote = caller.speak(now, self.began, &self.media);
            if wrote || caller.next <= now {
                caller.rtc.handle_input(Input::Timeout(now))?;
                caller.drain(self.began)?;
            }
        }
        Ok(())
    }
}

impl Caller {
    fn accept(&mut self, answer: &str) -> Result<()> {
        if let Some(pending) = self.pending.take() {
            self.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(answer)?)?;
        }
        Ok(())
    }

    /// The sections the server asked for, unless an answer is still awaited.
    fn offer(&mut self) -> Option<String> {
        if self.pending.is_some() || self.wanted == (0, 0) || !self.connected {
            return None;
        }
        let (audio, video) = std::mem::take(&mut self.wanted);
        let mut changes = self.rtc.sdp_api();
        for (kind, count) in [(MediaKind::Audio, audio), (MediaKind::Video, video)] {
            for _ in 0..count {
                changes.add_media(kind, Direction::RecvOnly, None, None, None);
            }
        }
        let (offer, pending) = changes.apply()?;
        self.pending = Some(pending);
        Some(offer.to_sdp_string())
    }

    fn receive(&mut self, began: Instant) -> Result<()> {
        let mut buffer = [0; 2_000];
        loop {
            let (len, source) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let Ok(contents) = buffer[..len].try_into() else { continue };
            let receive = Receive { proto: Protocol::Udp, source, destination: self.address, contents };
            self.rtc.handle_input(Input::Receive(Instant::now(), receive))?;
            self.drain(began)?;
        }
    }

    fn drain(&mut self, began: Instant) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    self.next = at;
                    return Ok(());
                }
                Output::Transmit(packet) => {
                    // What the kernel does not take is lost, as on any line.
                    let _ = self.socket.send_to(&packet.contents, packet.destination);
                }
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::IceConnectionStateChange(state)) => {
                    self.ended |= state == str0m::IceConnectionState::Disconnected;
                }
                Output::Event(Event::KeyframeRequest(_)) => self.is_key = true,
                Output::Event(Event::RtpPacket(packet)) => {
                    self.tally.received += 1;
                    self.tally.sounds_received += u64::from(packet.payload.len() == SOUND_BYTES);
                    self.tally.bytes += packet.payload.len() as u64;
                    if let Some(sent) = packet.payload.get(SENT_AT).and_then(|at| at.try_into().ok()) {
                        let us = micros(began).saturating_sub(u64::from_le_bytes(sent));
                        self.tally.delays.push(u32::try_from(us).unwrap_or(u32::MAX));
                    }
                }
                Output::Event(_) => {}
            }
        }
    }

    /// Sends what is due. Whether it was anything.
    fn speak(&mut self, now: Instant, began: Instant, media: &Media) -> bool {
        if !self.connected {
            (self.camera.next, self.microphone.next) =
                (self.camera.next.max(now), self.microphone.next.max(now));
            return false;
        }
        let mut wrote = false;
        while self.microphone.next <= now {
            self.microphone.next += Duration::from_secs_f64(1.0 / media.sounds_per_second);
            let payload = stamped(vec![0x78; SOUND_BYTES], began);
            self.send(now, MediaKind::Audio, (self.microphone.sequence + 1) * 960, true, payload);
            wrote = true;
        }
        while self.camera.next <= now {
            self.camera.next += Duration::from_secs_f64(1.0 / media.pictures_per_second);
            self.picture += 1;
            let is_key = std::mem::take(&mut self.is_key);
            for nth in 0..media.packets_per_picture {
                let mut payload = stamped(vec![0x55; media.payload_bytes], began);
                // The VP8 descriptor: whether a partition begins; then the picture's header, where it begins.
                payload[0] = if nth == 0 { 0x10 } else { 0 };
                payload[1] = if nth == 0 && is_key { 0 } else { 1 };
                let is_last = nth + 1 == media.packets_per_picture;
                self.send(now, MediaKind::Video, self.picture * 3_000, is_last, payload);
            }
            wrote = true;
        }
        wrote
    }

    fn send(&mut self, now: Instant, kind: MediaKind, timestamp: u64, is_last: bool, payload: Vec<u8>) {
        let is_video = kind == MediaKind::Video;
        let track = if is_video { &mut self.camera } else { &mut self.microphone };
        let first = || self.rtc.media(track.mid).and_then(|media| media.remote_pts().first().copied());
        let Some(payload_type) = track.payload_type.or_else(first) else { return };
        track.payload_type = Some(payload_type);
        track.sequence += 1;
        let (mid, sequence) = (track.mid, track.sequence);
        let packet = RtpWrite::new(payload_type, sequence.into(), timestamp as u32, now, payload);
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(mid, None) else { return };
        stream.write_rtp(packet.marker(is_last).nackable(is_video));
        self.tally.sent += 1;
        self.tally.sounds_sent += u64::from(!is_video);
    }
}

fn stamped(mut payload: Vec<u8>, began: Instant) -> Vec<u8> {
    payload[SENT_AT].copy_from_slice(&micros(began).to_le_bytes());
    payload
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
