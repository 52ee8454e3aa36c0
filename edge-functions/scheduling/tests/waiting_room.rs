//! From the link to the end of a visit, as patient and staff see it.

use jiff::SignedDuration;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client, Seeded, World};
use scheduling::SchedulingFunction;
use serde_json::json;

struct Clinic {
    world: World,
    seeded: Seeded,
}

async fn clinic() -> Clinic {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    Clinic { world, seeded }
}

impl Clinic {
    async fn patient(&self, start: &str) -> (Client<'_>, Booked) {
        let visit = self.world.seed_visit(&self.seeded, start).await;
        let client = self.world.client("demo");
        client.begin_visit(&visit).await;
        (client, visit)
    }

    async fn staff(&self, role: Role) -> Client<'_> {
        let client = self.world.client("demo");
        client.sign_in_as(role).await;
        client
    }
}

async fn visit(client: &Client<'_>) -> Answer {
    client.get::<SchedulingFunction>("/scheduling/visit").await
}

async fn arrive(client: &Client<'_>) -> Answer {
    client.post::<SchedulingFunction>("/scheduling/visit/arrive", json!({})).await
}

async fn change(client: &Client<'_>, visit: &Booked, verb: &str) -> Answer {
    let path = format!("/scheduling/appointments/{}/{verb}", visit.appointment);
    client.post::<SchedulingFunction>(&path, json!({})).await
}

#[tokio::test]
async fn nobody_enters_before_the_questions_that_the_clinic_must_have_answered() {
    let clinic = clinic().await;
    let (patient, booked) = clinic.patient("2026-03-02T08:00:00Z").await;
    let content = json!({"resourceType": "Questionnaire", "status": "active",
                         "item": [{"linkId": "a", "type": "string", "text": "Why?"}]});
    let ask = async |context: &kit::context::Context<'_>| {
        kit::questionnaire::create(context, "intake", (None, true), &content).await
    };
    clinic.world.as_nobody("demo", ask).await.unwrap();
    assert_eq!(arrive(&patient).await.refusal(), (409, "intake-required"));
    let sql = "INSERT INTO questionnaire_response
                 (clinic, id, appointment, questionnaire, status, version, resource, authored_at)
               SELECT 'demo', 'r', ?, id, 'in-progress', 'v', '{}', 0 FROM questionnaire";
    clinic.world.run(sql, kit::params![booked.appointment]).await;
    assert_eq!(arrive(&patient).await.refusal(), (409, "intake-required"), "a draft is not enough");
    clinic.world.run("UPDATE questionnaire_response SET status = 'completed'", vec![]).await;
    assert_eq!(arrive(&patient).await.status, 200);
    clinic.world.run("UPDATE questionnaire_response SET status = 'in-progress'", vec![]).await;
    assert_eq!(arrive(&patient).await.status, 200, "who is in stays in");
}

#[tokio::test]
async fn a_patient_waits_in_the_order_of_arrival() {
    let clinic = clinic().await;
    let (first, first_visit) = clinic.patient("2026-03-02T08:00:00Z").await;
    let (second, _) = clinic.patient("2026-03-02T08:30:00Z").await;
    let before = visit(&second).await;
    assert_eq!(before.body["waiting"], json!(null));
    assert_eq!(before.body["appointment"]["status"], "booked");

    assert_eq!(arrive(&second).await.body["waiting"], json!({"position": 1}));
    clinic.world.advance(SignedDuration::from_mins(1));
    assert_eq!(arrive(&first).await.body["waiting"], json!({"position": 2}));
    clinic.world.advance(SignedDuration::from_mins(1));
    let again = arrive(&second).await;
    assert_eq!(again.body["waiting"], json!({"position": 1}), "arriving twice lost the place");
    assert_eq!(again.body["appointment"]["status"], "arrived");
    assert_eq!(again.body["practitioner"], json!({"name": "Dr Grey"}));
    assert_eq!(again.body["clinic"], json!({"name": "Test clinic", "timeZone": "Europe/Berlin"}));

    let doctor = clinic.staff(Role::Doctor).await;
    assert_eq!(change(&doctor, &first_visit, "admit").await.status, 200);
    let admitted = visit(&first).await;
    assert_eq!((&admitted.body["waiting"], &admitted.body["admitted"]), (&json!(null), &json!(true)));
    assert_eq!(visit(&second).await.body["admitted"], false);
}

#[tokio::test]
async fn whoever_left_the_waiting_room_yesterday_is_not_waited_for() {
    let clinic = clinic().await;
    let (gone, _) = clinic.patient("2026-03-02T08:00:00Z").await;
    arrive(&gone).await;
    clinic.world.advance(SignedDuration::from_hours(24));
    let (next, _) = clinic.patient("2026-03-03T08:00:00Z").await;
    assert_eq!(arrive(&next).await.body["waiting"], json!({"position": 1}));
}

