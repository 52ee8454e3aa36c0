//! Who is to be seen again: planned at a visit, written to when it is time, closed by the next booking.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form::{self, Day, Name};
use kit::ids::{AppointmentId, MessageId, PatientId, RecallId};
use kit::outbox::{self, Channel, Message, Routine};
use kit::params;
use kit::phi::Phi;
use kit::policy::Role;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use kit::texts::{self, Words};
use serde::{Deserialize, Serialize};

use crate::reminders::is_unwanted;
use crate::settings;

/// So many days before it is due somebody is written to, for the first time.
const DAYS_BEFORE: i32 = 14;
/// Between two messages about the same.
const PAUSE: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Messages that go out by themselves; then it is for people.
const BY_ITSELF: i64 = 3;
/// A message about it is of use for so long.
const USEFUL: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Of one run; whoever asks comes again for more.
const MOST: i64 = 100;
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
    email: String,
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
                 created_at) VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?)";
    let values = params![
        &context.clinic,
        id,
        appointment,
        new.reason.open().as_str(),
        new.due_on.0.to_string(),
        new.interval_months,
        context.staff()?.user,
        context.now
    ];
    context.database().execute(sql, values).await?;
    context.audit(Action::RecallPlanned, Some(&appointment));
    reply::json(http::StatusCode::CREATED, &Created { id })
}

/// `GET /messages/recalls`: open ones that are due, or soon.
pub async fn list_recalls(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let clinic = context.clinic().await?;
    let treats = context.staff()?.roles.iter().any(|role| matches!(role, Role::Doctor | Role::Nurse));
    let sql = "SELECT r.id, p.name, r.due_on, r.reason, r.interval_months, r.attempts, r.last_attempt_at
               FROM recall r JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
               JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient
               WHERE r.clinic = ? AND r.status = 'open' AND r.due_on <= ? ORDER BY r.due_on, r.id LIMIT ?";
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
            write(context, &open, Some(by)).await?;
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
    let booked = booked(context).await?;
    let due = due(context).await?;
    let more = (booked.len() as i64) == MOST || (due.len() as i64) == MOST;
    if !booked.is_empty() || !due.is_empty() {
        context
            .transaction(async || {
                for (id, appointment) in &booked {
                    end(context, *id, *appointment).await?;
                }
                for open in &due {
                    write(context, open, None).await?;
                }
                Ok(())
            })
            .await?;
    }
    reply::ok(&Ran { more })
}

/// Open ones whose patient has booked since.
async fn booked(context: &Context<'_>) -> Result<Vec<(RecallId, AppointmentId)>, Problem> {
    let sql = "SELECT r.id, min(n.id) FROM recall r
               JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
               JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient
               JOIN patient q ON q.clinic = p.clinic AND lower(q.email) = lower(p.email)
                 AND q.birth_date = p.birth_date
               JOIN appointment n ON n.clinic = q.clinic AND n.patient = q.id
               WHERE r.clinic = ? AND r.status = 'open' AND n.created_at > r.created_at
                 AND n.status IN ('booked', 'arrived', 'fulfilled')
               GROUP BY r.id LIMIT ?";
    let rows = context.database().query(sql, params![&context.clinic, MOST]).await?;
    let read = |row: &Row| {
        Ok::<_, DatabaseError>((row.parsed(0, RecallId::parse)?, row.parsed(1, AppointmentId::parse)?))
    };
    Ok(rows.iter().map(read).collect::<Result<_, DatabaseError>>()?)
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
    let day = context.clinic().await?.day_of(start);
    let Ok(due) = day.checked_add(i32::try_from(months).unwrap_or(1).months()) else { return Ok(()) };
    let sql =
        "INSERT INTO recall (clinic, id, appointment, reason, due_on, interval_months, status, planned_by,
                 created_at)
               SELECT clinic, ?3, booked, reason, ?4, interval_months, 'open', planned_by, ?5 FROM recall
               WHERE clinic = ?1 AND id = ?2";
    let next = RecallId::new(context.now)?;
    let values = params![&context.clinic, id, next, due.to_string(), context.now];
    context.database().execute(sql, values).await?;
    Ok(())
}

