//! Where resources of a type come from: kept as they came, or shown of the application's own tables. Both look the same
//! from here: rows that can be found, and read.

use jiff::Timestamp;
use kit::context::{Context, Reach};
use kit::database::{DatabaseError, Row, Value};
use kit::policy;
use kit::problem::Problem;
use kit::resources::is_stored;
use serde_json::Value as Json;

use crate::projection::{self, Column};
use crate::store;

/// A resource as it is answered. No `Debug`: it is health data.
pub(crate) struct Found {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    /// `None`: there are no versions of it.
    pub(crate) version: Option<i64>,
    pub(crate) updated: Option<Timestamp>,
    /// Whose record it is of.
    pub(crate) patient: Option<String>,
    /// Where it stands in the order that was asked for.
    pub(crate) order: Value,
    pub(crate) content: Json,
}

/// How rows of a type are asked for. What stands in SQL here is ours.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) kind: &'static str,
    /// Tables, and how they belong together.
    pub(crate) from: &'static str,
    /// Columns of the first of them: its clinic, id, time of last change, patient (or `NULL`).
    pub(crate) clinic: &'static str,
    pub(crate) id: &'static str,
    pub(crate) updated: &'static str,
    pub(crate) patient: &'static str,
    /// What must hold of a row.
    pub(crate) only: &'static str,
    pub(crate) columns: &'static str,
    /// What it can be found by; of what is kept as it came, all that FHIR names.
    pub(crate) parameters: &'static [(&'static str, Column)],
    /// The resource of a row whose columns begin at [`FIRST`].
    pub(crate) read: fn(&Row) -> Result<Json, DatabaseError>,
}

/// Where a source's own columns begin: behind id, time, patient, order.
pub(crate) const FIRST: usize = 4;
/// Ids that are asked for at once.
const MAX_IDS: usize = 100;

/// The source of a type.
pub(crate) fn find(kind: &str) -> Option<&'static Source> {
    if is_stored(kind) {
        store::source(kind)
    } else {
        projection::SOURCES.iter().find(|source| source.kind == kind)
    }
}

impl Source {
    pub(crate) fn is_stored(&self) -> bool {
        is_stored(self.kind)
    }

    /// The statement that gives rows, up to its conditions; `order` is an expression.
    pub(crate) fn select(&self, order: &str) -> String {
        let Self { id, updated, patient, columns, from, clinic, only, .. } = self;
        format!(
            "SELECT {id}, {updated}, {patient}, {order}, {columns} FROM {from} WHERE {clinic} = ? AND {only}"
        )
    }

    pub(crate) fn found(&self, row: &Row) -> Result<Found, DatabaseError> {
        let mut content = (self.read)(row)?;
        let (id, updated) = (row.text(0)?, row.time_or_null(1)?);
        let version = if self.is_stored() { Some(row.integer(FIRST + 1)?) } else { None };
        content["resourceType"] = self.kind.into();
        content["id"] = id.clone().into();
        if let Some(version) = version {
            content["meta"]["versionId"] = version.to_string().into();
        }
        if let Some(updated) = updated {
            content["meta"]["lastUpdated"] = updated.to_string().into();
        }
        let order = row.integer(3).map_or_else(|_| Value::from(id.as_str()), Value::from);
        let patient = row.text_or_null(2)?;
        Ok(Found { kind: self.kind, id, version, updated, patient, order, content })
    }
}

/// The resource of that id that the caller may see.
pub(crate) async fn read(
    context: &Context<'_>,
    kind: &'static str,
    id: &str,
    reach: Reach,
) -> Result<Found, Problem> {
    let found = read_all(context, kind, &[id.to_owned()], reach).await?;
    let Some(found) = found.into_iter().next() else {
        return Err(store::gone_or_unknown(context, kind, id, reach).await?);
    };
    may_open(context, &found).await?;
    Ok(found)
}

/// Those of the ids that there are; which of them the caller may open is theirs to ask.
pub(crate) async fn read_all(
    context: &Context<'_>,
    kind: &'static str,
    ids: &[String],
    reach: Reach,
) -> Result<Vec<Found>, Problem> {
    let Some(source) = find(kind) else { return Ok(Vec::new()) };
    let ids = &ids[..ids.len().min(MAX_IDS)];
    let marks = vec!["?"; ids.len()].join(", ");
    let mut sql = format!("{} AND {} IN ({marks})", source.select("0"), source.id);
    let mut values = vec![Value::from(context.clinic.as_str())];
    values.extend(ids.iter().map(|id| Value::from(id.as_str())));
    bind_patient(source, reach, &mut sql, &mut values);
    let rows = context.database().query(&sql, values).await?;
    rows.iter().map(|row| source.found(row).map_err(Problem::from)).collect()
}

/// Whoever reaches one patient only finds nothing of others.
pub(crate) fn bind_patient(source: &Source, reach: Reach, sql: &mut String, values: &mut Vec<Value>) {
    if let Some(patient) = reach.only_patient
        && source.patient != "NULL"
    {
        sql.push_str(&format!(" AND {} = ?", source.patient));
        values.push(Value::from(patient.to_string()));
    }
}

/// Whether only those who treat may see it, and so only of patients whose record they may open.
pub(crate) fn is_clinical(kind: &str) -> bool {
    use kit::policy::Role::{Billing, ClinicAdmin, FrontDesk};
    policy::resource(kind).is_some_and(|rule| rule.of_roles(&[Billing, ClinicAdmin, FrontDesk]).is_empty())
}

/// Refuses a clinician who has nothing to do with the patient.
pub(crate) async fn may_open(context: &Context<'_>, found: &Found) -> Result<(), Problem> {
    match &found.patient {
        Some(patient) if is_clinical(found.kind) => context.may_open_patient(patient).await,
        _ => Ok(()),
    }
}
