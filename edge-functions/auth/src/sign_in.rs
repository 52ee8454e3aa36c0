//! Staff sign in: a password, and then, for whoever has one or needs one, a second factor.

use std::fmt::Display;

use http::StatusCode;
use http::header::{HeaderValue, SET_COOKIE};
use kit::audit::Action;
use kit::context::{Context, NextStep, SigningIn};
use kit::form::{self, Password, Username};
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::sessions;
use serde::{Deserialize, Serialize};

use crate::account::{Account, Factor, UserView};
use crate::factors::passkeys::{self, Assertion};
use crate::factors::{recovery, totp};
use crate::lockout::{self, Subject};
use crate::password;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    username: Username,
    password: Password,
}

/// Exactly one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SecondFactor {
    totp: Option<totp::Code>,
    recovery_code: Option<recovery::Code>,
    passkey: Option<Assertion>,
}

/// What a step of a sign-in leads to.
#[derive(Serialize)]
pub(crate) struct Step {
    user: UserView,
    /// What is still owed; left out when one is signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<NextStep>,
    /// What the second factor may be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    factors: Vec<Factor>,
}

/// `POST /auth/sessions`. A wrong password and an unknown name get the same answer for the same work.
pub async fn create_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let credentials: Credentials = form::read(&context.request)?;
    let account = Account::named(context, &credentials.username).await?;
    let subject = Subject::of(account.as_ref(), &credentials.username);
    lockout::check(context, &subject).await?;
    let stored = account.as_ref().map(|account| account.password_hash.as_str());
    // Before the first write: no other request waits for this slow step.
    let matches = password::verify(credentials.password.as_str(), stored)?;
    let (Some(account), true) = (&account, matches) else {
        let tried = account.as_ref().map(|account| &account.user.id as &dyn Display);
        context.audit(Action::SignInFailed, tried);
        let title = "The name or the password is wrong";
        let refusal = Problem::new(StatusCode::UNAUTHORIZED, "bad-credentials", title);
        return Err(lockout::failed(context, &subject, refusal).await?);
    };
    let cookie = context
        .transaction(async || {
            lockout::check(context, &subject).await?;
            after_password(context, account).await
        })
        .await?;
    step(account, cookie)
}

/// Who has given the right password is in, or owes more: the cookie to set.
pub(crate) async fn after_password(context: &Context<'_>, account: &Account) -> Result<HeaderValue, Problem> {
    let user = account.user.id;
    match account.next() {
        None => {
            lockout::forget(context, user).await?;
            context.audit(Action::SignIn, Some(&user));
            sessions::begin_staff(context, user).await
        }
        Some(next) => {
            context.audit(Action::SignInBegun, Some(&user));
            sessions::begin_sign_in(context, user, next).await
        }
    }
}

pub(crate) fn step(account: &Account, cookie: HeaderValue) -> Result<Reply, Problem> {
    let next = account.next();
    let factors = if next == Some(NextStep::SecondFactor) { account.factors.clone() } else { Vec::new() };
    let mut reply = reply::json(StatusCode::CREATED, &Step { user: account.user.clone(), next, factors })?;
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

/// `POST /auth/second-factor/passkey`: what the browser is to ask the person's passkeys.
pub async fn create_passkey_request(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let signing_in = owing(context, NextStep::SecondFactor)?;
    reply::json(StatusCode::CREATED, &passkeys::ask(context, &signing_in).await?)
}

/// `POST /auth/second-factor`.
pub async fn complete(context: &Context<'_>) -> Result<Reply, Problem> {
    let given: SecondFactor = form::read(&context.request)?;
    let signing_in = owing(context, NextStep::SecondFactor)?;
    let user = signing_in.user;
    let subject = Subject::User(user);
    lockout::check(context, &subject).await?;
    let matches = match (&given.totp, &given.recovery_code, &given.passkey) {
        (Some(code), None, None) => totp::spend(context, user, code).await?,
        (None, Some(code), None) => recovery::spend(context, user, code).await?,
        (None, None, Some(assertion)) => passkeys::check(context, &signing_in, assertion).await?,
        _ => return Err(Problem::invalid("", "must hold one of totp, recoveryCode and passkey")),
    };
    if !matches {
        context.audit(Action::SignInFailed, Some(&user));
        let title = "This is not your second factor, or it was used before";
        let refusal = Problem::new(StatusCode::UNAUTHORIZED, "wrong-second-factor", title);
        return Err(lockout::failed(context, &subject, refusal).await?);
    }
    let account = Account::with_id(context, user).await?;
    if given.recovery_code.is_some() {
        context.audit(Action::RecoveryCodeUsed, Some(&user));
    }
    let mut reply =
        reply::json(StatusCode::CREATED, &Step { user: account.user, next: None, factors: Vec::new() })?;
    enter(context, &signing_in, &mut reply).await?;
    Ok(reply)
}

/// The sign-in is complete: its session begins, with the cookies in `reply`.
pub(crate) async fn enter(
    context: &Context<'_>,
    signing_in: &SigningIn,
    reply: &mut Reply,
) -> Result<(), Problem> {
    let user = signing_in.user;
    let cookies = context
        .transaction(async || {
            lockout::forget(context, user).await?;
            context.audit(Action::SignIn, Some(&user));
            let over = sessions::end_sign_in(context, signing_in).await?;
            Ok([over, sessions::begin_staff(context, user).await?])
        })
        .await?;
    for cookie in cookies {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(())
}

/// The sign-in of the request, if that is what it owes. Whoever is signed in begins anew.
fn owing(context: &Context<'_>, next: NextStep) -> Result<SigningIn, Problem> {
    let owes = context.caller.signing_in.filter(|signing_in| signing_in.next == next);
    owes.ok_or_else(Problem::sign_in_required)
}
