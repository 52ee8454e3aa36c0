use std::str::FromStr as _;

use hickory_server::proto::dnssec::Verifier as _;
use hickory_server::proto::dnssec::rdata::DNSSECRData;
use locum_cluster::NodeState;

use super::*;
use crate::dns::view::FRESH_MS;
use crate::dns::zone::testing::{NOW_S, map, settings, snapshot, view};

fn ask(
    snapshot: &Snapshot,
    name: &str,
    record_type: RecordType,
    dnssec: bool,
) -> (ResponseCode, Sections, u8) {
    ask_from(snapshot, name, record_type, dnssec, "10.0.0.1")
}

fn ask_from(
    snapshot: &Snapshot,
    name: &str,
    record_type: RecordType,
    dnssec: bool,
    client: &str,
) -> (ResponseCode, Sections, u8) {
    let name = [&wire_labels(name)[..], &[0]].concat();
    let asked = Asked { name: &name, record_type, dnssec, compact: false };
    snapshot.records(asked, client.parse().unwrap(), NOW_S)
}

fn data(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.data.to_string()).collect()
}

fn answers(snapshot: &Snapshot, name: &str, record_type: RecordType) -> Vec<String> {
    data(&ask(snapshot, name, record_type, false).1.answers)
}

#[test]
fn whoever_knows_nothing_yet_sends_resolvers_to_another() {
    let zone = Snapshot::new(&settings(), &ZoneView::default(), &map(), None, 0);
    for name in ["app.locum.test", "locum.test", "nobody.locum.test"] {
        let (code, sections, _) = ask(&zone, name, RecordType::A, false);
        assert_eq!((code, sections.answers.len()), (ResponseCode::ServFail, 0), "{name}");
    }
    assert_eq!(ask(&zone, "app.elsewhere.test", RecordType::A, false).0, ResponseCode::Refused);
}

