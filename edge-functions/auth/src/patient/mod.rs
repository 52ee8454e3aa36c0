//! Patients with an account: who somebody is over all their visits, by the address and the date of birth they book with.
//!
//! A passkey opens it, or a code that is sent to the address. An account stores nothing of the patient but these two:
//! their visits are found by them.

pub mod codes;
pub mod passkeys;
pub mod proxies;

use http::header::{HeaderValue, SET_COOKIE};
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::ids::{AccountId, ProxyId};
use kit::params;
use kit::person_sessions;
use kit::policy::Scope;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Serialize;

/// Who is signed in, for themselves.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionView {
    /// The patient's name, as it was booked with last.
    patient: String,
    clinic: ClinicView,
    /// Of the patient only.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Of the patient only.
    #[serde(skip_serializing_if = "Option::is_none")]
    passkeys: Option<Vec<passkeys::View>>,
    /// What whoever acts for the patient was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<ProxyView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClinicView {
    name: String,
    time_zone: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProxyView {
    id: ProxyId,
    name: String,
    scopes: Vec<Scope>,
    ends_at: Timestamp,
}

/// `GET /auth/patient/session`.
pub(crate) async fn get_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let person = context.person()?;
    let clinic = context.clinic().await?;
    let sql =
        "SELECT c.email, (SELECT p.name FROM patient p WHERE p.clinic = c.clinic AND lower(p.email) = c.email
                                AND p.birth_date = c.birth_date ORDER BY p.created_at DESC, p.id LIMIT 1)
               FROM patient_account c WHERE c.clinic = ? AND c.id = ?";
    let rows = context.database().query(sql, params![&context.clinic, person.account]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such account"))?;
    let is_patient = person.proxy.is_none();
    let proxy = match &person.proxy {
        Some(proxy) => Some(proxy_view(context, proxy.id).await?),
        None => None,
    };
    let passkeys = match is_patient {
        true => Some(passkeys::list(context, person.account).await?),
        false => None,
    };
    context.audit(Action::AccountRead, Some(&person.account));
    reply::ok(&SessionView {
        patient: row.text_or_null(1)?.unwrap_or_default(),
        clinic: ClinicView { name: clinic.name, time_zone: clinic.time_zone },
        email: if is_patient { Some(row.text(0)?) } else { None },
        passkeys,
        proxy,
    })
}

async fn proxy_view(context: &Context<'_>, id: ProxyId) -> Result<ProxyView, Problem> {
    let sql = "SELECT name, scopes, ends_at FROM related_person WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(Problem::sign_in_required)?;
    let scopes = Scope::parse_list(&row.text(1)?);
    Ok(ProxyView { id, name: row.text(0)?, scopes, ends_at: row.time(2)? })
}

/// `DELETE /auth/patient/session`.
pub(crate) async fn delete_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let account = context.person()?.account;
    let cookie = context
        .transaction(async || {
            context.audit(Action::PatientSignOut, Some(&account));
            person_sessions::end(context).await
        })
        .await?;
    let mut reply = reply::no_content();
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

/// The account of whoever has booked with this address and date of birth, made if there is none; `None`: nobody has.
pub(crate) async fn account_of(
    context: &Context<'_>,
    email: &str,
    born: &str,
) -> Result<Option<AccountId>, Problem> {
    let (clinic, database, email) = (&context.clinic, context.database(), email.to_ascii_lowercase());
    let sql = "INSERT INTO patient_account (clinic, id, email, birth_date, created_at)
               SELECT ?1, ?2, ?3, ?4, ?5
               WHERE EXISTS (SELECT 1 FROM patient p
                             WHERE p.clinic = ?1 AND lower(p.email) = ?3 AND p.birth_date = ?4)
               ON CONFLICT (clinic, email, birth_date) DO NOTHING";
    let id = AccountId::new(context.now)?;
    database.execute(sql, params![clinic, id, email.as_str(), born, context.now]).await?;
    let sql = "SELECT id FROM patient_account WHERE clinic = ? AND email = ? AND birth_date = ?";
    let rows = database.query(sql, params![clinic, email, born]).await?;
    Ok(rows.first().map(|row| row.parsed(0, AccountId::parse)).transpose()?)
}

/// Somebody is in: the cookie to set.
pub(crate) async fn enter(
    context: &Context<'_>,
    account: AccountId,
    proxy: Option<ProxyId>,
) -> Result<HeaderValue, Problem> {
    context.audit(Action::PatientSignIn, Some(&account));
    person_sessions::begin(context, account, proxy).await
}
