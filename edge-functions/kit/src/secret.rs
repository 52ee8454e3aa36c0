//! Randomness, and secrets that are stored only as their hash.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The host gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes from the host")]
pub struct RandomError;

/// `N` bytes from the host's cryptographic generator.
pub fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// A new random name of 128 bit, as base64url: room names, participant ids, versions.
pub fn random_name() -> Result<String, RandomError> {
    Ok(URL_SAFE_NO_PAD.encode(random::<16>()?))
}

/// A secret that opens something: shown once to its holder, kept by us as [`Secret::hash`].
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// A new secret of `N` random bytes, as base64url.
    pub fn new<const N: usize>() -> Result<Self, RandomError> {
        Ok(Self(URL_SAFE_NO_PAD.encode(random::<N>()?)))
    }

    /// A secret that somebody presents.
    pub fn presented(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text for its holder.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the text. Enough for what is random itself: there is nothing to guess, so nothing to slow
    /// down.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// HMAC-SHA-256 of `message`, as base64url.
pub fn mac(key: &[u8; 32], message: &str) -> String {
    URL_SAFE_NO_PAD.encode(keyed(key, message).finalize().into_bytes())
}

/// Whether `tag` is the [`mac`] of `message`, compared in constant time.
pub fn mac_matches(key: &[u8; 32], message: &str, tag: &str) -> bool {
    URL_SAFE_NO_PAD.decode(tag).is_ok_and(|tag| keyed(key, message).verify_slice(&tag).is_ok())
}

/// Whether `tag`, in hexadecimal digits, is the HMAC-SHA-256 of `message` under a key that somebody else chose, compared in
/// constant time.
pub fn hex_mac_matches(key: &[u8], message: &[u8], tag: &str) -> bool {
    // Longer than a block, a key is hashed first (RFC 2104 §2).
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(message);
    unhex(tag).is_some_and(|tag| mac.verify_slice(&tag).is_ok())
}

/// Whether `tag`, in base64, is the HMAC-SHA-1 of `message` under a key that somebody else chose, compared in constant time.
/// Only where a provider signs so: HMAC does not need a hash without collisions (RFC 6151 §2).
pub fn base64_sha1_mac_matches(key: &[u8], message: &[u8], tag: &str) -> bool {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..20].copy_from_slice(&Sha1::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut mac = Hmac::<Sha1>::new(&block.into());
    mac.update(message);
    STANDARD.decode(tag).is_ok_and(|tag| mac.verify_slice(&tag).is_ok())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let digits = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| text.as_bytes().chunks_exact(2).map(pair).collect())?
}

fn keyed(key: &[u8; 32], message: &str) -> Hmac<Sha256> {
    // Shorter than a block, a key is padded with zeros (RFC 2104 §2): done here, no length can be wrong.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(message.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_fresh_and_print_nothing() {
        let (one, two) = (Secret::new::<16>().unwrap(), Secret::new::<16>().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.reveal().len(), 22);
        assert_eq!(format!("{one:?}"), "[secret]");
        assert_eq!(Secret::presented(one.reveal()).hash(), one.hash());
    }

    #[test]
    fn hmac_agrees_with_rfc_4231() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let tag = URL_SAFE_NO_PAD.decode(mac(&key, "what do ya want for nothing?")).unwrap();
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn hmac_with_sha_1_agrees_with_rfc_2202() {
        // echo effcdf6ae5eb2fa2d27416d5f184df9c259a7c79 | xxd -r -p | base64
        let tag = "7/zfauXrL6LSdBbV8YTfnCWafHk=";
        let message = b"what do ya want for nothing?";
        assert!(base64_sha1_mac_matches(b"Jefe", message, tag));
        // Longer than a block: the sixth case of it.
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert!(base64_sha1_mac_matches(&[0xaa; 80], long, "qkrl4VJy0A6VcFY3zoo7Ve1AIRI="));
        for (key, message, tag) in [
            (&b"Jeff"[..], &message[..], tag),
            (b"Jefe", b"what", tag),
            (b"Jefe", message, ""),
            (b"Jefe", message, "7/zfauXrL6LSdBbV8YTfnCWafHg="),
        ] {
            assert!(!base64_sha1_mac_matches(key, message, tag));
        }
    }

    #[test]
    fn a_changed_message_key_or_tag_does_not_match() {
        let key = [7; 32];
        let tag = mac(&key, "12");
        assert!(mac_matches(&key, "12", &tag));
        assert!(!mac_matches(&key, "13", &tag));
        assert!(!mac_matches(&[8; 32], "12", &tag));
        assert!(!mac_matches(&key, "12", &tag[1..]));
        assert!(!mac_matches(&key, "12", "?"));
    }
}
