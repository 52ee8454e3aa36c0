//! What a patient and the clinic write to each other. It is read here only: outside goes a link.

use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form::{self, NoteText};
use kit::ids::{AccountId, AppointmentId, MessageId, PatientId};
use kit::outbox::{self, Message};
use kit::params;
use kit::phi::Phi;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use kit::texts::{self, Words};
use serde::{Deserialize, Serialize};

/// As much of a conversation as a page shows, the newest.
const MOST: i64 = 200;
/// Conversations of a list.
const MOST_THREADS: i64 = 200;
/// Between two messages outside that say there is something new.
const PAUSE: SignedDuration = SignedDuration::from_mins(10);
/// So many messages a patient writes within an hour.
const HOURLY: i64 = 30;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMessage {
    text: Phi<NoteText>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThreadView {
    time_zone: String,
    /// The oldest first.
    messages: Vec<MessageView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageView {
    id: MessageId,
    /// Of the member of staff; nothing: the patient.
    author: Option<String>,
    text: String,
    sent_at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThreadsView {
    time_zone: String,
    threads: Vec<ThreadLine>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThreadLine {
    /// A visit by which it is opened.
    appointment: AppointmentId,
    patient: String,
    last_at: Timestamp,
    waits: bool,
}

/// Whose conversation it is.
struct Theirs {
    account: AccountId,
    patient: PatientId,
    email: String,
}

/// `GET /messages/threads`: who waits for an answer first.
pub async fn list_threads(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let sql =
        "SELECT (SELECT x.id FROM patient q JOIN appointment x ON x.clinic = q.clinic AND x.patient = q.id
                       WHERE q.clinic = t.clinic AND lower(q.email) = c.email AND q.birth_date = c.birth_date
                       ORDER BY x.start_at DESC, x.id LIMIT 1) AS visit,
                 (SELECT q.name FROM patient q WHERE q.clinic = t.clinic AND lower(q.email) = c.email
                    AND q.birth_date = c.birth_date ORDER BY q.created_at DESC, q.id LIMIT 1),
                 t.last_at, t.waits
               FROM thread t JOIN patient_account c ON c.clinic = t.clinic AND c.id = t.account
               WHERE t.clinic = ? ORDER BY t.waits DESC, t.last_at DESC LIMIT ?";
    let rows = context.database().query(sql, params![&context.clinic, MOST_THREADS]).await?;
    // Of a patient who was erased there is no visit.
    let rows = rows.iter().filter(|row| row.text_or_null(0).is_ok_and(|visit| visit.is_some()));
    let threads = rows.map(read_line).collect::<Result<_, _>>()?;
    context.audit(Action::ThreadsRead, None);
    reply::ok(&ThreadsView { time_zone: context.clinic().await?.time_zone, threads })
}

fn read_line(row: &Row) -> Result<ThreadLine, DatabaseError> {
    Ok(ThreadLine {
        appointment: row.parsed(0, AppointmentId::parse)?,
        patient: row.text(1)?,
        last_at: row.time(2)?,
        waits: row.integer(3)? == 1,
    })
}

/// `GET /messages/appointments/{id}/thread`: of the patient of a visit.
pub async fn get_thread(context: &Context<'_>) -> Result<Reply, Problem> {
    let appointment = context.path_id(AppointmentId::parse)?;
    Query::of(context.request.uri()).finish()?;
    let patient = patient_of(context, appointment).await?;
    context.may_open_visit(appointment).await?;
    let account = account_of(context, patient).await?;
    context.audit(Action::ThreadRead, Some(&appointment));
    view(context, account).await
}

/// `POST /messages/appointments/{id}/thread`. The patient is told that there is something, not what.
pub async fn create_thread_message(context: &Context<'_>) -> Result<Reply, Problem> {
    let appointment = context.path_id(AppointmentId::parse)?;
    let patient = patient_of(context, appointment).await?;
    let new: NewMessage = form::read(&context.request)?;
    context.may_open_visit(appointment).await?;
    let author = context.staff()?.user;
    let theirs = context
        .transaction(async || {
            let theirs = begin(context, patient).await?;
            add(context, theirs.account, Some(author.to_string()), &new).await?;
            tell(context, &theirs).await?;
            context.audit(Action::ThreadWritten, Some(&appointment));
            Ok(theirs)
        })
        .await?;
    view(context, Some(theirs.account)).await
}

/// `GET /messages/own-thread`.
pub async fn get_own_thread(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let account = context.person()?.account;
    context.audit(Action::OwnThreadRead, Some(&account));
    view(context, Some(account)).await
}

/// `POST /messages/own-thread`.
pub async fn create_own_thread_message(context: &Context<'_>) -> Result<Reply, Problem> {
    let account = context.person()?.account;
    let new: NewMessage = form::read(&context.request)?;
    context
        .transaction(async || {
            let sql = "SELECT count(*) FROM thread_message
                       WHERE clinic = ? AND account = ? AND author IS NULL AND sent_at > ?";
            let since = context.now - SignedDuration::from_hours(1);
            let rows = context.database().query(sql, params![&context.clinic, account, since]).await?;
            let written = rows.first().map_or(Ok(0), |row| row.integer(0))?;
            if written >= HOURLY {
                return Err(Problem::too_many_attempts(3_600));
            }
            add(context, account, None, &new).await?;
            context.audit(Action::OwnThreadWritten, Some(&account));
            Ok(())
        })
        .await?;
    view(context, Some(account)).await
}

async fn patient_of(context: &Context<'_>, appointment: AppointmentId) -> Result<PatientId, Problem> {
    let sql = "SELECT patient FROM appointment WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such visit"))?;
    Ok(row.parsed(0, PatientId::parse)?)
}

async fn account_of(context: &Context<'_>, patient: PatientId) -> Result<Option<AccountId>, Problem> {
    let sql = "SELECT c.id FROM patient p JOIN patient_account c
                 ON c.clinic = p.clinic AND c.email = lower(p.email) AND c.birth_date = p.birth_date
               WHERE p.clinic = ? AND p.id = ?";
    let rows = context.database().query(sql, params![&context.clinic, patient]).await?;
    Ok(rows.first().map(|row| row.parsed(0, AccountId::parse)).transpose()?)
}

/// The account by which the patient reads it, made if there is none yet.
async fn begin(context: &Context<'_>, patient: PatientId) -> Result<Theirs, Problem> {
    let sql = "INSERT INTO patient_account (clinic, id, email, birth_date, created_at)
               SELECT p.clinic, ?3, lower(p.email), p.birth_date, ?4 FROM patient p
               WHERE p.clinic = ?1 AND p.id = ?2
               ON CONFLICT (clinic, email, birth_date) DO NOTHING";
    let values = params![&context.clinic, patient, AccountId::new(context.now)?, context.now];
    context.database().execute(sql, values).await?;
    let account = account_of(context, patient).await?;
    let account = account.ok_or_else(|| Problem::not_found("No such patient"))?;
    let sql = "SELECT email FROM patient WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, patient]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such patient"))?;
    Ok(Theirs { account, patient, email: row.text(0)? })
}

