//! Who acts for a patient: a parent, a carer (FHIR RelatedPerson), with what they may do and until when.
//!
//! The patient invites them, or front desk does for the patient of a visit. They come by a link that is sent to them,
//! and are out at the next request once it is taken back or its last day is over.

use http::StatusCode;
use http::header::SET_COOKIE;
use jiff::{Timestamp, ToSpan as _};
use kit::audit::Action;
use kit::call;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form::{self, Day, Email, Name, SecretText};
use kit::ids::{AccountId, AppointmentId, PatientId, ProxyId, UserId};
use kit::outbox::{self, Message};
use kit::params;
use kit::phi::Phi;
use kit::policy::Scope;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use kit::texts::{self, Answer, Text};
use serde::{Deserialize, Serialize};

use super::codes::SignedIn;
use super::{account_of, enter};
use crate::throttle;

/// Who may act for one patient at once.
const MOST: i64 = 10;
/// The longest that somebody may: until a child has grown up.
const YEARS: i64 = 18;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProxy {
    name: Phi<Name>,
    relationship: Relationship,
    email: Phi<Email>,
    scopes: Vec<Scope>,
    /// The last day, in the clinic's calendar.
    until: Day,
}

/// What they are to the patient. In FHIR's `RelatedPerson.relationship` (v3-RoleCode): `PRN`, `GUARD`, `CAREGIVER`,
/// `SPS`, `CHILD`, `FAMMEMB`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Relationship {
    Parent,
    Guardian,
    Carer,
    Spouse,
    Child,
    Other,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    token: SecretText,
}

#[derive(Serialize)]
struct Proxies {
    proxies: Vec<View>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    id: ProxyId,
    name: String,
    relationship: Relationship,
    email: String,
    scopes: Vec<Scope>,
    ends_at: Timestamp,
    /// Whether they have come by their link.
    came: bool,
}

impl Relationship {
    const ALL: [Self; 6] =
        [Self::Parent, Self::Guardian, Self::Carer, Self::Spouse, Self::Child, Self::Other];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Guardian => "guardian",
            Self::Carer => "carer",
            Self::Spouse => "spouse",
            Self::Child => "child",
            Self::Other => "other",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

/// `GET /auth/proxies`.
pub(crate) async fn list_own(context: &Context<'_>) -> Result<Reply, Problem> {
    list(context, context.person()?.account).await
}

/// `GET /auth/appointments/{id}/proxies`.
pub(crate) async fn list_of_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    let (email, born) = patient_of(context).await?;
    let sql = "SELECT id FROM patient_account WHERE clinic = ? AND email = ? AND birth_date = ?";
    let rows = context.database().query(sql, params![&context.clinic, email, born]).await?;
    match rows.first() {
        Some(row) => list(context, row.parsed(0, AccountId::parse)?).await,
        None => {
            context.audit(Action::ProxiesRead, None);
            reply::ok(&Proxies { proxies: Vec::new() })
        }
    }
}

async fn list(context: &Context<'_>, account: AccountId) -> Result<Reply, Problem> {
    let sql = "SELECT id, name, relationship, email, scopes, ends_at, used_at FROM related_person
               WHERE clinic = ? AND account = ? AND revoked_at IS NULL AND ends_at > ? ORDER BY name, id";
    let rows = context.database().query(sql, params![&context.clinic, account, context.now]).await?;
    let proxies = rows.iter().map(read).collect::<Result<_, _>>()?;
    context.audit(Action::ProxiesRead, Some(&account));
    reply::ok(&Proxies { proxies })
}

fn read(row: &Row) -> Result<View, DatabaseError> {
    Ok(View {
        id: row.parsed(0, ProxyId::parse)?,
        name: row.text(1)?,
        relationship: row.parsed(2, Relationship::parse)?,
        email: row.text(3)?,
        scopes: Scope::parse_list(&row.text(4)?),
        ends_at: row.time(5)?,
        came: row.time_or_null(6)?.is_some(),
    })
}

/// `POST /auth/proxies`.
pub(crate) async fn invite_own(context: &Context<'_>) -> Result<Reply, Problem> {
    let new = checked(context).await?;
    let account = context.person()?.account;
    context.transaction(async || invite(context, account, None, &new).await).await
}

/// `POST /auth/appointments/{id}/proxies`.
pub(crate) async fn invite_of_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    let new = checked(context).await?;
    let by = context.staff()?.user;
    let (email, born) = patient_of(context).await?;
    context
        .transaction(async || {
            let account = account_of(context, &email, &born).await?;
            let account = account.ok_or_else(|| Problem::not_found("No such patient"))?;
            invite(context, account, Some(by), &new).await
        })
        .await
}

/// What was asked for, with the instant at which it ends.
struct Checked {
    new: NewProxy,
    ends_at: Timestamp,
}

async fn checked(context: &Context<'_>) -> Result<Checked, Problem> {
    let new: NewProxy = form::read(&context.request)?;
    let distinct = new.scopes.iter().enumerate().all(|(index, scope)| !new.scopes[..index].contains(scope));
    if new.scopes.is_empty() || !distinct {
        return Err(Problem::invalid("/scopes", "must be one or more of book, join and read"));
    }
    let clinic = context.clinic().await?;
    let today = clinic.day_of(context.now);
    let last = today.checked_add(YEARS.years()).unwrap_or(today);
    let next = new.until.0.checked_add(1.days()).ok().and_then(|day| clinic.start_of(day));
    match next {
        Some(ends_at) if (today..=last).contains(&new.until.0) => Ok(Checked { new, ends_at }),
        _ => Err(Problem::invalid("/until", "must be today or later, and within 18 years")),
    }
}

