//! Whoever was seen for a service is to be seen again for it: planned for all of them, each once.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use jiff::{SignedDuration, Timestamp};
use kit::params;
use kit::policy::Role;
use kit::testing::{Booked, Seeded, World};
use messages::MessagesFunction;
use serde_json::{Value as Json, json};

const NODE: [(&str, &str); 2] = [("locum-node", "edge-1"), ("locum-host-key", "host-key")];

/// More than a batch.
const PEOPLE: i64 = 520;

struct Clinic {
    world: World,
    seeded: Seeded,
}

impl Clinic {
    async fn open() -> Self {
        let world = World::new().await;
        world.set("host_key", "host-key");
        let seeded = world.seed("demo", "Europe/Berlin").await;
        Self { world, seeded }
    }

    /// A visit of somebody else each time, that has taken place.
    async fn seen(&self, number: i64, start: &str) -> Booked {
        let visit = self.world.seed_visit(&self.seeded, start).await;
        let email = format!("patient-{number}@example.org");
        let patient = self.world.patient_of(&visit).await;
        self.world.run("UPDATE patient SET email = ? WHERE id = ?", params![email, patient]).await;
        let sql = "UPDATE appointment SET status = 'fulfilled' WHERE id = ?";
        self.world.run(sql, params![visit.appointment]).await;
        visit
    }

    async fn rule(&self, months: i64) -> u16 {
        let admin = self.world.client("demo");
        admin.sign_in_as(Role::ClinicAdmin).await;
        let wish = json!({"service": self.seeded.service, "intervalMonths": months});
        admin.post::<MessagesFunction>("/messages/recall-rules", wish).await.status
    }

    /// As a job does: again while there is more.
    async fn run(&self) -> usize {
        for round in 1..50 {
            let host = self.world.client("demo");
            let path = "/messages/recalls/run";
            let answer = host.send::<MessagesFunction>(Method::POST, path, Some(json!({})), &NODE).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            if answer.body["more"] == false {
                return round;
            }
        }
        panic!("it has no end")
    }

    async fn recalls(&self) -> Vec<(String, String)> {
        let sql = "SELECT due_on, status FROM recall ORDER BY due_on, id";
        let rows = self.world.query(sql, vec![]).await;
        rows.iter().map(|row| (row.text(0).unwrap(), row.text(1).unwrap())).collect()
    }

    async fn written(&self) -> i64 {
        self.world.count("SELECT count(*) FROM outbox_message WHERE kind = 'recall'").await
    }
}

#[tokio::test]
async fn a_next_visit_is_planned_for_everybody_once_and_ends_by_booking_it() {
    let clinic = Clinic::open().await;
    clinic.seen(1, "2025-12-01T09:00:00Z").await;
    clinic.seen(2, "2026-01-20T09:00:00Z").await;
    // Seen again since.
    clinic.seen(3, "2025-11-01T09:00:00Z").await;
    clinic.seen(3, "2026-02-20T09:00:00Z").await;
    // Too long ago to be written to out of the blue.
    clinic.seen(4, "2024-01-01T09:00:00Z").await;
    assert_eq!(clinic.rule(3).await, 201);
    assert_eq!(clinic.rule(6).await, 409, "one for each service");
    clinic.run().await;
    clinic.run().await;
    let open = |due: &str| (due.to_owned(), "open".to_owned());
    assert_eq!(clinic.recalls().await, [open("2026-03-01")]);
    assert_eq!(clinic.written().await, 1);
    let attempts = clinic.world.count("SELECT attempts FROM recall").await;
    assert_eq!(attempts, 1);

    // The others' time comes.
    clinic.world.set_now("2026-05-20T07:00:00Z");
    clinic.run().await;
    assert_eq!(clinic.recalls().await, [open("2026-03-01"), open("2026-04-20"), open("2026-05-20")]);

    // One of them books, which ends it; then cancels, which does not.
    clinic.world.advance(SignedDuration::from_mins(1));
    let booked = clinic.world.seed_visit(&clinic.seeded, "2026-06-01T09:00:00Z").await;
    let patient = clinic.world.patient_of(&booked).await;
    let sql = "UPDATE patient SET email = 'PATIENT-2@example.org' WHERE id = ?";
    clinic.world.run(sql, params![patient]).await;
    clinic.world.advance(SignedDuration::from_mins(5));
    let before = clinic.written().await;
    clinic.run().await;
    assert_eq!(clinic.recalls().await[1], ("2026-04-20".to_owned(), "booked".to_owned()));
    let sql = "UPDATE appointment SET status = 'cancelled' WHERE id = ?";
    clinic.world.run(sql, params![booked.appointment]).await;
    clinic.run().await;
    assert_eq!(clinic.recalls().await[1], open("2026-04-20"));
    assert_eq!(clinic.written().await, before, "nobody is written to at once");
    clinic.world.advance(SignedDuration::from_hours(15 * 24));
    clinic.run().await;
    assert_eq!(clinic.written().await, before + 3);
}

#[tokio::test]
async fn more_than_one_batch_is_planned_and_written_to_with_nobody_left_out_or_twice() {
    let clinic = Clinic::open().await;
    let begin: Timestamp = "2025-12-01T00:00:00Z".parse().unwrap();
    for number in 0..PEOPLE {
        let start = begin + SignedDuration::from_mins(number);
        clinic.seen(number, &start.to_string()).await;
    }
    assert_eq!(clinic.rule(3).await, 201);
    let rounds = clinic.run().await;
    assert!(rounds > 2, "{rounds}: not more than one batch");
    assert_eq!((clinic.recalls().await.len(), clinic.written().await), (PEOPLE as usize, PEOPLE));
    let people = "SELECT count(DISTINCT recipient) FROM outbox_message WHERE kind = 'recall'";
    assert_eq!(clinic.world.count(people).await, PEOPLE);
    assert_eq!(clinic.world.count("SELECT count(*) FROM recall_attempt").await, PEOPLE);
    assert_eq!(clinic.run().await, 1);
    assert_eq!(clinic.written().await, PEOPLE);
}

#[tokio::test]
async fn rules_are_checked_listed_and_ended() {
    let clinic = Clinic::open().await;
    assert_eq!(clinic.rule(0).await, 422);
    assert_eq!(clinic.rule(3).await, 201);
    let doctor = clinic.world.client("demo");
    doctor.sign_in_as(Role::Doctor).await;
    let list = doctor.get::<MessagesFunction>("/messages/recall-rules").await;
    assert_eq!(
        (&list.body["rules"][0]["service"], &list.body["rules"][0]["intervalMonths"]),
        (&json!(clinic.seeded.service), &json!(3))
    );
    let path = format!("/messages/recall-rules/{}", list.text("/rules/0/id"));
    let end = async || doctor.send::<MessagesFunction>(Method::DELETE, &path, None, &[]).await.status;
    assert_eq!((end().await, end().await), (204, 404));
    let list = doctor.get::<MessagesFunction>("/messages/recall-rules").await;
    assert_eq!(list.body["rules"], Json::Array(Vec::new()));
    clinic.seen(1, "2025-12-01T09:00:00Z").await;
    clinic.run().await;
    assert!(clinic.recalls().await.is_empty());
}
