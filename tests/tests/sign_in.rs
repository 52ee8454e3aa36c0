//! Signing in: a wrong password and an unknown user look the same and leave nothing behind.

use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kit::policy;
use locum_network_tests::{Account, Browser, Network, urlencoded};
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

/// An app and a security key of other people's making, and what must not open anything.
#[test]
fn other_peoples_authenticators_get_in() -> Result<()> {
    let network = Network::start()?;
    let region = network.regions().into_iter().next().context("no region")?;
    let address = network.address(&network.edge(&region), "http")?;
    let (_, port) = address.rsplit_once(':').context("no port")?;
    let account =
        |role| network.account(role).map(|a| json!({"username": a.username, "password": a.password}));
    let said = json!({
        "address": address,
        "host": format!("{region}.locum.localhost:{port}"),
        "origin": format!("http://app.locum.localhost:{port}"),
        "accounts": {"doctor": account("doctor")?, "front-desk": account("front-desk")?},
    });
    let python = std::env::var_os("LOCUM_AUTHENTICATORS").context("LOCUM_AUTHENTICATORS is not set")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/authenticators/sign_in.py");
    let mut run = Command::new(python).arg(script).stdin(Stdio::piped()).spawn()?;
    run.stdin.take().context("no input")?.write_all(said.to_string().as_bytes())?;
    ensure!(run.wait()?.success(), "see above");
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
    an_apps_token_is_out(&network).await?;
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

/// Where the app is sent back to, and what proves that it is the one that asked (RFC 7636, appendix B).
const BACK: &str = "https://app.example/back";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// An app that somebody let in: given back, or shut out, its tokens open nothing anywhere.
#[allow(clippy::print_stdout, reason = "a figure for people")]
async fn an_apps_token_is_out(network: &Network) -> Result<()> {
    let (administrator, doctor) = (Browser::at(network, "us-west")?, Browser::at(network, "us-west")?);
    administrator.sign_in(&network.account("clinic-admin")?).await?;
    doctor.sign_in(&network.account("doctor")?).await?;
    let new =
        json!({"name": "Some app", "kind": "secret", "scopes": "openid profile", "redirectUris": [BACK]});
    let app = administrator.post("/auth/oauth/clients", &new).await?;
    ensure!(app.status == 201, "{app:?}");
    let text = |field: &str| app.body[field].as_str().map(str::to_owned).context("no such field");
    let (id, secret) = (text("id")?, text("secret")?);
    let own = [("client_id", id.as_str()), ("client_secret", secret.as_str())];

    let (given_back, shut_out) = (token(&doctor, own).await?, token(&doctor, own).await?);
    for token in [&given_back, &shut_out] {
        everywhere(network, token, 200).await?;
    }
    let fields = [own[0], own[1], ("token", given_back.as_str())];
    let revoked = Browser::at(network, "eu-central")?.form("/auth/oauth/revoke", &fields).await?;
    ensure!(revoked.status == 200, "{revoked:?}");
    let after = everywhere(network, &given_back, 401).await?;
    everywhere(network, &shut_out, 200).await?;
    let ended = administrator.send(Method::DELETE, &format!("/auth/oauth/clients/{id}"), None).await?;
    ensure!(ended.status == 204, "{ended:?}");
    println!(
        "an app's token was out everywhere after {after:?}, {:?}",
        everywhere(network, &shut_out, 401).await?
    );
    Ok(())
}

/// A token that `person` gives an app.
async fn token(person: &Browser, own: [(&str, &str); 2]) -> Result<String> {
    let query = urlencoded(&[
        ("response_type", "code"),
        own[0],
        ("redirect_uri", BACK),
        ("scope", "openid profile"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "a state that nobody guesses"),
    ])?;
    let allowed = person.post("/auth/oauth/authorizations", &json!({"query": query, "allow": true})).await?;
    let back =
        reqwest::Url::parse(allowed.body["redirect"].as_str().with_context(|| format!("{allowed:?}"))?)?;
    let code = back.query_pairs().find(|(name, _)| name == "code").context("no code")?.1.into_owned();
    let fields = [
        own[0],
        own[1],
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
    ];
    let tokens = person.form("/auth/oauth/token", &fields).await?;
    Ok(tokens.body["access_token"].as_str().with_context(|| format!("{tokens:?}"))?.to_owned())
}

/// How long it took until every region answered so to the token.
async fn everywhere(network: &Network, token: &str, status: u16) -> Result<Duration> {
    let begun = Instant::now();
    let bearer = format!("Bearer {token}");
    for region in network.regions() {
        let app = Browser::at(network, &region)?;
        let ask = async || {
            app.send_with(Method::GET, "/auth/oauth/userinfo", None, &[("authorization", &bearer)]).await
        };
        while ask().await?.status != status {
            ensure!(begun.elapsed() < REVOKED_WITHIN, "{region} does not answer {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(begun.elapsed())
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
