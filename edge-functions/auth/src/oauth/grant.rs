//! Grants, and the codes and tokens that hang on them.

use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::bearer;
use kit::context::Context;
use kit::ids::{ClientId, EncounterId, GrantId, PatientId, UserId};
use kit::params;
use kit::problem::Problem;
use kit::scopes::Scopes;
use kit::secret::Secret;

/// How long an app has to come with its code.
pub(crate) const CODE: SignedDuration = SignedDuration::from_secs(60);
/// How long a token for a person holds.
pub(crate) const ACCESS: SignedDuration = SignedDuration::from_mins(30);
/// How long a token for an app by itself holds (SMART App Launch, Backend Services: five minutes).
pub(crate) const SYSTEM_ACCESS: SignedDuration = SignedDuration::from_mins(5);
/// How long an app can come back without its person.
pub(crate) const OFFLINE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// What is over is forgotten so much later.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);

/// For what an app was let in.
pub(crate) struct NewGrant {
    pub(crate) client: ClientId,
    /// `None`: by itself.
    pub(crate) user: Option<UserId>,
    pub(crate) scopes: Scopes,
    pub(crate) patient: Option<PatientId>,
    pub(crate) encounter: Option<EncounterId>,
    pub(crate) auth_at: Option<Timestamp>,
}

/// What an authorization request bound its code to.
pub(crate) struct Binding<'r> {
    pub(crate) redirect_uri: &'r str,
    pub(crate) challenge: [u8; 32],
    pub(crate) nonce: Option<&'r str>,
}

/// Keeps a grant.
pub(crate) async fn create(context: &Context<'_>, new: &NewGrant) -> Result<GrantId, Problem> {
    forget(context).await?;
    let id = GrantId::new(context.now)?;
    let sql = "INSERT INTO app_grant
                 (clinic, id, client, user, scopes, patient, encounter, auth_at, created_at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let scopes = new.scopes.to_string();
    let values = params![
        &context.clinic,
        id,
        new.client,
        new.user,
        scopes,
        new.patient,
        new.encounter,
        new.auth_at,
        context.now
    ];
    context.database().execute(sql, values).await?;
    context.audit(Action::AppGranted, Some(&id));
    Ok(id)
}

/// A code for the grant.
pub(crate) async fn code(
    context: &Context<'_>,
    grant: GrantId,
    binding: &Binding<'_>,
) -> Result<Secret, Problem> {
    let code = Secret::new::<32>()?;
    let sql = "INSERT INTO app_code (clinic, code_hash, grant_id, redirect_uri, challenge, nonce, created_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let nonce = binding.nonce.map(str::to_owned);
    let values = params![
        &context.clinic,
        code.hash(),
        grant,
        binding.redirect_uri,
        binding.challenge,
        nonce,
        context.now
    ];
    context.database().execute(sql, values).await?;
    Ok(code)
}

/// A token for requests to the API.
pub(crate) async fn access(
    context: &Context<'_>,
    grant: GrantId,
    scopes: &Scopes,
    life: SignedDuration,
) -> Result<String, Problem> {
    let database = context.database();
    let sql = "DELETE FROM app_access WHERE clinic = ? AND grant_id = ? AND expires_at <= ?";
    database.execute(sql, params![&context.clinic, grant, context.now]).await?;
    let token = format!("{}{}", bearer::PREFIX, Secret::new::<32>()?.reveal());
    let sql = "INSERT INTO app_access (clinic, token_hash, grant_id, scopes, created_at, expires_at)
               VALUES (?, ?, ?, ?, ?, ?)";
    let (hash, until) = (Secret::presented(&token).hash(), context.now + life);
    let values = params![&context.clinic, hash, grant, scopes.to_string(), context.now, until];
    database.execute(sql, values).await?;
    context.audit(Action::AppTokenMade, Some(&grant));
    Ok(token)
}

/// A token for the next ones.
pub(crate) async fn refresh(context: &Context<'_>, grant: GrantId) -> Result<String, Problem> {
    let token = Secret::new::<32>()?;
    let sql = "INSERT INTO app_refresh (clinic, token_hash, grant_id, created_at) VALUES (?, ?, ?, ?)";
    let values = params![&context.clinic, token.hash(), grant, context.now];
    context.database().execute(sql, values).await?;
    Ok(token.reveal().to_owned())
}

/// Ends a grant, and with it whatever hangs on it. Whether it had not ended before.
pub(crate) async fn revoke(context: &Context<'_>, grant: GrantId, why: Action) -> Result<bool, Problem> {
    let sql = "UPDATE app_grant SET revoked_at = ? WHERE clinic = ? AND id = ? AND revoked_at IS NULL";
    let ended = context.database().execute(sql, params![context.now, &context.clinic, grant]).await? > 0;
    if ended || why == Action::AppTokenReused {
        context.audit(why, Some(&grant));
    }
    Ok(ended)
}

/// Ends all that somebody let in.
pub(crate) async fn revoke_all_of(context: &Context<'_>, user: UserId) -> Result<(), Problem> {
    let sql = "UPDATE app_grant SET revoked_at = ? WHERE clinic = ? AND user = ? AND revoked_at IS NULL";
    context.database().execute(sql, params![context.now, &context.clinic, user]).await?;
    Ok(())
}

/// Removes what has been over for a day: grants that ended, those of apps by themselves, those that nothing can
/// come back to.
async fn forget(context: &Context<'_>) -> Result<(), Problem> {
    let (database, clinic) = (context.database(), &context.clinic);
    let long_ago = context.now - FORGOTTEN;
    let over = "SELECT id FROM app_grant WHERE clinic = ?1 AND (revoked_at <= ?2 OR created_at <= ?3
                  OR user IS NULL AND created_at <= ?2) ORDER BY created_at LIMIT 50";
    for table in ["app_code", "app_refresh", "app_access"] {
        let sql = format!("DELETE FROM {table} WHERE clinic = ?1 AND grant_id IN ({over})");
        database.execute(&sql, params![clinic, long_ago, long_ago - OFFLINE]).await?;
    }
    let sql = format!("DELETE FROM app_grant WHERE clinic = ?1 AND id IN ({over})");
    database.execute(&sql, params![clinic, long_ago, long_ago - OFFLINE]).await?;
    Ok(())
}
