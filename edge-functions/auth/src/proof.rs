//! Somebody who is signed in shows once more who they are, for what asks for that: the operations of the policy table
//! with the condition `Fresh`.

use http::StatusCode;
use kit::audit::Action;
use kit::context::Context;
use kit::form::{self, Password};
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::sessions;
use serde::Deserialize;

use crate::account::Account;
use crate::factors::passkeys::{self, Assertion, Ceremony};
use crate::factors::{recovery, totp};
use crate::lockout::{self, Subject};
use crate::password;

/// Exactly one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Proof {
    totp: Option<totp::Code>,
    recovery_code: Option<recovery::Code>,
    passkey: Option<Assertion>,
    /// Of whoever has no second factor.
    password: Option<Password>,
}

/// `POST /auth/proof/passkey`.
pub(crate) async fn create_request(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let staff = context.staff()?;
    let question = passkeys::ask(context, staff.user, Ceremony::Session(staff.session)).await?;
    reply::json(StatusCode::CREATED, &question)
}

/// `POST /auth/proof`.
pub(crate) async fn create(context: &Context<'_>) -> Result<Reply, Problem> {
    let given: Proof = form::read(&context.request)?;
    let staff = context.staff()?;
    let (user, subject) = (staff.user, Subject::User(staff.user));
    lockout::check(context, &subject).await?;
    let account = Account::with_id(context, user).await?;
    let matches = match (&given.totp, &given.recovery_code, &given.passkey, &given.password) {
        (Some(code), None, None, None) => totp::spend(context, user, code).await?,
        (None, Some(code), None, None) => recovery::spend(context, user, code).await?,
        (None, None, Some(assertion), None) => {
            passkeys::check(context, user, Ceremony::Session(staff.session), assertion).await?
        }
        (None, None, None, Some(password)) => {
            let right = password::verify(password.as_str(), Some(&account.password_hash))?;
            right && account.factors.is_empty()
        }
        _ => return Err(Problem::invalid("", "must hold one of totp, recoveryCode, passkey and password")),
    };
    if !matches {
        context.audit(Action::SignInFailed, Some(&user));
        let title = "This is not what completes your sign-in, or it was used before";
        let refusal = Problem::new(StatusCode::FORBIDDEN, "wrong-proof", title);
        return Err(lockout::failed(context, &subject, refusal).await?);
    }
    context
        .transaction(async || {
            lockout::check(context, &subject).await?;
            if given.recovery_code.is_some() {
                context.audit(Action::RecoveryCodeUsed, Some(&user));
            }
            context.audit(Action::ProofGiven, Some(&user));
            sessions::prove(context).await
        })
        .await?;
    Ok(reply::no_content())
}
