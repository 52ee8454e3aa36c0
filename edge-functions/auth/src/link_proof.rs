//! Who opens the link of a visit shows that they are who booked it, where the clinic asks for that.

use http::StatusCode;
use kit::audit::Action;
use kit::context::Context;
use kit::ids::{AppointmentId, PatientId};
use kit::outbox::{self, Message};
use kit::params;
use kit::problem::Problem;
use kit::sessions;
use kit::texts::{self, Answer, Text};
use serde_json::json;

use crate::code::{Code, PAUSE, TRIES};
use crate::lockout::{self, Subject};
use crate::settings::{LinkProof, ProofBy, Settings};

/// After so many wrong answers in a day a link works no more: whoever booked asks for another one.
pub const SPENT: i64 = 20;

/// What somebody gave.
pub(crate) enum Given<'g> {
    Nothing,
    BirthDate(String),
    Code(&'g Code),
}

/// By what a link of this visit has to be proved here and now, if at all.
pub(crate) async fn asked(
    context: &Context<'_>,
    appointment: AppointmentId,
) -> Result<Option<ProofBy>, Problem> {
    let settings = Settings::of(context).await?;
    if settings.link_proof == LinkProof::Never || is_open_here(context, appointment).await? {
        return Ok(None);
    }
    let asked = settings.link_proof == LinkProof::Always || was_opened(context, appointment).await?;
    Ok(asked.then_some(settings.link_proof_by))
}

/// This browser has opened it before, and shown then what had to be shown.
async fn is_open_here(context: &Context<'_>, appointment: AppointmentId) -> Result<bool, Problem> {
    let visitor = sessions::visitor_of(context).await?;
    Ok(visitor.is_some_and(|visitor| visitor.appointment == appointment && visitor.guest.is_none()))
}

async fn was_opened(context: &Context<'_>, appointment: AppointmentId) -> Result<bool, Problem> {
    let sql = "SELECT 1 FROM visit_session WHERE clinic = ? AND appointment = ? AND guest IS NULL LIMIT 1";
    Ok(!context.database().query(sql, params![&context.clinic, appointment]).await?.is_empty())
}

/// Passes whoever gives what is asked for.
pub(crate) async fn check(
    context: &Context<'_>,
    appointment: AppointmentId,
    (by, born): (ProofBy, &str),
    given: Given<'_>,
) -> Result<(), Problem> {
    let subject = Subject::Link(appointment);
    lockout::check(context, &subject).await?;
    let right = match (by, given) {
        (ProofBy::BirthDate, Given::BirthDate(given)) => given == born,
        (ProofBy::Code, Given::Code(code)) => spend(context, appointment, code).await?,
        _ => return Err(refusal("link-proof-required", "Show who you are to open this link", by)),
    };
    if right {
        return context
            .transaction(async || {
                // Of any number of answers at the same time no more are told that they are right than are free.
                lockout::check(context, &subject).await?;
                context.audit(Action::LinkProved, Some(&appointment));
                lockout::forget_all(context, &subject).await
            })
            .await;
    }
    context.audit(Action::LinkProofFailed, Some(&appointment));
    let wrong = refusal("wrong-link-proof", "This is not what we know of whoever booked", by);
    let answer = lockout::failed(context, &subject, wrong).await?;
    if lockout::failures(context, &subject).await? >= SPENT {
        let sql = "DELETE FROM invitation WHERE clinic = ? AND appointment = ?";
        if context.database().execute(sql, params![&context.clinic, appointment]).await? > 0 {
            context.audit(Action::LinkSpent, Some(&appointment));
        }
    }
    Err(answer)
}

fn refusal(slug: &'static str, title: &'static str, by: ProofBy) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, slug, title).member("proof", json!(by.as_str()))
}

/// Whether `code` is the one that was sent: then it is used up.
async fn spend(context: &Context<'_>, appointment: AppointmentId, code: &Code) -> Result<bool, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "UPDATE visit_code SET tries = tries + 1 WHERE clinic = ? AND appointment = ? AND tries < ?";
    if database.execute(sql, params![clinic, appointment, TRIES]).await? == 0 {
        return Ok(false);
    }
    let sql = "SELECT code_hash, created_at FROM visit_code WHERE clinic = ? AND appointment = ?";
    let rows = database.query(sql, params![clinic, appointment]).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    let right = code.is(row.bytes::<32>(0)?, row.time(1)?, context.now);
    if right {
        let sql = "DELETE FROM visit_code WHERE clinic = ? AND appointment = ?";
        database.execute(sql, params![clinic, appointment]).await?;
    }
    Ok(right)
}

/// Sends a code to whoever booked the visit, unless one was sent just now.
pub(crate) async fn send(context: &Context<'_>, appointment: AppointmentId) -> Result<(), Problem> {
    let code = Code::new()?;
    let sql = "INSERT INTO visit_code (clinic, appointment, code_hash, created_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (clinic, appointment) DO UPDATE SET code_hash = ?3, created_at = ?4, tries = 0
               WHERE created_at <= ?5";
    let values = params![&context.clinic, appointment, code.hash(), context.now, context.now - PAUSE];
    if context.database().execute(sql, values).await? == 0 {
        return Ok(());
    }
    let sql = "SELECT p.email, p.id FROM appointment a
               JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient
               WHERE a.clinic = ? AND a.id = ?";
    let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let clinic = context.clinic().await?;
    let link = format!("{}/c/{}/visit", context.variable("pages_origin").await?, context.clinic);
    let language = context.language_of(row.parsed(1, PatientId::parse)?).await?;
    let Text { subject, body } = texts::answer(language, &clinic, Answer::LinkCode(&code.shown()));
    context.audit(Action::LinkCodeSent, Some(&appointment));
    outbox::put(context, Message { recipient: &row.text(0)?, subject: &subject, body: &body, link: &link })
        .await
}
