//! Free slots as a patient sees them.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use jiff::SignedDuration;
use kit::params;
use kit::testing::{Answer, Seeded, World};
use scheduling::SchedulingFunction;
use serde_json::json;

async fn slots(world: &World, seeded: &Seeded, from: &str, days: u8) -> Vec<String> {
    let path = format!("/scheduling/slots?service={}&from={from}&days={days}", seeded.service);
    let answer = world.client(&seeded.clinic).get::<SchedulingFunction>(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let slots = answer.body["slots"].as_array().unwrap();
    slots.iter().map(|slot| slot["start"].as_str().unwrap().to_owned()).collect()
}

async fn ask(world: &World, query: &str) -> Answer {
    world.client("demo").get::<SchedulingFunction>(&format!("/scheduling/slots?{query}")).await
}

#[tokio::test]
async fn the_clinic_says_what_can_be_booked() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let answer = world.client("demo").get::<SchedulingFunction>("/scheduling/clinic").await;
    assert_eq!(
        answer.body,
        json!({
            "id": "demo", "name": "Test clinic", "timeZone": "Europe/Berlin",
            "services": [{"id": seeded.service, "name": "Consult", "durationMinutes": 30,
                          "price": {"amount": "60.00", "currency": "EUR"}}],
            "sites": [], "open": true,
            "practitioners": [{"id": seeded.practitioner, "name": "Dr Grey"}]
        })
    );
    let unknown = world.client("nowhere").get::<SchedulingFunction>("/scheduling/clinic").await;
    assert_eq!(unknown.refusal(), (404, "unknown-clinic"));
}

#[tokio::test]
async fn slots_are_in_the_future_only() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    // Open from 9 to 12 in Berlin: 8 to 11 UTC.
    assert_eq!(slots(&world, &seeded, "2026-03-02", 1).await.len(), 6);
    world.set_now("2026-03-02T09:00:00Z");
    let left = slots(&world, &seeded, "2026-03-02", 1).await;
    assert_eq!(left, ["2026-03-02T09:30:00Z", "2026-03-02T10:00:00Z", "2026-03-02T10:30:00Z"]);
    assert!(slots(&world, &seeded, "2026-02-20", 3).await.is_empty());
    assert!(slots(&world, &seeded, "2027-06-01", 3).await.is_empty(), "beyond the horizon");
}

#[tokio::test]
async fn slots_keep_their_local_time_across_the_clock_changes() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let starts = slots(&world, &seeded, "2026-03-28", 3).await;
    let firsts: Vec<_> = starts.iter().step_by(6).collect();
    assert_eq!(firsts, ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"]);
    let starts = slots(&world, &seeded, "2026-10-24", 3).await;
    let firsts: Vec<_> = starts.iter().step_by(6).collect();
    assert_eq!(firsts, ["2026-10-24T07:00:00Z", "2026-10-25T08:00:00Z", "2026-10-26T08:00:00Z"]);
}

#[tokio::test]
async fn what_is_booked_or_held_is_not_offered() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.seed_visit(&seeded, "2026-03-02T08:30:00Z").await;
    let client = world.client("demo");
    let wish = json!({"service": seeded.service, "practitioner": seeded.practitioner,
                      "start": "2026-03-02T10:00:00Z"});
    assert_eq!(client.post::<SchedulingFunction>("/scheduling/holds", wish).await.status, 201);
    let left = slots(&world, &seeded, "2026-03-02", 1).await;
    assert_eq!(left.len(), 4);
    assert!(!left.contains(&"2026-03-02T08:30:00Z".to_owned()));
    assert!(!left.contains(&"2026-03-02T10:00:00Z".to_owned()));

    world.advance(SignedDuration::from_mins(10));
    assert_eq!(slots(&world, &seeded, "2026-03-02", 1).await.len(), 5, "the hold has expired");
    world.run("UPDATE appointment SET status = 'cancelled'", vec![]).await;
    assert_eq!(slots(&world, &seeded, "2026-03-02", 1).await.len(), 6, "the appointment was called off");
}

#[tokio::test]
async fn a_longer_service_gets_its_own_grid_and_sees_the_same_bookings() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.seed_visit(&seeded, "2026-03-02T09:30:00Z").await;
    let long = Seeded { service: kit::ids::ServiceId::new(world.now()).unwrap(), ..seeded.clone() };
    let sql = "INSERT INTO service (clinic, id, name, duration_minutes, price_minor, currency)
               VALUES ('demo', ?, 'Long', 60, 0, 'EUR')";
    world.run(sql, params![long.service]).await;
    assert_eq!(slots(&world, &long, "2026-03-02", 1).await, ["2026-03-02T08:00:00Z", "2026-03-02T10:00:00Z"]);
}

#[tokio::test]
async fn another_clinics_bookings_and_services_are_not_seen() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let other = world.seed("other", "Europe/Berlin").await;
    world.seed_visit(&other, "2026-03-02T08:30:00Z").await;
    assert_eq!(slots(&world, &seeded, "2026-03-02", 1).await.len(), 6);
    let query = format!("service={}&from=2026-03-02", other.service);
    assert_eq!(ask(&world, &query).await.refusal(), (404, "not-found"));
    let query = format!("service={}&from=2026-03-02&practitioner={}", seeded.service, other.practitioner);
    assert_eq!(ask(&world, &query).await.refusal(), (404, "not-found"));
}

#[tokio::test]
async fn parameters_are_checked() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let service = seeded.service;
    for (query, pointer) in [
        ("from=2026-03-02".to_owned(), "?service"),
        (format!("service={service}"), "?from"),
        (format!("service={service}&from=2026-02-30"), "?from"),
        (format!("service={service}&from=2026-03-02&days=0"), "?days"),
        (format!("service={service}&from=2026-03-02&days=32"), "?days"),
        (format!("service={service}&from=2026-03-02&days=x"), "?days"),
        (format!("service={service}&from=2026-03-02&practitioner=grey"), "?practitioner"),
        (format!("service={service}&from=2026-03-02&name=Ada"), "?"),
        ("service=x&from=2026-03-02".to_owned(), "?service"),
    ] {
        let answer = ask(&world, &query).await;
        assert_eq!(answer.refusal(), (422, "invalid-input"), "{query}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{query}");
        assert!(!answer.body.to_string().contains("Ada"));
    }
}