async fn add(
    context: &Context<'_>,
    account: AccountId,
    author: Option<String>,
    new: &NewMessage,
) -> Result<(), Problem> {
    let waits = i64::from(author.is_none());
    let sql =
        "INSERT INTO thread_message (clinic, id, account, author, body, sent_at) VALUES (?, ?, ?, ?, ?, ?)";
    let id = MessageId::new(context.now)?;
    let values = params![&context.clinic, id, account, author, new.text.open().as_str(), context.now];
    context.database().execute(sql, values).await?;
    let sql = "INSERT INTO thread (clinic, account, last_at, waits) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (clinic, account) DO UPDATE SET last_at = ?3, waits = ?4";
    context.database().execute(sql, params![&context.clinic, account, context.now, waits]).await?;
    Ok(())
}

/// Not for each of several messages.
async fn tell(context: &Context<'_>, theirs: &Theirs) -> Result<(), Problem> {
    let sql = "UPDATE thread SET told_at = ?3
               WHERE clinic = ?1 AND account = ?2 AND (told_at IS NULL OR told_at <= ?4)";
    let values = params![&context.clinic, theirs.account, context.now, context.now - PAUSE];
    if context.database().execute(sql, values).await? == 0 {
        return Ok(());
    }
    let (clinic, language) = (context.clinic().await?, context.language_of(theirs.patient).await?);
    let text = texts::text(language, &clinic, Words::NewMessage);
    let link = format!("{}/c/{}/account/messages", context.variable("pages_origin").await?, context.clinic);
    let message = Message { recipient: &theirs.email, subject: &text.subject, body: &text.body, link: &link };
    outbox::put(context, message).await
}

async fn view(context: &Context<'_>, account: Option<AccountId>) -> Result<Reply, Problem> {
    let sql = "SELECT m.id, u.name, m.body, m.sent_at FROM thread_message m
               LEFT JOIN staff_user u ON u.clinic = m.clinic AND u.id = m.author
               WHERE m.clinic = ? AND m.account = ? ORDER BY m.sent_at DESC, m.id DESC LIMIT ?";
    let mut messages = Vec::new();
    if let Some(account) = account {
        let rows = context.database().query(sql, params![&context.clinic, account, MOST]).await?;
        messages = rows.iter().rev().map(read).collect::<Result<_, _>>()?;
    }
    reply::ok(&ThreadView { time_zone: context.clinic().await?.time_zone, messages })
}

fn read(row: &Row) -> Result<MessageView, DatabaseError> {
    Ok(MessageView {
        id: row.parsed(0, MessageId::parse)?,
        author: row.text_or_null(1)?,
        text: row.text(2)?,
        sent_at: row.time(3)?,
    })
}
