//! The visit that a request is about, whoever asks.

use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::ids::{AppointmentId, EncounterId, PatientId};
use kit::params;
use kit::problem::Problem;

/// A visit that is not over.
pub(crate) struct Visit {
    pub(crate) appointment: AppointmentId,
    pub(crate) encounter: EncounterId,
    pub(crate) patient: PatientId,
    /// The patient was let in.
    pub(crate) admitted: bool,
    /// Where the patient said they are (ISO 3166).
    pub(crate) location: Option<String>,
}

impl Visit {
    /// That of the patient who asks, or for whom somebody asks.
    pub(crate) async fn own(context: &Context<'_>) -> Result<Self, Problem> {
        let visit = Self::find(context, Some(context.visitor()?.appointment), None).await?;
        visit.filter(|(_, over)| !over).map(|(visit, _)| visit).ok_or_else(Problem::visit_over)
    }

    /// That of an encounter which whoever asks may open; `true`: it is over.
    pub(crate) async fn of(context: &Context<'_>, encounter: EncounterId) -> Result<(Self, bool), Problem> {
        context.may_open(encounter).await?;
        let visit = Self::find(context, None, Some(encounter)).await?;
        visit.ok_or_else(|| Problem::not_found("No such encounter"))
    }

    async fn find(
        context: &Context<'_>,
        appointment: Option<AppointmentId>,
        encounter: Option<EncounterId>,
    ) -> Result<Option<(Self, bool)>, Problem> {
        let sql = "SELECT a.id, e.id, a.patient, a.admitted_at, a.status, a.patient_location FROM encounter e
                   JOIN appointment a ON a.clinic = e.clinic AND a.id = e.appointment
                   WHERE e.clinic = ? AND (a.id = ? OR e.id = ?)";
        let rows = context.database().query(sql, params![&context.clinic, appointment, encounter]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let visit = Self {
            appointment: row.parsed(0, AppointmentId::parse)?,
            encounter: row.parsed(1, EncounterId::parse)?,
            patient: row.parsed(2, PatientId::parse)?,
            admitted: row.time_or_null(3)?.is_some(),
            location: row.text_or_null(5)?,
        };
        Ok(Some((visit, row.parsed(4, AppointmentStatus::parse)?.is_over())))
    }

    /// Who says something on the patient's side, as a reference of FHIR.
    pub(crate) fn speaker(&self, context: &Context<'_>) -> String {
        match context.caller.visitor.and_then(|visitor| visitor.proxy) {
            Some(proxy) => format!("RelatedPerson/{proxy}"),
            None => format!("Patient/{}", self.patient),
        }
    }
}
