//! What each parser is asked, and what must hold whatever it is given.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol as proto;
use locum_identity::SigningKey;
use prost::Message as _;
use serde_json::json;

use super::fuzz;
use super::messages::{PASSWORD, UFRAG, checks, data, join_requests, media, offer, requests};
use crate::forward::ForwardLeg;
use crate::room::{
    Action, Identity, Ids, Joining, Limits, MediaEvent, Now, RoomName, Rooms, SessionId, Signalling,
};
use crate::signal::parse_join_request;
use crate::token::{self, Admission, Grants, KeySet, Revoked};
use crate::transport::addresses::Addresses;
use crate::transport::candidates::Announced;
use crate::transport::framing::{self, MAX_PACKET_BYTES, Partial};
use crate::transport::links::{Link, Via};
use crate::transport::rtc::RtcTransport;
use crate::transport::sdp::{self, Offer, Section, SectionRole};
use crate::transport::stun::{BindingRequest, IntegrityKey, is_stun};
use crate::transport::{Channel, Codec, Layer, MediaPacket, Mid, Peer as _, Transport as _};

/// HMAC and the attribute's head: everything before is covered (RFC 8489 §14.5).
const INTEGRITY_BYTES: usize = 24;

#[test]
fn stun() {
    let (key, good) = (IntegrityKey::new(PASSWORD), &checks()[0]);
    let signed = good.len() - 8 - INTEGRITY_BYTES;
    fuzz("stun", &checks(), |datagram| {
        let Some(request) = BindingRequest::parse(datagram) else { return };
        assert!(is_stun(datagram));
        if request.is_authentic(&key) {
            // The length of what follows the tag is not covered.
            assert_eq!(datagram[..2], good[..2], "not what was signed");
            assert_eq!(datagram[4..signed], good[4..signed], "not what was signed");
        }
    });
}

#[test]
fn addresses() {
    let session = SessionId::for_test(1);
    let key = IntegrityKey::new(PASSWORD);
    let known = RefCell::new(Addresses::default());
    known.borrow_mut().expect(session, UFRAG, PASSWORD);
    let port = RefCell::new(0_u16);
    fuzz("addresses", &[checks(), media()].concat(), |datagram| {
        let mut port = port.borrow_mut();
        *port = port.wrapping_add(1);
        let link = Link { via: Via::Socket(0), remote: SocketAddr::from(([192, 0, 2, 1], *port)) };
        let mut known = known.borrow_mut();
        let let_in = known.check(link, datagram).is_some();
        let may = BindingRequest::parse(datagram).is_some_and(|request| request.is_authentic(&key));
        assert_eq!(let_in, may, "let in, or kept out");
        assert!(known.len() <= 8, "bounded");
        while known.poll_left().is_some() {}
    });
}

#[test]
fn framed() {
    let mut stream = Vec::new();
    for packet in checks().iter().chain(&media()) {
        framing::append(&mut stream, packet);
    }
    fuzz("framed", &[stream], |stream| {
        let at_once = read(stream, stream.len().max(1));
        for piece in [1, 7, 1_000] {
            assert_eq!(read(stream, piece), at_once, "in pieces of {piece}");
        }
    });
}

/// Packets up to the first that is too long.
fn read(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut partial, mut all) = (Partial::default(), Vec::new());
    let (mut bytes, mut packets) = (Vec::new(), Vec::new());
    for piece in stream.chunks(piece) {
        partial.resume(&mut bytes);
        bytes.extend_from_slice(piece);
        let sound = partial.split(&bytes, &mut packets).is_ok();
        all.extend(packets.iter().map(|packet| bytes[packet.clone()].to_vec()));
        if !sound {
            return (all, false);
        }
    }
    assert!(all.iter().all(|packet| packet.len() <= MAX_PACKET_BYTES));
    (all, true)
}

