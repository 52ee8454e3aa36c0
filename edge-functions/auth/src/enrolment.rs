//! Somebody new, or who lost everything, chooses a password by the link that an administrator made.

use http::StatusCode;
use kit::audit::Action;
use kit::context::Context;
use kit::form::{self, Password, SecretText};
use kit::ids::UserId;
use kit::params;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::secret::Secret;
use serde::Deserialize;

use crate::account::Account;
use crate::staff::INVITATION;
use crate::{chosen_password, password, sign_in, throttle};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolment {
    token: SecretText,
    password: Password,
}

/// `POST /auth/enrolments`. The link works once; a password that is refused does not spend it.
pub(crate) async fn create_enrolment(context: &Context<'_>) -> Result<Reply, Problem> {
    let given: Enrolment = form::read(&context.request)?;
    throttle::check(context).await?;
    let token = Secret::presented(given.token.as_str()).hash();
    let sql = "SELECT i.user FROM staff_invitation i
               WHERE i.clinic = ? AND i.token_hash = ? AND i.used_at IS NULL AND i.created_at > ?";
    let since = context.now - INVITATION;
    let rows = context.database().query(sql, params![&context.clinic, token, since]).await?;
    let Some(row) = rows.first() else {
        throttle::failed(context).await?;
        return Err(unknown_link(context));
    };
    let account = Account::with_id(context, row.parsed(0, UserId::parse)?).await?;
    chosen_password::check(context, &given.password, &account, "/password").await?;
    let hash = password::hash(given.password.as_str())?;
    let begun = context
        .transaction(async || {
            let sql = "UPDATE staff_invitation SET used_at = ?
                       WHERE clinic = ? AND token_hash = ? AND used_at IS NULL";
            let values = params![context.now, &context.clinic, token];
            if context.database().execute(sql, values).await? == 0 {
                return Err(unknown_link(context));
            }
            chosen_password::set(context, &account, &hash).await?;
            sign_in::after_password(context, &account).await
        })
        .await?;
    sign_in::step(&account, begun)
}

fn unknown_link(context: &Context<'_>) -> Problem {
    context.audit(Action::LinkRefused, None);
    let title = "This link is not known, was used, or is older than a week";
    Problem::new(StatusCode::NOT_FOUND, "unknown-link", title)
}
