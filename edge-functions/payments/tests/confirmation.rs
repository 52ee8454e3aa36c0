//! A hold becomes an appointment once, or not at all.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use jiff::SignedDuration;
use kit::ids::HoldId;
use kit::params;
use kit::secret::Secret;
use kit::testing::{Answer, Seeded, World};
use payments::PaymentsFunction;
use serde_json::{Value as Json, json};

struct Held {
    id: HoldId,
    secret: String,
}

/// A hold from 07:00 until 07:10 on the slot at 08:00.
async fn hold(world: &World, seeded: &Seeded) -> Held {
    let (id, secret, now) = (HoldId::new(world.now()).unwrap(), Secret::new::<16>().unwrap(), world.now());
    let (start, end) = (now + SignedDuration::from_mins(60), now + SignedDuration::from_mins(90));
    let expires = now + SignedDuration::from_mins(10);
    let none = None::<String>;
    let (clinic, practitioner, service) = (seeded.clinic.as_str(), seeded.practitioner, seeded.service);
    world
        .run(
            "INSERT INTO hold (clinic, id, secret_hash, practitioner, service, start_at, end_at, created_at, expires_at,
                               used_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![clinic, id, secret.hash(), practitioner, service, start, end, now, expires, none],
        )
        .await;
    Held { id, secret: secret.reveal().to_owned() }
}

fn confirmation(held: &Held) -> Json {
    json!({"hold": held.id, "secret": held.secret, "method": "pay-at-clinic",
           "patient": {"name": "Paula Patient", "birthDate": "1980-01-31", "email": "paula@example.org"}})
}

async fn confirm(world: &World, body: Json) -> Answer {
    world.client("demo").post::<PaymentsFunction>("/payments/confirmations", body).await
}

async fn rows(world: &World) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["patient", "appointment", "invoice", "encounter", "invitation", "outbox_message"] {
        counts.push(world.count(&format!("SELECT count(*) FROM {table}")).await);
    }
    counts
}

#[tokio::test]
async fn a_confirmation_makes_everything_a_visit_needs() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let held = hold(&world, &seeded).await;
    let answer = confirm(&world, confirmation(&held)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let appointment = &answer.body["appointment"];
    assert_eq!(
        (&appointment["start"], &appointment["end"], &appointment["status"]),
        (&json!("2026-03-02T08:00:00Z"), &json!("2026-03-02T08:30:00Z"), &json!("booked"))
    );
    let invoice = &answer.body["invoice"];
    assert_eq!(
        (&invoice["status"], &invoice["amount"], &invoice["currency"]),
        (&json!("issued"), &json!("60.00"), &json!("EUR"))
    );
    assert_eq!(rows(&world).await, [1; 6]);
    assert!(!answer.body.to_string().contains("Paula"), "the answer repeats who the patient is");

    let sql = "SELECT recipient, subject, body, link FROM outbox_message";
    let message = &world.query(sql, vec![]).await[0];
    assert_eq!(message.text(0).unwrap(), "paula@example.org");
    let link = message.text(3).unwrap();
    let token = link.strip_prefix("https://app.locum.test/c/demo/visit#").unwrap();
    assert_eq!(token.len(), 22, "not 128 bit");
    let body = message.text(2).unwrap();
    assert!(body.contains("Monday, 2 March 2026, 09:00 (Europe/Berlin)"), "{body}");
    for kept in ["Paula", "Grey", "Consult"] {
        assert!(!body.contains(kept) && !message.text(1).unwrap().contains(kept), "{kept} is in the message");
    }
    let stored = world.query("SELECT token_hash FROM invitation", vec![]).await[0].bytes::<32>(0).unwrap();
    assert_eq!(stored, Secret::presented(token).hash());
}

#[tokio::test]
async fn a_hold_is_used_once() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let held = hold(&world, &seeded).await;
    assert_eq!(confirm(&world, confirmation(&held)).await.status, 201);
    assert_eq!(confirm(&world, confirmation(&held)).await.refusal(), (409, "hold-used"));
    world.advance(SignedDuration::from_hours(1));
    assert_eq!(confirm(&world, confirmation(&held)).await.refusal(), (409, "hold-used"));
    assert_eq!(rows(&world).await, [1; 6]);
}

#[tokio::test]
async fn an_expired_hold_has_no_effect() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let held = hold(&world, &seeded).await;
    world.advance(SignedDuration::from_mins(10));
    assert_eq!(confirm(&world, confirmation(&held)).await.refusal(), (410, "hold-expired"));
    assert_eq!(rows(&world).await, [0; 6]);
}

#[tokio::test]
async fn only_the_holder_in_the_same_clinic_confirms() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let other = world.seed("other", "Europe/Berlin").await;
    let (mine, theirs) = (hold(&world, &seeded).await, hold(&world, &other).await);
    let stolen = Held { id: mine.id, secret: theirs.secret.clone() };
    for held in [stolen, theirs] {
        assert_eq!(confirm(&world, confirmation(&held)).await.refusal(), (404, "not-found"));
    }
    assert_eq!(rows(&world).await, [0; 6]);
    assert_eq!(confirm(&world, confirmation(&mine)).await.status, 201);
}

#[tokio::test]
async fn a_failure_half_way_leaves_nothing_and_the_hold_unused() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let held = hold(&world, &seeded).await;
    world
        .run(
            "CREATE TRIGGER t BEFORE INSERT ON outbox_message BEGIN SELECT RAISE(ABORT, 'full'); END",
            vec![],
        )
        .await;
    assert_eq!(confirm(&world, confirmation(&held)).await.refusal(), (500, "internal"));
    assert_eq!(rows(&world).await, [0; 6]);
    world.run("DROP TRIGGER t", vec![]).await;
    assert_eq!(confirm(&world, confirmation(&held)).await.status, 201);
}

#[tokio::test]
async fn input_is_checked_without_being_repeated() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let held = hold(&world, &seeded).await;
    for (pointer, value) in [
        ("/patient/name", json!("Paula\u{7}Patient")),
        ("/patient/name", json!(["Paula"])),
        ("/patient/birthDate", json!("2026-03-03")),
        ("/patient/birthDate", json!("1899-12-31")),
        ("/patient/birthDate", json!("Paula")),
        ("/patient/email", json!("Paula")),
        ("/method", json!("Paula")),
        ("/hold", json!("Paula")),
        ("/secret", json!("Paula Patient")),
    ] {
        let mut body = confirmation(&held);
        *body.pointer_mut(pointer).unwrap() = value;
        let answer = confirm(&world, body).await;
        assert_eq!(answer.refusal(), (422, "invalid-input"), "{pointer}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
        assert!(!answer.body.to_string().contains("Paula"), "{}", answer.body);
    }
    let mut unknown = confirmation(&held);
    unknown["patient"]["insurance"] = json!("x");
    assert_eq!(confirm(&world, unknown).await.body["errors"][0]["pointer"], "/patient/insurance");
    let browser = world.client("demo");
    assert_eq!(browser.get::<PaymentsFunction>("/payments/confirmations").await.status, 405);
    assert_eq!(rows(&world).await, [0; 6]);
}
