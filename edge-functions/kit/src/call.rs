//! What functions decide of calls together: how long tokens live, who may not use theirs any more, when keys change.

use jiff::{SignedDuration, Timestamp};

use crate::context::Context;
use crate::ids::AppointmentId;
use crate::params;
use crate::problem::Problem;

/// How long after the visit's end a token still opens the room: doctors overrun.
pub const AFTER_END: SignedDuration = SignedDuration::from_mins(30);
/// How long a token lives that whoever holds it can use: enough to connect, and to try again.
pub const UNBOUND: SignedDuration = SignedDuration::from_mins(10);
/// No token lives longer.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(12);
/// Media nodes take a token for a little longer than it says, because clocks differ.
const LEEWAY: SignedDuration = SignedDuration::from_mins(1);

/// When a token ends: 30 minutes after the visit's planned end, or after now once that has passed; never more
/// than half a day from now, also for a visit that begins long before its time. One that is bound to no device ends
/// after ten minutes.
pub fn expiry(now: Timestamp, end: Timestamp, bound: bool) -> Timestamp {
    let longest = if bound { LONGEST } else { UNBOUND };
    (now.max(end) + AFTER_END).min(now + longest)
}

/// Has media nodes refuse the tokens that `participant` of `room` has, or everybody of the room (`None`), and put
/// out whoever is in on one. `end`: of the visit.
pub async fn revoke(
    context: &Context<'_>,
    room: &str,
    participant: Option<&str>,
    end: Timestamp,
) -> Result<(), Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    // Whatever was minted before now ends before this.
    let until = expiry(context.now, end, true) + LEEWAY;
    let sql = "DELETE FROM revocation WHERE clinic = ? AND until < ?";
    database.execute(sql, params![clinic, context.now]).await?;
    let sql = "INSERT INTO revocation (clinic, room, participant, until) VALUES (?, ?, ?, ?)
               ON CONFLICT (clinic, room, participant) DO UPDATE SET until = max(until, excluded.until)";
    let participant = participant.unwrap_or_default();
    database.execute(sql, params![clinic, room, participant, until]).await?;
    Ok(())
}

/// Puts `person` (as in `room_participant`) out of every call they are in, and takes their place.
pub async fn put_out(context: &Context<'_>, person: &str) -> Result<(), Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "SELECT r.name, p.name, a.end_at, p.appointment FROM room_participant p
               JOIN room r ON r.clinic = p.clinic AND r.appointment = p.appointment
               JOIN appointment a ON a.clinic = p.clinic AND a.id = p.appointment
               WHERE p.clinic = ? AND p.person = ?";
    for row in database.query(sql, params![clinic, person]).await? {
        let (room, participant): (String, String) = (row.text(0)?, row.text(1)?);
        let appointment = row.parsed(3, AppointmentId::parse)?;
        revoke(context, &room, Some(&participant), row.time(2)?).await?;
        let sql = "DELETE FROM room_participant WHERE clinic = ? AND appointment = ? AND person = ?";
        database.execute(sql, params![clinic, appointment, person]).await?;
        members_changed(context, appointment).await?;
    }
    Ok(())
}

/// Where a visit's call is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// Whose row in `room` it has: the visit's own, or in a group that of the first who was let in.
    pub room_of: AppointmentId,
    /// Others may be in it by visits of their own.
    pub is_group: bool,
}

/// Where the call of a visit is.
pub async fn place(context: &Context<'_>, appointment: AppointmentId) -> Result<Place, Problem> {
    let sql = "SELECT call_of FROM appointment WHERE clinic = ? AND id = ? AND call_of IS NOT NULL";
    let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
    Ok(match rows.first() {
        Some(row) => Place { room_of: row.parsed(0, AppointmentId::parse)?, is_group: true },
        None => Place { room_of: appointment, is_group: false },
    })
}

/// Who is put out of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Who {
    /// Whoever is in it, in a group by whichever visit.
    Everybody,
    /// Those who came by this visit: with a link or an account of their own.
    AllButStaff,
}

/// Puts people out of the call of a visit, which goes on: they can join it again as soon as the clinic lets them.
pub async fn clear(context: &Context<'_>, appointment: AppointmentId, who: Who) -> Result<(), Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let room_of = place(context, appointment).await?.room_of;
    let sql = "SELECT r.name, p.name, a.end_at, p.person FROM room_participant p
               JOIN room r ON r.clinic = p.clinic AND r.appointment = p.appointment
               JOIN appointment a ON a.clinic = p.clinic AND a.id = p.appointment
               LEFT JOIN staff_user s ON s.clinic = p.clinic AND s.id = p.person
               WHERE p.clinic = ?1 AND p.appointment = ?2 AND (?3 OR (s.id IS NULL AND coalesce(p.visit, ?4) = ?4))";
    let all = i64::from(who == Who::Everybody);
    let out = database.query(sql, params![clinic, room_of, all, appointment]).await?;
    for row in &out {
        revoke(context, &row.text(0)?, Some(&row.text(1)?), row.time(2)?).await?;
        let sql = "DELETE FROM room_participant WHERE clinic = ? AND appointment = ? AND person = ?";
        database.execute(sql, params![clinic, room_of, row.text(3)?]).await?;
    }
    if !out.is_empty() {
        members_changed(context, room_of).await?;
    }
    Ok(())
}

/// Somebody came into the encryption of a call or left it: its list has another generation, and the keys change.
pub async fn members_changed(context: &Context<'_>, appointment: AppointmentId) -> Result<(), Problem> {
    let sql = "UPDATE room SET membership = membership + 1 WHERE clinic = ? AND appointment = ?";
    context.database().execute(sql, params![&context.clinic, appointment]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_soon_after_the_visit_and_always_within_half_a_day() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-03-02T08:00:00Z");
        for (end, expires) in [
            ("2026-03-02T08:30:00Z", "2026-03-02T09:00:00Z"),
            ("2026-03-02T07:00:00Z", "2026-03-02T08:30:00Z"),
            ("2027-03-02T08:30:00Z", "2026-03-02T20:00:00Z"),
        ] {
            assert_eq!(expiry(now, at(end), true), at(expires), "{end}");
            assert_eq!(expiry(now, at(end), false), at("2026-03-02T08:10:00Z"), "{end}");
        }
    }
}
