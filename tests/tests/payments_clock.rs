//! What happens to cards by the clock alone: nobody asks, no webhook comes, and no page is open.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Manifest, Network, Patient, Stripe, hold};
use serde_json::{Value, json};

const GOOD: &str = "4242424242424242";
/// It can be kept, and is refused when it is charged.
const DECLINED: &str = "4000000000000341";
const PATIENCE: Duration = Duration::from_secs(90);

struct Place {
    network: Network,
    stripe: Stripe,
    desk: Browser,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_is_kept_is_charged_once_within_a_day_of_the_visit_by_the_clock() -> Result<()> {
    let stripe = Stripe::start()?;
    let manifest = Manifest::with_jobs(&[("payments-reconcile", "*/2 * * * * *")])?;
    let path = manifest.path().to_string_lossy().into_owned();
    let options = stripe.options();
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    options.extend(["--manifest", &path]);
    let network = Network::start_with(1, &options)?;
    let desk = Browser::new(&network)?;
    let signed_in = desk.sign_in(&network.account("front-desk")?).await?;
    ensure!(signed_in.status == 201, "{signed_in:?}");
    let place = Place { network, stripe, desk };

    let good = keep_a_card(&place, 1, GOOD).await?;
    let declined = keep_a_card(&place, 2, DECLINED).await?;
    rounds(&place, 2).await?;
    ensure!(place.stripe.asked("payment_intents").await? == 0, "charged more than a day before");
    for visit in [&good, &declined] {
        move_to_today(&place, visit).await?;
    }
    let begun = Instant::now();
    loop {
        let states = (card_of(&place, &good).await?, card_of(&place, &declined).await?);
        if states == (json!("authorised"), json!("declined")) {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{states:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let asked = place.stripe.asked("payment_intents").await?;
    rounds(&place, 3).await?;
    ensure!(place.stripe.asked("payment_intents").await? == asked, "asked again for what was answered");
    ensure!(asked == 2, "{asked} charges of two cards");
    let outbox = place.desk.get("/messages/outbox").await?;
    let messages = outbox["messages"].as_array().context("no messages")?;
    let told =
        messages.iter().filter(|m| m["subject"].as_str().is_some_and(|text| text.contains("card"))).count();
    ensure!(told == 1, "the patient whose card was refused is told once, not {told} times");
    let missing = place.desk.get("/messages/missing").await?;
    let lacks = missing["visits"].as_array().context("no visits")?.iter();
    let unpaid: Vec<_> = lacks.filter(|visit| visit["missing"].to_string().contains("payment")).collect();
    ensure!(unpaid.len() == 1 && unpaid[0]["id"] == declined.as_str(), "{missing}");
    Ok(())
}

/// Until the job has run so often, each time to its end.
async fn rounds(place: &Place, count: u32) -> Result<()> {
    let figure = r#"locum_edge_jobs_total{job="payments-reconcile",outcome="done"}"#;
    let run = async || -> Result<f64> { Ok(place.network.figure("edge-1", figure).await?.unwrap_or(0.0)) };
    let (before, begun) = (run().await?, Instant::now());
    while run().await? < before + f64::from(count) {
        ensure!(begun.elapsed() < PATIENCE, "the job does not run");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Booked for later than a card can be authorised for: it is kept. The visit.
async fn keep_a_card(place: &Place, number: usize, card: &str) -> Result<String> {
    let browser = Browser::new(&place.network)?;
    let slots = browser.slots_within(10..17).await?;
    let held = browser.post("/scheduling/holds", slots.get(number).context("no slot in ten days")?).await?;
    let held = hold(&held.body)?;
    let patient = Patient::numbered(number);
    let body = json!({"hold": held.id, "secret": held.secret, "patient": {
        "name": patient.name, "birthDate": "1956-03-14", "email": patient.email}});
    let begun = browser.post("/payments/card-payments", &body).await?;
    ensure!(begun.status == 201 && begun.body["kind"] == "setup", "{begun:?}");
    let secret = begun.body["clientSecret"].as_str().context("no secret")?;
    let saved = place.stripe.pay(secret, card).await?;
    ensure!(saved["status"] == "succeeded", "{saved}");
    let path = format!("/payments/card-payments/{}/check", held.id);
    let booked = browser.post(&path, &json!({"secret": held.secret})).await?;
    ensure!(booked.status == 200, "{booked:?}");
    Ok(booked.body["appointment"]["id"].as_str().context("no appointment")?.to_owned())
}

async fn move_to_today(place: &Place, visit: &str) -> Result<()> {
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(23);
    for slot in place.desk.slots_within(0..2).await? {
        let start: jiff::Timestamp = slot["start"].as_str().context("no start")?.parse()?;
        if start > soon {
            break;
        }
        let held = place.desk.post("/scheduling/holds", &slot).await?;
        if held.status != 201 {
            continue;
        }
        let held = hold(&held.body)?;
        let wish = json!({"hold": held.id, "secret": held.secret});
        let moved = place.desk.post(&format!("/scheduling/appointments/{visit}/move"), &wish).await?;
        ensure!(moved.status == 200, "{moved:?}");
        return Ok(());
    }
    anyhow::bail!("no slot within a day")
}

async fn card_of(place: &Place, visit: &str) -> Result<Value> {
    let today = jiff::Timestamp::now().in_tz("UTC")?.date();
    for days in -1..3 {
        let date = today.checked_add(jiff::Span::new().days(days))?;
        let listed = place.desk.get(&format!("/payments/invoices?date={date}")).await?;
        let mut invoices = listed["invoices"].as_array().into_iter().flatten();
        if let Some(found) = invoices.find(|invoice| invoice["visit"]["id"] == visit) {
            return Ok(found["card"]["state"].clone());
        }
    }
    Ok(Value::Null)
}
