//! Invoices and the books: what is written there stays, balances, and is said once.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

mod support;

use http::Method;
use jiff::SignedDuration;
use kit::params;
use kit::policy::Role;
use kit::testing::{Booked, Client, World};
use payments::PaymentsFunction;
use serde_json::{Value as Json, json};
use support::{
    account, asked, begin, check, hold, invoices, reconcile, stripe_refunded, stripe_says, take_cards,
};

const DAY: &str = "2026-03-02";

async fn booked(world: &World) -> Booked {
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.set("host_key", "host-key");
    world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await
}

async fn somebody<'w>(world: &'w World, role: Role) -> Client<'w> {
    let client = world.client("demo");
    client.sign_in_as(role).await;
    client
}

async fn post(client: &Client<'_>, invoice: &Json, what: &str, body: Json) -> kit::testing::Answer {
    let path = format!("/payments/invoices/{}/{what}", invoice["id"].as_str().unwrap());
    client.post::<PaymentsFunction>(&path, body).await
}

fn euro(amount: &str) -> Json {
    json!({"amount": amount, "currency": "EUR"})
}

#[tokio::test]
async fn the_books_are_only_added_to_and_know_every_invoice() {
    let world = World::new().await;
    booked(&world).await;
    assert_eq!(account(&world, "receivable").await, 6_000);
    for sql in ["DELETE FROM ledger", "UPDATE ledger SET amount_minor = 1"] {
        assert!(world.try_run(sql, vec![]).await.is_err(), "{sql}");
    }
    world.run("UPDATE invoice SET cancelled_at = 1", vec![]).await;
    world.run("UPDATE invoice SET cancelled_at = 2", vec![]).await;
    assert_eq!((account(&world, "receivable").await, account(&world, "revenue").await), (0, 0));
    assert_eq!(world.count("SELECT count(*) FROM ledger").await, 2);
}

#[tokio::test]
async fn numbers_count_in_each_clinic() {
    let world = World::new().await;
    let (one, two) = (world.seed("demo", "Europe/Berlin").await, world.seed("other", "Europe/Berlin").await);
    for (seeded, start) in [(&one, "08:00"), (&two, "08:00"), (&one, "08:30"), (&one, "09:00")] {
        world.seed_visit(seeded, &format!("{DAY}T{start}:00Z")).await;
    }
    let numbers =
        |clinic| world.query("SELECT number FROM invoice WHERE clinic = ? ORDER BY number", params![clinic]);
    let read =
        |rows: Vec<kit::database::Row>| rows.iter().map(|row| row.integer(0).unwrap()).collect::<Vec<_>>();
    assert_eq!(read(numbers("demo").await), [1, 2, 3]);
    assert_eq!(read(numbers("other").await), [1]);
}

