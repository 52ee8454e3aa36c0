//! Patients who want short messages: where they say so, what they are sent, and what the provider tells.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use kit::params;
use kit::policy::Role;
use kit::short::segments;
use kit::testing::{Booked, Client, World};
use messages::MessagesFunction;
use serde_json::{Value as Json, json};
use sha1::Sha1;

const NODE: [(&str, &str); 2] = [("locum-node", "edge-1"), ("locum-host-key", "host-key")];
const TOKEN: &str = "12345678901234567890123456789012";
const PHONE: &str = "+4915112345678";

async fn world() -> (World, Booked) {
    let world = World::new().await;
    for (name, value) in [
        ("host_key", "host-key"),
        ("demo", "false"),
        ("sms_token", TOKEN),
        ("sms_origin", "https://eu.locum.test"),
    ] {
        world.set(name, value);
    }
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-04T09:00:00Z").await;
    (world, visit)
}

/// The patient says that they want them.
async fn wish<'w>(world: &'w World, visit: &Booked) -> Client<'w> {
    let patient = world.client("demo");
    patient.begin_visit(visit).await;
    let wish = json!({"phone": "+49 151 12345678", "channel": "sms", "language": "es"});
    let kept =
        patient.send::<MessagesFunction>(Method::PUT, "/messages/visit-contact", Some(wish), &[]).await;
    assert_eq!((kept.status, &kept.body["phone"]), (200, &json!(PHONE)), "{}", kept.body);
    patient
}

async fn remind(world: &World) -> Vec<Json> {
    world.run("DELETE FROM reminder", vec![]).await;
    let host = world.client("demo");
    host.send::<MessagesFunction>(Method::POST, "/messages/reminders", Some(json!({})), &NODE).await;
    deliver(world, json!([])).await
}

async fn deliver(world: &World, outcomes: Json) -> Vec<Json> {
    let host = world.client("demo");
    static CLAIMS: AtomicU32 = AtomicU32::new(0);
    let claim = format!("claim-{}", CLAIMS.fetch_add(1, Ordering::Relaxed));
    let body = json!({"claim": claim, "most": 16, "claimSeconds": 60, "channels": ["email", "sms"],
        "outcomes": outcomes});
    let answer = host.send::<MessagesFunction>(Method::POST, "/messages/deliveries", Some(body), &NODE).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["messages"].as_array().unwrap().clone()
}

