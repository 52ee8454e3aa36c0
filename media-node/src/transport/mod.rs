//! Media transport: what carries a client's packets, behind one trait.
//!
//! [`Transport`] and [`Peer`] are sans-I/O: they own no socket and read no clock, so the event loop and the
//! tests do. ICE is not theirs either: the node is ICE-lite on a few UDP sockets and the TCP connections clients
//! make ([`links`]), and answers every connectivity check itself ([`stun`], [`addresses`]). A peer is handed only datagrams from an address that proved
//! knowledge of the session's password, so DTLS may start at once, a change of network is followed at the
//! client's next nomination, and no backend ever learns a client's address.

pub mod addresses;
pub mod candidates;
pub mod datagrams;
pub mod framing;
pub mod links;
pub mod rtc;
pub mod sdp;
mod streams;
pub mod stun;

use std::fmt;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use sdp::{Offer, Section};

/// Makes the media connections of one event loop.
pub trait Transport {
    /// One client's connection.
    type Peer: Peer;

    /// A connection that has not negotiated yet.
    ///
    /// # Errors
    /// When the backend cannot be set up.
    fn open(&mut self, now: Instant) -> Result<Self::Peer, TransportError>;
}

/// One client's media connection: DTLS, SRTP, SCTP.
pub trait Peer {
    /// Takes the client's offer and answers it, section by section, as `plan` says.
    ///
    /// # Errors
    /// When the offer is not acceptable; the connection is then of no further use.
    fn negotiate(
        &mut self,
        now: Instant,
        offer: &Offer,
        plan: &[Section],
    ) -> Result<Description, TransportError>;

    /// Offers the data channels of the protocol and, section by section, what `plan` says. A section is one
    /// that sends when it is first offered. With `restart`, ICE credentials are new.
    ///
    /// # Errors
    /// When no offer can be made; the connection is then of no further use.
    fn offer(&mut self, now: Instant, plan: &[Section], restart: bool)
    -> Result<Description, TransportError>;

    /// Takes the client's answer to the last offer.
    ///
    /// # Errors
    /// When the answer is not acceptable; the connection is then of no further use.
    fn accept(&mut self, now: Instant, answer: &Offer) -> Result<(), TransportError>;

    /// A datagram that is not STUN, from an address that is known to be the client's.
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]);

    /// Lets timers run.
    fn handle_timeout(&mut self, now: Instant);

    /// When [`Peer::handle_timeout`] should run next.
    fn poll_timeout(&mut self) -> Option<Instant>;

    /// The next datagram for the client. To be drained after every other call.
    fn poll_datagram(&mut self) -> Option<BytesMut>;

    /// The next thing that happened. To be drained after every other call.
    fn poll_event(&mut self, now: Instant) -> Option<PeerEvent>;

    /// Sends a packet on the section, whose sequence number continues the section's. `false` when it was not
    /// sent.
    fn send_media(&mut self, now: Instant, mid: Mid, packet: &MediaPacket) -> bool;

    /// Asks the client for a keyframe of a layer of what it publishes on the section.
    fn request_keyframe(&mut self, now: Instant, mid: Mid, layer: Layer);

    /// Sends once more what was just sent, so that the line shows whether it carries so much. Returns the bytes
    /// sent: none when the client takes no repeated packets, or nothing was sent yet.
    fn probe(&mut self, now: Instant, bytes: usize) -> usize;

    /// Sends a message on one of the client's data channels. `false` when it was not taken.
    fn send_data(&mut self, now: Instant, channel: Channel, message: &Bytes) -> bool;

    /// Tells the client that the connection ends.
    fn close(&mut self, now: Instant);
}

/// The node's answer or offer, and the credentials the client's connectivity checks will carry.
#[derive(Clone, Debug)]
pub struct Description {
    /// Session description for the client.
    pub sdp: String,
    /// ICE user name fragment of the node's side.
    pub ufrag: String,
    /// ICE password of the node's side.
    pub password: String,
}

/// What happened on a connection.
#[derive(Clone, Debug)]
pub enum PeerEvent {
    /// Keys are agreed: media and data can flow.
    Connected,
    /// The client closed the connection, or it failed.
    Closed,
    /// The first packet of a published track arrived.
    TrackStarted(Mid),
    /// Media from the client.
    Media(Mid, MediaPacket),
    /// The client cannot decode what it receives on the section.
    KeyframeWanted(Mid),
    /// What became of packets sent to the client, in the order they were sent.
    Fates(Vec<Fate>),
    /// A message on a data channel.
    Data(Channel, Bytes),
}

