//! A member of staff chooses another password.

use http::StatusCode;
use kit::audit::Action;
use kit::context::Context;
use kit::form::{self, Password};
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Deserialize;

use crate::account::Account;
use crate::lockout::{self, Subject};
use crate::{chosen_password, password, session};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    current: Password,
    new: Password,
}

/// `PUT /auth/password`. Every other session of theirs ends.
pub(crate) async fn put_password(context: &Context<'_>) -> Result<Reply, Problem> {
    let change: Change = form::read(&context.request)?;
    let account = Account::with_id(context, context.staff()?.user).await?;
    let (user, subject) = (account.user.id, Subject::User(account.user.id));
    lockout::check(context, &subject).await?;
    if !password::verify(change.current.as_str(), Some(&account.password_hash))? {
        context.audit(Action::SignInFailed, Some(&user));
        let refusal = Problem::new(StatusCode::FORBIDDEN, "wrong-password", "The current password is wrong");
        return Err(lockout::failed(context, &subject, refusal).await?);
    }
    chosen_password::check(context, &change.new, &account, "/new").await?;
    let hash = password::hash(change.new.as_str())?;
    context
        .transaction(async || {
            chosen_password::set(context, &account, &hash).await?;
            session::end_others(context).await
        })
        .await?;
    Ok(reply::no_content())
}
