//! A visit is booked once the provider says, asked by us, that it is paid for: whatever was told, how often, and in which
//! order.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

mod support;

use http::Method;
use jiff::SignedDuration;
use kit::params;
use kit::testing::{Answer, World};
use payments::PaymentsFunction;
use serde_json::json;
use support::{account, asked, begin, check, hold, reconcile, stripe_refunded, stripe_says, take_cards};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// With what Stripe would sign it with, at that time.
async fn tell(world: &World, event: &str, at: i64, secret: &str) -> Answer {
    let body = json!({"id": event, "type": "payment_intent.succeeded", "data": {"object": {"id": "pi_1"}}});
    let signature = signature(secret, &format!("{at}.{body}"));
    let headers = format!("t={at},v1={signature}");
    let client = world.client("demo");
    let headers = [("stripe-signature", headers.as_str())];
    client.send::<PaymentsFunction>(Method::POST, "/payments/hooks/stripe", Some(body), &headers).await
}

fn signature(secret: &str, message: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn visits(world: &World) -> i64 {
    world.count("SELECT count(*) FROM appointment").await
}

#[tokio::test]
async fn nothing_is_booked_until_the_provider_says_so() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let held = hold(&world, &seeded, HOUR).await;
    stripe_says(&world, "requires_payment_method", 0);
    let begun = begin(&world, &held).await;
    assert_eq!((begun.status, begun.text("/kind").as_str()), (201, "payment"), "{}", begun.body);
    assert_eq!(begun.text("/clientSecret"), "pi_1_secret_x");
    assert_eq!(begun.text("/card/publishableKey"), "pk_test_x");
    assert!(!begun.body.to_string().contains("sk_test"));

    let open = check(&world, &held).await;
    assert_eq!(open.refusal(), (402, "payment-open"));
    stripe_says(&world, "requires_action", 0);
    assert_eq!(check(&world, &held).await.refusal(), (402, "payment-action-required"));
    assert_eq!(visits(&world).await, 0);

    stripe_says(&world, "requires_capture", 0);
    let booked = check(&world, &held).await;
    assert_eq!((booked.status, booked.text("/appointment/status").as_str()), (200, "booked"));
    let again = check(&world, &held).await;
    assert_eq!(again.body, booked.body);
    assert_eq!(visits(&world).await, 1);
    assert_eq!(world.count("SELECT count(*) FROM card_payment WHERE patient IS NULL").await, 1);
    // Asked twice, begun once.
    assert_eq!(begin(&world, &held).await.refusal(), (409, "hold-used"));
}

#[tokio::test]
async fn what_is_sent_says_nothing_of_the_patient_and_has_a_key() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let held = hold(&world, &seeded, HOUR).await;
    stripe_says(&world, "requires_payment_method", 0);
    begin(&world, &held).await;
    begin(&world, &held).await;
    let sent = world.sent_elsewhere();
    let begun: Vec<_> = sent.iter().filter(|sent| sent.method == Method::POST).collect();
    assert_eq!(begun.len(), 1, "begun twice");
    let key = begun[0].headers.iter().find(|(name, _)| *name == "idempotency-key").unwrap();
    assert_eq!(key.1, format!("locum/demo/payment/{}", held.id));
    let body = String::from_utf8(begun[0].body.clone()).unwrap();
    assert!(body.contains("amount=6000&currency=eur&capture_method=manual"), "{body}");
    for person in ["Paula", "1980", "paula", "Grey", "Consult"] {
        assert!(!body.contains(person), "{person} is told to the provider: {body}");
    }
}

#[tokio::test]
async fn a_signed_event_books_once_however_often_it_comes() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let held = hold(&world, &seeded, HOUR).await;
    stripe_says(&world, "requires_payment_method", 0);
    begin(&world, &held).await;
    stripe_says(&world, "requires_capture", 0);
    let now = world.now().as_second();
    for (at, secret) in [(now, "whsec_forged"), (now - 301, support::WEBHOOK_SECRET), (now, "")] {
        let forged = tell(&world, "evt_1", at, secret).await;
        assert_eq!(forged.refusal(), (400, "signature-refused"));
    }
    assert_eq!(visits(&world).await, 0);
    for event in ["evt_2", "evt_1", "evt_2", "evt_1"] {
        assert_eq!(tell(&world, event, now, support::WEBHOOK_SECRET).await.status, 204);
    }
    assert_eq!(visits(&world).await, 1);
    assert_eq!(world.count("SELECT count(*) FROM provider_event").await, 2);
    assert_eq!(world.count("SELECT count(*) FROM outbox_message").await, 1);
}

#[tokio::test]
async fn a_lost_event_is_made_up_for_and_an_ended_visit_is_captured_once() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let held = hold(&world, &seeded, HOUR).await;
    stripe_says(&world, "requires_payment_method", 0);
    begin(&world, &held).await;
    stripe_says(&world, "requires_capture", 0);
    world.advance(SignedDuration::from_mins(3));
    let run = reconcile(&world).await;
    assert_eq!((run.status, &run.body["asked"]), (200, &json!(1)), "{}", run.body);
    assert_eq!(visits(&world).await, 1);

    world.run("UPDATE appointment SET status = 'fulfilled', ended_at = ?", params![world.now()]).await;
    reconcile(&world).await;
    assert_eq!(asked(&world, "/capture"), 0, "asked for before it was written down");
    assert_eq!(world.count("SELECT count(*) FROM provider_call WHERE kind = 'capture'").await, 1);
    stripe_says(&world, "succeeded", 6_000);
    stripe_refunded(&world, &[]);
    for _ in 0..3 {
        reconcile(&world).await;
    }
    assert_eq!(asked(&world, "/capture"), 1);
    assert_eq!(account(&world, "provider").await, 6_000);
    assert_eq!(account(&world, "receivable").await, 0);
    assert_eq!(reconcile(&world).await.status, 200);
}

