//! Who works in a clinic: they come, have roles, lose things, and leave.
//!
//! What an administrator does here holds at once where it is written, and in other regions as soon as their copy
//! has it: sessions are read from there.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::context::Context;
use kit::database::Row;
use kit::form::{self, Name, Username};
use kit::ids::UserId;
use kit::params;
use kit::policy::Role;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::account::{Account, check_roles};
use crate::recertification::names;
use crate::{lockout, oauth, password};

/// How long the link works by which somebody chooses a password.
pub const INVITATION: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Of one clinic.
const MOST: i64 = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMember {
    pub(crate) name: Name,
    pub(crate) username: Username,
    pub(crate) roles: Vec<Role>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Roles {
    roles: Vec<Role>,
}

/// Somebody who has to choose a password.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Invited {
    id: UserId,
    /// For the fragment of the link. It is shown this once.
    pub(crate) token: String,
    pub(crate) expires_at: Timestamp,
}

#[derive(Serialize)]
struct Staff {
    staff: Vec<Member>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    id: UserId,
    name: String,
    username: String,
    roles: Vec<Role>,
    status: Status,
    /// Whether they have a second factor.
    second_factor: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    locked_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_at: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    /// Has a link and no password yet.
    Invited,
    Active,
    Left,
}

/// `GET /auth/staff`.
pub async fn list_staff(context: &Context<'_>) -> Result<Reply, Problem> {
    context.audit(Action::StaffRead, None);
    let sql = "SELECT u.id, u.name, u.username, u.left_at,
                      (SELECT group_concat(r.role, ' ') FROM staff_role r
                       WHERE r.clinic = u.clinic AND r.user = u.id),
                      EXISTS (SELECT 1 FROM passkey p WHERE p.clinic = u.clinic AND p.user = u.id)
                      OR EXISTS (SELECT 1 FROM totp_factor t WHERE t.clinic = u.clinic AND t.user = u.id
                                 AND t.confirmed_at IS NOT NULL),
                      EXISTS (SELECT 1 FROM staff_invitation i WHERE i.clinic = u.clinic AND i.user = u.id
                              AND i.used_at IS NULL),
                      (SELECT f.locked_until FROM sign_in_failure f
                       WHERE f.clinic = u.clinic AND f.subject = 'user/' || u.id AND f.locked_until > ?2)
               FROM staff_user u WHERE u.clinic = ?1 ORDER BY u.left_at IS NOT NULL, u.name, u.id";
    let rows = context.database().query(sql, params![&context.clinic, context.now]).await?;
    let staff = rows.iter().map(member).collect::<Result<_, Problem>>()?;
    reply::ok(&Staff { staff })
}

fn member(row: &Row) -> Result<Member, Problem> {
    let left_at = row.time_or_null(3)?;
    let status = match (left_at, row.integer(6)? == 1) {
        (Some(_), _) => Status::Left,
        (None, true) => Status::Invited,
        (None, false) => Status::Active,
    };
    let roles = row.text_or_null(4)?.unwrap_or_default();
    Ok(Member {
        id: row.parsed(0, UserId::parse)?,
        name: row.text(1)?,
        username: row.text(2)?,
        roles: roles.split(' ').filter_map(Role::parse).collect(),
        status,
        second_factor: row.integer(5)? == 1,
        locked_until: row.time_or_null(7)?,
        left_at,
    })
}

/// `POST /auth/staff`. The link that comes with the answer is theirs alone.
pub async fn create_staff(context: &Context<'_>) -> Result<Reply, Problem> {
    let new: NewMember = form::read(&context.request)?;
    check_roles(&new.roles, "")?;
    let id = UserId::new(context.now)?;
    let nobodys = password::hash(Secret::new::<32>()?.reveal())?;
    let invited = context.transaction(async || insert(context, &new, id, &nobodys).await).await?;
    reply::json(StatusCode::CREATED, &invited)
}

/// Inside a transaction: somebody new, who chooses a password by the link. `nobodys` is the hash of one until then.
pub(crate) async fn insert(
    context: &Context<'_>,
    new: &NewMember,
    id: UserId,
    nobodys: &str,
) -> Result<Invited, Problem> {
    let sql = "INSERT INTO staff_user (clinic, id, username, name, password_hash, created_at)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6
               WHERE (SELECT count(*) FROM staff_user WHERE clinic = ?1 AND left_at IS NULL) < ?7";
    let (username, name) = (new.username.as_str(), new.name.as_str());
    let values = params![&context.clinic, id, username, name, nobodys, context.now, MOST];
    match context.database().execute(sql, values).await {
        Err(error) if error.is_duplicate_of("staff_user.clinic, staff_user.username") => {
            let title = "Somebody has this user name, or had it";
            return Err(Problem::new(StatusCode::CONFLICT, "username-taken", title));
        }
        Ok(0) => {
            let title = "A clinic has 1000 members of staff at most";
            return Err(Problem::new(StatusCode::CONFLICT, "too-many-staff", title));
        }
        other => other?,
    };
    context.audit(Action::StaffInvited, Some(&id));
    give_roles(context, id, &new.roles, (&[], &new.roles)).await?;
    invite(context, id).await
}

/// `PUT /auth/staff/{id}/roles`. They hold from the person's next request on.
pub async fn put_roles(context: &Context<'_>) -> Result<Reply, Problem> {
    let Roles { roles } = form::read(&context.request)?;
    check_roles(&roles, "")?;
    let account = named(context).await?;
    context.transaction(async || change_roles(context, &account, &roles).await).await?;
    Ok(reply::no_content())
}

