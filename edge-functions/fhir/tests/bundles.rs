//! Batches and transactions.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use serde_json::{Value as Json, json};

mod support;

use support::Clinic;

fn bundle(kind: &str, entry: Vec<Json>) -> Json {
    json!({"resourceType": "Bundle", "type": kind, "entry": entry})
}

fn post(url: &str, name: &str, resource: Json) -> Json {
    json!({"fullUrl": name, "resource": resource, "request": {"method": "POST", "url": url}})
}

#[tokio::test]
async fn a_transaction_is_done_whole_and_its_parts_know_each_other() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let subject = json!({"reference": format!("Patient/{}", clinic.patients[0])});
    let condition = json!({"resourceType": "Condition", "subject": subject, "code": {"text": "Asthma"}});
    let names =
        ["urn:uuid:0b1b6b0e-6f5e-4d52-9d3a-111111111111", "urn:uuid:0b1b6b0e-6f5e-4d52-9d3a-222222222222"];
    let order = json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": subject,
                       "reasonReference": [{"reference": names[0]}]});
    let all = bundle(
        "transaction",
        vec![
            post("ServiceRequest", names[1], order.clone()),
            post("Condition", names[0], condition.clone()),
            json!({"request": {"method": "GET", "url": format!("Patient/{}", clinic.patients[0])}}),
        ],
    );
    let done = doctor.post("", &all).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(done.body["type"], "transaction-response");
    let statuses: Vec<_> = done.body["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["response"]["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["201 Created", "201 Created", "200 OK"]);
    let asthma = done.text("/entry/1/resource/id");
    let order_id = done.text("/entry/0/resource/id");
    let kept = doctor.get(&format!("/ServiceRequest/{order_id}")).await;
    assert_eq!(kept.text("/reasonReference/0/reference"), format!("Condition/{asthma}"));

    // One of them is wrong: nothing of it is there, and no event says that it was.
    let before = clinic.world.audit_trail().len();
    let mut bad = clinic.observation(0, 61, "2026-03-02");
    bad["subject"]["reference"] = json!("Patient/nobody");
    let all = bundle(
        "transaction",
        vec![post("Condition", names[0], condition.clone()), post("Observation", names[1], bad)],
    );
    let refused = doctor.post("", &all).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert_eq!(refused.text("/issue/0/expression/0"), "Bundle.entry[1].resource.subject");
    assert_eq!(doctor.found("/Condition").await, [asthma.as_str()]);
    let events = clinic.world.audit_trail();
    assert!(!events[before..].iter().any(|event| event.contains("resource-created")), "{events:?}");
    // Of one resource twice nobody could say what is left.
    let put = |status: &str| {
        json!({
        "resource": {"resourceType": "Condition", "id": asthma, "subject": subject, "code": {"text": status}},
        "request": {"method": "PUT", "url": format!("Condition/{asthma}")}})
    };
    assert_eq!(doctor.post("", &bundle("transaction", vec![put("a"), put("b")])).await.status, 422);
    let deleted = bundle(
        "transaction",
        vec![
            json!({"request": {"method": "DELETE", "url": format!("ServiceRequest/{order_id}")}}),
            put("Asthma, mild"),
        ],
    );
    assert_eq!(doctor.post("", &deleted).await.status, 200);
    assert_eq!(doctor.get(&format!("/Condition/{asthma}")).await.text("/code/text"), "Asthma, mild");
}

#[tokio::test]
async fn a_batch_does_what_it_can() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let mut wrong = clinic.observation(0, 61, "2026-03-02");
    wrong["status"] = json!("done");
    let done = doctor
        .post(
            "",
            &bundle(
                "batch",
                vec![
                    post("Observation", "urn:uuid:0b1b6b0e-6f5e-4d52-9d3a-111111111111", wrong),
                    post(
                        "Observation",
                        "urn:uuid:0b1b6b0e-6f5e-4d52-9d3a-222222222222",
                        clinic.observation(0, 62, "2026-03-02"),
                    ),
                    json!({"request": {"method": "GET", "url": "Observation?status=final"}}),
                    json!({"request": {"method": "GET", "url": "Starship/1"}}),
                ],
            ),
        )
        .await;
    let statuses: Vec<_> = done.body["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["response"]["status"].as_str().unwrap())
        .collect();
    assert_eq!(
        statuses,
        ["422 Unprocessable Entity", "201 Created", "200 OK", "422 Unprocessable Entity"],
        "{}",
        done.body
    );
    assert_eq!(done.body["entry"][2]["resource"]["entry"].as_array().unwrap().len(), 1);
    let many = (0..101).map(|_| json!({"request": {"method": "GET", "url": "Observation/1"}})).collect();
    assert_eq!(doctor.post("", &bundle("batch", many)).await.status, 422);
}

#[tokio::test]
async fn on_a_condition() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let mut observation = clinic.observation(0, 61, "2026-03-02");
    observation["identifier"] = json!([{"system": "urn:lab", "value": "1"}]);
    let if_none = [("if-none-exist", "identifier=urn:lab|1")];
    let send = async |body: &Json| {
        doctor.send(http::Method::POST, "/Observation", Some(body.clone()), &if_none).await
    };
    let first = send(&observation).await;
    assert_eq!(first.status, 201);
    let again = send(&observation).await;
    assert_eq!((again.status, &again.body["id"]), (200, &first.body["id"]));
    observation["status"] = json!("amended");
    let changed = doctor.put("/Observation?identifier=urn:lab|1", &observation, &[]).await;
    assert_eq!(
        (changed.status, &changed.body["id"], &changed.body["status"]),
        (200, &first.body["id"], &json!("amended"))
    );
    assert_eq!(doctor.put("/Observation?identifier=urn:lab|2", &observation, &[]).await.status, 201);
    assert_eq!(
        doctor.put("/Observation?identifier=urn:lab|1", &observation, &[]).await.refusal(),
        (412, "several")
    );
    assert_eq!(doctor.put("/Observation", &observation, &[]).await.refusal(), (400, "bad-search"));
}
