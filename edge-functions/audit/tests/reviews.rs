//! What is unusual is found, looked at once, and not by whoever did it; records that are not one's own open with a reason.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use audit::AuditFunction;
use http::Method;
use jiff::SignedDuration;
use kit::params;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client, Seeded, World};
use records::RecordsFunction;
use serde_json::{Value as Json, json};

struct Clinic {
    world: World,
    seeded: Seeded,
    visit: Booked,
}

fn settings(record_access: &str) -> Json {
    json!({
        "recordAccess": record_access, "emergencyMinutes": 30, "dayBegins": "06:00", "dayEnds": "22:00",
        "massPatients": 2, "sampleOneIn": 0, "alertEmail": "privacy@example.org",
    })
}

impl Clinic {
    async fn new(record_access: &str) -> Self {
        let world = World::new().await;
        let seeded = world.seed("demo", "Europe/Berlin").await;
        let visit = world.seed_visit(&seeded, "2026-03-05T08:00:00Z").await;
        let clinic = Self { world, seeded, visit };
        let administrator = clinic.somebody(Role::ClinicAdmin).await;
        let body = Some(settings(record_access));
        let set = administrator.send::<AuditFunction>(Method::PUT, "/audit/oversight", body, &[]).await;
        assert_eq!(set.status, 200, "{}", set.body);
        clinic
    }

