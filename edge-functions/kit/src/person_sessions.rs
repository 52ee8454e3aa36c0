//! Sessions of patients with an account, and of those who act for one: as those of staff ([`crate::sessions`]).

use http::HeaderMap;
use http::header::HeaderValue;
use jiff::Timestamp;

use crate::context::{Context, Person, Proxy};
use crate::cookies;
use crate::database::Database;
use crate::ids::{AccountId, ClinicId, ProxyId};
use crate::params;
use crate::policy::Scope;
use crate::problem::Problem;
use crate::secret::{self, Secret};
use crate::sessions::{ABSOLUTE, IDLE, RENEW_AFTER, parts, stamped};

/// A live session, and the cookie's next value if it is time for one.
pub(crate) struct Live {
    pub(crate) person: Person,
    pub(crate) renewed: Option<String>,
}

/// Begins a session of the patient `account`, or of the `proxy` who acts for them: the cookie to set.
pub async fn begin(
    context: &Context<'_>,
    account: AccountId,
    proxy: Option<ProxyId>,
) -> Result<HeaderValue, Problem> {
    let (secret, seen_key) = (Secret::new::<32>()?, secret::random::<32>()?);
    let (clinic, database) = (&context.clinic, context.database());
    // Nobody comes back to these.
    let sql = "DELETE FROM patient_session WHERE clinic = ? AND account = ? AND created_at <= ?";
    database.execute(sql, params![clinic, account, context.now - ABSOLUTE]).await?;
    let sql = "INSERT INTO patient_session (clinic, secret_hash, account, proxy, seen_key, created_at)
               VALUES (?, ?, ?, ?, ?, ?)";
    let values = params![clinic, secret.hash(), account, proxy, seen_key, context.now];
    database.execute(sql, values).await?;
    let value = stamped(secret.reveal(), &seen_key, context.now);
    let zone = context.variable("zone").await?;
    cookies::set(cookies::PERSON, &value, &zone, clinic).map_err(Problem::internal)
}

/// Ends the session that the request came with: the cookie to set.
pub async fn end(context: &Context<'_>) -> Result<HeaderValue, Problem> {
    let sql = "DELETE FROM patient_session WHERE clinic = ? AND secret_hash = ?";
    let session = context.person()?.session;
    context.database().execute(sql, params![&context.clinic, session]).await?;
    let zone = context.variable("zone").await?;
    cookies::clear(cookies::PERSON, &zone, &context.clinic).map_err(Problem::internal)
}

/// The patient, or who acts for one, whose cookie the request has, while their session lives.
pub(crate) async fn person(
    database: &dyn Database,
    clinic: &ClinicId,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Live>, Problem> {
    let Some((secret, stamp)) = cookies::read(headers, cookies::PERSON).and_then(parts) else {
        return Ok(None);
    };
    let session = Secret::presented(secret).hash();
    let sql = "SELECT s.account, s.seen_key, s.proxy, r.scopes
               FROM patient_session s
               LEFT JOIN related_person r ON r.clinic = s.clinic AND r.id = s.proxy
                 AND r.revoked_at IS NULL AND r.ends_at > ?4
               WHERE s.clinic = ?1 AND s.secret_hash = ?2 AND s.created_at > ?3
                 AND (s.proxy IS NULL OR r.id IS NOT NULL)";
    let rows = database.query(sql, params![clinic, session, now - ABSOLUTE, now]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let seen_key = row.bytes::<32>(1)?;
    let Some(seen) = stamp.verify(secret, &seen_key).filter(|seen| now - IDLE < *seen) else {
        return Ok(None);
    };
    let proxy = match row.text_or_null(3)? {
        Some(scopes) => {
            Some(Proxy { id: row.parsed(2, ProxyId::parse)?, scopes: Scope::parse_list(&scopes) })
        }
        None => None,
    };
    let person = Person { account: row.parsed(0, AccountId::parse)?, proxy, session };
    let renewed = (seen < now - RENEW_AFTER).then(|| stamped(secret, &seen_key, now));
    Ok(Some(Live { person, renewed }))
}
