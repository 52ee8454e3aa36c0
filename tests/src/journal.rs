//! Writers in every region, who note what was acknowledged, and what must then hold.
//!
//! A writer holds slots. Each hold has an `Idempotency-Key` and is sent again until it is answered, as the pages do;
//! the journal has only what was answered.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clinic::{Answer, Browser};
use crate::network::Network;

/// A failover takes about 6 s; machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);
/// People are not machines, and a journal must not outgrow the calendar.
const BETWEEN: Duration = Duration::from_millis(300);
/// Whoever has used half of the calendar goes on so much slower: a busy machine takes its time over a fault.
const SLOWER: u32 = 5;
/// Of one journal, for each writer. Enough for some minutes of writing.
const DAYS: i32 = 2;
/// A host that is cut off may take this long to say so.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);

/// One acknowledged hold.
#[derive(Debug)]
struct Entry {
    slot: Value,
    key: String,
    id: String,
}

/// Somebody who goes on holding slots through one region.
struct Writer {
    region: String,
    browser: Seat,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Vec<Entry>>>,
    written: watch::Receiver<usize>,
}

/// A browser whose host may come back under another address.
type Seat = Arc<Mutex<Browser>>;

/// One writer an edge host, and a person who looks around everywhere.
pub struct Writers {
    writers: Vec<Writer>,
    reader: Reader,
    days: Range<i32>,
}

/// What one writer may hold, and the days these slots are on.
struct Slots {
    journal: i32,
    of: Vec<Value>,
    days: Range<i32>,
}

/// A person who reads in one region after the other: what was seen once is never missing afterwards.
struct Reader {
    browsers: Vec<(String, Seat)>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<usize>>,
}

impl Writers {
    /// Starts at every edge host, and waits until each has written. Journals with different `number`s use different
    /// days.
    pub async fn start(network: &Network, number: i32) -> Result<Self> {
        let regions = network.places();
        let length = DAYS * i32::try_from(regions.len())?;
        let first = 1 + number * length;
        let days = first..first + length;
        let slots = Browser::new(network)?.slots_within(days.clone()).await?;
        let share = slots.len() / regions.len();
        ensure!(share >= 40, "only {} slots", slots.len());
        let start = |(region, slots): (&String, &[Value])| {
            let slots = Slots { journal: number, of: slots.to_vec(), days: days.clone() };
            Ok(Writer::start(Browser::at(network, region)?, region, slots))
        };
        let writers = regions.iter().zip(slots.chunks(share)).map(start);
        let reader = Reader::start(network, days.clone()).await?;
        let mut started = Self { writers: writers.collect::<Result<_>>()?, reader, days };
        started.go_on(&regions, 2).await?;
        Ok(started)
    }

    /// Waits until `more` further holds are acknowledged at each of `regions`, or places.
    pub async fn go_on(&mut self, regions: &[String], more: usize) -> Result<()> {
        for writer in self.writers.iter_mut().filter(|writer| regions.contains(&writer.region)) {
            writer.until_more(more).await?;
        }
        Ok(())
    }

    /// How many holds are acknowledged.
    pub fn count(&self) -> usize {
        self.writers.iter().map(|writer| *writer.written.borrow()).sum()
    }

    /// A region's host came back, under another address maybe.
    pub fn host_is_back(&self, network: &Network, region: &str) -> Result<()> {
        let writers = self.writers.iter().map(|writer| (&writer.region, &writer.browser));
        let readers = self.reader.browsers.iter().map(|(region, browser)| (region, browser));
        for (_, seat) in writers.chain(readers).filter(|(of, _)| *of == region) {
            let mut browser = seat.lock().unwrap_or_else(PoisonError::into_inner);
            *browser = browser.moved_to(network, region)?;
        }
        Ok(())
    }

    /// Stops, and checks that everything acknowledged is there, at every region, once. How much that was.
    pub async fn check(self, network: &Network) -> Result<usize> {
        let mut journal = Vec::new();
        for writer in self.writers {
            writer.stop.store(true, Ordering::Relaxed);
            journal.extend(writer.task.await??);
        }
        self.reader.stop.store(true, Ordering::Relaxed);
        let looks = self.reader.task.await??;
        ensure!(looks > 0, "nobody could read anywhere");
        let regions = network.places();
        for region in &regions {
            are_there(&Browser::at(network, region)?, &self.days, &journal).await.context(region.clone())?;
        }
        for (entry, region) in journal.iter().zip(regions.iter().cycle()) {
            let (browser, never) = (Mutex::new(Browser::at(network, region)?), AtomicBool::new(false));
            let again = hold(&browser, &entry.slot, &entry.key, &never);
            let again = tokio::time::timeout(PATIENCE, again).await.ok().flatten();
            let again = again.with_context(|| format!("{region} does not answer for {}", entry.key))?;
            ensure!(again.body["id"] == entry.id.as_str(), "{region}: {} answered {again:?}", entry.key);
        }
        Ok(journal.len())
    }
}

