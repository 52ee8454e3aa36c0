//! The visits of a patient with an account, for the patient and for who acts for them.

use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::fhir::AppointmentStatus;
use kit::ids::AppointmentId;
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::visit::Named;

/// Newest first; what is older is not listed.
const MOST: i64 = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnVisits {
    time_zone: String,
    visits: Vec<OwnVisit>,
}

#[derive(Serialize)]
struct OwnVisit {
    id: AppointmentId,
    start: Timestamp,
    end: Timestamp,
    status: AppointmentStatus,
    practitioner: Named,
    service: Named,
}

/// `GET /scheduling/own-visits`: of everybody booked with the account's address and date of birth.
pub async fn list_own_visits(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let account = context.person()?.account;
    let sql = "SELECT a.id, a.start_at, a.end_at, a.status, t.name, s.name
               FROM patient_account c
               JOIN patient p ON p.clinic = c.clinic AND lower(p.email) = c.email AND p.birth_date = c.birth_date
               JOIN appointment a ON a.clinic = p.clinic AND a.patient = p.id
               JOIN practitioner t ON t.clinic = a.clinic AND t.id = a.practitioner
               JOIN service s ON s.clinic = a.clinic AND s.id = a.service
               WHERE c.clinic = ? AND c.id = ? ORDER BY a.start_at DESC, a.id LIMIT ?";
    let rows = context.database().query(sql, params![&context.clinic, account, MOST]).await?;
    let visits = rows.iter().map(read).collect::<Result<_, _>>()?;
    context.audit(Action::OwnVisitsRead, Some(&account));
    reply::ok(&OwnVisits { time_zone: context.clinic().await?.time_zone, visits })
}

fn read(row: &Row) -> Result<OwnVisit, DatabaseError> {
    Ok(OwnVisit {
        id: row.parsed(0, AppointmentId::parse)?,
        start: row.time(1)?,
        end: row.time(2)?,
        status: row.parsed(3, AppointmentStatus::parse)?,
        practitioner: Named { name: row.text(4)? },
        service: Named { name: row.text(5)? },
    })
}
