//! Searching the audit events, and taking them along.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use audit::AuditFunction;
use auth::AuthFunction;
use jiff::SignedDuration;
use kit::policy::Role;
use kit::testing::{Booked, Client, Seeded, World};
use records::RecordsFunction;
use serde_json::{Value as Json, json};

struct Clinic {
    world: World,
    seeded: Seeded,
    visit: Booked,
}

impl Clinic {
    async fn new() -> Self {
        let world = World::new().await;
        let seeded = world.seed("demo", "Europe/Berlin").await;
        let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
        Self { world, seeded, visit }
    }

    async fn doctor(&self) -> Client<'_> {
        let doctor = self.world.client("demo");
        doctor.begin_session(self.seeded.doctor).await;
        doctor
    }

    async fn read_note(&self, client: &Client<'_>) -> u16 {
        let path = format!("/records/encounters/{}", self.visit.encounter);
        client.get::<RecordsFunction>(&path).await.status
    }

    async fn auditor(&self) -> Client<'_> {
        let auditor = self.world.client("demo");
        auditor.sign_in_as(Role::Auditor).await;
        auditor
    }
}

async fn codes(client: &Client<'_>, query: &str) -> Vec<String> {
    let answer = client.get::<AuditFunction>(&format!("/audit/events?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    let events = answer.body["events"].as_array().unwrap();
    events.iter().map(|event| event["code"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_event_says_who_whose_why_and_by_which_session() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    assert_eq!(clinic.read_note(&doctor).await, 200);
    let auditor = clinic.auditor().await;
    let answer = auditor.get::<AuditFunction>("/audit/events").await;
    let event = &answer.body["events"][0];
    assert_eq!(event["code"], "note-read");
    assert_eq!(
        (&event["agent"]["name"], &event["patient"]["name"]),
        (&json!("Somebody"), &json!("Paula Patient"))
    );
    assert_eq!((&event["purpose"], &event["outcome"]), (&json!("TREAT"), &json!(200)));
    assert_eq!(event["token"].as_str().map(str::len), Some(16));
    assert_eq!(answer.body["sources"], json!([{"node": "edge-1", "state": "answered"}]));
    // Reading it was recorded too, with whose record it was about.
    let patient = event["patient"]["id"].as_str().unwrap();
    codes(&auditor, &format!("patient={patient}")).await;
    let events = clinic.world.audit_events();
    let last = events.last().unwrap();
    assert_eq!((&last["code"], &last["patient"]), (&json!("audit-read"), &json!(patient)));
}

#[tokio::test]
async fn events_are_found_by_user_patient_date_action_and_outcome_and_ordered() {
    let clinic = Clinic::new().await;
    let (doctor, auditor) = (clinic.doctor().await, clinic.auditor().await);
    clinic.read_note(&doctor).await;
    clinic.world.advance(SignedDuration::from_mins(20));
    let wrong = json!({"username": "nobody", "password": "nothing at all"});
    doctor.post::<AuthFunction>("/auth/sessions", wrong).await;
    assert_eq!(codes(&auditor, "outcome=failure").await, ["sign-in-failed"]);
    assert_eq!(codes(&auditor, &format!("user={}", clinic.seeded.doctor)).await, ["note-read"]);
    assert_eq!(codes(&auditor, "until=2026-03-02T07:10:00Z").await, ["note-read"]);
    assert_eq!(codes(&auditor, "from=2026-03-02T07:10:00Z&action=E").await, ["sign-in-failed"]);
    assert_eq!(codes(&auditor, "action=E&order=asc").await, ["sign-in-failed"]);
    let sorted = codes(&auditor, "sort=action&order=asc").await;
    assert!(sorted.is_sorted() && sorted.len() > 5, "{sorted:?}");
    let page = auditor.get::<AuditFunction>("/audit/events?limit=2&sort=action&order=asc").await;
    let next = page.text("/next");
    let second = codes(&auditor, &format!("limit=2&sort=action&order=asc&after={next}")).await;
    assert_eq!(second, sorted[2..4]);
    for wrong in
        ["sort=name", "limit=0", "limit=201", "after=x!", "from=yesterday", "action=X", "user=a%20b", "x=1"]
    {
        let refused = auditor.get::<AuditFunction>(&format!("/audit/events?{wrong}")).await;
        assert_eq!(refused.status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn what_leaves_as_a_file_is_whole_readable_and_recorded() {
    let clinic = Clinic::new().await;
    let (doctor, auditor) = (clinic.doctor().await, clinic.auditor().await);
    clinic.read_note(&doctor).await;
    let export = async |format: &str| {
        let answer =
            auditor.get::<AuditFunction>(&format!("/audit/export?format={format}&code=note-read")).await;
        assert_eq!(answer.status, 200);
        (answer.headers["content-type"].to_str().unwrap().to_owned(), answer.bytes)
    };
    let (kind, csv) = export("csv").await;
    let text = String::from_utf8(csv).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((kind.as_str(), lines.len()), ("text/csv; charset=utf-8", 2));
    assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    assert!(!text.contains("Paula"), "no patient's name leaves");
    let (_, ndjson) = export("ndjson").await;
    let line: Json = serde_json::from_slice(&ndjson).unwrap();
    assert_eq!(line["code"], "note-read");
    let (kind, pdf) = export("pdf").await;
    assert!(kind == "application/pdf" && pdf.starts_with(b"%PDF-") && pdf.ends_with(b"%%EOF"));
    let (kind, fhir) = export("fhir").await;
    let bundle: Json = serde_json::from_slice(&fhir).unwrap();
    let event = &bundle["entry"][0]["resource"];
    assert_eq!((kind.as_str(), &event["resourceType"]), ("application/fhir+json", &json!("AuditEvent")));
    let profile = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead";
    assert_eq!(event["meta"]["profile"][0], profile);
    let patient = &event["entity"][0];
    assert!(patient["what"]["reference"].as_str().unwrap().starts_with("Patient/"));
    assert_eq!((&patient["type"]["code"], &patient["role"]["code"]), (&json!("1"), &json!("1")));
    let trail = clinic.world.audit_trail();
    assert_eq!(trail.iter().filter(|line| *line == "staff audit-exported").count(), 3);
    assert_eq!(trail.iter().filter(|line| *line == "staff audit-printed").count(), 1);
}

#[tokio::test]
async fn a_patient_sees_who_saw_their_record_and_nobody_elses() {
    let clinic = Clinic::new().await;
    let other = clinic.world.seed_visit(&clinic.seeded, "2026-03-03T08:00:00Z").await;
    let doctor = clinic.doctor().await;
    clinic.read_note(&doctor).await;
    clinic.read_note(&doctor).await;
    let patient = clinic.world.client("demo");
    patient.begin_visit(&clinic.visit).await;
    let answer = patient.get::<AuditFunction>("/audit/record-access").await;
    let accesses = answer.body["accesses"].as_array().unwrap();
    assert_eq!(accesses.len(), 1, "{}", answer.body);
    assert_eq!((&accesses[0]["by"], &accesses[0]["times"]), (&json!("staff"), &json!(2)));
    assert_eq!((&accesses[0]["name"], &accesses[0]["roles"]), (&json!("Somebody"), &json!(["doctor"])));
    let stranger = clinic.world.client("demo");
    stranger.begin_visit(&other).await;
    let answer = stranger.get::<AuditFunction>("/audit/record-access").await;
    assert_eq!(answer.body["accesses"], json!([]));
}
