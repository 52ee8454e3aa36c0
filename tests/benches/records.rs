//! What replication costs and how long a failover takes, over HTTP against whole networks: one region (a single
//! file) beside three, in the same run. The write is a clinician's note; the read is what anybody sees of the
//! clinic, which needs no audit event.
#![allow(clippy::print_stdout, reason = "what a benchmark is for")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Network, Patient};
use reqwest::Method;
use serde_json::{Value, json};

const CALLS: usize = 200;
const FAILOVERS: usize = 5;
const BETWEEN: Duration = Duration::from_millis(20);

/// A clinician at an encounter, through one region.
struct Clinician {
    browser: Browser,
    note: String,
    etag: String,
}

impl Clinician {
    async fn new(network: &Network, region: &str) -> Result<Self> {
        let (staff, patient) = (Browser::at(network, region)?, Browser::at(network, region)?);
        staff.sign_in(&network.account("front-desk")?).await?;
        let visit = patient.book(&staff, &Patient::numbered(1)).await?;
        let browser = Browser::at(network, region)?;
        browser.sign_in(&network.account("doctor")?).await?;
        let encounter = browser.encounter(&visit.appointment).await?;
        let path = format!("/records/encounters/{encounter}");
        let answer = browser.send(Method::GET, &path, None).await?;
        let etag = answer.headers.get("etag").context("no etag")?.clone();
        Ok(Self { browser, note: format!("{path}/note"), etag })
    }

    /// One acknowledged write.
    async fn write(&mut self, number: usize) -> Result<()> {
        let (body, headers) = (json!({"text": format!("note {number}")}), [("if-match", self.etag.as_str())]);
        let answer = self.browser.send_with(Method::PUT, &self.note, Some(&body), &headers).await?;
        ensure!(answer.status == 200, "{answer:?}");
        self.etag = answer.headers.get("etag").context("no etag")?.clone();
        Ok(())
    }

    async fn read(&self) -> Result<()> {
        self.browser.get("/scheduling/clinic").await.map(drop)
    }
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    format!("p50 {:.1} ms, p99 {:.1} ms", at(50), at(99))
}

async fn measure(name: &str, network: &Network, region: &str) -> Result<()> {
    let mut clinician = Clinician::new(network, region).await?;
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for number in 0..CALLS {
        let begun = Instant::now();
        clinician.write(number).await?;
        writes.push(begun.elapsed());
        let begun = Instant::now();
        clinician.read().await?;
        reads.push(begun.elapsed());
    }
    println!("{name}: write {}; read {}", quantiles(writes), quantiles(reads));
    Ok(())
}

/// From the death of the primary's region to the first acknowledged write at another.
async fn failover() -> Result<Duration> {
    let mut network = Network::start_regions(3)?;
    let browser = Browser::at(&network, "eu-central")?;
    let slots: Vec<Value> = browser.slots().await?;
    let mut slots = slots.iter();
    let first = browser.post("/scheduling/holds", slots.next().context("no slot")?).await?;
    ensure!(first.status == 201, "{first:?}");

    let begun = Instant::now();
    network.kill_region("us-west")?;
    let slot = slots.next().context("no slot")?;
    let headers = [("idempotency-key", "after the region died")];
    loop {
        let answer = browser.send_with(Method::POST, "/scheduling/holds", Some(slot), &headers).await?;
        if answer.status == 201 {
            return Ok(begun.elapsed());
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    {
        let network = Network::start()?;
        measure("one region, a single file", &network, "eu-central").await?;
    }
    {
        let network = Network::start_regions(3)?;
        measure("three regions, at the primary", &network, "us-west").await?;
        measure("three regions, at another", &network, "eu-central").await?;
    }
    let mut times = Vec::new();
    for _ in 0..FAILOVERS {
        times.push(failover().await?);
    }
    times.sort_unstable();
    println!("region dies to first acknowledged write: {times:.1?}, median {:.1?}", times[FAILOVERS / 2]);
    Ok(())
}
