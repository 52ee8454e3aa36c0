//! Notes: nobody overwrites what they have not read, and reading is recorded.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client, World};
use records::RecordsFunction;
use serde_json::json;

async fn world() -> (World, Booked) {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    (world, visit)
}

async fn doctor(world: &World) -> Client<'_> {
    let client = world.client("demo");
    client.sign_in_as(Role::Doctor).await;
    client
}

async fn read(client: &Client<'_>, visit: &Booked) -> Answer {
    client.get::<RecordsFunction>(&format!("/records/encounters/{}", visit.encounter)).await
}

async fn write(client: &Client<'_>, visit: &Booked, text: &str, tags: &[&str]) -> Answer {
    let path = format!("/records/encounters/{}/note", visit.encounter);
    let headers: Vec<_> = tags.iter().map(|tag| ("if-match", *tag)).collect();
    client.send::<RecordsFunction>(Method::PUT, &path, Some(json!({"text": text})), &headers).await
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_note_is_written_over_the_version_that_was_read() {
    let (world, visit) = world().await;
    let client = doctor(&world).await;
    let empty = read(&client, &visit).await;
    assert_eq!(
        empty.body,
        json!({"id": visit.encounter, "status": "planned", "appointment": visit.appointment,
               "period": {"start": null, "end": null}, "note": null})
    );
    let first = write(&client, &visit, "First\nline", &[&tag(&empty)]).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(
        first.body["note"],
        json!({"text": "First\nline", "author": "Somebody", "updatedAt": "2026-03-02T07:00:00Z"})
    );
    assert_ne!(tag(&first), tag(&empty));
    assert_eq!(tag(&read(&client, &visit).await), tag(&first));

    let lost = write(&client, &visit, "Lost update", &[&tag(&empty)]).await;
    assert_eq!(lost.refusal(), (412, "precondition-failed"));
    assert_eq!(read(&client, &visit).await.body["note"]["text"], "First\nline");
    assert_eq!(write(&client, &visit, "Second", &["\"other\"", &tag(&first)]).await.status, 200);
}

#[tokio::test]
async fn a_write_must_say_what_was_read() {
    let (world, visit) = world().await;
    let client = doctor(&world).await;
    let seen = tag(&read(&client, &visit).await);
    assert_eq!(write(&client, &visit, "x", &[]).await.refusal(), (428, "precondition-required"));
    for wrong in ["\"x\"", "x", "", &format!("W/{seen}"), seen.trim_matches('"')] {
        assert_eq!(
            write(&client, &visit, "x", &[wrong]).await.refusal(),
            (412, "precondition-failed"),
            "{wrong}"
        );
    }
    assert_eq!(read(&client, &visit).await.body["note"], json!(null));
}

#[tokio::test]
async fn reading_and_writing_are_recorded_and_refusals_leave_nothing() {
    let (world, visit) = world().await;
    let client = doctor(&world).await;
    let seen = tag(&read(&client, &visit).await);
    write(&client, &visit, "x", &["\"wrong\""]).await;
    write(&client, &visit, "x", &[&seen]).await;
    assert_eq!(world.audit_trail(), ["staff note-read", "staff note-written"]);
    let entity = json!({"type": "Encounter", "id": visit.encounter});
    for (event, action) in world.audit_events().iter().zip(["R", "U"]) {
        assert_eq!((&event["entity"], &event["action"]), (&entity, &json!(action)));
    }
}

#[tokio::test]
async fn who_may_not_read_does_not_learn_what_is_there() {
    let (world, visit) = world().await;
    world.seed("other", "Europe/Berlin").await;
    let stranger = world.client("other");
    stranger.sign_in_as(Role::Doctor).await;
    assert_eq!(read(&stranger, &visit).await.refusal(), (404, "not-found"));
    assert_eq!(write(&stranger, &visit, "x", &["\"v0\""]).await.refusal(), (404, "not-found"));
    let nurse = world.client("demo");
    nurse.sign_in_as(Role::Nurse).await;
    assert_eq!(read(&nurse, &visit).await.status, 200);
    assert_eq!(write(&nurse, &visit, "x", &["\"v0\""]).await.refusal(), (403, "role-not-allowed"));
    for id in ["0", "00000000-0000-7000-8000-000000000000"] {
        let answer = nurse.get::<RecordsFunction>(&format!("/records/encounters/{id}")).await;
        assert_eq!(answer.refusal(), (404, "not-found"), "{id}");
    }
}

#[tokio::test]
async fn a_note_is_bounded_and_never_repeated_in_an_error() {
    let (world, visit) = world().await;
    let client = doctor(&world).await;
    let seen = tag(&read(&client, &visit).await);
    assert_eq!(write(&client, &visit, "", &[&seen]).await.status, 422);
    let long = write(&client, &visit, &"planted".repeat(3000), &[&seen]).await;
    assert_eq!(long.refusal(), (422, "invalid-input"));
    assert_eq!(long.body["errors"][0]["pointer"], "/text");
    assert!(!long.body.to_string().contains("planted"));
    assert_eq!(write(&client, &visit, &"ä".repeat(20_000), &[&seen]).await.status, 200);
}
