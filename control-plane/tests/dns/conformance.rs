//! Answers as the RFCs have them.

use crate::zone::{EAST, Zone};

#[tokio::test(flavor = "multi_thread")]
async fn every_type_there_is() {
    let zone = Zone::start("").await;
    let soa = zone.short("locum.test SOA").concat();
    assert!(
        soa.starts_with("ns1.locum.test. hostmaster.locum.test. ") && soa.ends_with(" 3600 600 604800 30"),
        "{soa}"
    );
    assert_eq!(zone.short("locum.test NS"), ["ns1.locum.test.", "ns2.locum.test."]);
    assert_eq!(zone.short("ns1.locum.test AAAA"), ["2001:db8::53"]);
    assert_eq!(
        zone.short("locum.test CAA"),
        ["0 issue \"letsencrypt.org\"", "0 issuewild \"letsencrypt.org\""]
    );
    let https = zone.short("us-east.locum.test HTTPS").concat();
    assert_eq!(https, format!("1 . alpn=\"h2\" ipv4hint={EAST} ipv6hint=2001:db8::2"));
    assert_eq!(zone.short("us-east.locum.test AAAA"), ["2001:db8::2"]);
    assert_eq!(zone.short("locum.test ANY"), ["\"RFC8482\" \"\""]);
    let told = zone.dig("locum.test NS");
    assert!(told.contains(";; flags: qr aa; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 4"), "{told}");
    for words in ["app.locum.test A", "locum.test SOA", "nobody.locum.test A"] {
        let data = |told: String| -> Vec<String> {
            told.lines().filter(|line| line.contains("\tIN\t")).map(without_serial).collect()
        };
        assert_eq!(data(zone.dig(words)), data(zone.dig(&format!("{words} +tcp"))), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_and_what_is_not_ours() {
    let zone = Zone::start("").await;
    for (words, status) in [
        ("app.locum.test MX", "NOERROR"),
        ("us-west.locum.test TXT", "NOERROR"),
        ("nobody.locum.test A", "NXDOMAIN"),
        ("x.app.locum.test A", "NXDOMAIN"),
        ("example.org A", "REFUSED"),
        ("test SOA", "REFUSED"),
        (". NS", "REFUSED"),
        ("locum.test AXFR", "REFUSED"),
        ("-c CH -t TXT version.bind", "REFUSED"),
        ("locum.test TYPE128", "FORMERR"),
        ("locum.test SOA +opcode=NOTIFY", "NOTIMP"),
        ("locum.test SOA +edns=1 +noednsnegotiation", "BADVERS"),
        ("locum.test SOA +ednsopt=65001:00ff", "NOERROR"),
        ("locum.test SOA +ednsopt=8:0001", "FORMERR"),
        ("locum.test SOA +ednsflags=0x1fff", "NOERROR"),
        ("locum.test SOA +noedns", "NOERROR"),
        ("locum.test SOA +header-only", "FORMERR"),
    ] {
        // `dig` says of a transfer only that it failed.
        let told = zone.dig(words);
        let refused = words.contains("AXFR") && told.contains("Transfer failed");
        assert!(refused || zone.status(words) == status, "{words}: {told}");
    }
    let negative = zone.dig("nobody.locum.test A");
    assert!(
        negative.contains("locum.test.\t\t30\tIN\tSOA\t"),
        "kept as long as the SOA record says: {negative}"
    );
    let odd = zone.dig("aPp.LoCum.TEST A");
    assert!(
        odd.contains(";aPp.LoCum.TEST.") && odd.contains("\naPp.LoCum.TEST."),
        "letters come back: {odd}"
    );
    assert!(!zone.dig("app.locum.test A +noedns").contains("EDNS"), "no OPT record for who sent none");
    assert!(zone.dig("app.locum.test A +bufsize=4096").contains("udp: 1232"));
    let cookie = zone.dig("app.locum.test A +cookie");
    assert!(cookie.contains("(good)"), "{cookie}");
}

/// A zone of a living network gets a new serial number whenever its health changes, also between two questions.
fn without_serial(record: &str) -> String {
    let mut words: Vec<&str> = record.split(' ').collect();
    if record.contains("\tSOA\t") {
        words.remove(2);
    }
    words.join(" ")
}
