//! Edge hosts are upgraded one by one, in every order that matters, while people write and read everywhere; once they
//! go back; then what only the older release needed is taken away.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use locum_network_tests::{Answer, Browser, Network, Release, Writers, guest};
use reqwest::Method;
use tokio::task::JoinHandle;

/// A host starts, catches up and gets what it lacks within seconds; machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN: Duration = Duration::from_millis(30);

/// What each release adds to the one before.
const ADDED: [&[(&str, &str)]; 3] = [
    &[
        (
            "channel.sql",
            "ALTER TABLE hold ADD COLUMN channel TEXT;
             CREATE TRIGGER hold_channel AFTER INSERT ON hold WHEN NEW.channel IS NULL
             BEGIN UPDATE hold SET channel = 'web' WHERE clinic = NEW.clinic AND id = NEW.id; END;",
        ),
        (
            "channel.backfill.sql",
            "UPDATE hold SET channel = 'web'
             WHERE (clinic, id) IN (SELECT clinic, id FROM hold WHERE channel IS NULL LIMIT 20)",
        ),
    ],
    &[(
        "reach.sql",
        "CREATE TABLE reach (clinic TEXT NOT NULL, hold TEXT NOT NULL, text TEXT NOT NULL) STRICT;
         CREATE INDEX reach_by_hold ON reach (clinic, hold);
         CREATE TRIGGER hold_reach AFTER INSERT ON hold
         BEGIN INSERT INTO reach (clinic, hold, text) VALUES (NEW.clinic, NEW.id, 'sms'); END;",
    )],
    &[("rank.sql", "ALTER TABLE hold ADD COLUMN rank INTEGER NOT NULL DEFAULT 7;")],
];
/// What only functions of each of these releases ask; both figures are the same whenever the schema is whole.
const ASKS: [&str; 3] = [
    "sql SELECT count(*), ifnull(sum(channel = 'web'), 0) FROM hold",
    "sql SELECT count(*), count(DISTINCT hold) FROM reach",
    "sql SELECT count(*), ifnull(sum(rank = 7), 0) FROM hold",
];
const CONTRACT: (&str, &str) =
    ("channel.contract.sql", "DROP TRIGGER hold_channel; ALTER TABLE hold DROP COLUMN channel;");

/// Somebody who asks a host, again and again, what the functions of its release need the newer schema for.
struct Asker {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<(usize, usize)>>,
}

impl Asker {
    fn start(browser: Browser, release: &Release, script: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, path) = (Arc::clone(&stop), format!("{}/x", release.route));
        let task = tokio::spawn(async move {
            let (mut answered, mut turned_away) = (0, 0);
            while !stopping.load(Ordering::Relaxed) {
                tokio::time::sleep(BETWEEN).await;
                let answer = ask(&browser, &path, script).await?;
                if is_whole(&answer) {
                    answered += 1;
                    continue;
                }
                ensure!(answer.status == 503, "{path}: {answer:?}");
                ensure!(answer.headers.contains_key("retry-after"), "{path}: {answer:?}");
                turned_away += 1;
            }
            Ok((answered, turned_away))
        });
        Self { stop, task }
    }

    async fn end(self) -> Result<(usize, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

async fn ask(browser: &Browser, path: &str, script: &str) -> Result<Answer> {
    browser.send_with(Method::GET, path, None, &[("x-script", script)]).await
}

fn is_whole(answer: &Answer) -> bool {
    let pair = answer.body.as_array().map(Vec::as_slice);
    answer.status == 200 && matches!(pair, Some([all, whole]) if all == whole)
}

/// Hosts under upgrade, and everybody who uses them meanwhile.
struct Trial {
    network: Network,
    writers: Writers,
    journals: i32,
    looks: Looks,
}

/// Reads of functions that every release has, at every host that runs: none fails because of the schema.
struct Looks {
    /// Not asked while it is down.
    seats: Vec<(String, Arc<Mutex<Option<Browser>>>)>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<usize>>,
}

impl Looks {
    fn start(network: &Network) -> Result<Self> {
        let seat = |region: String| {
            let browser = Browser::at(network, &region)?;
            Ok((region, Arc::new(Mutex::new(Some(browser)))))
        };
        let seats = network.regions().into_iter().map(seat).collect::<Result<Vec<_>>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (around, stopping) = (seats.clone(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut answered = 0;
            for (region, seat) in around.iter().cycle() {
                if stopping.load(Ordering::Relaxed) {
                    break;
                }
                tokio::time::sleep(BETWEEN).await;
                let Some(browser) = sitting(seat) else { continue };
                let looked = browser.send(Method::GET, "/scheduling/clinic", None).await;
                // It went down meanwhile.
                let Ok(answer) = looked else { continue };
                ensure!(matches!(answer.status, 200 | 503), "{region}: {answer:?}");
                answered += usize::from(answer.status == 200);
            }
            Ok(answered)
        });
        Ok(Self { seats, stop, task })
    }

    fn sit(&self, region: &str, browser: Option<Browser>) {
        for (_, seat) in self.seats.iter().filter(|(of, _)| of == region) {
            seat.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&browser);
        }
    }
}

