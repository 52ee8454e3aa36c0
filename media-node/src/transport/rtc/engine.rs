//! Codecs, header extensions and RTCP of every connection.
//!
//! Only what the node forwards is registered: the backend's default codecs answer Chromium with a payload
//! type twice.

use ::rtc::interceptor::Registry;
use ::rtc::peer_connection::configuration::interceptor_registry::{
    configure_simulcast_extension_headers, configure_twcc_receiver_only,
};
use ::rtc::peer_connection::configuration::media_engine::{MIME_TYPE_RTX, MediaEngine};
use ::rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability,
    RTCRtpHeaderExtensionParameters, RtpCodecKind,
};
use ::rtc::sdp::extmap::TRANSPORT_CC_URI;
use ::rtc::shared::error::Result;

use crate::transport::{Codec, MediaKind};

/// RFC 6464: stays readable under end-to-end encryption, so active speakers can be told.
const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/// 3GPP TS 26.114: how a phone is held.
const ORIENTATION_URI: &str = "urn:3gpp:video-orientation";

const VIDEO_CLOCK_HZ: u32 = 90_000;

/// Negotiated ids of the header extensions that are passed on.
#[derive(Clone, Copy, Default)]
pub(super) struct Extensions {
    /// [`AUDIO_LEVEL_URI`]
    pub(super) audio_level: Option<u8>,
    /// [`ORIENTATION_URI`]
    pub(super) orientation: Option<u8>,
    /// [`TRANSPORT_CC_URI`]
    pub(super) transport_number: Option<u8>,
}

impl Extensions {
    /// Finds them among all that were negotiated.
    pub(super) fn of(negotiated: &[RTCRtpHeaderExtensionParameters]) -> Self {
        let id = |uri: &str| negotiated.iter().find(|e| e.uri == uri).and_then(|e| u8::try_from(e.id).ok());
        Self {
            audio_level: id(AUDIO_LEVEL_URI),
            orientation: id(ORIENTATION_URI),
            transport_number: id(TRANSPORT_CC_URI),
        }
    }
}

/// What a connection negotiates with.
pub(super) fn media() -> Result<MediaEngine> {
    let mut engine = MediaEngine::default();
    register_codecs(&mut engine)?;
    for (uri, kind) in [(AUDIO_LEVEL_URI, RtpCodecKind::Audio), (ORIENTATION_URI, RtpCodecKind::Video)] {
        let extension = RTCRtpHeaderExtensionCapability { uri: uri.to_owned() };
        engine.register_header_extension(extension, kind, None)?;
    }
    configure_simulcast_extension_headers(&mut engine)?;
    // Only for what it negotiates: no media passes the backend's interceptors.
    configure_twcc_receiver_only(Registry::new(), &mut engine)?;
    Ok(engine)
}

/// The codec a track is described with before the client has chosen one.
pub(super) fn default_codec(kind: MediaKind) -> RTCRtpCodec {
    match kind {
        MediaKind::Audio => codec(Codec::Opus.mime(), 48_000, 2, "", &[]),
        MediaKind::Video => codec(Codec::Vp8.mime(), VIDEO_CLOCK_HZ, 0, "", &[]),
    }
}

/// Payload types of media and of their repair (RFC 4588 §8.1: `apt`).
pub(super) fn repair_payload_types(codecs: &[RTCRtpCodecParameters]) -> Vec<(u8, u8)> {
    let is_repair =
        |codec: &&RTCRtpCodecParameters| codec.rtp_codec.mime_type.eq_ignore_ascii_case(MIME_TYPE_RTX);
    let associated = |codec: &RTCRtpCodecParameters| {
        let parameters = codec.rtp_codec.sdp_fmtp_line.split(';');
        let mut apt = parameters.filter_map(|parameter| parameter.trim().strip_prefix("apt="));
        Some((apt.next()?.parse().ok()?, codec.payload_type))
    };
    codecs.iter().filter(is_repair).filter_map(associated).collect()
}

/// The backend's name for a kind.
pub(super) fn codec_kind(kind: MediaKind) -> RtpCodecKind {
    match kind {
        MediaKind::Audio => RtpCodecKind::Audio,
        MediaKind::Video => RtpCodecKind::Video,
    }
}

fn register_codecs(engine: &mut MediaEngine) -> Result<()> {
    const H264: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
    let feedback = [("ccm", "fir"), ("nack", ""), ("nack", "pli")];
    let opus = codec(Codec::Opus.mime(), 48_000, 2, "minptime=10;useinbandfec=1", &[]);
    engine
        .register_codec(RTCRtpCodecParameters { rtp_codec: opus, payload_type: 111 }, RtpCodecKind::Audio)?;
    for (payload_type, mime, fmtp) in [(96, Codec::Vp8.mime(), ""), (108, Codec::H264.mime(), H264)] {
        let video = codec(mime, VIDEO_CLOCK_HZ, 0, fmtp, &feedback);
        let repair = codec(MIME_TYPE_RTX, VIDEO_CLOCK_HZ, 0, &format!("apt={payload_type}"), &[]);
        for (rtp_codec, payload_type) in [(video, payload_type), (repair, payload_type + 1)] {
            engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, RtpCodecKind::Video)?;
        }
    }
    Ok(())
}

fn codec(mime: &str, clock_rate: u32, channels: u16, fmtp: &str, feedback: &[(&str, &str)]) -> RTCRtpCodec {
    let feedback = feedback
        .iter()
        .map(|(typ, parameter)| RTCPFeedback { typ: (*typ).to_owned(), parameter: (*parameter).to_owned() });
    RTCRtpCodec {
        mime_type: mime.to_owned(),
        clock_rate,
        channels,
        sdp_fmtp_line: fmtp.to_owned(),
        rtcp_feedback: feedback.collect(),
    }
}
