//! Passwords, as Argon2id (RFC 9106) with OWASP's first choice of cost: 19 MiB, two passes, one lane.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use kit::problem::Problem;
use kit::secret;

/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The hash of a password that nobody has: what an unknown name is checked against, so that it takes as long
/// as a known one. Its cost is that of [`hash`]; a test keeps it so.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$qY9DzLMEV4LZc1vIhm4l5w$pJGtbvRCF8JSnLGTwH6ZuVQWmvEnJYDl4LSx4YbYjQs";

/// A hash could not be made or read. Says nothing about the password.
#[derive(Debug, thiserror::Error)]
#[error("argon2: {0}")]
pub struct HashError(String);

/// The hash of `password` under a new salt, in PHC string format.
pub fn hash(password: &str) -> Result<String, Problem> {
    let salt = secret::random::<16>()?;
    let hash: PasswordHash = argon2id()?
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|error| Problem::internal(HashError(error.to_string())))?;
    Ok(hash.to_string())
}

/// Whether `password` is the one of `stored`. Without one, the same work is done and the answer is no.
pub fn verify(password: &str, stored: Option<&str>) -> Result<bool, Problem> {
    let hash = PasswordHash::new(stored.unwrap_or(NOBODY))
        .map_err(|error| Problem::internal(HashError(error.to_string())))?;
    let matches = argon2id()?.verify_password(password.as_bytes(), &hash).is_ok();
    Ok(matches && stored.is_some())
}

fn argon2id() -> Result<Argon2<'static>, Problem> {
    let parameters = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| Problem::internal(HashError(error.to_string())))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_only() {
        let stored = hash("correct horse battery staple").unwrap();
        assert!(verify("correct horse battery staple", Some(&stored)).unwrap());
        assert!(!verify("correct horse battery stapl", Some(&stored)).unwrap());
        assert!(!verify("correct horse battery staple", None).unwrap());
        assert_ne!(hash("correct horse battery staple").unwrap(), stored);
    }

    #[test]
    fn nobody_costs_as_much_as_somebody() {
        let cost = |text: &str| {
            let hash = PasswordHash::new(text).unwrap();
            let output = hash.hash.unwrap().as_bytes().len();
            let salt = hash.salt.unwrap().len();
            (hash.algorithm.to_string(), hash.version, hash.params.to_string(), salt, output)
        };
        assert_eq!(cost(NOBODY), cost(&hash("x").unwrap()));
    }
}
