//! Who is who in a call: what each person is to the visit, by their random name in the room.
//!
//! Media nodes and their tokens know no more than that name, so a page asks here whom it sees.

use kit::call;
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
    /// `patient`, `proxy`, `clinician`, or a guest's role; `participant`, whoever came by another visit of the group.
    role: String,
    /// Of clinicians, and in a group, for staff, of patients. A single patient's, staff have from elsewhere, and guests
    /// have none.
    name: Option<String>,
}

/// Who asks who is who.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asks {
    /// Somebody of this visit. Of those of another in the group they are told no more than that they are there.
    Visitor,
    /// Staff, who know them all.
    Staff,
}

/// Everybody who has joined the call of a visit.
pub(crate) async fn of(
    context: &Context<'_>,
    appointment: AppointmentId,
    asks: Asks,
) -> Result<Vec<Person>, Problem> {
    let sql = "SELECT p.name, CASE WHEN NOT ?4 AND p.visit <> ?3 THEN 'participant'
                           WHEN p.person IN ('patient', p.visit) THEN 'patient' WHEN r.id IS NOT NULL THEN 'proxy'
                           ELSE coalesce(g.role, 'clinician') END,
                 CASE WHEN ?4 AND p.person = p.visit THEN t.name ELSE s.name END
               FROM room_participant p
               LEFT JOIN appointment a ON a.clinic = p.clinic AND a.id = p.visit
               LEFT JOIN patient t ON t.clinic = a.clinic AND t.id = a.patient
               LEFT JOIN related_person r ON r.clinic = p.clinic AND r.id = p.person
               LEFT JOIN guest g ON g.clinic = p.clinic AND g.id = p.person
               LEFT JOIN staff_user s ON s.clinic = p.clinic AND s.id = p.person
               WHERE p.clinic = ?1 AND p.appointment = ?2 ORDER BY p.name";
    let (room_of, is_staff) =
        (call::place(context, appointment).await?.room_of, i64::from(asks == Asks::Staff));
    let values = params![&context.clinic, room_of, appointment, is_staff];
    let rows = context.database().query(sql, values).await?;
    let read =
        |row: &Row| Ok(Person { participant: row.text(0)?, role: row.text(1)?, name: row.text_or_null(2)? });
    rows.iter().map(read).collect()
}
