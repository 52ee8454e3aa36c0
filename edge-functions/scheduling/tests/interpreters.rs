//! Who needs an interpreter has one before the visit, or stands on a list until then.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client, World};
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};

async fn clinic() -> (World, Booked) {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T09:00:00Z").await;
    (world, visit)
}

async fn staff(world: &World, role: Role) -> Client<'_> {
    let client = world.client("demo");
    client.sign_in_as(role).await;
    client
}

async fn say(client: &Client<'_>, visit: &Booked, language: Json) -> Answer {
    let path = format!("/scheduling/appointments/{}/interpreter", visit.appointment);
    client.send::<SchedulingFunction>(Method::PUT, &path, Some(json!({"language": language})), &[]).await
}

async fn missing(client: &Client<'_>) -> Json {
    let answer = client.get::<SchedulingFunction>("/scheduling/interpreters").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["visits"].clone()
}

async fn shown(client: &Client<'_>) -> Json {
    let day = client.get::<SchedulingFunction>("/scheduling/appointments?date=2026-03-02").await;
    day.body["appointments"][0]["interpreter"].clone()
}

#[tokio::test]
async fn a_visit_stands_on_the_list_until_an_interpreter_has_a_link() {
    let (world, visit) = clinic().await;
    let desk = staff(&world, Role::FrontDesk).await;
    assert_eq!((missing(&desk).await, shown(&desk).await), (json!([]), Json::Null));
    let said = say(&desk, &visit, json!("es-MX")).await;
    let needed = json!({"language": "es-MX", "invited": false});
    assert_eq!(said.body["appointment"]["interpreter"], needed, "{}", said.body);
    let list = missing(&desk).await;
    assert_eq!(
        (&list[0]["language"], &list[0]["patient"]["name"]),
        (&json!("es-MX"), &json!("Paula Patient"))
    );

    // Somebody else is no interpreter.
    let guests = format!("/scheduling/appointments/{}/guests", visit.appointment);
    desk.post::<SchedulingFunction>(&guests, json!({"role": "family"})).await;
    assert_eq!(missing(&desk).await.as_array().unwrap().len(), 1);
    let invited = desk.post::<SchedulingFunction>(&guests, json!({"role": "interpreter"})).await;
    assert_eq!(invited.status, 201, "{}", invited.body);
    assert_eq!(missing(&desk).await, json!([]));
    assert_eq!(shown(&desk).await, json!({"language": "es-MX", "invited": true}));

    let doctor = staff(&world, Role::Doctor).await;
    let path = format!("/scheduling/guests/{}/remove", invited.text("/guest/id"));
    doctor.post::<SchedulingFunction>(&path, json!({})).await;
    assert_eq!(missing(&desk).await.as_array().unwrap().len(), 1, "who is not invited any more");
    assert_eq!(say(&desk, &visit, Json::Null).await.status, 200);
    assert_eq!((missing(&desk).await, shown(&desk).await), (json!([]), Json::Null));
}

#[tokio::test]
async fn what_is_over_needs_nobody() {
    let (world, visit) = clinic().await;
    let desk = staff(&world, Role::FrontDesk).await;
    say(&desk, &visit, json!("gsg")).await;
    assert_eq!(missing(&desk).await.as_array().unwrap().len(), 1);
    world.run("UPDATE appointment SET status = 'cancelled'", vec![]).await;
    assert_eq!(missing(&desk).await, json!([]));
    assert_eq!(say(&desk, &visit, json!("es")).await.refusal(), (410, "visit-over"));
}

#[tokio::test]
async fn what_is_no_language_is_refused_and_not_repeated() {
    let (world, visit) = clinic().await;
    let desk = staff(&world, Role::FrontDesk).await;
    for bad in [
        json!("Spanish"),
        json!(""),
        json!("es_MX"),
        json!("ES"),
        json!("'; DROP TABLE appointment; --"),
        json!("<script>alert(1)</script>"),
        json!("\u{202e}se"),
        json!("🤟"),
        json!("x".repeat(10_000)),
        json!(7),
        json!(["es"]),
    ] {
        let refused = say(&desk, &visit, bad.clone()).await;
        assert_eq!(refused.refusal(), (422, "invalid-input"), "{bad}");
        assert_eq!(refused.body["errors"][0]["pointer"], "/language");
        assert!(!refused.body.to_string().contains("DROP TABLE"));
    }
    assert_eq!(world.count("SELECT count(*) FROM appointment WHERE interpreter_language IS NULL").await, 1);
}

#[tokio::test]
async fn a_calendar_says_nothing_of_it() {
    let (world, visit) = clinic().await;
    let desk = staff(&world, Role::FrontDesk).await;
    let patient = world.client("demo");
    patient.begin_visit(&visit).await;
    let before = patient.get::<SchedulingFunction>("/scheduling/visit/calendar").await;
    say(&desk, &visit, json!("es")).await;
    assert_eq!(patient.get::<SchedulingFunction>("/scheduling/visit/calendar").await.bytes, before.bytes);
}