fn sitting(seat: &Mutex<Option<Browser>>) -> Option<Browser> {
    seat.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Trial {
    async fn start() -> Result<Self> {
        let network = Network::start_regions(3)?;
        let writers = Writers::start(&network, 0).await?;
        let looks = Looks::start(&network)?;
        Ok(Self { network, writers, journals: 1, looks })
    }

    /// One host gets another release; everybody goes on, and it is ready in the end. Its own functions are asked from
    /// its first moment on.
    async fn change(&mut self, region: &str, release: &Release, asks: &'static str) -> Result<()> {
        self.looks.sit(region, None);
        self.network.change_release(region, release)?;
        let browser = Browser::at(&self.network, region)?;
        let asker = Asker::start(browser.clone(), release, asks);
        self.looks.sit(region, Some(browser));
        self.writers.host_is_back(&self.network, region)?;
        self.until_ready(region).await?;
        self.writers.go_on(&self.network.regions(), 1).await?;
        let (answered, turned_away) = asker.end().await?;
        ensure!(answered > 0, "{region} answers nothing of its release: {turned_away} times");
        self.check().await
    }

    async fn until_ready(&self, region: &str) -> Result<()> {
        let (edge, begun) = (self.network.edge(region), Instant::now());
        while !self.network.is_ready(&edge).await? {
            ensure!(begun.elapsed() < PATIENCE, "{edge} does not get ready");
            tokio::time::sleep(BETWEEN).await;
        }
        Ok(())
    }

    /// The regions, the primary's at this place among them.
    async fn order(&self, primary_at: usize) -> Result<Vec<String>> {
        let leader = self.network.leader().await?;
        let mut order = self.network.regions();
        order.retain(|region| *region != leader);
        order.insert(primary_at, leader);
        Ok(order)
    }

    /// What was acknowledged until now is there; others begin.
    async fn check(&mut self) -> Result<()> {
        let fresh = Writers::start(&self.network, self.journals).await?;
        self.journals += 1;
        std::mem::replace(&mut self.writers, fresh).check(&self.network).await.map(drop)
    }

    async fn contracts_waiting(&self, region: &str) -> Result<Option<f64>> {
        self.network.metric(&self.network.edge(region), "locum_edge_contracts_waiting", "main").await
    }

    async fn finish(self) -> Result<()> {
        self.writers.check(&self.network).await?;
        self.looks.stop.store(true, Ordering::Relaxed);
        let answered = self.looks.task.await??;
        ensure!(answered > 100, "only {answered} looks were answered");
        self.network.stop_and_verify()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_upgraded_one_by_one_in_any_order_and_go_back_until_a_contract_has_run() -> Result<()> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("no target folder")?;
    let (folder, guest) = (tempfile::tempdir()?, guest(target)?);
    let make = |number: usize, files: &[(&str, &str)]| Release::make(folder.path(), number, files, &guest);
    let upto = |count: usize| ADDED[..count].concat();
    let releases = [make(1, &upto(1))?, make(2, &upto(2))?, make(3, &upto(3))?];
    let mut trial = Trial::start().await?;

    // The primary last, between the others, first.
    for (number, primary_at) in [2, 1, 0].into_iter().enumerate() {
        for region in trial.order(primary_at).await? {
            let changed = trial.change(&region, &releases[number], ASKS[number]).await;
            changed.with_context(|| format!("to release {}, {region}", number + 1))?;
        }
    }

    // Back by one release, and forth again.
    for region in trial.order(1).await? {
        trial.change(&region, &releases[1], ASKS[1]).await.with_context(|| format!("back, {region}"))?;
    }

    let last = make(4, &[upto(3).as_slice(), &[CONTRACT]].concat())?;
    let order = trial.order(0).await?;
    for (number, region) in order.iter().enumerate() {
        trial.change(region, &last, ASKS[2]).await.with_context(|| format!("to the last, {region}"))?;
        let waits = trial.contracts_waiting(region).await?;
        ensure!(number == 2 || waits == Some(1.0), "{region}: {waits:?} contracts wait after {number}");
    }
    for region in &order {
        let begun = Instant::now();
        while trial.contracts_waiting(region).await? != Some(0.0) {
            ensure!(begun.elapsed() < PATIENCE, "the contract does not run, by {region}");
            tokio::time::sleep(BETWEEN).await;
        }
        let gone = ask(&Browser::at(&trial.network, region)?, &format!("{}/x", last.route), ASKS[0]).await?;
        ensure!(gone.status == 200 && !is_whole(&gone), "the column is still there, by {region}: {gone:?}");
    }
    trial.writers.go_on(&trial.network.regions(), 2).await?;
    too_late(&mut trial, &order[1], (&releases[2], &last)).await?;
    trial.finish().await
}

/// A host that goes back now says why it serves nothing of its own, others answer for it, and nothing comes to harm.
async fn too_late(trial: &mut Trial, region: &str, (before, last): (&Release, &Release)) -> Result<()> {
    trial.looks.sit(region, None);
    trial.network.change_release(region, before)?;
    let browser = Browser::at(&trial.network, region)?;
    trial.looks.sit(region, Some(browser.clone()));
    trial.writers.host_is_back(&trial.network, region)?;
    let edge = trial.network.edge(region);
    let log = trial.network.data().join(format!("log/{edge}.log"));
    let begun = Instant::now();
    let why = format!("functions contract {} and this release knows {}", last.newest, before.newest);
    while !std::fs::read_to_string(&log)?.contains(&why) {
        ensure!(begun.elapsed() < PATIENCE, "{edge} does not say why");
        tokio::time::sleep(BETWEEN).await;
    }
    ensure!(!trial.network.is_ready(&edge).await?, "{edge} takes work");
    let carried = browser.send(Method::GET, "/scheduling/clinic", None).await?;
    ensure!(carried.status == 200, "nobody answers for {edge}: {carried:?}");
    let own = ask(&browser, &format!("{}/x", before.route), ASKS[0]).await?;
    if own.status != 503 {
        bail!("{edge} runs functions on what it does not know: {own:?}");
    }
    trial.change(region, last, ASKS[2]).await
}
