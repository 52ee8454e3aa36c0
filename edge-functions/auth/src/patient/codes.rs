//! A code by mail: the way into an account for the first time, and back into it.

use http::StatusCode;
use http::header::SET_COOKIE;
use jiff::SignedDuration;
use kit::audit::Action;
use kit::context::Context;
use kit::form::{self, Day, Email};
use kit::ids::PatientId;
use kit::outbox::{self, Message};
use kit::params;
use kit::phi::Phi;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use kit::texts::{self, Answer, Text};
use serde::{Deserialize, Serialize};

use super::{account_of, enter};
use crate::code::{Code, PAUSE, TRIES};
use crate::lockout::{self, Subject};

/// Codes that are not used are forgotten.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);
/// Addresses of one clinic with a code.
const MOST: i64 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    email: Phi<Email>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Credentials {
    email: Phi<Email>,
    birth_date: Phi<Day>,
    code: Code,
}

#[derive(Serialize)]
struct Accepted {}

/// What signing in answers: who it is, the session says.
#[derive(Serialize)]
pub(super) struct SignedIn {}

/// `POST /auth/patient/codes`. Whether the address is known can be told neither by the answer nor by the work.
pub(crate) async fn create_code(context: &Context<'_>) -> Result<Reply, Problem> {
    let wish: Wish = form::read(&context.request)?;
    let clinic = context.clinic().await?;
    let address = wish.email.open().as_str().to_ascii_lowercase();
    let code = Code::new()?;
    let link = format!("{}/c/{}/account", context.variable("pages_origin").await?, context.clinic);
    context
        .transaction(async || {
            context.audit(Action::PatientCodeRequested, None);
            if !keep(context, &address, &code).await? {
                return Ok(());
            }
            let sql = "SELECT p.email, p.id FROM patient p WHERE p.clinic = ? AND lower(p.email) = ?
                       ORDER BY p.created_at DESC, p.id LIMIT 1";
            let rows = context.database().query(sql, params![&context.clinic, address.as_str()]).await?;
            let Some(row) = rows.first() else { return Ok(()) };
            let recipient = row.text(0)?;
            let language = context.language_of(row.parsed(1, PatientId::parse)?).await?;
            let Text { subject, body } = texts::answer(language, &clinic, Answer::AccountCode(&code.shown()));
            outbox::put(
                context,
                Message { recipient: &recipient, subject: &subject, body: &body, link: &link },
            )
            .await
        })
        .await?;
    reply::json(StatusCode::ACCEPTED, &Accepted {})
}

/// Whether it is time for a code to this address.
async fn keep(context: &Context<'_>, address: &str, code: &Code) -> Result<bool, Problem> {
    let (clinic, database, now) = (&context.clinic, context.database(), context.now);
    let sql = "DELETE FROM patient_code WHERE clinic = ? AND created_at <= ?";
    database.execute(sql, params![clinic, now - FORGOTTEN]).await?;
    let sql = "INSERT INTO patient_code (clinic, email_hash, code_hash, created_at)
               SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM patient_code WHERE clinic = ?1) < ?6
               ON CONFLICT (clinic, email_hash) DO UPDATE SET code_hash = ?3, created_at = ?4, tries = 0
               WHERE created_at <= ?5";
    let hash = Secret::presented(address).hash();
    let values = params![clinic, hash, code.hash(), now, now - PAUSE, MOST];
    Ok(database.execute(sql, values).await? > 0)
}

/// `POST /auth/patient/sessions`. A wrong code, an unknown address and another date of birth get the same answer.
pub(crate) async fn create_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let given: Credentials = form::read(&context.request)?;
    let address = given.email.open().as_str().to_ascii_lowercase();
    let born = given.birth_date.open().0.to_string();
    let hash = Secret::presented(&address).hash();
    let subject = Subject::Address(hash.first_chunk().copied().unwrap_or_default());
    lockout::check(context, &subject).await?;
    let entered = context
        .transaction(async || {
            if !is_right(context, hash, &given.code).await? {
                return Ok(None);
            }
            lockout::check(context, &subject).await?;
            let Some(account) = account_of(context, &address, &born).await? else { return Ok(None) };
            let sql = "DELETE FROM patient_code WHERE clinic = ? AND email_hash = ?";
            context.database().execute(sql, params![&context.clinic, hash]).await?;
            lockout::forget_all(context, &subject).await?;
            enter(context, account, None).await.map(Some)
        })
        .await?;
    let Some(cookie) = entered else {
        context.audit(Action::PatientSignInFailed, None);
        let title =
            "The code is wrong or too old, or nobody is known here with this address and date of birth";
        let refusal = Problem::new(StatusCode::UNAUTHORIZED, "wrong-code", title);
        return Err(lockout::failed(context, &subject, refusal).await?);
    };
    let mut reply = reply::json(StatusCode::CREATED, &SignedIn {})?;
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

/// Costs one of the tries that a code has.
async fn is_right(context: &Context<'_>, address: [u8; 32], code: &Code) -> Result<bool, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "UPDATE patient_code SET tries = tries + 1 WHERE clinic = ? AND email_hash = ? AND tries < ?";
    if database.execute(sql, params![clinic, address, TRIES]).await? == 0 {
        return Ok(false);
    }
    let sql = "SELECT code_hash, created_at FROM patient_code WHERE clinic = ? AND email_hash = ?";
    let rows = database.query(sql, params![clinic, address]).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    Ok(code.is(row.bytes::<32>(0)?, row.time(1)?, context.now))
}
