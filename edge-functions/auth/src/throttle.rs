//! Too many wrong attempts from one address, whomever they are about: for some time nothing is taken from it.
//!
//! Counted beside the account's ([`crate::lockout`]) where the record group is written, so attempts in all regions add
//! up. A clinic's people may share one address: the bound is far above what they mistype together.

use jiff::SignedDuration;
use kit::audit::Action;
use kit::context::Context;
use kit::params;
use kit::problem::Problem;

/// Wrong attempts within [`WINDOW`] that have no consequence but the last.
pub const FREE: u32 = 100;
/// From the first of them on.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// How long nothing is taken then.
pub const BLOCKED: SignedDuration = SignedDuration::from_mins(15);
/// Addresses of one clinic that are remembered; those that failed least are forgotten first.
pub const MOST: i64 = 4_096;

/// Refuses while the address of the request is blocked.
pub(crate) async fn check(context: &Context<'_>) -> Result<(), Problem> {
    let Some(network) = context.network() else { return Ok(()) };
    let sql =
        "SELECT blocked_until FROM address_failure WHERE clinic = ? AND network = ? AND blocked_until > ?";
    let rows = context.database().query(sql, params![&context.clinic, network, context.now]).await?;
    match rows.first() {
        Some(row) => Err(Problem::too_many_attempts(row.time(0)?.duration_since(context.now).as_secs())),
        None => Ok(()),
    }
}

/// Counts a wrong attempt.
pub(crate) async fn failed(context: &Context<'_>) -> Result<(), Problem> {
    let Some(network) = context.network() else { return Ok(()) };
    let (clinic, database, now) = (&context.clinic, context.database(), context.now);
    let sql = "DELETE FROM address_failure WHERE clinic = ? AND since <= ? AND blocked_until <= ?";
    database.execute(sql, params![clinic, now - WINDOW, now]).await?;
    let sql = "INSERT INTO address_failure (clinic, network, failures, since) VALUES (?1, ?2, 1, ?3)
               ON CONFLICT (clinic, network) DO UPDATE SET
                 failures = failures + 1,
                 blocked_until = CASE WHEN failures + 1 >= ?4 THEN ?5 ELSE 0 END
               WHERE blocked_until <= ?3";
    let values = params![clinic, network.as_str(), now, i64::from(FREE), now + BLOCKED];
    let counted = database.execute(sql, values).await? > 0;
    if counted && check(context).await.is_err() {
        context.audit(Action::AddressBlocked, None);
    }
    let sql = "DELETE FROM address_failure WHERE clinic = ?1
               AND (SELECT count(*) FROM address_failure WHERE clinic = ?1) > ?2
               AND network IN (SELECT network FROM address_failure WHERE clinic = ?1
                               ORDER BY blocked_until DESC, failures DESC, since DESC LIMIT -1 OFFSET ?2)";
    database.execute(sql, params![clinic, MOST]).await?;
    Ok(())
}
