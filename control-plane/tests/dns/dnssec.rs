//! Signatures, checked by two validators that are not ours: `delv` (BIND) and `unbound`.

use std::fs;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::support::LONG;
use crate::zone::Zone;

/// `locum.test. IN DS 1234 13 2 ABCD…` of each key, the active one first.
fn ds(zone: &Zone, step: &[&str]) -> Vec<String> {
    let told = zone.control.run_command(&[&["dns-key"], step].concat());
    told.lines().filter(|line| line.contains(" DS ")).map(str::to_owned).collect()
}

/// What `delv` says to a question, trusting one DS record.
fn delv(zone: &Zone, ds: &str, words: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let anchor = dir.path().join("anchors");
    let fields: Vec<&str> = ds.split_whitespace().skip(3).collect();
    let [tag, algorithm, digest_type, digest] = fields[..] else { panic!("{ds}") };
    let text =
        format!("trust-anchors {{ locum.test. static-ds {tag} {algorithm} {digest_type} \"{digest}\"; }};\n");
    fs::write(&anchor, text).unwrap();
    let port = zone.port().to_string();
    let asked = Command::new("delv")
        .args(["@127.0.0.1", "-p", &port, "+root=locum.test", "-a"])
        .arg(&anchor)
        .args(words.split_whitespace())
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr))
}

/// A resolver that asks our name server and validates.
struct Unbound {
    process: Child,
    port: u16,
    _dir: TempDir,
}

impl Unbound {
    fn start(zone: &Zone, anchors: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let anchors: String = anchors.iter().map(|ds| format!("  trust-anchor: \"{ds}\"\n")).collect();
        let text = format!(
            "server:\n  interface: 127.0.0.1\n  port: {port}\n  do-daemonize: no\n  use-syslog: no\n  chroot: \"\"\n\
             \x20 username: \"\"\n  pidfile: \"\"\n  directory: \"{0}\"\n  do-not-query-localhost: no\n\
             \x20 local-zone: \"test.\" nodefault\n  module-config: \"validator iterator\"\n  harden-dnssec-stripped: yes\n\
             \x20 aggressive-nsec: yes\n  qname-minimisation: yes\n  val-log-level: 2\n  log-queries: no\n{anchors}\
             stub-zone:\n  name: \"locum.test\"\n  stub-addr: 127.0.0.1@{1}\n",
            dir.path().display(),
            zone.port(),
        );
        let config = dir.path().join("unbound.conf");
        fs::write(&config, text).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut process = Command::new("unbound")
            .arg("-d")
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let mut unbound = loop {
            let asked = Command::new("dig")
                .args(["@127.0.0.1", "-p", &port.to_string(), "+time=1", "+tries=1", "locum.test", "SOA"])
                .output()
                .unwrap();
            if asked.status.success() {
                break Self { process, port, _dir: dir };
            }
            let ended = process.try_wait().unwrap();
            let log = fs::read_to_string(dir.path().join("log")).unwrap();
            assert!(ended.is_none() && begun.elapsed() < LONG, "unbound does not run: {log}");
        };
        assert!(unbound.process.try_wait().unwrap().is_none());
        unbound
    }

