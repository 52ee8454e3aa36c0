//! Staff sign in and out.

use std::fmt::Display;

use http::StatusCode;
use http::header::SET_COOKIE;
use kit::audit::Action;
use kit::context::Context;
use kit::form::{self, Password, Username};
use kit::ids::UserId;
use kit::params;
use kit::policy::Role;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::sessions;
use serde::{Deserialize, Serialize};

use crate::password;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    username: Username,
    password: Password,
}

#[derive(Serialize)]
struct UserView {
    id: UserId,
    name: String,
    roles: Vec<Role>,
}

#[derive(Serialize)]
struct SignedIn {
    user: UserView,
}

#[derive(Serialize)]
struct SessionView {
    user: UserView,
    clinic: ClinicView,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClinicView {
    name: String,
    time_zone: String,
}

struct Account {
    user: UserView,
    password_hash: String,
}

/// `POST /auth/sessions`. A wrong password and an unknown name get the same answer for the same work.
pub async fn create_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let credentials: Credentials = form::read(&context.request)?;
    let account = find_account(context, &credentials.username).await?;
    let stored = account.as_ref().map(|account| account.password_hash.as_str());
    // Before the first write: no other request waits for this slow step.
    let matches = password::verify(credentials.password.as_str(), stored)?;
    let (Some(account), true) = (&account, matches) else {
        let tried = account.as_ref().map(|account| &account.user.id as &dyn Display);
        context.audit(Action::SignInFailed, tried);
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "bad-credentials",
            "The name or the password is wrong",
        ));
    };
    let cookie = context
        .transaction(async || {
            context.audit(Action::SignIn, Some(&account.user.id));
            sessions::begin_staff(context, account.user.id).await
        })
        .await?;
    let UserView { id, name, roles } = &account.user;
    let user = UserView { id: *id, name: name.clone(), roles: roles.clone() };
    let mut reply = reply::json(StatusCode::CREATED, &SignedIn { user })?;
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

/// `GET /auth/session`.
pub async fn get_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let staff = context.staff()?;
    let clinic = context.clinic().await?;
    let user = UserView { id: staff.user, name: staff.name.open().clone(), roles: staff.roles.clone() };
    reply::ok(&SessionView { user, clinic: ClinicView { name: clinic.name, time_zone: clinic.time_zone } })
}

/// `DELETE /auth/session`.
pub async fn delete_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let user = context.staff()?.user;
    let cookie = context
        .transaction(async || {
            context.audit(Action::SignOut, Some(&user));
            sessions::end_staff(context).await
        })
        .await?;
    let mut reply = reply::no_content();
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

async fn find_account(context: &Context<'_>, username: &Username) -> Result<Option<Account>, Problem> {
    let rows = context
        .database()
        .query(
            "SELECT u.id, u.name, u.password_hash,
                    (SELECT group_concat(r.role, ' ') FROM staff_role r
                     WHERE r.clinic = u.clinic AND r.user = u.id)
             FROM staff_user u WHERE u.clinic = ? AND u.username = ?",
            params![&context.clinic, username.as_str()],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let roles = row.text_or_null(3)?.unwrap_or_default();
    let roles = roles.split(' ').filter_map(Role::parse).collect();
    let user = UserView { id: row.parsed(0, UserId::parse)?, name: row.text(1)?, roles };
    Ok(Some(Account { user, password_hash: row.text(2)? }))
}
