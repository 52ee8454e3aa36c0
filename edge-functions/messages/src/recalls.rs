//! Who is to be seen again: planned at a visit, written to when it is time, closed by the next booking.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use kit::audit::Action;
use kit::clinic::Clinic;
use kit::contact::{Known, Reach, Standing};
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form::{self, Day, Name};
use kit::ids::{AppointmentId, MessageId, PatientId, RecallId};
use kit::outbox::{self, Channel, Message, Routine, address_hash, hex};
use kit::params;
use kit::phi::Phi;
use kit::policy::Role;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use kit::texts::{Language, Words};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::missing::words;
use crate::{rules, settings};

/// So many days before it is due somebody is written to, for the first time.
pub(crate) const DAYS_BEFORE: i32 = 14;
/// Between two messages about the same.
const PAUSE: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Messages that go out by themselves; then it is for people.
const BY_ITSELF: i64 = 3;
/// A message about it is of use for so long.
const USEFUL: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Of one run; whoever asks comes again for more. So many take a small part of the two seconds that a transaction has.
pub(crate) const MOST: i64 = 500;
/// Bookings that one run looks at.
const MOST_BOOKED: i64 = 200;
/// Bookings are looked at again for so long: clocks of hosts differ.
const AGAIN: SignedDuration = SignedDuration::from_mins(10);
/// Not by itself any more.
const NEVER: i64 = i64::MAX;
/// Of a list.
const MOST_LISTED: i64 = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewRecall {
    appointment: String,
    reason: Phi<Name>,
    due_on: Day,
    interval_months: Option<i64>,
}