#[test]
fn every_name_has_what_it_should() {
    let zone = snapshot(false);
    let a = |name: &str| answers(&zone, name, RecordType::A);
    assert_eq!(a("app.locum.test"), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(a("locum.test"), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(a("eu.locum.test"), ["192.0.2.3"]);
    assert_eq!(a("ns1.locum.test"), ["192.0.2.53"]);
    assert_eq!(answers(&zone, "ns1.locum.test", RecordType::AAAA), ["2001:db8::53"]);
    assert_eq!(answers(&zone, "_acme-challenge.app.locum.test", RecordType::TXT), ["one", "two"]);
    let https = answers(&zone, "app.locum.test", RecordType::HTTPS);
    let expected = "1 . alpn=h2, ipv4hint=192.0.2.1,192.0.2.2, ipv6hint=2001:db8::1,2001:db8::2,";
    assert_eq!(https[0].replace(' ', ""), expected.replace(' ', ""));
    let (_, ns, _) = ask(&zone, "locum.test", RecordType::NS, false);
    assert_eq!(data(&ns.answers), ["ns1.locum.test.", "ns2.locum.test."]);
    assert_eq!(data(&ns.additionals), ["192.0.2.53", "2001:db8::53", "198.51.100.53"]);
    let soa = answers(&zone, "locum.test", RecordType::SOA);
    assert_eq!(soa, ["ns1.locum.test. hostmaster.locum.test. 1 3600 600 604800 30"]);
    let caa = answers(&zone, "locum.test", RecordType::CAA);
    assert_eq!(caa, ["0 issue \"letsencrypt.org\"", "0 issuewild \"letsencrypt.org\""]);
}

#[test]
fn the_client_decides_and_the_scope_says_how_far() {
    let zone = snapshot(false);
    let asked = |client: &str, name: &str| {
        let (_, sections, scope) = ask_from(&zone, name, RecordType::A, false, client);
        (data(&sections.answers)[0].clone(), scope)
    };
    assert_eq!(asked("10.0.0.1", "app.locum.test"), ("192.0.2.1".to_owned(), 16));
    assert_eq!(asked("10.1.2.3", "app.locum.test"), ("192.0.2.3".to_owned(), 16));
    assert_eq!(asked("2001:db8:1::1", "app.locum.test"), ("192.0.2.2".to_owned(), 48));
    // Unknown clients go by load, which is as 10.0.0.0/8 is answered: one answer, one scope.
    assert_eq!(asked("10.255.0.1", "app.locum.test").1, 9);
    assert_eq!(asked("11.0.0.1", "app.locum.test"), ("192.0.2.1".to_owned(), 8));
    assert_eq!(asked("10.0.0.1", "eu.locum.test").1, 0, "a region's own name is the same for all");
}

#[test]
fn nothing_is_told_apart_from_no_name_and_from_no_concern() {
    let zone = snapshot(false);
    let code = |name: &str, record_type| {
        let (code, sections, _) = ask(&zone, name, record_type, false);
        let soa =
            sections.authorities.iter().map(|record| (record.record_type(), record.ttl)).collect::<Vec<_>>();
        (code, sections.answers.len(), soa)
    };
    let denied = vec![(RecordType::SOA, NEGATIVE_TTL_S)];
    assert_eq!(code("app.locum.test", RecordType::MX), (ResponseCode::NoError, 0, denied.clone()));
    assert_eq!(code("nobody.locum.test", RecordType::A), (ResponseCode::NXDomain, 0, denied.clone()));
    assert_eq!(code("x.app.locum.test", RecordType::A), (ResponseCode::NXDomain, 0, denied.clone()));
    assert_eq!(code("other.test", RecordType::A).0, ResponseCode::Refused);
    assert_eq!(code("xlocum.test", RecordType::A).0, ResponseCode::Refused);
    assert_eq!(code("test", RecordType::A).0, ResponseCode::Refused);
    assert_eq!(code("locum.test", RecordType::AXFR).0, ResponseCode::Refused);
    assert_eq!(code("locum.test", NXNAME).0, ResponseCode::FormErr);
    let (code, any, _) = ask(&zone, "app.locum.test", RecordType::ANY, false);
    assert_eq!((code, data(&any.answers)), (ResponseCode::NoError, vec!["RFC8482 ".to_owned()]));
}

#[test]
fn a_name_above_another_is_there_and_empty() {
    let mut view = view();
    view.challenges.insert("_acme-challenge.a.b".to_owned(), vec!["x".to_owned()]);
    let zone = Snapshot::new(&settings(), &view, &map(), None, 0);
    for (name, expected) in
        [("b", ResponseCode::NoError), ("a.b", ResponseCode::NoError), ("c", ResponseCode::NXDomain)]
    {
        assert_eq!(ask(&zone, &format!("{name}.locum.test"), RecordType::A, false).0, expected, "{name}");
    }
}

#[test]
fn a_change_is_kept_only_briefly_and_for_five_minutes() {
    let now_ms = i64::try_from(NOW_S * 1_000).unwrap();
    let mut view = view();
    let ttl = |view: &ZoneView, name: &str, now_ms: i64| {
        let zone = Snapshot::new(&settings(), view, &map(), None, now_ms);
        (ask(&zone, name, RecordType::A, false).1.answers[0].ttl, zone.calm_at_ms)
    };
    assert_eq!(ttl(&view, "app.locum.test", now_ms), (30, None));
    view.nodes[0].state = NodeState::Down;
    view.nodes[0].changed_ms = Some(now_ms);
    let calm_at = Some(now_ms + FRESH_MS);
    assert_eq!(ttl(&view, "app.locum.test", now_ms), (10, calm_at));
    assert_eq!(ttl(&view, "west.locum.test", now_ms + FRESH_MS - 1), (10, calm_at), "others stand in");
    assert_eq!(ttl(&view, "eu.locum.test", now_ms), (30, calm_at), "not its own");
    assert_eq!(ttl(&view, "app.locum.test", now_ms + FRESH_MS), (30, None));
    assert_eq!(ttl(&view, "ns1.locum.test", now_ms), (3_600, calm_at));
}

#[test]
fn a_dead_region_is_never_no_name() {
    let mut view = view();
    view.nodes.retain(|node| node.region.as_str() != "west");
    let zone = Snapshot::new(&settings(), &view, &map(), None, 0);
    assert_eq!(answers(&zone, "west.locum.test", RecordType::A), ["192.0.2.2", "192.0.2.3"]);
    view.nodes.clear();
    let zone = Snapshot::new(&settings(), &view, &map(), None, 0);
    let (code, sections, _) = ask(&zone, "west.locum.test", RecordType::A, false);
    assert_eq!((code, sections.answers.len()), (ResponseCode::NoError, 0));
}

/// What each signature covers, checked with the zone's key.
fn verified(zone: &Snapshot, records: &[Record]) -> Vec<RecordType> {
    let (_, keys, _) = ask(zone, "locum.test", RecordType::DNSKEY, false);
    let RData::DNSSEC(DNSSECRData::DNSKEY(key)) = &keys.answers[0].data else { panic!("no key") };
    let mut covered = Vec::new();
    for record in records {
        if let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data {
            let wanted = signature.input().type_covered;
            let set =
                records.iter().filter(|other| other.record_type() == wanted && other.name == record.name);
            key.verify_rrsig(&record.name, hickory_server::proto::rr::DNSClass::IN, signature, set).unwrap();
            let input = signature.input();
            assert_eq!(input.sig_inception.get(), (NOW_S - 3_600) as u32);
            assert_eq!(input.sig_expiration.get(), (NOW_S + 2 * 24 * 3_600) as u32);
            covered.push(wanted);
        }
    }
    covered
}

#[test]
fn answers_are_signed_for_who_wants_it() {
    let zone = snapshot(true);
    for (name, record_type) in [
        ("app.locum.test", RecordType::A),
        ("app.locum.test", RecordType::HTTPS),
        ("locum.test", RecordType::SOA),
        ("locum.test", RecordType::CAA),
        ("locum.test", RecordType::DNSKEY),
        ("locum.test", RecordType::CDS),
        ("locum.test", RecordType::CDNSKEY),
        ("_acme-challenge.app.locum.test", RecordType::TXT),
        ("app.locum.test", RecordType::NSEC),
    ] {
        let (_, sections, _) = ask(&zone, name, record_type, true);
        assert_eq!(verified(&zone, &sections.answers), [record_type], "{name} {record_type}");
        let (_, sections, _) = ask(&zone, name, record_type, false);
        assert!(sections.answers.iter().all(|record| record.record_type() == record_type));
    }
    let (_, ns, _) = ask(&zone, "locum.test", RecordType::NS, true);
    assert_eq!(verified(&zone, &ns.additionals), [RecordType::A, RecordType::AAAA, RecordType::A]);
}

#[test]
fn one_record_denies() {
    let zone = snapshot(true);
    let denial = |name: &str, record_type| {
        let (code, sections, _) = ask(&zone, name, record_type, true);
        assert_eq!(verified(&zone, &sections.authorities), [RecordType::SOA, RecordType::NSEC]);
        let nsec =
            sections.authorities.iter().find(|record| record.record_type() == RecordType::NSEC).unwrap();
        let RData::DNSSEC(DNSSECRData::NSEC(nsec)) = &nsec.data else { panic!("no denial") };
        assert_eq!(
            *nsec.next_domain_name(),
            Name::from_str(&format!("{name}.")).unwrap().prepend_label(&[0][..]).unwrap()
        );
        let types: Vec<u16> = nsec.type_bit_maps().map(u16::from).collect();
        (code, types)
    };
    // A, AAAA, RRSIG, NSEC, HTTPS.
    assert_eq!(denial("app.locum.test", RecordType::MX), (ResponseCode::NoError, vec![1, 28, 46, 47, 65]));
    // NXNAME among them: no such name, told as "none of this type".
    assert_eq!(denial("nobody.locum.test", RecordType::A), (ResponseCode::NoError, vec![46, 47, 128]));
    let name = [&wire_labels("nobody.locum.test")[..], &[0]].concat();
    let asked = Asked { name: &name, record_type: RecordType::A, dnssec: true, compact: true };
    assert_eq!(zone.records(asked, "::1".parse().unwrap(), NOW_S).0, ResponseCode::NXDomain);
}

#[test]
fn a_signature_that_must_be_made_each_time_has_its_price() {
    let zone = snapshot(true);
    let client = "10.0.0.1".parse().unwrap();
    let ask = |name: &str, dnssec: bool| {
        let name = [&wire_labels(name)[..], &[0]].concat();
        let asked = Asked { name: &name, record_type: RecordType::A, dnssec, compact: false };
        zone.answer(asked, client, NOW_S, &mut || false).is_some()
    };
    assert!(ask("app.locum.test", true) && ask("nobody.locum.test", false));
    assert!(!ask("nobody.locum.test", true));
}

#[test]
fn a_body_is_encoded_once_and_reads_as_its_records() {
    let zone = snapshot(true);
    let client = "10.0.0.1".parse().unwrap();
    for (name, record_type) in
        [("app.locum.test", RecordType::A), ("locum.test", RecordType::NS), ("eu.locum.test", RecordType::MX)]
    {
        let wire_name = [&wire_labels(name)[..], &[0]].concat();
        let asked = Asked { name: &wire_name, record_type, dnssec: true, compact: false };
        let first = zone.answer(asked, client, NOW_S, &mut || false).unwrap().body.unwrap();
        let again = zone.answer(asked, client, NOW_S + 5, &mut || false).unwrap().body.unwrap();
        assert!(std::ptr::eq(&*first, &*again));
        let counts = [0, 1, first.answers, first.authorities, first.additionals];
        let mut message: Vec<u8> = [0x1234, 0x8400]
            .into_iter()
            .chain(counts.into_iter().skip(1))
            .flat_map(u16::to_be_bytes)
            .collect();
        message.extend(&wire_name);
        message.extend(u16::from(record_type).to_be_bytes());
        message.extend([0, 1]);
        message.extend(&first.bytes);
        let read = hickory_server::proto::op::Message::from_vec(&message).unwrap();
        let (_, sections, _) = zone.records(asked, client, NOW_S);
        let types = |records: &[Record]| records.iter().map(Record::record_type).collect::<Vec<_>>();
        assert_eq!(types(&read.answers), types(&sections.answers));
        assert_eq!(types(&read.authorities), types(&sections.authorities));
        assert_eq!(types(&read.additionals), types(&sections.additionals));
        assert!(read.all_sections().all(|record| zone_name().zone_of(&record.name)));
    }
}

fn zone_name() -> Name {
    settings().origin
}

#[test]
fn during_a_rollover_both_keys_sign_the_keys_and_one_signs_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = crate::dns::zone::keys::ZoneKeys::create(&dir.path().join("k"), NOW_S).unwrap();
    let first = keys.list()[0].tag;
    let tags = |keys: &crate::dns::zone::keys::ZoneKeys, record_type| {
        let signers = Arc::new(Signers::new(keys, &zone_name()).unwrap());
        let zone = Snapshot::new(&settings(), &view(), &map(), Some(signers), 0);
        let (_, sections, _) = ask(&zone, "locum.test", record_type, true);
        let tag = |record: &Record| match &record.data {
            RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature.input().key_tag),
            _ => None,
        };
        let records = sections.answers.iter().filter(|record| record.record_type() == record_type).count();
        (records, sections.answers.iter().filter_map(tag).collect::<Vec<_>>())
    };
    keys.roll(NOW_S).unwrap();
    let next = keys.list()[1].tag;
    assert_eq!(tags(&keys, RecordType::DNSKEY), (2, vec![first, next]));
    assert_eq!(tags(&keys, RecordType::CDS).0, 2);
    assert_eq!(tags(&keys, RecordType::SOA).1, [first]);
    keys.switch(NOW_S, true).unwrap();
    assert_eq!(tags(&keys, RecordType::DNSKEY), (2, vec![next, first]));
    assert_eq!(tags(&keys, RecordType::CDS).0, 1, "the parent should forget the last one");
    assert_eq!(tags(&keys, RecordType::SOA).1, [next]);
    keys.retire(NOW_S, true).unwrap();
    assert_eq!(tags(&keys, RecordType::DNSKEY), (1, vec![next]));
}
