//! A member of staff as sign-in sees them.

use jiff::Timestamp;
use kit::context::{Context, NextStep};
use kit::form::Username;
use kit::ids::UserId;
use kit::params;
use kit::policy::Role;
use kit::problem::Problem;
use kit::sessions;
use serde::Serialize;

/// Who somebody is, for themselves.
#[derive(Clone, Serialize)]
pub(crate) struct UserView {
    pub(crate) id: UserId,
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
}

/// Somebody who works here.
pub(crate) struct Account {
    pub(crate) user: UserView,
    pub(crate) username: String,
    pub(crate) password_hash: String,
    /// Their second factors.
    pub(crate) factors: Vec<Factor>,
    /// Whether they may not be without one.
    pub(crate) owes_factor: bool,
    /// When they chose the password.
    pub(crate) password_at: Timestamp,
}

/// What somebody has beside a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Factor {
    /// WebAuthn.
    Passkey,
    /// RFC 6238.
    Totp,
    /// One of those that were made when the first factor was.
    RecoveryCode,
    /// From a device on which they are signed in.
    Approval,
}

impl Account {
    /// Whoever signs in under that name.
    pub(crate) async fn named(context: &Context<'_>, username: &Username) -> Result<Option<Self>, Problem> {
        Self::find(context, "u.username", username.as_str()).await
    }

    /// Whoever has that id.
    pub(crate) async fn with_id(context: &Context<'_>, user: UserId) -> Result<Self, Problem> {
        let account = Self::find(context, "u.id", &user.to_string()).await?;
        account.ok_or_else(|| Problem::not_found("No such member of staff"))
    }

    async fn find(context: &Context<'_>, column: &str, value: &str) -> Result<Option<Self>, Problem> {
        let sql = format!(
            "SELECT u.id, u.name, u.password_hash, u.username, c.second_factor,
                    (SELECT group_concat(r.role, ' ') FROM staff_role r
                     WHERE r.clinic = u.clinic AND r.user = u.id),
                    (SELECT count(*) FROM passkey p WHERE p.clinic = u.clinic AND p.user = u.id),
                    (SELECT count(*) FROM totp_factor t
                     WHERE t.clinic = u.clinic AND t.user = u.id AND t.confirmed_at IS NOT NULL),
                    (SELECT count(*) FROM recovery_code k
                     WHERE k.clinic = u.clinic AND k.user = u.id AND k.used_at IS NULL),
                    (SELECT count(*) FROM session s WHERE s.clinic = u.clinic AND s.user = u.id
                       AND s.ended_at IS NULL AND s.created_at > ?),
                    coalesce(u.password_at, u.created_at)
             FROM staff_user u JOIN clinic c ON c.clinic = u.clinic
             WHERE u.clinic = ? AND {column} = ? AND u.left_at IS NULL"
        );
        let since = context.now - sessions::ABSOLUTE;
        let rows = context.database().query(&sql, params![since, &context.clinic, value]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let roles = row.text_or_null(5)?.unwrap_or_default();
        let roles: Vec<Role> = roles.split(' ').filter_map(Role::parse).collect();
        let mut factors = Vec::new();
        for (column, factor) in [(6, Factor::Passkey), (7, Factor::Totp)] {
            if row.integer(column)? > 0 {
                factors.push(factor);
            }
        }
        // Recovery codes stand in for a factor that is lost; alone they are none.
        if !factors.is_empty() && row.integer(8)? > 0 {
            factors.push(Factor::RecoveryCode);
        }
        if !factors.is_empty() && row.integer(9)? > 0 {
            factors.push(Factor::Approval);
        }
        let owes_factor = row.text(4)? == "everyone" || roles.iter().any(|role| is_privileged(*role));
        let user = UserView { id: row.parsed(0, UserId::parse)?, name: row.text(1)?, roles };
        let (username, password_hash) = (row.text(3)?, row.text(2)?);
        let password_at = row.time(10)?;
        Ok(Some(Self { user, username, password_hash, factors, owes_factor, password_at }))
    }

    /// What the right password leaves to be done. From a country that is new a password is not enough, whoever it is.
    pub(crate) fn next(&self, new_country: bool) -> Option<NextStep> {
        if !self.factors.is_empty() {
            Some(NextStep::SecondFactor)
        } else {
            (self.owes_factor || new_country).then_some(NextStep::Enrolment)
        }
    }
}

/// Administrators and prescribers: for them a clinic cannot switch the second factor off.
pub(crate) fn is_privileged(role: Role) -> bool {
    matches!(role, Role::ClinicAdmin | Role::Doctor)
}

/// Refuses what nobody who works here can be, at `place`.
pub(crate) fn check_roles(roles: &[Role], place: &str) -> Result<(), Problem> {
    let distinct = roles.iter().enumerate().all(|(index, role)| !roles[..index].contains(role));
    if roles.is_empty() || !distinct || !roles.iter().all(|role| role.is_staff()) {
        return Err(Problem::invalid(format!("{place}/roles"), "must be different roles of staff"));
    }
    Ok(())
}
