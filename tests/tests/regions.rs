//! Three regions, a writer in each: whatever was acknowledged is there afterwards, once.
//!
//! A writer holds slots. Each hold has an `Idempotency-Key` and is sent again until it is answered, as the pages
//! do; the journal has only what was answered.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use locum_network_tests::{Answer, Browser, Network, PATIENT, Patient, binaries};
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

/// A failover takes about 6 s; machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN: Duration = Duration::from_millis(100);

/// One acknowledged hold.
struct Entry {
    slot: Value,
    key: String,
    id: String,
}

struct Writer {
    region: String,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Vec<Entry>>>,
    written: tokio::sync::watch::Receiver<usize>,
}

impl Writer {
    fn start(browser: Browser, region: &str, slots: Vec<Value>) -> Self {
        let (stop, (count, written)) = (Arc::new(AtomicBool::new(false)), tokio::sync::watch::channel(0));
        let (stopping, name) = (Arc::clone(&stop), region.to_owned());
        let task = tokio::spawn(async move {
            let mut journal = Vec::new();
            for (number, slot) in slots.into_iter().enumerate() {
                if stopping.load(Ordering::Relaxed) {
                    break;
                }
                let key = format!("{name}-{number}");
                let Some(answer) = hold(&browser, &slot, &key, &stopping).await else { break };
                ensure!(answer.status == 201, "{name}: {answer:?}");
                let id = answer.body["id"].as_str().context("no id")?.to_owned();
                journal.push(Entry { slot, key, id });
                count.send_replace(journal.len());
            }
            Ok(journal)
        });
        Self { region: region.to_owned(), stop, task, written }
    }

    /// Waits until `more` further holds are acknowledged.
    async fn until_more(&mut self, more: usize) -> Result<()> {
        let wanted = *self.written.borrow() + more;
        let waited = tokio::time::timeout(PATIENCE, self.written.wait_for(|count| *count >= wanted)).await;
        let reached = waited.is_ok_and(|count| count.is_ok());
        ensure!(reached, "{} has {} of {wanted} holds", self.region, *self.written.borrow());
        Ok(())
    }

    async fn journal(self) -> Result<Vec<Entry>> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

/// Sends until it is answered; `None` once the writer is to stop.
async fn hold(browser: &Browser, slot: &Value, key: &str, stop: &AtomicBool) -> Option<Answer> {
    loop {
        let headers = [("idempotency-key", key)];
        let sent = browser.send_with(Method::POST, "/scheduling/holds", Some(slot), &headers);
        match tokio::time::timeout(Duration::from_secs(12), sent).await {
            Ok(Ok(answer)) if answer.status < 500 => return Some(answer),
            // Refused, unknown or lost: the key makes it safe to say it again.
            _ if stop.load(Ordering::Relaxed) => return None,
            _ => tokio::time::sleep(BETWEEN).await,
        }
    }
}

async fn writers(network: &Network) -> Result<Vec<Writer>> {
    let regions = network.regions();
    let slots = Browser::new(network)?.slots().await?;
    let share = slots.len() / regions.len();
    ensure!(share >= 40, "only {} slots", slots.len());
    let started = regions
        .iter()
        .zip(slots.chunks(share))
        .map(|(region, slots)| Ok(Writer::start(Browser::at(network, region)?, region, slots.to_vec())));
    started.collect()
}

/// Every entry is there, at every region, and sending it again has no second effect.
async fn check(network: &Network, journal: &[Entry]) -> Result<()> {
    for region in network.regions() {
        let browser = Browser::at(network, &region)?;
        let begun = Instant::now();
        loop {
            let free = browser.slots().await;
            let missing = match &free {
                Ok(free) => journal.iter().filter(|entry| free.contains(&entry.slot)).count(),
                Err(_) => usize::MAX,
            };
            if missing == 0 {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "{missing} acknowledged holds are not in {region}");
            tokio::time::sleep(BETWEEN).await;
        }
        for entry in journal {
            let never = AtomicBool::new(false);
            let again = hold(&browser, &entry.slot, &entry.key, &never).await.context("no answer")?;
            ensure!(again.body["id"] == entry.id.as_str(), "{region}: {} answered {again:?}", entry.key);
        }
    }
    Ok(())
}

async fn journals(writers: Vec<Writer>) -> Result<Vec<Entry>> {
    let mut journal = Vec::new();
    for writer in writers {
        journal.extend(writer.journal().await?);
    }
    Ok(journal)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_dies_and_nothing_acknowledged_is_lost() -> Result<()> {
    let mut network = Network::start_regions(3)?;
    let staff = Browser::at(&network, "eu-central")?;
    staff.sign_in(&network.account("front-desk")?).await?;
    Browser::at(&network, "us-east")?.book(&staff, &Patient::planted()).await?;

    let mut writing = writers(&network).await?;
    for writer in &mut writing {
        writer.until_more(3).await?;
    }
    // The first region leads where nothing else decides.
    network.kill_region("us-west")?;
    for writer in &mut writing[1..] {
        writer.until_more(3).await?;
    }
    network.revive_region("us-west")?;
    for writer in &mut writing[1..] {
        writer.until_more(3).await?;
    }
    check(&network, &journals(writing).await?).await?;
    network.stop()?;
    found_in_no_file(&network.data(), PATIENT.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_moves_the_primary_while_others_write() -> Result<()> {
    let network = Network::start_regions(3)?;
    let mut writing = writers(&network).await?;
    for region in ["us-east", "eu-central", "us-west"] {
        for writer in &mut writing {
            writer.until_more(2).await?;
        }
        let moved = Command::new(binaries()?.join("locum-control"))
            .args(["promote", region, "--yes", "--config"])
            .arg(network.data().join("control-1.toml"))
            .output()?;
        ensure!(moved.status.success(), "{region}: {}", String::from_utf8_lossy(&moved.stderr));
    }
    check(&network, &journals(writing).await?).await
}

/// Written through one region, read through another whose copy has fallen behind: never less than was seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_moves_sees_what_they_wrote() -> Result<()> {
    let network = Network::start_regions(3)?;
    let here = Browser::at(&network, "eu-central")?;
    let there = here.moved_to(&network, "us-east")?;
    let all = there.slots().await?;
    network.pause(&network.edge("us-east"))?;
    let written = all.iter().take(30);
    for slot in written.clone() {
        let held = here.post("/scheduling/holds", slot).await?;
        ensure!(held.status == 201, "{held:?}");
    }
    // Asked while the host stands still: it finds the question and thirty commits waiting.
    let asked = tokio::spawn(async move { there.slots().await });
    network.resume(&network.edge("us-east"))?;
    let free = asked.await??;
    let stale = written.filter(|slot| free.contains(slot)).count();
    ensure!(stale == 0, "{stale} of 30 holds are not seen");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_stood_still_is_not_believed_afterwards() -> Result<()> {
    let network = Network::start_regions(3)?;
    let mut writing = writers(&network).await?;
    for writer in &mut writing {
        writer.until_more(3).await?;
    }
    network.pause_region("us-west")?;
    for writer in &mut writing[1..] {
        writer.until_more(5).await?;
    }
    network.resume_region("us-west")?;
    for writer in &mut writing {
        writer.until_more(3).await?;
    }
    check(&network, &journals(writing).await?).await
}

fn found_in_no_file(folder: &std::path::Path, planted: &[u8]) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found_in_no_file(&path, planted)?;
        } else if std::fs::read(&path)?.windows(planted.len()).any(|window| window == planted) {
            bail!("{} holds the planted name", path.display());
        }
    }
    Ok(())
}
