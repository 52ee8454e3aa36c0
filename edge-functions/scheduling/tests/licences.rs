//! Practitioners treat people where they are licensed: at booking, and again when the patient comes.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use kit::ids::LicenceId;
use kit::params;
use kit::testing::{Answer, Seeded, World};
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};

const START: &str = "2026-03-02T09:00:00Z";

async fn practice() -> (World, Seeded) {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    (world, seeded)
}

async fn license(world: &World, seeded: &Seeded, jurisdiction: &str, from: &str, until: &str) {
    let sql = "INSERT INTO licence
                 (clinic, id, user, jurisdiction, number, valid_from, valid_until, created_at)
               VALUES ('demo', ?, ?, ?, 'N 1', ?, ?, ?)";
    let id = LicenceId::new(world.now()).unwrap();
    world.run(sql, params![id, seeded.doctor, jurisdiction, from, until, world.now()]).await;
}

async fn hold(world: &World, seeded: &Seeded, location: Json) -> Answer {
    let mut wish = json!({"service": seeded.service, "start": START});
    if !location.is_null() {
        wish["location"] = location;
    }
    world.client("demo").post::<SchedulingFunction>("/scheduling/holds", wish).await
}

async fn arrive(world: &World, seeded: &Seeded, start: &str, body: Json) -> Answer {
    let visit = world.seed_visit(seeded, start).await;
    let client = world.client("demo");
    client.begin_visit(&visit).await;
    client.post::<SchedulingFunction>("/scheduling/visit/arrive", body).await
}

#[tokio::test]
async fn nobody_is_asked_where_no_licence_is_known() {
    let (world, seeded) = practice().await;
    let clinic = world.client("demo").get::<SchedulingFunction>("/scheduling/clinic").await;
    assert!(clinic.body.get("licensedIn").is_none(), "{}", clinic.body);
    assert_eq!(hold(&world, &seeded, Json::Null).await.status, 201);
    assert_eq!(arrive(&world, &seeded, "2026-03-02T08:00:00Z", json!({})).await.status, 200);
    // Unless the clinic wants it so.
    world.run("UPDATE clinic SET licence_check = 'always'", vec![]).await;
    assert_eq!(hold(&world, &seeded, Json::Null).await.refusal(), (422, "location-required"));
    assert_eq!(hold(&world, &seeded, json!("DE")).await.refusal(), (409, "not-licensed"));
}

#[tokio::test]
async fn a_booking_needs_a_licence_for_the_place_and_the_day() {
    let (world, seeded) = practice().await;
    license(&world, &seeded, "US-OR", "2025-01-01", "2026-03-02").await;
    let clinic = world.client("demo").get::<SchedulingFunction>("/scheduling/clinic").await;
    assert_eq!(clinic.body["licensedIn"], json!(["US-OR"]));
    for (location, wanted) in [
        (Json::Null, (422, "location-required")),
        (json!("Oregon"), (422, "invalid-input")),
        (json!("US"), (409, "not-licensed")),
        (json!("US-ID"), (409, "not-licensed")),
        (json!("DE"), (409, "not-licensed")),
    ] {
        assert_eq!(hold(&world, &seeded, location.clone()).await.refusal(), wanted, "{location}");
    }
    assert_eq!(hold(&world, &seeded, json!("us-or")).await.status, 201);
    assert_eq!(world.count("SELECT count(*) FROM hold WHERE patient_location = 'US-OR'").await, 1);
    // The day after its last one.
    let wish = json!({"service": seeded.service, "start": "2026-03-03T09:00:00Z", "location": "US-OR"});
    let late = world.client("demo").post::<SchedulingFunction>("/scheduling/holds", wish).await;
    assert_eq!(late.refusal(), (409, "not-licensed"));
    // A licence of a country is one of all of it, not the reverse.
    license(&world, &seeded, "DE", "2026-01-01", "2026-12-31").await;
    let wish = json!({"service": seeded.service, "start": "2026-03-03T09:00:00Z", "location": "DE-BY"});
    let whole = world.client("demo").post::<SchedulingFunction>("/scheduling/holds", wish).await;
    assert_eq!(whole.status, 201, "{}", whole.body);
    world.run("UPDATE licence SET removed_at = 1 WHERE jurisdiction = 'DE'", vec![]).await;
    let wish = json!({"service": seeded.service, "start": "2026-03-03T10:00:00Z", "location": "DE-BY"});
    let gone = world.client("demo").post::<SchedulingFunction>("/scheduling/holds", wish).await;
    assert_eq!(gone.refusal(), (409, "not-licensed"));
}

#[tokio::test]
async fn it_is_asked_again_when_the_patient_comes() {
    let (world, seeded) = practice().await;
    license(&world, &seeded, "US-OR", "2025-01-01", "2026-03-02").await;
    let asked = arrive(&world, &seeded, "2026-03-02T08:00:00Z", json!({})).await;
    assert_eq!(asked.refusal(), (422, "location-required"));
    let elsewhere = arrive(&world, &seeded, "2026-03-02T08:30:00Z", json!({"location": "US-CA"})).await;
    assert_eq!(elsewhere.refusal(), (409, "not-licensed"));
    assert_eq!(world.count("SELECT count(*) FROM appointment WHERE status <> 'booked'").await, 0);
    let here = arrive(&world, &seeded, START, json!({"location": "US-OR"})).await;
    assert_eq!((here.status, here.text("/location").as_str()), (200, "US-OR"), "{}", here.body);
    // It has ended since the visit was booked.
    world.set_now("2026-03-03T08:00:00Z");
    let late = arrive(&world, &seeded, "2026-03-03T08:30:00Z", json!({"location": "US-OR"})).await;
    assert_eq!(late.refusal(), (409, "not-licensed"));
}
