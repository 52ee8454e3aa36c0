//! Signing in: a wrong password and an unknown user look the same and leave nothing behind.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kit::policy;
use locum_network_tests::{Account, Browser, Network};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_password_opens_a_session() -> Result<()> {
    let network = Network::start()?;
    let doctor = network.account("doctor")?;
    let browser = Browser::new(&network)?;
    let wrong = Account { password: "not the password at all".to_owned(), ..doctor.clone() };
    let unknown = Account { username: "nobody".to_owned(), ..wrong.clone() };
    let (wrong, unknown) = (browser.sign_in(&wrong).await?, browser.sign_in(&unknown).await?);
    ensure!(wrong.status == 401 && wrong.problem() == "bad-credentials", "{wrong:?}");
    ensure!(unknown.status == 401 && unknown.body == wrong.body, "{unknown:?} differs from {wrong:?}");
    ensure!(!wrong.headers.contains_key("set-cookie"), "a refused sign-in set a cookie");
    ensure!(browser.send(Method::GET, "/auth/session", None).await?.status == 401);

    ensure!(browser.sign_in(&doctor).await?.status == 201);
    let session = browser.get("/auth/session").await?;
    ensure!(session["user"]["roles"][0] == "doctor", "{session}");
    ensure!(browser.send(Method::DELETE, "/auth/session", None).await?.status == 204);
    ensure!(browser.send(Method::GET, "/auth/session", None).await?.status == 401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_sees_only_what_it_may() -> Result<()> {
    let network = Network::start()?;
    let (stranger, doctor, desk) =
        (Browser::new(&network)?, Browser::new(&network)?, Browser::new(&network)?);
    ensure!(doctor.sign_in(&network.account("doctor")?).await?.status == 201);
    ensure!(desk.sign_in(&network.account("front-desk")?).await?.status == 201);
    let today = jiff::Zoned::now().date();
    let list = format!("/scheduling/appointments?date={today}");
    for (browser, path, status) in [
        (&stranger, list.as_str(), 401),
        (&stranger, "/messages/outbox", 401),
        (&stranger, "/scheduling/visit", 401),
        (&doctor, list.as_str(), 200),
        (&doctor, "/messages/outbox", 403),
        (&desk, list.as_str(), 200),
        (&desk, "/messages/outbox", 200),
        (&desk, "/records/encounters/00000000-0000-7000-8000-000000000000", 403),
        (&doctor, "/records/encounters/00000000-0000-7000-8000-000000000000", 404),
    ] {
        let answer = browser.send(Method::GET, path, None).await?;
        ensure!(answer.status == status, "{path}: {answer:?}, expected {status}");
    }
    Ok(())
}

/// The longest that something is let through which was revoked in another region.
const REVOKED_WITHIN: Duration = Duration::from_secs(60);
/// As `auth` has it: wrong attempts from one address, and about one account.
const FREE_OF_AN_ADDRESS: usize = 100;
const FREE_OF_AN_ACCOUNT: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_in_one_region_counts_in_all() -> Result<()> {
    let network = Network::start_regions(3)?;
    what_is_revoked_is_out(&network).await?;
    attempts_about_an_account_add_up(&network).await?;
    attempts_from_an_address_add_up(&network).await
}

/// Also where sessions are read from a region's own copy.
async fn what_is_revoked_is_out(network: &Network) -> Result<()> {
    let doctor = network.account("doctor")?;
    let (lost, kept) = (Browser::at(network, "eu-central")?, Browser::at(network, "us-west")?);
    ensure!(lost.sign_in(&doctor).await?.status == 201);
    let lost = [lost.moved_to(network, "us-east")?, lost];
    for browser in &lost {
        browser.get("/auth/session").await?;
    }
    ensure!(kept.sign_in(&doctor).await?.status == 201);
    let ended = kept.send(Method::DELETE, "/auth/sessions", None).await?;
    ensure!(ended.status == 204, "{ended:?}");
    let begun = Instant::now();
    for browser in &lost {
        while browser.send(Method::GET, "/auth/session", None).await?.status != 401 {
            ensure!(begun.elapsed() < REVOKED_WITHIN, "still in after {:?}", begun.elapsed());
        }
    }
    kept.get("/auth/session").await?;
    Ok(())
}

async fn attempts_about_an_account_add_up(network: &Network) -> Result<()> {
    let account = network.account("front-desk")?;
    let wrong = Account { password: "not the password at all".to_owned(), ..account.clone() };
    let regions = network.regions();
    for n in 0..FREE_OF_AN_ACCOUNT {
        let browser = Browser::at(network, &regions[n % regions.len()])?;
        let answer = browser.sign_in(&wrong).await?;
        ensure!(answer.status == 401, "attempt {n}: {answer:?}");
    }
    for region in &regions {
        let answer = Browser::at(network, region)?.sign_in(&account).await?;
        ensure!(answer.status == 429, "{region}: {answer:?}");
    }
    Ok(())
}

async fn attempts_from_an_address_add_up(network: &Network) -> Result<()> {
    let regions = network.regions();
    let (here, there): (IpAddr, IpAddr) = ([127, 0, 9, 1].into(), [127, 0, 9, 2].into());
    let guess = json!({"token": "AAAAAAAAAAAAAAAAAAAAAA"});
    let browsers = regions.iter().map(|region| Browser::from(network, region, here));
    let browsers = browsers.collect::<Result<Vec<_>>>()?;
    for n in 0..FREE_OF_AN_ADDRESS {
        let answer = browsers[n % browsers.len()].post("/auth/visit-sessions", &guess).await?;
        ensure!(answer.status == 404, "attempt {n}: {answer:?}");
    }
    for (browser, region) in browsers.iter().zip(&regions) {
        let answer = browser.post("/auth/visit-sessions", &guess).await?;
        ensure!(answer.status == 429, "{region}: {answer:?}");
        let other = Browser::from(network, region, there)?.post("/auth/visit-sessions", &guess).await?;
        ensure!(other.status == 404, "{region}, from another address: {other:?}");
    }
    Ok(())
}

/// What apps themselves ask, with credentials of their own in the body.
const FOR_APPS: [&str; 3] = ["CreateToken", "IntrospectToken", "RevokeToken"];

/// Made from the policy table: whatever changes something is refused where another site sent the browser, or is answered
/// as to somebody without cookies, where pages of apps may ask.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_site_makes_a_browser_act() -> Result<()> {
    let network = Network::start()?;
    let (browser, nobody) = (Browser::new(&network)?, Browser::new(&network)?);
    ensure!(browser.sign_in(&network.account("clinic-admin")?).await?.status == 201);
    let before = browser.get("/auth/sessions").await?;
    let (mut asked, body) = (0, json!({}));
    for entry in policy::table().into_iter().filter(|entry| entry.method != Method::GET) {
        let path = entry.path.replace("{id}", "00000000-0000-7000-8000-000000000000");
        for headers in [
            [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
            [("origin", "http://evil.locum.localhost"), ("sec-fetch-site", "same-site")],
            [("origin", "null"), ("sec-fetch-site", "cross-site")],
        ] {
            let answer = browser.send_with(entry.method.clone(), &path, Some(&body), &headers).await?;
            asked += 1;
            if answer.problem() == "foreign-origin" {
                continue;
            }
            let to_nobody = nobody.send_with(entry.method.clone(), &path, Some(&body), &headers).await?;
            let same = (answer.status, &answer.body) == (to_nobody.status, &to_nobody.body);
            let for_apps = entry.app.is_some() || FOR_APPS.contains(&entry.name);
            ensure!(same && for_apps && answer.status >= 400, "{path} {headers:?}: {answer:?}");
        }
    }
    ensure!(asked > 100, "only {asked} requests");
    ensure!(browser.get("/auth/sessions").await? == before, "something was done all the same");
    Ok(())
}