#[derive(Serialize)]
struct Created {
    id: RecallId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecallsView {
    time_zone: String,
    recalls: Vec<RecallView>,
    more: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecallView {
    id: RecallId,
    patient: String,
    due_on: String,
    /// For who treats.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    interval_months: Option<i64>,
    attempts: i64,
    last_attempt_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Ran {
    more: bool,
}

struct Open {
    id: RecallId,
    patient: PatientId,
    known: Known,
}

/// `POST /messages/recalls`, at a visit.
pub async fn create_recall(context: &Context<'_>) -> Result<Reply, Problem> {
    let new: NewRecall = form::read(&context.request)?;
    let appointment = AppointmentId::parse(&new.appointment);
    let appointment = appointment.ok_or_else(|| Problem::invalid("/appointment", "must be an id"))?;
    if !new.interval_months.is_none_or(|months| (1..=60).contains(&months)) {
        return Err(Problem::invalid("/intervalMonths", "must be 1 to 60"));
    }
    let clinic = context.clinic().await?;
    let today = clinic.day_of(context.now);
    if new.due_on.0 < today || today.checked_add(10.years()).is_ok_and(|last| new.due_on.0 > last) {
        return Err(Problem::invalid("/dueOn", "must be a day from today on, within ten years"));
    }
    let sql = "SELECT 1 FROM appointment WHERE clinic = ? AND id = ?";
    if context.database().query(sql, params![&context.clinic, appointment]).await?.is_empty() {
        return Err(Problem::invalid("/appointment", "is no visit of this clinic"));
    }
    context.may_open_visit(appointment).await?;
    let id = RecallId::new(context.now)?;
    let sql =
        "INSERT INTO recall (clinic, id, appointment, reason, due_on, interval_months, status, planned_by,
                 created_at, next_at) VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?, ?)";
    let values = params![
        &context.clinic,
        id,
        appointment,
        new.reason.open().as_str(),
        new.due_on.0.to_string(),
        new.interval_months,
        context.staff()?.user,
        context.now,
        first(&clinic, new.due_on.0, context.now)
    ];
    context.database().execute(sql, values).await?;
    context.audit(Action::RecallPlanned, Some(&appointment));
    reply::json(http::StatusCode::CREATED, &Created { id })
}

/// `GET /messages/recalls`: open ones that are due, or soon. Who has just booked is not called, although the next run has yet to
/// close it.
pub async fn list_recalls(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let clinic = context.clinic().await?;
    let treats = context.staff()?.roles.iter().any(|role| matches!(role, Role::Doctor | Role::Nurse));
    let sql = "SELECT r.id, p.name, r.due_on, r.reason, r.interval_months, r.attempts, r.last_attempt_at
               FROM recall r JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
               JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient
               WHERE r.clinic = ? AND r.status = 'open' AND r.due_on <= ?
                 AND NOT EXISTS (SELECT 1 FROM patient q
                   CROSS JOIN appointment n ON n.clinic = q.clinic AND n.patient = q.id
                   WHERE q.clinic = p.clinic AND lower(q.email) = lower(p.email) AND q.birth_date = p.birth_date
                     AND n.created_at > r.created_at AND n.status IN ('booked', 'arrived', 'fulfilled'))
               ORDER BY r.due_on, r.id LIMIT ?";
    let until = soon(clinic.day_of(context.now), 2 * DAYS_BEFORE);
    let mut rows = context.database().query(sql, params![&context.clinic, until, MOST_LISTED + 1]).await?;
    let more = rows.len() as i64 > MOST_LISTED;
    rows.truncate(MOST_LISTED as usize);
    let recalls = rows.iter().map(|row| read(row, treats)).collect::<Result<_, _>>()?;
    context.audit(Action::RecallsRead, None);
    reply::ok(&RecallsView { time_zone: clinic.time_zone, recalls, more })
}

fn read(row: &Row, treats: bool) -> Result<RecallView, DatabaseError> {
    Ok(RecallView {
        id: row.parsed(0, RecallId::parse)?,
        patient: row.text(1)?,
        due_on: row.text(2)?,
        reason: row.text_or_null(3)?.filter(|_| treats),
        interval_months: row.integer_or_null(4)?,
        attempts: row.integer(5)?,
        last_attempt_at: row.time_or_null(6)?,
    })
}

/// `POST /messages/recalls/{id}/contact`: now, by a person's word.
pub async fn contact_recall(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(RecallId::parse)?;
    let by = context.staff()?.user.to_string();
    let open = find(context, id).await?;
    context
        .transaction(async || {
            write(context, &[open], Some(by)).await?;
            context.audit(Action::RecallContacted, Some(&id));
            Ok(())
        })
        .await?;
    Ok(reply::no_content())
}

/// `POST /messages/recalls/{id}/close`.
pub async fn close_recall(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(RecallId::parse)?;
    let sql = "UPDATE recall SET status = 'closed', ended_at = ?3 WHERE clinic = ?1 AND id = ?2 AND status = 'open'";
    if context.database().execute(sql, params![&context.clinic, id, context.now]).await? == 0 {
        return Err(Problem::not_found("No such open recall"));
    }
    context.audit(Action::RecallClosed, Some(&id));
    Ok(reply::no_content())
}

/// `POST /messages/recalls/run`, of the edge host that leads the clinic's records, every few minutes.
pub async fn run_recalls(context: &Context<'_>) -> Result<Reply, Problem> {
    context.node()?;
    // One of them each time: whoever asks comes again, and nobody waits for long in between.
    let mut more = close_booked(context).await?;
    if !more {
        open_again(context).await?;
        more = rules::plan(context).await?;
    }
    if !more {
        let due = due(context).await?;
        more = due.len() as i64 == MOST;
        if !due.is_empty() {
            context.transaction(async || write(context, &due, None).await).await?;
        }
    }
    reply::ok(&Ran { more })
}

/// Whoever has booked since is done. It goes by what was booked since it was last looked at, not by who is to be seen: they may be
/// all patients. Whether there is more.
async fn close_booked(context: &Context<'_>) -> Result<bool, Problem> {
    let sql = "SELECT coalesce((SELECT booked_until FROM recall_run WHERE clinic = ?1),
                 (SELECT min(created_at) FROM recall WHERE clinic = ?1 AND status = 'open'), ?2),
               coalesce((SELECT booked_id FROM recall_run WHERE clinic = ?1), '')";
    let rows = context.database().query(sql, params![&context.clinic, context.now]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such clinic"))?;
    let (since, since_id) = (row.time(0)?, row.text(1)?);
    let sql = "SELECT created_at, id FROM appointment INDEXED BY appointment_by_creation
               WHERE clinic = ?1 AND (created_at, id) > (?2, ?3) ORDER BY created_at, id LIMIT 1 OFFSET ?4";
    let values = params![&context.clinic, since, since_id.as_str(), MOST_BOOKED - 1];
    let rows = context.database().query(sql, values).await?;
    let full = rows.first().map(|row| Ok::<_, DatabaseError>((row.time(0)?, row.text(1)?))).transpose()?;
    let (until, until_id) = full.clone().unwrap_or((Timestamp::MAX, String::new()));
    let until = until.min(context.now + SignedDuration::from_hours(24));
    let sql = "SELECT r.id, min(n.id) FROM appointment n INDEXED BY appointment_by_creation
               CROSS JOIN patient q ON q.clinic = n.clinic AND q.id = n.patient
               CROSS JOIN patient p INDEXED BY patient_by_email ON p.clinic = q.clinic AND lower(p.email) = lower(q.email)
                 AND p.birth_date = q.birth_date
               CROSS JOIN appointment a INDEXED BY appointment_by_patient
                 ON a.clinic = p.clinic AND a.patient = p.id
               CROSS JOIN recall r ON r.clinic = a.clinic AND r.appointment = a.id AND r.status = 'open'
               LEFT JOIN recall_rule u ON u.clinic = r.clinic AND u.id = r.rule
               WHERE n.clinic = ?1 AND (n.created_at, n.id) > (?2, ?3)
                 AND (n.created_at < ?4 OR n.created_at = ?4 AND n.id <= ?5)
                 AND n.status IN ('booked', 'arrived', 'fulfilled') AND n.created_at > r.created_at
                 AND (u.id IS NULL OR u.service = n.service)
               GROUP BY r.id";
    let values = params![&context.clinic, since, since_id.as_str(), until, until_id.as_str()];
    let rows = context.database().query(sql, values).await?;
    let read = |row: &Row| {
        Ok::<_, DatabaseError>((row.parsed(0, RecallId::parse)?, row.parsed(1, AppointmentId::parse)?))
    };
    let booked = rows.iter().map(read).collect::<Result<Vec<_>, DatabaseError>>()?;
    let (next, next_id) = match &full {
        Some((at, id)) => (*at, id.clone()),
        None => (
            since.max(context.now - AGAIN),
            if since > context.now - AGAIN { since_id } else { String::new() },
        ),
    };
    context
        .transaction(async || {
            for (id, appointment) in &booked {
                end(context, *id, *appointment).await?;
            }
            let sql = "INSERT INTO recall_run (clinic, booked_until, booked_id) VALUES (?1, ?2, ?3)
                       ON CONFLICT (clinic) DO UPDATE SET booked_until = ?2, booked_id = ?3
                       WHERE booked_until <> ?2 OR booked_id <> ?3";
            context.database().execute(sql, params![&context.clinic, next, next_id]).await?;
            Ok(())
        })
        .await?;
    Ok(full.is_some())
}

/// Whoever cancelled what ended it, or did not come, is to be seen again still; they are not written to at once.
async fn open_again(context: &Context<'_>) -> Result<(), Problem> {
    let sql = "UPDATE recall SET status = 'open', booked = NULL, ended_at = NULL,
                 next_at = iif(attempts >= ?3, ?4, ?5)
               WHERE clinic = ?1 AND status = 'booked' AND interval_months IS NULL AND booked IN (
                 SELECT id FROM appointment WHERE clinic = ?1 AND start_at > ?2
                   AND status IN ('cancelled', 'noshow') LIMIT 10000)";
    let (since, next) = (context.now - SignedDuration::from_hours(48), context.now + PAUSE);
    context.database().execute(sql, params![&context.clinic, since, BY_ITSELF, NEVER, next]).await?;
    Ok(())
}

/// It is done, and where it comes again, the next one is planned from the new visit on.
async fn end(context: &Context<'_>, id: RecallId, appointment: AppointmentId) -> Result<(), Problem> {
    let sql = "UPDATE recall SET status = 'booked', booked = ?3, ended_at = ?4
               WHERE clinic = ?1 AND id = ?2 AND status = 'open'";
    let values = params![&context.clinic, id, appointment, context.now];
    if context.database().execute(sql, values).await? == 0 {
        return Ok(());
    }
    context.audit(Action::RecallClosed, Some(&id));
    let sql = "SELECT r.interval_months, a.start_at FROM recall r
               JOIN appointment a ON a.clinic = r.clinic AND a.id = r.booked WHERE r.clinic = ? AND r.id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (Some(months), start) = (row.integer_or_null(0)?, row.time(1)?) else { return Ok(()) };
    let clinic = context.clinic().await?;
    let day = clinic.day_of(start);
    let Ok(due) = day.checked_add(i32::try_from(months).unwrap_or(1).months()) else { return Ok(()) };
    let sql =
        "INSERT INTO recall (clinic, id, appointment, reason, due_on, interval_months, status, planned_by,
                 created_at, next_at)
               SELECT clinic, ?3, booked, reason, ?4, interval_months, 'open', planned_by, ?5, ?6 FROM recall
               WHERE clinic = ?1 AND id = ?2";
    let next = RecallId::new(context.now)?;
    let first = first(&clinic, due, context.now);
    let values = params![&context.clinic, id, next, due.to_string(), context.now, first];
    context.database().execute(sql, values).await?;
    Ok(())
}

