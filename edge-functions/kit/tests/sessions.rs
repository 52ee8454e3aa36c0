//! Who gets past the door, and for how long.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use jiff::SignedDuration;
use kit::audit::Action;
use kit::context::Context;
use kit::cookies;
use kit::policy::{Records, Role, Scheduling};
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::serve::Function;
use kit::testing::World;
use serde_json::json;

/// Answers every request that gets past the door.
struct Door;

impl Function for Door {
    type Operation = Records;

    async fn call(context: &Context<'_>, _: Records) -> Result<Reply, Problem> {
        context.audit(Action::NoteRead, None);
        Ok(reply::no_content())
    }
}

/// The same for patients.
struct VisitDoor;

impl Function for VisitDoor {
    type Operation = Scheduling;

    async fn call(context: &Context<'_>, operation: Scheduling) -> Result<Reply, Problem> {
        if operation == Scheduling::GetVisit {
            context.visitor()?;
        }
        context.audit(Action::AppointmentRead, None);
        Ok(reply::no_content())
    }
}

const ENCOUNTER: &str = "/records/encounters/1";

#[tokio::test]
async fn nobody_without_a_session_gets_in() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    let client = world.client("demo");
    assert_eq!(client.get::<Door>(ENCOUNTER).await.refusal(), (401, "sign-in-required"));
    for cookie in ["", "x", "a.b.c", "a.1.c", &"a".repeat(5000)] {
        client.set_cookie(cookies::STAFF, cookie);
        assert_eq!(client.get::<Door>(ENCOUNTER).await.status, 401, "{cookie}");
    }
}

#[tokio::test]
async fn a_role_gets_only_as_far_as_the_table_says() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    for (role, read, write) in [
        (Role::Doctor, 204, 204),
        (Role::Nurse, 204, 403),
        (Role::FrontDesk, 403, 403),
        (Role::Billing, 403, 403),
        (Role::ClinicAdmin, 403, 403),
        (Role::Auditor, 403, 403),
    ] {
        let client = world.client("demo");
        client.sign_in_as(role).await;
        assert_eq!(client.get::<Door>(ENCOUNTER).await.status, read, "{role}");
        let path = "/records/encounters/1/note";
        assert_eq!(
            client.send::<Door>(Method::PUT, path, Some(json!({})), &[]).await.status,
            write,
            "{role}"
        );
    }
}

#[tokio::test]
async fn a_session_is_of_one_clinic() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    world.seed("other", "Europe/Berlin").await;
    let client = world.client("demo");
    client.sign_in_as(Role::Doctor).await;
    let stranger = world.client("other");
    stranger.set_cookie(cookies::STAFF, &client.cookie(cookies::STAFF).unwrap());
    assert_eq!(stranger.get::<Door>(ENCOUNTER).await.status, 401);
    assert_eq!(client.get::<Door>(ENCOUNTER).await.status, 204);
}

#[tokio::test]
async fn a_session_ends_after_a_pause_of_half_an_hour() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    let client = world.client("demo");
    client.sign_in_as(Role::Doctor).await;
    world.advance(SignedDuration::from_secs(30 * 60 - 1));
    assert_eq!(client.get::<Door>(ENCOUNTER).await.status, 204);
    // That request counted: from it the next half hour runs.
    world.advance(SignedDuration::from_secs(30 * 60 - 1));
    assert_eq!(client.get::<Door>(ENCOUNTER).await.status, 204);
    world.advance(SignedDuration::from_mins(30));
    assert_eq!(client.get::<Door>(ENCOUNTER).await.status, 401);
}

#[tokio::test]
async fn what_a_page_asks_by_itself_keeps_nobody_signed_in() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    let client = world.client("demo");
    client.sign_in_as(Role::Doctor).await;
    let poll = [("x-locum-background", "1")];
    for _ in 0..29 {
        world.advance(SignedDuration::from_mins(1));
        assert_eq!(client.send::<Door>(Method::GET, ENCOUNTER, None, &poll).await.status, 204);
    }
    world.advance(SignedDuration::from_mins(1));
    assert_eq!(client.send::<Door>(Method::GET, ENCOUNTER, None, &poll).await.status, 401);
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_however_busy() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    let client = world.client("demo");
    client.sign_in_as(Role::Doctor).await;
    for _ in 0..47 {
        world.advance(SignedDuration::from_mins(15));
        assert_eq!(client.get::<Door>(ENCOUNTER).await.status, 204);
    }
    world.advance(SignedDuration::from_mins(15));
    assert_eq!(client.get::<Door>(ENCOUNTER).await.status, 401);
}

#[tokio::test]
async fn the_time_of_last_use_cannot_be_forged() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    let client = world.client("demo");
    client.sign_in_as(Role::Doctor).await;
    let cookie = client.cookie(cookies::STAFF).unwrap();
    let parts: Vec<_> = cookie.split('.').collect();
    world.advance(SignedDuration::from_mins(31));
    let now = world.now().as_millisecond();
    client.set_cookie(cookies::STAFF, &format!("{}.{now}.{}", parts[0], parts[2]));
    assert_eq!(client.get::<Door>(ENCOUNTER).await.status, 401);
    assert_eq!(world.count("SELECT count(*) FROM session").await, 1);
}

#[tokio::test]
async fn a_visit_session_opens_what_is_the_patients_only() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let client = world.client("demo");
    assert_eq!(client.get::<VisitDoor>("/scheduling/visit").await.status, 401);
    client.begin_visit(&visit).await;
    assert_eq!(client.get::<VisitDoor>("/scheduling/visit").await.status, 204);
    assert_eq!(client.get::<VisitDoor>("/scheduling/appointments").await.status, 401);
    assert_eq!(client.get::<Door>(ENCOUNTER).await.status, 401);
    world.advance(SignedDuration::from_hours(12));
    assert_eq!(client.get::<VisitDoor>("/scheduling/visit").await.status, 401);
}

#[tokio::test]
async fn what_no_rule_names_is_not_there() {
    let world = World::new().await;
    let client = world.client("demo");
    assert_eq!(client.get::<Door>("/records").await.refusal(), (404, "no-route"));
    assert_eq!(client.get::<Door>("/scheduling/clinic").await.refusal(), (404, "no-route"));
    let answer = client.send::<Door>(Method::DELETE, ENCOUNTER, None, &[]).await;
    assert_eq!(answer.refusal(), (405, "method-not-allowed"));
    assert_eq!(answer.headers["allow"], "GET");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(world.client("De_mo").get::<Door>(ENCOUNTER).await.refusal(), (404, "no-route"));
}
