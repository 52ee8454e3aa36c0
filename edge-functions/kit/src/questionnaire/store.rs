//! Which questionnaires a clinic has.

use serde_json::Value as Json;

use super::Questionnaire;
use crate::context::Context;
use crate::ids::{AppointmentId, QuestionnaireId};
use crate::params;
use crate::problem::Problem;

/// A questionnaire of the clinic.
pub struct Stored {
    /// Its id.
    pub id: QuestionnaireId,
    /// Whether nobody enters the waiting room before it is answered.
    pub required: bool,
    /// What is asked.
    pub questionnaire: Questionnaire,
}

impl Stored {
    /// Its name, as answers name it.
    pub fn canonical(&self) -> String {
        self.questionnaire.canonical(self.id)
    }
}

/// Asks what [`Questionnaire::parse`] took from now on: before visits of the service with that key, or of those that have none of their own. The one in
/// its place was taken out before; whoever began with that goes on with it.
pub async fn create(
    context: &Context<'_>,
    key: &str,
    (service, required): (Option<&str>, bool),
    content: &Json,
) -> Result<(), Problem> {
    let sql = "INSERT INTO questionnaire (clinic, id, key, service, required, content, created_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let (id, content) = (QuestionnaireId::new(context.now)?, content.to_string());
    let values = params![&context.clinic, id, key, service, u32::from(required), content, context.now];
    context.database().execute(sql, values).await?;
    Ok(())
}

/// What is asked before a visit: what the patient began with, or what is asked now.
pub async fn for_visit(context: &Context<'_>, visit: AppointmentId) -> Result<Option<Stored>, Problem> {
    let sql = "SELECT q.id, q.required, q.content FROM appointment a
               JOIN service s ON s.clinic = a.clinic AND s.id = a.service
               JOIN questionnaire q ON q.clinic = a.clinic
               LEFT JOIN questionnaire_response r ON r.clinic = a.clinic AND r.appointment = a.id
               WHERE a.clinic = ? AND a.id = ? AND CASE WHEN r.id IS NULL
                 THEN q.removed_at IS NULL AND (q.service = s.key OR q.service IS NULL)
                 ELSE q.id = r.questionnaire END
               ORDER BY q.service IS NULL, q.key LIMIT 1";
    let rows = context.database().query(sql, params![&context.clinic, visit]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let raw = serde_json::from_str(&row.text(2)?).map_err(Problem::internal)?;
    // One from before it was checked whether pages can show it: then nothing is asked.
    let Ok(questionnaire) = Questionnaire::parse(raw) else { return Ok(None) };
    let (id, required) = (row.parsed(0, QuestionnaireId::parse)?, row.integer(1)? == 1);
    Ok(Some(Stored { id, required, questionnaire }))
}

/// Whether the patient has to answer something before they enter the waiting room.
pub async fn is_missing(context: &Context<'_>, visit: AppointmentId) -> Result<bool, Problem> {
    let sql = "SELECT count(*) FROM appointment a
               LEFT JOIN questionnaire_response r ON r.clinic = a.clinic AND r.appointment = a.id
               WHERE a.clinic = ? AND a.id = ? AND a.status = 'booked' AND coalesce(r.status, '') <> 'completed'";
    let rows = context.database().query(sql, params![&context.clinic, visit]).await?;
    let may_lack = rows.first().map(|row| row.integer(0)).transpose()? == Some(1);
    Ok(may_lack && for_visit(context, visit).await?.is_some_and(|stored| stored.required))
}
