//! SRTP and SRTCP of one connection (RFC 3711).

use std::collections::HashSet;

use ::rtc::crypto::RTCCrypto;
use ::rtc::rtcp;
use ::rtc::rtp;
use ::rtc::shared::marshal::{Marshal as _, MarshalSize as _, Unmarshal as _};
use ::rtc::srtp::context::Context;
use ::rtc::srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use bytes::BytesMut;

use super::keys::Keys;

/// Packets by which one may be late; what is older is not told from what was replayed.
const REPLAY_WINDOW: usize = 512;

/// SSRCs a client may send under in the life of a connection.
const MAX_SSRCS: usize = 256;

/// RTCP's packet types among RTP's (RFC 5761 §4).
const RTCP_SECOND: std::ops::RangeInclusive<u8> = 192..=223;

/// Parts of an RTCP packet.
pub(super) type Parts = Vec<Box<dyn rtcp::Packet>>;

/// What a datagram held.
pub(super) enum Opened {
    Rtp(rtp::Packet),
    Rtcp(Parts),
}

/// Both directions.
pub(super) struct Protection {
    keys: Keys,
    node: Context,
    client: Context,
    /// Of whom something genuine came: only for those the context keeps anything.
    known: HashSet<u32>,
    known_rtcp: HashSet<u32>,
}

/// Whether a datagram is media, RTP or RTCP (RFC 7983).
pub(super) fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, ..])
}

impl Protection {
    /// `None` when the crypto provider does not do what it agreed on.
    pub(super) fn new(keys: Keys, crypto: &dyn RTCCrypto) -> Option<Self> {
        let node = Context::new(&keys.node.0, &keys.node.1, keys.profile, None, None, crypto).ok()?;
        let client = receiving(&keys, crypto)?;
        Some(Self { keys, node, client, known: HashSet::new(), known_rtcp: HashSet::new() })
    }

    /// What the client sent. `None` when it was not the client, or came twice.
    pub(super) fn open(&mut self, crypto: &dyn RTCCrypto, datagram: &[u8]) -> Option<Opened> {
        if RTCP_SECOND.contains(datagram.get(1)?) {
            let ssrc = u32::from_be_bytes(datagram.get(4..8)?.try_into().ok()?);
            if !self.known_rtcp.contains(&ssrc) {
                self.meet(crypto, |context| context.decrypt_rtcp(datagram).is_ok())?;
                admit(&mut self.known_rtcp, ssrc)?;
            }
            let mut opened = self.client.decrypt_rtcp(datagram).ok()?;
            return rtcp::packet::unmarshal(&mut opened).ok().map(Opened::Rtcp);
        }
        let header = rtp::Header::unmarshal(&mut &*datagram).ok()?;
        if !self.known.contains(&header.ssrc) {
            self.meet(crypto, |context| context.decrypt_rtp_with_header(datagram, &header).is_ok())?;
            admit(&mut self.known, header.ssrc)?;
        }
        let mut opened = self.client.decrypt_rtp_with_header(datagram, &header).ok()?;
        let mut payload = opened.split_off(header.marshal_size().min(opened.len()));
        if header.padding {
            let padding = usize::from(*payload.last()?);
            payload.truncate(payload.len().checked_sub(padding)?);
        }
        Some(Opened::Rtp(rtp::Packet { header, payload: payload.freeze() }))
    }

    /// A packet as it is sent.
    pub(super) fn seal(&mut self, packet: &rtp::Packet) -> Option<BytesMut> {
        let plain = packet.marshal().ok()?;
        self.node.encrypt_rtp_with_header(&plain, &packet.header).ok()
    }

    /// Feedback as it is sent.
    pub(super) fn seal_rtcp(&mut self, parts: &[Box<dyn rtcp::Packet>]) -> Option<BytesMut> {
        let plain = rtcp::packet::marshal(parts).ok()?;
        self.node.encrypt_rtcp(&plain).ok()
    }

    /// Whether a packet under a new SSRC is the client's. A context remembers whatever SSRC it is asked about, so the
    /// one that stays is asked only when another was convinced.
    fn meet(&self, crypto: &dyn RTCCrypto, is_genuine: impl FnOnce(&mut Context) -> bool) -> Option<()> {
        is_genuine(&mut receiving(&self.keys, crypto)?).then_some(())
    }
}

