//! The name server beside `gdnsd`: the same zone, the same core, questions by `dnsperf` from another one. What counts
//! is questions answered for each second of processor time (user and system) that the server took.
//!
//! `LOCUM_BENCH_SECONDS` says how long each round is (default 5), `LOCUM_BENCH_ROUNDS` how many there are (5).

#![allow(clippy::unwrap_used, clippy::print_stdout, dead_code, missing_docs, reason = "a measurement")]

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/dns/zone.rs"]
mod zone;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use zone::Zone;

const QUESTIONS: &str = "app.locum.test A\napp.locum.test AAAA\nlocum.test A\nus-west.locum.test A\n\
                         us-east.locum.test A\neu-central.locum.test AAAA\nns1.locum.test A\nnobody.locum.test A\n";
/// 10.1.2.0/24, as an EDNS option's value in hex.
const SUBNET: &str = "8:000118000a0102";
const SERVER_CORE: &str = "0";
const CLIENT_CORE: &str = "1";
/// Scheduler ticks a second, as in /proc.
const TICKS: f64 = 100.0;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(bench());
}

async fn bench() {
    let rate = "[dns.rate_limit]\nresponses_per_second = 1000000\n";
    let zone = Zone::start_with("threads = 1\n", rate).await;
    let pid = zone.control.pid();
    let pinned = Command::new("taskset").args(["-a", "-c", "-p", SERVER_CORE, &pid.to_string()]).output();
    assert!(pinned.unwrap().status.success());
    let files = tempfile::tempdir().unwrap();
    let questions = files.path().join("questions");
    fs::write(&questions, QUESTIONS).unwrap();
    let ask = |port: u16, pid: u32, options: &[&str]| measure(port, pid, &questions, options);

    println!("thousand questions a processor second   locum   gdnsd   ratio");
    for (what, overrides, options) in [
        ("EDNS, 10 overrides", 10, &["-e"][..]),
        ("client subnet, 10 overrides", 10, &["-E", SUBNET]),
        ("client subnet, 100 overrides", 100, &["-E", SUBNET]),
        ("client subnet, 1,000 overrides", 1_000, &["-E", SUBNET]),
        ("client subnet, 10,000 overrides", 10_000, &["-E", SUBNET]),
    ] {
        let began = Instant::now();
        fs::write(zone.control.path("overrides.txt"), prefixes(overrides, " ", "\n")).unwrap();
        zone.wait_for(&marker(overrides), |answer| answer.first().is_some_and(|first| first == zone::EUROPE))
            .await;
        let reloaded = began.elapsed();
        let gdnsd = Gdnsd::start(overrides);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..number("LOCUM_BENCH_ROUNDS", 5) {
            ours.push(ask(zone.port(), pid, options));
            theirs.push(ask(gdnsd.port, gdnsd.process.id(), options));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "{what:<40}{:>5.0}{:>8.0}{:>8.2}   (in force after {reloaded:.1?})",
            ours,
            theirs,
            ours / theirs
        );
    }
    let plain = median((0..3).map(|_| ask(zone.port(), pid, &["-e"])).collect());
    zone.control.run_command(&["dns-key", "create"]);
    zone.wait_for("locum.test DNSKEY", |answer| answer.len() == 1).await;
    let signed = median((0..3).map(|_| ask(zone.port(), pid, &["-D"])).collect());
    println!("signed, an eighth of the questions signed anew {signed:.0}, unsigned {plain:.0}");
}

/// Thousands of questions a second of processor time.
fn measure(port: u16, pid: u32, questions: &Path, options: &[&str]) -> f64 {
    let seconds = number("LOCUM_BENCH_SECONDS", 5).to_string();
    let before = processor_seconds(pid);
    let ran = Command::new("taskset")
        .args(["-c", CLIENT_CORE, "dnsperf", "-s", "127.0.0.1", "-p", &port.to_string(), "-l", &seconds])
        .args(["-c", "4", "-q", "200", "-d"])
        .arg(questions)
        .args(options)
        .output()
        .unwrap();
    let used = processor_seconds(pid) - before;
    let said = String::from_utf8(ran.stdout).unwrap();
    let count = |name: &str| -> f64 {
        let line =
            said.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_else(|| panic!("{said}"));
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (sent, completed) = (count("Queries sent:"), count("Queries completed:"));
    assert!(completed > 0.99 * sent, "{said}");
    completed / used / 1_000.0
}

fn processor_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
}

/// `count` prefixes; the last one tells when they are in force, 10.1.2.0/24 is the first.
fn prefixes(count: usize, arrow: &str, end: &str) -> String {
    let mut text = String::new();
    for index in 0..count {
        let region = if index + 1 == count { "eu-central" } else { ["us-west", "us-east"][index % 2] };
        let (high, low) = (1 + (index + 2) / 256, (index + 2) % 256);
        write!(text, "10.{high}.{low}.0/24{arrow}{region}{end}").unwrap();
    }
    text
}

/// A question that the last prefix answers.
fn marker(count: usize) -> String {
    let last = count + 1;
    format!("app.locum.test A +subnet=10.{}.{}.0/24", 1 + last / 256, last % 256)
}

struct Gdnsd {
    process: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Gdnsd {
    fn start(overrides: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        for folder in ["etc/zones", "etc/geoip", "run", "state"] {
            fs::create_dir_all(at.join(folder)).unwrap();
        }
        let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = include_str!("gdnsd.conf").replace("PORT", &port.to_string());
        fs::write(at.join("etc/config"), config.replace("FOLDER", &at.to_string_lossy())).unwrap();
        fs::write(at.join("etc/zones/locum.test"), include_str!("gdnsd.zone")).unwrap();
        fs::write(at.join("etc/geoip/nets"), prefixes(overrides, " => ", ",\n")).unwrap();
        let process = Command::new("taskset")
            .args(["-c", SERVER_CORE, "gdnsd", "-c"])
            .arg(at.join("etc"))
            .arg("start")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let gdnsd = Self { process, port, _dir: dir };
        let begun = Instant::now();
        loop {
            let asked = Command::new("dig")
                .args([
                    "@127.0.0.1",
                    "-p",
                    &port.to_string(),
                    "+short",
                    "+tries=1",
                    "+time=1",
                    "app.locum.test",
                ])
                .output()
                .unwrap();
            if asked.stdout.starts_with(b"192.0.2.") {
                return gdnsd;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "gdnsd does not run");
        }
    }
}

impl Drop for Gdnsd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}
