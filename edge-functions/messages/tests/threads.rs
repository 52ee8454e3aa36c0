//! What patients and the clinic write to each other, and who is to be seen again.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use jiff::SignedDuration;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Seeded, World};
use messages::MessagesFunction;
use serde_json::{Value as Json, json};

/// Health data that must not go out.
const CANARY: &str = "canary of a clinical text";

struct Clinic {
    world: World,
    seeded: Seeded,
    visit: Booked,
}

impl Clinic {
    async fn open() -> Self {
        let world = World::new().await;
        world.set("host_key", "host-key");
        let seeded = world.seed("demo", "Europe/Berlin").await;
        let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
        Self { world, seeded, visit }
    }

    fn thread(&self) -> String {
        format!("/messages/appointments/{}/thread", self.visit.appointment)
    }

    async fn run(&self) {
        let node = [("locum-node", "edge-1"), ("locum-host-key", "host-key")];
        let client = self.world.client("demo");
        let path = "/messages/recalls/run";
        let ran = client.send::<MessagesFunction>(Method::POST, path, Some(json!({})), &node).await;
        assert_eq!((ran.status, &ran.body["more"]), (200, &json!(false)), "{}", ran.body);
    }

    /// All that is to go out.
    async fn outbox(&self) -> Vec<String> {
        let sql = "SELECT recipient || ' ' || subject || ' ' || body || ' ' || link FROM outbox_message
                   ORDER BY created_at, id";
        let rows = self.world.query(sql, vec![]).await;
        rows.iter().map(|row| row.text(0).unwrap()).collect()
    }

    async fn plan(&self, due: &str, months: Json) -> Answer {
        let doctor = self.world.client("demo");
        doctor.begin_session(self.seeded.doctor).await;
        let body = json!({"appointment": self.visit.appointment.to_string(), "reason": CANARY, "dueOn": due,
                          "intervalMonths": months});
        doctor.post::<MessagesFunction>("/messages/recalls", body).await
    }
}

#[tokio::test]
async fn both_sides_read_and_write_and_outside_goes_a_link() {
    let clinic = Clinic::open().await;
    let doctor = clinic.world.client("demo");
    doctor.begin_session(clinic.seeded.doctor).await;
    let empty = doctor.get::<MessagesFunction>(&clinic.thread()).await;
    assert_eq!((empty.status, &empty.body["messages"]), (200, &json!([])));
    for _ in 0..2 {
        let sent = doctor.post::<MessagesFunction>(&clinic.thread(), json!({"text": CANARY})).await;
        assert_eq!(sent.status, 200, "{}", sent.body);
        clinic.world.advance(SignedDuration::from_secs(1));
    }
    let outbox = clinic.outbox().await;
    assert_eq!(outbox.len(), 1, "one is enough to say that there is something");
    assert!(
        outbox[0].contains("https://app.locum.test/c/demo/account/messages") && !outbox[0].contains(CANARY)
    );

    let patient = clinic.world.client("demo");
    patient.begin_account(None).await;
    let read = patient.get::<MessagesFunction>("/messages/own-thread").await;
    assert_eq!(
        (read.text("/messages/0/text"), read.text("/messages/0/author")),
        (CANARY.into(), "Somebody".into())
    );
    let answer = patient.post::<MessagesFunction>("/messages/own-thread", json!({"text": "I see"})).await;
    assert_eq!(answer.body["messages"][2]["author"], Json::Null);
    let list = doctor.get::<MessagesFunction>("/messages/threads").await;
    assert_eq!(
        (list.text("/threads/0/patient"), &list.body["threads"][0]["waits"]),
        ("Paula Patient".into(), &json!(true))
    );
    assert!(!list.body.to_string().contains(CANARY));
    let trail = clinic.world.audit_trail();
    for event in ["staff thread-written", "patient own-thread-read", "staff threads-read"] {
        assert!(trail.contains(&event.to_owned()), "{event}: {trail:?}");
    }
}

#[tokio::test]
async fn a_conversation_is_its_patients_and_of_clinicians_who_may() {
    let clinic = Clinic::open().await;
    let nurse = clinic.world.client("demo");
    nurse.sign_in_as(Role::Nurse).await;
    nurse.post::<MessagesFunction>(&clinic.thread(), json!({"text": CANARY})).await;
    let carer = clinic.world.client("demo");
    carer.begin_account(Some(clinic.world.seed_proxy("demo").await)).await;
    assert_eq!(carer.get::<MessagesFunction>("/messages/own-thread").await.status, 403);
    let desk = clinic.world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    assert_eq!(desk.get::<MessagesFunction>(&clinic.thread()).await.status, 403);
    // Where clinicians open their own patients' only, another's conversation is closed too.
    let sql = "INSERT INTO oversight (clinic, record_access, emergency_minutes, day_begins, day_ends, mass_patients,
                 sample_one_in, changed_at) VALUES ('demo', 'assigned', 60, '06:00', '22:00', 30, 0, 0)";
    clinic.world.run(sql, vec![]).await;
    let other = clinic.world.client("demo");
    other.sign_in_as(Role::Doctor).await;
    assert_eq!(other.get::<MessagesFunction>(&clinic.thread()).await.refusal(), (403, "not-assigned"));
    let wrote = other.post::<MessagesFunction>(&clinic.thread(), json!({"text": "x"})).await;
    assert_eq!(wrote.refusal(), (403, "not-assigned"));
    for text in ["", " ", "\u{0}"] {
        let wrong = nurse.post::<MessagesFunction>(&clinic.thread(), json!({"text": text})).await;
        assert_eq!(wrong.status, 422, "{text:?}");
    }
}

