//! Several patients in one call: each by a visit of their own, and told nothing of the others but that they are there.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

mod support;

use auth::AuthFunction;
use kit::params;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client};
use scheduling::SchedulingFunction;
use serde_json::{Value, json};
use support::{Clinic, Invited, clinic, join, keys};
use tokens::TokensFunction;

const START: &str = "2026-03-02T08:00:00Z";

struct Group {
    clinic: Clinic,
    visits: Vec<Booked>,
}

/// So many patients of one time, of whom nobody has come yet.
async fn group(patients: u32) -> Group {
    let clinic = clinic().await;
    clinic.world.run("UPDATE service SET capacity = ?", params![patients]).await;
    let mut visits = Vec::new();
    for place in 1..=patients {
        let visit = clinic.world.seed_place(&clinic.seeded, START, place).await;
        let sql = "UPDATE patient SET name = ? WHERE id = (SELECT patient FROM appointment WHERE id = ?)";
        clinic.world.run(sql, params![format!("Planted Name {place}"), visit.appointment]).await;
        visits.push(visit);
    }
    Group { clinic, visits }
}

impl Group {
    async fn patient(&self, at: usize) -> Client<'_> {
        let client = self.clinic.world.client("demo");
        client.begin_visit(&self.visits[at]).await;
        client
    }

    async fn staff(&self, role: Role) -> Client<'_> {
        let client = self.clinic.world.client("demo");
        client.sign_in_as(role).await;
        client
    }

    async fn change(&self, staff: &Client<'_>, at: usize, verb: &str, body: Value) -> Answer {
        let path = format!("/scheduling/appointments/{}/{verb}", self.visits[at].appointment);
        staff.post::<SchedulingFunction>(&path, body).await
    }

    /// Has come and was let in.
    async fn let_in(&self, doctor: &Client<'_>, at: usize) -> Client<'_> {
        let patient = self.patient(at).await;
        let arrived = patient.post::<SchedulingFunction>("/scheduling/visit/arrive", json!({})).await;
        assert_eq!(arrived.status, 200, "{}", arrived.body);
        assert_eq!(self.change(doctor, at, "admit", json!({})).await.status, 200);
        patient
    }

    fn of(&self, at: usize) -> Value {
        json!({"appointment": self.visits[at].appointment})
    }
}

async fn visit(client: &Client<'_>) -> Answer {
    client.get::<SchedulingFunction>("/scheduling/visit").await
}

