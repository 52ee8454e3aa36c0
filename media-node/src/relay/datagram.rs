//! What goes as datagrams: media packets, and what asks for lost ones.
//!
//! Media: number of the track and its layer (u32), then the RTP packet as it left the publisher, without SRTP (RFC 3550 §5.1), with
//! payload types and extension ids of our own (RFC 8285 §4.2). Numbers from [`RESERVED`] on are no tracks.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;

use super::messages::RoomData;
use crate::transport::{Codec, Layer, MediaPacket};

/// Packets asked for again in one datagram.
pub const MAX_LOST: usize = 64;

const RESERVED: u32 = 0xFFFF_FF00;
const LOST: u32 = RESERVED;
const DATA: u32 = RESERVED + 1;

const HEADER_BYTES: usize = 12;
const VERSION: u8 = 0x80;
const HAS_EXTENSION: u8 = 0x10;
const MARKER: u8 = 0x80;
/// RFC 8285 §4.2.
const ONE_BYTE_PROFILE: u16 = 0xBEDE;
const AUDIO_LEVEL: u8 = 1;
const ORIENTATION: u8 = 2;

/// A datagram of another node.
#[derive(Clone, Debug)]
pub enum Datagram {
    /// A packet of a layer, with its number.
    Media(u32, MediaPacket),
    /// Packets of a layer that did not arrive, by sequence number.
    Lost(u32, Vec<u16>),
    /// A lossy data packet.
    Data(RoomData),
}

/// Whether a number can stand for a track.
#[must_use]
pub const fn is_track(id: u32) -> bool {
    id < RESERVED >> 2
}

/// The number of a layer of a track.
#[must_use]
pub fn number(track: u32, layer: Layer) -> u32 {
    let layer = match layer {
        Layer::Low => 0,
        Layer::Medium => 1,
        Layer::High => 2,
    };
    track << 2 | layer
}

/// The track and the layer of a number. `None` when it stands for neither.
#[must_use]
pub fn track_and_layer(number: u32) -> Option<(u32, Layer)> {
    let layer = *Layer::ALL.get((number & 3) as usize)?;
    is_track(number >> 2).then_some((number >> 2, layer))
}

/// A media packet as a datagram.
#[must_use]
pub fn media(track: u32, packet: &MediaPacket) -> Bytes {
    let number = number(track, packet.layer);
    let extensions = [(AUDIO_LEVEL, packet.audio_level), (ORIENTATION, packet.orientation)];
    let has_extension = extensions.iter().any(|(_, value)| value.is_some());
    let mut out = BytesMut::with_capacity(4 + HEADER_BYTES + 8 + packet.payload.len());
    out.put_u32(number);
    out.put_u8(VERSION | if has_extension { HAS_EXTENSION } else { 0 });
    out.put_u8(payload_type(packet.codec) | if packet.marker { MARKER } else { 0 });
    out.put_u16(packet.sequence);
    out.put_u32(packet.timestamp);
    out.put_u32(number);
    if has_extension {
        out.put_u16(ONE_BYTE_PROFILE);
        out.put_u16(1);
        let end = out.len() + 4;
        for (id, value) in extensions {
            if let Some(value) = value {
                out.put_slice(&[id << 4, value]);
            }
        }
        out.resize(end, 0);
    }
    out.put_slice(&packet.payload);
    out.freeze()
}

/// Asks for packets of a layer again.
#[must_use]
pub fn lost(number: u32, sequences: &[u16]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + 2 * sequences.len());
    out.put_u32(LOST);
    out.put_u32(number);
    for sequence in sequences.iter().take(MAX_LOST) {
        out.put_u16(*sequence);
    }
    out.freeze()
}

/// A lossy data packet as a datagram.
#[must_use]
pub fn data(packet: &RoomData) -> Bytes {
    let mut out = BytesMut::with_capacity(4 + packet.encoded_len());
    out.put_u32(DATA);
    out.put_slice(&packet.encode_to_vec());
    out.freeze()
}

/// Reads a datagram. `None` when it is none of ours.
#[must_use]
pub fn parse(datagram: &Bytes) -> Option<Datagram> {
    let number = u32_at(datagram, 0)?;
    match number {
        LOST => {
            let asked = datagram.get(8..)?.chunks_exact(2).take(MAX_LOST);
            let sequences = asked.map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]])).collect();
            Some(Datagram::Lost(u32_at(datagram, 4)?, sequences))
        }
        DATA => RoomData::decode(datagram.get(4..)?).ok().map(Datagram::Data),
        _ => {
            let (_, layer) = track_and_layer(number)?;
            Some(Datagram::Media(number, rtp(layer, &datagram.slice(4..))?))
        }
    }
}