/// When somebody is written to for the first time.
fn first(clinic: &Clinic, due: Date, now: Timestamp) -> Timestamp {
    let day = due.checked_sub(DAYS_BEFORE.days()).unwrap_or(due);
    clinic.at(day.at(0, 0, 0, 0)).unwrap_or(now)
}

macro_rules! open {
    ($from:literal, $condition:literal) => {
        concat!(
            "SELECT r.id, p.id, p.email, c.phone, coalesce(c.channel, 'email'), c.language FROM recall r ",
            $from,
            " JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
             JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient
             LEFT JOIN patient_contact c ON c.clinic = p.clinic AND c.patient = p.id
             LEFT JOIN recall_rule u ON u.clinic = r.clinic AND u.id = r.rule
             WHERE r.clinic = ?1 AND r.status = 'open' AND ",
            $condition
        )
    };
}

/// Open ones to be written about now.
async fn due(context: &Context<'_>) -> Result<Vec<Open>, Problem> {
    let clinic = context.clinic().await?;
    let sql = open!(
        "INDEXED BY recall_next",
        "r.next_at <= ?2 AND r.due_on <= ?3 AND r.attempts < ?4
                 AND (r.last_attempt_at IS NULL OR r.last_attempt_at <= ?5)
                 AND NOT EXISTS (SELECT 1 FROM patient q INDEXED BY patient_by_email
                   CROSS JOIN appointment n INDEXED BY appointment_by_patient
                     ON n.clinic = q.clinic AND n.patient = q.id
                   WHERE q.clinic = p.clinic AND lower(q.email) = lower(p.email) AND q.birth_date = p.birth_date
                     AND n.created_at > r.created_at AND n.status IN ('booked', 'arrived', 'fulfilled')
                     AND (u.id IS NULL OR u.service = n.service))
               ORDER BY r.next_at, r.id LIMIT ?6"
    );
    let until = soon(clinic.day_of(context.now), DAYS_BEFORE);
    let values = params![&context.clinic, context.now, until, BY_ITSELF, context.now - PAUSE, MOST];
    let rows = context.database().query(sql, values).await?;
    Ok(rows.iter().map(read_open).collect::<Result<_, _>>()?)
}

