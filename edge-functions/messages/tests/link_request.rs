//! A lost link.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use jiff::SignedDuration;
use kit::testing::{Answer, World};
use messages::{MessagesFunction, link_request};
use serde_json::json;

async fn request(world: &World, email: &str) -> Answer {
    let body = json!({"email": email});
    world.client("demo").post::<MessagesFunction>("/messages/link-requests", body).await
}

async fn sent(world: &World) -> i64 {
    let links = world.count("SELECT count(*) FROM invitation").await;
    assert_eq!(
        world.count("SELECT count(*) FROM outbox_message").await + 1,
        links,
        "the visit came with a link"
    );
    links - 1
}

#[tokio::test]
async fn a_new_link_comes_by_mail_and_the_answer_says_nothing() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let unknown = request(&world, "nobody@example.org").await;
    assert_eq!((unknown.status, sent(&world).await), (202, 0));
    let known = request(&world, "PAULA@example.org").await;
    assert_eq!((known.status, sent(&world).await), (202, 1));
    assert_eq!(unknown.body, known.body);
    let rows = world.query("SELECT recipient, link FROM outbox_message", vec![]).await;
    assert_eq!(
        rows[0].text(0).unwrap(),
        "paula@example.org",
        "the address we know, not the one that was typed"
    );
    assert!(rows[0].text(1).unwrap().starts_with("https://app.locum.test/c/demo/visit#"));
    assert_eq!(world.audit_trail(), ["anonymous link-requested", "anonymous link-requested"]);
}

#[tokio::test]
async fn nobody_is_sent_many() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    for _ in 0..3 {
        assert_eq!(request(&world, "paula@example.org").await.status, 202);
    }
    assert_eq!(sent(&world).await, 1);
    world.advance(link_request::PAUSE);
    request(&world, "paula@example.org").await;
    assert_eq!(sent(&world).await, 2);
}

#[tokio::test]
async fn a_visit_that_is_over_has_no_link() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    world.run("UPDATE appointment SET status = 'cancelled'", vec![]).await;
    assert_eq!((request(&world, "paula@example.org").await.status, sent(&world).await), (202, 0));
    world.run("UPDATE appointment SET status = 'booked'", vec![]).await;
    world.advance(SignedDuration::from_hours(14));
    assert_eq!((request(&world, "paula@example.org").await.status, sent(&world).await), (202, 0));
    assert_eq!(request(&world, "no address").await.status, 422);
}
