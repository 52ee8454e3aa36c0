use std::time::Instant;

use hickory_server::proto::op::Message;
use tokio::sync::watch;

use super::*;
use crate::dns::serve::engine::{Engine, Moment, Shared};
use crate::dns::serve::limit::{Budget, RateLimit, Ticks};
use crate::dns::wire::cookie::CookieKey;
use crate::dns::wire::query::Parsed;
use crate::dns::wire::query::tests::{message, opt};
use crate::dns::zone::testing::{NOW_S, snapshot};

const FROM: &str = "10.0.0.1:4000";

fn now() -> Moment {
    Moment { ticks: Ticks::new(std::time::Duration::from_secs(1)), unix_s: NOW_S }
}

fn engine(snapshot: &Arc<Snapshot>, rate: u32) -> Engine {
    let shared = Shared {
        limit: RateLimit::new(rate, 1).unwrap(),
        cookies: CookieKey::generate().unwrap(),
        signatures: Budget::new(1_000_000),
        begun: Instant::now(),
    };
    Engine::new(Arc::new(shared), watch::channel(snapshot.clone()).1)
}

fn fast(engine: &mut Engine, message: &[u8], transport: Transport) -> Vec<u8> {
    let mut out = Vec::new();
    engine.answer(message, FROM.parse().unwrap(), transport, now(), &mut out);
    out
}

fn slow(snapshot: &Arc<Snapshot>, message: &[u8], transport: Transport) -> Vec<u8> {
    answer(snapshot, message, FROM.parse().unwrap(), transport, NOW_S).unwrap().1
}

fn code(bytes: &[u8]) -> ResponseCode {
    Message::from_vec(bytes).unwrap().metadata.response_code
}

/// Signatures differ each time they are made.
fn without_signatures(bytes: &[u8]) -> Message {
    use hickory_server::proto::dnssec::rdata::{DNSSECRData, RRSIG};
    use hickory_server::proto::rr::RData;
    let mut message = Message::from_vec(bytes).unwrap();
    for records in [&mut message.answers, &mut message.authorities, &mut message.additionals] {
        for record in records {
            if let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data {
                let unsigned = RRSIG::from_sig(signature.input().clone(), Vec::new());
                record.data = RData::DNSSEC(DNSSECRData::RRSIG(unsigned));
            }
        }
    }
    message
}

