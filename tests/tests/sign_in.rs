//! Signing in: a wrong password and an unknown user look the same and leave nothing behind.

use anyhow::{Result, ensure};
use locum_network_tests::{Account, Browser, Network};
use reqwest::Method;

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
