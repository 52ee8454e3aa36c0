//! Appointments get another time or are cancelled, by the patient and by staff.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use kit::ids::ServiceId;
use kit::params;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client, Seeded, World};
use scheduling::SchedulingFunction;
use serde_json::json;

const START: &str = "2026-03-04T08:00:00Z";
const OTHER: &str = "2026-03-05T09:00:00Z";

struct Practice {
    world: World,
    seeded: Seeded,
    booked: Booked,
}

async fn practice() -> Practice {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let booked = world.seed_visit(&seeded, START).await;
    Practice { world, seeded, booked }
}

impl Practice {
    async fn patient(&self) -> Client<'_> {
        let client = self.world.client("demo");
        client.begin_visit(&self.booked).await;
        client
    }

    async fn staff(&self, role: Role) -> Client<'_> {
        let client = self.world.client("demo");
        client.sign_in_as(role).await;
        client
    }

    async fn hold(&self, client: &Client<'_>, start: &str) -> Answer {
        let wish = json!({
            "service": self.seeded.service, "practitioner": self.seeded.practitioner, "start": start,
        });
        client.post::<SchedulingFunction>("/scheduling/holds", wish).await
    }

    async fn held(&self, client: &Client<'_>, start: &str) -> serde_json::Value {
        let hold = self.hold(client, start).await;
        assert_eq!(hold.status, 201, "{}", hold.body);
        json!({"hold": hold.text("/id"), "secret": hold.text("/secret")})
    }

    fn path(&self, verb: &str) -> String {
        format!("/scheduling/appointments/{}/{verb}", self.booked.appointment)
    }

    async fn news(&self) -> Vec<String> {
        let sql = "SELECT subject || ': ' || body FROM outbox_message ORDER BY created_at, id";
        self.world.query(sql, vec![]).await.iter().map(|row| row.text(0).unwrap()).collect()
    }
}

#[tokio::test]
async fn a_patient_chooses_another_time_and_the_old_one_is_free_again() {
    let practice = practice().await;
    let patient = practice.patient().await;
    let visit = patient.get::<SchedulingFunction>("/scheduling/visit").await;
    assert_eq!(visit.text("/changeUntil"), "2026-03-04T06:00:00Z");
    assert_eq!(visit.text("/service/id"), practice.seeded.service.to_string());
    assert_eq!(practice.hold(&patient, START).await.refusal(), (409, "slot-taken"));

    let other = practice.held(&patient, OTHER).await;
    let moved = patient.post::<SchedulingFunction>("/scheduling/visit/move", other.clone()).await;
    assert_eq!((moved.status, moved.text("/appointment/start")), (200, OTHER.to_owned()), "{}", moved.body);
    let again = patient.post::<SchedulingFunction>("/scheduling/visit/move", other).await;
    assert_eq!(again.refusal(), (409, "hold-used"));

    let visit = patient.get::<SchedulingFunction>("/scheduling/visit").await;
    assert_eq!(visit.text("/appointment/start"), OTHER, "the session goes with the visit");
    assert_eq!(practice.hold(&patient, START).await.status, 201);
    assert_eq!(practice.hold(&patient, OTHER).await.refusal(), (409, "slot-taken"));
    let news = practice.news().await;
    assert!(
        news.last().unwrap().contains("is now on Thursday, 5 March 2026, 10:00 (Europe/Berlin)"),
        "{news:?}"
    );
    let trail = practice.world.audit_trail();
    assert!(trail.iter().any(|event| event.ends_with(" appointment-moved")), "{trail:?}");
}

#[tokio::test]
async fn a_hold_of_another_service_moves_nothing() {
    let practice = practice().await;
    let patient = practice.patient().await;
    let sql = "INSERT INTO service (clinic, id, name, duration_minutes, price_minor, currency)
               SELECT clinic, ?, 'Longer', duration_minutes, 9000, currency FROM service";
    let service = ServiceId::new(practice.world.now()).unwrap();
    practice.world.run(sql, params![service]).await;
    let wish = json!({"service": service, "practitioner": practice.seeded.practitioner, "start": OTHER});
    let hold = patient.post::<SchedulingFunction>("/scheduling/holds", wish).await;
    let body = json!({"hold": hold.text("/id"), "secret": hold.text("/secret")});
    let refused = patient.post::<SchedulingFunction>("/scheduling/visit/move", body).await;
    assert_eq!(refused.refusal(), (422, "invalid-input"), "{}", refused.body);
    let kept = "SELECT count(*) FROM hold WHERE used_at IS NULL";
    assert_eq!(practice.world.count(kept).await, 1, "the hold is still theirs");
    assert_eq!(practice.world.count("SELECT sum(sequence) FROM appointment").await, 0);
}

