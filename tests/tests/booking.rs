//! Booking: one winner for a slot, one use of a hold, one effect of a repeated request; and the bundle a clinic is set up
//! from.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Network, Patient, binaries, confirmation, hold};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_a_hold_and_a_request_count_once() -> Result<()> {
    let network = Network::start_regions(3)?;
    fifty_rivals_of_three_regions_have_one_winner(&network).await?;
    a_hold_is_used_once(&network).await?;
    a_repeated_request_has_one_effect(&network).await?;
    what_is_not_a_slot_is_refused(&network).await?;
    a_bundle_is_shown_and_applied(&network).await
}

async fn fifty_rivals_of_three_regions_have_one_winner(network: &Network) -> Result<()> {
    let slot = Browser::new(network)?.slots().await?.remove(3);
    let mut rivals = Vec::new();
    for region in network.regions().iter().cycle().take(50) {
        let (browser, slot) = (Browser::at(network, region)?, slot.clone());
        rivals.push(tokio::spawn(async move { browser.post("/scheduling/holds", &slot).await }));
    }
    let mut winners = 0;
    for rival in rivals {
        let answer = rival.await??;
        match answer.status {
            201 => winners += 1,
            409 => {
                ensure!(answer.problem() == "slot-taken", "{answer:?}");
                ensure!(answer.body["alternatives"].as_array().is_some_and(|a| !a.is_empty()), "{answer:?}");
            }
            _ => anyhow::bail!("neither won nor lost: {answer:?}"),
        }
    }
    ensure!(winners == 1, "{winners} winners");
    // Where it was written; other regions hear of it.
    let there = Browser::new(network)?;
    let lost = there.post("/scheduling/holds", &slot).await?;
    ensure!(lost.status == 409 && lost.problem() == "slot-taken", "{lost:?}");
    ensure!(!there.slots().await?.contains(&slot), "a held slot is still offered");
    Ok(())
}

async fn a_hold_is_used_once(network: &Network) -> Result<()> {
    let browser = Browser::new(network)?;
    let hold = browser.hold_any().await?;
    let first = browser.confirm(&hold, &Patient::numbered(1)).await?;
    ensure!(first.status == 201, "{first:?}");
    let second = browser.confirm(&hold, &Patient::numbered(2)).await?;
    ensure!(second.status == 409 && second.problem() == "hold-used", "{second:?}");
    let mut stolen = browser.hold_any().await?;
    stolen.secret = hold.secret;
    let refused = browser.confirm(&stolen, &Patient::numbered(3)).await?;
    ensure!((400..500).contains(&refused.status), "another hold's secret worked: {refused:?}");
    let desk = staff(network).await?;
    let told = desk.get("/messages/outbox").await?;
    for (n, expected) in [(1, 1), (2, 0), (3, 0)] {
        let sent = count_messages(&told, &Patient::numbered(n).email);
        ensure!(sent == expected, "patient {n} has {sent} invitations");
    }
    Ok(())
}

async fn a_repeated_request_has_one_effect(network: &Network) -> Result<()> {
    let browser = Browser::new(network)?;
    let held = browser.hold_any().await?;
    let patient = Patient::numbered(4);
    let body = confirmation(&held, &patient);
    let key = [("idempotency-key", "0d0b7d4e-6b1c-4a57-9d3f-0d9a4a1c9b11")];
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(browser.send_with(Method::POST, "/payments/confirmations", Some(&body), &key).await?);
    }
    let [first, again] = &answers[..] else { anyhow::bail!("two answers expected") };
    ensure!(first.status == 201 && again.status == 201, "{answers:?}");
    ensure!(first.body == again.body, "the second answer differs: {answers:?}");
    ensure!(!first.headers.contains_key("idempotency-replayed"), "{first:?}");
    ensure!(again.headers.get("idempotency-replayed").is_some_and(|v| v == "true"), "{again:?}");
    let told = staff(network).await?.get("/messages/outbox").await?;
    ensure!(count_messages(&told, &patient.email) == 1, "two effects: {told}");

    // The same key for another request is a mistake of the client's, not a replay.
    let other = confirmation(&held, &Patient::numbered(5));
    let answer = browser.send_with(Method::POST, "/payments/confirmations", Some(&other), &key).await?;
    ensure!(answer.status == 422 && answer.problem() == "idempotency-key-reused", "{answer:?}");
    Ok(())
}

