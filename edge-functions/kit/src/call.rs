//! How long tokens of a call live, and who may not use theirs any more.

use jiff::{SignedDuration, Timestamp};

use crate::context::Context;
use crate::params;
use crate::problem::Problem;

/// How long after the visit's end a token still opens the room: doctors overrun.
pub const AFTER_END: SignedDuration = SignedDuration::from_mins(30);
/// No token lives longer.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(12);
/// Media nodes take a token for a little longer than it says, because clocks differ.
const LEEWAY: SignedDuration = SignedDuration::from_mins(1);

/// When a token ends: 30 minutes after the visit's planned end, or after now once that has passed; never more
/// than half a day from now, also for a visit that begins long before its time.
pub fn expiry(now: Timestamp, end: Timestamp) -> Timestamp {
    (now.max(end) + AFTER_END).min(now + LONGEST)
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
    let until = expiry(context.now, end) + LEEWAY;
    let sql = "DELETE FROM revocation WHERE clinic = ? AND until < ?";
    database.execute(sql, params![clinic, context.now]).await?;
    let sql = "INSERT INTO revocation (clinic, room, participant, until) VALUES (?, ?, ?, ?)
               ON CONFLICT (clinic, room, participant) DO UPDATE SET until = max(until, excluded.until)";
    let participant = participant.unwrap_or_default();
    database.execute(sql, params![clinic, room, participant, until]).await?;
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
            assert_eq!(expiry(now, at(end)), at(expires), "{end}");
        }
    }
}