fn roles(answer: &Answer) -> Vec<(String, String)> {
    let people = answer.body["people"].as_array().unwrap().iter();
    let text = |person: &Value, field: &str| person[field].as_str().unwrap_or_default().to_owned();
    people.map(|person| (text(person, "role"), text(person, "name"))).collect()
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

#[tokio::test]
async fn everybody_of_a_group_is_in_one_call_under_a_name_of_their_own() {
    let group = group(3).await;
    let doctor = group.staff(Role::Doctor).await;
    let (first, second) = (group.let_in(&doctor, 0).await, group.let_in(&doctor, 1).await);
    let waiting = group.patient(2).await;

    let (one, two) = (join(&first, json!({})).await, join(&second, json!({})).await);
    assert_eq!((one.status, two.status), (201, 201), "{} {}", one.body, two.body);
    assert_eq!(one.text("/room"), two.text("/room"));
    assert_ne!(one.text("/participant"), two.text("/participant"));
    assert_eq!(
        join(&second, json!({})).await.text("/participant"),
        two.text("/participant"),
        "the same again"
    );
    // By whichever of its visits the doctor comes, it is the same call and the same doctor in it.
    let (by_one, by_two) = (join(&doctor, group.of(0)).await, join(&doctor, group.of(1)).await);
    assert_eq!(by_one.text("/participant"), by_two.text("/participant"));
    assert_eq!(by_one.text("/room"), one.text("/room"));
    // Who was not let in has no place in it, though the others are.
    assert_eq!(join(&waiting, json!({})).await.refusal(), (409, "not-admitted"));
    assert_eq!(join(&doctor, group.of(2)).await.refusal(), (409, "not-admitted"));

    // The keys of the call know all of them.
    join(&first, json!({"encryption": keys('a')})).await;
    let members = join(&second, json!({"encryption": keys('b')})).await.text("/membership");
    let members = group.clinic.read_for("locum-call", &members);
    assert_eq!(members["members"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_patient_is_told_nothing_of_another() {
    let group = group(2).await;
    let doctor = group.staff(Role::Doctor).await;
    let (first, second) = (group.let_in(&doctor, 0).await, group.let_in(&doctor, 1).await);
    let interpreter = group.clinic.world.client("demo");
    let invited = Invited::by(&doctor, &group.visits[1], &interpreter).await;
    support::arrive(&interpreter).await;
    invited.change(&doctor, "admit").await;
    for client in [&first, &second, &interpreter] {
        assert_eq!(join(client, json!({})).await.status, 201);
    }
    assert_eq!(join(&doctor, group.of(0)).await.status, 201);

    let seen = visit(&first).await;
    let everybody = [("clinician", "Somebody"), ("participant", ""), ("participant", ""), ("patient", "")];
    let everybody = everybody.map(|(role, name)| (role.to_owned(), name.to_owned()));
    assert_eq!(sorted(roles(&seen)), everybody);
    let by_interpreter = interpreter.get::<SchedulingFunction>("/scheduling/guest-visit").await;
    let own = [("clinician", "Somebody"), ("interpreter", ""), ("participant", ""), ("patient", "")];
    assert_eq!(sorted(roles(&by_interpreter)), own.map(|(role, name)| (role.to_owned(), name.to_owned())));
    // Not by any route that a patient has: neither names nor ids.
    for path in ["/scheduling/visit", "/scheduling/visit/calendar"] {
        let answer = first.get::<SchedulingFunction>(path).await;
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(!text.contains("Planted Name"), "{text}");
        assert!(!text.contains(&group.visits[1].appointment.to_string()), "{text}");
    }
    // Staff know them all.
    let path = format!("/scheduling/appointments/{}/guests", group.visits[0].appointment);
    let staff = doctor.get::<SchedulingFunction>(&path).await;
    let patients: Vec<_> = roles(&staff).into_iter().filter(|(role, _)| role == "patient").collect();
    let names = ["Planted Name 1", "Planted Name 2"].map(|name| ("patient".to_owned(), name.to_owned()));
    assert_eq!(sorted(patients), names);
}

#[tokio::test]
async fn one_of_them_is_put_on_hold_and_goes_and_the_others_stay() {
    let group = group(2).await;
    let doctor = group.staff(Role::Doctor).await;
    let (first, second) = (group.let_in(&doctor, 0).await, group.let_in(&doctor, 1).await);
    let room = join(&first, json!({})).await.text("/room");
    join(&second, json!({})).await;
    join(&doctor, group.of(1)).await;
    let names = "SELECT count(*) FROM room_participant";
    let refused = "SELECT count(*) FROM revocation";

    assert_eq!(group.change(&doctor, 0, "hold", json!({})).await.status, 200);
    assert_eq!(group.clinic.world.count(names).await, 2, "one of three is out");
    assert_eq!(join(&first, json!({})).await.refusal(), (409, "not-admitted"));
    assert_eq!(join(&second, json!({})).await.status, 201);
    assert_eq!(group.change(&doctor, 0, "admit", json!({})).await.status, 200);
    assert_eq!(join(&first, json!({})).await.text("/room"), room, "and back in the same call");

    // The call was begun by the first. It goes on without them.
    assert_eq!(group.change(&doctor, 0, "end", json!({})).await.status, 200);
    assert_eq!(join(&first, json!({})).await.refusal(), (410, "visit-over"));
    assert_eq!(join(&doctor, group.of(0)).await.refusal(), (410, "visit-over"));
    let members = first.get::<TokensFunction>("/tokens/membership").await;
    assert_eq!(members.refusal(), (410, "visit-over"), "who has left is not told who is there");
    assert_eq!(join(&second, json!({})).await.text("/room"), room);
    assert_eq!(join(&doctor, group.of(1)).await.text("/room"), room);
    let before = group.clinic.world.count(refused).await;
    assert_eq!(group.change(&doctor, 1, "end", json!({})).await.status, 200);
    assert_eq!(group.clinic.world.count("SELECT count(*) FROM room").await, 0, "with the last it is over");
    assert_eq!(group.clinic.world.count(refused).await, before + 1, "and everybody's tokens with it");
}

#[tokio::test]
async fn a_group_goes_to_another_practitioner_whole() {
    let group = group(3).await;
    let doctor = group.staff(Role::Doctor).await;
    let first = group.let_in(&doctor, 0).await;
    join(&first, json!({})).await;
    let to = "00000000-0000-7000-8000-0000000000f2";
    let sql = "INSERT INTO practitioner (clinic, id, user, name)
               SELECT clinic, ?, user, 'Dr Green' FROM practitioner WHERE clinic = 'demo' LIMIT 1";
    group.clinic.world.run(sql, params![to]).await;

    let moved = group.change(&doctor, 1, "transfer", json!({"practitioner": to})).await;
    assert_eq!(moved.status, 200, "{}", moved.body);
    let theirs = format!("SELECT count(*) FROM appointment WHERE practitioner = '{to}'");
    assert_eq!(group.clinic.world.count(&theirs).await, 3);
    assert_eq!(group.clinic.world.count("SELECT count(*) FROM room_participant").await, 0);
    let seen = visit(&first).await;
    assert_eq!(
        (&seen.body["onHold"], &seen.body["practitioner"]["name"]),
        (&json!(true), &json!("Dr Green"))
    );
    let told = "SELECT count(*) FROM outbox_message";
    assert_eq!(group.clinic.world.count(told).await, 2, "who has not come yet is told");

    assert_eq!(group.change(&doctor, 0, "admit", json!({})).await.status, 200);
    let room = join(&first, json!({})).await.text("/room");
    let second = group.let_in(&doctor, 1).await;
    assert_eq!(join(&second, json!({})).await.text("/room"), room);
}

#[tokio::test]
async fn each_patient_has_their_own_link_and_nobody_elses_visit() {
    let group = group(2).await;
    let doctor = group.staff(Role::Doctor).await;
    let client = group.clinic.world.client("demo");
    let link = json!({"token": group.visits[0].link});
    let opened = client.post::<AuthFunction>("/auth/visit-sessions", link).await;
    assert_eq!(opened.body["appointment"]["id"], json!(group.visits[0].appointment));
    let second = group.let_in(&doctor, 1).await;
    join(&second, json!({})).await;
    // The call of the group is under way; who has not come is not in it.
    let seen = visit(&client).await;
    assert_eq!((&seen.body["admitted"], &seen.body["people"]), (&json!(false), &json!([])));
    let members = client.get::<TokensFunction>("/tokens/membership").await;
    assert!(members.status >= 400, "{}", members.body);
}
