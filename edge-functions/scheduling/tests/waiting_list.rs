//! Whoever would come earlier is offered what gets free; who is late says so; who did not come is marked so.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use jiff::SignedDuration;
use kit::policy::Role;
use kit::testing::{Booked, Client, Seeded, World};
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};

const EARLY: &str = "2026-03-03T08:00:00Z";

struct Practice {
    world: World,
    seeded: Seeded,
}

/// Visits on Tuesday at 9:00, and on Wednesday, Thursday and Friday at the same time.
async fn practice() -> (Practice, [Booked; 4]) {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let mut visits = Vec::new();
    for day in 3..=6 {
        visits.push(world.seed_visit(&seeded, &format!("2026-03-0{day}T08:00:00Z")).await);
    }
    (Practice { world, seeded }, visits.try_into().unwrap())
}

impl Practice {
    async fn patient(&self, visit: &Booked) -> Client<'_> {
        let client = self.world.client("demo");
        client.begin_visit(visit).await;
        client
    }

    async fn waiting(&self, visit: &Booked) -> Client<'_> {
        let client = self.patient(visit).await;
        let joined = client.post::<SchedulingFunction>("/scheduling/visit/waiting-list", json!({})).await;
        assert_eq!(joined.status, 204, "{}", joined.body);
        self.world.advance(SignedDuration::from_millis(1));
        client
    }

    async fn offer(&self, client: &Client<'_>) -> Json {
        let seen = client.get::<SchedulingFunction>("/scheduling/visit").await;
        seen.body["waitingList"]["offer"]["start"].clone()
    }

    async fn desk(&self, id: &kit::ids::AppointmentId, verb: &str, body: Json) -> kit::testing::Answer {
        let desk = self.world.client("demo");
        desk.sign_in_as(Role::FrontDesk).await;
        let path = format!("/scheduling/appointments/{id}/{verb}");
        desk.post::<SchedulingFunction>(&path, body).await
    }

    async fn hold(&self, start: &str) -> u16 {
        let wish = json!({"service": self.seeded.service, "start": start});
        self.world.client("demo").post::<SchedulingFunction>("/scheduling/holds", wish).await.status
    }
}

#[tokio::test]
async fn the_first_who_waits_is_offered_what_gets_free_and_takes_it() {
    let (practice, [first, second, third, fourth]) = practice().await;
    let (third_patient, second_patient) = (practice.waiting(&third).await, practice.waiting(&second).await);
    assert_eq!(practice.desk(&first.appointment, "cancel", json!({})).await.status, 200);
    assert_eq!(practice.offer(&third_patient).await, EARLY, "they have waited longest");
    assert_eq!(practice.offer(&second_patient).await, Json::Null);
    assert_eq!(practice.hold(EARLY).await, 409, "it is kept");
    let told = "SELECT count(*) FROM outbox_message WHERE subject LIKE 'An earlier time%'";
    assert_eq!(practice.world.count(told).await, 1);
    let stranger = practice.patient(&fourth).await;
    let none = stranger.post::<SchedulingFunction>("/scheduling/visit/offer", json!({})).await;
    assert_eq!(none.refusal(), (410, "offer-over"));

    let taken = third_patient.post::<SchedulingFunction>("/scheduling/visit/offer", json!({})).await;
    assert_eq!((taken.status, taken.text("/appointment/start").as_str()), (200, EARLY), "{}", taken.body);
    // What they had is free, and nobody who waits comes later than that.
    assert_eq!(practice.offer(&second_patient).await, Json::Null);
    assert_eq!(practice.hold("2026-03-05T08:00:00Z").await, 201);
    let seen = third_patient.get::<SchedulingFunction>("/scheduling/visit").await;
    assert!(seen.body.get("waitingList").is_none(), "{}", seen.body);
}

#[tokio::test]
async fn an_offer_ends_and_is_then_anybodys() {
    let (practice, [first, second, ..]) = practice().await;
    let patient = practice.waiting(&second).await;
    practice.desk(&first.appointment, "cancel", json!({})).await;
    practice.world.advance(SignedDuration::from_hours(2));
    assert_eq!(practice.offer(&patient).await, Json::Null);
    let late = patient.post::<SchedulingFunction>("/scheduling/visit/offer", json!({})).await;
    assert_eq!(late.refusal(), (410, "offer-over"));
    assert_eq!(practice.hold(EARLY).await, 201);
}

#[tokio::test]
async fn whoever_leaves_the_list_gives_back_what_was_offered() {
    let (practice, [first, second, ..]) = practice().await;
    let patient = practice.waiting(&second).await;
    practice.desk(&first.appointment, "cancel", json!({})).await;
    let list = "/scheduling/visit/waiting-list";
    assert_eq!(patient.send::<SchedulingFunction>(Method::DELETE, list, None, &[]).await.status, 204);
    assert_eq!(practice.hold(EARLY).await, 201);
}

#[tokio::test]
async fn what_begins_soon_is_offered_to_nobody() {
    let (practice, [first, second, ..]) = practice().await;
    let patient = practice.waiting(&second).await;
    practice.world.set_now("2026-03-03T05:30:00Z");
    practice.desk(&first.appointment, "cancel", json!({})).await;
    assert_eq!(practice.offer(&patient).await, Json::Null);
    assert_eq!(practice.hold(EARLY).await, 201);
}

#[tokio::test]
async fn who_is_late_says_so_and_the_other_sees_it() {
    let (practice, [first, ..]) = practice().await;
    let patient = practice.patient(&first).await;
    let late = async |minutes: u32| {
        let body = json!({"minutes": minutes});
        patient.post::<SchedulingFunction>("/scheduling/visit/late", body).await
    };
    assert_eq!(late(241).await.refusal(), (422, "invalid-input"));
    assert_eq!(late(10).await.status, 204);
    let desk = practice.world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let day = desk.get::<SchedulingFunction>("/scheduling/appointments?date=2026-03-03").await;
    assert_eq!(day.body["appointments"][0]["patientLateMinutes"], 10);
    assert_eq!(practice.desk(&first.appointment, "late", json!({"minutes": 15})).await.status, 204);
    let seen = patient.get::<SchedulingFunction>("/scheduling/visit").await;
    assert_eq!(seen.body["clinicLateMinutes"], 15);
    assert_eq!(practice.desk(&first.appointment, "late", json!({"minutes": 0})).await.status, 204);
    let seen = patient.get::<SchedulingFunction>("/scheduling/visit").await;
    assert!(seen.body.get("clinicLateMinutes").is_none(), "{}", seen.body);
}

#[tokio::test]
async fn who_did_not_come_is_marked_once_it_is_time() {
    let (practice, [first, second, ..]) = practice().await;
    practice.world.set_now("2026-03-03T08:14:59Z");
    let early = practice.desk(&first.appointment, "no-show", json!({})).await;
    assert_eq!(early.refusal(), (409, "too-early"));
    practice.world.set_now("2026-03-03T08:15:00Z");
    for _ in 0..2 {
        assert_eq!(practice.desk(&first.appointment, "no-show", json!({})).await.status, 204);
    }
    let patient = practice.patient(&first).await;
    let over = patient.post::<SchedulingFunction>("/scheduling/visit/arrive", json!({})).await;
    assert_eq!(over.refusal(), (410, "visit-over"));
    practice.world.set_now("2026-03-04T08:20:00Z");
    let patient = practice.patient(&second).await;
    patient.post::<SchedulingFunction>("/scheduling/visit/arrive", json!({})).await;
    let come = practice.desk(&second.appointment, "no-show", json!({})).await;
    assert_eq!(come.refusal(), (409, "visit-begun"));
}