#[tokio::test]
async fn a_patient_writes_so_much_an_hour() {
    let clinic = Clinic::open().await;
    let patient = clinic.world.client("demo");
    patient.begin_account(None).await;
    let write =
        async || patient.post::<MessagesFunction>("/messages/own-thread", json!({"text": "a"})).await.status;
    for _ in 0..30 {
        assert_eq!(write().await, 200);
    }
    assert_eq!(write().await, 429);
    clinic.world.advance(SignedDuration::from_hours(1));
    patient.begin_account(None).await;
    assert_eq!(write().await, 200);
}

#[tokio::test]
async fn who_is_due_is_written_to_three_times_and_leaves_the_list_by_booking() {
    let clinic = Clinic::open().await;
    assert_eq!(clinic.plan("2026-04-01", json!(6)).await.status, 201);
    clinic.run().await;
    assert!(clinic.outbox().await.is_empty(), "it is four weeks away");
    let mut sent = Vec::new();
    for day in 0..90 {
        clinic.world.advance(SignedDuration::from_hours(24));
        clinic.run().await;
        clinic.run().await;
        if clinic.outbox().await.len() > sent.len() {
            sent.push(day);
        }
    }
    assert_eq!(sent, [15, 29, 43], "two weeks before, and every two weeks");
    assert!(clinic.outbox().await.iter().all(|text| !text.contains(CANARY) && text.contains("/c/demo")));
    assert_eq!(clinic.world.count("SELECT count(*) FROM recall_attempt").await, 3);

    let desk = clinic.world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let listed = async || desk.get::<MessagesFunction>("/messages/recalls").await.body["recalls"].clone();
    assert_eq!(listed().await.as_array().map(Vec::len), Some(1));
    clinic.world.seed_visit(&clinic.seeded, "2026-06-10T08:00:00Z").await;
    assert_eq!(listed().await, json!([]), "somebody would call who has just booked");
    clinic.run().await;
    let sql = "SELECT status, due_on FROM recall ORDER BY created_at, id";
    let rows = clinic.world.query(sql, vec![]).await;
    let told: Vec<_> = rows.iter().map(|row| (row.text(0).unwrap(), row.text(1).unwrap())).collect();
    let wanted = [("booked", "2026-04-01"), ("open", "2026-12-10")];
    assert_eq!(told, wanted.map(|(status, due)| (status.to_owned(), due.to_owned())));
}

#[tokio::test]
async fn the_list_shows_reasons_to_who_treats_and_people_write_or_close() {
    let clinic = Clinic::open().await;
    let planned = clinic.plan("2026-03-10", Json::Null).await;
    assert_eq!(planned.status, 201, "{}", planned.body);
    let desk = clinic.world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let list = desk.get::<MessagesFunction>("/messages/recalls").await;
    assert_eq!(list.text("/recalls/0/patient"), "Paula Patient");
    assert!(!list.body.to_string().contains(CANARY));
    let nurse = clinic.world.client("demo");
    nurse.sign_in_as(Role::Nurse).await;
    assert_eq!(nurse.get::<MessagesFunction>("/messages/recalls").await.text("/recalls/0/reason"), CANARY);
    let path = |what: &str| format!("/messages/recalls/{}/{what}", planned.text("/id"));
    assert_eq!(desk.post::<MessagesFunction>(&path("contact"), json!({})).await.status, 204);
    assert_eq!(clinic.outbox().await.len(), 1);
    clinic.run().await;
    assert_eq!(clinic.outbox().await.len(), 1, "they have just been written to");
    assert_eq!(desk.post::<MessagesFunction>(&path("close"), json!({})).await.status, 204);
    assert_eq!(desk.post::<MessagesFunction>(&path("close"), json!({})).await.status, 404);
    assert_eq!(desk.get::<MessagesFunction>("/messages/recalls").await.body["recalls"], json!([]));
    for (due, months) in
        [("2026-03-01", json!(1)), ("2046-01-01", json!(1)), ("2026-03-10", json!(0)), ("x", json!(1))]
    {
        assert_eq!(clinic.plan(due, months).await.status, 422, "{due}");
    }
}