    async fn somebody(&self, role: Role) -> Client<'_> {
        let client = self.world.client("demo");
        client.sign_in_as(role).await;
        client
    }

    async fn open(&self, client: &Client<'_>, visit: &Booked) -> Answer {
        client.get::<RecordsFunction>(&format!("/records/encounters/{}", visit.encounter)).await
    }

    async fn items(&self, client: &Client<'_>, query: &str) -> Vec<Json> {
        let answer = client.get::<AuditFunction>(&format!("/audit/reviews?{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["items"].as_array().unwrap().clone()
    }

    async fn rules(&self, client: &Client<'_>) -> Vec<String> {
        let items = self.items(client, "days=1").await;
        items.iter().map(|item| item["rule"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn somebody_elses_record_opens_with_a_reason_for_some_time_and_is_reviewed() {
    let clinic = Clinic::new("assigned").await;
    let own = clinic.world.client("demo");
    own.begin_session(clinic.seeded.doctor).await;
    assert_eq!(clinic.open(&own, &clinic.visit).await.status, 200, "one's own patient");
    let stranger = clinic.somebody(Role::Doctor).await;
    assert_eq!(clinic.open(&stranger, &clinic.visit).await.refusal(), (403, "not-assigned"));
    let call = format!("/records/encounters/{}/call", clinic.visit.encounter);
    assert_eq!(stranger.get::<RecordsFunction>(&call).await.refusal(), (403, "not-assigned"));

    let ask = format!("/records/encounters/{}/emergency-access", clinic.visit.encounter);
    let short = stranger.post::<RecordsFunction>(&ask, json!({"reason": "please"})).await;
    assert_eq!(short.status, 422);
    let reason = "The patient is on the phone and their doctor is not";
    let granted = stranger.post::<RecordsFunction>(&ask, json!({"reason": reason})).await;
    assert_eq!(granted.status, 201, "{}", granted.body);
    assert_eq!(granted.text("/expiresAt"), "2026-03-02T07:30:00Z");
    assert_eq!(clinic.open(&stranger, &clinic.visit).await.status, 200);
    let events = clinic.world.audit_events();
    assert_eq!(events.last().unwrap()["purpose"], "BTG");
    // Whoever opened it once is nobody else's way in.
    let third = clinic.somebody(Role::Doctor).await;
    assert_eq!(clinic.open(&third, &clinic.visit).await.refusal(), (403, "not-assigned"));

    let sql = "SELECT subject || body || link FROM outbox_message WHERE clinic = ? AND recipient = ?";
    let mail = clinic.world.query(sql, params!["demo", "privacy@example.org"]).await;
    let text = mail[0].text(0).unwrap();
    assert!(mail.len() == 1 && text.ends_with("/clinic/demo/reviews"), "{text}");
    assert!(!text.contains("Paula") && !text.contains("phone"), "{text}");

    let auditor = clinic.somebody(Role::Auditor).await;
    let items = clinic.items(&auditor, "").await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!((&items[0]["rule"], &items[0]["reason"]), (&json!("break-glass"), &json!(reason)));

    clinic.world.advance(SignedDuration::from_mins(31));
    stranger.sign_in_as(Role::Doctor).await;
    assert_eq!(clinic.open(&stranger, &clinic.visit).await.refusal(), (403, "not-assigned"));
}

#[tokio::test]
async fn an_emergency_is_over_when_its_time_is_over() {
    let clinic = Clinic::new("assigned").await;
    let doctor = clinic.world.client("demo");
    let user = doctor.sign_in_as(Role::Doctor).await;
    let ask = format!("/records/encounters/{}/emergency-access", clinic.visit.encounter);
    doctor.post::<RecordsFunction>(&ask, json!({"reason": "a good reason"})).await;
    clinic.world.advance(SignedDuration::from_mins(29));
    doctor.begin_session(user).await;
    assert_eq!(clinic.open(&doctor, &clinic.visit).await.status, 200);
    clinic.world.advance(SignedDuration::from_mins(1));
    assert_eq!(clinic.open(&doctor, &clinic.visit).await.refusal(), (403, "not-assigned"));
}

#[tokio::test]
async fn nurses_open_what_is_of_the_day_and_a_clinic_may_leave_it_open() {
    let clinic = Clinic::new("assigned").await;
    let nurse = clinic.somebody(Role::Nurse).await;
    assert_eq!(clinic.open(&nurse, &clinic.visit).await.refusal(), (403, "not-assigned"), "in three days");
    let today = clinic.world.seed_visit(&clinic.seeded, "2026-03-02T09:00:00Z").await;
    assert_eq!(clinic.open(&nurse, &today).await.status, 200);
    let open = Clinic::new("clinic").await;
    let doctor = open.somebody(Role::Doctor).await;
    assert_eq!(open.open(&doctor, &open.visit).await.status, 200);
}

#[tokio::test]
async fn each_rule_finds_its_access() {
    let clinic = Clinic::new("clinic").await;
    let auditor = clinic.somebody(Role::Auditor).await;
    let doctor = clinic.world.client("demo");
    let user = doctor.sign_in_as(Role::Doctor).await;
    let colleague = clinic.world.client("demo").sign_in_as(Role::Nurse).await;
    let call = async |who, name: &str| {
        let sql = "UPDATE staff_user SET name = ? WHERE clinic = 'demo' AND id = ?";
        clinic.world.run(sql, params![name, who]).await;
    };
    let patients = "UPDATE patient SET name = ? WHERE clinic = 'demo'";
    call(user, "Dr. Rosa Roe").await;
    clinic.open(&doctor, &clinic.visit).await;
    assert!(clinic.rules(&auditor).await.is_empty(), "an ordinary access");
    clinic.world.run(patients, params!["Rosa Roe"]).await;
    assert_eq!(clinic.rules(&auditor).await, ["own-record"]);
    clinic.world.run(patients, params!["Richard Roe"]).await;
    assert_eq!(clinic.rules(&auditor).await, ["same-surname"]);
    call(colleague, "Richard Roe").await;
    assert_eq!(clinic.rules(&auditor).await, ["colleague"]);
    clinic.world.run(patients, params!["Paula Patient"]).await;
    clinic.world.set_now("2026-03-02T21:00:00Z");
    doctor.begin_session(user).await;
    auditor.sign_in_as(Role::Auditor).await;
    clinic.open(&doctor, &clinic.visit).await;
    assert_eq!(clinic.rules(&auditor).await, ["after-hours"], "22:00 in Berlin");
}

#[tokio::test]
async fn a_visit_that_began_without_consent_is_told_each_time_with_its_reason() {
    let clinic = Clinic::new("clinic").await;
    let auditor = clinic.somebody(Role::Auditor).await;
    let doctor = clinic.somebody(Role::Doctor).await;
    let path = format!("/records/encounters/{}/consent-override", clinic.visit.encounter);
    let reason = "Unconscious, nobody to ask";
    for _ in 0..2 {
        let begun = doctor.post::<RecordsFunction>(&path, json!({"reason": reason})).await;
        assert_eq!(begun.status, 201, "{}", begun.body);
    }
    let items = clinic.items(&auditor, "").await;
    assert_eq!(items.len(), 2, "{items:?}");
    assert_eq!((&items[0]["rule"], &items[0]["reason"]), (&json!("no-consent"), &json!(reason)));
    let signed = json!({"item": items[0]["id"], "result": "justified"});
    assert_eq!(auditor.post::<AuditFunction>("/audit/reviews", signed).await.status, 201);
}

#[tokio::test]
async fn many_patients_within_an_hour_are_one_thing_to_look_at() {
    let clinic = Clinic::new("clinic").await;
    let (auditor, doctor) = (clinic.somebody(Role::Auditor).await, clinic.somebody(Role::Doctor).await);
    for day in [6, 7] {
        let visit = clinic.world.seed_visit(&clinic.seeded, &format!("2026-03-0{day}T08:00:00Z")).await;
        clinic.open(&doctor, &visit).await;
        clinic.open(&doctor, &visit).await;
    }
    assert!(clinic.rules(&auditor).await.is_empty(), "two patients are allowed");
    clinic.open(&doctor, &clinic.visit).await;
    let items = clinic.items(&auditor, "").await;
    assert_eq!(
        (items.len(), &items[0]["rule"], &items[0]["patients"]),
        (1, &json!("mass-reading"), &json!(3))
    );
}

#[tokio::test]
async fn what_was_reviewed_is_signed_once_and_not_by_whoever_did_it() {
    let clinic = Clinic::new("clinic").await;
    let auditor = clinic.somebody(Role::Auditor).await;
    auditor.get::<AuditFunction>("/audit/export?format=csv").await;
    let item = clinic.items(&auditor, "").await[0].clone();
    assert_eq!(item["rule"], "export");
    let signed = json!({"item": item["id"], "result": "justified"});
    let own = auditor.post::<AuditFunction>("/audit/reviews", signed.clone()).await;
    assert_eq!(own.refusal(), (403, "own-access"));
    let administrator = clinic.somebody(Role::ClinicAdmin).await;
    assert_eq!(administrator.post::<AuditFunction>("/audit/reviews", signed.clone()).await.status, 201);
    let again = administrator.post::<AuditFunction>("/audit/reviews", signed).await;
    assert_eq!(again.refusal(), (409, "reviewed-already"));
    for wrong in ["export/request-999", "export", "other/request-1", ""] {
        let wrong = json!({"item": wrong, "result": "justified"});
        assert_eq!(administrator.post::<AuditFunction>("/audit/reviews", wrong).await.status, 422);
    }
    assert!(clinic.items(&auditor, "").await.is_empty());
    let all = clinic.items(&auditor, "state=all").await;
    assert_eq!(all[0]["review"]["result"], "justified");
    let events = clinic.world.audit_events();
    let signing = events.iter().find(|event| event["code"] == "review-signed").unwrap();
    assert_eq!((&signing["entity"]["id"], &signing["new"]), (&item["id"], &json!("justified")));
}
