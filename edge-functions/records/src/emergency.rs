//! A clinician opens the record of somebody who is not their patient, with a reason, for some time: "break the glass".

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kit::audit::{Action, Purpose};
use kit::context::Context;
use kit::form::{self, Name};
use kit::ids::{EmergencyAccessId, EncounterId, MessageId, PatientId};
use kit::oversight::Oversight;
use kit::params;
use kit::phi::Phi;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

/// Shorter is no reason.
pub(crate) const SHORTEST: usize = 10;
/// Of one person in a day: whoever needs more is no exception any more.
pub(crate) const MOST: i64 = 50;
const SUBJECT: &str = "A record was opened in an emergency";
const BODY: &str =
    "Somebody of the staff opened a record that is not of their own patient. Please review it.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    reason: Phi<Name>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    expires_at: Timestamp,
}

/// `POST /records/encounters/{id}/emergency-access`. It holds for the patient's other encounters too; the privacy officer
/// is written to, and reviews it.
pub async fn create(context: &Context<'_>) -> Result<Reply, Problem> {
    let encounter = context.path_id(EncounterId::parse)?;
    let asked: Asked = form::read(&context.request)?;
    if asked.reason.open().as_str().chars().count() < SHORTEST {
        return Err(Problem::invalid("/reason", "must be 10 to 200 characters"));
    }
    let oversight = context.oversight().await?;
    let patient = patient_of(context, encounter).await?;
    let expires_at = context.now + SignedDuration::from_mins(i64::from(oversight.emergency_minutes));
    context
        .transaction(async || {
            let user = context.staff()?.user;
            let sql = "INSERT INTO emergency_access
                         (clinic, id, user, patient, encounter, reason, created_at, expires_at)
                       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
                       WHERE (SELECT count(*) FROM emergency_access
                              WHERE clinic = ?1 AND user = ?3 AND created_at > ?9) < ?10";
            let id = EmergencyAccessId::new(context.now)?;
            let (reason, now) = (asked.reason.open().as_str(), context.now);
            let day = now - SignedDuration::from_hours(24);
            let values =
                params![&context.clinic, id, user, patient, encounter, reason, now, expires_at, day, MOST];
            if context.database().execute(sql, values).await? == 0 {
                let title = "Too many records were opened in this way today";
                return Err(Problem::new(StatusCode::CONFLICT, "too-many-emergencies", title));
            }
            context.purpose(Purpose::BreakTheGlass);
            context.audit(Action::EmergencyAccess, Some(&encounter));
            alert(context, &oversight, SUBJECT, BODY).await
        })
        .await?;
    reply::json(StatusCode::CREATED, &Granted { expires_at })
}

async fn patient_of(context: &Context<'_>, encounter: EncounterId) -> Result<PatientId, Problem> {
    let sql = "SELECT a.patient FROM encounter e
               JOIN appointment a ON a.clinic = e.clinic AND a.id = e.appointment
               WHERE e.clinic = ? AND e.id = ?";
    let rows = context.database().query(sql, params![&context.clinic, encounter]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such encounter"))?;
    Ok(row.parsed(0, PatientId::parse)?)
}

/// Writes to the privacy officer: that it happened, and where to look; not who, whom or why.
pub(crate) async fn alert(
    context: &Context<'_>,
    oversight: &Oversight,
    subject: &str,
    body: &str,
) -> Result<(), Problem> {
    let Some(email) = &oversight.alert_email else { return Ok(()) };
    let pages = context.variable("pages_origin").await?;
    let link = format!("{pages}/clinic/{}/reviews", context.clinic);
    let sql = "INSERT INTO outbox_message (clinic, id, recipient, subject, body, link, created_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let id = MessageId::new(context.now)?;
    let values = params![&context.clinic, id, email.as_str(), subject, body, link, context.now];
    context.database().execute(sql, values).await?;
    Ok(())
}
