//! A slot has one winner.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::sync::{Arc, Barrier};

use jiff::SignedDuration;
use kit::testing::{Answer, Seeded, World};
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};

fn wish(seeded: &Seeded, start: &str) -> Json {
    json!({"service": seeded.service, "practitioner": seeded.practitioner, "start": start})
}

async fn hold(world: &World, clinic: &str, wish: Json) -> Answer {
    world.client(clinic).post::<SchedulingFunction>("/scheduling/holds", wish).await
}

#[tokio::test]
async fn a_hold_keeps_a_slot_for_ten_minutes() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let held = hold(&world, "demo", wish(&seeded, "2026-03-02T09:00:00+01:00")).await;
    assert_eq!(held.status, 201, "{}", held.body);
    assert_eq!(held.body["start"], "2026-03-02T08:00:00Z");
    assert_eq!(held.body["end"], "2026-03-02T08:30:00Z");
    assert_eq!(held.body["expiresAt"], "2026-03-02T07:10:00Z");
    assert_eq!(held.body["practitioner"], json!({"id": seeded.practitioner, "name": "Dr Grey"}));
    assert_eq!(held.body["service"], json!({"id": seeded.service, "name": "Consult"}));
    assert_eq!(held.text("/secret").len(), 22);

    world.advance(SignedDuration::from_secs(599));
    let second = hold(&world, "demo", wish(&seeded, "2026-03-02T08:00:00Z")).await;
    assert_eq!(second.refusal(), (409, "slot-taken"));
    world.advance(SignedDuration::from_secs(1));
    assert_eq!(hold(&world, "demo", wish(&seeded, "2026-03-02T08:00:00Z")).await.status, 201);
}

#[tokio::test]
async fn a_loser_is_shown_the_nearest_slots() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.seed_visit(&seeded, "2026-03-02T09:00:00Z").await;
    let answer = hold(&world, "demo", wish(&seeded, "2026-03-02T09:00:00Z")).await;
    assert_eq!(answer.refusal(), (409, "slot-taken"));
    let starts: Vec<_> =
        answer.body["alternatives"].as_array().unwrap().iter().map(|slot| &slot["start"]).collect();
    assert_eq!(
        starts,
        [
            "2026-03-02T08:30:00Z",
            "2026-03-02T09:30:00Z",
            "2026-03-02T08:00:00Z",
            "2026-03-02T10:00:00Z",
            "2026-03-02T10:30:00Z"
        ]
    );
    assert_eq!(world.count("SELECT count(*) FROM hold WHERE used_at IS NULL").await, 0);
}

#[tokio::test]
async fn what_is_no_slot_is_refused() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    for start in [
        "2026-03-02T06:00:00Z",
        "2026-03-02T07:00:00Z",
        "2026-03-02T08:15:00Z",
        "2026-03-02T08:00:01Z",
        "2026-03-02T11:00:00Z",
        "2026-03-01T08:00:00Z",
        "2027-06-01T07:00:00Z",
    ] {
        assert_eq!(
            hold(&world, "demo", wish(&seeded, start)).await.refusal(),
            (422, "not-a-slot"),
            "{start}"
        );
    }
    for start in ["now", "2026-03-02", "2026-03-02T08:00:00", ""] {
        let answer = hold(&world, "demo", wish(&seeded, start)).await;
        assert_eq!(answer.refusal(), (422, "invalid-input"), "{start}");
        assert_eq!(answer.body["errors"][0]["pointer"], "/start");
    }
}

#[tokio::test]
async fn another_clinics_ids_do_not_exist_here() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let other = world.seed("other", "Europe/Berlin").await;
    for (service, practitioner) in
        [(other.service, seeded.practitioner), (seeded.service, other.practitioner)]
    {
        let mixed = Seeded { service, practitioner, ..seeded.clone() };
        let answer = hold(&world, "demo", wish(&mixed, "2026-03-02T08:00:00Z")).await;
        assert_eq!(answer.refusal(), (404, "not-found"));
    }
    assert_eq!(hold(&world, "other", wish(&other, "2026-03-02T08:00:00Z")).await.status, 201);
    assert_eq!(hold(&world, "demo", wish(&seeded, "2026-03-02T08:00:00Z")).await.status, 201);
}

#[tokio::test]
async fn of_sixteen_rivals_on_their_own_connections_one_wins() {
    const RIVALS: usize = 16;
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let start = Arc::new(Barrier::new(RIVALS));
    let rivals: Vec<_> = (0..RIVALS)
        .map(|_| {
            let (file, seeded, start) = (world.file().to_owned(), seeded.clone(), Arc::clone(&start));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let world = World::open(&file).await;
                    start.wait();
                    let answer = hold(&world, "demo", wish(&seeded, "2026-03-02T08:00:00Z")).await;
                    (answer.status, answer.problem().to_owned())
                })
            })
        })
        .collect();
    let mut answers: Vec<_> = rivals.into_iter().map(|rival| rival.join().unwrap()).collect();
    answers.sort();
    assert_eq!(answers[0], (201, String::new()));
    assert!(answers[1..].iter().all(|answer| *answer == (409, "slot-taken".to_owned())), "{answers:?}");
    assert_eq!(world.count("SELECT count(*) FROM hold").await, 1);
}

#[tokio::test]
async fn the_database_itself_refuses_a_second_appointment_for_a_time() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let first = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let copy = "INSERT INTO appointment
                  (clinic, id, hold, patient, practitioner, service, start_at, end_at, status, created_at)
                SELECT clinic, 'copy', hold || 'x', patient, practitioner, service, start_at, end_at, status,
                  created_at FROM appointment WHERE id = ?";
    let twice = world.try_run(copy, kit::params![first.appointment]).await;
    assert!(twice.unwrap_err().is_duplicate_of("appointment."), "two appointments at one time");
}