#[test]
fn both_ways_give_the_same_answer() {
    let snapshot = snapshot(true);
    let mut engine = engine(&snapshot, 0);
    let subnet: &[u8] = &[0, 1, 24, 0, 10, 1, 0];
    let additionals = [
        Vec::new(),
        opt(0, 0, &[]),
        opt(0, 0x8000, &[]),
        opt(0, 0xc000, &[]),
        opt(0, 0x8000, &[(8, subnet)]),
        opt(0, 0, &[(8, subnet), (12, &[0; 9])]),
        opt(0, 0, &[(8, &[0, 1, 0, 0])]),
    ];
    let names = [
        "locum.test",
        "aPp.Locum.TEST",
        "eu.locum.test",
        "ns1.locum.test",
        "_acme-challenge.app.locum.test",
        "nobody.locum.test",
        "_acme-challenge.nobody.locum.test",
        "other.test",
        "",
    ];
    let mut compared = 0;
    for name in names {
        for record_type in [1, 2, 5, 6, 15, 16, 28, 43, 46, 47, 48, 59, 60, 65, 128, 252, 255, 257, 300] {
            for additional in &additionals {
                for transport in [Transport::Udp, Transport::Tcp] {
                    let question = message(name, record_type, additional);
                    let (fast, slow) =
                        (fast(&mut engine, &question, transport), slow(&snapshot, &question, transport));
                    assert_eq!(
                        without_signatures(&fast),
                        without_signatures(&slow),
                        "{name} {record_type} {additional:?} {transport:?}"
                    );
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 9 * 19 * 7 * 2);
}

#[test]
fn what_is_not_common_is_answered_by_the_book() {
    let snapshot = snapshot(false);
    let mut engine = engine(&snapshot, 0);
    let good = message("app.locum.test", 1, &[]);
    let mut with = |at: usize, value: u8| {
        let mut question = good.clone();
        question[at] = value;
        assert!(matches!(Parsed::read(&question), Parsed::Unusual));
        code(&fast(&mut engine, &question, Transport::Udp))
    };
    assert_eq!(with(2, 0x20), ResponseCode::NotImp, "NOTIFY");
    assert_eq!(with(2, 0x28), ResponseCode::NotImp, "UPDATE");
    assert_eq!(with(good.len() - 1, 3), ResponseCode::Refused, "class CH");
    assert_eq!(with(5, 0), ResponseCode::FormErr, "no question");
    assert_eq!(with(5, 2), ResponseCode::FormErr, "a question that is missing");
    // A TSIG record without anything in it that could be right.
    let mut signed = message("app.locum.test", 1, &[0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0]);
    assert_eq!(code(&fast(&mut engine, &signed, Transport::Udp)), ResponseCode::FormErr);
    // Some other record beside the question changes nothing.
    signed.truncate(good.len());
    signed.extend([0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]);
    let told = Message::from_vec(&fast(&mut engine, &signed, Transport::Udp)).unwrap();
    assert_eq!((told.metadata.response_code, told.answers.len()), (ResponseCode::NoError, 2));
}

#[test]
fn letters_come_back_as_they_were_written() {
    let snapshot = snapshot(false);
    let question = message("aPp.lOCUM.tesT", 1, &[]);
    let told = fast(&mut engine(&snapshot, 0), &question, Transport::Udp);
    assert_eq!(told[12..question.len()], question[12..]);
    let read = Message::from_vec(&told).unwrap();
    assert_eq!(read.answers[0].name.to_string(), "aPp.lOCUM.tesT.");
}

#[test]
fn what_does_not_fit_is_cut_and_whole_over_tcp() {
    let snapshot = snapshot(true);
    let mut engine = engine(&snapshot, 0);
    let mut small = opt(0, 0x8000, &[]);
    small[3..5].copy_from_slice(&[2, 0]);
    // Glue may be missing, and then nothing is cut.
    for (record_type, cut, answers) in [(2, false, 3), (1, false, 3), (48, false, 2)] {
        let question = message("locum.test", record_type, &small);
        let told = fast(&mut engine, &question, Transport::Udp);
        assert!(told.len() <= 512);
        let read = Message::from_vec(&told).unwrap();
        assert_eq!((read.metadata.truncation, read.answers.len()), (cut, answers), "{record_type}");
    }
    // SOA and NSEC, both signed, with a long name.
    let long = format!("{}.locum.test", vec!["a".repeat(60); 3].join("."));
    let question = message(&long, 1, &small);
    let read = Message::from_vec(&fast(&mut engine, &question, Transport::Udp)).unwrap();
    assert!(read.metadata.truncation && read.authorities.is_empty() && read.edns.is_some());
    let read = Message::from_vec(&fast(&mut engine, &question, Transport::Tcp)).unwrap();
    assert!(!read.metadata.truncation && read.authorities.len() == 4);
}

#[test]
fn who_is_limited_is_told_to_use_tcp_and_who_shows_a_cookie_is_not_limited() {
    let snapshot = snapshot(false);
    let mut engine = engine(&snapshot, 1);
    let plain = message("app.locum.test", 1, &opt(0, 0, &[(10, &[7; 8])]));
    let answers = |bytes: &[u8]| {
        let read = Message::from_vec(bytes).unwrap();
        (read.metadata.truncation, read.answers.len())
    };
    let first = fast(&mut engine, &plain, Transport::Udp);
    assert_eq!(answers(&first), (false, 2));
    for _ in 0..5 {
        fast(&mut engine, &plain, Transport::Udp);
    }
    let limited = fast(&mut engine, &plain, Transport::Udp);
    assert_eq!(answers(&limited), (true, 0));
    assert!(limited.len() <= plain.len() + 16, "no larger than the question and a cookie");
    assert_eq!(answers(&fast(&mut engine, &plain, Transport::Tcp)), (false, 2));
    let cookie = &first[first.len() - 24..];
    let known = message("app.locum.test", 1, &opt(0, 0, &[(10, cookie)]));
    for _ in 0..20 {
        assert_eq!(answers(&fast(&mut engine, &known, Transport::Udp)), (false, 2));
    }
}

#[test]
fn no_answer_to_an_answer_and_none_to_nobody() {
    let snapshot = snapshot(false);
    let mut engine = engine(&snapshot, 0);
    let mut reply = message("app.locum.test", 1, &[]);
    reply[2] |= 0x80;
    assert!(fast(&mut engine, &reply, Transport::Udp).is_empty());
    for from in ["0.0.0.0:53", "192.0.2.1:0", "224.0.0.1:53", "[::]:53"] {
        let mut out = Vec::new();
        let question = message("app.locum.test", 1, &[]);
        engine.answer(&question, from.parse().unwrap(), Transport::Udp, now(), &mut out);
        assert!(out.is_empty(), "{from}");
    }
}

/// Valid questions with a few bytes changed, cut or repeated.
#[test]
fn malformed_messages_are_answered_well_or_not_at_all() {
    let snapshot = snapshot(true);
    let mut engine = engine(&snapshot, 0);
    let mut random = crate::dns::testing::Random(7);
    let seeds = crate::dns::testing::questions();
    for round in 0..50_000 {
        let bytes = crate::dns::testing::mutated(&seeds, &mut random);
        let told = fast(&mut engine, &bytes, Transport::Udp);
        if told.is_empty() {
            continue;
        }
        let read = Message::from_vec(&told).unwrap_or_else(|error| panic!("{round}: {error} to {bytes:?}"));
        assert_eq!(read.metadata.id.to_be_bytes(), bytes[..2], "{round}");
        assert_eq!(read.metadata.message_type, MessageType::Response);
        assert!(told.len() <= usize::from(MAX_UDP_PAYLOAD), "{round}");
    }
}
