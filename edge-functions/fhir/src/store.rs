//! Resources that are kept as they come, each version of them, and the keys by which they are found.

use fhir_model::search::{self, Key};
use http::StatusCode;
use kit::audit::Action;
use kit::context::{Context, Reach};
use kit::database::{DatabaseError, Row, Value};
use kit::params;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::scopes::Permissions;
use serde_json::{Value as Json, json};

use crate::outcome;
use crate::source::{self, FIRST, Found, Source};

/// Versions in a history.
const MAX_VERSIONS: i64 = 100;

macro_rules! stored {
    ($($kind:literal)+) => {
        &[$(Source {
            kind: $kind,
            from: "fhir_resource r",
            clinic: "r.clinic",
            id: "r.id",
            updated: "r.updated_at",
            patient: "r.patient",
            only: concat!("r.type = '", $kind, "' AND r.deleted = 0"),
            columns: "r.content, r.version",
            parameters: &[],
            read: content,
        },)+]
    };
}

/// As in [`kit::resources::STORED`].
static SOURCES: &[Source] = stored!(
    "AllergyIntolerance" "Condition" "DocumentReference" "MedicationRequest" "Observation" "Provenance" "ServiceRequest" "Task"
);

pub(crate) fn source(kind: &str) -> Option<&'static Source> {
    SOURCES.iter().find(|source| source.kind == kind)
}

fn content(row: &Row) -> Result<Json, DatabaseError> {
    row.parsed(FIRST, |text| serde_json::from_str(text).ok())
}

/// What is there under that id, gone or not.
pub(crate) struct Standing {
    pub(crate) version: i64,
    pub(crate) is_deleted: bool,
    pub(crate) patient: Option<String>,
}

pub(crate) async fn standing(
    context: &Context<'_>,
    kind: &str,
    id: &str,
) -> Result<Option<Standing>, Problem> {
    let sql = "SELECT version, deleted, patient FROM fhir_resource WHERE clinic = ? AND type = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, kind, id]).await?;
    let read = |row: &Row| {
        Ok::<_, DatabaseError>(Standing {
            version: row.integer(0)?,
            is_deleted: row.integer(1)? == 1,
            patient: row.text_or_null(2)?,
        })
    };
    Ok(rows.first().map(read).transpose()?)
}

/// Why nothing was found: it is gone, or was never there for whoever asks.
pub(crate) async fn gone_or_unknown(
    context: &Context<'_>,
    kind: &str,
    id: &str,
    reach: Reach,
) -> Result<Problem, Problem> {
    let standing = standing(context, kind, id).await?;
    let seen = |patient: &Option<String>| {
        reach.only_patient.is_none_or(|only| patient.as_deref() == Some(only.to_string().as_str()))
    };
    Ok(match standing {
        Some(Standing { is_deleted: true, patient, .. }) if seen(&patient) => {
            Problem::new(StatusCode::GONE, "deleted", "It was deleted")
        }
        _ => Problem::not_found("No such resource"),
    })
}

