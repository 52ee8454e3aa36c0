//! Staff sign in: a password, and then, for whoever has one or needs one, a second factor.

use std::fmt::Display;

use http::StatusCode;
use http::header::{HeaderValue, SET_COOKIE};
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::{Context, NextStep, SigningIn};
use kit::form::{self, Password, Username};
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::sessions;
use serde::{Deserialize, Serialize};

use crate::account::{Account, Factor, UserView};
use crate::factors::passkeys::{self, Assertion, Ceremony};
use crate::factors::{recovery, totp};
use crate::lockout::{self, Subject};
use crate::{approval, chosen_password, country, password};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Credentials {
    username: Username,
    password: Password,
    /// Of somebody whose password is too old for their clinic.
    #[serde(default)]
    new_password: Option<Password>,
}

/// Exactly one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SecondFactor {
    totp: Option<totp::Code>,
    recovery_code: Option<recovery::Code>,
    passkey: Option<Assertion>,
    /// `true`: it was approved from another device.
    #[serde(default)]
    approval: bool,
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
    let chosen = match chosen_password::is_old(context, account).await? {
        true => {
            Some(chosen_password::replacement(context, account, credentials.new_password.as_ref()).await?)
        }
        false => None,
    };
    let begun = context
        .transaction(async || {
            lockout::check(context, &subject).await?;
            if let Some(hash) = &chosen {
                chosen_password::set(context, account, hash).await?;
            }
            after_password(context, account).await
        })
        .await?;
    step(account, begun)
}

/// What the right password began: what is owed, and the cookie to set.
pub(crate) struct Begun {
    next: Option<NextStep>,
    cookie: HeaderValue,
}

/// Who has given the right password is in, or owes more.
pub(crate) async fn after_password(context: &Context<'_>, account: &Account) -> Result<Begun, Problem> {
    go_on(context, account, false).await
}

/// The same for somebody whom others vouched for. `proved`: by a second factor there.
pub(crate) async fn go_on(context: &Context<'_>, account: &Account, proved: bool) -> Result<Begun, Problem> {
    let user = account.user.id;
    let next = account.next(country::is_new(context, user).await?).filter(|_| !proved);
    let cookie = match next {
        None => {
            lockout::forget(context, user).await?;
            context.audit(Action::SignIn, Some(&user));
            country::note(context, user).await?;
            sessions::begin_staff(context, user, context.now).await?
        }
        Some(next) => {
            context.audit(Action::SignInBegun, Some(&user));
            sessions::begin_sign_in(context, user, next).await?
        }
    };
    Ok(Begun { next, cookie })
}

pub(crate) fn step(account: &Account, Begun { next, cookie }: Begun) -> Result<Reply, Problem> {
    let factors = if next == Some(NextStep::SecondFactor) { account.factors.clone() } else { Vec::new() };
    let mut reply = reply::json(StatusCode::CREATED, &Step { user: account.user.clone(), next, factors })?;
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

/// `POST /auth/second-factor/passkey`: what the browser is to ask the person's passkeys.
pub async fn create_passkey_request(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let signing_in = owes_second_factor(context)?;
    let question = passkeys::ask(context, signing_in.user, Ceremony::SignIn(signing_in.key)).await?;
    reply::json(StatusCode::CREATED, &question)
}

/// `POST /auth/second-factor`.
pub async fn complete(context: &Context<'_>) -> Result<Reply, Problem> {
    let given: SecondFactor = form::read(&context.request)?;
    let signing_in = owes_second_factor(context)?;
    let user = signing_in.user;
    let subject = Subject::User(user);
    lockout::check(context, &subject).await?;
    let mut proved_at = context.now;
    let matches = match (&given.totp, &given.recovery_code, &given.passkey, given.approval) {
        (Some(code), None, None, false) => totp::spend(context, user, code).await?,
        (None, Some(code), None, false) => recovery::spend(context, user, code).await?,
        (None, None, Some(assertion), false) => {
            passkeys::check(context, user, Ceremony::SignIn(signing_in.key), assertion).await?
        }
        (None, None, None, true) => match approval::spend(context, &signing_in).await? {
            Some(at) => {
                proved_at = at;
                true
            }
            None => false,
        },
        _ => {
            return Err(Problem::invalid("", "must hold one of totp, recoveryCode, passkey and approval"));
        }
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
    enter(context, &signing_in, proved_at, &mut reply).await?;
    Ok(reply)
}

/// The sign-in is complete: its session begins, with the cookies in `reply`. `proved_at`: when whoever completed it
/// showed who they are.
pub(crate) async fn enter(
    context: &Context<'_>,
    signing_in: &SigningIn,
    proved_at: Timestamp,
    reply: &mut Reply,
) -> Result<(), Problem> {
    let user = signing_in.user;
    let cookies = context
        .transaction(async || {
            lockout::forget(context, user).await?;
            context.audit(Action::SignIn, Some(&user));
            country::note(context, user).await?;
            let over = sessions::end_sign_in(context, signing_in).await?;
            Ok([over, sessions::begin_staff(context, user, proved_at).await?])
        })
        .await?;
    for cookie in cookies {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(())
}

/// The sign-in of the request, if it owes a second factor. Whoever is signed in begins anew.
pub(crate) fn owes_second_factor(context: &Context<'_>) -> Result<SigningIn, Problem> {
    let owes = context.caller.signing_in.filter(|signing_in| signing_in.next == NextStep::SecondFactor);
    owes.ok_or_else(Problem::sign_in_required)
}
