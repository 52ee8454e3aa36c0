//! A visit on hold, and one that another practitioner takes over.

mod support;

use jiff::SignedDuration;
use kit::params;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client};
use scheduling::SchedulingFunction;
use serde_json::{Value, json};
use support::{Clinic, clinic, join};

async fn patient<'c>(clinic: &'c Clinic, start: &str) -> (Client<'c>, Booked) {
    let visit = clinic.world.seed_visit(&clinic.seeded, start).await;
    let client = clinic.world.client("demo");
    client.begin_visit(&visit).await;
    (client, visit)
}

async fn staff(clinic: &Clinic, role: Role) -> Client<'_> {
    let client = clinic.world.client("demo");
    client.sign_in_as(role).await;
    client
}

/// Somebody who was let in.
async fn in_call<'c>(clinic: &'c Clinic, doctor: &Client<'_>) -> (Client<'c>, Booked) {
    let (client, booked) = patient(clinic, "2026-03-02T08:00:00Z").await;
    arrive(&client).await;
    assert_eq!(change(doctor, &booked, "admit", json!({})).await.status, 200);
    (client, booked)
}

async fn another_practitioner(clinic: &Clinic) -> String {
    let id = "00000000-0000-7000-8000-0000000000f2";
    let sql = "INSERT INTO practitioner (clinic, id, user, name)
               SELECT clinic, ?, user, 'Dr Green' FROM practitioner WHERE clinic = 'demo' LIMIT 1";
    clinic.world.run(sql, params![id]).await;
    id.to_owned()
}

async fn arrive(patient: &Client<'_>) {
    patient.post::<SchedulingFunction>("/scheduling/visit/arrive", json!({})).await;
}

async fn change(client: &Client<'_>, visit: &Booked, verb: &str, body: Value) -> Answer {
    let path = format!("/scheduling/appointments/{}/{verb}", visit.appointment);
    client.post::<SchedulingFunction>(&path, body).await
}

async fn visit(client: &Client<'_>) -> Value {
    client.get::<SchedulingFunction>("/scheduling/visit").await.body
}

#[tokio::test]
async fn on_hold_the_patient_is_out_of_the_call_and_comes_back_into_it() {
    let clinic = clinic().await;
    let doctor = staff(&clinic, Role::Doctor).await;
    let (patient, booked) = in_call(&clinic, &doctor).await;
    let before = join(&patient, json!({})).await.body;
    let own = json!({"appointment": booked.appointment});
    assert_eq!(join(&doctor, own.clone()).await.status, 201);

    let held = change(&doctor, &booked, "hold", json!({})).await;
    assert_eq!(held.status, 200);
    assert_eq!(held.body["appointment"]["heldAt"], clinic.world.now().to_string());
    let shown = visit(&patient).await;
    assert_eq!(
        (&shown["admitted"], &shown["onHold"], &shown["waiting"]),
        (&json!(false), &json!(true), &json!(null))
    );
    assert_eq!(shown["people"], json!([]));
    assert_eq!(join(&patient, json!({})).await.refusal(), (409, "not-admitted"));
    let refused = format!(
        "SELECT count(*) FROM revocation WHERE participant = '{}'",
        before["participant"].as_str().unwrap()
    );
    assert_eq!(clinic.world.count(&refused).await, 1, "the token they have is refused");
    assert_eq!(clinic.world.count("SELECT count(*) FROM revocation").await, 1, "and nobody else's");
    assert_eq!(join(&doctor, own).await.status, 201, "the clinician may stay");
    assert_eq!(change(&doctor, &booked, "hold", json!({})).await.status, 200, "what is on hold stays so");

    assert_eq!(change(&doctor, &booked, "admit", json!({})).await.status, 200);
    let shown = visit(&patient).await;
    assert_eq!((&shown["admitted"], &shown["onHold"]), (&json!(true), &json!(false)));
    let again = join(&patient, json!({})).await;
    assert_eq!(again.body["room"], before["room"], "the same call");
    assert_ne!(again.body["participant"], before["participant"], "under a name that is not refused");
    assert_eq!(change(&doctor, &booked, "end", json!({})).await.status, 200);
    assert_eq!(change(&doctor, &booked, "hold", json!({})).await.refusal(), (410, "visit-over"));
}

