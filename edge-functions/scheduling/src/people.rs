//! Who is who in a call: what each person is to the visit, by their random name in the room.
//!
//! Media nodes and their tokens know no more than that name, so a page asks here whom it sees.

use kit::context::Context;
use kit::database::Row;
use kit::ids::AppointmentId;
use kit::params;
use kit::problem::Problem;
use serde::Serialize;

/// Somebody who has joined the call.
#[derive(Serialize)]
pub(crate) struct Person {
    participant: String,
    /// `patient`, `proxy`, `clinician`, or a guest's role.
    role: String,
    /// Of clinicians; the patient's, staff have from elsewhere, and guests have none.
    name: Option<String>,
}

/// Everybody who has joined the call of a visit.
pub(crate) async fn of(context: &Context<'_>, appointment: AppointmentId) -> Result<Vec<Person>, Problem> {
    let sql =
        "SELECT p.name, CASE WHEN p.person = 'patient' THEN 'patient' WHEN r.id IS NOT NULL THEN 'proxy'
                           ELSE coalesce(g.role, 'clinician') END, s.name
               FROM room_participant p
               LEFT JOIN related_person r ON r.clinic = p.clinic AND r.id = p.person
               LEFT JOIN guest g ON g.clinic = p.clinic AND g.id = p.person
               LEFT JOIN staff_user s ON s.clinic = p.clinic AND s.id = p.person
               WHERE p.clinic = ? AND p.appointment = ? ORDER BY p.name";
    let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
    let read =
        |row: &Row| Ok(Person { participant: row.text(0)?, role: row.text(1)?, name: row.text_or_null(2)? });
    rows.iter().map(read).collect()
}
