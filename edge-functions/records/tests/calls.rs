//! Who was in a call, and for how long: told by media nodes only, counted once, seen by those who treat.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use kit::params;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client, World};
use records::RecordsFunction;
use serde_json::{Value as Json, json};

const AS_NODE: [(&str, &str); 2] = [("locum-node", "media-1"), ("locum-host-key", "key")];

/// A visit whose room has a patient in it.
async fn world() -> (World, Booked) {
    let world = World::new().await;
    world.set("host_key", "key");
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let room =
        "INSERT INTO room (clinic, appointment, name, sink, created_at) VALUES ('demo', ?, 'r', 'sink', 0)";
    world.run(room, params![visit.appointment]).await;
    let patient = "INSERT INTO room_participant (clinic, appointment, person, name)
                   VALUES ('demo', ?, 'patient', 'p')";
    world.run(patient, params![visit.appointment]).await;
    (world, visit)
}

fn event(sequence: i64, at_ms: i64, kind: &str) -> Json {
    json!({
        "start": "s", "sequence": sequence, "atMs": at_ms, "sink": "sink", "participant": "p", "kind": kind,
        "stay": "PA_1",
    })
}

async fn tell(client: &Client<'_>, events: &[Json], headers: &[(&str, &str)]) -> Answer {
    let body = json!({"events": events});
    client.send::<RecordsFunction>(Method::POST, "/records/call-events", Some(body), headers).await
}

