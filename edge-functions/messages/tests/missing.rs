//! What is missing before a visit: written about at two times, listed while it is missing, gone when it is done.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use jiff::SignedDuration;
use kit::params;
use kit::policy::Role;
use kit::testing::World;
use messages::MessagesFunction;
use serde_json::{Value as Json, json};

const NODE: [(&str, &str); 2] = [("locum-node", "edge-1"), ("locum-host-key", "host-key")];
const TEXT: &str = "00000000-0000-7000-8000-000000000009";

async fn plan(world: &World) {
    let host = world.client("demo");
    let answer =
        host.send::<MessagesFunction>(Method::POST, "/messages/reminders", Some(json!({})), &NODE).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

async fn chased(world: &World) -> Vec<String> {
    let rows =
        world.query("SELECT body FROM outbox_message WHERE kind = 'missing' ORDER BY id", vec![]).await;
    rows.iter().map(|row| row.text(0).unwrap()).collect()
}

async fn listed(world: &World) -> Json {
    let desk = world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    desk.get::<MessagesFunction>("/messages/missing").await.body["visits"].clone()
}

#[tokio::test]
async fn patients_are_told_twice_that_something_is_missing_and_it_leaves_the_list_when_it_is_done() {
    let world = World::new().await;
    world.set("host_key", "host-key");
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-06T09:00:00Z").await;
    let sql = "INSERT INTO consent_text (clinic, id, key, jurisdiction, language, title, body, body_sha256, created_at)
               VALUES ('demo', ?, 'video', 'DE', 'en', 'Video', 'x', zeroblob(32), 0)";
    world.run(sql, params![TEXT]).await;
    let questions = json!({
        "resourceType": "Questionnaire", "url": "urn:x", "version": "1", "status": "active",
        "item": [{"linkId": "a", "type": "string", "text": "Diabetes?"}],
    });
    let sql = "INSERT INTO questionnaire (clinic, id, key, content, created_at, required)
               VALUES ('demo', ?, 'a', ?, 0, 1)";
    world.run(sql, params![TEXT, questions.to_string()]).await;
    assert_eq!(listed(&world).await, json!([]), "it is four days away");
    let mut at = Vec::new();
    for _ in 0..110 {
        let before = chased(&world).await.len();
        plan(&world).await;
        plan(&world).await;
        if chased(&world).await.len() > before {
            at.push(world.now().to_string());
        }
        world.advance(SignedDuration::from_hours(1));
        if world.now().to_string() == "2026-03-05T09:00:00Z" {
            let wanted = json!([{"id": visit.appointment, "start": "2026-03-06T09:00:00Z", "patient": "Paula Patient",
                "missing": ["intake", "consent"], "attempts": 1}]);
            assert_eq!(listed(&world).await, wanted);
        }
    }
    assert_eq!(at, ["2026-03-04T09:00:00Z", "2026-03-06T05:00:00Z"]);
    for text in chased(&world).await {
        assert!(!text.contains("Diabetes") && !text.contains("consent") && !text.contains("Paula"), "{text}");
    }

    // Another visit, whose patient does all of it between the two.
    let other = world.seed_visit(&seeded, "2026-03-20T09:00:00Z").await;
    world.set_now("2026-03-18T09:00:00Z");
    plan(&world).await;
    assert_eq!(chased(&world).await.len(), 3);
    let sql = "INSERT INTO consent (clinic, id, appointment, text, method, resource, given_at)
               VALUES ('demo', ?1, ?2, ?1, 'digital', '{}', 0)";
    world.run(sql, params![TEXT, other.appointment]).await;
    let sql = "INSERT INTO questionnaire_response
                 (clinic, id, appointment, questionnaire, status, version, resource, authored_at)
               VALUES ('demo', ?1, ?2, ?1, 'completed', 'v', '{}', 0)";
    world.run(sql, params![TEXT, other.appointment]).await;
    assert_eq!(listed(&world).await, json!([]), "it closed by itself");
    world.set_now("2026-03-20T05:00:00Z");
    plan(&world).await;
    assert_eq!(chased(&world).await.len(), 3, "nothing is missing");
}
