//! Keys of apps that prove themselves by one.

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::JwkSet;
use kit::context::Context;
use kit::outbound::Outgoing;

use super::client::{Client, Keys};
use super::jwt;

/// What apps may sign with (SMART App Launch, "Client Authentication: Asymmetric").
pub(crate) const ALGORITHMS: [Algorithm; 2] = [Algorithm::ES384, Algorithm::RS384];
/// Most keys of an app.
const MOST: usize = 20;

/// Those of `client` now. `None`: they cannot be had, or are none.
pub(crate) async fn of(context: &Context<'_>, client: &Client) -> Option<JwkSet> {
    match client.keys.as_ref()? {
        Keys::Known(keys) => Some(keys.clone()),
        Keys::At(place) => fetch(context, place).await,
    }
}

/// A key set at another server.
pub(crate) async fn fetch(context: &Context<'_>, place: &str) -> Option<JwkSet> {
    let answer = context.send(Outgoing::get(place)).await.ok().filter(|answer| answer.status == 200)?;
    let keys: JwkSet = serde_json::from_slice(&answer.body).ok()?;
    (keys.keys.len() <= MOST).then_some(keys)
}

/// Whether apps may prove themselves by these: named, and each of a kind that is taken.
pub(crate) fn are_usable(keys: &JwkSet) -> bool {
    let usable = |key: &jsonwebtoken::jwk::Jwk| {
        key.common.key_id.is_some() && ALGORITHMS.into_iter().any(|algorithm| jwt::is_for(key, algorithm))
    };
    (1..=MOST).contains(&keys.keys.len()) && keys.keys.iter().all(usable)
}