fn rtp(layer: Layer, packet: &Bytes) -> Option<MediaPacket> {
    let [first, second] = *packet.get(..2)?.first_chunk()?;
    // Neither padding nor contributing sources: a node sends none.
    if packet.len() < HEADER_BYTES || first & !HAS_EXTENSION != VERSION {
        return None;
    }
    let (mut start, mut audio_level, mut orientation) = (HEADER_BYTES, None, None);
    if first & HAS_EXTENSION != 0 {
        let words = usize::from(u16_at(packet, HEADER_BYTES + 2)?);
        start = HEADER_BYTES + 4 + 4 * words;
        let mut elements = packet.get(HEADER_BYTES + 4..start)?;
        if u16_at(packet, HEADER_BYTES)? != ONE_BYTE_PROFILE {
            return None;
        }
        while let Some((head, rest)) = elements.split_first() {
            if *head == 0 {
                elements = rest;
                continue;
            }
            let (value, rest) = rest.split_at_checked(usize::from(head & 0x0F) + 1)?;
            match head >> 4 {
                AUDIO_LEVEL => audio_level = value.first().copied(),
                ORIENTATION => orientation = value.first().copied(),
                _ => {}
            }
            elements = rest;
        }
    }
    Some(MediaPacket {
        layer,
        codec: codec(second & !MARKER)?,
        sequence: u16_at(packet, 2)?,
        timestamp: u32_at(packet, 4)?,
        marker: second & MARKER != 0,
        audio_level,
        orientation,
        payload: packet.slice(start..),
    })
}

const fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::Opus => 111,
        Codec::Vp8 => 96,
        Codec::H264 => 108,
    }
}

fn codec(number: u8) -> Option<Codec> {
    [Codec::Opus, Codec::Vp8, Codec::H264].into_iter().find(|codec| payload_type(*codec) == number)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> MediaPacket {
        MediaPacket {
            layer: Layer::Medium,
            codec: Codec::Vp8,
            sequence: 65_535,
            timestamp: 0xDEAD_BEEF,
            marker: true,
            audio_level: None,
            orientation: None,
            payload: Bytes::from_static(b"opaque"),
        }
    }

    fn read(datagram: &Bytes) -> Option<(u32, MediaPacket)> {
        match parse(datagram)? {
            Datagram::Media(track, packet) => Some((track, packet)),
            _ => None,
        }
    }

    #[test]
    fn packets_come_out_as_they_went_in() {
        for (audio_level, orientation) in
            [(None, None), (Some(0), None), (None, Some(3)), (Some(0x9F), Some(1))]
        {
            let sent = MediaPacket { audio_level, orientation, ..packet() };
            let (track, seen) = read(&media(7, &sent)).unwrap();
            assert_eq!(format!("{sent:?}"), format!("{seen:?}"));
            assert_eq!(track_and_layer(track), Some((7, Layer::Medium)));
        }
    }

    #[test]
    fn another_implementation_reads_the_packet() {
        use ::rtc::shared::marshal::Unmarshal as _;
        let sent = MediaPacket { audio_level: Some(0x85), ..packet() };
        let datagram = media(7, &sent);
        let read = ::rtc::rtp::Packet::unmarshal(&mut &datagram[4..]).unwrap();
        let header = &read.header;
        assert_eq!((header.sequence_number, header.timestamp), (65_535, 0xDEAD_BEEF));
        assert_eq!((header.marker, header.payload_type, header.ssrc), (true, 96, 29));
        assert_eq!(header.get_extension(AUDIO_LEVEL).as_deref(), Some(&[0x85][..]));
        assert_eq!(&read.payload[..], b"opaque");
    }

    #[test]
    fn what_was_lost_is_named_within_bounds() {
        let sequences: Vec<u16> = (0..100).collect();
        let Some(Datagram::Lost(9, read)) = parse(&lost(9, &sequences)) else { panic!() };
        assert_eq!(read, sequences[..MAX_LOST]);
        let mut long = BytesMut::from(&lost(9, &[])[..]);
        long.resize(8 + 400, 0);
        let Some(Datagram::Lost(9, read)) = parse(&long.freeze()) else { panic!() };
        assert_eq!(read.len(), MAX_LOST, "also when asked for more");
    }

    #[test]
    fn malformed_datagrams_are_nothing() {
        let good = media(7, &MediaPacket { audio_level: Some(1), ..packet() });
        for length in 0..4 + HEADER_BYTES + 8 {
            assert!(parse(&good.slice(..length)).is_none(), "cut to {length}");
        }
        for (at, byte) in [(4, 0x40), (4, 0x81), (4, 0xA0), (5, 1), (16, 0), (19, 200)] {
            let mut bad = good.to_vec();
            bad[at] = byte;
            assert!(parse(&bad.into()).is_none(), "byte {at} is {byte}");
        }
        assert!(parse(&Bytes::from_static(&[0xFF; 40])).is_none(), "a number nobody gives");
    }
}
