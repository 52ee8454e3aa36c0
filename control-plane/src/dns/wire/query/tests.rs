use super::*;

/// A question for `name`, with what stands behind it.
pub(crate) fn message(name: &str, record_type: u16, additional: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!additional.is_empty())];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(record_type.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(additional);
    bytes
}

pub(crate) fn opt(version: u8, flags: u16, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    for (code, value) in options {
        data.extend(code.to_be_bytes());
        data.extend((value.len() as u16).to_be_bytes());
        data.extend(*value);
    }
    let mut bytes = vec![0, 0, 41, 4, 0xd0, 0, version];
    bytes.extend(flags.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn query(bytes: &[u8]) -> Query<'_> {
    match Parsed::read(bytes) {
        Parsed::Query(query) => query,
        other => panic!("{other:?}"),
    }
}

fn wrong(bytes: &[u8]) -> ResponseCode {
    match Parsed::read(bytes) {
        Parsed::Wrong(wrong) => wrong.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_common_question_is_read() {
    let bytes = message("ApP.Locum.test", 28, &opt(0, 0xc000, &[]));
    let query = query(&bytes);
    assert_eq!((query.id, query.recursion_desired, query.record_type), (0x1234, true, RecordType::AAAA));
    assert_eq!(query.asked().name, b"\x03app\x05locum\x04test\x00");
    assert_eq!(query.question, &bytes[12..bytes.len() - 11], "as it was written");
    assert!(query.asked().dnssec && query.asked().compact);
    assert_eq!(query.edns.unwrap().payload, 1232);
    let bytes = message("", 2, &[]);
    assert_eq!(self::query(&bytes).asked().name, b"\x00");
}

#[test]
fn where_the_client_is_is_read_strictly() {
    let source = "192.0.2.53".parse::<IpAddr>().unwrap();
    let client = |value: &[u8]| -> String {
        query(&message("a", 1, &opt(0, 0, &[(8, value)]))).client(source).to_string()
    };
    assert_eq!(client(&[0, 1, 24, 0, 203, 0, 113]), "203.0.113.0");
    assert_eq!(client(&[0, 1, 32, 0, 203, 0, 113, 7]), "203.0.113.7");
    assert_eq!(client(&[0, 2, 36, 0, 0x20, 1, 0xd, 0xb8, 0x10]), "2001:db8:1000::");
    assert_eq!(client(&[0, 1, 0, 0]), "192.0.2.53", "the resolver does not say");
    assert_eq!(client(&[0, 0, 0, 0]), "192.0.2.53");
    for value in [
        &[0_u8, 1, 24][..],
        &[0, 1, 24, 0, 203, 0],
        &[0, 1, 24, 0, 203, 0, 113, 0],
        &[0, 1, 24, 1, 203, 0, 113],
        &[0, 1, 23, 0, 203, 0, 113],
        &[0, 1, 33, 0, 203, 0, 113, 0, 0],
        &[0, 3, 8, 0, 1],
        &[0, 0, 8, 0, 1],
        &[0, 2, 129, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        &[],
    ] {
        assert_eq!(wrong(&message("a", 1, &opt(0, 0, &[(8, value)]))), ResponseCode::FormErr, "{value:?}");
    }
}

#[test]
fn cookies_are_read() {
    let cookie =
        |value: &[u8]| query(&message("a", 1, &opt(0, 0, &[(10, value)]))).edns.unwrap().cookie.unwrap();
    assert_eq!(cookie(&[7; 8]), Cookie { client: [7; 8], server: None });
    assert_eq!(cookie(&[7; 24]), Cookie { client: [7; 8], server: Some([7; 16]) });
    assert_eq!(cookie(&[7; 40]).server, None, "not one of ours");
    for length in [0, 7, 9, 15, 41] {
        assert_eq!(wrong(&message("a", 1, &opt(0, 0, &[(10, &vec![7; length])]))), ResponseCode::FormErr);
    }
}

#[test]
fn what_is_wrong_is_told_apart_from_what_is_unusual() {
    let good = message("app.locum.test", 1, &opt(0, 0, &[]));
    assert_eq!(wrong(&message("a", 1, &opt(1, 0, &[]))), ResponseCode::BADVERS);
    assert_eq!(wrong(&[good.clone(), vec![0]].concat()), ResponseCode::FormErr);
    assert_eq!(wrong(&good[..good.len() - 1]), ResponseCode::FormErr);
    let mut pointer = good.clone();
    pointer[12] = 0xc0;
    assert_eq!(wrong(&pointer), ResponseCode::FormErr);
    let long = message(&vec!["a".repeat(63); 4].join("."), 1, &[]);
    assert_eq!(wrong(&long), ResponseCode::FormErr);
    let fits = format!("{}.{}", vec!["a".repeat(63); 3].join("."), "a".repeat(61));
    assert_eq!(query(&message(&fits, 1, &[])).asked().name.len(), 255);
    for (at, value) in [(2, 0x28), (5, 0), (5, 2), (7, 1), (9, 1), (11, 2), (good.len() - 12, 3)] {
        let mut unusual = good.clone();
        unusual[at] = value;
        assert!(matches!(Parsed::read(&unusual), Parsed::Unusual), "{at}");
    }
    let mut answer = good.clone();
    answer[2] |= 0x80;
    assert!(matches!(Parsed::read(&answer), Parsed::Noise));
    for length in 0..12 {
        assert!(matches!(Parsed::read(&good[..length]), Parsed::Noise));
    }
}

#[test]
fn nothing_that_arrives_makes_it_panic() {
    let good = message("app.locum.test", 1, &opt(0, 0x8000, &[(8, &[0, 1, 24, 0, 1, 2, 3]), (10, &[1; 24])]));
    for length in 0..good.len() {
        Parsed::read(&good[..length]);
    }
    for at in 0..good.len() {
        for value in 0..=255 {
            let mut bytes = good.clone();
            bytes[at] = value;
            Parsed::read(&bytes);
        }
    }
}