impl Writer {
    fn start(browser: Browser, region: &str, slots: Slots) -> Self {
        let (stop, (count, written)) = (Arc::new(AtomicBool::new(false)), watch::channel(0));
        let (browser, name) = (Arc::new(Mutex::new(browser)), region.to_owned());
        let (seat, stopping) = (Arc::clone(&browser), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut journal = Vec::new();
            let half = slots.of.len() / 2;
            for (number, slot) in slots.of.into_iter().enumerate() {
                if stopping.load(Ordering::Relaxed) {
                    return Ok(journal);
                }
                let key = format!("{name}-{}-{number}", slots.journal);
                let Some(answer) = hold(&seat, &slot, &key, &stopping).await else { return Ok(journal) };
                ensure!(answer.status == 201, "{name}: {answer:?}");
                let id = answer.body["id"].as_str().context("no id")?.to_owned();
                if number % 4 == 0 {
                    let free = free(&seat, &slots.days).await?.unwrap_or_default();
                    ensure!(
                        !free.contains(&slot.to_string()),
                        "{name} does not show what was just written there"
                    );
                }
                journal.push(Entry { slot, key, id });
                count.send_replace(journal.len());
                tokio::time::sleep(if number < half { BETWEEN } else { BETWEEN * SLOWER }).await;
            }
            bail!("{name} has no slots left")
        });
        Self { region: region.to_owned(), browser, stop, task, written }
    }

    async fn until_more(&mut self, more: usize) -> Result<()> {
        let wanted = *self.written.borrow() + more;
        let waited = tokio::time::timeout(PATIENCE, self.written.wait_for(|count| *count >= wanted)).await;
        match waited.map(|count| count.is_ok()) {
            Ok(true) => Ok(()),
            // It ended: it says why.
            Ok(false) => (&mut self.task).await?.and_then(|_| bail!("{} ended", self.region)),
            Err(_) => bail!("{} has {} of {wanted} holds", self.region, *self.written.borrow()),
        }
    }
}

impl Reader {
    async fn start(network: &Network, days: Range<i32>) -> Result<Self> {
        let (person, stop) = (Browser::new(network)?, Arc::new(AtomicBool::new(false)));
        // From now on every host shows at least this much.
        person.slots_within(days.clone()).await?;
        let at = |region: String| {
            let browser = Arc::new(Mutex::new(person.moved_to(network, &region)?));
            Ok((region, browser))
        };
        let browsers = network.places().into_iter().map(at).collect::<Result<Vec<_>>>()?;
        let (around, stopping) = (browsers.clone(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let (mut all, mut taken, mut looks) = (None, BTreeSet::new(), 0);
            for (region, seat) in around.iter().cycle() {
                if stopping.load(Ordering::Relaxed) {
                    break;
                }
                tokio::time::sleep(BETWEEN).await;
                let Some(free) = free(seat, &days).await.with_context(|| region.clone())? else { continue };
                looks += 1;
                let back = taken.intersection(&free).count();
                ensure!(back == 0, "{region} shows {back} slots as free that were seen to be held");
                taken.extend(all.get_or_insert_with(|| free.clone()).difference(&free).cloned());
            }
            Ok(looks)
        });
        Ok(Self { browsers, stop, task })
    }
}

/// Sends until it is answered; `None` once the writer is to stop.
async fn hold(seat: &Mutex<Browser>, slot: &Value, key: &str, stop: &AtomicBool) -> Option<Answer> {
    loop {
        let (browser, headers) = (sitting(seat), [("idempotency-key", key)]);
        let sent = browser.send_with(Method::POST, "/scheduling/holds", Some(slot), &headers);
        match tokio::time::timeout(ANSWER_WITHIN, sent).await {
            Ok(Ok(answer)) if answer.status < 500 => return Some(answer),
            // Refused, unknown or lost: the key makes it safe to say it again.
            _ if stop.load(Ordering::Relaxed) => return None,
            _ => tokio::time::sleep(BETWEEN).await,
        }
    }
}

/// `None`: the host shows nothing now.
async fn free(seat: &Mutex<Browser>, days: &Range<i32>) -> Result<Option<BTreeSet<String>>> {
    let browser = sitting(seat);
    match tokio::time::timeout(ANSWER_WITHIN, browser.look(days.clone())).await {
        Ok(Ok(Ok(slots))) => Ok(Some(slots.iter().map(Value::to_string).collect())),
        Ok(Ok(Err(answer))) if answer.status < 500 => bail!("reading answers {answer:?}"),
        _ => Ok(None),
    }
}

fn sitting(seat: &Mutex<Browser>) -> Browser {
    seat.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

async fn are_there(browser: &Browser, days: &Range<i32>, journal: &[Entry]) -> Result<()> {
    let begun = Instant::now();
    loop {
        let missing = match browser.slots_within(days.clone()).await {
            Ok(free) => journal.iter().filter(|entry| free.contains(&entry.slot)).count(),
            Err(_) => usize::MAX,
        };
        if missing == 0 {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{missing} acknowledged holds are missing");
        tokio::time::sleep(BETWEEN).await;
    }
}
