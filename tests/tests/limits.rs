//! Over a bound: a clear error, and everyone else is served on.

use anyhow::{Result, ensure};
use locum_network_tests::{Browser, Network, signal};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_told_so() -> Result<()> {
    let network = Network::start()?;
    let browser = Browser::new(&network)?;
    let big = json!({"username": "x".repeat(1024 * 1024), "password": "y"});
    let answer = browser.post("/auth/sessions", &big).await?;
    ensure!(answer.status == 413, "{answer:?}");
    ensure!(answer.headers["content-type"].starts_with("application/problem+json"), "{answer:?}");
    for (body, status) in [(json!([]), 422), (json!({"username": 1}), 422), (json!({"unknown": true}), 422)] {
        let answer = browser.post("/auth/sessions", &body).await?;
        ensure!(answer.status == status, "{body}: {answer:?}");
    }
    let evil = [("origin", "http://evil.example")];
    let answer = browser.send_with(Method::POST, "/auth/sessions", Some(&json!({})), &evil).await?;
    ensure!(answer.status == 403 && answer.problem() == "foreign-origin", "{answer:?}");
    let answer = browser.send(Method::GET, "/auth/nothing-here", None).await?;
    ensure!(answer.status == 404, "{answer:?}");
    let answer = browser.send(Method::DELETE, "/scheduling/clinic", None).await?;
    ensure!(answer.status == 405, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_edge_host_takes_no_acknowledged_write_with_it() -> Result<()> {
    let mut network = Network::start()?;
    let browser = Browser::new(&network)?;
    let slots = browser.slots().await?;
    let mut held = Vec::new();
    for slot in slots.iter().take(10) {
        let answer = browser.post("/scheduling/holds", slot).await?;
        ensure!(answer.status == 201, "{answer:?}");
        held.push(slot.clone());
    }
    signal(network.process_id("edge-1")?, libc::SIGKILL);
    let _ = network.stop();
    network.restart()?;
    let free = Browser::new(&network)?.slots().await?;
    for slot in &held {
        ensure!(!free.contains(slot), "an acknowledged hold is gone");
    }
    Ok(())
}
