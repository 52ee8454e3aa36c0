//! Data packets: who may be said to have sent them, and who gets them.

use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::Value;

use super::ids::{Identity, ParticipantSid};

/// A packet on its way to others.
#[derive(Debug)]
pub(super) struct Relayed {
    /// Encoded, with the true sender in it.
    pub message: Vec<u8>,
    /// The sender's number for it, from 1; 0 when it does not number.
    pub sequence: u32,
    /// Identities it is meant for; empty: everybody.
    pub destinations: Vec<String>,
}

/// Reads a client's packet and writes its sender into it. `None` when it is not one a client may send.
///
/// Whatever the client wrote there is overwritten: receivers attribute the packet by these fields.
#[must_use]
pub(super) fn relay(message: &[u8], identity: &Identity, sid: &ParticipantSid) -> Option<Relayed> {
    let mut packet = proto::DataPacket::decode(message).ok()?;
    packet.participant_identity = identity.to_string();
    packet.participant_sid = sid.to_string();
    let mut destinations = packet.destination_identities.clone();
    #[expect(
        deprecated,
        reason = "SDKs still read the sender from the inner packet, and write receivers there"
    )]
    match packet.value.as_mut()? {
        // Only a node says who speaks.
        Value::Speaker(_) => return None,
        Value::User(user) => {
            user.participant_identity = identity.to_string();
            user.participant_sid = sid.to_string();
            destinations.extend_from_slice(&user.destination_identities);
        }
        Value::Transcription(transcription) => {
            transcription.transcribed_participant_identity = identity.to_string();
        }
        _ => {}
    }
    Some(Relayed { message: packet.encode_to_vec(), sequence: packet.sequence, destinations })
}

#[cfg(test)]
#[expect(deprecated, reason = "the deprecated fields are what is tested")]
mod tests {
    use super::*;

    fn relayed(packet: &proto::DataPacket) -> Option<proto::DataPacket> {
        let sender = (Identity::parse("true-sender").unwrap(), ParticipantSid::parse("PA_1").unwrap());
        let relayed = relay(&packet.encode_to_vec(), &sender.0, &sender.1)?;
        Some(proto::DataPacket::decode(relayed.message.as_slice()).unwrap())
    }

    #[test]
    fn a_claimed_sender_is_overwritten() {
        let user = proto::UserPacket {
            participant_identity: "somebody-else".into(),
            participant_sid: "PA_9".into(),
            payload: b"hi".to_vec(),
            ..Default::default()
        };
        let packet = proto::DataPacket {
            participant_identity: "somebody-else".into(),
            participant_sid: "PA_9".into(),
            value: Some(Value::User(user)),
            ..Default::default()
        };
        let seen = relayed(&packet).unwrap();
        assert_eq!(
            (seen.participant_identity.as_str(), seen.participant_sid.as_str()),
            ("true-sender", "PA_1")
        );
        let Some(Value::User(user)) = seen.value else { panic!("{seen:?}") };
        assert_eq!(
            (user.participant_identity.as_str(), user.participant_sid.as_str()),
            ("true-sender", "PA_1")
        );
        assert_eq!(user.payload, b"hi");
    }

    #[test]
    fn receivers_are_read_wherever_sdks_write_them() {
        let user = proto::UserPacket { destination_identities: vec!["b".into()], ..Default::default() };
        let packet = proto::DataPacket {
            destination_identities: vec!["a".into()],
            value: Some(Value::User(user)),
            ..Default::default()
        };
        let sender = (Identity::parse("s").unwrap(), ParticipantSid::parse("PA_1").unwrap());
        assert_eq!(relay(&packet.encode_to_vec(), &sender.0, &sender.1).unwrap().destinations, ["a", "b"]);
    }

    #[test]
    fn encrypted_packets_pass_untouched() {
        let encrypted = proto::EncryptedPacket {
            iv: vec![1; 12],
            key_index: 3,
            encrypted_value: vec![9; 40],
            ..Default::default()
        };
        let packet = proto::DataPacket {
            value: Some(Value::EncryptedPacket(encrypted.clone())),
            ..Default::default()
        };
        assert_eq!(relayed(&packet).unwrap().value, Some(Value::EncryptedPacket(encrypted)));
    }

    #[test]
    fn what_only_a_node_may_say_is_dropped() {
        let speaker = Value::Speaker(proto::ActiveSpeakerUpdate::default());
        assert!(relayed(&proto::DataPacket { value: Some(speaker), ..Default::default() }).is_none());
        assert!(relayed(&proto::DataPacket::default()).is_none());
        let sender = (Identity::parse("a").unwrap(), ParticipantSid::parse("PA_1").unwrap());
        assert!(relay(&[0xFF; 32], &sender.0, &sender.1).is_none());
    }
}
