//! Audit events as FHIR R4 `AuditEvent`, after the patterns of IHE BALP 1.1.3.

use kit::audit_log::{Found, Recorded, Report};
use serde_json::{Value as Json, json};

use crate::export::recorded;
use crate::names::Names;

const PROFILE: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";
const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";

/// All events of a report as one collection.
pub fn bundle(clinic: &str, report: &Report, names: &Names) -> Vec<u8> {
    let entry = |found| json!({"resource": audit_event(clinic, found, names)});
    let entries: Vec<Json> = report.events.iter().map(entry).collect();
    let mut bundle = json!({"resourceType": "Bundle", "type": "collection", "total": null, "entry": entries});
    if let Some(bundle) = bundle.as_object_mut() {
        // Only a search set may say how many there are.
        bundle.remove("total");
        if entries.is_empty() {
            bundle.remove("entry");
        }
    }
    serde_json::to_vec(&bundle).unwrap_or_default()
}

/// What kind of event it is: `type`, `subtype` and the pattern that it follows.
struct Kind {
    system: &'static str,
    code: &'static str,
    display: &'static str,
    interaction: Option<&'static str>,
    pattern: Option<&'static str>,
}

impl Kind {
    fn of(event: &Recorded) -> Self {
        let dicom = |code, display| Self { system: DCM, code, display, interaction: None, pattern: None };
        match event.code.as_str() {
            "sign-in" | "sign-in-begun" | "sign-in-failed" | "sign-in-locked" => {
                return dicom("110114", "User Authentication");
            }
            "sign-out" => return dicom("110114", "User Authentication"),
            "audit-read" => return dicom("110101", "Audit Log Used"),
            "audit-exported" | "audit-printed" => return dicom("110106", "Export"),
            "emergency-access" => return dicom("110113", "Security Alert"),
            _ => {}
        }
        let of_patient = event.patient.is_some() && event.status < 400;
        let (interaction, pattern) = match (event.action, event.code.as_str(), of_patient) {
            (
                'R',
                "day-read" | "outbox-read" | "message-work-read" | "threads-read" | "recalls-read"
                | "staff-read",
                _,
            ) => ("search-type", "Query"),
            ('R', _, true) => ("read", "PatientRead"),
            ('R', _, false) => ("read", "Read"),
            ('C', _, true) => ("create", "PatientCreate"),
            ('C', _, false) => ("create", "Create"),
            ('U', _, true) => ("update", "PatientUpdate"),
            ('U', _, false) => ("update", "Update"),
            ('D', _, true) => ("delete", "PatientDelete"),
            ('D', _, false) => ("delete", "Delete"),
            _ => ("operation", ""),
        };
        Self {
            system: "http://terminology.hl7.org/CodeSystem/audit-event-type",
            code: "rest",
            display: "RESTful Operation",
            interaction: Some(interaction),
            // The patterns are of what succeeded.
            pattern: Some(pattern).filter(|pattern| !pattern.is_empty() && event.status < 400),
        }
    }
}

fn audit_event(clinic: &str, found: &Found, names: &Names) -> Json {
    let event = &found.event;
    let kind = Kind::of(event);
    let interaction = kind
        .interaction
        .map(|code| json!({"system": "http://hl7.org/fhir/restful-interaction", "code": code}));
    let own = json!({"system": "urn:locum:audit", "code": event.code});
    let subtype: Vec<Json> = interaction.into_iter().chain([own]).collect();
    let mut resource = json!({
        "resourceType": "AuditEvent",
        "id": format!("{}-{}", found.origin, found.sequence),
        "type": {"system": kind.system, "code": kind.code, "display": kind.display},
        "subtype": subtype,
        "action": event.action,
        "recorded": recorded(found),
        "outcome": outcome(event.status),
        "outcomeDesc": event.status.to_string(),
        "agent": agents(event, names),
        "source": {
            "site": event.region,
            "observer": {"display": event.node},
            "type": [{
                "system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": "4",
                "display": "Application Server"
            }]
        },
        "entity": entities(clinic, event),
    });
    if let Some(pattern) = kind.pattern {
        resource["meta"] = json!({"profile": [format!("{PROFILE}{pattern}")]});
    }
    if let Some(purpose) = &event.purpose {
        let coding = json!({"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": purpose});
        resource["purposeOfEvent"] = json!([{"coding": [coding]}]);
    }
    resource
}

/// `http://hl7.org/fhir/ValueSet/audit-event-outcome`.
const fn outcome(status: u16) -> &'static str {
    match status {
        0..400 => "0",
        400..500 => "4",
        _ => "8",
    }
}

fn agents(event: &Recorded, names: &Names) -> Json {
    let person = |reference: &str| json!({"reference": format!("{reference}/{}", event.agent.as_deref().unwrap_or_default())});
    let who = match (event.agent_type.as_str(), &event.agent) {
        ("staff" | "signing-in", Some(id)) => {
            let mut who = person("Practitioner");
            if let Some(staff) = names.staff.get(id) {
                who["display"] = json!(staff.username);
            }
            who
        }
        ("visitor", Some(_)) => person("Appointment"),
        (kind, Some(id)) => json!({"identifier": {"system": format!("urn:locum:{kind}"), "value": id}}),
        (kind, None) => json!({"display": kind}),
    };
    let mut user = json!({
        "type": {"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"
        }]},
        "who": who,
        "requestor": true,
    });
    if let Some(token) = &event.token {
        user["policy"] = json!([format!("urn:locum:token:{token}")]);
    }
    // DICOM and IHE: whoever is shown something is the destination, who shows it the source.
    let (server, client) = match event.action {
        'R' => (("110153", "Source Role ID"), ("110152", "Destination Role ID")),
        _ => (("110152", "Destination Role ID"), ("110153", "Source Role ID")),
    };
    let role = |(code, display): (&str, &str), name: &str| {
        json!({
            "type": {"coding": [{"system": DCM, "code": code, "display": display}]},
            "who": {"display": name},
            "requestor": false,
        })
    };
    json!([role(client, "browser"), role(server, &event.node), user])
}

fn entities(clinic: &str, event: &Recorded) -> Json {
    let entity = |what: Json, kind: (&str, &str), role: (&str, &str)| {
        json!({
            "what": what,
            "type": {
                "system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": kind.0,
                "display": kind.1
            },
            "role": {
                "system": "http://terminology.hl7.org/CodeSystem/object-role", "code": role.0, "display": role.1
            },
        })
    };
    let mut entities = Vec::new();
    if let Some(patient) = &event.patient {
        let what = json!({"reference": format!("Patient/{patient}")});
        entities.push(entity(what, ("1", "Person"), ("1", "Patient")));
    }
    if let Some(kind) = &event.entity_type {
        let what = match event.entity.as_deref() {
            Some(id) if !matches!(kind.as_str(), "Day" | "Operation") && !id.contains('/') => {
                json!({"reference": format!("{kind}/{id}")})
            }
            id => json!({"identifier": {"system": format!("urn:locum:{kind}"), "value": id.unwrap_or("-")}}),
        };
        let mut data = entity(what, ("2", "System Object"), ("4", "Domain Resource"));
        let detail = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| json!({"type": name, "valueString": value}))
        };
        let details: Vec<Json> =
            [detail("old", &event.old), detail("new", &event.new)].into_iter().flatten().collect();
        if !details.is_empty() {
            data["detail"] = json!(details);
        }
        entities.push(data);
    }
    entities.push(json!({
        "what": {"identifier": {"system": format!("urn:locum:request:{clinic}"), "value": event.request}},
        "type": {
            "system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "code": "XrequestId"
        },
    }));
    Json::Array(entities)
}
