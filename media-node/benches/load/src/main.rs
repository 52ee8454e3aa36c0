//! Measures a media node under load, beside its peers.
//!
//! ```text
//! locum-load HOST NODE STR0M JANUS peers|sizes|garbage|day
//! ```
//!
//! HOST is an address of this machine that is not loopback (Janus takes no other). What counts is processor time as
//! the kernel accounts it to the server's process, for each packet that arrived at a caller.

mod callers;
mod garbage;
mod server;
mod signal;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use callers::{Callers, Media, Tally};
use garbage::Garbage;
use server::{Kind, Programs, Server};

/// Packets a second that are spread over the callers of a size: what fits a shared machine of two cores.
const PACKETS_PER_SECOND: f64 = 12_500.0;
const SOUND_SHARE: f64 = 0.2;
const PACKETS_PER_PICTURE: u32 = 8;
const PAYLOAD_BYTES: usize = 1_100;

const SETTLE: Duration = Duration::from_secs(4);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, node, str0m, janus, what] = arguments.as_slice() else {
        bail!("usage: locum-load HOST NODE STR0M JANUS peers|sizes|garbage|day");
    };
    let host: IpAddr = host.parse()?;
    let programs = Programs { node: node.into(), str0m: str0m.into(), janus: janus.into() };
    match what.as_str() {
        "peers" => peers(&programs, host),
        "sizes" => sizes(&programs, host),
        "garbage" => garbage(&programs, host),
        "day" => day(&programs, host),
        other => bail!("no measurement is called {other}"),
    }
}

/// A caller who sends so many packets a second.
fn sending(each: f64) -> Media {
    Media {
        pictures_per_second: each * (1.0 - SOUND_SHARE) / f64::from(PACKETS_PER_PICTURE),
        packets_per_picture: PACKETS_PER_PICTURE,
        sounds_per_second: each * SOUND_SHARE,
        payload_bytes: PAYLOAD_BYTES,
    }
}

/// A camera of 720 lines and a voice: 250 packets a second.
const CALL: Media = Media {
    pictures_per_second: 25.0,
    packets_per_picture: PACKETS_PER_PICTURE,
    sounds_per_second: 50.0,
    payload_bytes: PAYLOAD_BYTES,
};

struct Measured {
    tally: Tally,
    cpu_seconds: f64,
    mib_per_caller: f64,
}

impl Measured {
    fn us_per_packet(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.tally.received.max(1) as f64
    }
}

fn measure(
    kind: Kind,
    programs: &Programs,
    host: IpAddr,
    callers: usize,
    media: Media,
    lasts: Duration,
) -> Result<Measured> {
    let server = Server::start(kind, programs, host)?;
    let empty = server.memory_mib()?;
    let measure = || -> Result<Measured> {
        let mut all = Callers::connect(host, callers, media, server.signalling()?)?;
        all.run(SETTLE)?;
        let cpu = server.cpu()?;
        let tally = all.run(lasts)?;
        let cpu_seconds = server.cpu()? - cpu;
        Ok(Measured { tally, cpu_seconds, mib_per_caller: (server.memory_mib()? - empty) / callers as f64 })
    };
    measure().with_context(|| format!("{kind:?} with {callers} callers: {}", last_lines(&server.log())))
}

fn peers(programs: &Programs, host: IpAddr) -> Result<()> {
    let lasts = Duration::from_secs(number("LOCUM_BENCH_SECONDS", 10)?);
    println!(
        "| callers | | packets/s | CPU µs per forwarded packet | MiB per caller | lost, of sound | p50, p99 |"
    );
    println!("|---|---|---|---|---|---|---|");
    for callers in callers()? {
        let mut ours = None;
        for kind in [Kind::Locum, Kind::Str0m, Kind::Janus] {
            let measured =
                measure(kind, programs, host, callers, sending(PACKETS_PER_SECOND / callers as f64), lasts);
            let measured = match measured {
                Ok(measured) => measured,
                Err(error) => {
                    println!("| {callers} | {kind:?} | {error:#} |");
                    continue;
                }
            };
            let us = measured.us_per_packet();
            let ratio = ours.map_or_else(String::new, |ours| format!(" (ours is {:.2} of it)", ours / us));
            ours = ours.or((kind == Kind::Locum).then_some(us));
            println!(
                "| {callers} | {kind:?} | {:.0} | {us:.1}{ratio} | {:.2} | {} | {:.1}, {:.1} ms |",
                measured.tally.received as f64 / measured.tally.seconds,
                measured.mib_per_caller,
                lost(&measured.tally),
                measured.tally.delay_ms(0.5),
                measured.tally.delay_ms(0.99),
            );
        }
    }
    Ok(())
}

