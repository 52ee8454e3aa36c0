//! The one-time token that lets a node join: signed by the control plane, carried to the node by its
//! operator.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::{Fingerprint, Jwks, NodeIdentity, SigningKey, VerifyError};

/// How long a join token is good for.
pub const JOIN_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

const TYPE: &str = "locum-join+jwt";

/// A join token is not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum JoinTokenError {
    /// The token itself.
    #[error("verify join token")]
    Token(#[from] VerifyError),
    /// It was good once.
    #[error("join token has expired")]
    Expired,
    /// Made with a clock far ahead of ours.
    #[error("join token is not yet valid")]
    NotYetValid,
    /// No randomness for its id.
    #[error("make a join token id")]
    Random(#[source] getrandom::Error),
    /// It cannot be written as JSON.
    #[error("encode join token")]
    Encode(#[source] serde_json::Error),
}

/// What a join token says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct JoinTokenClaims {
    /// Its id, 128 random bits: accepted once.
    pub jti: String,
    /// When it was made, seconds since 1970.
    pub iat: u64,
    /// When it ends, seconds since 1970.
    pub exp: u64,
    /// Who its bearer becomes.
    #[serde(flatten)]
    pub identity: NodeIdentity,
    /// The network's CA, by which the node knows the member it talks to before it has a certificate.
    pub ca: Fingerprint,
}

impl JoinTokenClaims {
    /// Claims of a fresh token.
    ///
    /// # Errors
    /// [`JoinTokenError::Random`].
    pub fn new(identity: NodeIdentity, ca: Fingerprint, now: SystemTime) -> Result<Self, JoinTokenError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(JoinTokenError::Random)?;
        let iat = unix_seconds(now);
        let exp = iat + JOIN_TOKEN_LIFETIME.as_secs();
        Ok(Self { jti: URL_SAFE_NO_PAD.encode(id), iat, exp, identity, ca })
    }

    /// The token.
    ///
    /// # Errors
    /// [`JoinTokenError::Encode`], which no valid claims give.
    pub fn sign(&self, key: &SigningKey) -> Result<String, JoinTokenError> {
        key.sign_typed(TYPE, self).map_err(JoinTokenError::Encode)
    }

    /// The claims of a token signed by one of `keys` and valid `now`. Whether it was spent is another
    /// question.
    ///
    /// # Errors
    /// [`JoinTokenError`].
    pub fn verify(token: &str, keys: &Jwks, now: SystemTime) -> Result<Self, JoinTokenError> {
        const CLOCK_SKEW_S: u64 = 300;
        let claims: Self = keys.verify_typed(TYPE, token)?;
        let now = unix_seconds(now);
        if claims.exp <= now {
            return Err(JoinTokenError::Expired);
        }
        if claims.iat > now + CLOCK_SKEW_S {
            return Err(JoinTokenError::NotYetValid);
        }
        Ok(claims)
    }

    /// The claims without any verification, for the node that was handed the token and cannot know the
    /// signing key.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`].
    pub fn peek(token: &str) -> Result<Self, VerifyError> {
        let mut parts = token.trim().split('.');
        let (_, claims) = parts.next().zip(parts.next()).ok_or(VerifyError::Malformed)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| VerifyError::Malformed)?;
        serde_json::from_slice(&claims).map_err(|_| VerifyError::Malformed)
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    // A clock before 1970 makes every token look future, never past: refused, not accepted.
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(now: SystemTime) -> JoinTokenClaims {
        let identity = "spiffe://locum.localhost/eu-central/edge/edge-1".parse().unwrap();
        JoinTokenClaims::new(identity, Fingerprint::of(b"ca"), now).unwrap()
    }

    #[test]
    fn a_token_is_good_for_a_day() {
        let key = SigningKey::generate().unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let claims = claims(now);
        let token = claims.sign(&key).unwrap();
        let at = |offset| JoinTokenClaims::verify(&token, &key.jwks(), now + offset);
        assert_eq!(at(Duration::ZERO).unwrap(), claims);
        assert!(at(JOIN_TOKEN_LIFETIME - Duration::from_secs(1)).is_ok());
        assert!(matches!(at(JOIN_TOKEN_LIFETIME), Err(JoinTokenError::Expired)));
        let early = JoinTokenClaims::verify(&token, &key.jwks(), now - Duration::from_secs(301));
        assert!(matches!(early, Err(JoinTokenError::NotYetValid)));
        assert_eq!(JoinTokenClaims::peek(&token).unwrap(), claims);
    }

    #[test]
    fn a_token_of_another_type_or_key_is_refused() {
        let key = SigningKey::generate().unwrap();
        let now = SystemTime::now();
        let other_type = key.sign_jws(&claims(now)).unwrap();
        assert!(JoinTokenClaims::verify(&other_type, &key.jwks(), now).is_err());
        let other_key = claims(now).sign(&SigningKey::generate().unwrap()).unwrap();
        assert!(JoinTokenClaims::verify(&other_key, &key.jwks(), now).is_err());
    }

    #[test]
    fn no_two_tokens_share_an_id() {
        let now = SystemTime::now();
        assert_ne!(claims(now).jti, claims(now).jti);
    }
}