/// Open ones to be written about now.
async fn due(context: &Context<'_>) -> Result<Vec<Open>, Problem> {
    let clinic = context.clinic().await?;
    let sql = "SELECT r.id, p.id, p.email FROM recall r
               JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
               JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient
               WHERE r.clinic = ?1 AND r.status = 'open' AND r.due_on <= ?2 AND r.attempts < ?3
                 AND (r.last_attempt_at IS NULL OR r.last_attempt_at <= ?4)
                 AND NOT EXISTS (SELECT 1 FROM patient q
                   JOIN appointment n ON n.clinic = q.clinic AND n.patient = q.id
                   WHERE q.clinic = p.clinic AND lower(q.email) = lower(p.email) AND q.birth_date = p.birth_date
                     AND n.created_at > r.created_at AND n.status IN ('booked', 'arrived', 'fulfilled'))
               ORDER BY r.due_on, r.id LIMIT ?5";
    let until = soon(clinic.day_of(context.now), DAYS_BEFORE);
    let values = params![&context.clinic, until, BY_ITSELF, context.now - PAUSE, MOST];
    let rows = context.database().query(sql, values).await?;
    Ok(rows.iter().map(read_open).collect::<Result<_, _>>()?)
}

async fn find(context: &Context<'_>, id: RecallId) -> Result<Open, Problem> {
    let sql = "SELECT r.id, p.id, p.email FROM recall r
               JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
               JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient
               WHERE r.clinic = ? AND r.id = ? AND r.status = 'open'";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such open recall"))?;
    Ok(read_open(row)?)
}

fn read_open(row: &Row) -> Result<Open, DatabaseError> {
    Ok(Open {
        id: row.parsed(0, RecallId::parse)?,
        patient: row.parsed(1, PatientId::parse)?,
        email: row.text(2)?,
    })
}

/// One attempt, which counts although its receiver wants no messages: then somebody calls.
async fn write(context: &Context<'_>, open: &Open, by: Option<String>) -> Result<(), Problem> {
    let sql = "UPDATE recall SET attempts = attempts + 1, last_attempt_at = ?3
               WHERE clinic = ?1 AND id = ?2 AND status = 'open' AND coalesce(last_attempt_at, 0) < ?3";
    if context.database().execute(sql, params![&context.clinic, open.id, context.now]).await? == 0 {
        return Ok(());
    }
    if is_unwanted(context, &open.email).await? {
        return Ok(());
    }
    let id = MessageId::new(context.now)?;
    let sql = "INSERT INTO recall_attempt (clinic, recall, number, at, message, by)
               SELECT clinic, id, attempts, ?3, ?4, ?5 FROM recall WHERE clinic = ?1 AND id = ?2";
    let values = params![&context.clinic, open.id, context.now, id, by];
    context.database().execute(sql, values).await?;
    let (clinic, settings) = (context.clinic().await?, settings::of(context).await?);
    let not_before = settings.quiet.map_or(context.now, |quiet| quiet.over(&clinic, context.now));
    let text = texts::text(context.language_of(open.patient).await?, &clinic, Words::Recall);
    let link = format!("{}/c/{}", context.variable("pages_origin").await?, context.clinic);
    let message = Message { recipient: &open.email, subject: &text.subject, body: &text.body, link: &link };
    let routine = Routine {
        id,
        message,
        channel: Channel::Email,
        kind: "recall",
        patient: open.patient,
        not_before,
        useful_until: not_before + USEFUL,
    };
    outbox::put_routine(context, routine).await
}

fn soon(today: Date, days: i32) -> String {
    today.checked_add(days.days()).unwrap_or(today).to_string()
}