/// Inside a transaction.
pub(crate) async fn change_roles(
    context: &Context<'_>,
    account: &Account,
    roles: &[Role],
) -> Result<(), Problem> {
    let (user, old) = (account.user.id, account.user.roles.as_slice());
    for role in old.iter().filter(|role| !roles.contains(role)) {
        let sql = "DELETE FROM staff_role WHERE clinic = ? AND user = ? AND role = ?";
        context.database().execute(sql, params![&context.clinic, user, role.as_str()]).await?;
        let change = (Some(names(old, ".")), Some(names(roles, ".")));
        context.audit_change(Action::RoleTaken, Some(&format_args!("{user}/{role}")), change);
    }
    let new: Vec<Role> = roles.iter().copied().filter(|role| !old.contains(role)).collect();
    give_roles(context, user, &new, (old, roles)).await?;
    administrator_stays(context).await
}

/// `POST /auth/staff/{id}/unlock`.
pub async fn unlock(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let user = named(context).await?.user.id;
    lockout::forget(context, user).await?;
    context.audit(Action::SignInUnlocked, Some(&user));
    Ok(reply::no_content())
}

/// `POST /auth/staff/{id}/reset`: password, second factors and sessions are gone, a new link begins.
pub async fn reset(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let user = named(context).await?.user.id;
    let nobodys = password::hash(Secret::new::<32>()?.reveal())?;
    let invited = context
        .transaction(async || {
            let sql = "UPDATE staff_user SET password_hash = ? WHERE clinic = ? AND id = ?";
            context.database().execute(sql, params![nobodys, &context.clinic, user]).await?;
            take_away(context, user).await?;
            lockout::forget(context, user).await?;
            context.audit(Action::StaffReset, Some(&user));
            invite(context, user).await
        })
        .await?;
    reply::json(StatusCode::CREATED, &invited)
}

/// `POST /auth/staff/{id}/leave`. What they wrote stays, and says who wrote it.
pub async fn leave(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let user = named(context).await?.user.id;
    context.transaction(async || end(context, user).await).await?;
    Ok(reply::no_content())
}

/// Inside a transaction: somebody leaves.
pub(crate) async fn end(context: &Context<'_>, user: UserId) -> Result<(), Problem> {
    let sql = "UPDATE staff_user SET left_at = ? WHERE clinic = ? AND id = ? AND left_at IS NULL";
    context.database().execute(sql, params![context.now, &context.clinic, user]).await?;
    take_away(context, user).await?;
    context.audit(Action::StaffLeft, Some(&user));
    administrator_stays(context).await
}

/// The member of staff in the path.
async fn named(context: &Context<'_>) -> Result<Account, Problem> {
    Account::with_id(context, context.path_id(UserId::parse)?).await
}

async fn invite(context: &Context<'_>, user: UserId) -> Result<Invited, Problem> {
    let token = Secret::new::<32>()?;
    let sql = "INSERT INTO staff_invitation (clinic, token_hash, user, created_at) VALUES (?, ?, ?, ?)";
    context.database().execute(sql, params![&context.clinic, token.hash(), user, context.now]).await?;
    let expires_at = context.now + INVITATION;
    Ok(Invited { id: user, token: token.reveal().to_owned(), expires_at })
}

async fn give_roles(
    context: &Context<'_>,
    user: UserId,
    roles: &[Role],
    (before, after): (&[Role], &[Role]),
) -> Result<(), Problem> {
    for role in roles {
        let sql = "INSERT INTO staff_role (clinic, user, role) VALUES (?, ?, ?)";
        context.database().execute(sql, params![&context.clinic, user, role.as_str()]).await?;
        let change = (Some(names(before, ".")), Some(names(after, ".")));
        context.audit_change(Action::RoleGiven, Some(&format_args!("{user}/{role}")), change);
    }
    Ok(())
}

/// Everything that opens something for `user` but the password.
async fn take_away(context: &Context<'_>, user: UserId) -> Result<(), Problem> {
    let database = context.database();
    for table in [
        "passkey",
        "passkey_ceremony",
        "totp_factor",
        "recovery_code",
        "sign_in",
        "staff_invitation",
        "staff_identity",
        "external_sign_in",
    ] {
        let sql = format!("DELETE FROM {table} WHERE clinic = ? AND user = ?");
        database.execute(&sql, params![&context.clinic, user]).await?;
    }
    let sql = "UPDATE session SET ended_at = ? WHERE clinic = ? AND user = ? AND ended_at IS NULL";
    database.execute(sql, params![context.now, &context.clinic, user]).await?;
    oauth::revoke_all_of(context, user).await
}

/// A clinic without an administrator could never get one again.
async fn administrator_stays(context: &Context<'_>) -> Result<(), Problem> {
    let sql = "SELECT count(*) FROM staff_role r JOIN staff_user u ON u.clinic = r.clinic AND u.id = r.user
               WHERE r.clinic = ? AND r.role = ? AND u.left_at IS NULL";
    let values = params![&context.clinic, Role::ClinicAdmin.as_str()];
    let rows = context.database().query(sql, values).await?;
    if rows.first().map_or(Ok(0), |row| row.integer(0))? == 0 {
        let title = "A clinic needs an administrator: make somebody else one first";
        return Err(Problem::new(StatusCode::CONFLICT, "last-administrator", title));
    }
    Ok(())
}