#[test]
fn session_descriptions() {
    let candidates = Announced { udp: vec!["192.0.2.1:443".parse().unwrap()], tcp: Vec::new() }.lines();
    fuzz("session_descriptions", &[offer().into_bytes()], |text| {
        let text = String::from_utf8_lossy(text);
        let Ok(offer) = Offer::parse(&text) else { return };
        let names_one = |line: &str| line.trim_end().starts_with("a=candidate:");
        assert!(!offer.sdp.lines().any(names_one), "no address reaches the backend");
        let again = Offer::parse(&offer.sdp).expect("what was made of it is an offer");
        assert_eq!(again.sections.len(), offer.sections.len());
        let _ = sdp::extension_id(&text, "urn:ietf:params:rtp-hdrext:sdes:mid");
        let named = sdp::with_candidates(&text, &candidates);
        assert_eq!(sdp::with_candidates(&named, &candidates), named, "named once");
        let _ = sdp::without_idle_senders(&text);
        for section in &offer.sections {
            let _ = sdp::with_lines(&text, section.mid, &sdp::take_layers(&["f"]));
            let _ = sdp::announced_streams(&text);
        }
    });
}

#[test]
fn join_request() {
    fuzz("join_request", &join_requests(), |text| {
        let text = String::from_utf8_lossy(text);
        if let Some(request) = parse_join_request(&text) {
            assert!(request.encoded_len() <= 1 << 20, "bounded");
        }
    });
}

#[test]
fn tokens() {
    let key = SigningKey::generate().unwrap();
    let mut keys = KeySet::default();
    assert!(key.jwks().keys.iter().all(|jwk| keys.add(None, jwk)));
    let now = 1_000_000_u64;
    let claims = |room: &str, exp: u64| {
        json!({
            "iss": "edge-1", "aud": "locum-media", "sub": "p-1", "jti": "j", "nbf": now - 10, "exp": exp,
            "video": { "roomJoin": true, "room": room, "canPublish": true },
        })
    };
    let sign = |room: &str, exp: u64| key.sign_jws(&claims(room, exp)).unwrap();
    let stranger = SigningKey::generate().unwrap().sign_jws(&claims("r", now + 600)).unwrap();
    let good = [sign("room-1", now + 600), sign("room-2", now + 600)];
    let all = [good.clone().to_vec(), vec![sign("room-1", now - 600), stranger]].concat();
    let all: Vec<_> = all.into_iter().map(String::into_bytes).collect();
    fuzz("tokens", &all, |text| {
        let text = String::from_utf8_lossy(text);
        if token::verify(&text, &keys, &Revoked::default(), now).is_ok() {
            assert!(good.iter().any(|token| *token == text), "only what was signed, byte by byte");
        }
    });
}

/// A room of two who may do everything, one of each version of signalling.
fn room() -> (Rooms, [SessionId; 2], Now) {
    let mut count = 0_u64;
    let ids = Ids::new(move || {
        count += 1;
        count.to_be_bytes()
    });
    let limits = Limits { sessions: 4, participants: 4, tracks: 4, move_within: Duration::from_secs(5) };
    let mut rooms = Rooms::new(limits, "here".to_owned(), ids);
    let now = Now { at: Instant::now(), unix_ms: 1 };
    let join = |(identity, signalling): (&str, Signalling)| {
        let grants = Grants { publish: true, sources: Vec::new(), subscribe: true, data: true, admin: true };
        let admission = Admission {
            identity: Identity::parse(identity).unwrap(),
            room: RoomName::parse("room").unwrap(),
            grants,
            running: false,
            sink: None,
        };
        let request = proto::JoinRequest::default();
        rooms.join(now, Joining { admission, request, signalling }).unwrap()
    };
    let sessions = [("a", Signalling::V1), ("b", Signalling::V0)].map(join);
    for session in sessions {
        rooms.media(now, session, MediaEvent::Connected);
        rooms.media(now, session.next().unwrap(), MediaEvent::Connected);
    }
    (rooms, sessions, now)
}

/// Does as the event loop does. `false` when somebody is out.
fn act(rooms: &mut Rooms, now: Now) -> bool {
    let mut all_in = true;
    let mut actions = 0;
    while let Some(action) = rooms.poll_action() {
        match action {
            Action::Negotiate { session, offer_id, .. } => {
                rooms.negotiated(now, session, offer_id, Some("answer".to_owned()));
            }
            Action::Offer { session, offer_id, .. } => {
                rooms.offered(now, session, offer_id, Some("offer".to_owned()));
            }
            Action::Accept { session, offer_id, .. } => rooms.accepted(now, session, offer_id, true),
            Action::Close(_) => all_in = false,
            _ => {}
        }
        actions += 1;
        assert!(actions < 1_000, "one message has bounded consequences");
    }
    all_in
}

