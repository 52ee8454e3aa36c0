//! Response rate limiting, seen from outside.

use std::net::UdpSocket;
use std::time::Duration;

use crate::zone::Zone;

/// `app.locum.test A` in class IN, with a cookie or without.
fn question(cookie: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(cookie.is_some())];
    bytes.extend(b"\x03app\x05locum\x04test\x00\x00\x01\x00\x01");
    if let Some(cookie) = cookie {
        bytes.extend([
            0,
            0,
            41,
            4,
            0xd0,
            0,
            0,
            0,
            0,
            0,
            4 + cookie.len() as u8,
            0,
            10,
            0,
            cookie.len() as u8,
        ]);
        bytes.extend(cookie);
    }
    bytes
}

/// Answers with records, and answers that say "use TCP", to so many questions at once.
fn flood(zone: &Zone, question: &[u8], times: usize) -> (usize, usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", zone.port())).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (mut whole, mut cut) = (0, 0);
    let mut buffer = [0; 1_500];
    let mut count = |length: usize, flags: u8| {
        assert!(length > 12);
        if flags & 2 == 0 {
            whole += 1;
        } else {
            assert!(length <= question.len() + 16, "a limited answer is no larger than its question");
            cut += 1;
        }
    };
    // A few at a time, so that what is missing was not answered rather than lost.
    for _ in 0..times / 20 {
        for _ in 0..20 {
            socket.send(question).unwrap();
        }
        while let Ok(length) = socket.recv(&mut buffer) {
            count(length, buffer[2]);
        }
    }
    (whole, cut)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_asks_too_much_is_sent_to_tcp() {
    let zone = Zone::start("[dns.rate_limit]\nresponses_per_second = 50\nslip = 2\n").await;
    let asked = 1_000;
    let (whole, cut) = flood(&zone, &question(None), asked);
    // A burst of two seconds' answers, and what the flood's own second or so adds.
    assert!((1..=300).contains(&whole), "{whole}");
    let limited = asked - whole;
    assert!(cut.abs_diff(limited / 2) <= 2, "every second one: {cut} of {limited}");

    // TCP is not limited, nor is who shows a cookie.
    for _ in 0..20 {
        assert_eq!(zone.short("app.locum.test A +tcp").len(), 2);
    }
    assert_eq!(zone.short("app.locum.test A").len(), 2, "dig comes again over TCP when it is told to");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut buffer = [0; 1_500];
    let mut length = 0;
    for _ in 0..10 {
        socket.send_to(&question(Some(&[7; 8])), ("127.0.0.1", zone.port())).unwrap();
        if let Ok((received, _)) = socket.recv_from(&mut buffer) {
            length = received;
            break;
        }
    }
    // Also a limited answer brings one.
    let cookie = buffer[length - 24..length].to_vec();
    let (whole, cut) = flood(&zone, &question(Some(&cookie)), 500);
    assert_eq!((whole, cut), (500, 0));
    let metrics = zone.control.get("/metrics").1;
    assert!(metrics.contains("locum_dns_rate_limited_total{action=\"dropped\"}"), "{metrics}");
}
