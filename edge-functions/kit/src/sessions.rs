//! Sessions: random secrets in cookies, kept here as their hash.
//!
//! A session of staff ends 12 hours after sign-in, and after 30 minutes without a request. The time of the
//! last request travels in the cookie itself, authenticated with a key that only the session's row holds: so
//! a request that reads needs no write, and every region's replica can decide.

use http::HeaderMap;
use http::header::{HeaderValue, USER_AGENT};
use jiff::{SignedDuration, Timestamp};

use crate::context::{self, Caller, Context, NextStep, SigningIn, Staff, Visitor};
use crate::cookies;
use crate::database::Database;
use crate::ids::{AppointmentId, ClinicId, GuestId, ProxyId, SessionId, UserId};
use crate::params;
use crate::phi::Phi;
use crate::policy::Role;
use crate::problem::Problem;
use crate::secret::{self, Secret};

/// The longest that anybody stays signed in.
pub const ABSOLUTE: SignedDuration = SignedDuration::from_hours(12);
/// The longest pause between two requests.
pub const IDLE: SignedDuration = SignedDuration::from_mins(30);
/// A time of last use older than this is renewed.
pub(crate) const RENEW_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// How long after somebody showed who they are they may do what asks for that.
pub const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// How long a sign-in may take after the password.
pub const SIGN_IN: SignedDuration = SignedDuration::from_mins(10);
/// Longest description of a device that is kept.
const MAX_DEVICE: usize = 200;

/// A live session of staff, and the cookie's next value if it is time for one.
pub(crate) struct Live {
    pub(crate) staff: Staff,
    pub(crate) renewed: Option<String>,
}

/// Begins a session for `user`, who showed at `proved_at` who they are: the cookie to set.
pub async fn begin_staff(
    context: &Context<'_>,
    user: UserId,
    proved_at: Timestamp,
) -> Result<HeaderValue, Problem> {
    let (secret, seen_key) = (Secret::new::<32>()?, secret::random::<32>()?);
    let (id, device) = (SessionId::new(context.now)?, device(context.request.headers()));
    let country = context.country().map(str::to_owned);
    context
        .database()
        .execute(
            "INSERT INTO session (clinic, secret_hash, user, seen_key, created_at, id, device, proved_at, country)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![&context.clinic, secret.hash(), user, seen_key, context.now, id, device, proved_at, country],
        )
        .await?;
    let value = stamped(secret.reveal(), &seen_key, context.now);
    let zone = context.variable("zone").await?;
    cookies::set(cookies::STAFF, &value, &zone, &context.clinic).map_err(Problem::internal)
}

/// Whoever is signed in has shown once more who they are, from where the request came.
pub async fn prove(context: &Context<'_>) -> Result<(), Problem> {
    let sql =
        "UPDATE session SET proved_at = ?, country = ?, ceremony = NULL WHERE clinic = ? AND secret_hash = ?";
    let (session, country) = (context.staff()?.session, context.country().map(str::to_owned));
    context.database().execute(sql, params![context.now, country, &context.clinic, session]).await?;
    Ok(())
}

/// Ends the session that the request came with: the cookie to set.
pub async fn end_staff(context: &Context<'_>) -> Result<HeaderValue, Problem> {
    if let Some((secret, _)) = cookies::read(context.request.headers(), cookies::STAFF).and_then(parts) {
        let sql = "UPDATE session SET ended_at = ? WHERE clinic = ? AND secret_hash = ? AND ended_at IS NULL";
        let hash = Secret::presented(secret).hash();
        context.database().execute(sql, params![context.now, &context.clinic, hash]).await?;
    }
    let zone = context.variable("zone").await?;
    cookies::clear(cookies::STAFF, &zone, &context.clinic).map_err(Problem::internal)
}

