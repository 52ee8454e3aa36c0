//! What the node says in the LiveKit protocol.

use std::time::Duration;

use livekit_protocol as proto;
use proto::leave_request::Action as LeaveAction;
use proto::request_response::Reason;
pub use proto::signal_response::Message;

use super::Signalling;
use super::ids::{ParticipantSid, TrackSid};
use crate::transport::{Codec, Layer};

/// Protocol version the node speaks; SDKs choose what to use by it.
const PROTOCOL_VERSION: i32 = 17;

/// SDKs compare this with versions of LiveKit's own server to know what it can do.
const SERVER_VERSION: &str = "1.13.0";

/// Clients send a ping this often…
const PING_INTERVAL_SECONDS: i32 = 5;

/// …and reconnect without an answer for this long.
const PING_TIMEOUT_SECONDS: i32 = 15;

/// Describes the node.
#[must_use]
pub(super) fn server_info(region: &str) -> proto::ServerInfo {
    proto::ServerInfo {
        version: SERVER_VERSION.to_owned(),
        protocol: PROTOCOL_VERSION,
        region: region.to_owned(),
        ..proto::ServerInfo::default()
    }
}

/// First message to somebody who joined.
#[must_use]
pub(super) fn joined(
    region: &str,
    room: proto::Room,
    participant: proto::ParticipantInfo,
    others: Vec<proto::ParticipantInfo>,
    signalling: Signalling,
) -> Message {
    Message::Join(proto::JoinResponse {
        room: Some(room),
        participant: Some(participant),
        other_participants: others,
        server_version: SERVER_VERSION.to_owned(),
        server_region: region.to_owned(),
        server_info: Some(server_info(region)),
        ping_interval: PING_INTERVAL_SECONDS,
        ping_timeout: PING_TIMEOUT_SECONDS,
        enabled_publish_codecs: codecs(&[Codec::Opus, Codec::Vp8, Codec::H264]),
        fast_publish: true,
        subscriber_primary: signalling == Signalling::V0,
        ..proto::JoinResponse::default()
    })
}

/// First message to somebody who came back with a new socket.
#[must_use]
pub(super) fn resumed(region: &str, last_message_seq: u32) -> Message {
    Message::Reconnect(proto::ReconnectResponse {
        server_info: Some(server_info(region)),
        last_message_seq,
        ..proto::ReconnectResponse::default()
    })
}

/// Last message on a socket.
#[must_use]
pub(super) fn leave(action: LeaveAction, reason: proto::DisconnectReason) -> Message {
    Message::Leave(proto::LeaveRequest {
        can_reconnect: action != LeaveAction::Disconnect,
        reason: reason.into(),
        action: action.into(),
        ..proto::LeaveRequest::default()
    })
}

/// What the client is to receive, on the connection the node offers.
#[must_use]
pub(super) fn offer(id: u32, sdp: String) -> Message {
    Message::Offer(proto::SessionDescription {
        r#type: "offer".to_owned(),
        sdp,
        id,
        ..proto::SessionDescription::default()
    })
}

/// News of participants.
#[must_use]
pub(super) fn update(participants: Vec<proto::ParticipantInfo>) -> Message {
    Message::Update(proto::ParticipantUpdate { participants })
}

/// The line carries a track's picture no more, or again.
#[must_use]
pub(super) fn stream_state(participant: &ParticipantSid, track: &TrackSid, is_paused: bool) -> Message {
    let state = if is_paused { proto::StreamState::Paused } else { proto::StreamState::Active };
    Message::StreamStateUpdate(proto::StreamStateUpdate {
        stream_states: vec![proto::StreamStateInfo {
            participant_sid: participant.to_string(),
            track_sid: track.to_string(),
            state: state.into(),
        }],
    })
}

/// Which layers of a track somebody wants: all up to `most`.
#[must_use]
pub(super) fn wanted_layers(track: &TrackSid, codec: &str, most: Option<Layer>) -> Message {
    let qualities = [
        (proto::VideoQuality::Low, Layer::Low),
        (proto::VideoQuality::Medium, Layer::Medium),
        (proto::VideoQuality::High, Layer::High),
    ];
    let qualities = qualities.map(|(quality, layer)| proto::SubscribedQuality {
        quality: quality.into(),
        enabled: most.is_some_and(|most| layer <= most),
    });
    let codec = codec.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    #[expect(deprecated, reason = "older SDKs read the qualities here")]
    Message::SubscribedQualityUpdate(proto::SubscribedQualityUpdate {
        track_sid: track.to_string(),
        subscribed_qualities: qualities.to_vec(),
        subscribed_codecs: vec![proto::SubscribedCodec { codec, qualities: qualities.to_vec() }],
    })
}

/// News of the room itself.
#[must_use]
pub(super) fn room(room: proto::Room) -> Message {
    Message::RoomUpdate(proto::RoomUpdate { room: Some(room) })
}

/// Metadata of a room whose node drains: who is elsewhere within that time loses nothing of the call.
#[must_use]
pub(super) fn moving(within: Duration) -> String {
    format!(r#"{{"moving":{{"withinMs":{}}}}}"#, within.as_millis())
}

/// Who speaks, or does not any more.
#[must_use]
pub(super) fn speakers(speakers: Vec<proto::SpeakerInfo>) -> Message {
    Message::SpeakersChanged(proto::SpeakersChanged { speakers })
}

/// How good lines are.
#[must_use]
pub(super) fn quality(updates: Vec<proto::ConnectionQualityInfo>) -> Message {
    Message::ConnectionQuality(proto::ConnectionQualityUpdate { updates })
}

/// Says that a request is refused, and which.
#[must_use]
pub(super) fn refusal(reason: Reason, request: proto::request_response::Request) -> Message {
    Message::RequestResponse(proto::RequestResponse {
        reason: reason.into(),
        message: "refused".to_owned(),
        request: Some(request),
        ..proto::RequestResponse::default()
    })
}

/// Says what became of a request.
#[must_use]
pub(super) fn outcome(request_id: u32, reason: Reason, message: &str) -> Message {
    Message::RequestResponse(proto::RequestResponse {
        request_id,
        reason: reason.into(),
        message: message.to_owned(),
        ..proto::RequestResponse::default()
    })
}

/// Says that the node knows no such thing.
#[must_use]
pub(super) fn unsupported(request_id: u32) -> Message {
    outcome(request_id, Reason::UnsupportedType, "not supported by this node")
}

/// Says that a track asked for is not there.
#[must_use]
pub(super) fn no_such_track(track_sid: String) -> Message {
    let err = proto::SubscriptionError::SeTrackNotfound.into();
    Message::SubscriptionResponse(proto::SubscriptionResponse { track_sid, err })
}

/// Codecs as the protocol lists them.
#[must_use]
pub(super) fn codecs(codecs: &[Codec]) -> Vec<proto::Codec> {
    codecs
        .iter()
        .map(|codec| proto::Codec { mime: codec.mime().to_owned(), ..proto::Codec::default() })
        .collect()
}
