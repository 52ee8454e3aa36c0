//! What is claimed, what becomes of it, and reminders.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use jiff::SignedDuration;
use kit::params;
use kit::policy::Role;
use kit::testing::{Answer, World};
use messages::MessagesFunction;
use serde_json::{Value as Json, json};

const NODE: [(&str, &str); 2] = [("locum-node", "edge-1"), ("locum-host-key", "host-key")];

async fn world() -> World {
    let world = World::new().await;
    world.set("host_key", "host-key");
    world.set("demo", "false");
    world
}

async fn host(world: &World, path: &str, body: Json) -> Answer {
    let client = world.client("demo");
    client.send::<MessagesFunction>(Method::POST, path, Some(body), &NODE).await
}

async fn claim(world: &World, claim: &str, outcomes: Json) -> Vec<Json> {
    let body =
        json!({"claim": claim, "most": 16, "claimSeconds": 60, "channels": ["email"], "outcomes": outcomes});
    let answer = host(world, "/messages/deliveries", body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["messages"].as_array().unwrap().clone()
}

fn outcome(claim: &str, message: &Json, outcome: &str) -> Json {
    json!([{"claim": claim, "id": message["id"], "outcome": outcome, "reason": "smtp-550"}])
}

async fn put(world: &World, number: u32) {
    let sql = "INSERT INTO outbox_message (clinic, id, recipient, subject, body, link, created_at)
               VALUES ('demo', ?, 'paula@example.org', 'S', 'B', 'https://x/#t', ?)";
    let id = format!("0198c7f2-9f2b-7c4e-8a55-2b6f0d7f{number:04}");
    world.run(sql, params![id, world.now()]).await;
}

async fn states(world: &World) -> Vec<String> {
    let rows = world.query("SELECT state FROM outbox_message ORDER BY id", vec![]).await;
    rows.iter().map(|row| row.text(0).unwrap()).collect()
}

async fn plan(world: &World) {
    let answer = host(world, "/messages/reminders", json!({})).await;
    assert_eq!((answer.status, &answer.body["more"]), (200, &json!(false)), "{}", answer.body);
}

#[tokio::test]
async fn a_message_is_handed_out_once_and_what_was_sent_opens_nothing_here_any_more() {
    let world = world().await;
    world.seed("demo", "Europe/Berlin").await;
    put(&world, 1).await;
    let first = claim(&world, "a", json!([])).await;
    assert_eq!((first.len(), &first[0]["text"]), (1, &json!("B\n\nhttps://x/#t\n")));
    assert_eq!(claim(&world, "a", json!([])).await, first, "an answer that was lost comes again");
    assert!(claim(&world, "b", json!([])).await.is_empty());
    assert!(claim(&world, "c", outcome("a", &first[0], "sent")).await.is_empty());
    assert_eq!(states(&world).await, ["sent"]);
    let kept = world.query("SELECT body || link FROM outbox_message", vec![]).await;
    assert_eq!(kept[0].text(0).unwrap(), "");
    assert!(world.audit_trail().contains(&"node message-sent".to_owned()), "{:?}", world.audit_trail());
}

#[tokio::test]
async fn what_nobody_is_heard_of_again_is_for_people_and_goes_out_by_their_word_only() {
    let world = world().await;
    world.seed("demo", "Europe/Berlin").await;
    put(&world, 1).await;
    let first = claim(&world, "a", json!([])).await;
    world.advance(SignedDuration::from_secs(61));
    assert!(claim(&world, "b", json!([])).await.is_empty());
    assert_eq!(states(&world).await, ["unknown"]);
    let desk = world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let work = desk.get::<MessagesFunction>("/messages/work").await;
    assert_eq!(work.body["messages"][0]["state"], "unknown");
    assert!(!work.body.to_string().contains("https://x"), "a list opens no visit");
    let path = format!("/messages/work/{}", first[0]["id"].as_str().unwrap());
    let resent = desk.post::<MessagesFunction>(&path, json!({"action": "resend"})).await;
    assert_eq!((resent.status, &resent.body["state"]), (200, &json!("waiting")));
    assert_eq!(desk.post::<MessagesFunction>(&path, json!({"action": "resend"})).await.status, 404);
    // Whoever had it before says nothing of it any more.
    let again = claim(&world, "c", outcome("a", &first[0], "sent")).await;
    assert_eq!((again.len(), states(&world).await), (1, vec!["claimed".to_owned()]));
    claim(&world, "d", outcome("c", &first[0], "unknown")).await;
    let closed = desk.post::<MessagesFunction>(&path, json!({"action": "close"})).await;
    assert_eq!((closed.status, states(&world).await), (200, vec!["closed".to_owned()]));
}

#[tokio::test]
async fn a_late_word_settles_what_was_in_doubt() {
    let world = world().await;
    world.seed("demo", "Europe/Berlin").await;
    put(&world, 1).await;
    let first = claim(&world, "a", json!([])).await;
    world.advance(SignedDuration::from_secs(61));
    claim(&world, "b", json!([])).await;
    claim(&world, "c", outcome("a", &first[0], "sent")).await;
    assert_eq!(states(&world).await, ["sent"]);
}

#[tokio::test]
async fn what_is_refused_for_now_is_tried_again_later_each_time_and_not_for_ever() {
    let world = world().await;
    world.seed("demo", "Europe/Berlin").await;
    put(&world, 1).await;
    let mut waits = Vec::new();
    for number in 0..8 {
        let name = format!("claim-{number}");
        let mut waited = 0;
        let mut messages = claim(&world, &name, json!([])).await;
        while messages.is_empty() && waited < 300 {
            world.advance(SignedDuration::from_mins(1));
            waited += 1;
            messages = claim(&world, &name, json!([])).await;
        }
        let Some(message) = messages.first() else { break };
        waits.push(waited);
        claim(&world, &format!("told-{number}"), outcome(&name, message, "retry")).await;
    }
    assert_eq!(waits, [0, 1, 4, 16, 64, 240]);
    assert_eq!(states(&world).await, ["failed"]);
}

#[tokio::test]
async fn what_was_not_sent_while_it_was_of_use_is_for_people() {
    let world = world().await;
    world.seed("demo", "Europe/Berlin").await;
    put(&world, 1).await;
    world.advance(SignedDuration::from_hours(24));
    assert!(claim(&world, "a", json!([])).await.is_empty());
    assert_eq!(states(&world).await, ["expired"]);
}

#[tokio::test]
async fn only_a_host_is_handed_messages() {
    let world = world().await;
    world.seed("demo", "Europe/Berlin").await;
    let desk = world.client("demo");
    desk.sign_in_as(Role::ClinicAdmin).await;
    for path in ["/messages/deliveries", "/messages/reminders"] {
        assert_eq!(desk.post::<MessagesFunction>(path, json!({})).await.status, 401, "{path}");
        let forged = [("locum-node", "edge-1"), ("locum-host-key", "another")];
        let answer = desk.send::<MessagesFunction>(Method::POST, path, Some(json!({})), &forged).await;
        assert_eq!(answer.status, 401, "{path}");
    }
}

#[tokio::test]
async fn each_reminder_comes_once_and_none_after_a_change() {
    let world = world().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-04T09:00:00Z").await;
    let mut sent = Vec::new();
    for minute in 0..300 {
        plan(&world).await;
        let name = format!("claim-{minute}");
        for message in claim(&world, &name, json!([])).await {
            sent.push(world.now().to_string());
            assert!(message["text"].as_str().unwrap().contains("/c/demo/no-messages#"));
            assert!(message["text"].as_str().unwrap().contains("Wednesday, 4 March 2026, 10:00"));
            claim(&world, &format!("told-{minute}"), outcome(&name, &message, "sent")).await;
        }
        world.advance(SignedDuration::from_mins(10));
    }
    assert_eq!(sent, ["2026-03-03T09:00:00Z", "2026-03-04T07:00:00Z", "2026-03-04T08:50:00Z"]);

    // Planned for a time that the visit then has no more.
    world.set_now("2026-03-03T09:00:00Z");
    world.run("DELETE FROM reminder", vec![]).await;
    plan(&world).await;
    let sql = "UPDATE appointment SET status = 'cancelled' WHERE id = ?";
    world.run(sql, params![visit.appointment]).await;
    assert!(claim(&world, "x", json!([])).await.is_empty());
    assert!(states(&world).await.contains(&"withdrawn".to_owned()));
}

#[tokio::test]
async fn quiet_hours_and_refusals_are_kept() {
    let world = world().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let admin = world.client("demo");
    admin.sign_in_as(Role::ClinicAdmin).await;
    let wish = json!({"language": "es", "quietFrom": "20:00", "quietUntil": "10:30"});
    let kept =
        admin.send::<MessagesFunction>(Method::PUT, "/messages/settings", Some(wish.clone()), &[]).await;
    assert_eq!((kept.status, &kept.body), (200, &wish));
    world.seed_visit(&seeded, "2026-03-04T09:00:00Z").await;
    world.set_now("2026-03-03T09:00:00Z");
    plan(&world).await;
    assert!(claim(&world, "a", json!([])).await.is_empty(), "it is ten in the morning, and quiet");
    world.set_now("2026-03-03T09:30:00Z");
    let messages = claim(&world, "b", json!([])).await;
    assert!(messages[0]["text"].as_str().unwrap().contains("miércoles, 4 de marzo de 2026, 10:00"));
    // Two hours before, it is quiet until the visit begins; ten minutes before, who has a visit is awake.
    world.set_now("2026-03-04T07:00:00Z");
    plan(&world).await;
    assert!(claim(&world, "c", outcome("b", &messages[0], "sent")).await.is_empty());
    world.set_now("2026-03-04T08:50:00Z");
    plan(&world).await;
    let last = claim(&world, "d", json!([])).await;
    assert_eq!(last.len(), 1);

    // The link in it ends that.
    let link = last[0]["optOut"].as_str().unwrap().to_owned();
    let token = link.split_once('#').unwrap().1;
    let anyone = world.client("demo");
    let out =
        anyone.post::<MessagesFunction>("/messages/opt-outs", json!({"token": token, "out": true})).await;
    assert_eq!((out.status, &out.body["out"]), (200, &json!(true)));
    let wrong =
        anyone.post::<MessagesFunction>("/messages/opt-outs", json!({"token": "x", "out": true})).await;
    assert_eq!(wrong.status, 404);
    world.run("DELETE FROM reminder", vec![]).await;
    plan(&world).await;
    assert!(claim(&world, "e", json!([])).await.is_empty());
}

#[tokio::test]
async fn an_address_that_is_refused_for_good_gets_no_more_reminders() {
    let world = world().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    put(&world, 1).await;
    let first = claim(&world, "a", json!([])).await;
    claim(&world, "b", outcome("a", &first[0], "bounced")).await;
    assert_eq!(states(&world).await, ["failed"]);
    world.seed_visit(&seeded, "2026-03-04T09:00:00Z").await;
    world.set_now("2026-03-03T09:00:00Z");
    plan(&world).await;
    assert!(claim(&world, "c", json!([])).await.is_empty());
    assert_eq!(world.count("SELECT count(*) FROM reminder").await, 1);
}