#[tokio::test]
async fn only_who_arrived_is_admitted_and_only_who_was_admitted_is_seen_off() {
    let clinic = clinic().await;
    let (patient, booked) = clinic.patient("2026-03-02T08:00:00Z").await;
    let doctor = clinic.staff(Role::Doctor).await;
    assert_eq!(change(&doctor, &booked, "admit").await.refusal(), (409, "not-arrived"));
    assert_eq!(change(&doctor, &booked, "end").await.refusal(), (409, "not-arrived"));
    arrive(&patient).await;
    assert_eq!(change(&doctor, &booked, "end").await.refusal(), (409, "not-admitted"));
    assert_eq!(clinic.world.audit_trail(), ["visitor patient-arrived"], "a refusal left a trace");

    let admitted = change(&doctor, &booked, "admit").await;
    assert_eq!(admitted.body["appointment"]["admitted"], true);
    assert_eq!(admitted.body["appointment"]["patient"]["name"], "Paula Patient");
    let rooms = "SELECT count(*) FROM room WHERE length(name) = 22 AND length(sink) = 22 AND name <> sink";
    assert_eq!(clinic.world.count(rooms).await, 1);
    assert_eq!(change(&doctor, &booked, "admit").await.status, 200, "who was let in stays so");

    let ended = change(&doctor, &booked, "end").await;
    assert_eq!(ended.body["appointment"]["status"], "fulfilled");
    assert_eq!(change(&doctor, &booked, "end").await.status, 200);
    assert_eq!(change(&doctor, &booked, "admit").await.refusal(), (410, "visit-over"));
    assert_eq!(visit(&patient).await.refusal(), (410, "visit-over"));
    assert_eq!(arrive(&patient).await.refusal(), (410, "visit-over"));
    assert_eq!(clinic.world.count("SELECT count(*) FROM room").await, 0, "the room outlived the visit");
    let finished = "SELECT count(*) FROM encounter WHERE status = 'finished' AND started_at <= ended_at";
    assert_eq!(clinic.world.count(finished).await, 1);
    let again = "staff appointment-read";
    assert_eq!(
        clinic.world.audit_trail()[1..],
        ["staff patient-admitted", again, "staff visit-ended", again],
        "what was so before is shown again"
    );
}

#[tokio::test]
async fn roles_and_clinics_are_kept_apart() {
    let clinic = clinic().await;
    let (patient, booked) = clinic.patient("2026-03-02T08:00:00Z").await;
    arrive(&patient).await;
    let nurse = clinic.staff(Role::Nurse).await;
    let desk = clinic.staff(Role::FrontDesk).await;
    assert_eq!(change(&desk, &booked, "admit").await.refusal(), (403, "role-not-allowed"));
    assert_eq!(change(&patient, &booked, "admit").await.refusal(), (401, "sign-in-required"));

    clinic.world.seed("other", "Europe/Berlin").await;
    let stranger = clinic.world.client("other");
    stranger.sign_in_as(Role::Doctor).await;
    for verb in ["admit", "end"] {
        assert_eq!(change(&stranger, &booked, verb).await.refusal(), (404, "not-found"));
    }
    let nonsense = stranger.post::<SchedulingFunction>("/scheduling/appointments/1/admit", json!({})).await;
    assert_eq!(nonsense.refusal(), (404, "not-found"));

    assert_eq!(change(&nurse, &booked, "admit").await.status, 200);
    assert_eq!(change(&nurse, &booked, "end").await.refusal(), (403, "role-not-allowed"));
}

#[tokio::test]
async fn the_day_is_the_clinics_day() {
    let world = World::new().await;
    // Auckland is 13 hours ahead: its Tuesday begins on Monday, 11:00 UTC.
    let seeded = world.seed("demo", "Pacific/Auckland").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T20:00:00Z").await;
    world.seed_visit(&world.seed("other", "Pacific/Auckland").await, "2026-03-02T20:00:00Z").await;
    let desk = world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let list = desk.get::<SchedulingFunction>("/scheduling/appointments?date=2026-03-03").await;
    assert_eq!(
        list.body,
        json!({"timeZone": "Pacific/Auckland", "appointments": [{
            "id": visit.appointment, "start": "2026-03-02T20:00:00Z", "end": "2026-03-02T20:30:00Z",
            "status": "booked", "patient": {"name": "Paula Patient"},
            "practitioner": {"id": seeded.practitioner, "name": "Dr Grey"}, "service": {"id": seeded.service, "name": "Consult"},
            "arrivedAt": null, "encounter": visit.encounter, "admitted": false, "admittedAt": null,
            "heldAt": null, "trouble": null, "phoneInstead": null
        }]})
    );
    let monday = desk.get::<SchedulingFunction>("/scheduling/appointments?date=2026-03-02").await;
    assert_eq!(monday.body["appointments"], json!([]));
    for query in ["", "?date=", "?date=today", "?date=2026-03-03&all=1"] {
        let answer = desk.get::<SchedulingFunction>(&format!("/scheduling/appointments{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
    }
}
