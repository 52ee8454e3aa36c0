//! An encounter: the clinical side of a visit, with its note.

use http::StatusCode;
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::fhir::EncounterStatus;
use kit::form::{self, NoteText};
use kit::ids::{AppointmentId, EncounterId};
use kit::params;
use kit::phi::Phi;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret;
use serde::{Deserialize, Serialize};

use crate::precondition::IfMatch;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNote {
    text: Phi<NoteText>,
}

/// An encounter as staff see it. Made to be answered: the note in it is open.
#[derive(Serialize)]
struct EncounterView {
    id: EncounterId,
    status: EncounterStatus,
    appointment: AppointmentId,
    period: Period,
    note: Option<NoteView>,
}

#[derive(Serialize)]
struct Period {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NoteView {
    text: String,
    author: String,
    updated_at: Timestamp,
}

/// `GET /records/encounters/{id}`. The entity tag is the version of the note.
pub async fn get_encounter(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(EncounterId::parse)?;
    context.may_open(id).await?;
    let (view, version) = find(context, id).await?;
    context.audit(Action::NoteRead, Some(&id));
    reply::with_etag(reply::ok(&view)?, &version)
}

/// `PUT /records/encounters/{id}/note`.
pub async fn put_note(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(EncounterId::parse)?;
    let seen = IfMatch::of(context.request.headers())?;
    let note: NewNote = form::read(&context.request)?;
    context.may_open(id).await?;
    context
        .transaction(async || {
            write(context, id, &seen, &note).await?;
            context.audit(Action::NoteWritten, Some(&id));
            let (view, version) = find(context, id).await?;
            reply::with_etag(reply::ok(&view)?, &version)
        })
        .await
}

async fn write(
    context: &Context<'_>,
    id: EncounterId,
    seen: &IfMatch,
    note: &NewNote,
) -> Result<(), Problem> {
    let (_, version) = find(context, id).await?;
    let changed = || {
        let title = "Somebody wrote the note since you read it";
        Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", title)
    };
    if !seen.holds_for(&version) {
        return Err(changed());
    }
    let sql = "UPDATE encounter SET note_text = ?, note_author = ?, note_updated_at = ?, note_version = ?
               WHERE clinic = ? AND id = ? AND note_version = ?";
    let (text, author) = (note.text.open().as_str(), context.staff()?.user);
    let values = params![text, author, context.now, secret::random_name()?, &context.clinic, id, version];
    // The version once more in the condition: what was read may be old by now where no transaction surrounds
    // both.
    if context.database().execute(sql, values).await? == 0 { Err(changed()) } else { Ok(()) }
}

/// The encounter and the version of its note.
async fn find(context: &Context<'_>, id: EncounterId) -> Result<(EncounterView, String), Problem> {
    let rows = context
        .database()
        .query(
            "SELECT e.id, e.status, e.appointment, e.started_at, e.ended_at, e.note_text, u.name,
                    e.note_updated_at, e.note_version
             FROM encounter e
             JOIN appointment a ON a.clinic = e.clinic AND a.id = e.appointment
             LEFT JOIN staff_user u ON u.clinic = e.clinic AND u.id = e.note_author
             WHERE e.clinic = ?1 AND e.id = ?2 AND (?3 IS NULL OR a.patient = ?3)",
            params![&context.clinic, id, context.only_patient()],
        )
        .await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such encounter"))?;
    let mut view = read(row)?;
    if !context.may_read("DocumentReference") {
        view.note = None;
    }
    Ok((view, row.text(8)?))
}

fn read(row: &Row) -> Result<EncounterView, DatabaseError> {
    let note = match row.text_or_null(5)? {
        Some(text) => Some(NoteView { text, author: row.text(6)?, updated_at: row.time(7)? }),
        None => None,
    };
    Ok(EncounterView {
        id: row.parsed(0, EncounterId::parse)?,
        status: row.parsed(1, EncounterStatus::parse)?,
        appointment: row.parsed(2, AppointmentId::parse)?,
        period: Period { start: row.time_or_null(3)?, end: row.time_or_null(4)? },
        note,
    })
}