fn receiving(keys: &Keys, crypto: &dyn RTCCrypto) -> Option<Context> {
    let (rtp, rtcp) = (srtp_replay_protection(REPLAY_WINDOW), srtcp_replay_protection(REPLAY_WINDOW));
    Context::new(&keys.client.0, &keys.client.1, keys.profile, Some(rtp), Some(rtcp), crypto).ok()
}

fn admit(known: &mut HashSet<u32>, ssrc: u32) -> Option<()> {
    (known.len() < MAX_SSRCS).then(|| {
        known.insert(ssrc);
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::keys::Keys;
    use super::*;

    fn keys(profile: ::rtc::srtp::protection_profile::ProtectionProfile) -> [Keys; 2] {
        let master = |byte: u8| (vec![byte; profile.key_len()], vec![byte; profile.salt_len()]);
        [(1, 2), (2, 1)].map(|(node, client)| Keys { profile, node: master(node), client: master(client) })
    }

    fn packet(ssrc: u32, sequence_number: u16, payload: &'static [u8]) -> rtp::Packet {
        let header =
            rtp::Header { version: 2, ssrc, sequence_number, payload_type: 96, ..Default::default() };
        rtp::Packet { header, payload: Bytes::from_static(payload) }
    }

    #[test]
    fn what_one_side_seals_the_other_opens_once() {
        let provider = ::rtc::crypto::default_provider().unwrap();
        let crypto = provider.crypto();
        for profile in super::super::PROFILES.map(|(_, profile)| profile) {
            let [mut a, mut b] = keys(profile).map(|keys| Protection::new(keys, crypto).unwrap());
            // Around the circle: the numbers of RFC 3711 §3.3.1 have more bits than a packet says.
            for sequence in [65_534, 65_535, 0, 1] {
                let sent = packet(7, sequence, b"picture");
                let sealed = a.seal(&sent).unwrap();
                assert!(is_media(&sealed) && !sealed.windows(7).any(|part| part == b"picture"));
                let Some(Opened::Rtp(opened)) = b.open(crypto, &sealed) else { panic!("not opened") };
                assert_eq!(opened, sent);
                assert!(b.open(crypto, &sealed).is_none(), "replayed");
            }
            let report = rtcp::receiver_report::ReceiverReport { ssrc: 9, ..Default::default() };
            let sealed = a.seal_rtcp(&[Box::new(report)]).unwrap();
            assert!(matches!(b.open(crypto, &sealed), Some(Opened::Rtcp(parts)) if parts.len() == 1));
        }
    }

    #[test]
    fn padding_is_taken_off_and_never_more_than_there_is() {
        let provider = ::rtc::crypto::default_provider().unwrap();
        let crypto = provider.crypto();
        let [mut a, mut b] =
            keys(super::super::PROFILES[0].1).map(|keys| Protection::new(keys, crypto).unwrap());
        for (sequence, padded, expected) in
            [(1, &[5, 6, 0, 0, 3][..], Some(&[5, 6][..])), (2, &[0, 2], Some(&[])), (3, &[9, 200], None)]
        {
            // The backend's own writing of padding is not under test.
            let mut plain = packet(7, sequence, b"").marshal().unwrap();
            plain[0] |= 0x20;
            plain.extend_from_slice(padded);
            let sealed = a.node.encrypt_rtp(&plain).unwrap();
            let opened = match b.open(crypto, &sealed) {
                Some(Opened::Rtp(packet)) => Some(packet.payload.to_vec()),
                _ => None,
            };
            assert_eq!(opened.as_deref(), expected);
        }
    }

    #[test]
    fn strangers_leave_nothing_behind() {
        let provider = ::rtc::crypto::default_provider().unwrap();
        let crypto = provider.crypto();
        let [mut a, mut b] =
            keys(super::super::PROFILES[0].1).map(|keys| Protection::new(keys, crypto).unwrap());
        for ssrc in 0..1_000 {
            let mut sealed = a.seal(&packet(ssrc, 1, b"x")).unwrap();
            let last = sealed.len() - 1;
            sealed[last] ^= 1;
            assert!(b.open(crypto, &sealed).is_none());
        }
        assert!(b.known.is_empty());
        let genuine = (0..1_000).filter(|ssrc| {
            let sealed = a.seal(&packet(*ssrc, 2, b"x")).unwrap();
            b.open(crypto, &sealed).is_some()
        });
        assert_eq!(genuine.count(), MAX_SSRCS, "and a client few");
        for garbage in [&[128][..], &[128, 96], &[128, 200, 0, 1], &[0x9f; 20], &[128; 12]] {
            assert!(b.open(crypto, garbage).is_none());
        }
    }
}
