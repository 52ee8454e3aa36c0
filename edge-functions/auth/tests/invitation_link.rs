//! The link of an invitation opens the visit, until it is over.

use auth::AuthFunction;
use http::Method;
use kit::cookies;
use kit::params;
use kit::testing::{Answer, Client, World};
use serde_json::json;

async fn open(client: &Client<'_>, token: &str) -> Answer {
    client.post::<AuthFunction>("/auth/visit-sessions", json!({"token": token})).await
}

#[tokio::test]
async fn a_link_works_on_every_device_until_the_visit_is_over() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let (phone, laptop) = (world.client("demo"), world.client("demo"));
    for client in [&phone, &laptop] {
        let answer = open(client, &visit.link).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.body["guest"], json!(null));
        assert_eq!(
            answer.body["appointment"],
            json!({"id": visit.appointment, "start": "2026-03-02T08:00:00Z", "end": "2026-03-02T08:30:00Z",
                   "status": "booked"})
        );
    }
    assert_ne!(phone.cookie(cookies::VISIT), laptop.cookie(cookies::VISIT));

    for status in ["fulfilled", "cancelled", "noshow"] {
        world.run("UPDATE appointment SET status = ?", params![status]).await;
        assert_eq!(open(&world.client("demo"), &visit.link).await.refusal(), (410, "visit-over"), "{status}");
    }
    assert_eq!(
        world.audit_trail()[..3],
        ["anonymous link-used", "anonymous link-used", "anonymous link-refused"]
    );
}

#[tokio::test]
async fn an_unknown_link_is_refused_and_so_is_another_clinics() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.seed("other", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let client = world.client("demo");
    assert_eq!(open(&client, "AAAAAAAAAAAAAAAAAAAAAA").await.refusal(), (404, "unknown-link"));
    assert_eq!(open(&client, &visit.link[1..]).await.refusal(), (404, "unknown-link"));
    assert_eq!(open(&world.client("other"), &visit.link).await.refusal(), (404, "unknown-link"));
    assert_eq!(open(&client, "no link!").await.refusal(), (422, "invalid-input"));
    assert_eq!(client.cookie(cookies::VISIT), None);
    assert_eq!(world.count("SELECT count(*) FROM visit_session").await, 0);
}

#[tokio::test]
async fn following_the_link_with_get_has_no_effect() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let client = world.client("demo");
    let answer = client.send::<AuthFunction>(Method::GET, "/auth/visit-sessions", None, &[]).await;
    assert_eq!(answer.refusal(), (405, "method-not-allowed"));
    assert_eq!(world.count("SELECT count(*) FROM visit_session").await, 0);
    assert!(world.audit_events().is_empty());
}