async fn invite(
    context: &Context<'_>,
    account: AccountId,
    by: Option<UserId>,
    Checked { new, ends_at }: &Checked,
) -> Result<Reply, Problem> {
    let (id, token) = (ProxyId::new(context.now)?, Secret::new::<16>()?);
    let scopes = new.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
    let (name, email) = (new.name.open().as_str(), new.email.open().as_str());
    let sql =
        "INSERT INTO related_person (clinic, id, account, name, relationship, email, scopes, token_hash,
                 invited_by, created_at, ends_at)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
               WHERE (SELECT count(*) FROM related_person WHERE clinic = ?1 AND account = ?3
                      AND revoked_at IS NULL AND ends_at > ?10) < ?12";
    let values = params![
        &context.clinic,
        id,
        account,
        name,
        new.relationship.as_str(),
        email,
        scopes,
        token.hash(),
        by,
        context.now,
        *ends_at,
        MOST
    ];
    if context.database().execute(sql, values).await? == 0 {
        let title = "As many people act for this patient as may";
        return Err(Problem::new(StatusCode::CONFLICT, "too-many-proxies", title));
    }
    context.audit(Action::ProxyInvited, Some(&id));
    send(context, account, email, &token).await?;
    let view = View {
        id,
        name: name.to_owned(),
        relationship: new.relationship,
        email: email.to_owned(),
        scopes: new.scopes.clone(),
        ends_at: *ends_at,
        came: false,
    };
    reply::json(StatusCode::CREATED, &view)
}

/// In the language of the patient, for nobody knows that of who is invited.
async fn send(context: &Context<'_>, account: AccountId, email: &str, token: &Secret) -> Result<(), Problem> {
    let clinic = context.clinic().await?;
    let link =
        format!("{}/c/{}/proxy#{}", context.variable("pages_origin").await?, context.clinic, token.reveal());
    let sql = "SELECT p.id FROM patient_account c
               JOIN patient p ON p.clinic = c.clinic AND lower(p.email) = c.email AND p.birth_date = c.birth_date
               WHERE c.clinic = ? AND c.id = ? ORDER BY p.created_at DESC, p.id LIMIT 1";
    let rows = context.database().query(sql, params![&context.clinic, account]).await?;
    let language = match rows.first() {
        Some(row) => context.language_of(row.parsed(0, PatientId::parse)?).await?,
        None => context.clinic_language().await?,
    };
    let Text { subject, body } = texts::answer(language, &clinic, Answer::Proxy);
    outbox::put(context, Message { recipient: email, subject: &subject, body: &body, link: &link }).await
}

/// `POST /auth/proxies/{id}/revoke`.
pub(crate) async fn revoke_own(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    revoke(context, Some(context.person()?.account)).await
}

/// `POST /auth/appointments/proxies/{id}/revoke`.
pub(crate) async fn revoke_of_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    revoke(context, None).await
}

/// Their link, their sessions and their place in calls are gone. Revoked is revoked, also the second time.
async fn revoke(context: &Context<'_>, account: Option<AccountId>) -> Result<Reply, Problem> {
    let (clinic, database, id) = (&context.clinic, context.database(), context.path_id(ProxyId::parse)?);
    let sql = "SELECT 1 FROM related_person WHERE clinic = ?1 AND id = ?2 AND (?3 IS NULL OR account = ?3)";
    if database.query(sql, params![clinic, id, account]).await?.is_empty() {
        return Err(Problem::not_found("Nobody of that id acts for this patient"));
    }
    context
        .transaction(async || {
            let sql =
                "UPDATE related_person SET revoked_at = ? WHERE clinic = ? AND id = ? AND revoked_at IS NULL";
            database.execute(sql, params![context.now, clinic, id]).await?;
            for table in ["patient_session", "visit_session"] {
                let sql = format!("DELETE FROM {table} WHERE clinic = ? AND proxy = ?");
                database.execute(&sql, params![clinic, id]).await?;
            }
            call::put_out(context, &id.to_string()).await?;
            context.audit(Action::ProxyRevoked, Some(&id));
            Ok(reply::no_content())
        })
        .await
}

/// `POST /auth/proxy-sessions`: whoever acts for a patient comes by their link.
pub(crate) async fn create_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let link: Link = form::read(&context.request)?;
    throttle::check(context).await?;
    let sql = "SELECT id, account, revoked_at IS NOT NULL OR ends_at <= ?3 FROM related_person
               WHERE clinic = ?1 AND token_hash = ?2";
    let hash = Secret::presented(link.token.as_str()).hash();
    let rows = context.database().query(sql, params![&context.clinic, hash, context.now]).await?;
    let Some(row) = rows.first() else {
        context.audit(Action::LinkRefused, None);
        throttle::failed(context).await?;
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-link", "This link is not known"));
    };
    if row.integer(2)? != 0 {
        context.audit(Action::LinkRefused, None);
        return Err(Problem::link_withdrawn());
    }
    let (id, account) = (row.parsed(0, ProxyId::parse)?, row.parsed(1, AccountId::parse)?);
    let cookie = context
        .transaction(async || {
            let sql = "UPDATE related_person SET used_at = ? WHERE clinic = ? AND id = ?";
            context.database().execute(sql, params![context.now, &context.clinic, id]).await?;
            enter(context, account, Some(id)).await
        })
        .await?;
    let mut reply = reply::json(StatusCode::CREATED, &SignedIn {})?;
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

/// Address, in lower case, and date of birth of the patient whose visit the path names.
async fn patient_of(context: &Context<'_>) -> Result<(String, String), Problem> {
    let id = context.path_id(AppointmentId::parse)?;
    let sql = "SELECT lower(p.email), p.birth_date FROM appointment a
               JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient WHERE a.clinic = ? AND a.id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such appointment"))?;
    Ok((row.text(0)?, row.text(1)?))
}
