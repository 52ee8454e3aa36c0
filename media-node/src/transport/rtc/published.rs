//! What arrives: which section, layer and codec an SSRC stands for.

use std::collections::HashMap;

use ::rtc::peer_connection::RTCPeerConnection;
use ::rtc::rtp;
use bytes::Buf as _;

use super::engine::{self, Extensions};
use super::feedback::Stream;
use super::layers::{Layers, Place};
use crate::transport::sdp::{self, AnnouncedStream, Offer};
use crate::transport::{Codec, Layer, MediaKind, MediaPacket, Mid};

/// SSRCs one section may bring: three layers and their repair, others after a client restarts its encoder.
const MAX_SSRCS_PER_SECTION: usize = 16;

/// Streams of one client.
#[derive(Default)]
pub(super) struct Published {
    streams: HashMap<u32, Place>,
    sections: HashMap<Mid, Section>,
    announced: Vec<AnnouncedStream>,
}

/// What was negotiated for a section.
struct Section {
    kind: MediaKind,
    codecs: Vec<(u8, Codec)>,
    /// Payload types of media and of their repair.
    repair: Vec<(u8, u8)>,
    extensions: Extensions,
}

/// The first packet of a stream arrived.
pub(super) struct Begun {
    pub(super) mid: Mid,
    /// `None` for a repair stream.
    pub(super) stream: Option<Stream>,
}

impl Published {
    /// The client's offer was answered.
    pub(super) fn negotiated(&mut self, connection: &mut RTCPeerConnection, offer: &Offer) {
        self.announced = sdp::announced_streams(&offer.sdp);
        self.sections.clear();
        for id in connection.get_transceivers().collect::<Vec<_>>() {
            let Some(transceiver) = connection.rtp_transceiver(id) else { continue };
            let mid = transceiver.mid().as_deref().and_then(Mid::parse);
            let (Some(mid), Some(receiver)) = (mid, transceiver.receiver()) else { continue };
            let offered = offer.sections.iter().find(|section| section.mid == mid);
            let Some(kind) = offered.and_then(|section| section.kind) else { continue };
            let Some(mut receiver) = connection.rtp_receiver(receiver) else { continue };
            let parameters = &receiver.get_parameters().rtp_parameters;
            let codecs = parameters.codecs.iter();
            let codecs = codecs
                .filter_map(|codec| Some((codec.payload_type, Codec::from_mime(&codec.rtp_codec.mime_type)?)))
                .collect();
            let repair = engine::repair_payload_types(&parameters.codecs);
            let extensions = Extensions::of(&parameters.header_extensions);
            self.sections.insert(mid, Section { kind, codecs, repair, extensions });
        }
        let Self { streams, sections, .. } = self;
        streams.retain(|_, place| sections.contains_key(&place.mid));
    }

    /// The section is not published on any more. Returns the SSRCs it had.
    pub(super) fn close(&mut self, mid: Mid) -> Vec<u32> {
        let gone = self.streams.extract_if(|_, place| place.mid == mid);
        gone.map(|(ssrc, _)| ssrc).collect()
    }

    /// SSRCs of a layer.
    pub(super) fn of_layer(&self, mid: Mid, layer: Layer) -> impl Iterator<Item = u32> {
        let is_it = move |place: &Place| place.mid == mid && place.layer == layer && place.repairs.is_none();
        self.streams.iter().filter(move |(_, place)| is_it(place)).map(|(ssrc, _)| *ssrc)
    }

    /// Finds out where a stream belongs that was not seen before. `None` when it was, or belongs nowhere.
    pub(super) fn begin(&mut self, layers: &mut Layers, header: &rtp::Header) -> Option<Begun> {
        if self.streams.contains_key(&header.ssrc) {
            return None;
        }
        let place = layers.find(header).or_else(|| self.place(layers, header))?;
        let section = self.sections.get(&place.mid)?;
        let of_section = self.streams.values().filter(|other| other.mid == place.mid).count();
        if of_section >= MAX_SSRCS_PER_SECTION {
            return None;
        }
        let codec = section.codecs.iter().find(|(payload_type, _)| *payload_type == header.payload_type);
        if place.repairs.is_none() && codec.is_none() {
            return None;
        }
        self.streams.insert(header.ssrc, place);
        let stream = codec.filter(|_| place.repairs.is_none()).map(|(_, codec)| Stream {
            ssrc: header.ssrc,
            kind: section.kind,
            clock_hz: codec.clock_hz(),
            number: section.extensions.transport_number,
        });
        Some(Begun { mid: place.mid, stream })
    }

    /// A packet that repeats another becomes that (RFC 4588 §4). `None` when there is nothing in it.
    pub(super) fn original(&self, mut packet: rtp::Packet) -> Option<rtp::Packet> {
        let Some(Place { mid, repairs: Some(repairs), .. }) = self.streams.get(&packet.header.ssrc) else {
            return Some(packet);
        };
        let repair = &self.sections.get(mid)?.repair;
        let (payload_type, _) = repair.iter().find(|(_, repair)| *repair == packet.header.payload_type)?;
        if packet.payload.len() < 2 {
            return None;
        }
        packet.header.sequence_number = packet.payload.get_u16();
        (packet.header.ssrc, packet.header.payload_type) = (*repairs, *payload_type);
        Some(packet)
    }