/// One RTP packet, free of everything that is negotiated for each connection (SSRC, payload type, extension
/// ids).
#[derive(Clone, Debug)]
pub struct MediaPacket {
    /// Which layer of its track it belongs to.
    pub layer: Layer,
    /// Codec of the payload.
    pub codec: Codec,
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// RTP marker.
    pub marker: bool,
    /// RFC 6464 audio level, as sent: voice activity bit and level in −dBov.
    pub audio_level: Option<u8>,
    /// 3GPP TS 26.114 coordination of video orientation, as sent.
    pub orientation: Option<u8>,
    /// Payload, which may be encrypted end to end.
    pub payload: Bytes,
}

/// Layer of a video track, from small to large. A track without layers is all [`Layer::High`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Layer {
    /// A quarter of the width; `q`.
    Low,
    /// Half the width; `h`.
    Medium,
    /// As captured; `f`.
    High,
}

impl Layer {
    /// From small to large.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// Place in [`Layer::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// RFC 8851 stream id LiveKit clients send it under.
    #[must_use]
    pub const fn rid(self) -> &'static str {
        match self {
            Self::Low => "q",
            Self::Medium => "h",
            Self::High => "f",
        }
    }
}

/// What became of one sent packet, as the client reported it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fate {
    /// When it was sent.
    pub sent: Instant,
    /// Size of the RTP packet.
    pub bytes: u32,
    /// When it arrived, on the client's clock; `None` when it did not.
    pub arrived: Option<Duration>,
}

/// Codecs the node forwards.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Codec {
    /// `audio/opus`
    Opus,
    /// `video/VP8`
    Vp8,
    /// `video/H264`, constrained baseline, packetization mode 1
    H264,
}

impl Codec {
    /// The codec a MIME type names.
    #[must_use]
    pub fn from_mime(mime: &str) -> Option<Self> {
        [Self::Opus, Self::Vp8, Self::H264].into_iter().find(|codec| codec.mime().eq_ignore_ascii_case(mime))
    }

    /// Ticks a second of RTP timestamps.
    #[must_use]
    pub const fn clock_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Vp8 | Self::H264 => 90_000,
        }
    }

    /// MIME type.
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Opus => "audio/opus",
            Self::Vp8 => "video/VP8",
            Self::H264 => "video/H264",
        }
    }
}

/// Audio or video.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures: camera or screen.
    Video,
}

/// The data channels of the LiveKit protocol, which routes by label.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Channel {
    /// `_reliable`: ordered, retransmitted.
    Reliable,
    /// `_lossy`: neither.
    Lossy,
}

impl Channel {
    /// The channel a label names.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Reliable, Self::Lossy].into_iter().find(|channel| channel.label() == label)
    }

    /// Label on the wire.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reliable => "_reliable",
            Self::Lossy => "_lossy",
        }
    }
}

/// Identification of a media section (RFC 8843 `mid`), short enough to copy: it keys every forwarded packet.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mid {
    bytes: [u8; Self::MAX_BYTES],
    len: u8,
}

impl Mid {
    /// Browsers use one to three bytes, which also is what RFC 8843 §15.1 advises.
    pub const MAX_BYTES: usize = 15;

    /// `None` when empty, too long, or not an RFC 4566 token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let mut bytes = [0; Self::MAX_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { bytes, len: u8::try_from(text.len()).ok()? })
    }

    /// As in the session description.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for Mid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Mid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A connection cannot do what was asked.
///
/// The causes name lines of session descriptions, which hold addresses: log them at debug level only.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The offer is not one the node can answer.
    #[error("offer is not acceptable")]
    Offer(#[from] sdp::OfferError),
    /// The backend refused.
    #[error("{operation}")]
    Backend {
        /// What was asked of it.
        operation: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mid_keeps_short_tokens_and_refuses_the_rest() {
        assert_eq!(Mid::parse("0").unwrap().as_str(), "0");
        assert_eq!(Mid::parse("audio-3").unwrap(), Mid::parse("audio-3").unwrap());
        for refused in ["", "with space", "0123456789abcdef", "é", "line\nbreak"] {
            assert!(Mid::parse(refused).is_none(), "{refused:?}");
        }
    }

    #[test]
    fn names_are_matched_as_the_protocol_writes_them() {
        assert_eq!(Codec::from_mime("video/vp8"), Some(Codec::Vp8));
        assert_eq!(Codec::from_mime("video/rtx"), None);
        assert_eq!(Channel::from_label("_lossy"), Some(Channel::Lossy));
        assert_eq!(Channel::from_label("chat"), None);
    }
}