#[tokio::test]
async fn only_who_was_let_in_is_put_on_hold() {
    let clinic = clinic().await;
    let doctor = staff(&clinic, Role::Doctor).await;
    let (patient, booked) = patient(&clinic, "2026-03-02T08:00:00Z").await;
    assert_eq!(change(&doctor, &booked, "hold", json!({})).await.refusal(), (409, "not-admitted"));
    arrive(&patient).await;
    assert_eq!(change(&doctor, &booked, "hold", json!({})).await.refusal(), (409, "not-admitted"));
}

#[tokio::test]
async fn who_waits_keeps_the_place_with_another_practitioner() {
    let clinic = clinic().await;
    let desk = staff(&clinic, Role::FrontDesk).await;
    let other = another_practitioner(&clinic).await;
    let (patient, booked) = patient(&clinic, "2026-03-02T08:00:00Z").await;
    arrive(&patient).await;
    clinic.world.advance(SignedDuration::from_mins(5));
    let messages = clinic.world.count("SELECT count(*) FROM outbox_message").await;

    let to = change(&desk, &booked, "transfer", json!({"practitioner": other})).await;
    assert_eq!(to.body["appointment"]["practitioner"]["name"], "Dr Green");
    assert_eq!(to.body["appointment"]["heldAt"], json!(null));
    let shown = visit(&patient).await;
    assert_eq!(
        (&shown["practitioner"]["name"], &shown["waiting"]["position"]),
        (&json!("Dr Green"), &json!(1))
    );
    assert_eq!(
        clinic.world.count("SELECT count(*) FROM outbox_message").await,
        messages,
        "their page says it"
    );
    assert_eq!(change(&desk, &booked, "transfer", json!({"practitioner": other})).await.status, 200);
    assert_eq!(clinic.world.count("SELECT sequence FROM appointment").await, 1, "theirs already");
}

#[tokio::test]
async fn a_call_that_is_taken_over_is_left_by_everybody_first() {
    let clinic = clinic().await;
    let doctor = staff(&clinic, Role::Doctor).await;
    let other = another_practitioner(&clinic).await;
    let (patient, booked) = in_call(&clinic, &doctor).await;
    join(&patient, json!({})).await;
    join(&doctor, json!({"appointment": booked.appointment})).await;
    let generation = "SELECT membership FROM room";
    let before = clinic.world.count(generation).await;

    assert_eq!(change(&doctor, &booked, "transfer", json!({"practitioner": other})).await.status, 200);
    assert_eq!(clinic.world.count("SELECT count(*) FROM room_participant").await, 0);
    assert_eq!(clinic.world.count("SELECT count(*) FROM revocation WHERE participant <> ''").await, 2);
    assert!(clinic.world.count(generation).await > before, "keys change");
    assert_eq!(visit(&patient).await["onHold"], true);
}

#[tokio::test]
async fn a_visit_goes_to_nobody_who_is_busy_or_unknown() {
    let clinic = clinic().await;
    let nurse = staff(&clinic, Role::Nurse).await;
    let other = another_practitioner(&clinic).await;
    let (_, first) = patient(&clinic, "2026-03-02T08:00:00Z").await;
    let (_, second) = patient(&clinic, "2026-03-02T08:30:00Z").await;
    let messages = clinic.world.count("SELECT count(*) FROM outbox_message").await;
    let transfer =
        async |visit: &Booked, to: &str| change(&nurse, visit, "transfer", json!({"practitioner": to})).await;
    assert_eq!(transfer(&first, &other).await.status, 200);
    assert_eq!(
        clinic.world.count("SELECT count(*) FROM outbox_message").await,
        messages + 1,
        "who has not come is told"
    );
    assert_eq!(transfer(&second, &other).await.status, 200, "one after the other is no conflict");

    let (_, third) = patient(&clinic, "2026-03-02T08:00:00Z").await;
    assert_eq!(transfer(&third, &other).await.refusal(), (409, "practitioner-busy"));
    let nobody = "00000000-0000-7000-8000-000000000000";
    assert_eq!(transfer(&third, nobody).await.refusal(), (422, "invalid-input"));
    assert_eq!(change(&nurse, &third, "transfer", json!({})).await.status, 422);
    let billing = staff(&clinic, Role::Billing).await;
    let refused = change(&billing, &third, "transfer", json!({"practitioner": other})).await;
    assert_eq!(refused.refusal(), (403, "role-not-allowed"));
}