#[tokio::test]
async fn only_hosts_and_staff_start_a_run() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let nobody = world.client("demo").post::<PaymentsFunction>("/payments/reconcile", json!({})).await;
    assert_eq!(nobody.status, 401);
}

#[tokio::test]
async fn an_abandoned_payment_frees_the_slot_and_is_let_go() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let held = hold(&world, &seeded, HOUR).await;
    stripe_says(&world, "requires_payment_method", 0);
    begin(&world, &held).await;
    world.advance(SignedDuration::from_mins(16));
    reconcile(&world).await;
    stripe_says(&world, "canceled", 0);
    reconcile(&world).await;
    assert_eq!(asked(&world, "/cancel"), 1);
    let sql = "SELECT count(*) FROM card_payment WHERE state = 'cancelled' AND patient IS NULL";
    assert_eq!(world.count(sql).await, 1);
    assert_eq!(check(&world, &held).await.refusal(), (402, "payment-cancelled"));
}

#[tokio::test]
async fn who_pays_too_late_pays_nothing() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let held = hold(&world, &seeded, HOUR).await;
    stripe_says(&world, "requires_payment_method", 0);
    begin(&world, &held).await;
    world.advance(SignedDuration::from_mins(16));
    // The same time: somebody else's by now.
    hold(&world, &seeded, HOUR - SignedDuration::from_mins(16)).await;
    stripe_says(&world, "requires_capture", 0);
    let late = check(&world, &held).await;
    assert_eq!(late.refusal(), (409, "payment-too-late"), "{}", late.body);
    stripe_says(&world, "canceled", 0);
    check(&world, &held).await;
    assert_eq!((visits(&world).await, asked(&world, "/cancel")), (0, 1));
}

#[tokio::test]
async fn a_late_payment_books_while_the_time_is_nobodys() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let held = hold(&world, &seeded, HOUR).await;
    stripe_says(&world, "requires_payment_method", 0);
    begin(&world, &held).await;
    world.advance(SignedDuration::from_mins(16));
    stripe_says(&world, "requires_capture", 0);
    assert_eq!(check(&world, &held).await.status, 200);
}

#[tokio::test]
async fn a_visit_far_ahead_keeps_the_card_and_charges_it_a_day_before() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let held = hold(&world, &seeded, HOUR * 24 * 10).await;
    let setup = |status: &str| json!({"id": "seti_1", "status": status, "client_secret": "seti_1_secret_x", "payment_method": "pm_1"});
    let elsewhere = |path: &str, body: &serde_json::Value| {
        world.serve_elsewhere(&format!("{}/v1/{path}", support::API), 200, body)
    };
    elsewhere("customers", &json!({"id": "cus_1"}));
    elsewhere("setup_intents", &setup("requires_payment_method"));
    elsewhere("setup_intents/seti_1", &setup("succeeded"));
    assert_eq!(begin(&world, &held).await.text("/kind"), "setup");
    assert_eq!(check(&world, &held).await.status, 200);
    assert_eq!(world.count("SELECT count(*) FROM card_payment WHERE state = 'saved'").await, 1);

    world.advance(HOUR * 24 * 9);
    stripe_says(&world, "requires_capture", 0);
    for _ in 0..3 {
        reconcile(&world).await;
    }
    let charges: Vec<_> =
        world.sent_elsewhere().into_iter().filter(|sent| sent.url.ends_with("/payment_intents")).collect();
    assert_eq!(charges.len(), 1);
    let body = String::from_utf8(charges[0].body.clone()).unwrap();
    for said in
        ["customer=cus_1", "payment_method=pm_1", "off_session=true", "confirm=true", "capture_method=manual"]
    {
        assert!(body.contains(said), "{said}: {body}");
    }
    assert_eq!(world.count("SELECT count(*) FROM card_payment WHERE state = 'authorised'").await, 1);
}

#[tokio::test]
async fn a_kept_card_that_is_refused_is_told_once_and_owed_at_the_clinic() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let held = hold(&world, &seeded, HOUR * 24 * 10).await;
    let elsewhere = |path: &str, status: u16, body: &serde_json::Value| {
        world.serve_elsewhere(&format!("{}/v1/{path}", support::API), status, body);
    };
    elsewhere("customers", 200, &json!({"id": "cus_1"}));
    let setup =
        json!({"id": "seti_1", "status": "succeeded", "client_secret": "x", "payment_method": "pm_1"});
    elsewhere("setup_intents", 200, &setup);
    elsewhere("setup_intents/seti_1", 200, &setup);
    begin(&world, &held).await;
    check(&world, &held).await;
    world.advance(HOUR * 24 * 9);
    elsewhere(
        "payment_intents",
        402,
        &json!({"error": {"code": "card_declined", "decline_code": "insufficient_funds"}}),
    );
    for _ in 0..3 {
        reconcile(&world).await;
    }
    assert_eq!(asked(&world, "/payment_intents"), 1);
    let sql = "SELECT count(*) FROM card_payment WHERE state = 'declined' AND refusal = 'insufficient_funds'";
    assert_eq!(world.count(sql).await, 1);
    assert_eq!(
        world.count("SELECT count(*) FROM outbox_message WHERE subject LIKE '%not accepted%'").await,
        1
    );
    assert_eq!(account(&world, "receivable").await, 6_000);
}
