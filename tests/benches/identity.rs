//! What a sign-in costs, whether its time tells which names exist, and what it costs to look whether somebody may: over
//! HTTP against a network of one region.
#![allow(clippy::print_stdout, reason = "what a benchmark is for")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use locum_network_tests::{Account, Answer, Browser, Network};
use reqwest::Method;
use serde_json::json;

const PASSWORD: &str = "tulips over Oslo tonight";
/// A wrong password in a row more, and an account is locked.
const FREE: usize = 9;
const PEOPLE: usize = 24;
/// Of each kind.
const ATTEMPTS: usize = 200;
const AT_ONCE: usize = 4;
const SIGN_INS: usize = 400;
const OPEN: &str = "/auth/sign-in-options";
const CHECKED: &str = "/auth/identity-providers";
/// Of each kind, in turn.
const CALLS: usize = 2_000;

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

/// Attempts come from many addresses: from one so many would be blocked.
fn address(n: usize) -> IpAddr {
    [127, 0, 8, u8::try_from(n / 50 + 1).unwrap_or(u8::MAX)].into()
}

async fn try_to_sign_in(browser: &Browser, username: &str, password: &str) -> Result<(Answer, Duration)> {
    let body = json!({"username": username, "password": password});
    let begun = Instant::now();
    let answer = browser.post("/auth/sessions", &body).await?;
    Ok((answer, begun.elapsed()))
}

/// Processor time of a process, user and system.
fn processor_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("no name")?.1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

async fn people(administrator: &Browser, region: &Network) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for n in 0..PEOPLE {
        let username = format!("nurse-{n}");
        let new = json!({"name": format!("Nurse {n}"), "username": username, "roles": ["nurse"]});
        let invited = administrator.post("/auth/staff", &new).await?;
        ensure!(invited.status == 201, "{invited:?}");
        let chosen = json!({"token": invited.body["token"], "password": PASSWORD});
        let enrolled = Browser::new(region)?.post("/auth/enrolments", &chosen).await?;
        ensure!(enrolled.status == 201, "{enrolled:?}");
        names.push(username);
    }
    Ok(names)
}

async fn tell_names_apart(network: &Network, names: &[String]) -> Result<()> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for n in 0..ATTEMPTS {
        let browser = Browser::from(network, &network.regions()[0], address(n))?;
        let name = &names[n / FREE];
        // The first one of each browser makes a connection.
        browser.send(Method::GET, "/scheduling/clinic", None).await?;
        // In turn the one first and the other.
        let attempts = [(name.clone(), true), (format!("nobody-{n}"), false)];
        let order: Vec<_> = if n % 2 == 0 { attempts.into() } else { attempts.into_iter().rev().collect() };
        for (name, is_known) in order {
            let (answer, took) = try_to_sign_in(&browser, &name, "not the password").await?;
            ensure!(answer.status == 401, "{name}: {answer:?}");
            if is_known {
                known.push(took)
            } else {
                unknown.push(took)
            };
        }
    }
    let (known, unknown) = (median(known), median(unknown));
    println!(
        "wrong password, medians of {ATTEMPTS}: a name that is known {known:.1} ms, one that nobody has {unknown:.1} ms \
         (ratio {:.3})",
        known / unknown
    );
    Ok(())
}

async fn throughput(network: &Network, account: &Account) -> Result<()> {
    let pid = network.process_id("edge-1")?;
    let browser = Browser::new(network)?;
    for (kind, password, status) in [("sign-ins", account.password.as_str(), 201), ("reads", "", 200)] {
        let (begun, before) = (Instant::now(), processor_time(pid)?);
        let work = (0..AT_ONCE).map(|_| async {
            for _ in 0..SIGN_INS / AT_ONCE {
                let got = match kind {
                    "reads" => browser.send(Method::GET, OPEN, None).await?,
                    _ => try_to_sign_in(&browser.another(), &account.username, password).await?.0,
                };
                ensure!(got.status == status, "{kind}: {got:?}");
            }
            Ok(())
        });
        try_join_all(work).await?;
        let processor = processor_time(pid)?.saturating_sub(before).as_secs_f64();
        println!(
            "{SIGN_INS} {kind}, {AT_ONCE} at once: {:.0}/s; {:.1} ms of a processor each, so {:.0}/s and core",
            SIGN_INS as f64 / begun.elapsed().as_secs_f64(),
            processor * 1000.0 / SIGN_INS as f64,
            SIGN_INS as f64 / processor
        );
    }
    Ok(())
}

/// The same table is read for anybody, and for whom a session says that they may.
async fn authorised(administrator: &Browser) -> Result<()> {
    let (mut open, mut checked) = (Vec::new(), Vec::new());
    for n in 0..CALLS + 200 {
        for (path, times) in [(OPEN, &mut open), (CHECKED, &mut checked)] {
            let begun = Instant::now();
            let answer = administrator.send(Method::GET, path, None).await?;
            if n >= 200 {
                times.push(begun.elapsed());
            }
            ensure!(answer.status == 200, "{path}: {answer:?}");
        }
    }
    let (open, checked) = (median(open), median(checked));
    println!(
        "medians of {CALLS}: open {open:.3} ms, authorised {checked:.3} ms: {:.0} µs more",
        (checked - open) * 1000.0
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let network = Network::start()?;
    let administrator = Browser::new(&network)?;
    ensure!(administrator.sign_in(&network.account("clinic-admin")?).await?.status == 201);
    let names = people(&administrator, &network).await?;
    authorised(&administrator).await?;
    tell_names_apart(&network, &names).await?;
    throughput(&network, &network.account("doctor")?).await
}