    /// The code, and whether it was validated: `NOERROR secure`.
    fn ask(&self, words: &str) -> String {
        let asked = Command::new("dig")
            .args(["@127.0.0.1", "-p", &self.port.to_string(), "+time=5", "+tries=2", "+dnssec"])
            .args(words.split_whitespace())
            .output()
            .unwrap();
        let told = String::from_utf8(asked.stdout).unwrap();
        let status = told.split_once("status: ").map_or("none", |(_, rest)| rest.split(',').next().unwrap());
        let flags = told.split_once(";; flags:").map_or("", |(_, rest)| rest.split(';').next().unwrap());
        let secure = if flags.split_whitespace().any(|flag| flag == "ad") { "secure" } else { "insecure" };
        format!("{status} {secure}")
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The zone, signed from its start on.
async fn signed() -> (Zone, String) {
    let zone = Zone::start("").await;
    let first = ds(&zone, &["create"]).remove(0);
    // The running member takes the keys up by itself.
    zone.wait_for("locum.test DNSKEY", |answer| answer.len() == 1).await;
    (zone, first)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_denials_validate() {
    let (zone, anchor) = signed().await;
    for words in [
        "app.locum.test A",
        "app.locum.test AAAA",
        "app.locum.test HTTPS",
        "us-west.locum.test A",
        "locum.test SOA",
        "locum.test NS",
        "locum.test CAA",
        "locum.test CDS",
        "locum.test CDNSKEY",
        "ns1.locum.test A",
    ] {
        let told = delv(&zone, &anchor, words);
        assert!(told.contains("; fully validated"), "{words}: {told}");
    }
    for words in [
        "app.locum.test MX",
        "nobody.locum.test A",
        "a.b.nobody.locum.test A",
        "media.us-west.locum.test TXT",
    ] {
        let told = delv(&zone, &anchor, words);
        assert!(told.contains("; negative response, fully validated"), "{words}: {told}");
    }
    let last = if anchor.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{last}", &anchor[..anchor.len() - 1]);
    let told = delv(&zone, &forged, "app.locum.test A");
    assert!(!told.contains("; fully validated"), "another key's zone: {told}");

    let unbound = Unbound::start(&zone, &[anchor]);
    for (words, expected) in [
        ("app.locum.test A", "NOERROR secure"),
        ("app.locum.test HTTPS", "NOERROR secure"),
        ("locum.test CAA", "NOERROR secure"),
        ("us-east.locum.test MX", "NOERROR secure"),
        // To a resolver that does not know compact denial the name is there, and empty (RFC 9824).
        ("nobody.locum.test A", "NOERROR secure"),
        ("x.y.nobody.locum.test A", "NOERROR secure"),
        // Whatever it has learnt of what is not there, it still finds what is.
        ("us-west.locum.test A", "NOERROR secure"),
        ("media.us-west.locum.test A", "NOERROR secure"),
    ] {
        assert_eq!(unbound.ask(words), expected, "{words}");
    }
    // Who does know is told the code, and who asks for no signatures as well.
    assert_eq!(zone.status("nobody.locum.test A +dnssec +coflag"), "NXDOMAIN");
    assert_eq!(zone.status("nobody.locum.test A +dnssec"), "NOERROR");
    assert_eq!(zone.status("nobody.locum.test A"), "NXDOMAIN");
    let denial = zone.dig("nobody.locum.test A +dnssec");
    assert!(denial.contains("\tNSEC\t\\000.nobody.locum.test. RRSIG NSEC TYPE128"), "{denial}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollover_never_leaves_a_resolver_without_a_way() {
    let (zone, first) = signed().await;
    // What it keeps from before each step has to go together with what comes after.
    let patient = Unbound::start(&zone, std::slice::from_ref(&first));
    assert_eq!(patient.ask("app.locum.test A"), "NOERROR secure");

    let early = crate::support::command(&zone.control.path("control.toml"))
        .args(["dns-key", "switch"])
        .output()
        .unwrap();
    assert_eq!(early.status.code(), Some(1), "there is no next key yet");
    let next = ds(&zone, &["roll"]).remove(1);
    zone.wait_for("locum.test DNSKEY", |answer| answer.len() == 2).await;
    assert_eq!(zone.short("locum.test CDS").len(), 2);
    let still = crate::support::command(&zone.control.path("control.toml"))
        .args(["dns-key", "switch"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&still.stderr).into_owned();
    assert!(!still.status.success() && said.contains("too early"), "{said}");
    for anchor in [&first, &next] {
        assert!(delv(&zone, anchor, "app.locum.test A").contains("; fully validated"), "{anchor}");
    }
    assert_eq!(patient.ask("us-west.locum.test A"), "NOERROR secure");
    let informed = Unbound::start(&zone, std::slice::from_ref(&first));
    assert_eq!(informed.ask("app.locum.test A"), "NOERROR secure");

    assert_eq!(ds(&zone, &["switch", "--now"])[0], next);
    zone.wait_for("locum.test CDS", |answer| {
        answer.len() == 1 && next.contains(answer[0].split(' ').next().unwrap())
    })
    .await;
    // It has seen the next key, as it would have after an hour, and trusts the parent's old DS record.
    assert_eq!(informed.ask("us-east.locum.test A"), "NOERROR secure");
    assert_eq!(informed.ask("nobody.locum.test A"), "NOERROR secure");
    for anchor in [&first, &next] {
        assert!(delv(&zone, anchor, "app.locum.test A").contains("; fully validated"), "{anchor}");
    }

    ds(&zone, &["retire", "--parent-has-next", "--now"]);
    zone.wait_for("locum.test DNSKEY", |answer| answer.len() == 1).await;
    assert!(delv(&zone, &next, "app.locum.test A").contains("; fully validated"));
    assert!(!delv(&zone, &first, "app.locum.test A").contains("; fully validated"), "the last key is gone");
    let renewed = Unbound::start(&zone, &[next]);
    assert_eq!(renewed.ask("app.locum.test A"), "NOERROR secure");
    let stale = Unbound::start(&zone, &[first]);
    assert_eq!(stale.ask("app.locum.test A"), "SERVFAIL insecure");
}