async fn find(context: &Context<'_>, id: RecallId) -> Result<Open, Problem> {
    let rows = context.database().query(open!("", "r.id = ?2"), params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such open recall"))?;
    Ok(read_open(row)?)
}

fn read_open(row: &Row) -> Result<Open, DatabaseError> {
    Ok(Open {
        id: row.parsed(0, RecallId::parse)?,
        patient: row.parsed(1, PatientId::parse)?,
        known: Known {
            email: row.text(2)?,
            phone: row.text_or_null(3)?,
            channel: Channel::of(row, 4)?,
            language: Language::of(row, 5)?,
        },
    })
}

/// One attempt each, which counts although its receiver wants no messages: then somebody calls. All of them in a few statements:
/// they may be hundreds.
async fn write(context: &Context<'_>, open: &[Open], by: Option<String>) -> Result<(), Problem> {
    let ids: Vec<String> = open.iter().map(|open| open.id.to_string()).collect();
    let sql = "UPDATE recall SET attempts = attempts + 1, last_attempt_at = ?2,
                 next_at = iif(attempts + 1 >= ?4, ?5, ?6)
               WHERE clinic = ?1 AND status = 'open' AND coalesce(last_attempt_at, 0) < ?2
                 AND id IN (SELECT value FROM json_each(?3))";
    let list = serde_json::Value::from(ids).to_string();
    let values = params![&context.clinic, context.now, list, BY_ITSELF, NEVER, context.now + PAUSE];
    let written = context.database().execute(sql, values).await?;
    if written == 0 {
        return Ok(());
    }
    if written != open.len() as u64 {
        let title = "Somebody else wrote to one of them just now";
        return Err(Problem::new(http::StatusCode::CONFLICT, "written-already", title));
    }
    let reached = reached(context, open).await?;
    let (clinic, settings) = (context.clinic().await?, settings::of(context).await?);
    let not_before = settings.quiet.map_or(context.now, |quiet| quiet.over(&clinic, context.now));
    let link = format!("{}/c/{}", context.variable("pages_origin").await?, context.clinic);
    let mut texts = Vec::new();
    for (open, reach) in &reached {
        let text = words(&clinic, (reach.language, reach.channel), Words::Recall);
        texts.push((MessageId::new(context.now)?, *open, reach, text));
    }
    let attempts =
        texts.iter().map(|(id, open, ..)| json!({"recall": open.id.to_string(), "message": id.to_string()}));
    let attempts = attempts.collect::<serde_json::Value>().to_string();
    let sql = "INSERT INTO recall_attempt (clinic, recall, number, at, message, by)
               SELECT r.clinic, r.id, r.attempts, ?2, j.value ->> 'message', ?4
               FROM json_each(?3) j CROSS JOIN recall r ON r.clinic = ?1 AND r.id = j.value ->> 'recall'";
    context.database().execute(sql, params![&context.clinic, context.now, attempts, by]).await?;
    let routine = texts.iter().map(|(id, open, reach, (subject, body))| Routine {
        id: *id,
        message: Message { recipient: &reach.address, subject, body, link: &link },
        channel: reach.channel,
        kind: "recall",
        patient: open.patient,
        not_before,
        useful_until: not_before + USEFUL,
    });
    outbox::put_routine(context, &routine.collect::<Vec<_>>()).await
}

/// Who can be written to, and where.
async fn reached<'o>(context: &Context<'_>, open: &'o [Open]) -> Result<Vec<(&'o Open, Reach)>, Problem> {
    let addresses =
        open.iter().flat_map(|open| [Some(&open.known.email), open.known.phone.as_ref()]).flatten();
    let hashes: Vec<String> = addresses.map(|address| hex(&address_hash(address))).collect();
    let sql = "SELECT lower(hex(address_hash)), opted_out_at IS NOT NULL, failing_since IS NOT NULL FROM message_address
               WHERE clinic = ?1 AND address_hash IN (SELECT unhex(value) FROM json_each(?2))";
    let list = serde_json::Value::from(hashes).to_string();
    let rows = context.database().query(sql, params![&context.clinic, list]).await?;
    let mut standings = BTreeMap::new();
    for row in &rows {
        let standing = Standing { opted_out: row.integer(1)? == 1, failing: row.integer(2)? == 1 };
        standings.insert(row.text(0)?, standing);
    }
    let of = |address: &str| standings.get(&hex(&address_hash(address))).copied().unwrap_or_default();
    let (short, fallback) = (context.sends_short().await?, context.clinic_language().await?);
    Ok(open.iter().filter_map(|open| Some((open, open.known.reach(short, fallback, of)?))).collect())
}

fn soon(today: Date, days: i32) -> String {
    today.checked_add(days.days()).unwrap_or(today).to_string()
}
