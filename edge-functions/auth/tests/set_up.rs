//! A clinic is what its bundle says: all of it or nothing, once or as often as one likes.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::AuthFunction;
use http::Method;
use kit::params;
use kit::policy::Role;
use kit::testing::{Answer, World};
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};

const TOKEN: [(&str, &str); 1] = [("authorization", "Bearer set-up-token")];

/// The one that documents show.
fn example() -> Json {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/clinic.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

async fn world() -> World {
    let world = World::new().await;
    world.set("setup_token", "set-up-token");
    world
}

async fn put(world: &World, query: &str, bundle: &Json) -> Answer {
    let path = format!("/auth/set-up{query}");
    world.client("demo").send::<AuthFunction>(Method::PUT, &path, Some(bundle.clone()), &TOKEN).await
}

async fn get(world: &World) -> Answer {
    world.client("demo").send::<AuthFunction>(Method::GET, "/auth/set-up", None, &TOKEN).await
}

/// What is not kept, as `step part key`.
fn changes(answer: &Answer) -> Vec<String> {
    let all = answer.body["changes"].as_array().unwrap().iter();
    let text = |change: &Json, name: &str| change[name].as_str().unwrap().to_owned();
    let line = |c: &Json| format!("{} {} {}", text(c, "step"), text(c, "part"), text(c, "key"));
    all.map(line).filter(|line| !line.starts_with("keep")).collect()
}

fn changed(bundle: &Json, pointer: &str, value: Json) -> Json {
    let mut other = bundle.clone();
    *other.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    other
}

/// Every row but of what happened.
async fn rows(world: &World) -> Vec<String> {
    let tables = world
        .query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'", vec![])
        .await;
    let mut rows = Vec::new();
    for table in tables.iter().map(|row| row.text(0).unwrap()) {
        let columns = world.query("SELECT name FROM pragma_table_info(?)", params![table.as_str()]).await;
        let columns: Vec<_> = columns.iter().map(|row| format!("quote({})", row.text(0).unwrap())).collect();
        let sql = format!("SELECT '{table} ' || {} FROM {table} ORDER BY 1", columns.join("||"));
        rows.extend(world.query(&sql, vec![]).await.iter().map(|row| row.text(0).unwrap()));
    }
    rows
}

#[tokio::test]
async fn the_example_makes_a_clinic_and_again_changes_nothing() {
    let world = world().await;
    let planned = put(&world, "?plan=true", &example()).await;
    assert_eq!((planned.status, &planned.body["applied"]), (200, &json!(false)), "{}", planned.body);
    assert_eq!(changes(&planned).len(), 1 + 2 + 3 + 4 + 4 + 2 + 1, "{}", planned.body);
    assert_eq!(world.count("SELECT count(*) FROM clinic").await, 0, "a plan does nothing");

    let made = put(&world, "", &example()).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(changes(&made), changes(&planned));
    assert_eq!(made.body["open"], true, "{}", made.body["checklist"]);
    assert_eq!(made.body["invitations"].as_array().unwrap().len(), 4);
    let trail = world.audit_trail();
    assert!(trail.contains(&"operator clinic-set-up".to_owned()), "{trail:?}");

    let before = rows(&world).await;
    let again = put(&world, "", &example()).await;
    assert_eq!(changes(&again), [""; 0], "{}", again.body);
    assert_eq!((&again.body["invitations"], &again.body["version"]), (&json!([]), &made.body["version"]));
    assert_eq!(rows(&world).await, before);

    // What is shown can be applied, and changes nothing either.
    let shown = get(&world).await;
    assert_eq!(shown.body["version"], made.body["version"]);
    assert_eq!(changes(&put(&world, "", &shown.body["bundle"]).await), [""; 0]);
    assert_eq!(rows(&world).await, before);

    // The link that came with it opens an account.
    let invitation = &made.body["invitations"][0];
    let chosen = json!({"token": invitation["token"], "password": "tulips over Oslo"});
    let enrolled = world.client("demo").post::<AuthFunction>("/auth/enrolments", chosen).await;
    assert_eq!(enrolled.status, 201, "{}", enrolled.body);
}

#[tokio::test]
async fn what_changed_is_named_and_done() {
    let world = world().await;
    put(&world, "", &example()).await;
    let mut next = changed(&example(), "/services/0/price/amount", json!("65.00"));
    next["sites"][1]["name"] = json!("Boise");
    next["staff"].as_array_mut().unwrap().retain(|member| member["username"] != "desk");
    next["staff"][0]["roles"] = json!(["doctor", "clinic-admin"]);
    next["staff"][0]["hours"].as_array_mut().unwrap().remove(0);
    next["staff"][0]["licences"][0]["validUntil"] = json!("2031-12-31");
    next["exceptions"] = json!([]);
    next["consents"][0]["text"] = json!("Another text.");
    next["questionnaires"] = json!([]);
    let done = put(&world, "", &next).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let told = changes(&done);
    for line in [
        "change service consult",
        "change site boise",
        "change staff grey",
        "remove staff desk",
        "change consent video-visit/US/en",
        "remove questionnaire intake",
    ] {
        assert!(told.contains(&line.to_owned()), "{line}: {told:?}");
    }
    assert_eq!(told.iter().filter(|line| line.starts_with("remove exception")).count(), 4);
    let grey = done.body["changes"].as_array().unwrap().iter().find(|c| c["key"] == "grey").unwrap();
    assert_eq!(grey["fields"], json!(["hours", "licences", "roles"]));
    assert_eq!(changes(&put(&world, "?plan=true", &next).await), [""; 0]);
    let old = "SELECT count(*) FROM consent_text WHERE removed_at IS NOT NULL";
    assert_eq!(world.count(old).await, 1, "what was agreed to stays");
    let left = "SELECT count(*) FROM staff_user WHERE username = 'desk' AND left_at IS NOT NULL";
    assert_eq!(world.count(left).await, 1);
    let clinic = world.client("demo").get::<SchedulingFunction>("/scheduling/clinic").await;
    assert_eq!(clinic.body["sites"][0]["name"], "Boise");
}

#[tokio::test]
async fn what_cannot_be_is_refused_where_it_stands_and_nothing_is_done() {
    let world = world().await;
    put(&world, "", &example()).await;
    let before = rows(&world).await;
    let long = "x".repeat(201);
    for (pointer, value, place) in [
        ("/staff/0/hours/0/rrule", json!("FREQ=WEEKLY;BYDAY=XX"), ""),
        ("/staff/0/hours/0/rrule", json!("FREQ=DAILY"), ""),
        ("/staff/0/hours/0/end", json!("08:00"), ""),
        ("/staff/0/hours/0/site", json!("nowhere"), ""),
        ("/services/0/price", json!({"amount": "-5.00", "currency": "USD"}), ""),
        ("/services/0/durationMinutes", json!(0), ""),
        ("/services/0/bufferAfterMinutes", json!(121), ""),
        ("/services/1/key", json!("consult"), ""),
        ("/services/2/capacity", json!(0), ""),
        ("/services/2/capacity", json!(13), ""),
        ("/services/2/capacity", json!(-1), ""),
        ("/services/2/capacity", json!(1.5), ""),
        ("/services/2/capacity", json!(18_446_744_073_709_551_615_u64), ""),
        ("/services/2/capacity", json!("many"), ""),
        ("/sites/0/rooms/1/key", json!("booth-1"), ""),
        ("/sites/0/rooms/0/key", json!("Booth 1"), ""),
        ("/sites/0/rooms/0/name", json!("\u{202e}1 htooB"), ""),
        ("/sites/0/rooms", json!("all"), ""),
        ("/sites/0/timeZone", json!("Mars/Olympus"), ""),
        ("/clinic/timeZone", json!("America/Nowhere"), ""),
        ("/clinic/name", json!(long), ""),
        ("/clinic/color", json!("red"), ""),
        ("/clinic/privacyOfficer/email", json!("nobody"), ""),
        ("/clinic", json!({"name": "A"}), ""),
        ("/staff/0/roles", json!(["patient"]), ""),
        ("/staff/1/username", json!("grey"), ""),
        ("/staff/0/licences/0/validUntil", json!("2020-01-01"), ""),
        ("/exceptions/0/until", json!("2026-12-23"), ""),
        ("/exceptions/1/end", json!("08:00"), ""),
        ("/exceptions/3/staff", json!("desk"), ""),
        ("/consents/1/language", json!("en"), "/consents/1/key"),
        ("/consents/0/language", json!("english"), ""),
        ("/questionnaires/0/questionnaire/resourceType", json!("Patient"), ""),
        ("/questionnaires/0/questionnaire/item", json!([]), ""),
        ("/questionnaires/0/questionnaire/item/1/linkId", json!("reason"), ""),
        ("/questionnaires/0/questionnaire/item/1/type", json!("tick"), ""),
        ("/services", json!("many"), ""),
    ] {
        let refused = put(&world, "", &changed(&example(), pointer, value.clone())).await;
        assert_eq!(refused.refusal(), (422, "invalid-input"), "{pointer} {value}: {}", refused.body);
        let wanted = if place.is_empty() { pointer } else { place };
        assert_eq!(refused.body["errors"][0]["pointer"], wanted, "{value}");
    }
    // A room is needed where there are none.
    let mut roomless = changed(&example(), "/sites/0/rooms", json!([]));
    roomless["services"][0]["needsRoom"] = json!(true);
    let refused = put(&world, "", &roomless).await;
    assert_eq!(refused.body["errors"][0]["pointer"], "/services/0/needsRoom", "{}", refused.body);
    let mut unknown = example();
    unknown["clinic"]["motto"] = json!("Well.");
    assert_eq!(put(&world, "", &unknown).await.refusal(), (422, "invalid-input"));
    // Half of it could be done; none of it is. The user name was taken by somebody who has left.
    let mut next = example();
    next["staff"].as_array_mut().unwrap().retain(|member| member["username"] != "desk");
    put(&world, "", &next).await;
    let gone = rows(&world).await;
    assert_ne!(gone, before);
    let mut back = example();
    back["sites"][0]["name"] = json!("Elsewhere");
    assert_eq!(put(&world, "", &back).await.refusal(), (409, "username-taken"));
    assert_eq!(rows(&world).await, gone);
}

#[tokio::test]
async fn rooms_come_change_and_go_and_what_has_one_keeps_it() {
    let world = world().await;
    put(&world, "", &example()).await;
    let rooms = "SELECT count(*) FROM site_room WHERE removed_at IS NULL";
    assert_eq!(world.count(rooms).await, 2);
    let first =
        world.query("SELECT id FROM site_room WHERE key = 'booth-1'", vec![]).await[0].text(0).unwrap();
    let mut next = changed(&example(), "/sites/0/rooms/0/name", json!("The quiet booth"));
    next["sites"][0]["rooms"].as_array_mut().unwrap().remove(1);
    next["sites"][1]["rooms"] = json!([{"key": "booth-1", "name": "Boise's"}]);
    next["services"][0]["needsRoom"] = json!(true);
    let done = put(&world, "", &next).await;
    assert_eq!(changes(&done), ["change site portland", "change site boise", "change service consult"]);
    assert_eq!(world.count(rooms).await, 2);
    let kept = world.query("SELECT id, name FROM site_room WHERE name = 'The quiet booth'", vec![]).await;
    assert_eq!(kept[0].text(0).unwrap(), first, "another name, the same room");
    assert_eq!(
        world.count("SELECT count(*) FROM site_room").await,
        3,
        "visits may have the one that is gone"
    );
    assert_eq!(changes(&put(&world, "", &get(&world).await.body["bundle"]).await), [""; 0]);
}

#[tokio::test]
async fn what_costs_by_the_minute_is_for_one_patient_at_a_time() {
    let world = world().await;
    put(&world, "", &example()).await;
    let sql = "INSERT INTO service_per_minute (clinic, service) SELECT clinic, id FROM service WHERE key = ?";
    world.run(sql, params!["consult"]).await;
    let next = changed(&example(), "/services/0/bufferAfterMinutes", json!(5));
    assert_eq!(put(&world, "?plan=true", &next).await.status, 200);
    let mut next = next;
    next["services"][0]["capacity"] = json!(2);
    for query in ["?plan=true", ""] {
        let refused = put(&world, query, &next).await;
        assert_eq!(refused.refusal(), (422, "invalid-input"), "{}", refused.body);
        assert_eq!(refused.body["errors"][0]["pointer"], "/services/0/capacity");
    }
    let admin = world.client("demo");
    admin.sign_in_as(Role::ClinicAdmin).await;
    let class = world.query("SELECT id FROM service WHERE key = 'walking'", vec![]).await[0].text(0).unwrap();
    let wanted = json!({"noShowPercent": 50, "atClinic": true, "perMinute": [class]});
    let path = "/payments/settings";
    let refused = admin.send::<payments::PaymentsFunction>(Method::PUT, path, Some(wanted), &[]).await;
    assert_eq!(refused.body["errors"][0]["pointer"], "/perMinute/0", "{}", refused.body);
}

#[tokio::test]
async fn patients_book_once_the_checklist_is_done() {
    let world = world().await;
    let mut bundle = example();
    bundle["clinic"].as_object_mut().unwrap().remove("privacyOfficer");
    let made = put(&world, "", &bundle).await;
    assert_eq!(made.body["open"], false, "{}", made.body);
    let missing: Vec<_> =
        made.body["checklist"].as_array().unwrap().iter().filter(|i| i["done"] == false).collect();
    assert_eq!(missing, [&json!({"item": "privacy-officer", "done": false})]);
    let client = world.client("demo");
    let clinic = client.get::<SchedulingFunction>("/scheduling/clinic").await;
    assert_eq!(clinic.body["open"], false);
    // Monday, 9:00 in Portland.
    let wish = json!({"service": clinic.text("/services/1/id"), "start": "2026-03-09T16:00:00Z",
                      "location": "US-OR"});
    let closed = client.post::<SchedulingFunction>("/scheduling/holds", wish.clone()).await;
    assert_eq!(closed.refusal(), (409, "not-open"));
    let open = put(&world, "", &example()).await;
    assert_eq!((changes(&open), &open.body["open"]), (vec!["change clinic clinic".to_owned()], &json!(true)));
    let held = client.post::<SchedulingFunction>("/scheduling/holds", wish).await;
    assert_eq!(held.status, 201, "{}", held.body);
    assert_eq!(held.text("/practitioner/name"), "Dr Meredith Grey");
    // What goes missing later closes nobody's door.
    assert_eq!(put(&world, "", &bundle).await.body["open"], true);
}

#[tokio::test]
async fn who_may_and_who_was_faster() {
    let world = world().await;
    let stranger = world.client("demo");
    let refused = stranger.send::<AuthFunction>(Method::PUT, "/auth/set-up", Some(example()), &[]).await;
    assert_eq!(refused.status, 401);
    let made = put(&world, "", &example()).await;
    let admin = world.client("demo");
    admin.sign_in_as(Role::ClinicAdmin).await;
    let shown = admin.get::<AuthFunction>("/auth/set-up").await;
    let next = changed(&shown.body["bundle"], "/clinic/name", json!("Another name"));
    let stale = format!("/auth/set-up?version={}", made.text("/version"));
    let late = admin.send::<AuthFunction>(Method::PUT, &stale, Some(next.clone()), &[]).await;
    assert_eq!(late.refusal(), (409, "set-up-changed"), "somebody has come since");
    let fresh = format!("/auth/set-up?version={}", shown.text("/version"));
    let done = admin.send::<AuthFunction>(Method::PUT, &fresh, Some(next), &[]).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(changes(&done), ["change clinic clinic"]);
}

#[tokio::test]
async fn whatever_people_are_called_is_kept_as_it_is() {
    let world = world().await;
    for name in ["🩺 Dr Ünïçødé 👩‍⚕️", "د. أميرة حداد", "'; DROP TABLE clinic; --", "<script>alert(1)</script>"]
    {
        let mut bundle = example();
        for pointer in [
            "/clinic/name",
            "/sites/0/name",
            "/sites/0/address",
            "/sites/0/rooms/0/name",
            "/services/0/name",
            "/staff/0/name",
            "/exceptions/0/name",
            "/consents/0/title",
            "/consents/0/text",
        ] {
            bundle = changed(&bundle, pointer, json!(name));
        }
        assert_eq!(put(&world, "", &bundle).await.status, 200, "{name}");
        let shown = get(&world).await.body["bundle"].to_string();
        assert_eq!(shown.matches(&json!(name).to_string()).count(), 9, "{shown}");
    }
}

#[tokio::test]
async fn a_clinic_from_before_there_were_bundles_gives_its_services_keys() {
    let world = world().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let bundle = json!({
        "clinic": {"name": "Test clinic", "timeZone": "Europe/Berlin"},
        "services": [{"key": "consult", "name": "Consult", "durationMinutes": 30,
                      "price": {"amount": "60.00", "currency": "EUR"}}],
        "staff": [{"username": seeded.doctor, "name": "Somebody", "roles": ["doctor"],
                   "hours": [{"rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU", "start": "09:00", "end": "12:00"}]}]
    });
    let kept = put(&world, "", &bundle).await;
    assert_eq!(changes(&kept), [""; 0], "{}", kept.body);
    assert_eq!(kept.body["open"], true, "it was");
    let shown = get(&world).await;
    assert_eq!(shown.text("/bundle/services/0/key"), "consult");
    let clinic = world.client("demo").get::<SchedulingFunction>("/scheduling/clinic").await;
    assert_eq!(clinic.text("/services/0/id"), seeded.service.to_string(), "the same service");
}
