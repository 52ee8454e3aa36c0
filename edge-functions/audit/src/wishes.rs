//! What a request asks for, as its query says it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use kit::audit_log::{Outcome, Place, Seen, Sort, Wish};
use kit::context::Context;
use kit::ids::PatientId;
use kit::params;
use kit::problem::Problem;
use kit::query::Query;

/// Ids of one patient's visits that are asked for beside the patient's own: events from before the patient was recorded
/// in each have those only.
const MAX_VISITS: i64 = 200;
const MAX_CURSOR: usize = 1_024;
const MAX_WORD: usize = 64;

/// The filters and the order; `limit` is for the caller to set.
pub fn read(query: &mut Query) -> Result<(Wish, Option<PatientId>), Problem> {
    let instant = |text: &str| text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
    let wanted = "a time such as 2026-01-31T09:00:00Z";
    let patient = query.optional("patient", "an id", PatientId::parse)?;
    let code = query.optional("code", "a code such as note-read", word)?;
    let wish = Wish {
        from_ms: query.optional("from", wanted, instant)?,
        until_ms: query.optional("until", wanted, instant)?,
        agent: query.optional("user", "an id", word)?,
        patient: patient.map(|patient| patient.to_string()),
        action: query.optional("action", "one of C, R, U, D, E", action)?,
        codes: code.into_iter().collect(),
        outcome: query.optional("outcome", "success or failure", outcome)?,
        sort: query.optional("sort", SORTS, sort)?.unwrap_or_default(),
        descending: query.optional("order", "asc or desc", descending)?.unwrap_or(true),
        after: query.optional("after", "what the page before said", from_cursor)?,
        ..Wish::default()
    };
    Ok((wish, patient))
}

const SORTS: &str = "recorded, user, patient, action or outcome";

fn sort(text: &str) -> Option<Sort> {
    Some(match text {
        "recorded" => Sort::Recorded,
        "user" => Sort::Agent,
        "patient" => Sort::Patient,
        "action" => Sort::Code,
        "outcome" => Sort::Outcome,
        _ => return None,
    })
}

fn descending(text: &str) -> Option<bool> {
    match text {
        "asc" => Some(false),
        "desc" => Some(true),
        _ => None,
    }
}

fn outcome(text: &str) -> Option<Outcome> {
    match text {
        "success" => Some(Outcome::Success),
        "failure" => Some(Outcome::Failure),
        _ => None,
    }
}

fn action(text: &str) -> Option<char> {
    let mut letters = text.chars();
    letters.next().filter(|letter| "CRUDE".contains(*letter) && letters.next().is_none())
}

fn word(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    let fits = (1..=MAX_WORD).contains(&text.len()) && text.bytes().all(allowed);
    fits.then(|| text.to_owned())
}

/// A place in an order, to go on from.
pub fn cursor(place: &Place) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

fn from_cursor(text: &str) -> Option<Place> {
    let bytes = (text.len() <= MAX_CURSOR).then(|| URL_SAFE_NO_PAD.decode(text).ok())??;
    serde_json::from_slice(&bytes).ok()
}

/// What shows a patient: their visits, and the lists of those days from when a visit was booked.
pub async fn entities_of(context: &Context<'_>, patient: PatientId) -> Result<Vec<Seen>, Problem> {
    let sql = "SELECT a.id, e.id, a.start_at, a.created_at FROM appointment a
               JOIN encounter e ON e.clinic = a.clinic AND e.appointment = a.id
               WHERE a.clinic = ? AND a.patient = ? ORDER BY a.start_at DESC LIMIT ?";
    let rows = context.database().query(sql, params![&context.clinic, patient, MAX_VISITS]).await?;
    let clinic = context.clinic().await?;
    let mut seen = Vec::new();
    for row in &rows {
        let since_ms = row.integer(3)?;
        let day = clinic.day_of(row.time(2)?).to_string();
        let ids = [row.text(0)?, row.text(1)?, day];
        seen.extend(ids.map(|id| Seen { id, since_ms }));
    }
    Ok(seen)
}