async fn call(world: &World, visit: &Booked) -> Json {
    let doctor = world.client("demo");
    doctor.sign_in_as(Role::Doctor).await;
    let answer =
        doctor.get::<RecordsFunction>(&format!("/records/encounters/{}/call", visit.encounter)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn events_are_counted_once_however_often_they_are_told() {
    let (world, visit) = world().await;
    let node = world.client("demo");
    assert_eq!(
        call(&world, &visit).await,
        json!({"participants": [], "participantSeconds": 0, "reports": []})
    );
    let events = [event(0, 1_000, "joined"), event(1, 31_000, "present"), event(2, 61_000, "left")];
    for told in [&events[..2], &events[..], &events[1..]] {
        assert_eq!(tell(&node, told, &AS_NODE).await.status, 204);
    }
    let wanted = json!({
        "participants": [{"person": "patient", "connectedSeconds": 60, "joins": 1}], "participantSeconds": 60,
        "reports": []
    });
    assert_eq!(call(&world, &visit).await, wanted);
    assert_eq!(world.count("SELECT count(*) FROM call_event").await, 3);
    assert!(world.audit_trail().contains(&"staff call-read".to_owned()), "{:?}", world.audit_trail());

    // The room is gone by the time the last events come.
    world.run("DELETE FROM room_participant", vec![]).await;
    world.run("DELETE FROM room", vec![]).await;

    // The same numbers of another start of the node are other events: it moved to another stay.
    let mut again = event(0, 50_000, "joined");
    again["start"] = json!("t");
    let mut gone = event(1, 91_000, "left");
    gone["start"] = json!("t");
    assert_eq!(tell(&node, &[again, gone], &AS_NODE).await.status, 204);
    assert_eq!(call(&world, &visit).await["participantSeconds"], 90);
}

#[tokio::test]
async fn of_a_groups_call_each_record_shows_its_own_patient_and_the_staff() {
    let (world, first) = world().await;
    let seeded = world.query("SELECT practitioner, service, hold FROM appointment", vec![]).await;
    let second = "00000000-0000-7000-8000-0000000000b2";
    let sql = "INSERT INTO appointment
                 (clinic, id, hold, patient, practitioner, service, start_at, end_at, status, created_at, place)
               SELECT clinic, ?, hold || 'x', patient, practitioner, service, start_at, end_at, status,
                 created_at, 2 FROM appointment";
    world.run("PRAGMA foreign_keys = OFF", vec![]).await;
    world.run(sql, params![second]).await;
    assert_eq!(seeded.len(), 1);
    world.run("UPDATE appointment SET call_of = ?", params![first.appointment]).await;
    world.run("UPDATE room_participant SET person = appointment, visit = appointment", vec![]).await;
    world.run("UPDATE call_person SET person = appointment", vec![]).await;
    for (person, name) in [(second, "q"), ("00000000-0000-7000-8000-0000000000d1", "d")] {
        let sql = "INSERT INTO room_participant (clinic, appointment, person, name) VALUES ('demo', ?, ?, ?)";
        world.run(sql, params![first.appointment, person, name]).await;
    }
    for (name, visit) in [("p", first.appointment.to_string()), ("q", second.to_owned())] {
        let sql = "INSERT INTO call_visit (clinic, appointment, participant, visit) VALUES ('demo', ?, ?, ?)";
        world.run(sql, params![first.appointment, name, visit]).await;
    }
    let mut events = Vec::new();
    for (at, name) in ["p", "q", "d"].into_iter().enumerate() {
        let sequence = 2 * i64::try_from(at).unwrap();
        for (number, at_ms, kind) in [(sequence, 1_000, "joined"), (sequence + 1, 31_000, "left")] {
            let mut told = event(number, at_ms, kind);
            told["participant"] = json!(name);
            told["stay"] = json!(format!("PA_{name}"));
            events.push(told);
        }
    }
    assert_eq!(tell(&world.client("demo"), &events, &AS_NODE).await.status, 204);
    let shown = call(&world, &first).await;
    let people: Vec<_> = shown["participants"].as_array().unwrap().iter().map(|p| &p["person"]).collect();
    assert_eq!(people, ["00000000-0000-7000-8000-0000000000d1", "patient"], "{shown}");
    assert_eq!(shown["participantSeconds"], 60);
}

#[tokio::test]
async fn only_nodes_tell_of_calls() {
    let (world, _) = world().await;
    let doctor = world.client("demo");
    doctor.sign_in_as(Role::Doctor).await;
    let told = [event(0, 1_000, "joined")];
    for headers in [
        &[][..],
        &[("locum-node", "media-1")],
        &[("locum-node", "media-1"), ("locum-host-key", "another")],
        &[("locum-node", "media-1"), ("locum-host-key", "")],
        &[("locum-node", "Not A Node"), ("locum-host-key", "key")],
    ] {
        assert_eq!(tell(&doctor, &told, headers).await.refusal(), (401, "sign-in-required"), "{headers:?}");
    }
    // Spin alone has no key of a host: then nobody is a node.
    world.set("host_key", "");
    let forged = [("locum-node", "media-1"), ("locum-host-key", "")];
    assert_eq!(tell(&doctor, &told, &forged).await.status, 401);
    assert_eq!(world.count("SELECT count(*) FROM call_event").await, 0);
}

#[tokio::test]
async fn a_refused_token_is_in_the_audit_once() {
    let (world, visit) = world().await;
    let node = world.client("demo");
    let mut refused = event(0, 1_000, "token-refused");
    refused["reason"] = json!("expired");
    refused["stay"] = Json::Null;
    for _ in 0..2 {
        assert_eq!(tell(&node, &[refused.clone()], &AS_NODE).await.status, 204);
    }
    assert_eq!(world.audit_trail(), ["node token-refused"]);
    let event = &world.audit_events()[0];
    assert_eq!(event.pointer("/entity/id"), Some(&json!(visit.appointment)), "{event}");
}

#[tokio::test]
async fn what_is_no_event_changes_nothing() {
    let (world, visit) = world().await;
    let node = world.client("demo");
    let mut wrong = Vec::new();
    for (key, value) in [
        ("kind", json!("vanished")),
        ("sequence", json!(-1)),
        ("stay", Json::Null),
        ("participant", json!("x".repeat(65))),
        ("gapMs", json!(-5)),
    ] {
        let mut event = event(9, 1_000, "joined");
        event[key] = value;
        wrong.push(event);
    }
    for wrong in wrong {
        let answer = tell(&node, &[event(0, 1_000, "joined"), wrong.clone()], &AS_NODE).await;
        assert_eq!(answer.status, 422, "{wrong}: {}", answer.body);
    }
    let mut elsewhere = event(1, 1_000, "joined");
    elsewhere["sink"] = json!("of-another-clinic");
    assert_eq!(tell(&node, &[elsewhere], &AS_NODE).await.status, 204);
    assert_eq!(tell(&node, &vec![event(0, 0, "joined"); 257], &AS_NODE).await.status, 422);
    assert_eq!(call(&world, &visit).await["participants"], json!([]));
}