#[test]
fn signalling() {
    let world = RefCell::new(room());
    fuzz("signalling", &requests(), |bytes| {
        let Ok(request) = proto::SignalRequest::decode(bytes) else { return };
        let Some(request) = request.message else { return };
        let (rooms, sessions, now) = &mut *world.borrow_mut();
        now.at += Duration::from_millis(20);
        rooms.request(*now, sessions[0], request.clone());
        rooms.request(*now, sessions[1], request);
        rooms.handle_timeout(*now);
        // Who keeps nothing up is out after a while, as they are who leave.
        for session in *sessions {
            rooms.media(*now, session, MediaEvent::Heard);
        }
        if !act(rooms, *now) {
            (*rooms, *sessions, *now) = room();
        }
    });
}

#[test]
fn data_packets() {
    let world = RefCell::new(room());
    fuzz("data_packets", &data(), |bytes| {
        let (rooms, sessions, now) = &mut *world.borrow_mut();
        for channel in [Channel::Reliable, Channel::Lossy] {
            rooms.media(*now, sessions[0], MediaEvent::Data(channel, Bytes::copy_from_slice(bytes)));
        }
        if !act(rooms, *now) {
            (*rooms, *sessions, *now) = room();
        }
    });
}

/// A connection as it is for a client that has proved to be one and goes on with anything.
#[test]
fn media_of_a_client() {
    let announced = Announced { udp: vec!["127.0.0.1:9".parse().unwrap()], tcp: Vec::new() };
    let mut transport = RtcTransport::new(&announced).unwrap();
    let (now, offer) = (Instant::now(), Offer::parse(&offer()).unwrap());
    let plan: Vec<_> = offer
        .sections
        .iter()
        .filter_map(|section| {
            Some(Section { mid: section.mid, kind: section.kind?, role: SectionRole::Idle })
        })
        .map(|section| match section.mid == Mid::parse("1").unwrap() {
            true => section,
            false => Section { role: SectionRole::Receive, ..section },
        })
        .collect();
    let mut open = || {
        let mut peer = transport.open(now).unwrap();
        peer.negotiate(now, &offer, &plan).unwrap();
        peer
    };
    let world = RefCell::new((open(), 0_u32));
    let open = RefCell::new(open);
    fuzz("media_of_a_client", &media(), |datagram| {
        let (peer, count) = &mut *world.borrow_mut();
        peer.handle_datagram(now, datagram);
        while peer.poll_event(now).is_some() {}
        while peer.poll_datagram().is_some() {}
        *count += 1;
        // Some states are only reached at the beginning.
        if *count % 500 == 0 {
            *peer = (open.borrow_mut())();
        }
    });
}

/// Payload descriptors, which are read and rewritten whatever the payload says of itself.
#[test]
fn forwarded() {
    let descriptors: [&[u8]; 4] = [
        &[0x90, 0xE0, 0x80, 0x01, 0x05, 0x20, 0x50, 0x01, 0x00, 0x9D, 0x01, 0x2A],
        &[0x90, 0x80, 0x05, 0x00, 0x9D, 0x01, 0x2A],
        &[0x10, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x02],
        &[0x7C, 0x85, 0x67, 0x42, 0xE0, 0x1F],
    ];
    let good: Vec<_> = descriptors.iter().map(|bytes| bytes.to_vec()).collect();
    let world = RefCell::new((ForwardLeg::default(), 0_u16));
    let now = Instant::now();
    fuzz("forwarded", &good, |payload| {
        let (leg, sequence) = &mut *world.borrow_mut();
        *sequence = sequence.wrapping_add(1);
        for codec in [Codec::Vp8, Codec::H264, Codec::Opus] {
            let _ = leg.want(Some(Layer::Low));
            let packet = MediaPacket {
                codec,
                layer: Layer::Low,
                sequence: *sequence,
                timestamp: u32::from(*sequence) * 3_000,
                marker: true,
                audio_level: None,
                orientation: None,
                payload: Bytes::copy_from_slice(payload),
            };
            if let Some(sent) = leg.forward(now, &packet) {
                assert_eq!(sent.payload.len(), payload.len(), "numbers are rewritten in their place");
            }
        }
    });
}
