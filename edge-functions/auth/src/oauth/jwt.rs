//! Signed tokens of others (RFC 7519): assertions of apps, id tokens of whoever else vouches for staff.
//!
//! Times are judged by our own clock, what else a token must say by whoever reads it.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Longest token that is read.
const MAX_TOKEN: usize = 16 << 10;
/// Fewest bytes of an RSA modulus: 2,048 bit.
const MIN_RSA: usize = 256;
/// How far another server's clock may be off.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// Why a token counts for nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rejected {
    /// No JWT of an algorithm that is taken; `none` is not.
    Algorithm,
    /// No key of its name and kind.
    Key,
    /// Not signed by that key.
    Signature,
    /// Claims are missing or of another shape.
    Claims,
    /// Too old, too new, or for too long.
    Time,
}

/// `aud`: one, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(crate) fn holds(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Many(many) => many.iter().any(|one| one == name),
        }
    }

    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Self::One(_)) || matches!(self, Self::Many(many) if many.len() == 1)
    }
}

/// Seconds since 1970, maybe with a fraction (RFC 7519 §2, NumericDate).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Seconds(f64);

impl Seconds {
    /// The instant, if the calendar has it.
    pub(crate) fn at(self) -> Option<Timestamp> {
        // Cast saturates, and the calendar ends before that.
        Timestamp::from_second(self.0 as i64).ok()
    }
}

/// From when to when a token holds.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) exp: Seconds,
    pub(crate) nbf: Option<Seconds>,
    pub(crate) iat: Option<Seconds>,
}

impl Times {
    /// Refuses what has expired, is not valid yet, or would be for longer than `longest`. Answers when it expires.
    pub(crate) fn check(self, now: Timestamp, longest: SignedDuration) -> Result<Timestamp, Rejected> {
        let expires = self.exp.at().ok_or(Rejected::Claims)?;
        let begun = |at: Option<Seconds>| match at {
            Some(at) => at.at().is_some_and(|at| at <= now + SKEW),
            None => true,
        };
        let in_time = expires > now - SKEW && expires <= now + longest + SKEW;
        if in_time && begun(self.nbf) && begun(self.iat) { Ok(expires) } else { Err(Rejected::Time) }
    }
}

/// What `token` says, if one of `keys` signed it with one of `algorithms`.
pub(crate) fn verify<T: DeserializeOwned>(
    token: &str,
    keys: &JwkSet,
    algorithms: &[Algorithm],
) -> Result<T, Rejected> {
    if token.len() > MAX_TOKEN {
        return Err(Rejected::Claims);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Rejected::Algorithm)?;
    // An extension that must be understood, and is not (RFC 7515 §4.1.11).
    if !algorithms.contains(&header.alg) || header.crit.is_some() {
        return Err(Rejected::Algorithm);
    }
    let fits = |key: &&Jwk| is_for(key, header.alg);
    let key = match &header.kid {
        Some(kid) => keys.keys.iter().filter(|key| key.common.key_id.as_ref() == Some(kid)).find(fits),
        // Without a name there must be nothing to choose from.
        None => keys.keys.iter().find(fits).filter(|_| keys.keys.iter().filter(fits).count() == 1),
    };
    let key = DecodingKey::from_jwk(key.ok_or(Rejected::Key)?).map_err(|_| Rejected::Key)?;
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let verified = jsonwebtoken::decode::<T>(token, &key, &validation);
    verified.map(|verified| verified.claims).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::Json(_) => Rejected::Claims,
        _ => Rejected::Signature,
    })
}

/// Whether a key may verify that algorithm: by its kind, and by what it says of itself.
pub(crate) fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let named = key.common.key_algorithm.is_none_or(|own| own == KeyAlgorithm::from(algorithm));
    let signs = key.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let kind = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::EllipticCurve(own), Algorithm::ES256) => own.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(own), Algorithm::ES384) => own.curve == EllipticCurve::P384,
        (AlgorithmParameters::RSA(own), Algorithm::RS256 | Algorithm::RS384 | Algorithm::PS256) => {
            own.n.len() * 3 / 4 >= MIN_RSA
        }
        _ => false,
    };
    named && signs && kind
}