    /// The section and the packet, free of what was negotiated.
    pub(super) fn packet(&self, packet: rtp::Packet) -> Option<(Mid, MediaPacket)> {
        let place = self.streams.get(&packet.header.ssrc)?;
        let section = self.sections.get(&place.mid)?;
        let is_it = |(payload_type, _): &&(u8, Codec)| *payload_type == packet.header.payload_type;
        let (_, codec) = section.codecs.iter().find(is_it)?;
        // One byte each (RFC 8285 §4.2).
        let extension = |id: Option<u8>| packet.header.get_extension(id?)?.first().copied();
        let media = MediaPacket {
            layer: place.layer,
            codec: *codec,
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            audio_level: extension(section.extensions.audio_level),
            orientation: extension(section.extensions.orientation),
            payload: packet.payload,
        };
        Some((place.mid, media))
    }

    /// By what the offer said of SSRCs, else by the section that the packet names.
    fn place(&self, layers: &Layers, header: &rtp::Header) -> Option<Place> {
        let announced = self.announced.iter().find(|stream| stream.ssrc == header.ssrc);
        if let Some(AnnouncedStream { mid, repairs, .. }) = announced {
            return Some(Place { mid: *mid, layer: Layer::High, repairs: *repairs });
        }
        // A layer that names only its section is not to be taken for the best.
        let mid = layers.section(header).filter(|mid| !layers.has(*mid))?;
        let section = self.sections.get(&mid)?;
        let is_repair = section.repair.iter().any(|(_, repair)| *repair == header.payload_type);
        let repairs = if is_repair { Some(self.of_layer(mid, Layer::High).next()?) } else { None };
        Some(Place { mid, layer: Layer::High, repairs })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const OFFER: &str = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\nm=video 9 X 96 97\r\na=mid:v\r\na=sendonly\r\n\
        a=ssrc-group:FID 1 2\r\na=ssrc:1 cname:x\r\na=ssrc:2 cname:x\r\n\
        a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";

    fn mid() -> Mid {
        Mid::parse("v").unwrap()
    }

    fn published() -> (Published, Layers) {
        let (offer, mut layers) = (Offer::parse(OFFER).unwrap(), Layers::default());
        layers.take(&offer).unwrap();
        let section = Section {
            kind: MediaKind::Video,
            codecs: vec![(96, Codec::Vp8)],
            repair: vec![(96, 97)],
            extensions: Extensions::default(),
        };
        let announced = sdp::announced_streams(&offer.sdp);
        (
            Published { streams: HashMap::new(), sections: HashMap::from([(mid(), section)]), announced },
            layers,
        )
    }

    fn packet(ssrc: u32, payload_type: u8, named: bool, payload: &'static [u8]) -> rtp::Packet {
        let mut header =
            rtp::Header { version: 2, ssrc, payload_type, sequence_number: 500, ..Default::default() };
        if named {
            header.set_extension(4, Bytes::from_static(b"v")).unwrap();
        }
        rtp::Packet { header, payload: Bytes::from_static(payload) }
    }

    #[test]
    fn announced_and_named_streams_are_placed_and_others_are_not() {
        let (mut published, mut layers) = published();
        let mut begin = |packet: rtp::Packet| published.begin(&mut layers, &packet.header);
        assert!(begin(packet(1, 120, false, b"")).is_none(), "no such codec");
        assert!(begin(packet(1, 96, false, b"")).unwrap().stream.is_some());
        assert!(begin(packet(1, 96, false, b"")).is_none(), "known");
        assert!(begin(packet(2, 97, false, b"")).unwrap().stream.is_none(), "repair");
        assert!(begin(packet(3, 96, false, b"")).is_none(), "nobody's");
        assert!(begin(packet(3, 96, true, b"")).is_some());
        let more = (10..100).filter(|ssrc| begin(packet(*ssrc, 96, true, b"")).is_some()).count();
        assert_eq!(more, MAX_SSRCS_PER_SECTION - 3);
        let mut of_layer: Vec<u32> = published.of_layer(mid(), Layer::High).take(20).collect();
        of_layer.sort_unstable();
        assert_eq!(of_layer[..2], [1, 3], "a keyframe is asked for of no repair stream");
        assert_eq!(published.close(mid()).len(), MAX_SSRCS_PER_SECTION);
    }

    #[test]
    fn a_repetition_becomes_what_it_repeats() {
        let (mut published, mut layers) = published();
        for (ssrc, payload_type) in [(1, 96), (2, 97)] {
            published.begin(&mut layers, &packet(ssrc, payload_type, false, b"").header).unwrap();
        }
        let original = published.original(packet(2, 97, false, &[1, 2, 9])).unwrap();
        let (of, media) = published.packet(original).unwrap();
        assert_eq!((of, media.sequence, &media.payload[..]), (mid(), 258, &[9][..]));
        assert!(published.original(packet(2, 97, false, &[])).is_none(), "only padding");
        assert!(published.original(packet(2, 96, false, &[1, 2, 9])).is_none(), "not a repetition");
        let plain = packet(1, 96, false, &[7]);
        assert_eq!(published.original(plain.clone()), Some(plain));
    }
}