/// Keeps a version of a resource: the first, if `version` is 1. `content` has neither id nor version.
pub(crate) async fn keep(
    context: &Context<'_>,
    (kind, id, version): (&'static str, &str, i64),
    patient: Option<&str>,
    content: &Json,
) -> Result<(), Problem> {
    let (clinic, database, now) = (&context.clinic, context.database(), context.now);
    let text = content.to_string();
    let changed = if version == 1 {
        let sql = "INSERT INTO fhir_resource (clinic, type, id, version, updated_at, patient, content)
                   VALUES (?, ?, ?, 1, ?, ?, ?) ON CONFLICT (clinic, type, id) DO NOTHING";
        database.execute(sql, params![clinic, kind, id, now, patient, text.clone()]).await?
    } else {
        let sql =
            "UPDATE fhir_resource SET version = ?1, updated_at = ?2, patient = ?3, content = ?4, deleted = 0
                   WHERE clinic = ?5 AND type = ?6 AND id = ?7 AND version = ?1 - 1";
        database.execute(sql, params![version, now, patient, text.clone(), clinic, kind, id]).await?
    };
    if changed == 0 {
        return Err(conflict());
    }
    note_version(context, (kind, id, version), false, text).await?;
    drop_keys(context, kind, id).await?;
    add_keys(context, kind, id, content).await
}

/// Deletes what is there; the last version says so.
pub(crate) async fn remove(
    context: &Context<'_>,
    (kind, id, version): (&'static str, &str, i64),
) -> Result<(), Problem> {
    let sql = "UPDATE fhir_resource SET version = ?1, updated_at = ?2, content = '{}', deleted = 1
               WHERE clinic = ?3 AND type = ?4 AND id = ?5 AND version = ?1 - 1 AND deleted = 0";
    let values = params![version, context.now, &context.clinic, kind, id];
    if context.database().execute(sql, values).await? == 0 {
        return Err(conflict());
    }
    note_version(context, (kind, id, version), true, "{}".to_owned()).await?;
    drop_keys(context, kind, id).await
}

/// Somebody else was there in between.
pub(crate) fn conflict() -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "changed", "It was changed since you read it")
}

async fn note_version(
    context: &Context<'_>,
    (kind, id, version): (&str, &str, i64),
    is_deleted: bool,
    content: String,
) -> Result<(), Problem> {
    let sql = "INSERT INTO fhir_version (clinic, type, id, version, updated_at, deleted, content)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let values = params![&context.clinic, kind, id, version, context.now, i64::from(is_deleted), content];
    context.database().execute(sql, values).await?;
    Ok(())
}

async fn drop_keys(context: &Context<'_>, kind: &str, id: &str) -> Result<(), Problem> {
    let sql = "DELETE FROM fhir_key WHERE clinic = ? AND type = ? AND id = ?";
    context.database().execute(sql, params![&context.clinic, kind, id]).await?;
    Ok(())
}

/// One statement for all of them: each is a round through the host.
async fn add_keys(context: &Context<'_>, kind: &str, id: &str, content: &Json) -> Result<(), Problem> {
    const AT_ONCE: usize = 50;
    let keys: Vec<(&str, Key)> = search::parameters(kind)
        .iter()
        .flat_map(|parameter| parameter.keys(content).into_iter().map(|key| (parameter.name, key)))
        .collect();
    for some in keys.chunks(AT_ONCE) {
        let marks = vec!["(?, ?, ?, ?, ?, ?, ?, ?)"; some.len()].join(", ");
        let sql = format!(
            "INSERT INTO fhir_key (clinic, type, id, name, system, value, low, high) VALUES {marks}
             ON CONFLICT DO NOTHING"
        );
        let mut values = Vec::with_capacity(some.len() * 8);
        for (name, key) in some {
            let (system, value, low, high) = columns(key);
            values.extend(params![&context.clinic, kind, id, *name, system, value, low, high]);
        }
        context.database().execute(&sql, values).await?;
    }
    Ok(())
}

/// System, value, low and high of a key.
fn columns(key: &Key) -> (String, String, i64, i64) {
    match key.clone() {
        Key::Date(range) => (String::new(), String::new(), range.from_ms, range.until_ms),
        Key::Number { micro, system, code } => (format!("{system}|{code}"), String::new(), micro, micro),
        Key::Reference(text) | Key::Uri(text) => (String::new(), text, 0, 0),
        // What was written stands beside what is compared, for `:exact`.
        Key::String(folded, text) => (text, folded, 0, 0),
        Key::Token(system, code) => (system, code, 0, 0),
    }
}

