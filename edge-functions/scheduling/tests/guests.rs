//! Somebody else is invited to a visit, waits, is let in, and is removed.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::AuthFunction;
use http::Method;
use kit::cookies;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client, World};
use scheduling::SchedulingFunction;
use serde_json::json;

struct Visit {
    world: World,
    booked: Booked,
}

/// A guest's link as the clinician got it.
struct Invited {
    id: String,
    token: String,
}

async fn visit() -> Visit {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let booked = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    Visit { world, booked }
}

impl Visit {
    async fn staff(&self, role: Role) -> Client<'_> {
        let client = self.world.client("demo");
        client.sign_in_as(role).await;
        client
    }

    fn guests(&self) -> String {
        format!("/scheduling/appointments/{}/guests", self.booked.appointment)
    }

    async fn try_invite(&self, doctor: &Client<'_>, role: &str) -> Answer {
        doctor.post::<SchedulingFunction>(&self.guests(), json!({"role": role})).await
    }

    async fn invite(&self, doctor: &Client<'_>, role: &str) -> Invited {
        let answer = self.try_invite(doctor, role).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let link = answer.text("/link");
        let (page, token) = link.split_once('#').unwrap();
        assert_eq!((page, token.len()), ("https://app.locum.test/c/demo/visit", 22));
        Invited { id: answer.text("/guest/id"), token: token.to_owned() }
    }

    async fn list(&self, doctor: &Client<'_>) -> Answer {
        doctor.get::<SchedulingFunction>(&self.guests()).await
    }

    /// The patient comes and is let in.
    async fn begin(&self, doctor: &Client<'_>) {
        let patient = self.world.client("demo");
        patient.begin_visit(&self.booked).await;
        patient.post::<SchedulingFunction>("/scheduling/visit/arrive", json!({})).await;
        assert_eq!(self.change(doctor, "admit").await.status, 200);
    }

    async fn change(&self, doctor: &Client<'_>, verb: &str) -> Answer {
        let path = format!("/scheduling/appointments/{}/{verb}", self.booked.appointment);
        doctor.post::<SchedulingFunction>(&path, json!({})).await
    }
}

impl Invited {
    async fn open(&self, client: &Client<'_>) -> Answer {
        client.post::<AuthFunction>("/auth/visit-sessions", json!({"token": self.token})).await
    }

    async fn change(&self, doctor: &Client<'_>, verb: &str) -> Answer {
        let path = format!("/scheduling/guests/{}/{verb}", self.id);
        doctor.post::<SchedulingFunction>(&path, json!({})).await
    }
}

async fn seen(guest: &Client<'_>) -> Answer {
    guest.get::<SchedulingFunction>("/scheduling/guest-visit").await
}

async fn arrive(guest: &Client<'_>) -> Answer {
    guest.post::<SchedulingFunction>("/scheduling/guest-visit/arrive", json!({})).await
}

#[tokio::test]
async fn a_guest_waits_until_the_clinician_lets_them_in() {
    let visit = visit().await;
    let (doctor, guest) = (visit.staff(Role::Doctor).await, visit.world.client("demo"));
    let invited = visit.invite(&doctor, "interpreter").await;
    assert_eq!(invited.open(&guest).await.body["guest"], "interpreter");
    let before = seen(&guest).await;
    assert_eq!(
        before.body,
        json!({
            "id": invited.id, "start": "2026-03-02T08:00:00Z", "end": "2026-03-02T08:30:00Z",
            "clinic": {"name": "Test clinic", "timeZone": "Europe/Berlin"},
            "practitioner": {"name": "Dr Grey"},
            "role": "interpreter", "arrived": false, "admitted": false, "people": [],
        }),
        "nothing of the patient, nor what the visit is for"
    );
    assert_eq!(invited.change(&doctor, "admit").await.refusal(), (409, "not-arrived"));
    assert_eq!(arrive(&guest).await.body["arrived"], true);
    assert_eq!(visit.list(&doctor).await.body["guests"][0]["status"], "waiting");
    assert_eq!(invited.change(&doctor, "admit").await.body["guest"]["status"], "admitted");
    assert_eq!(invited.change(&doctor, "admit").await.status, 200, "who was let in stays so");
    assert_eq!(seen(&guest).await.body["admitted"], false, "there is no call yet");
    visit.begin(&doctor).await;
    assert_eq!(seen(&guest).await.body["admitted"], true);
    assert_eq!(
        visit.world.audit_trail()[..6],
        [
            "staff guest-invited",
            "anonymous link-used",
            "guest guests-read",
            "guest guest-arrived",
            "staff guests-read",
            "staff guest-admitted"
        ]
    );
}

#[tokio::test]
async fn a_link_works_on_one_device_at_a_time_and_get_has_no_effect() {
    let visit = visit().await;
    let doctor = visit.staff(Role::Nurse).await;
    let (phone, laptop) = (visit.world.client("demo"), visit.world.client("demo"));
    let (mine, other) = (visit.invite(&doctor, "family").await, visit.invite(&doctor, "family").await);
    let scanned = phone.send::<AuthFunction>(Method::GET, "/auth/visit-sessions", None, &[]).await;
    assert_eq!(scanned.status, 405);
    assert_eq!(visit.world.count("SELECT count(*) FROM visit_session").await, 0);
    other.open(&laptop).await;
    mine.open(&phone).await;
    assert_eq!((seen(&phone).await.status, seen(&laptop).await.status), (200, 200));
    mine.open(&laptop).await;
    assert_eq!(seen(&phone).await.refusal(), (401, "sign-in-required"));
    assert_eq!(seen(&laptop).await.status, 200);
    let kept = "SELECT count(*) FROM guest WHERE length(token_hash) = 32";
    assert_eq!(visit.world.count(kept).await, 2, "only hashes are kept");
}

