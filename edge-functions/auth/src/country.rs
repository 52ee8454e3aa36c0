//! Countries that staff sign in from.

use kit::audit::Action;
use kit::context::Context;
use kit::ids::UserId;
use kit::params;
use kit::problem::Problem;

/// Whether the request comes from a country that `user` is not known to sign in from. Where nobody can tell, and before
/// the first one is known, none is new.
pub(crate) async fn is_new(context: &Context<'_>, user: UserId) -> Result<bool, Problem> {
    let Some(country) = context.country() else { return Ok(false) };
    let sql = "SELECT 1 FROM staff_country c WHERE c.clinic = ?1 AND c.user = ?2
               AND NOT EXISTS (SELECT 1 FROM staff_country k
                               WHERE k.clinic = ?1 AND k.user = ?2 AND k.country = ?3) LIMIT 1";
    Ok(!context.database().query(sql, params![&context.clinic, user, country]).await?.is_empty())
}

/// `user` is in, from there.
pub(crate) async fn note(context: &Context<'_>, user: UserId) -> Result<(), Problem> {
    let Some(country) = context.country() else { return Ok(()) };
    if is_new(context, user).await? {
        context.audit(Action::NewCountry, Some(&user));
    }
    let sql =
        "INSERT INTO staff_country (clinic, user, country, first_at, last_at) VALUES (?1, ?2, ?3, ?4, ?4)
               ON CONFLICT (clinic, user, country) DO UPDATE SET last_at = ?4";
    context.database().execute(sql, params![&context.clinic, user, country, context.now]).await?;
    Ok(())
}