async fn what_is_not_a_slot_is_refused(network: &Network) -> Result<()> {
    let browser = Browser::new(network)?;
    let mut slot = browser.slots().await?.remove(0);
    slot["start"] = json!("2020-01-01T10:00:00Z");
    let past = browser.post("/scheduling/holds", &slot).await?;
    ensure!(past.status == 422 && past.problem() == "not-a-slot", "{past:?}");
    slot["start"] = json!("not a time");
    ensure!(browser.post("/scheduling/holds", &slot).await?.status == 422);
    let unknown = browser.send(Method::GET, "/c/nowhere/scheduling/clinic", None).await?;
    ensure!(unknown.status == 404, "{unknown:?}");
    let unreadable = hold(&past.body);
    ensure!(unreadable.is_err(), "a refusal carried a hold");
    Ok(())
}

async fn a_bundle_is_shown_and_applied(network: &Network) -> Result<()> {
    let locum = |words: &[&str]| -> Result<(bool, String)> {
        let program = binaries()?.join("locum");
        let output =
            Command::new(program).arg("clinic").args(words).arg("--data").arg(network.data()).output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8(said)?))
    };
    let (_, shown) = locum(&["show", "demo"])?;
    let mut bundle: Value = serde_json::from_str(&shown)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bundle.yaml");
    let path = file.to_str().context("a path")?;
    let price = || async {
        let clinic = Browser::new(network)?.send(Method::GET, "/scheduling/clinic", None).await?;
        anyhow::Ok(clinic.body["services"][0]["price"]["amount"].clone())
    };

    std::fs::write(&file, bundle.to_string())?;
    let (done, said) = locum(&["apply", "demo", path, "--yes"])?;
    ensure!(done && said.contains("Nothing to change."), "{said}");

    let name = Browser::new(network)?.send(Method::GET, "/scheduling/clinic", None).await?;
    let name = name.body["services"][0]["name"].clone();
    let services = bundle["services"].as_array_mut().context("services")?;
    let at = services.iter().position(|service| service["name"] == name).context("the service")?;
    services[at]["price"]["amount"] = json!("-1.00");
    std::fs::write(&file, bundle.to_string())?;
    let (done, said) = locum(&["apply", "demo", path, "--yes"])?;
    ensure!(!done && said.contains(&format!("/services/{at}/price ")), "{said}");

    bundle["services"][at]["price"]["amount"] = json!("77.00");
    std::fs::write(&file, bundle.to_string())?;
    let (done, said) = locum(&["apply", "demo", path])?;
    ensure!(done && said.contains("(price)") && said.contains("--yes"), "{said}");
    ensure!(price().await? != "77.00", "a plan was carried out");
    let (done, said) = locum(&["apply", "demo", path, "--yes"])?;
    ensure!(done && price().await? == "77.00", "{said}");

    std::fs::write(&file, "clinic: [")?;
    ensure!(!locum(&["apply", "demo", path, "--yes"])?.0, "a broken file was taken");
    // More than any clinic has; an edge host does not read it to the end either.
    bundle["clinic"]["name"] = json!("x".repeat(10_000_000));
    std::fs::write(&file, bundle.to_string())?;
    ensure!(!locum(&["apply", "demo", path, "--yes"])?.0, "ten megabytes were taken");
    let token = [("authorization", "Bearer x")];
    let much = Browser::new(network)?.send_with(Method::PUT, "/auth/set-up", Some(&bundle), &token).await;
    ensure!(much.map_or(true, |answer| answer.status == 413), "ten megabytes were read");
    Ok(())
}

async fn staff(network: &Network) -> Result<Browser> {
    let browser = Browser::new(network)?;
    let answer = browser.sign_in(&network.account("front-desk")?).await?;
    ensure!(answer.status == 201, "{answer:?}");
    Ok(browser)
}

fn count_messages(outbox: &serde_json::Value, to: &str) -> usize {
    outbox["messages"].as_array().map_or(0, |all| all.iter().filter(|m| m["to"] == to).count())
}
