//! Mail that comes back: what its report says, who may hand it over, and what follows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "part of the tests")]

use std::collections::BTreeMap;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::params;
use kit::policy::Role;
use kit::testing::{Seeded, World};
use messages::{MessagesFunction, bounces};
use serde::Deserialize;
use serde_json::json;

const ID: &str = "0198c7f2-9f2b-7c4e-8a55-2b6f0d7f0001";
const PATH: &str = "/messages/hooks/bounces";

#[derive(Deserialize)]
struct Report {
    raw: String,
    /// `false`: it is none.
    status: serde_json::Value,
}

/// As Python's `email` makes them: another program than the one that reads them here.
fn reports() -> BTreeMap<String, Report> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reports.py");
    let made = Command::new("python3").args([script, "demo", ID]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    serde_json::from_slice(&made.stdout).unwrap()
}

fn raw(report: &Report) -> Vec<u8> {
    STANDARD.decode(&report.raw).unwrap()
}

#[test]
fn reports_are_read_as_others_make_them() {
    let reports = reports();
    assert!(reports.len() > 15, "only {}", reports.len());
    for (name, report) in &reports {
        let read = bounces::read(&raw(report), "demo");
        match report.status.as_str() {
            _ if report.status == false => assert_eq!(read, None, "{name}"),
            status => {
                let read = read.unwrap_or_else(|| panic!("{name}: not read"));
                assert_eq!(read.failed.as_deref(), status, "{name}");
                assert!(read.messages.iter().any(|id| id.to_string() == ID), "{name}: {read:?}");
            }
        }
    }
}

/// Whatever the network makes of it, nothing breaks.
#[test]
fn a_report_that_was_damaged_breaks_nothing() {
    let whole = raw(&reports()["of a user who is unknown"]);
    for end in (0..whole.len()).step_by(7) {
        bounces::read(&whole[..end], "demo");
        let mut broken = whole.clone();
        broken[end] ^= 0x55;
        bounces::read(&broken, "demo");
    }
}

async fn world() -> (World, Seeded) {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.set("bounce_token", "token of the mail server");
    let sql = "INSERT INTO outbox_message (clinic, id, recipient, subject, body, link, created_at, state)
               VALUES ('demo', ?, 'paula@example.org', '', '', '', ?, 'sent')";
    world.run(sql, params![ID, world.now()]).await;
    (world, seeded)
}

async fn hand_over(world: &World, raw: Vec<u8>, token: &str) -> (u16, String) {
    let basic = format!("Basic {}", STANDARD.encode(format!("bounces:{token}")));
    let server = world.client("demo");
    let body = ("message/rfc822", raw);
    let answer = server.raw::<MessagesFunction>(PATH, body, &[("authorization", &basic)]).await;
    (answer.status, answer.problem().to_owned())
}

async fn state(world: &World) -> (String, Option<String>) {
    let rows = world.query("SELECT state, reason FROM outbox_message ORDER BY id LIMIT 1", vec![]).await;
    (rows[0].text(0).unwrap(), rows[0].text_or_null(1).unwrap())
}

const TOKEN: &str = "token of the mail server";

#[tokio::test]
async fn what_came_back_is_for_people_and_its_address_gets_no_more_until_it_is_corrected() {
    let (world, seeded) = world().await;
    let visit = world.seed_visit(&seeded, "2026-03-04T09:00:00Z").await;
    let report = raw(&reports()["of a user who is unknown"]);
    for _ in 0..2 {
        assert_eq!(hand_over(&world, report.clone(), TOKEN).await.0, 204);
    }
    assert_eq!(state(&world).await, ("failed".to_owned(), Some("bounced-5.1.1".to_owned())));

    let desk = world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let work = desk.get::<MessagesFunction>("/messages/work").await;
    let item = &work.body["messages"][0];
    assert_eq!(
        (&item["to"], &item["cameBack"], &item["appointment"]),
        (&json!("paula@example.org"), &json!(true), &json!(visit.appointment))
    );
    let resend =
        desk.post::<MessagesFunction>(&format!("/messages/work/{ID}"), json!({"action": "resend"})).await;
    assert_eq!(resend.refusal(), (409, "came-back"), "there is nothing left to send");

    // A link that is asked for does not go there either: it is on the list at once.
    let anyone = world.client("demo");
    let lost = json!({"email": "Paula@example.org"});
    anyone.post::<MessagesFunction>("/messages/link-requests", lost).await;
    let waiting = "SELECT count(*) FROM outbox_message WHERE state = 'waiting'";
    assert_eq!(world.count(waiting).await, 0);
    assert_eq!(world.count("SELECT count(*) FROM outbox_message WHERE reason = 'undeliverable'").await, 1);

    let path = format!("/messages/appointments/{}/contact", visit.appointment);
    let shown = desk.get::<MessagesFunction>(&path).await;
    assert_eq!(shown.body["undeliverable"], json!(["email"]), "{}", shown.body);
    let corrected = json!({"email": "paula.p@example.org", "channel": "email"});
    let put = desk.send::<MessagesFunction>(http::Method::PUT, &path, Some(corrected), &[]).await;
    assert_eq!((put.status, &put.body["undeliverable"]), (200, &json!([])), "{}", put.body);
    let rows =
        world.query("SELECT recipient, link FROM outbox_message WHERE state = 'waiting'", vec![]).await;
    assert_eq!((rows.len(), rows[0].text(0).unwrap()), (1, "paula.p@example.org".to_owned()));
    assert!(rows[0].text(1).unwrap().contains("/c/demo/visit#"));
}

#[tokio::test]
async fn a_full_mailbox_or_a_later_try_says_nothing_of_the_address() {
    let (world, _) = world().await;
    let reports = reports();
    for name in ["that goes on", "that arrived"] {
        assert_eq!(hand_over(&world, raw(&reports[name]), TOKEN).await.0, 204, "{name}");
        assert_eq!(state(&world).await.0, "sent", "{name}");
    }
    assert_eq!(hand_over(&world, raw(&reports["of a full mailbox"]), TOKEN).await.0, 204);
    assert_eq!(state(&world).await.0, "failed");
    assert_eq!(world.count("SELECT count(*) FROM message_address").await, 0);
}

#[tokio::test]
async fn only_who_has_the_token_hands_over_and_only_reports() {
    let (world, _) = world().await;
    let reports = reports();
    let report = raw(&reports["of a user who is unknown"]);
    for token in ["", "another", "token of the mail serve"] {
        let refused = hand_over(&world, report.clone(), token).await;
        assert_eq!(refused, (403, "bounce-token-refused".to_owned()), "{token:?}");
    }
    for name in ["of nothing", "of noise", "cut off in the middle", "that is somebody's holiday"] {
        let refused = hand_over(&world, raw(&reports[name]), TOKEN).await;
        assert_eq!(refused, (422, "not-a-report".to_owned()), "{name}");
    }
    let long = [report.clone(), vec![b'a'; 300 << 10]].concat();
    assert_eq!(hand_over(&world, long, TOKEN).await.0, 422);
    world.set("bounce_token", "");
    assert_eq!(hand_over(&world, report, "").await.0, 403, "without a token nobody does");
    assert_eq!(state(&world).await.0, "sent");
}