#[tokio::test]
async fn the_front_desk_takes_money_and_billing_gives_it_back_once() {
    let world = World::new().await;
    booked(&world).await;
    let (desk, billing) = (somebody(&world, Role::FrontDesk).await, somebody(&world, Role::Billing).await);
    let invoice = invoices(&desk, DAY).await[0].clone();
    assert_eq!((&invoice["status"], &invoice["owed"]), (&json!("issued"), &json!("60.00")));
    let too_much =
        post(&desk, &invoice, "payments", json!({"method": "cash", "amount": euro("60.01")})).await;
    assert_eq!(too_much.refusal(), (409, "amount-out-of-range"));
    for (method, amount) in [("cash", "20.00"), ("terminal", "40.00")] {
        let paid = post(&desk, &invoice, "payments", json!({"method": method, "amount": euro(amount)})).await;
        assert_eq!(paid.status, 200, "{}", paid.body);
    }
    let refused =
        post(&desk, &invoice, "refunds", json!({"id": invoice["id"], "amount": euro("1.00")})).await;
    assert_eq!(refused.refusal(), (403, "role-not-allowed"));
    let wish = json!({"id": "00000000-0000-7000-8000-000000000001", "amount": euro("15.00")});
    for _ in 0..2 {
        let back = post(&billing, &invoice, "refunds", wish.clone()).await;
        assert_eq!(back.status, 200, "{}", back.body);
        assert_eq!(
            (&back.body["invoice"]["refunded"], &back.body["invoice"]["status"]),
            (&json!("15.00"), &json!("balanced"))
        );
    }
    let more = json!({"id": "00000000-0000-7000-8000-000000000002", "amount": euro("45.01")});
    assert_eq!(post(&billing, &invoice, "refunds", more).await.refusal(), (409, "amount-out-of-range"));
    assert_eq!((account(&world, "cash").await, account(&world, "terminal").await), (2_000, 2_500));

    let report = billing.get::<PaymentsFunction>(&format!("/payments/report?from={DAY}&until={DAY}")).await;
    let lines = report.body["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "{}", report.body);
    assert_eq!((&lines[1]["account"], &lines[1]["net"]), (&json!("terminal"), &json!("25.00")));
    let csv =
        billing.get::<PaymentsFunction>(&format!("/payments/report?from={DAY}&until={DAY}&format=csv")).await;
    let text = String::from_utf8(csv.bytes).unwrap();
    assert!(text.contains(&format!("{DAY},cash,EUR,20.00,0.00,20.00,1\r\n")), "{text}");
}

#[tokio::test]
async fn a_refund_of_a_card_is_asked_for_once_and_written_as_the_provider_says() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let held = hold(&world, &seeded, SignedDuration::from_hours(1)).await;
    stripe_says(&world, "requires_capture", 0);
    begin(&world, &held).await;
    check(&world, &held).await;
    world.run("UPDATE appointment SET status = 'fulfilled', ended_at = ?", params![world.now()]).await;
    reconcile(&world).await;
    stripe_says(&world, "succeeded", 6_000);
    stripe_refunded(&world, &[]);
    reconcile(&world).await;
    let billing = somebody(&world, Role::Billing).await;
    let invoice = invoices(&billing, DAY).await[0].clone();
    let id = "00000000-0000-7000-8000-000000000001";
    for _ in 0..2 {
        let asked = post(&billing, &invoice, "refunds", json!({"id": id, "amount": euro("10.00")})).await;
        assert_eq!(asked.body["invoice"]["card"]["pending"], true);
        assert_eq!(asked.body["invoice"]["refunded"], "0.00", "said before it is so");
    }
    // The answer is lost: Stripe has done it, and is asked again.
    stripe_refunded(&world, &[("re_1", 1_000, &format!("refund/{id}"))]);
    for _ in 0..2 {
        let settled = post(&billing, &invoice, "settle", json!({})).await;
        assert_eq!(settled.body["invoice"]["refunded"], "10.00", "{}", settled.body);
    }
    assert_eq!(asked(&world, "/v1/refunds"), 0, "money went back twice");
    // Somebody gives money back at the provider itself.
    stripe_refunded(&world, &[("re_1", 1_000, &format!("refund/{id}")), ("re_2", 500, "")]);
    post(&billing, &invoice, "settle", json!({})).await;
    assert_eq!(account(&world, "provider").await, 4_500);
}

#[tokio::test]
async fn who_does_not_come_pays_what_the_clinic_says() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    take_cards(&world);
    let admin = somebody(&world, Role::ClinicAdmin).await;
    let settings = json!({"noShowPercent": 50, "atClinic": true, "perMinute": []});
    let put = admin.send::<PaymentsFunction>(Method::PUT, "/payments/settings", Some(settings), &[]).await;
    assert_eq!(put.status, 200, "{}", put.body);
    let held = hold(&world, &seeded, SignedDuration::from_hours(1)).await;
    stripe_says(&world, "requires_capture", 0);
    begin(&world, &held).await;
    check(&world, &held).await;
    world.run("UPDATE appointment SET status = 'noshow'", vec![]).await;
    reconcile(&world).await;
    let sql = "SELECT amount_minor FROM provider_call WHERE kind = 'capture'";
    assert_eq!(world.count(sql).await, 3_000);
    assert_eq!(account(&world, "receivable").await, 3_000);
    reconcile(&world).await;
    assert_eq!(account(&world, "receivable").await, 3_000, "taken off twice");
}

