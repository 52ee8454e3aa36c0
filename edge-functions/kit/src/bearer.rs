//! Apps: a token of ours in `Authorization: Bearer` (RFC 6750), for a person or for the app itself.
//!
//! A token is random and stands here as its hash, with the grant it hangs on. Each request asks this copy of the
//! record group whether app, grant and person are still there: who takes one of them away has shut the door.

use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use crate::context::{Grant, Staff};
use crate::database::Database;
use crate::ids::{ClientId, ClinicId, GrantId, PatientId, UserId};
use crate::params;
use crate::phi::Phi;
use crate::policy::{Role, Through};
use crate::problem::Problem;
use crate::scopes::{Level, Scopes};
use crate::secret::Secret;

/// What our tokens for apps begin with: other things come as `Bearer` too, and who finds one can tell us.
pub const PREFIX: &str = "lat_";

/// What a token stands for.
pub(crate) struct Bearer {
    pub(crate) grant: Grant,
    /// `None`: the app acts by itself.
    pub(crate) staff: Option<Staff>,
}

/// The token that the request came with, if it is one for apps.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && token.starts_with(PREFIX)).then_some(token)
}

/// What `token` stands for while it lives.
pub(crate) async fn find(
    database: &dyn Database,
    clinic: &ClinicId,
    token: &str,
    now: Timestamp,
) -> Result<Option<Bearer>, Problem> {
    let hash = Secret::presented(token).hash();
    let sql = "SELECT g.id, g.client, t.scopes, g.patient, g.user, u.name,
                      (SELECT group_concat(r.role, ' ') FROM staff_role r
                       WHERE r.clinic = g.clinic AND r.user = g.user)
               FROM app_access t
               JOIN app_grant g ON g.clinic = t.clinic AND g.id = t.grant_id
               JOIN app_client c ON c.clinic = g.clinic AND c.id = g.client
               LEFT JOIN staff_user u ON u.clinic = g.clinic AND u.id = g.user
               WHERE t.clinic = ? AND t.token_hash = ? AND t.expires_at > ?
                 AND g.revoked_at IS NULL AND c.ended_at IS NULL AND u.left_at IS NULL";
    let rows = database.query(sql, params![clinic, hash, now]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let staff = match row.text_or_null(4)? {
        None => None,
        Some(_) => {
            let roles = row.text_or_null(6)?.unwrap_or_default();
            Some(Staff {
                user: row.parsed(4, UserId::parse)?,
                name: Phi::new(row.text(5)?),
                roles: roles.split(' ').filter_map(Role::parse).collect(),
                session: hash,
                // What asks for a fresh proof, or looks where somebody is, is closed to apps.
                proved_at: Timestamp::UNIX_EPOCH,
                country: None,
            })
        }
    };
    let patient = row.text_or_null(3)?.is_some().then(|| row.parsed(3, PatientId::parse)).transpose()?;
    let (id, client) = (row.parsed(0, GrantId::parse)?, row.parsed(1, ClientId::parse)?);
    let scopes = Scopes::parse(&row.text(2)?);
    Ok(Some(Bearer { grant: Grant { id, client, scopes, patient }, staff }))
}

impl Grant {
    /// At which level the grant lets its app through, the widest of them; `None`: not at all.
    pub fn level(&self, by_itself: bool, through: &Through) -> Option<Level> {
        match through {
            Through::Openid => (!by_itself && self.scopes.has("openid")).then_some(Level::User),
            Through::Scope(resource, permission, levels) => levels.iter().copied().rfind(|level| {
                by_itself == (*level == Level::System)
                    && (*level != Level::Patient || self.patient.is_some())
                    && self.scopes.permissions(*level, resource).holds(*permission)
            }),
            // Which, is looked at for each type that the function meets.
            Through::Each(_) => {
                let all = self.scopes.resources().iter().map(|scope| scope.level);
                all.filter(|level| by_itself == (*level == Level::System)).max()
            }
        }
    }
}

/// A token that is none, or none any more.
pub(crate) fn invalid_token() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "invalid-token", "The token is not valid, or no longer")
        .header(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer error="invalid_token""#))
}

/// A token that was not granted this; `None`: no app may.
pub fn insufficient_scope() -> Problem {
    let title = "The app was not granted this";
    Problem::new(StatusCode::FORBIDDEN, "insufficient-scope", title)
        .header(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer error="insufficient_scope""#))
}
