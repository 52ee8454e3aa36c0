//! A whole visit over HTTP: link, waiting room, admission, join token, note, end, restart.

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Network, Patient, Visit};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_from_link_to_note() -> Result<()> {
    let mut network = Network::start()?;
    let doctor = signed_in(&network, "doctor").await?;
    let desk = signed_in(&network, "front-desk").await?;
    let patient = Browser::new(&network)?;
    let visit = patient.book(&desk, &Patient::planted()).await?;

    opening_a_link_changes_nothing(&network, &doctor, &visit).await?;
    nobody_joins_before_admission(&patient, &doctor, &visit).await?;
    patient.be_admitted(&doctor, &visit).await?;
    let seen = patient.get("/scheduling/visit").await?;
    ensure!(seen["admitted"] == true, "{seen}");
    both_get_one_room_and_different_ids(&patient, &doctor, &visit).await?;
    let encounter = note_is_kept_once_per_version(&doctor, &visit).await?;

    let end = format!("/scheduling/appointments/{}/end", visit.appointment);
    ensure!(doctor.post(&end, &json!({})).await?.status == 200);
    everything_is_over(&network, &patient, &visit).await?;

    network.restart()?;
    let doctor = signed_in(&network, "doctor").await?;
    let kept = doctor.get(&format!("/records/encounters/{encounter}")).await?;
    ensure!(kept["note"]["text"] == "Second thoughts", "{kept}");
    ensure!(kept["status"] == "finished", "{kept}");
    let again = Browser::new(&network)?.post("/auth/visit-sessions", &json!({"token": visit.token})).await?;
    ensure!(again.status == 410 && again.problem() == "visit-over", "{again:?}");
    Ok(())
}

async fn signed_in(network: &Network, role: &str) -> Result<Browser> {
    let browser = Browser::new(network)?;
    let answer = browser.sign_in(&network.account(role)?).await?;
    ensure!(answer.status == 201, "{answer:?}");
    Ok(browser)
}

async fn opening_a_link_changes_nothing(network: &Network, doctor: &Browser, visit: &Visit) -> Result<()> {
    let scanner = Browser::new(network)?;
    for path in ["/visit", "/auth/visit-sessions", "/scheduling/visit/arrive"] {
        let answer = scanner.send(Method::GET, path, None).await?;
        ensure!(!answer.headers.contains_key("set-cookie"), "{path}: {answer:?}");
    }
    let unknown = scanner.post("/auth/visit-sessions", &json!({"token": "AAAAAAAAAAAAAAAAAAAAAA"})).await?;
    ensure!(unknown.status == 404 && unknown.problem() == "unknown-link", "{unknown:?}");
    let admit = format!("/scheduling/appointments/{}/admit", visit.appointment);
    let early = doctor.post(&admit, &json!({})).await?;
    ensure!(early.status == 409 && early.problem() == "not-arrived", "{early:?}");
    Ok(())
}

async fn nobody_joins_before_admission(patient: &Browser, doctor: &Browser, visit: &Visit) -> Result<()> {
    ensure!(patient.post("/tokens/join", &json!({})).await?.status == 401, "no cookie, no token");
    let opened = patient.post("/auth/visit-sessions", &json!({"token": visit.token})).await?;
    ensure!(opened.status == 201, "{opened:?}");
    let waiting = patient.get("/scheduling/visit").await?;
    ensure!(waiting["admitted"] == false && waiting["appointment"]["status"] == "booked", "{waiting}");
    for answer in [
        patient.post("/tokens/join", &json!({})).await?,
        doctor.post("/tokens/join", &json!({"appointment": visit.appointment})).await?,
    ] {
        ensure!(answer.status == 409 && answer.problem() == "not-admitted", "{answer:?}");
    }
    Ok(())
}

async fn both_get_one_room_and_different_ids(
    patient: &Browser,
    doctor: &Browser,
    visit: &Visit,
) -> Result<()> {
    let a = patient.post("/tokens/join", &json!({})).await?;
    let b = doctor.post("/tokens/join", &json!({"appointment": visit.appointment})).await?;
    ensure!(a.status == 201 && b.status == 201, "{a:?} {b:?}");
    ensure!(a.body["room"] == b.body["room"], "two rooms for one visit");
    ensure!(a.body["participant"] != b.body["participant"], "two people share an id");
    let room = a.body["room"].as_str().context("no room")?;
    ensure!(!visit.appointment.contains(room) && room.len() >= 22, "room name {room} is not 128 random bits");
    let node = a.body["nodes"][0]["url"].as_str().context("no media node in the answer")?;
    ensure!(node.starts_with("ws://"), "{node}");
    let other = doctor.post("/tokens/join", &json!({"appointment": uuid_nobody_has()})).await?;
    ensure!(other.status == 404, "{other:?}");
    Ok(())
}

async fn note_is_kept_once_per_version(doctor: &Browser, visit: &Visit) -> Result<String> {
    let encounter = doctor.encounter(&visit.appointment).await?;
    let path = format!("/records/encounters/{encounter}");
    let blind = doctor.send(Method::PUT, &format!("{path}/note"), Some(&json!({"text": "x"}))).await?;
    ensure!(blind.status == 428, "{blind:?}");
    let first = doctor.send(Method::GET, &path, None).await?.headers["etag"].clone();
    for (text, tag, status) in [("First", first.clone(), 200), ("Lost update", first, 412)] {
        let answer = write_note(doctor, &path, text, &tag).await?;
        ensure!(answer == status, "{text}: {answer}, expected {status}");
    }
    let second = doctor.send(Method::GET, &path, None).await?;
    ensure!(second.body["note"]["text"] == "First", "{second:?}");
    ensure!(write_note(doctor, &path, "Second thoughts", &second.headers["etag"]).await? == 200);
    Ok(encounter)
}

async fn write_note(doctor: &Browser, path: &str, text: &str, tag: &str) -> Result<u16> {
    let body = json!({"text": text});
    let headers = [("if-match", tag)];
    Ok(doctor.send_with(Method::PUT, &format!("{path}/note"), Some(&body), &headers).await?.status)
}

async fn everything_is_over(network: &Network, patient: &Browser, visit: &Visit) -> Result<()> {
    let fresh = Browser::new(network)?;
    for answer in [
        patient.send(Method::GET, "/scheduling/visit", None).await?,
        patient.post("/tokens/join", &json!({})).await?,
        fresh.post("/auth/visit-sessions", &json!({"token": visit.token})).await?,
    ] {
        ensure!(answer.status == 410 && answer.problem() == "visit-over", "{answer:?}");
    }
    Ok(())
}

fn uuid_nobody_has() -> &'static str {
    "00000000-0000-7000-8000-000000000000"
}
