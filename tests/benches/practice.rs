//! What a front desk and its patients wait for: a search for free slots, and many bookings at once, over HTTP against
//! whole networks.
#![allow(clippy::print_stdout, reason = "what a benchmark is for")]

use std::collections::{BTreeMap, VecDeque};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use locum_network_tests::{Browser, Network, Patient, binaries, confirmation, hold};
use reqwest::Method;
use serde_json::{Value, json};

const PRACTITIONERS: usize = 20;
const DAYS: usize = 30;
const SEARCHES: usize = 200;
const BOOKINGS: usize = 3_000;
/// In each region.
const CLIENTS: usize = 8;

/// Requests that were told to come back.
static AGAIN: AtomicUsize = AtomicUsize::new(0);

/// The demo clinic with so many doctors, each from eight to six on five days a week.
fn staffed(network: &Network) -> Result<()> {
    let locum = |words: &[&str]| -> Result<Vec<u8>> {
        let program = binaries()?.join("locum");
        let output =
            Command::new(program).arg("clinic").args(words).arg("--data").arg(network.data()).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    };
    let mut bundle: Value = serde_json::from_slice(&locum(&["show", "demo"])?)?;
    let hours = json!([{"rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "start": "08:00", "end": "18:00"}]);
    let staff = bundle["staff"].as_array_mut().context("no staff")?;
    for other in staff.iter_mut() {
        if let Some(other) = other.as_object_mut() {
            other.remove("hours");
        }
    }
    let doctor = |n| json!({"username": format!("doctor-{n}"), "name": format!("Dr. Number {n}"), "roles": ["doctor"], "hours": hours});
    staff.extend((0..PRACTITIONERS).map(doctor));
    let file = network.data().join("bundle.json");
    std::fs::write(&file, bundle.to_string())?;
    locum(&["apply", "demo", file.to_str().context("a path")?, "--yes"]).map(drop)
}

/// Free slots of thirty days, as bodies for a hold, and how long the search took.
async fn search(browser: &Browser, service: &str) -> Result<(Vec<Value>, Duration)> {
    let path = format!("/scheduling/slots?service={service}&from={}&days={DAYS}", jiff::Zoned::now().date());
    let begun = Instant::now();
    let answer = browser.send(Method::GET, &path, None).await?;
    let took = begun.elapsed();
    ensure!(answer.status == 200, "{answer:?}");
    // What the client itself needs to read the answer is not the host's.
    let text = answer.body.to_string();
    let begun = Instant::now();
    serde_json::from_str::<Value>(&text)?;
    let took = took.saturating_sub(begun.elapsed());
    let slots = answer.body["slots"].as_array().context("no slots")?;
    let body =
        |s: &Value| json!({"service": service, "practitioner": s["practitioner"]["id"], "start": s["start"]});
    Ok((slots.iter().map(body).collect(), took))
}

fn quantiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    format!("p50 {:.1} ms, p99 {:.1} ms", at(50), at(99))
}

/// As pages do it: whoever is told to come back does, with the same key.
async fn insist(browser: &Browser, path: &str, body: &Value, key: &str) -> Result<Value> {
    loop {
        let answer = browser.send_with(Method::POST, path, Some(body), &[("idempotency-key", key)]).await?;
        match answer.status {
            201 => return Ok(answer.body),
            503 => AGAIN.fetch_add(1, Ordering::Relaxed),
            _ => anyhow::bail!("{path}: {answer:?}"),
        };
        let seconds = answer.headers.get("retry-after").and_then(|s| s.parse().ok()).unwrap_or(1);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

async fn book(browser: &Browser, slot: &Value, number: usize) -> Result<()> {
    let held = insist(browser, "/scheduling/holds", slot, &format!("hold-{number}")).await?;
    let wish = confirmation(&hold(&held)?, &Patient::numbered(number));
    insist(browser, "/payments/confirmations", &wish, &format!("confirm-{number}")).await.map(drop)
}

/// Processor time that each process of a network has had, user and system.
fn processor_times(network: &Network) -> Result<BTreeMap<String, Duration>> {
    let data = network.data().to_string_lossy().into_owned();
    let mut times = BTreeMap::new();
    for process in std::fs::read_dir("/proc")?.flatten() {
        let read = |name| std::fs::read_to_string(process.path().join(name));
        let (Ok(words), Ok(stat)) = (read("cmdline"), read("stat")) else { continue };
        let Some((name, fields)) = stat.rsplit_once(')').filter(|_| words.contains(&data)) else { continue };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        let name = name.split_once('(').map_or("", |(_, name)| name);
        let of_region = network.regions().into_iter().find(|region| words.contains(&network.edge(region)));
        *times.entry(format!("{name} {}", of_region.unwrap_or_default())).or_default() +=
            Duration::from_millis(ticks * 10);
    }
    Ok(times)
}

async fn bookings(network: &Network, slots: Vec<Value>) -> Result<()> {
    let slots: VecDeque<_> = slots.into_iter().enumerate().take(BOOKINGS).collect();
    let (count, slots) = (slots.len(), Arc::new(Mutex::new(slots)));
    let clients = network.regions().into_iter().flat_map(|region| vec![region; CLIENTS]);
    let before = processor_times(network)?;
    let begun = Instant::now();
    let work = clients.map(|region| {
        let slots = Arc::clone(&slots);
        async move {
            let (mut times, next) =
                (Vec::new(), || slots.lock().unwrap_or_else(PoisonError::into_inner).pop_front());
            while let Some((number, slot)) = next() {
                let browser = Browser::at(network, &region)?;
                let begun = Instant::now();
                book(&browser, &slot, number).await?;
                times.push(begun.elapsed());
            }
            anyhow::Ok(times)
        }
    });
    let mut times = try_join_all(work).await?.concat();
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{count} bookings (hold and confirmation) through {} regions, {CLIENTS} clients each: {:.0}/s; {}; {} requests had to \
         come back",
        network.regions().len(),
        count as f64 / took,
        quantiles(&mut times),
        AGAIN.load(Ordering::Relaxed)
    );
    for (name, time) in processor_times(network)? {
        let spent = time.saturating_sub(before.get(&name).copied().unwrap_or_default());
        if !spent.is_zero() {
            println!("  {name}: {:.1} ms of a processor each", spent.as_secs_f64() * 1000.0 / count as f64);
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let network = Network::start_regions(3)?;
    staffed(&network)?;
    let browser = Browser::new(&network)?;
    let clinic = browser.get("/scheduling/clinic").await?;
    let service = clinic["services"][0]["id"].as_str().context("no service")?;
    let (slots, _) = search(&browser, service).await?;
    let empty = slots.len();
    bookings(&network, slots).await?;
    let mut times = Vec::new();
    let mut left = 0;
    for _ in 0..SEARCHES {
        let (slots, took) = search(&browser, service).await?;
        left = slots.len();
        times.push(took);
    }
    println!(
        "{SEARCHES} searches over {PRACTITIONERS} practitioners and {DAYS} days, {empty} slots of which {left} are free: {}",
        quantiles(&mut times)
    );
    Ok(())
}
