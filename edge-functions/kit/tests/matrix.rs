//! Every operation as every role, as nobody, and as somebody of another clinic: what the policy table says is what
//! happens, and who was turned away is recorded. Made from the table, so that a new operation is in it.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::collections::BTreeSet;

use audit::AuditFunction;
use auth::AuthFunction;
use fhir::FhirFunction;
use kit::policy::{self, Access, Entry, Role};
use kit::testing::{Answer, Booked, Client, Seeded, World};
use messages::MessagesFunction;
use payments::PaymentsFunction;
use records::RecordsFunction;
use scheduling::SchedulingFunction;
use serde_json::json;
use tokens::TokensFunction;

const NOBODYS: &str = "00000000-0000-7000-8000-000000000000";

async fn ask(client: &Client<'_>, entry: &Entry, kind: &str) -> Answer {
    ask_at(client, entry, &path_of(entry, kind, NOBODYS)).await
}

fn path_of(entry: &Entry, kind: &str, id: &str) -> String {
    entry.path.replace("{id}", id).replace("{type}", kind).replace("{version}", "1")
}

async fn ask_at(client: &Client<'_>, entry: &Entry, path: &str) -> Answer {
    let method = entry.method.clone();
    let body = (method != http::Method::GET && method != http::Method::DELETE).then(|| json!({}));
    match entry.component {
        "audit" => client.send::<AuditFunction>(method, path, body, &[]).await,
        "auth" => client.send::<AuthFunction>(method, path, body, &[]).await,
        "scheduling" => client.send::<SchedulingFunction>(method, path, body, &[]).await,
        "payments" => client.send::<PaymentsFunction>(method, path, body, &[]).await,
        "tokens" => client.send::<TokensFunction>(method, path, body, &[]).await,
        "records" => client.send::<RecordsFunction>(method, path, body, &[]).await,
        "fhir" => client.send::<FhirFunction>(method, path, body, &[]).await,
        "messages" => client.send::<MessagesFunction>(method, path, body, &[]).await,
        other => panic!("nobody asks {other}"),
    }
}

/// Somebody of `clinic` in that role; `None` for those who have no session of their own here.
async fn signed_in<'w>(world: &'w World, clinic: &str, role: Role, visit: &Booked) -> Option<Client<'w>> {
    let client = world.client(clinic);
    match role {
        role if role.is_staff() => drop(client.sign_in_as(role).await),
        Role::Patient => {
            client.begin_visit(visit).await;
            client.begin_account(None).await;
        }
        Role::Proxy => {
            let proxy = Some(world.seed_proxy(clinic).await);
            client.begin_visit_for(visit, proxy).await;
            client.begin_account(proxy).await;
        }
        _ => return None,
    }
    Some(client)
}

fn line(entry: &Entry, who: &str, answer: &Answer) -> String {
    format!("{} {} as {who}: {} {}", entry.method, entry.path, answer.status, answer.problem())
}

