//! Second factors: passkeys, an authenticator app, and codes for the day they are lost.
//!
//! Two may change them: a member of staff who is signed in, and one who has given a password and owes a first
//! factor. Adding the first one completes the sign-in.

pub(crate) mod passkeys;
pub(crate) mod recovery;
pub(crate) mod totp;

use http::StatusCode;
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::{Context, NextStep};
use kit::ids::UserId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::account::{Account, Factor};
use crate::sign_in;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Factors {
    /// Since when there is an authenticator app.
    #[serde(skip_serializing_if = "Option::is_none")]
    totp_since: Option<Timestamp>,
    passkeys: Vec<passkeys::View>,
    recovery_codes_left: i64,
    /// Whether the last factor may not be taken away.
    required: bool,
}

/// What adding a factor answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Added<T> {
    #[serde(flatten)]
    factor: T,
    /// Shown once, with the first factor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recovery_codes: Vec<String>,
}

/// Whoever may change their factors now.
pub(crate) fn owner(context: &Context<'_>) -> Result<UserId, Problem> {
    let enrols = context.caller.signing_in.filter(|signing_in| signing_in.next == NextStep::Enrolment);
    match (&context.caller.staff, enrols) {
        (Some(staff), _) => Ok(staff.user),
        (None, Some(signing_in)) => Ok(signing_in.user),
        (None, None) => Err(Problem::sign_in_required()),
    }
}

/// `GET /auth/factors`.
pub(crate) async fn list_factors(context: &Context<'_>) -> Result<Reply, Problem> {
    let user = owner(context)?;
    let account = Account::with_id(context, user).await?;
    let sql = "SELECT (SELECT t.confirmed_at FROM totp_factor t WHERE t.clinic = ?1 AND t.user = ?2),
                      (SELECT count(*) FROM recovery_code k
                       WHERE k.clinic = ?1 AND k.user = ?2 AND k.used_at IS NULL)";
    let rows = context.database().query(sql, params![&context.clinic, user]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such member of staff"))?;
    reply::ok(&Factors {
        totp_since: row.time_or_null(0)?,
        passkeys: passkeys::list(context, user).await?,
        recovery_codes_left: row.integer(1)?,
        required: account.owes_factor,
    })
}

/// Somebody has a new factor. The first one comes with recovery codes, and completes a sign-in.
pub(crate) async fn added<T: Serialize>(
    context: &Context<'_>,
    account: &Account,
    factor: T,
) -> Result<Reply, Problem> {
    let user = account.user.id;
    context.audit(Action::FactorAdded, Some(&user));
    let recovery_codes =
        if account.factors.is_empty() { recovery::renew(context, user).await? } else { Vec::new() };
    let mut reply = reply::json(StatusCode::CREATED, &Added { factor, recovery_codes })?;
    if let (None, Some(signing_in)) = (&context.caller.staff, context.caller.signing_in) {
        sign_in::enter(context, &signing_in, context.now, &mut reply).await?;
    }
    Ok(reply)
}

/// Refuses to take `removed` away from somebody who would be without a factor and may not be.
pub(crate) async fn may_go(context: &Context<'_>, user: UserId, removed: Factor) -> Result<(), Problem> {
    let account = Account::with_id(context, user).await?;
    let passkeys = passkeys::list(context, user).await?.len();
    let stays = |factor: &Factor| match factor {
        Factor::Passkey => passkeys > usize::from(removed == Factor::Passkey),
        Factor::Totp => removed != Factor::Totp,
        Factor::RecoveryCode | Factor::Approval => false,
    };
    if account.owes_factor && !account.factors.iter().any(stays) {
        let title = "This is your only second factor: add another one first";
        return Err(Problem::new(StatusCode::CONFLICT, "last-factor", title));
    }
    Ok(())
}

/// Records that a factor is gone: what its removal answers.
pub(crate) fn removed(context: &Context<'_>, user: UserId) -> Reply {
    context.audit(Action::FactorRemoved, Some(&user));
    reply::no_content()
}
