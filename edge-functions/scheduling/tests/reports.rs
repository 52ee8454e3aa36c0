//! What people of a call say of it is kept with the encounter.

use auth::AuthFunction;
use jiff::SignedDuration;
use kit::params;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client, World};
use records::RecordsFunction;
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};

async fn post(client: &Client<'_>, path: &str, body: Json) -> Answer {
    client.post::<SchedulingFunction>(path, body).await
}

async fn report(client: &Client<'_>, kind: &str) -> Answer {
    post(client, "/scheduling/visit/reports", json!({ "kind": kind, "node": "media-1" })).await
}

async fn change(client: &Client<'_>, visit: &Booked, verb: &str, body: Json) -> Answer {
    post(client, &format!("/scheduling/appointments/{}/{verb}", visit.appointment), body).await
}

async fn phone_instead(doctor: &Client<'_>) -> Json {
    let day = doctor.get::<SchedulingFunction>("/scheduling/appointments?date=2026-03-02").await;
    day.body["appointments"][0]["phoneInstead"].clone()
}

#[tokio::test]
async fn a_wish_to_be_called_is_shown_to_the_clinic_and_reports_hold_ids_only() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let (patient, doctor, desk) = (world.client("demo"), world.client("demo"), world.client("demo"));
    patient.begin_visit(&visit).await;
    doctor.sign_in_as(Role::Doctor).await;
    desk.sign_in_as(Role::FrontDesk).await;

    post(&patient, "/scheduling/visit/arrive", json!({})).await;
    assert_eq!(report(&patient, "phone-instead").await.refusal(), (409, "not-admitted"));
    assert_eq!(change(&doctor, &visit, "admit", json!({})).await.status, 200);
    assert_eq!(phone_instead(&doctor).await, json!(null));

    assert_eq!(report(&patient, "poor-sound").await.status, 201);
    assert_eq!(phone_instead(&doctor).await, json!(null), "another kind of report");
    world.advance(SignedDuration::from_mins(1));
    let asked = report(&patient, "phone-instead").await;
    assert_eq!((asked.status, phone_instead(&doctor).await), (201, asked.body["at"].clone()));
    let of_staff = change(&doctor, &visit, "reports", json!({ "kind": "no-picture" })).await;
    assert_eq!(of_staff.status, 201);
    let not_theirs = change(&desk, &visit, "reports", json!({ "kind": "other" })).await;
    assert_eq!(not_theirs.status, 403);

    for body in [
        json!({ "kind": "Ms Example has a cough" }),
        json!({ "kind": "other", "node": "Ms Example" }),
        json!({ "kind": "other", "text": "a cough" }),
    ] {
        assert_eq!(post(&patient, "/scheduling/visit/reports", body).await.status, 422);
    }
    let sql = "SELECT person, kind, node FROM call_report ORDER BY at, kind";
    let rows = world.query(sql, params![]).await;
    let kept: Vec<_> = rows.iter().map(|row| (row.text(0).unwrap(), row.text(1).unwrap())).collect();
    assert_eq!(kept.len(), 3);
    assert_eq!((kept[0].0.as_str(), kept[0].1.as_str()), ("patient", "poor-sound"));

    assert_eq!(change(&doctor, &visit, "end", json!({})).await.status, 200);
    assert_eq!(report(&patient, "other").await.refusal().0, 410);
}

#[tokio::test]
async fn the_numbers_of_a_report_are_kept_of_people_of_the_call_only() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let (patient, doctor) = (world.client("demo"), world.client("demo"));
    patient.begin_visit(&visit).await;
    doctor.sign_in_as(Role::Doctor).await;
    post(&patient, "/scheduling/visit/arrive", json!({})).await;
    change(&doctor, &visit, "admit", json!({})).await;
    let joined =
        "INSERT INTO room_participant (clinic, appointment, person, name) VALUES ('demo', ?, 'patient', 'p')";
    world.run(joined, params![visit.appointment]).await;

    let line = |participant: &str| json!({"participant": participant, "lossPermille": 12, "width": 640});
    let say = |lines: Json| json!({"kind": "poor-picture", "node": "media-1", "lines": lines});
    let send = async |lines: Json| post(&patient, "/scheduling/visit/reports", say(lines)).await;
    assert_eq!(send(json!([line("p"), line("p"), line("Ms Example")])).await.status, 201);
    for bad in [
        json!(vec![line("p"); 17]),
        json!([{"participant": "p", "lossPermille": 1_001}]),
        json!([{"participant": "p", "width": 1_000_001}]),
        json!([{"participant": "p", "soundKbps": -1}]),
        json!([{"participant": "p", "name": "Ms Example"}]),
    ] {
        assert_eq!(send(bad).await.refusal(), (422, "invalid-input"));
    }
    assert_eq!(world.count("SELECT count(*) FROM call_report").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM call_report_line").await, 1);

    let call = format!("/records/encounters/{}/call", visit.encounter);
    let read = doctor.get::<RecordsFunction>(&call).await;
    let measured = json!([{
        "person": "patient", "lossPermille": 12, "roundTripMs": null, "soundKbps": null, "pictureKbps": null,
        "width": 640, "height": null,
    }]);
    let report = &read.body["reports"][0];
    assert_eq!((&report["kind"], &report["lines"]), (&json!("poor-picture"), &measured), "{}", read.body);
    assert_eq!((&report["person"], &report["node"]), (&json!("patient"), &json!("media-1")));
}

#[tokio::test]
async fn a_guest_reports_while_in_the_call_and_cannot_be_called_by_phone() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let (patient, doctor, guest) = (world.client("demo"), world.client("demo"), world.client("demo"));
    patient.begin_visit(&visit).await;
    doctor.sign_in_as(Role::Doctor).await;
    post(&patient, "/scheduling/visit/arrive", json!({})).await;
    change(&doctor, &visit, "admit", json!({})).await;
    let invited = change(&doctor, &visit, "guests", json!({"role": "family"})).await;
    let token = invited.text("/link").split_once('#').unwrap().1.to_owned();
    guest.post::<AuthFunction>("/auth/visit-sessions", json!({"token": token})).await;
    post(&guest, "/scheduling/guest-visit/arrive", json!({})).await;
    assert_eq!(report(&guest, "no-sound").await.refusal(), (409, "not-admitted"));
    let of_guest = |verb: &str| format!("/scheduling/guests/{}/{verb}", invited.text("/guest/id"));
    post(&doctor, &of_guest("admit"), json!({})).await;
    assert_eq!(report(&guest, "phone-instead").await.refusal(), (422, "invalid-input"));
    assert_eq!(report(&guest, "no-sound").await.status, 201);
    post(&doctor, &of_guest("remove"), json!({})).await;
    assert_eq!(report(&guest, "no-sound").await.refusal(), (410, "link-withdrawn"));
    let rows = world.query("SELECT person FROM call_report", params![]).await;
    let persons: Vec<_> = rows.iter().map(|row| row.text(0).unwrap()).collect();
    assert_eq!(persons, [invited.text("/guest/id")]);
}

#[tokio::test]
async fn reports_are_bounded() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let (patient, doctor) = (world.client("demo"), world.client("demo"));
    patient.begin_visit(&visit).await;
    doctor.sign_in_as(Role::Doctor).await;
    post(&patient, "/scheduling/visit/arrive", json!({})).await;
    change(&doctor, &visit, "admit", json!({})).await;
    for _ in 0..100 {
        assert_eq!(report(&patient, "no-sound").await.status, 201);
    }
    assert_eq!(report(&patient, "no-sound").await.refusal(), (429, "too-many-reports"));
}