#[tokio::test]
async fn every_operation_answers_every_role_as_the_table_says() {
    let world = World::new().await;
    let seeded: Seeded = world.seed("demo", "Europe/Berlin").await;
    world.set("setup_token", "set-up-token");
    world.set("host_key", "host-key");
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let (mut asked, mut wrong) = (0, Vec::new());
    let all = policy::table();
    let each = all.iter().flat_map(|entry| entry.resources().into_iter().map(move |kind| (entry, kind)));
    // One type stands for all that the same people may do the same with.
    let mut alike = BTreeSet::new();
    for (entry, kind) in each {
        if !alike.insert((entry.name, Role::ALL.map(|role| entry.lets(role, kind)))) {
            continue;
        }
        for role in Role::ALL {
            // What one of them did, such as signing out, is not to hinder the next.
            let Some(client) = signed_in(&world, "demo", role, &visit).await else { continue };
            let before = world.audit_trail().len();
            let answer = ask(&client, entry, kind).await;
            asked += 1;
            let told =
                world.audit_trail()[before..].iter().any(|event| event.ends_with(" operation-refused"));
            let unknown =
                answer.status == 404 && entry.path.contains("{id}") && entry.access != Access::Anyone;
            if told != (answer.problem() == "role-not-allowed" || unknown) {
                wrong.push(format!("recorded: {told}: {kind} {}", line(entry, role.as_str(), &answer)));
            }
            let refused = matches!(answer.problem(), "role-not-allowed" | "sign-in-required");
            // A sign-in that is over owes nothing.
            let over = entry.access == Access::SigningIn && answer.problem() == "sign-in-required";
            let right = if entry.lets(role, kind) { !refused || over } else { refused };
            if !right || answer.status >= 500 && entry.component != "tokens" {
                wrong.push(format!("{kind} {}", line(entry, role.as_str(), &answer)));
            }
        }
    }
    assert!(asked > 250, "only {asked}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn nobody_and_somebody_of_another_clinic_get_in_only_where_anyone_does() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    let other = world.seed("other", "Europe/Berlin").await;
    world.set("setup_token", "set-up-token");
    world.set("host_key", "host-key");
    let visit = world.seed_visit(&other, "2026-03-02T08:00:00Z").await;
    let mut wrong = Vec::new();
    for entry in policy::table() {
        let mut people = vec![("nobody", world.client("demo"))];
        for role in [Role::Patient, Role::Proxy, Role::Doctor, Role::ClinicAdmin] {
            let stranger = signed_in(&world, "other", role, &visit).await.unwrap();
            let here = world.client("demo");
            use kit::cookies::{PERSON, SIGN_IN, STAFF, VISIT};
            for cookie in [STAFF, VISIT, SIGN_IN, PERSON] {
                if let Some(value) = stranger.cookie(cookie) {
                    here.set_cookie(cookie, &value);
                }
            }
            people.push((role.as_str(), here));
        }
        for (who, client) in people {
            let answer = ask(&client, &entry, "Observation").await;
            let refused = answer.refusal() == (401, "sign-in-required");
            if refused == (entry.access == Access::Anyone) {
                wrong.push(line(&entry, who, &answer));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a clinician wrote.
const CLINICAL: &str = "canary of a clinical text";
/// What a patient did.
const ANSWERED: &str = "canary of an answer";
const NAME: &str = "Paula Patient";
const BORN: &str = "1980-01-31";
const EMAIL: &str = "paula@example.org";

/// Who may be shown it, whatever they ask for.
fn may_see(component: &str, role: Option<Role>, text: &str) -> bool {
    use Role::{Auditor, Billing, ClinicAdmin, Doctor, FrontDesk, Nurse, Patient, Proxy};
    let Some(role) = role else { return false };
    match text {
        CLINICAL => matches!(role, Doctor | Nurse),
        ANSWERED => matches!(role, Doctor | Nurse | Patient | Proxy),
        // A patient's resource has what tells one patient from another, for those who work with patients.
        BORN | EMAIL if component == "fhir" => matches!(role, Doctor | Nurse | FrontDesk),
        // An auditor finds out whose record was seen; billing writes to whom an invoice is for.
        NAME => {
            matches!(role, Doctor | Nurse | FrontDesk | ClinicAdmin | Auditor | Billing | Patient | Proxy)
        }
        // Front desk and administrator: in the messages of a demonstration.
        EMAIL => matches!(role, FrontDesk | ClinicAdmin | Patient),
        // It shows who somebody is: nobody is told it.
        _ => false,
    }
}

/// The patient of a visit has answered what was asked before it.
async fn answer(world: &World, visit: &Booked) {
    let questions = json!({
        "resourceType": "Questionnaire", "url": "urn:x", "version": "1", "status": "active",
        "item": [{"linkId": "a", "type": "string", "text": "Why?"}],
    });
    let sql =
        "INSERT INTO questionnaire (clinic, id, key, content, created_at) VALUES ('demo', ?, 'a', ?, 0)";
    world.run(sql, kit::params![NOBODYS, questions.to_string()]).await;
    let answers = json!({"item": [{"linkId": "a", "answer": [{"valueString": ANSWERED}]}]});
    let sql = "INSERT INTO questionnaire_response
                 (clinic, id, appointment, questionnaire, status, version, resource, authored_at)
               VALUES ('demo', ?1, ?2, ?1, 'completed', 'v', ?3, 0)";
    world.run(sql, kit::params![NOBODYS, visit.appointment, answers.to_string()]).await;
}

/// Minimum necessary (45 CFR 164.502(b)), made from the table: whatever is asked, with every id there is, shows nobody what
/// their role has no use for.
#[tokio::test]
async fn nobody_is_shown_what_their_role_has_no_use_for() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.set("setup_token", "set-up-token");
    world.set("host_key", "host-key");
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let sql = "UPDATE encounter SET note_text = ?, note_author = ?, note_updated_at = ?";
    world.run(sql, kit::params![CLINICAL, seeded.doctor, world.now()]).await;
    let sql = "INSERT INTO outbox_message (clinic, id, recipient, subject, body, link, created_at)
               VALUES ('demo', ?, ?, 'x', 'x', 'x', 0)";
    world.run(sql, kit::params![NOBODYS, EMAIL]).await;
    answer(&world, &visit).await;
    let ids = [
        visit.appointment.to_string(),
        visit.encounter.to_string(),
        world.patient_of(&visit).await.to_string(),
        seeded.doctor.to_string(),
        world.seed_account("demo").await.to_string(),
        world.seed_proxy("demo").await.to_string(),
    ];
    let queries =
        ["", "?date=2026-03-02", "?name=paula", &format!("?service={}&from=2026-03-02", seeded.service)];
    // Of other types there is nothing.
    const SEEDED: [&str; 6] =
        ["", "Patient", "Appointment", "Encounter", "QuestionnaireResponse", "Observation"];
    let roles = Role::ALL.into_iter().map(Some).chain([None]);
    let (mut shown, mut wrong) = (BTreeSet::new(), BTreeSet::new());
    for role in roles {
        let all = policy::table();
        let each = all.iter().flat_map(|entry| entry.resources().into_iter().map(move |kind| (entry, kind)));
        for (entry, kind) in each.filter(|(_, kind)| SEEDED.contains(kind)) {
            let ids = if entry.path.contains("{id}") { &ids[..] } else { &ids[..1] };
            let client = match role {
                Some(role) => signed_in(&world, "demo", role, &visit).await,
                None => Some(world.client("demo")),
            };
            let Some(client) = client else { continue };
            for (id, query) in ids.iter().flat_map(|id| queries.iter().map(move |query| (id, query))) {
                if entry.method != http::Method::GET && !query.is_empty() {
                    continue;
                }
                let path = format!("{}{query}", path_of(entry, kind, id));
                let body = ask_at(&client, entry, &path).await.body.to_string();
                for text in [CLINICAL, ANSWERED, NAME, BORN, EMAIL] {
                    if body.contains(text) {
                        let who = role.map_or("nobody", Role::as_str);
                        let found = (entry.name, who, text);
                        if may_see(entry.component, role, text) {
                            shown.insert(found)
                        } else {
                            wrong.insert(found)
                        };
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for seen in [
        ("GetEncounter", "doctor", CLINICAL),
        ("GetIntake", "nurse", ANSWERED),
        ("GetVisitIntake", "proxy", ANSWERED),
        ("ReadEverything", "nurse", ANSWERED),
        ("SearchResources", "front-desk", NAME),
        ("ListAppointments", "front-desk", NAME),
        ("ListOutbox", "front-desk", EMAIL),
        ("GetPatientSession", "proxy", NAME),
    ] {
        assert!(shown.contains(&seen), "{seen:?} was not shown: nothing was looked at");
    }
}