#[tokio::test]
async fn minutes_are_billed_as_they_were_metered() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.set("host_key", "host-key");
    world.run("UPDATE service SET price_minor = 150", vec![]).await;
    let admin = somebody(&world, Role::ClinicAdmin).await;
    let settings = json!({"noShowPercent": 100, "atClinic": true, "perMinute": [seeded.service]});
    admin.send::<PaymentsFunction>(Method::PUT, "/payments/settings", Some(settings), &[]).await;
    let held = hold(&world, &seeded, SignedDuration::from_hours(1)).await;
    let body = json!({"hold": held.id, "secret": held.secret, "method": "pay-at-clinic",
        "patient": {"name": "Paula Patient", "birthDate": "1980-01-31", "email": "paula@example.org"}});
    let confirmed = world.client("demo").post::<PaymentsFunction>("/payments/confirmations", body).await;
    assert_eq!(confirmed.text("/invoice/amount"), "90.00", "half an hour for two");
    let appointment = confirmed.text("/appointment/id");
    // Eleven minutes of one with a gap of two, five and a half of the other, half a minute of them twice.
    for (sequence, participant, node, at, kind, gap) in [
        (0, "a", "n", 0_i64, "joined", None),
        (1, "a", "n", 360_000, "gap", Some(120_000_i64)),
        (2, "a", "n", 660_000, "left", None),
        (3, "b", "n", 0, "joined", None),
        (4, "b", "n", 330_000, "left", None),
        (0, "b", "m", 300_000, "joined", None),
        (1, "b", "m", 330_000, "left", None),
    ] {
        let sql = "INSERT INTO call_event
                     (clinic, node, start, sequence, appointment, participant, at, kind, stay, gap_ms)
                   VALUES ('demo', ?, 's', ?, ?, ?, ?, ?, ?, ?)";
        let stay = format!("{participant}{node}");
        let values =
            params![node, i64::from(sequence), appointment.as_str(), participant, at, kind, stay, gap];
        world.run(sql, values).await;
    }
    world.run("UPDATE appointment SET status = 'fulfilled', ended_at = ?", params![world.now()]).await;
    reconcile(&world).await;
    assert_eq!(invoices(&admin, DAY).await[0]["estimate"], true, "before the last was told");
    world.advance(SignedDuration::from_mins(11));
    for _ in 0..2 {
        reconcile(&world).await;
    }
    // 9 min and 5.5 min: 15 begun minutes.
    let invoice = invoices(&admin, DAY).await[0].clone();
    assert_eq!(
        (&invoice["charged"], &invoice["lines"][0]["quantity"]),
        (&json!("22.50"), &json!(15)),
        "{invoice}"
    );
    assert_eq!(account(&world, "receivable").await, 2_250);
}

#[tokio::test]
async fn invoice_and_receipt_are_printed_for_whose_they_are() {
    let world = World::new().await;
    let visit = booked(&world).await;
    let patient = world.client("demo");
    patient.begin_visit(&visit).await;
    let seen = patient.get::<PaymentsFunction>("/payments/visit-invoice").await;
    assert_eq!((seen.status, &seen.body["invoice"]["number"]), (200, &json!(1)));
    let document = |kind: &str| format!("/payments/visit-invoice/document?kind={kind}&language=es");
    let early = patient.get::<PaymentsFunction>(&document("receipt")).await;
    assert_eq!(early.refusal(), (409, "nothing-paid"));
    let desk = somebody(&world, Role::FrontDesk).await;
    let invoice = invoices(&desk, DAY).await[0].clone();
    post(&desk, &invoice, "payments", json!({"method": "cash", "amount": euro("60.00")})).await;
    for (kind, title) in [("invoice", "(Factura 1)"), ("receipt", "(Recibo 1)")] {
        let printed = patient.get::<PaymentsFunction>(&document(kind)).await;
        assert_eq!(
            (printed.status, &printed.headers["content-type"]),
            (200, &"application/pdf".parse().unwrap())
        );
        let text = String::from_utf8_lossy(&printed.bytes).into_owned();
        for wanted in [title, "(Para: Paula Patient)", "(60.00 EUR)", "(Test clinic)"] {
            assert!(text.contains(wanted), "{kind}: no {wanted}");
        }
    }
}
