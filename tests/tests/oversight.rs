//! Three regions: who saw what is one list out of all of them, also while one is gone; who leaves is out everywhere.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use locum_network_tests::{Browser, Network, Patient};
use reqwest::Method;
use serde_json::{Value, json};

/// How long a failover, or a report after it, may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// What the requirements allow (A7).
const REVOKED_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn who_saw_what_is_one_list_and_who_leaves_is_out_everywhere() -> Result<()> {
    let mut network = Network::start_regions(3)?;
    let administrator = Browser::at(&network, "eu-central")?;
    administrator.sign_in(&network.account("clinic-admin")?).await?;
    let desk = Browser::at(&network, "us-west")?;
    desk.sign_in(&network.account("front-desk")?).await?;
    let visit = Browser::at(&network, "us-west")?.book(&desk, &Patient::numbered(1)).await?;
    let doctor = Browser::at(&network, "us-east")?;
    doctor.sign_in(&network.account("doctor")?).await?;
    let encounter = doctor.encounter(&visit.appointment).await?;
    doctor.get(&format!("/records/encounters/{encounter}")).await?;

    // Read in us-east, changed at the primary, asked for in eu-central.
    let report = administrator.get("/audit/events?limit=200").await?;
    for code in ["note-read", "appointment-booked", "sign-in", "primary-began"] {
        ensure!(codes(&report).contains(&code), "no {code}: {report}");
    }
    ensure!(states(&report) == ["answered"; 3], "{}", report["sources"]);
    let read =
        report["events"].as_array().context("events")?.iter().find(|event| event["code"] == "note-read");
    let read = read.context("the reading")?;
    ensure!(read["region"] == "us-east" && read["patient"]["id"].is_string(), "{read}");

    orders_are_recorded(&network, &administrator).await?;
    revoked_everywhere(&network, &administrator, &doctor).await?;
    survives_a_lost_region(&mut network, &administrator).await?;
    network.stop()
}

/// Who has the network do something stands in the clinic's own list, once, whichever host writes it.
async fn orders_are_recorded(network: &Network, administrator: &Browser) -> Result<()> {
    for words in
        [&["pin", "us-west"][..], &["unpin"], &["promote", "eu-central"], &["drain", "media-us-west"]]
    {
        let words = [words, &["--yes"]].concat();
        let (done, said) = network.locum_as("Ada Byron", &words)?;
        ensure!(done, "{words:?}: {said}");
    }
    let wanted = ["operator-drain", "operator-pin", "operator-promote", "operator-unpin"];
    let begun = Instant::now();
    loop {
        let report = administrator.get("/audit/events?limit=200&user=operator-ada-byron").await?;
        let mut found = codes(&report);
        found.sort_unstable();
        if found == wanted {
            return Ok(());
        }
        ensure!(begun.elapsed() < DEADLINE, "{report}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[allow(clippy::print_stdout, reason = "a figure for people")]
/// Somebody leaves: in no region does their session open anything any more.
async fn revoked_everywhere(network: &Network, administrator: &Browser, doctor: &Browser) -> Result<()> {
    let session = doctor.get("/auth/session").await?;
    let user = session["user"]["id"].as_str().context("no id")?.to_owned();
    let left = administrator.post(&format!("/auth/staff/{user}/leave"), &json!({})).await?;
    ensure!(left.status == 204, "{left:?}");
    let begun = Instant::now();
    for region in network.regions() {
        let there = doctor.moved_to(network, &region)?;
        while there.send(Method::GET, "/auth/session", None).await?.status != 401 {
            ensure!(begun.elapsed() < REVOKED_WITHIN, "still in, in {region}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    println!("out in every region after {:?}", begun.elapsed());
    Ok(())
}

/// The host at which the note was read is gone: its log comes from the copy in another region, and the list says so.
async fn survives_a_lost_region(network: &mut Network, administrator: &Browser) -> Result<()> {
    let report = administrator.get("/audit/events?limit=200").await?;
    let events = report["events"].as_array().context("events")?;
    let read = events.iter().filter(|event| event["region"] == "us-east").count() as f64;
    let begun = Instant::now();
    let shipped = "locum_edge_audit_shipped_sequence{group=\"main\"}";
    while network.figure(&network.edge("us-east"), shipped).await?.is_none_or(|shipped| shipped < read) {
        ensure!(begun.elapsed() < DEADLINE, "{read} events are in one region only");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    network.kill_hosts("us-east")?;
    let begun = Instant::now();
    let mut last = Value::Null;
    while begun.elapsed() < DEADLINE {
        let answer = administrator.send(Method::GET, "/audit/events?code=note-read", None).await?;
        last = answer.body;
        let is_copied = states(&last).contains(&"copied");
        if is_copied && codes(&last) == ["note-read"] {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("not from the copy: {last}")
}

fn codes(report: &Value) -> Vec<&str> {
    let events = report["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().filter_map(|event| event["code"].as_str()).collect()
}

fn states(report: &Value) -> Vec<&str> {
    let sources = report["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    sources.iter().filter_map(|source| source["state"].as_str()).collect()
}
