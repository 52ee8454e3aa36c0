//! What the application keeps in tables of its own, as FHIR shows it. Names are whole names, as people gave them: which
//! part is the family's is not known here.

use jiff::Timestamp;
use kit::database::{DatabaseError, Row};
use serde_json::{Value as Json, json};

use crate::source::{FIRST, Source};

/// What a parameter looks at: expressions of SQL, ours.
#[derive(Debug)]
pub(crate) enum Column {
    /// Words.
    Text(&'static str),
    /// A code, and the system it is of.
    Code(&'static str, &'static str),
    /// From when until when, in milliseconds.
    Time(&'static str, &'static str),
    /// A local day, `YYYY-MM-DD`.
    Day(&'static str),
    /// The id of a resource of that type.
    Id(&'static str, &'static str),
}

use Column::{Code, Day, Id, Text, Time};

/// One for each type.
pub(crate) static SOURCES: &[Source] = &[
    Source {
        kind: "Patient",
        from: "patient p",
        clinic: "p.clinic",
        id: "p.id",
        updated: "p.created_at",
        patient: "p.id",
        only: "1 = 1",
        columns: "p.name, p.birth_date, p.email",
        parameters: &[
            ("name", Text("p.name")),
            ("birthdate", Day("p.birth_date")),
            ("email", Code("lower(p.email)", "email")),
            ("telecom", Code("lower(p.email)", "email")),
        ],
        read: patient,
    },
    Source {
        kind: "Practitioner",
        from: "practitioner p JOIN staff_user u ON u.clinic = p.clinic AND u.id = p.user",
        clinic: "p.clinic",
        id: "p.id",
        updated: "u.created_at",
        patient: "NULL",
        only: "1 = 1",
        columns: "p.name, u.left_at",
        parameters: &[
            ("name", Text("p.name")),
            ("active", Code("CASE WHEN u.left_at IS NULL THEN 'true' ELSE 'false' END", "")),
        ],
        read: practitioner,
    },
    Source {
        kind: "Organization",
        from: "clinic c",
        clinic: "c.clinic",
        id: "c.clinic",
        updated: "c.created_at",
        patient: "NULL",
        only: "1 = 1",
        columns: "c.name",
        parameters: &[("name", Text("c.name"))],
        read: organization,
    },
    Source {
        kind: "Location",
        from: "site s",
        clinic: "s.clinic",
        id: "s.id",
        updated: "s.created_at",
        patient: "NULL",
        only: "1 = 1",
        columns: "s.name, s.address, s.removed_at, s.clinic",
        parameters: &[
            ("name", Text("s.name")),
            ("status", Code("CASE WHEN s.removed_at IS NULL THEN 'active' ELSE 'inactive' END", "")),
            ("organization", Id("s.clinic", "Organization")),
        ],
        read: location,
    },
    Source {
        kind: "HealthcareService",
        from: "service s",
        clinic: "s.clinic",
        id: "s.id",
        updated: "NULL",
        patient: "NULL",
        only: "1 = 1",
        columns: "s.name, s.removed_at, s.clinic",
        parameters: &[
            ("name", Text("s.name")),
            ("active", Code("CASE WHEN s.removed_at IS NULL THEN 'true' ELSE 'false' END", "")),
            ("organization", Id("s.clinic", "Organization")),
        ],
        read: service,
    },
    Source {
        kind: "Appointment",
        from: "appointment a JOIN service s ON s.clinic = a.clinic AND s.id = a.service",
        clinic: "a.clinic",
        id: "a.id",
        updated:
            "max(a.created_at, coalesce(a.arrived_at, 0), coalesce(a.admitted_at, 0), coalesce(a.ended_at, 0),
                      coalesce(a.cancelled_at, 0))",
        patient: "a.patient",
        only: "1 = 1",
        columns: "a.status, a.start_at, a.end_at, a.patient, a.practitioner, s.name, a.created_at",
        parameters: &[
            ("patient", Id("a.patient", "Patient")),
            ("practitioner", Id("a.practitioner", "Practitioner")),
            ("date", Time("a.start_at", "a.start_at + 1")),
            ("status", Code("a.status", "http://hl7.org/fhir/appointmentstatus")),
        ],
        read: appointment,
    },
    Source {
        kind: "Encounter",
        from: "encounter e JOIN appointment a ON a.clinic = e.clinic AND a.id = e.appointment",
        clinic: "e.clinic",
        id: "e.id",
        updated: "max(a.created_at, coalesce(e.started_at, 0), coalesce(e.ended_at, 0), coalesce(e.note_updated_at, 0))",
        patient: "a.patient",
        only: "1 = 1",
        columns: "e.status, e.started_at, e.ended_at, a.patient, a.practitioner, a.id",
        parameters: &[
            ("patient", Id("a.patient", "Patient")),
            ("subject", Id("a.patient", "Patient")),
            ("practitioner", Id("a.practitioner", "Practitioner")),
            ("participant", Id("a.practitioner", "Practitioner")),
            ("appointment", Id("a.id", "Appointment")),
            ("date", Time("coalesce(e.started_at, a.start_at)", "coalesce(e.ended_at, a.end_at)")),
            ("status", Code("e.status", "http://hl7.org/fhir/encounter-status")),
            ("class", Code("'VR'", ACT_CODE)),
        ],
        read: encounter,
    },
    Source {
        kind: "Questionnaire",
        from: "questionnaire q",
        clinic: "q.clinic",
        id: "q.id",
        updated: "max(q.created_at, coalesce(q.removed_at, 0))",
        patient: "NULL",
        only: "1 = 1",
        columns: "q.content, q.removed_at",
        parameters: &[(
            "status",
            Code(
                "CASE WHEN q.removed_at IS NULL THEN 'active' ELSE 'retired' END",
                "http://hl7.org/fhir/publication-status",
            ),
        )],
        read: questionnaire,
    },
    Source {
        kind: "QuestionnaireResponse",
        from: "questionnaire_response q JOIN appointment a ON a.clinic = q.clinic AND a.id = q.appointment
               JOIN encounter e ON e.clinic = a.clinic AND e.appointment = a.id",
        clinic: "q.clinic",
        id: "q.id",
        updated: "q.authored_at",
        patient: "a.patient",
        only: "1 = 1",
        columns: "q.resource, q.status, q.authored_at, a.patient, e.id",
        parameters: &[
            ("patient", Id("a.patient", "Patient")),
            ("subject", Id("a.patient", "Patient")),
            ("encounter", Id("e.id", "Encounter")),
            ("authored", Time("q.authored_at", "q.authored_at + 1")),
            ("status", Code("q.status", "http://hl7.org/fhir/questionnaire-answers-status")),
        ],
        read: response,
    },
];

const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

fn to(kind: &str, id: &str) -> Json {
    json!({"reference": format!("{kind}/{id}")})
}

fn at(row: &Row, column: usize) -> Result<Option<String>, DatabaseError> {
    Ok(row.time_or_null(FIRST + column)?.map(|at: Timestamp| at.to_string()))
}

fn patient(row: &Row) -> Result<Json, DatabaseError> {
    Ok(json!({
        "name": [{"text": row.text(FIRST)?}],
        "birthDate": row.text(FIRST + 1)?,
        "telecom": [{"system": "email", "value": row.text(FIRST + 2)?}],
    }))
}

fn practitioner(row: &Row) -> Result<Json, DatabaseError> {
    let is_active = row.integer_or_null(FIRST + 1)?.is_none();
    Ok(json!({"active": is_active, "name": [{"text": row.text(FIRST)?}]}))
}

fn organization(row: &Row) -> Result<Json, DatabaseError> {
    Ok(json!({"active": true, "name": row.text(FIRST)?}))
}

fn location(row: &Row) -> Result<Json, DatabaseError> {
    let status = if row.integer_or_null(FIRST + 2)?.is_none() { "active" } else { "inactive" };
    let organization = to("Organization", &row.text(FIRST + 3)?);
    Ok(json!({
        "status": status, "name": row.text(FIRST)?, "address": {"text": row.text(FIRST + 1)?},
        "managingOrganization": organization,
    }))
}

fn service(row: &Row) -> Result<Json, DatabaseError> {
    let is_active = row.integer_or_null(FIRST + 1)?.is_none();
    let organization = to("Organization", &row.text(FIRST + 2)?);
    Ok(json!({"active": is_active, "name": row.text(FIRST)?, "providedBy": organization}))
}

fn appointment(row: &Row) -> Result<Json, DatabaseError> {
    let participant = |kind: &str, id: &str| json!({"actor": to(kind, id), "status": "accepted"});
    Ok(json!({
        "status": row.text(FIRST)?,
        "serviceType": [{"text": row.text(FIRST + 5)?}],
        "start": at(row, 1)?,
        "end": at(row, 2)?,
        "created": at(row, 6)?,
        "participant": [
            participant("Patient", &row.text(FIRST + 3)?),
            participant("Practitioner", &row.text(FIRST + 4)?),
        ],
    }))
}

fn encounter(row: &Row) -> Result<Json, DatabaseError> {
    let mut encounter = json!({
        "status": row.text(FIRST)?,
        "class": {"system": ACT_CODE, "code": "VR", "display": "virtual"},
        "subject": to("Patient", &row.text(FIRST + 3)?),
        "participant": [{"individual": to("Practitioner", &row.text(FIRST + 4)?)}],
        "appointment": [to("Appointment", &row.text(FIRST + 5)?)],
    });
    for (name, column) in [("start", 1), ("end", 2)] {
        if let Some(at) = at(row, column)? {
            encounter["period"][name] = at.into();
        }
    }
    Ok(encounter)
}

fn questionnaire(row: &Row) -> Result<Json, DatabaseError> {
    let mut content: Json = row.parsed(FIRST, |text| serde_json::from_str(text).ok())?;
    if row.integer_or_null(FIRST + 1)?.is_some() {
        content["status"] = "retired".into();
    }
    Ok(content)
}

fn response(row: &Row) -> Result<Json, DatabaseError> {
    let mut content: Json = row.parsed(FIRST, |text| serde_json::from_str(text).ok())?;
    content["status"] = row.text(FIRST + 1)?.into();
    content["authored"] = at(row, 2)?.into();
    content["subject"] = to("Patient", &row.text(FIRST + 3)?);
    content["encounter"] = to("Encounter", &row.text(FIRST + 4)?);
    Ok(content)
}