fn of_version(kind: &'static str, id: &str, row: &Row) -> Result<(Found, bool), Problem> {
    let (version, updated, is_deleted) = (row.integer(0)?, row.time(1)?, row.integer(2)? == 1);
    let mut content: Json = row.parsed(3, |text| serde_json::from_str(text).ok())?;
    content["resourceType"] = kind.into();
    content["id"] = id.into();
    content["meta"]["versionId"] = version.to_string().into();
    content["meta"]["lastUpdated"] = updated.to_string().into();
    let (version, updated, order) = (Some(version), Some(updated), Value::Null);
    let found = Found { kind, id: id.to_owned(), version, updated, patient: None, order, content };
    Ok((found, is_deleted))
}

/// Refuses who may not see it; whose record it is of.
async fn seen(context: &Context<'_>, kind: &'static str, id: &str) -> Result<Option<String>, Problem> {
    let reach = context.access_to(kind, Permissions::READ)?;
    let unknown = || Problem::not_found("No such resource");
    let standing = standing(context, kind, id).await?.ok_or_else(unknown)?;
    if reach.only_patient.is_some_and(|only| standing.patient.as_deref() != Some(&only.to_string())) {
        return Err(unknown());
    }
    if let Some(patient) = standing.patient.as_deref().filter(|_| source::is_clinical(kind)) {
        context.may_open_patient(patient).await?;
    }
    Ok(standing.patient)
}

/// `GET /fhir/R4/{type}/{id}/_history/{version}`.
pub(crate) async fn version(context: &Context<'_>, kind: &'static str, id: &str) -> Result<Reply, Problem> {
    let unknown = || Problem::not_found("No such version");
    let wanted = crate::segment(context, 3).and_then(|text| text.parse::<i64>().ok()).ok_or_else(unknown)?;
    let patient = seen(context, kind, id).await?;
    let sql = "SELECT version, updated_at, deleted, content FROM fhir_version
               WHERE clinic = ? AND type = ? AND id = ? AND version = ?";
    let rows = context.database().query(sql, params![&context.clinic, kind, id, wanted]).await?;
    let (found, is_deleted) = of_version(kind, id, rows.first().ok_or_else(unknown)?)?;
    context.audit_of(Action::ResourceRead(kind), &id, patient.as_deref());
    if is_deleted {
        return Err(Problem::new(StatusCode::GONE, "deleted", "It was deleted in that version"));
    }
    outcome::resource(StatusCode::OK, &found)
}

/// `GET /fhir/R4/{type}/{id}/_history`: the newest first.
pub(crate) async fn history(context: &Context<'_>, kind: &'static str, id: &str) -> Result<Reply, Problem> {
    let patient = seen(context, kind, id).await?;
    let sql = "SELECT version, updated_at, deleted, content FROM fhir_version
               WHERE clinic = ? AND type = ? AND id = ? ORDER BY version DESC LIMIT ?";
    let rows = context.database().query(sql, params![&context.clinic, kind, id, MAX_VERSIONS]).await?;
    let base = crate::search::base(context);
    let mut entries = Vec::new();
    for row in &rows {
        let (found, is_deleted) = of_version(kind, id, row)?;
        let version = found.version.unwrap_or_default();
        let (method, status) = match (is_deleted, version) {
            (true, _) => ("DELETE", "204"),
            (_, 1) => ("PUT", "201"),
            _ => ("PUT", "200"),
        };
        let mut entry = json!({
            "fullUrl": format!("{base}/{kind}/{id}"),
            "request": {"method": method, "url": format!("{kind}/{id}")},
            "response": {"status": status, "etag": format!("W/\"{version}\""),
                         "lastModified": found.updated.map(|at| at.to_string())},
        });
        if !is_deleted {
            entry["resource"] = found.content;
        }
        entries.push(entry);
    }
    context.audit_of(Action::ResourceRead(kind), &id, patient.as_deref());
    let total = entries.len();
    outcome::json(
        StatusCode::OK,
        &json!({"resourceType": "Bundle", "type": "history", "total": total, "entry": entries}),
    )
}
