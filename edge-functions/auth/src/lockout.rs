//! Wrong attempts in a row lock an account for some time (NIST SP 800-63B-4 §3.2.2).
//!
//! A sign-in is a write, so it runs at the primary of the clinic's record group and counts are exact, whichever
//! regions the attempts come in at. What is right is checked against the lock once more where it is written:
//! of any number of attempts at the same time, no more than [`FREE`] learn anything.

use std::fmt;

use jiff::SignedDuration;
use kit::audit::Action;
use kit::context::Context;
use kit::form::Username;
use kit::ids::{AppointmentId, UserId};
use kit::params;
use kit::problem::Problem;
use kit::secret::Secret;

use crate::account::Account;
use crate::throttle;

/// Wrong attempts in a row that have no consequence but the last.
pub const FREE: u32 = 10;
/// How long nothing is taken then; afterwards each further wrong attempt costs as long again.
pub const LOCKED: SignedDuration = SignedDuration::from_mins(15);
/// Attempts as old as this are forgotten.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);

/// Whom attempts are counted against.
pub(crate) enum Subject {
    User(UserId),
    /// A name that nobody has, by 16 bits of its hash: it may be a password in the wrong field.
    Name([u8; 2]),
    /// Whoever opens the link of a visit.
    Link(AppointmentId),
    /// A patient's address, by 64 bits of its hash.
    Address([u8; 8]),
}

impl Subject {
    pub(crate) fn of(account: Option<&Account>, username: &Username) -> Self {
        match account {
            Some(account) => Self::User(account.user.id),
            None => {
                let hash = Secret::presented(username.as_str()).hash();
                Self::Name([hash[0], hash[1]])
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user/{id}"),
            Self::Name([a, b]) => write!(f, "name/{a:02x}{b:02x}"),
            Self::Link(id) => write!(f, "link/{id}"),
            Self::Address(hash) => write!(f, "address/{:016x}", u64::from_be_bytes(*hash)),
        }
    }
}

/// Refuses while the subject is locked, or the address of the request is blocked.
pub(crate) async fn check(context: &Context<'_>, subject: &Subject) -> Result<(), Problem> {
    throttle::check(context).await?;
    locked(context, subject).await
}

async fn locked(context: &Context<'_>, subject: &Subject) -> Result<(), Problem> {
    let sql =
        "SELECT locked_until FROM sign_in_failure WHERE clinic = ? AND subject = ? AND locked_until > ?";
    let values = params![&context.clinic, subject.to_string(), context.now];
    match context.database().query(sql, values).await?.first() {
        Some(row) => {
            let left = row.time(0)?.duration_since(context.now);
            Err(Problem::too_many_attempts(left.as_secs()))
        }
        None => Ok(()),
    }
}

/// Counts a wrong attempt, and answers `refusal`; or that the subject is locked.
pub(crate) async fn failed(
    context: &Context<'_>,
    subject: &Subject,
    refusal: Problem,
) -> Result<Problem, Problem> {
    throttle::failed(context).await?;
    // One that arrives while the subject is locked neither counts nor learns anything.
    let sql = "INSERT INTO sign_in_failure (clinic, subject, failures, last_at) VALUES (?1, ?2, 1, ?3)
               ON CONFLICT (clinic, subject) DO UPDATE SET
                 failures = CASE WHEN last_at <= ?4 THEN 1 ELSE failures + 1 END,
                 last_at = ?3,
                 locked_until = CASE WHEN last_at > ?4 AND failures + 1 >= ?5 THEN ?6 ELSE 0 END
               WHERE locked_until <= ?3";
    let (now, limit) = (context.now, i64::from(FREE));
    let values = params![&context.clinic, subject.to_string(), now, now - FORGOTTEN, limit, now + LOCKED];
    let counted = context.database().execute(sql, values).await? > 0;
    let locked = locked(context, subject).await;
    if counted && locked.is_err() {
        let user = match subject {
            Subject::User(id) => Some(id as &dyn fmt::Display),
            Subject::Name(_) | Subject::Link(_) | Subject::Address(_) => None,
        };
        context.audit(Action::SignInLocked, user);
    }
    // The attempt that locks was still judged.
    if counted { Ok(refusal) } else { Ok(locked.err().unwrap_or(refusal)) }
}

/// Forgets the wrong attempts of somebody who is in.
pub(crate) async fn forget(context: &Context<'_>, user: UserId) -> Result<(), Problem> {
    forget_all(context, &Subject::User(user)).await
}

/// The same for whatever attempts were about.
pub(crate) async fn forget_all(context: &Context<'_>, subject: &Subject) -> Result<(), Problem> {
    let sql = "DELETE FROM sign_in_failure WHERE clinic = ? AND (subject = ? OR last_at <= ?)";
    let values = params![&context.clinic, subject.to_string(), context.now - FORGOTTEN];
    context.database().execute(sql, values).await?;
    Ok(())
}

/// How many wrong attempts are remembered.
pub(crate) async fn failures(context: &Context<'_>, subject: &Subject) -> Result<i64, Problem> {
    let sql = "SELECT failures FROM sign_in_failure WHERE clinic = ? AND subject = ?";
    let rows = context.database().query(sql, params![&context.clinic, subject.to_string()]).await?;
    Ok(rows.first().map_or(Ok(0), |row| row.integer(0))?)
}