#[tokio::test]
async fn a_link_that_was_taken_back_opens_nothing() {
    let visit = visit().await;
    let (doctor, guest) = (visit.staff(Role::Doctor).await, visit.world.client("demo"));
    visit.begin(&doctor).await;
    let invited = visit.invite(&doctor, "other").await;
    invited.open(&guest).await;
    arrive(&guest).await;
    assert_eq!(invited.change(&doctor, "remove").await.body["guest"]["status"], "removed");
    assert_eq!(invited.change(&doctor, "remove").await.status, 200, "what is removed stays so");
    assert_eq!(seen(&guest).await.refusal(), (410, "link-withdrawn"));
    assert_eq!(arrive(&guest).await.refusal(), (410, "link-withdrawn"));
    assert_eq!(invited.open(&guest).await.refusal(), (410, "link-withdrawn"));
    assert_eq!(invited.change(&doctor, "admit").await.refusal(), (410, "link-withdrawn"));
    assert_eq!(visit.list(&doctor).await.body["guests"], json!([]));
    let again = visit.invite(&doctor, "other").await;
    assert_eq!(again.open(&guest).await.status, 201, "another link is another guest");
}

#[tokio::test]
async fn with_the_visit_its_links_end() {
    let visit = visit().await;
    let (doctor, guest) = (visit.staff(Role::Doctor).await, visit.world.client("demo"));
    visit.begin(&doctor).await;
    let invited = visit.invite(&doctor, "family").await;
    invited.open(&guest).await;
    arrive(&guest).await;
    visit.change(&doctor, "end").await;
    assert_eq!(seen(&guest).await.refusal(), (410, "visit-over"));
    assert_eq!(invited.open(&guest).await.refusal(), (410, "visit-over"));
    assert_eq!(invited.change(&doctor, "admit").await.refusal(), (410, "visit-over"));
    assert_eq!(visit.try_invite(&doctor, "family").await.refusal(), (410, "visit-over"));
    // 08:30, half an hour, and a minute for clocks.
    let revoked = "SELECT count(*) FROM revocation WHERE participant = '' AND until = 1772442060000";
    assert_eq!(visit.world.count(revoked).await, 1, "tokens of the room outlive the visit");
}

#[tokio::test]
async fn guests_are_bounded_and_roles_are_a_short_list() {
    let visit = visit().await;
    let doctor = visit.staff(Role::Doctor).await;
    assert_eq!(visit.try_invite(&doctor, "lawyer").await.refusal(), (422, "invalid-input"));
    let first = visit.invite(&doctor, "family").await;
    for _ in 1..8 {
        visit.invite(&doctor, "family").await;
    }
    assert_eq!(visit.try_invite(&doctor, "family").await.refusal(), (409, "too-many-guests"));
    first.change(&doctor, "remove").await;
    assert_eq!(visit.try_invite(&doctor, "family").await.status, 201);
}

#[tokio::test]
async fn guests_patients_staff_and_clinics_are_kept_apart() {
    let visit = visit().await;
    visit.world.seed("other", "Europe/Berlin").await;
    let (doctor, guest, patient) =
        (visit.staff(Role::Doctor).await, visit.world.client("demo"), visit.world.client("demo"));
    let invited = visit.invite(&doctor, "family").await;
    invited.open(&guest).await;
    patient.begin_visit(&visit.booked).await;
    for path in ["/scheduling/visit", visit.guests().as_str()] {
        assert_eq!(guest.get::<SchedulingFunction>(path).await.refusal().1, refused(path), "{path}");
    }
    assert_eq!(seen(&patient).await.refusal(), (403, "role-not-allowed"));
    assert_eq!(visit.list(&visit.staff(Role::FrontDesk).await).await.refusal(), (403, "role-not-allowed"));
    let stranger = visit.world.client("other");
    stranger.sign_in_as(Role::Doctor).await;
    assert_eq!(visit.list(&stranger).await.refusal(), (404, "not-found"));
    assert_eq!(visit.try_invite(&stranger, "family").await.refusal(), (404, "not-found"));
    for verb in ["admit", "remove"] {
        assert_eq!(invited.change(&stranger, verb).await.refusal(), (404, "not-found"));
    }
    stranger.set_cookie(cookies::VISIT, &guest.cookie(cookies::VISIT).unwrap());
    assert_eq!(seen(&stranger).await.refusal(), (401, "sign-in-required"));
    assert_eq!(invited.open(&stranger).await.refusal(), (404, "unknown-link"));
}

/// A guest is somebody at the visit's door, and nobody at the staff's.
fn refused(path: &str) -> &'static str {
    if path.ends_with("/guests") { "sign-in-required" } else { "role-not-allowed" }
}
