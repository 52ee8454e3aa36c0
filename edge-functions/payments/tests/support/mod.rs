//! A clinic whose payments go to a Stripe that says what a test tells it.

#![allow(dead_code, clippy::unwrap_used, reason = "part of the tests")]

use jiff::SignedDuration;
use kit::ids::HoldId;
use kit::params;
use kit::secret::Secret;
use kit::testing::{Answer, Client, Seeded, World};
use payments::PaymentsFunction;
use serde_json::{Value as Json, json};

pub(crate) const API: &str = "https://stripe.example";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_of_the_test";

pub(crate) struct Held {
    pub(crate) id: HoldId,
    pub(crate) secret: String,
}

/// A hold for ten minutes on a slot that begins so much later.
pub(crate) async fn hold(world: &World, seeded: &Seeded, later: SignedDuration) -> Held {
    let (id, secret, now) = (HoldId::new(world.now()).unwrap(), Secret::new::<16>().unwrap(), world.now());
    let (start, end) = (now + later, now + later + SignedDuration::from_mins(30));
    let expires = now + SignedDuration::from_mins(10);
    let (clinic, practitioner, service) = (seeded.clinic.as_str(), seeded.practitioner, seeded.service);
    let sql = "INSERT INTO hold
                 (clinic, id, secret_hash, practitioner, service, start_at, end_at, created_at, expires_at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![clinic, id, secret.hash(), practitioner, service, start, end, now, expires];
    world.run(sql, values).await;
    Held { id, secret: secret.reveal().to_owned() }
}

/// Cards are taken here.
pub(crate) fn take_cards(world: &World) {
    for (name, value) in [
        ("stripe_secret_key", "sk_test_x"),
        ("stripe_publishable_key", "pk_test_x"),
        ("stripe_webhook_secret", WEBHOOK_SECRET),
        ("stripe_api", API),
        ("stripe_script", "https://stripe.example/v3/"),
        ("host_key", "host-key"),
    ] {
        world.set(name, value);
    }
}

/// What Stripe says of the payment from now on.
pub(crate) fn stripe_says(world: &World, status: &str, received: i64) {
    let capturable = if status == "requires_capture" { 6_000 } else { 0 };
    let intent = json!({"id": "pi_1", "object": "payment_intent", "status": status, "client_secret": "pi_1_secret_x",
        "amount": 6_000, "amount_received": received, "amount_capturable": capturable,
        "payment_method": "pm_1", "last_payment_error": null});
    for path in [
        "payment_intents",
        "payment_intents/pi_1",
        "payment_intents/pi_1/capture",
        "payment_intents/pi_1/cancel",
    ] {
        world.serve_elsewhere(&format!("{API}/v1/{path}"), 200, &intent);
    }
}

pub(crate) fn stripe_refunded(world: &World, refunds: &[(&str, i64, &str)]) {
    let refund = |(id, amount, key): &(&str, i64, &str)| json!({"id": id, "object": "refund", "amount": amount, "status": "succeeded", "metadata": {"refund": key}});
    let data: Vec<Json> = refunds.iter().map(refund).collect();
    let list = json!({"object": "list", "data": data, "has_more": false});
    world.serve_elsewhere(&format!("{API}/v1/refunds?payment_intent=pi_1&limit=100"), 200, &list);
    world.serve_elsewhere(&format!("{API}/v1/refunds"), 200, &json!({"id": "re_1", "object": "refund"}));
}

/// How often Stripe was asked for something, by the end of its address.
pub(crate) fn asked(world: &World, end: &str) -> usize {
    world.sent_elsewhere().iter().filter(|sent| sent.url.ends_with(end)).count()
}

pub(crate) async fn begin(world: &World, held: &Held) -> Answer {
    let patient = json!({"name": "Paula Patient", "birthDate": "1980-01-31", "email": "paula@example.org"});
    let body = json!({"hold": held.id, "secret": held.secret, "patient": patient});
    world.client("demo").post::<PaymentsFunction>("/payments/card-payments", body).await
}

pub(crate) async fn check(world: &World, held: &Held) -> Answer {
    let path = format!("/payments/card-payments/{}/check", held.id);
    world.client("demo").post::<PaymentsFunction>(&path, json!({"secret": held.secret})).await
}

pub(crate) async fn reconcile(world: &World) -> Answer {
    let headers = [("locum-node", "edge-1"), ("locum-host-key", "host-key")];
    let client = world.client("demo");
    client
        .send::<PaymentsFunction>(http::Method::POST, "/payments/reconcile", Some(json!({})), &headers)
        .await
}

pub(crate) async fn invoices(client: &Client<'_>, date: &str) -> Json {
    client.get::<PaymentsFunction>(&format!("/payments/invoices?date={date}")).await.body["invoices"].clone()
}

/// The sum of what came into an account and went out of it.
pub(crate) async fn account(world: &World, name: &str) -> i64 {
    let sql = format!(
        "SELECT coalesce(sum(CASE '{name}' WHEN debit THEN amount_minor WHEN credit THEN -amount_minor ELSE 0 END), 0)
         FROM ledger WHERE clinic = 'demo'"
    );
    world.count(&sql).await
}