/// Begins a sign-in of `user`, who owes `next`: the cookie to set.
pub async fn begin_sign_in(
    context: &Context<'_>,
    user: UserId,
    next: NextStep,
) -> Result<HeaderValue, Problem> {
    let (secret, database) = (Secret::new::<32>()?, context.database());
    // Nobody comes back to these.
    let sql = "DELETE FROM sign_in WHERE clinic = ? AND user = ? AND created_at <= ?";
    database.execute(sql, params![&context.clinic, user, context.now - SIGN_IN]).await?;
    let sql = "INSERT INTO sign_in (clinic, secret_hash, user, next, created_at) VALUES (?, ?, ?, ?, ?)";
    database.execute(sql, params![&context.clinic, secret.hash(), user, next.as_str(), context.now]).await?;
    let zone = context.variable("zone").await?;
    cookies::set(cookies::SIGN_IN, secret.reveal(), &zone, &context.clinic).map_err(Problem::internal)
}

/// Ends a sign-in: the cookie to set.
pub async fn end_sign_in(context: &Context<'_>, signing_in: &SigningIn) -> Result<HeaderValue, Problem> {
    let sql = "DELETE FROM sign_in WHERE clinic = ? AND secret_hash = ?";
    context.database().execute(sql, params![&context.clinic, signing_in.key]).await?;
    let zone = context.variable("zone").await?;
    cookies::clear(cookies::SIGN_IN, &zone, &context.clinic).map_err(Problem::internal)
}

/// Begins the session of a visit: the cookie to set. A guest's link works on one device at a time: the one that
/// opened it last.
pub async fn begin_visit(context: &Context<'_>, visitor: Visitor) -> Result<HeaderValue, Problem> {
    let secret = Secret::new::<32>()?;
    if let Some(guest) = visitor.guest {
        end_guest(context, guest).await?;
    }
    let sql = "INSERT INTO visit_session (clinic, secret_hash, appointment, guest, proxy, created_at)
               VALUES (?, ?, ?, ?, ?, ?)";
    let Visitor { appointment, guest, proxy } = visitor;
    let values = params![&context.clinic, secret.hash(), appointment, guest, proxy, context.now];
    context.database().execute(sql, values).await?;
    let zone = context.variable("zone").await?;
    cookies::set(cookies::VISIT, secret.reveal(), &zone, &context.clinic).map_err(Problem::internal)
}

async fn end_guest(context: &Context<'_>, guest: GuestId) -> Result<(), Problem> {
    let sql = "DELETE FROM visit_session WHERE clinic = ? AND guest = ?";
    context.database().execute(sql, params![&context.clinic, guest]).await?;
    Ok(())
}

