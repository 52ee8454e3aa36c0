//! What arrives: which section and codec an SSRC stands for.

use std::collections::HashMap;

use ::rtc::peer_connection::RTCPeerConnection;
use ::rtc::rtp;
use ::rtc::rtp_transceiver::RTCRtpReceiverId;

use super::engine::Extensions;
use super::layers::Layers;
use crate::transport::{Codec, Layer, MediaPacket, Mid};

/// SSRCs one section may bring: three layers, others after a client restarts its encoder.
const MAX_SSRCS_PER_SECTION: usize = 16;

/// Streams of one client, by SSRC.
#[derive(Default)]
pub(super) struct Published(HashMap<u32, Stream>);

struct Stream {
    mid: Mid,
    layer: Layer,
    receiver: RTCRtpReceiverId,
    codecs: Vec<(u8, Codec)>,
    extensions: Extensions,
}

impl Published {
    /// The first packet of an SSRC arrived, or the first after a negotiation. Returns the section if the SSRC
    /// is new.
    pub(super) fn open(
        &mut self,
        connection: &mut RTCPeerConnection,
        layers: &Layers,
        receiver: RTCRtpReceiverId,
        ssrc: u32,
    ) -> Option<Mid> {
        let transceivers = connection.get_transceivers().collect::<Vec<_>>();
        let mid = transceivers.into_iter().find_map(|id| {
            let transceiver = connection.rtp_transceiver(id)?;
            let is_it = transceiver.receiver() == Some(receiver);
            is_it.then(|| transceiver.mid().as_deref().and_then(Mid::parse)).flatten()
        })?;
        let (mid, layer) = layers.place(mid);
        let mut handle = connection.rtp_receiver(receiver)?;
        let parameters = &handle.get_parameters().rtp_parameters;
        let codecs = parameters.codecs.iter();
        let codecs = codecs
            .filter_map(|codec| Some((codec.payload_type, Codec::from_mime(&codec.rtp_codec.mime_type)?)))
            .collect();
        let extensions = Extensions::of(&parameters.header_extensions);
        // A section has several: media and its repair, and others after a client restarts its encoder.
        let of_section = self.0.values().filter(|stream| stream.mid == mid).count();
        if of_section >= MAX_SSRCS_PER_SECTION && !self.0.contains_key(&ssrc) {
            return None;
        }
        self.0.insert(ssrc, Stream { mid, layer, receiver, codecs, extensions }).is_none().then_some(mid)
    }

    /// The section is not published on any more.
    pub(super) fn close(&mut self, mid: Mid) {
        self.0.retain(|_, stream| stream.mid != mid);
    }

    /// Receivers and SSRCs of a layer.
    pub(super) fn of_layer(&self, mid: Mid, layer: Layer) -> impl Iterator<Item = (RTCRtpReceiverId, u32)> {
        let streams = self.0.iter().filter(move |(_, stream)| stream.mid == mid && stream.layer == layer);
        streams.map(|(ssrc, stream)| (stream.receiver, *ssrc))
    }

    /// The section and the packet, free of what was negotiated.
    pub(super) fn packet(&self, packet: rtp::Packet) -> Option<(Mid, MediaPacket)> {
        let stream = self.0.get(&packet.header.ssrc)?;
        let is_it = |(payload_type, _): &&(u8, Codec)| *payload_type == packet.header.payload_type;
        let (_, codec) = stream.codecs.iter().find(is_it)?;
        // One byte each (RFC 8285 §4.2).
        let extension = |id: Option<u8>| packet.header.get_extension(id?)?.first().copied();
        let media = MediaPacket {
            layer: stream.layer,
            codec: *codec,
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            audio_level: extension(stream.extensions.audio_level),
            orientation: extension(stream.extensions.orientation),
            payload: packet.payload,
        };
        Some((stream.mid, media))
    }
}