/// What a caller costs who sends the same among few and among many.
fn sizes(programs: &Programs, host: IpAddr) -> Result<()> {
    let lasts = Duration::from_secs(number("LOCUM_BENCH_SECONDS", 10)?);
    println!(
        "| callers, 25 packets/s each | CPU ms per caller and second | MiB per caller | lost, of sound |"
    );
    println!("|---|---|---|---|");
    for callers in callers()? {
        let measured = measure(Kind::Locum, programs, host, callers, sending(25.0), lasts)?;
        println!(
            "| {callers} | {:.2} | {:.2} | {} |",
            measured.cpu_seconds * 1e3 / measured.tally.seconds / callers as f64,
            measured.mib_per_caller,
            lost(&measured.tally),
        );
    }
    Ok(())
}

/// How many callers there are, in turn.
fn callers() -> Result<Vec<usize>> {
    let sizes = std::env::var("LOCUM_BENCH_CALLERS").unwrap_or_else(|_| "10 50 200 500".to_owned());
    sizes.split_whitespace().map(|size| Ok(size.parse()?)).collect()
}

/// Twenty calls, without and beside datagrams of nobody.
fn garbage(programs: &Programs, host: IpAddr) -> Result<()> {
    let (callers, lasts) = (40, Duration::from_secs(number("LOCUM_BENCH_SECONDS", 10)?));
    let per_second = u32::try_from(number("LOCUM_BENCH_GARBAGE", 50_000)?)?;
    let server = Server::start(Kind::Locum, programs, host)?;
    let mut all = Callers::connect(host, callers, CALL, server.signalling()?)?;
    all.run(SETTLE)?;
    let mut run = |what: &str| -> Result<()> {
        let cpu = server.cpu()?;
        let tally = all.run(lasts)?;
        println!(
            "20 calls {what}: {:.0} packets/s, lost {}, p50 {:.1} ms, p99 {:.1} ms; the node takes {:.2} cores",
            tally.received as f64 / tally.seconds,
            lost(&tally),
            tally.delay_ms(0.5),
            tally.delay_ms(0.99),
            (server.cpu()? - cpu) / tally.seconds,
        );
        Ok(())
    };
    run("alone")?;
    let garbage = Garbage::begin(host, server.media.context("no media address")?, per_second)?;
    run("beside garbage")?;
    println!("garbage: {:.0} datagrams/s", garbage.end()?);
    Ok(())
}

/// A sample of the busiest day: 157 Mbit/s.
fn day(programs: &Programs, host: IpAddr) -> Result<()> {
    let (callers, bits_per_second) = (80, 157e6);
    let lasts = Duration::from_secs(number("LOCUM_BENCH_DAY_SECONDS", 600)?);
    let picture_bits = f64::from(PACKETS_PER_PICTURE) * PAYLOAD_BYTES as f64 * 8.0;
    let media = Media { pictures_per_second: bits_per_second / callers as f64 / picture_bits, ..CALL };
    let measured = measure(Kind::Locum, programs, host, callers, media, lasts)?;
    println!(
        "{callers} callers for {:.0} s: {:.1} Mbit/s, {:.0} packets/s, lost {}, p50 {:.1} ms, p99 {:.1} ms, \
         {:.1} µs per forwarded packet",
        measured.tally.seconds,
        measured.tally.bytes as f64 * 8.0 / measured.tally.seconds / 1e6,
        measured.tally.received as f64 / measured.tally.seconds,
        lost(&measured.tally),
        measured.tally.delay_ms(0.5),
        measured.tally.delay_ms(0.99),
        measured.us_per_packet(),
    );
    Ok(())
}

fn number(name: &str, default: u64) -> Result<u64> {
    std::env::var(name)
        .map_or(Ok(default), |text| text.parse().with_context(|| format!("{name} is no number")))
}

fn lost(tally: &Tally) -> String {
    let (all, sound) = tally.lost_percent();
    format!("{all:.3}, {sound:.3} %")
}

fn last_lines(log: &str) -> String {
    log.lines().rev().take(5).collect::<Vec<_>>().join(" / ")
}
