//! Good messages, to be damaged.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Request;

use crate::transport::stun::{IntegrityKey, nomination};

/// Of the session in every target.
pub(super) const UFRAG: &str = "node";
pub(super) const PASSWORD: &str = "passwordpasswordpassword";

/// As Chromium offers it, cut down: data channels, a section to receive, one to send, one with layers.
pub(super) fn offer() -> String {
    let fingerprint = ["AB"; 32].join(":");
    let common = format!(
        "c=IN IP4 0.0.0.0\r\na=ice-ufrag:clnt\r\na=ice-pwd:{PASSWORD}\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n"
    );
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2 3\r\na=extmap-allow-mixed\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{common}a=mid:0\r\na=sctp-port:5000\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{common}a=mid:1\r\na=recvonly\r\na=rtcp-mux\r\n\
         a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n\
         a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\n{common}a=mid:2\r\na=sendonly\r\na=rtcp-mux\r\na=msid:- cam\r\n\
         a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=ssrc:1234 cname:x\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\n{common}a=mid:3\r\na=sendonly\r\na=rtcp-mux\r\na=msid:- screen\r\n\
         a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
         a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
         a=rtpmap:96 VP8/90000\r\na=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n"
    )
}

/// Checks, of a client and of strangers.
pub(super) fn checks() -> Vec<Vec<u8>> {
    let check = |transaction: u8, ufrag: &str, password: &str| {
        nomination([transaction; 12], &format!("{ufrag}:clnt"), &IntegrityKey::new(password))
    };
    vec![check(1, UFRAG, PASSWORD), check(2, UFRAG, "guess"), check(3, "other", "of another session")]
}

/// What comes on the media port besides checks (RFC 7983): DTLS, RTP with extensions, RTCP.
pub(super) fn media() -> Vec<Vec<u8>> {
    let rtp = |first: u8, more: &[u8]| {
        let fixed = [first, 96, 0, 1, 0, 0, 0, 1, 0, 0, 4, 210];
        [&fixed, more, &[0x90, 0x80, 0x80, 0x01, 0x9D, 0x01, 0x2A][..]].concat()
    };
    let hello = [
        &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 54, 1, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 42, 254, 253][..],
        &[7; 32],
        &[0, 0, 0, 2, 0xC0, 0x2B, 1, 0],
    ]
    .concat();
    vec![
        hello,
        rtp(0x80, &[]),
        rtp(0x90, &[0xBE, 0xDE, 0, 2, 0x40, b'3', 0xA0, b'f', 0, 0, 0, 0]),
        rtp(0x90, &[0x10, 0, 0, 1, 4, 1, b'3', 0]),
        rtp(0x82, &[0, 0, 0, 1, 0, 0, 0, 2]),
        vec![0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 4, 210, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 4, 210],
        vec![0x8F, 205, 0, 5, 0, 0, 0, 1, 0, 0, 4, 210, 0, 1, 0, 4, 0, 0, 1, 0, 0x20, 4, 0, 0],
    ]
}

/// A client's requests, one of each kind that carries something.
pub(super) fn requests() -> Vec<Vec<u8>> {
    let text = || "text".to_owned();
    let all = [
        Request::Offer(proto::SessionDescription {
            r#type: "offer".into(),
            sdp: offer(),
            id: 1,
            ..Default::default()
        }),
        Request::Answer(proto::SessionDescription {
            r#type: "answer".into(),
            sdp: offer(),
            ..Default::default()
        }),
        Request::Trickle(proto::TrickleRequest { candidate_init: text(), ..Default::default() }),
        Request::AddTrack(proto::AddTrackRequest {
            cid: "cam".into(),
            r#type: proto::TrackType::Video.into(),
            source: proto::TrackSource::Camera.into(),
            layers: vec![proto::VideoLayer { width: 640, height: 360, ..Default::default() }],
            ..Default::default()
        }),
        Request::Mute(proto::MuteTrackRequest { sid: text(), muted: true }),
        Request::Subscription(proto::UpdateSubscription {
            track_sids: vec![text()],
            subscribe: true,
            ..Default::default()
        }),
        Request::TrackSetting(proto::UpdateTrackSettings {
            track_sids: vec![text()],
            width: u32::MAX,
            ..Default::default()
        }),
        Request::Leave(proto::LeaveRequest::default()),
        Request::UpdateMetadata(proto::UpdateParticipantMetadata {
            metadata: text(),
            attributes: [(text(), text())].into(),
            ..Default::default()
        }),
        Request::SyncState(proto::SyncState::default()),
        Request::Simulate(proto::SimulateScenario::default()),
        Request::PingReq(proto::Ping { timestamp: i64::MAX, rtt: i64::MIN }),
        Request::Ping(i64::MIN),
    ];
    all.map(|message| proto::SignalRequest { message: Some(message) }.encode_to_vec()).into()
}

/// Join requests in each of their wrappings.
pub(super) fn join_requests() -> Vec<Vec<u8>> {
    let request = proto::JoinRequest {
        participant_sid: "PA_1".into(),
        publisher_offer: Some(proto::SessionDescription { sdp: offer(), ..Default::default() }),
        ..Default::default()
    };
    let plain = request.encode_to_vec();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&plain).unwrap();
    let wrapped = [(0, plain), (1, gzip.finish().unwrap())].map(|(compression, join_request)| {
        let wrapped = proto::WrappedJoinRequest { compression, join_request };
        URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec()).into_bytes()
    });
    wrapped.into()
}

/// Data packets of a client.
pub(super) fn data() -> Vec<Vec<u8>> {
    use proto::data_packet::Value;
    let packet = |value| proto::DataPacket {
        value: Some(value),
        destination_identities: vec!["b".into()],
        sequence: 1,
        ..Default::default()
    };
    let user = proto::UserPacket { payload: vec![7; 20], topic: Some("t".into()), ..Default::default() };
    vec![
        packet(Value::User(user)).encode_to_vec(),
        packet(Value::EncryptedPacket(proto::EncryptedPacket::default())).encode_to_vec(),
        proto::DataPacket::default().encode_to_vec(),
    ]
}
