//! An authenticator app (RFC 6238): six digits, every 30 seconds, HMAC-SHA-1, which is what all apps know.

use http::StatusCode;
use kit::context::Context;
use kit::form;
use kit::ids::UserId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret;
use serde::{Deserialize, Serialize};
use totp_rs::{Algorithm, Builder, Secret, Totp, TotpError};

use crate::account::{Account, Factor};
use crate::factors;
use crate::lockout::{self, Subject};

const STEP_SECONDS: u64 = 30;

/// Six digits, blanks between them allowed.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Code(String);

impl TryFrom<String> for Code {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: String = text.chars().filter(|c| *c != ' ').collect();
        let fits = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if fits { Ok(Self(digits)) } else { Err("must be six digits") }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    code: Code,
}

#[derive(Serialize)]
struct NewSecret {
    /// Base32, for typing.
    secret: String,
    /// For a QR code: the key URI that authenticator apps read.
    uri: String,
}

#[derive(Serialize)]
struct Confirmed {}

/// `POST /auth/totp`: a secret for an app. It counts once a code was right.
pub(crate) async fn create(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let account = Account::with_id(context, factors::owner(context)?).await?;
    if account.factors.contains(&Factor::Totp) {
        return Err(there_is_one());
    }
    let (bytes, clinic) = (secret::random::<20>()?, context.clinic().await?);
    // A colon would end the issuer's name in the URI.
    let issuer = clinic.name.replace(':', " ");
    let totp = generator(bytes, Some((issuer, account.username))).map_err(Problem::internal)?;
    let sql = "INSERT INTO totp_factor (clinic, user, secret, created_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (clinic, user) DO UPDATE SET secret = ?3, created_at = ?4, last_step = 0
               WHERE confirmed_at IS NULL";
    let values = params![&context.clinic, account.user.id, bytes, context.now];
    if context.database().execute(sql, values).await? == 0 {
        return Err(there_is_one());
    }
    let uri = totp.to_url().map_err(Problem::internal)?;
    reply::json(StatusCode::CREATED, &NewSecret { secret: Secret::from(bytes.to_vec()).to_base32(), uri })
}

/// `POST /auth/totp/confirm`.
pub(crate) async fn confirm(context: &Context<'_>) -> Result<Reply, Problem> {
    let given: Confirmation = form::read(&context.request)?;
    let account = Account::with_id(context, factors::owner(context)?).await?;
    let (user, subject) = (account.user.id, Subject::User(account.user.id));
    if account.factors.contains(&Factor::Totp) {
        return Err(there_is_one());
    }
    lockout::check(context, &subject).await?;
    let Some(step) = matching_step(context, user, &given.code, false).await? else {
        let title = "The code is wrong: is the clock of your device right?";
        let refusal = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong-code", title);
        return Err(lockout::failed(context, &subject, refusal).await?);
    };
    let sql = "UPDATE totp_factor SET confirmed_at = ?, last_step = ?
               WHERE clinic = ? AND user = ? AND confirmed_at IS NULL";
    let values = params![context.now, step, &context.clinic, user];
    if context.database().execute(sql, values).await? == 0 {
        return Err(there_is_one());
    }
    factors::added(context, &account, Confirmed {}).await
}

/// `DELETE /auth/totp`.
pub(crate) async fn delete(context: &Context<'_>) -> Result<Reply, Problem> {
    let user = context.staff()?.user;
    context
        .transaction(async || {
            if !Account::with_id(context, user).await?.factors.contains(&Factor::Totp) {
                return Err(Problem::not_found("You have no authenticator app"));
            }
            factors::may_go(context, user, Factor::Totp).await?;
            let sql = "DELETE FROM totp_factor WHERE clinic = ? AND user = ?";
            context.database().execute(sql, params![&context.clinic, user]).await?;
            Ok(factors::removed(context, user))
        })
        .await
}

/// Whether `code` is right now, one step before or one after, and neither it nor a later one was used before.
pub(crate) async fn spend(context: &Context<'_>, user: UserId, code: &Code) -> Result<bool, Problem> {
    let Some(step) = matching_step(context, user, code, true).await? else { return Ok(false) };
    let sql = "UPDATE totp_factor SET last_step = ?1 WHERE clinic = ?2 AND user = ?3 AND last_step < ?1";
    Ok(context.database().execute(sql, params![step, &context.clinic, user]).await? == 1)
}

async fn matching_step(
    context: &Context<'_>,
    user: UserId,
    code: &Code,
    confirmed: bool,
) -> Result<Option<i64>, Problem> {
    let sql = "SELECT t.secret, t.last_step FROM totp_factor t
               WHERE t.clinic = ? AND t.user = ? AND (t.confirmed_at IS NOT NULL) = ?";
    let values = params![&context.clinic, user, i64::from(confirmed)];
    let rows = context.database().query(sql, values).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let totp = generator(row.bytes::<20>(0)?, None).map_err(Problem::internal)?;
    let now = u64::try_from(context.now.as_second()).unwrap_or(0);
    let step = totp.check(&code.0, now).and_then(|step| i64::try_from(step).ok());
    let last = row.integer(1)?;
    Ok(step.filter(|step| *step > last))
}

/// `named`: clinic and user name, for the app's list.
fn generator(bytes: [u8; 20], named: Option<(String, String)>) -> Result<Totp, TotpError> {
    let builder = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(STEP_SECONDS)
        .with_secret(bytes.to_vec());
    let (issuer, account) = named.map_or((None, "-".to_owned()), |(issuer, name)| (Some(issuer), name));
    builder.with_issuer(issuer).with_account_name(account).build()
}

fn there_is_one() -> Problem {
    let title = "You have an authenticator app already: take it away first";
    Problem::new(StatusCode::CONFLICT, "totp-exists", title)
}