/// The member of staff whose cookie the request has, while their session lives.
pub(crate) async fn staff(
    database: &dyn Database,
    clinic: &ClinicId,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Live>, Problem> {
    let Some((secret, stamp)) = cookies::read(headers, cookies::STAFF).and_then(parts) else {
        return Ok(None);
    };
    let session = Secret::presented(secret).hash();
    let rows = database
        .query(
            "SELECT s.user, u.name, s.seen_key,
                    (SELECT group_concat(r.role, ' ') FROM staff_role r
                     WHERE r.clinic = u.clinic AND r.user = u.id),
                    coalesce(s.proved_at, s.created_at), s.country
             FROM session s JOIN staff_user u ON u.clinic = s.clinic AND u.id = s.user
             WHERE s.clinic = ? AND s.secret_hash = ? AND s.ended_at IS NULL AND s.created_at > ?
               AND u.left_at IS NULL",
            params![clinic, session, now - ABSOLUTE],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let seen_key = row.bytes::<32>(2)?;
    let Some(seen) = stamp.verify(secret, &seen_key).filter(|seen| now - IDLE < *seen) else {
        return Ok(None);
    };
    let roles = row.text_or_null(3)?.unwrap_or_default();
    let staff = Staff {
        user: row.parsed(0, UserId::parse)?,
        name: Phi::new(row.text(1)?),
        roles: roles.split(' ').filter_map(Role::parse).collect(),
        session,
        proved_at: row.time(4)?,
        country: row.text_or_null(5)?,
    };
    let due = seen < now - RENEW_AFTER && !is_background(headers);
    let renewed = due.then(|| stamped(secret, &seen_key, now));
    Ok(Some(Live { staff, renewed }))
}

/// Whether a page asks by itself, with nobody at it: that keeps nobody signed in. A page in a call does not say so.
fn is_background(headers: &HeaderMap) -> bool {
    headers.contains_key("x-locum-background")
}

/// Whether a session is used in another country than where its owner last showed who they are.
pub(crate) fn is_elsewhere(caller: &Caller, headers: &HeaderMap) -> bool {
    let known = caller.staff.as_ref().and_then(|staff| staff.country.as_deref());
    known.zip(context::country(headers)).is_some_and(|(known, now)| known != now)
}

/// The sign-in whose cookie the request has, while it may go on.
pub(crate) async fn signing_in(
    database: &dyn Database,
    clinic: &ClinicId,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<SigningIn>, Problem> {
    let Some(secret) = cookies::read(headers, cookies::SIGN_IN) else { return Ok(None) };
    let key = Secret::presented(secret).hash();
    let sql = "SELECT i.user, i.next
               FROM sign_in i JOIN staff_user u ON u.clinic = i.clinic AND u.id = i.user
               WHERE i.clinic = ? AND i.secret_hash = ? AND i.created_at > ? AND u.left_at IS NULL";
    let rows = database.query(sql, params![clinic, key, now - SIGN_IN]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(SigningIn { user: row.parsed(0, UserId::parse)?, key, next: row.parsed(1, NextStep::parse)? }))
}

/// What the browser calls itself, for its owner to recognise it by.
pub fn device(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(MAX_DEVICE).collect())
}

/// Who holds the session of a visit, also where anybody may ask.
pub async fn visitor_of(context: &Context<'_>) -> Result<Option<Visitor>, Problem> {
    visitor(context.database(), &context.clinic, context.request.headers(), context.now).await
}

/// The patient or guest whose cookie the request has.
pub(crate) async fn visitor(
    database: &dyn Database,
    clinic: &ClinicId,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Visitor>, Problem> {
    let Some(secret) = cookies::read(headers, cookies::VISIT) else { return Ok(None) };
    // What somebody was given for a patient ends at its date, or when it is taken back.
    let sql = "SELECT v.appointment, v.guest, v.proxy FROM visit_session v
               WHERE v.clinic = ?1 AND v.secret_hash = ?2 AND v.created_at > ?3
                 AND (v.proxy IS NULL OR EXISTS (
                   SELECT 1 FROM related_person r WHERE r.clinic = v.clinic AND r.id = v.proxy
                     AND r.revoked_at IS NULL AND r.ends_at > ?4))";
    let hash = Secret::presented(secret).hash();
    let rows = database.query(sql, params![clinic, hash, now - ABSOLUTE, now]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let guest = row.text_or_null(1)?.is_some().then(|| row.parsed(1, GuestId::parse)).transpose()?;
    let proxy = row.text_or_null(2)?.is_some().then(|| row.parsed(2, ProxyId::parse)).transpose()?;
    Ok(Some(Visitor { appointment: row.parsed(0, AppointmentId::parse)?, guest, proxy }))
}

/// When a session was last used, as its cookie says.
pub(crate) struct Stamp<'c> {
    millis: &'c str,
    tag: &'c str,
}

impl Stamp<'_> {
    pub(crate) fn verify(&self, secret: &str, seen_key: &[u8; 32]) -> Option<Timestamp> {
        let message = format!("{secret}.{}", self.millis);
        let genuine = secret::mac_matches(seen_key, &message, self.tag);
        let millis = self.millis.parse().ok().filter(|_| genuine)?;
        Timestamp::from_millisecond(millis).ok()
    }
}

pub(crate) fn stamped(secret: &str, seen_key: &[u8; 32], now: Timestamp) -> String {
    let message = format!("{secret}.{}", now.as_millisecond());
    let tag = secret::mac(seen_key, &message);
    format!("{message}.{tag}")
}

pub(crate) fn parts(cookie: &str) -> Option<(&str, Stamp<'_>)> {
    let (secret, rest) = cookie.split_once('.')?;
    let (millis, tag) = rest.split_once('.')?;
    Some((secret, Stamp { millis, tag }))
}