#[tokio::test]
async fn a_patient_cancels_once_and_is_told() {
    let practice = practice().await;
    let patient = practice.patient().await;
    let cancel = async || patient.post::<SchedulingFunction>("/scheduling/visit/cancel", json!({})).await;
    assert_eq!(cancel().await.text("/appointment/status"), "cancelled");
    assert_eq!(patient.get::<SchedulingFunction>("/scheduling/visit").await.refusal(), (410, "visit-over"));
    let staff = practice.staff(Role::FrontDesk).await;
    let again = staff.post::<SchedulingFunction>(&practice.path("cancel"), json!({})).await;
    assert_eq!(again.text("/appointment/status"), "cancelled", "what is cancelled stays so");
    let told = practice.news().await.iter().filter(|news| news.contains("is cancelled")).count();
    assert_eq!(told, 1);
    assert_eq!(practice.hold(&patient, START).await.status, 201, "somebody else may come");
    assert_eq!(practice.world.count("SELECT count(*) FROM invoice WHERE cancelled_at IS NULL").await, 0);
    let moved = practice.held(&staff, OTHER).await;
    let refused = staff.post::<SchedulingFunction>(&practice.path("move"), moved).await;
    assert_eq!(refused.refusal(), (410, "visit-over"));
}

#[tokio::test]
async fn shortly_before_only_the_clinic_changes_anything_and_nobody_once_it_has_begun() {
    let practice = practice().await;
    practice.world.set_now("2026-03-04T06:00:01Z");
    let (patient, desk) = (practice.patient().await, practice.staff(Role::FrontDesk).await);
    let visit = patient.get::<SchedulingFunction>("/scheduling/visit").await;
    assert!(visit.body["changeUntil"].is_null());
    let cancel = patient.post::<SchedulingFunction>("/scheduling/visit/cancel", json!({})).await;
    assert_eq!(cancel.refusal(), (409, "too-late-to-change"));
    let other = practice.held(&patient, OTHER).await;
    let moved = patient.post::<SchedulingFunction>("/scheduling/visit/move", other.clone()).await;
    assert_eq!(moved.refusal(), (409, "too-late-to-change"));

    patient.post::<SchedulingFunction>("/scheduling/visit/arrive", json!({})).await;
    let moved = desk.post::<SchedulingFunction>(&practice.path("move"), other).await;
    assert_eq!(
        moved.text("/appointment/status"),
        "booked",
        "who waited is told another time: {}",
        moved.body
    );

    practice.world.set_now("2026-03-05T08:59:00Z");
    let patient = practice.patient().await;
    patient.post::<SchedulingFunction>("/scheduling/visit/arrive", json!({})).await;
    let doctor = practice.staff(Role::Doctor).await;
    assert_eq!(doctor.post::<SchedulingFunction>(&practice.path("admit"), json!({})).await.status, 200);
    let desk = practice.staff(Role::FrontDesk).await;
    let late = desk.post::<SchedulingFunction>(&practice.path("cancel"), json!({})).await;
    assert_eq!(late.refusal(), (409, "visit-begun"));
}

#[tokio::test]
async fn a_calendar_gets_the_instant_and_counts_the_changes_but_learns_no_more() {
    let practice = practice().await;
    let patient = practice.patient().await;
    let calendar = async || {
        let answer =
            patient.send::<SchedulingFunction>(Method::GET, "/scheduling/visit/calendar", None, &[]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "text/calendar; charset=utf-8");
        String::from_utf8(answer.bytes).unwrap()
    };
    let before = calendar().await;
    let has = |text: &str, line: &str| text.lines().any(|found| found == line);
    assert!(has(&before, "DTSTART:20260304T080000Z") && has(&before, "DTEND:20260304T083000Z"), "{before}");
    assert!(has(&before, "SEQUENCE:0"), "{before}");
    let other = practice.held(&patient, OTHER).await;
    patient.post::<SchedulingFunction>("/scheduling/visit/move", other).await;
    let after = calendar().await;
    assert!(has(&after, "DTSTART:20260305T090000Z") && has(&after, "SEQUENCE:1"), "{after}");
    let uid = |text: &str| text.lines().find(|line| line.starts_with("UID:")).unwrap().to_owned();
    assert_eq!(uid(&before), uid(&after));
    for secret in ["Dr Grey", "Consult", "#"] {
        assert!(!after.contains(secret), "{after}");
    }
}