/// As the provider signs: another writing of it than the one that is tested.
fn signature(url: &str, fields: &[(&str, &str)], token: &str) -> String {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let text = sorted.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

async fn tell(world: &World, path: &str, fields: &[(&str, &str)]) -> u16 {
    let url = format!("https://eu.locum.test/c/demo{path}");
    let signed = signature(&url, fields, TOKEN);
    let provider = world.client("demo");
    provider.form::<MessagesFunction>(path, fields, &[("x-twilio-signature", &signed)]).await.status
}

async fn state(world: &World, id: &Json) -> String {
    let sql = "SELECT state || ' ' || coalesce(reason, '') FROM outbox_message WHERE id = ?";
    world.query(sql, params![id.as_str().unwrap()]).await[0].text(0).unwrap()
}

async fn claim_of(world: &World, id: &Json) -> String {
    let sql = "SELECT claim FROM outbox_message WHERE id = ?";
    world.query(sql, params![id.as_str().unwrap()]).await[0].text(0).unwrap()
}

#[tokio::test]
async fn who_wants_short_messages_is_reminded_in_one_with_a_link_and_nothing_of_their_health() {
    let (world, visit) = world().await;
    wish(&world, &visit).await;
    world.set_now("2026-03-03T09:00:00Z");
    let messages = remind(&world).await;
    assert_eq!(
        (messages.len(), &messages[0]["channel"], &messages[0]["to"]),
        (1, &json!("sms"), &json!(PHONE))
    );
    let text = messages[0]["text"].as_str().unwrap();
    assert!(
        text.contains("mié 4/3 10:00") && text.contains("STOP") && text.contains("/c/demo/visit#"),
        "{text}"
    );
    assert_eq!(segments(text), 1, "{text}");
    for planted in ["Paula", "Patient", "Dr", "1980", "Consult"] {
        assert!(!text.contains(planted), "{text}");
    }
    // Where nobody sends any, they go by mail.
    world.set("sms_token", "");
    world.set_now("2026-03-04T07:00:00Z");
    let messages = remind(&world).await;
    assert!(messages.iter().any(|message| message["channel"] == "email"), "{messages:?}");
}

#[tokio::test]
async fn what_the_provider_tells_counts_if_it_signed_it() {
    let (world, visit) = world().await;
    wish(&world, &visit).await;
    world.set_now("2026-03-03T09:00:00Z");
    let message = remind(&world).await.remove(0);
    let path = format!("/messages/hooks/sms/{}", message["id"].as_str().unwrap());
    let gone =
        [("MessageSid", "SM1"), ("MessageStatus", "undelivered"), ("ErrorCode", "30005"), ("To", PHONE)];
    let url = format!("https://eu.locum.test/c/demo{path}");
    let provider = world.client("demo");
    for (forged, fields) in [
        (signature(&url, &gone, "another token"), &gone[..]),
        (signature(&format!("{url}x"), &gone, TOKEN), &gone[..]),
        (signature(&url, &gone[..3], TOKEN), &gone[..]),
        (String::new(), &gone[..]),
        ("?".to_owned(), &gone[..]),
    ] {
        let refused =
            provider.form::<MessagesFunction>(&path, fields, &[("x-twilio-signature", &forged)]).await;
        assert_eq!(refused.refusal(), (400, "signature-refused"), "{forged}");
    }
    assert_eq!(state(&world, &message["id"]).await, "claimed ");
    assert_eq!(tell(&world, &path, &[("MessageStatus", "delivered")]).await, 204);
    assert_eq!(tell(&world, &path, &gone).await, 204);
    assert_eq!(state(&world, &message["id"]).await, "failed sms-30005");
    // A late word of the host, and of the provider, changes nothing.
    let claim = claim_of(&world, &message["id"]).await;
    deliver(&world, json!([{"claim": claim, "id": message["id"], "outcome": "sent"}])).await;
    assert_eq!(tell(&world, &path, &[("MessageStatus", "sent")]).await, 204);
    assert_eq!(state(&world, &message["id"]).await, "failed sms-30005");
    // The number gets no more; they are written to by mail.
    assert_eq!(remind(&world).await[0]["channel"], "email");
    assert_eq!(tell(&world, "/messages/hooks/sms/not-an-id", &gone).await, 204);
}

#[tokio::test]
async fn a_word_of_the_provider_ends_a_doubt() {
    let (world, visit) = world().await;
    wish(&world, &visit).await;
    world.set_now("2026-03-03T09:00:00Z");
    let message = remind(&world).await.remove(0);
    world.set_now("2026-03-03T09:02:00Z");
    deliver(&world, json!([])).await;
    assert_eq!(state(&world, &message["id"]).await, "unknown no-outcome");
    let path = format!("/messages/hooks/sms/{}", message["id"].as_str().unwrap());
    assert_eq!(tell(&world, &path, &[("MessageStatus", "sent")]).await, 204);
    assert_eq!(state(&world, &message["id"]).await, "sent ");
}

#[tokio::test]
async fn stop_ends_it_and_start_begins_it_again() {
    let (world, visit) = world().await;
    wish(&world, &visit).await;
    world.set_now("2026-03-03T09:00:00Z");
    let answers =
        async |body: &str| tell(&world, "/messages/hooks/sms", &[("From", PHONE), ("Body", body)]).await;
    assert_eq!(answers("When is it?").await, 204);
    assert_eq!(remind(&world).await.len(), 1, "an answer is no STOP");
    for word in ["stop", " Stop. ", "PARAR"] {
        assert_eq!(answers(word).await, 204);
        assert!(remind(&world).await.is_empty(), "{word}: neither there nor by mail");
        assert_eq!(answers("START").await, 204);
    }
    assert_eq!(remind(&world).await[0]["channel"], "sms");
    // The provider itself has been told.
    let first = remind(&world).await;
    assert_eq!(first.len(), 1);
    let claim = claim_of(&world, &first[0]["id"]).await;
    let outcome =
        json!([{"claim": claim, "id": first[0]["id"], "outcome": "bounced", "reason": "sms-21610"}]);
    deliver(&world, outcome).await;
    assert!(remind(&world).await.is_empty());
    assert_eq!(world.count("SELECT count(*) FROM message_address WHERE failing_since IS NOT NULL").await, 0);
}

#[tokio::test]
async fn numbers_are_numbers_and_front_desk_sees_and_corrects_them() {
    let (world, visit) = world().await;
    let patient = wish(&world, &visit).await;
    for wrong in [
        json!({"phone": "0151 12345678"}),
        json!({"channel": "sms"}),
        json!({"language": "fr"}),
        json!({"x": 1}),
    ] {
        let refused = patient
            .send::<MessagesFunction>(Method::PUT, "/messages/visit-contact", Some(wrong.clone()), &[])
            .await;
        assert_eq!(refused.status, 422, "{wrong}");
    }
    let desk = world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let path = format!("/messages/appointments/{}/contact", visit.appointment);
    let shown = desk.get::<MessagesFunction>(&path).await;
    assert_eq!(
        shown.body,
        json!({"patient": "Paula Patient", "email": "paula@example.org", "phone": PHONE, "language": "es",
               "channel": "sms", "undeliverable": [], "optedOut": []})
    );
    let corrected = json!({"email": "paula@example.org", "phone": "+34600123456", "channel": "sms"});
    let put = desk.send::<MessagesFunction>(Method::PUT, &path, Some(corrected), &[]).await;
    assert_eq!((&put.body["phone"], &put.body["language"]), (&json!("+34600123456"), &json!(null)));
    let sent = world.count("SELECT count(*) FROM outbox_message").await;
    assert_eq!(sent, 0, "the address is the same: no link anew");
    let doctor = world.client("demo");
    doctor.sign_in_as(Role::Doctor).await;
    assert_eq!(doctor.get::<MessagesFunction>(&path).await.status, 403);
}
