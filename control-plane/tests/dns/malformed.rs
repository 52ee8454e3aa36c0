//! A million malformed packets: no crash, no growth. `LOCUM_DNS_PACKETS` says how many; few by default.

use std::net::UdpSocket;
use std::time::Duration;

use crate::support::Control;
use crate::zone::Zone;

const PACKETS: usize = 50_000;
/// Of resident memory, over everything after the first tenth.
const GROWTH_BYTES: f64 = 8.0 * 1_048_576.0;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let names: [&[u8]; 5] = [
        b"\x05locum\x04test\x00",
        b"\x03aPp\x05Locum\x04test\x00",
        b"\x06nobody\x05locum\x04test\x00",
        b"\x07example\x03org\x00",
        b"\x00",
    ];
    let opt = |flags: u8, options: &[u8]| {
        [&[0, 0, 41, 4, 0xd0, 0, 0, flags, 0, 0, options.len() as u8][..], options].concat()
    };
    let additionals = [
        Vec::new(),
        opt(0x80, &[]),
        opt(0xc0, &[0, 8, 0, 7, 0, 1, 24, 0, 193, 0, 6, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]),
        vec![0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4],
    ];
    let mut seeds = Vec::new();
    for name in names {
        for record_type in [1_u16, 2, 6, 16, 28, 48, 65, 252, 255] {
            for additional in &additionals {
                let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!additional.is_empty())];
                bytes.extend(name);
                bytes.extend(record_type.to_be_bytes());
                bytes.extend([0, 1]);
                bytes.extend(additional);
                seeds.push(bytes);
            }
        }
    }
    seeds
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(5) {
        let at = random.below(bytes.len().max(1));
        match random.below(7) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes.insert(at, random.below(256) as u8),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if bytes.len() < 4_000 => bytes.extend_from_within(at.min(bytes.len())..),
            4 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            5 => bytes.resize(random.below(1_500), random.below(256) as u8),
            _ if at < bytes.len() => bytes[at] = random.below(256) as u8,
            _ => {}
        }
    }
}

fn resident(control: &Control) -> f64 {
    let metrics = control.get("/metrics").1;
    let line = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_packets_neither_crash_it_nor_make_it_grow() {
    let packets = std::env::var("LOCUM_DNS_PACKETS").map_or(PACKETS, |count| count.parse().unwrap());
    let zone = Zone::start("[dns.rate_limit]\nresponses_per_second = 0\n").await;
    zone.control.run_command(&["dns-key", "create"]);
    zone.wait_for("locum.test DNSKEY", |answer| answer.len() == 1).await;
    let (seeds, mut random) = (seeds(), Random(20_270_101));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", zone.port())).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let mut buffer = [0; 4_096];
    let (mut before, mut answered) = (0.0, 0_usize);
    for sent in 0..packets {
        if sent == packets / 10 {
            before = resident(&zone.control);
        }
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate(&mut bytes, &mut random);
        socket.send(&bytes).unwrap();
        // So few on their way that none is lost.
        if sent % 16 == 15 {
            while let Ok(length) = socket.recv(&mut buffer) {
                assert!(length >= 12 && buffer[2] & 0x80 != 0, "an answer is an answer");
                answered += 1;
                if answered.is_multiple_of(16) {
                    break;
                }
            }
        }
        if sent % 10_000 == 9_999 {
            assert_eq!(zone.short("us-west.locum.test A").len(), 1, "after {sent}");
        }
    }
    let grown = resident(&zone.control) - before;
    println!("{packets} packets, {answered} answers read, grown by {:.1} MiB", grown / 1_048_576.0);
    assert!(grown < GROWTH_BYTES, "{grown}");
    assert!(answered > packets / 10);
    assert_eq!(zone.short("us-west.locum.test A +tcp").len(), 1);
    let log = zone.control.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(log.len() < 100_000, "strangers do not fill the log: {} bytes", log.len());
}
