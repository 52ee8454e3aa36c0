//! PKCE (RFC 7636), with S256 only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::secret::Secret;

/// The challenge of an authorization request.
pub(crate) fn challenge(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Whether `verifier` is what the challenge was made of.
pub(crate) fn matches(verifier: &str, challenge: &[u8; 32]) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let formed = (43..=128).contains(&verifier.len()) && verifier.bytes().all(allowed);
    // Both are hashes: how far they agree says nothing of the verifier.
    formed && Secret::presented(verifier).hash() == *challenge
}

/// The challenge of a verifier of our own.
pub(crate) fn challenge_of(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(verifier.hash())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_7636() {
        let expected = challenge("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert!(matches(verifier, &expected));
        assert!(!matches(&verifier[1..], &expected) && !matches("", &expected));
        assert!(challenge("dBjftJeZ4CVP").is_none() && challenge(verifier).is_some());
        // `plain` would be the challenge itself.
        assert!(!matches("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", &expected));
    }
}
