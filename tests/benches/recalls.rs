//! A recall of everybody: a clinic with 100,000 patients says that whoever was seen for a service is to be seen again. All of them are
//! planned and written to by the job, through an edge host; meanwhile others are served.
#![allow(clippy::print_stdout, reason = "what a benchmark is for")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Manifest, Network};
use serde_json::json;

const PATIENTS: u32 = 100_000;
const PATIENCE: Duration = Duration::from_secs(600);

/// Each was seen once, four months ago, all of them by one practitioner, a second after each other. A thousand rows at a time, as
/// a backfill has to.
fn seed() -> [String; 3] {
    let id = |kind: u8| format!("printf('00000000-0000-7{kind:03}-8000-%012x', n)");
    let (hold, patient, visit) = (id(1), id(2), id(3));
    let first = jiff::Timestamp::now().as_millisecond() - 120 * 86_400_000;
    let start = format!("({first} + n * 1000)");
    let rows = |table: &str, kind: u8, columns: &str, values: &str| {
        format!(
            "INSERT INTO {table} (clinic, id, {columns})
             WITH RECURSIVE done(n) AS (SELECT count(*) FROM {table} WHERE id GLOB '00000000-0000-7{kind:03}-*'),
               t(n) AS (SELECT n + 1 FROM done UNION ALL SELECT t.n + 1 FROM t, done WHERE t.n < done.n + 1000)
             SELECT c, {values} FROM t, (SELECT p.clinic AS c, p.id AS p, s.id AS s FROM practitioner p
               JOIN service s ON s.clinic = p.clinic WHERE p.clinic = 'demo' ORDER BY p.id, s.id LIMIT 1)
             WHERE n <= {PATIENTS};"
        )
    };
    let of_patient =
        format!("{patient}, 'Patient ' || n, '1980-01-31', 'patient-' || n || '@patients.example', 1");
    let of_hold = format!("{hold}, zeroblob(32), p, s, {start}, {start} + 900, 1, 1, 1");
    let of_visit = format!("{visit}, {hold}, {patient}, p, s, {start}, {start} + 900, 'fulfilled', 1");
    let hold_columns =
        "secret_hash, practitioner, service, start_at, end_at, created_at, expires_at, used_at";
    let visit_columns = "hold, patient, practitioner, service, start_at, end_at, status, created_at";
    [
        rows("patient", 2, "name, birth_date, email, created_at", &of_patient),
        rows("hold", 1, hold_columns, &of_hold),
        rows("appointment", 3, visit_columns, &of_visit),
    ]
}

/// Starts only if everybody was planned and written to, once.
fn check() -> String {
    format!(
        "CREATE TABLE bench_check (clinic TEXT NOT NULL, ok INTEGER NOT NULL CHECK (ok = 1)) STRICT;
         INSERT INTO bench_check (clinic, ok) SELECT c.clinic,
           (SELECT count(*) = {PATIENTS} AND count(DISTINCT recipient) = {PATIENTS} FROM outbox_message
            WHERE clinic = 'demo' AND kind = 'recall')
           AND (SELECT count(*) = {PATIENTS} AND max(attempts) = 1 FROM recall WHERE clinic = 'demo')
         FROM clinic c WHERE c.clinic = 'demo';"
    )
}

/// Resident memory of the edge host in MiB: now, and at most since it was last asked.
fn memory(network: &Network) -> Result<(u64, u64)> {
    let process = network.process_id("edge-1")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let of = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no figure")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1_024)
    };
    let figures = (of("VmRSS:")?, of("VmHWM:")?);
    std::fs::write(format!("/proc/{process}/clear_refs"), "5")?;
    Ok(figures)
}

/// Asks, again and again, for what anybody asks, and for something that is written; the longest wait of each.
async fn meanwhile(
    browser: &Browser,
    done: &tokio::sync::watch::Receiver<bool>,
) -> Result<(Duration, Duration)> {
    let (mut read, mut written) = (Duration::ZERO, Duration::ZERO);
    for number in 0_u32.. {
        if *done.borrow() {
            break;
        }
        let begun = Instant::now();
        browser.get("/scheduling/clinic").await?;
        read = read.max(begun.elapsed());
        let begun = Instant::now();
        let lost = json!({"email": format!("nobody-{number}@patients.example")});
        let answer = browser.post("/messages/link-requests", &lost).await?;
        ensure!(answer.status == 202, "{answer:?}");
        written = written.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok((read, written))
}

async fn runs(network: &Network) -> Result<f64> {
    let figure = r#"locum_edge_jobs_total{job="recalls",outcome="done"}"#;
    Ok(network.figure("edge-1", figure).await?.unwrap_or(0.0))
}

#[tokio::main]
async fn main() -> Result<()> {
    let manifest = Manifest::with_jobs(&[("recalls", "* * * * * *")])?;
    let path = manifest.path().to_string_lossy().into_owned();
    let mut network = Network::start_with(1, &["--manifest", &path])?;
    network.stop()?;
    for sql in seed() {
        manifest.migrate("backfill.sql", &sql)?;
    }
    network.start_again()?;
    let admin = Browser::new(&network)?;
    let signed_in = admin.sign_in(&network.account("clinic-admin")?).await?;
    ensure!(signed_in.status == 201, "{signed_in:?}");
    let clinic = admin.get("/scheduling/clinic").await?;
    let services = clinic["services"].as_array().context("no services")?;
    // The jobs of a host that has just begun are over.
    let first = runs(&network).await?;
    while runs(&network).await? < first + 2.0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (before, _) = memory(&network)?;
    let (ended, done) = tokio::sync::watch::channel(false);
    let (others, at_begin) = (Browser::new(&network)?, runs(&network).await?);
    let begun = Instant::now();
    for service in services {
        let wish = json!({"service": service["id"], "intervalMonths": 3});
        let made = admin.post("/messages/recall-rules", &wish).await?;
        ensure!(made.status == 201, "{made:?}");
    }
    let work = async {
        let mut last = (at_begin, Instant::now());
        let mut quick = 0;
        // The job is over when it is asked for every second again: twice in a row it had nothing to do.
        let took = loop {
            let now = runs(&network).await?;
            if now > last.0 {
                quick = if last.1.elapsed() < Duration::from_millis(1_500) { quick + 1 } else { 0 };
                last = (now, Instant::now());
                if quick == 3 {
                    break begun.elapsed() - Duration::from_secs(3);
                }
            }
            ensure!(begun.elapsed() < PATIENCE, "it has no end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        ended.send_replace(true);
        Ok(took)
    };
    let (took, waited) = tokio::join!(work, meanwhile(&others, &done));
    let (took, (read, written)): (Duration, _) = (took?, waited?);
    let (after, most) = memory(&network)?;
    network.stop()?;
    manifest.migrate("sql", &check())?;
    network.start_again().context("not everybody was planned and written to once")?;
    println!("{PATIENTS} patients planned and written to: {:.1} s", took.as_secs_f64());
    println!("edge host, resident: {before} MiB before, {most} MiB at most, {after} MiB after");
    println!(
        "others meanwhile, longest wait: read {} ms, write {} ms",
        read.as_millis(),
        written.as_millis()
    );
    Ok(())
}
