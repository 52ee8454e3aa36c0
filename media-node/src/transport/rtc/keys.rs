//! The keys of media, which the backend agrees on with the client and keeps to itself.
//!
//! Media passes the backend by ([`super::protection`]), but SRTP's keys come from its DTLS (RFC 5764), and it hands
//! them to nobody. Its cryptography, though, is ours to supply. RFC 3711 §4.3 derives session keys by encrypting, under
//! the master key, a block that for the first of them is the master salt: whoever encrypts blocks for the backend hears
//! both. It encrypts them for nothing else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::rtc::crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CbcAlgorithm, CbcCipher,
    CryptoAlgorithm, CryptoError, HashAlgorithm, HmacAlgorithm, KeyExchangeAlgorithm, Mac, PublicKey,
    RTCCrypto, RTCCryptoProvider, RTCRandom, SignatureScheme, SigningKey, StreamCipher,
    StreamCipherAlgorithm,
};
use ::rtc::srtp::protection_profile::ProtectionProfile;

/// The backend derives the node's key first, then the client's.
const DIRECTIONS: usize = 2;

/// A crypto provider for one connection, and what was heard of its keys.
pub(super) struct Provider {
    provider: Arc<dyn RTCCryptoProvider>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    masters: Vec<Master>,
    /// RFC 3711's cipher rather than RFC 7714's.
    is_counter_mode: bool,
}

struct Master {
    key: Vec<u8>,
    salt: Vec<u8>,
}

/// Master key and salt of both directions.
pub(super) struct Keys {
    pub(super) profile: ProtectionProfile,
    /// Of what the node sends.
    pub(super) node: (Vec<u8>, Vec<u8>),
    /// Of what the client sends.
    pub(super) client: (Vec<u8>, Vec<u8>),
}

impl Provider {
    pub(super) fn new(provider: Arc<dyn RTCCryptoProvider>) -> Self {
        Self { provider, heard: Mutex::default() }
    }

    /// The keys, once, when they are agreed.
    pub(super) fn take(&self) -> Option<Keys> {
        let mut heard = self.heard();
        if heard.masters.len() < DIRECTIONS {
            return None;
        }
        let Heard { masters, is_counter_mode } = std::mem::take(&mut *heard);
        let mut masters = masters.into_iter();
        let (node, client) = (masters.next()?, masters.next()?);
        let profile = match (is_counter_mode, node.key.len()) {
            (true, _) => ProtectionProfile::Aes128CmHmacSha1_80,
            (false, 32) => ProtectionProfile::AeadAes256Gcm,
            (false, _) => ProtectionProfile::AeadAes128Gcm,
        };
        let of = |mut master: Master| {
            master.salt.truncate(profile.salt_len());
            (master.key, master.salt)
        };
        Some(Keys { profile, node: of(node), client: of(client) })
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RTCCryptoProvider for Provider {
    fn name(&self) -> &'static str {
        self.provider.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self
    }

    fn random(&self) -> &dyn RTCRandom {
        self.provider.random()
    }
}

impl RTCCrypto for Provider {
    fn block_encrypt(
        &self,
        algorithm: BlockCipherAlgorithm,
        key: &[u8],
        block: &mut [u8],
    ) -> Result<(), CryptoError> {
        let mut heard = self.heard();
        if heard.masters.len() < DIRECTIONS && heard.masters.iter().all(|master| master.key != key) {
            heard.masters.push(Master { key: key.to_vec(), salt: block.to_vec() });
        }
        drop(heard);
        self.provider.crypto().block_encrypt(algorithm, key, block)
    }

    fn new_stream_cipher(
        &self,
        algorithm: StreamCipherAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn StreamCipher>, CryptoError> {
        self.heard().is_counter_mode = true;
        self.provider.crypto().new_stream_cipher(algorithm, key)
    }

    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        self.provider.crypto().supports(algorithm)
    }

    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.provider.crypto().hash(algorithm, data)
    }

    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        self.provider.crypto().new_hmac(algorithm, key)
    }

    fn new_aead(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<Box<dyn AeadCipher>, CryptoError> {
        self.provider.crypto().new_aead(algorithm, key)
    }

    fn new_cbc(&self, algorithm: CbcAlgorithm, key: &[u8]) -> Result<Box<dyn CbcCipher>, CryptoError> {
        self.provider.crypto().new_cbc(algorithm, key)
    }

    fn start_key_exchange(
        &self,
        algorithm: KeyExchangeAlgorithm,
    ) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.provider.crypto().start_key_exchange(algorithm)
    }

    fn generate_signing_key(&self, scheme: SignatureScheme) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.provider.crypto().generate_signing_key(scheme)
    }

    fn import_signing_key(
        &self,
        scheme: SignatureScheme,
        pkcs8_der: &[u8],
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.provider.crypto().import_signing_key(scheme, pkcs8_der)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        public_key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.provider.crypto().verify_signature(scheme, public_key, message, signature)
    }
}

#[cfg(test)]
mod tests {
    use ::rtc::srtp::context::Context;

    use super::*;

    fn heard(profile: ProtectionProfile) -> (Keys, [Vec<u8>; 4]) {
        let provider = Provider::new(::rtc::crypto::default_provider().unwrap());
        let bytes = |first: u8, len: usize| (first..).take(len).collect::<Vec<u8>>();
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        let masters = [bytes(1, key_len), bytes(2, salt_len), bytes(3, key_len), bytes(4, salt_len)];
        assert!(provider.take().is_none());
        for master in masters.chunks(2) {
            Context::new(&master[0], &master[1], profile, None, None, provider.crypto()).unwrap();
        }
        let keys = provider.take().unwrap();
        assert!(provider.take().is_none(), "kept no longer than needed");
        (keys, masters)
    }

    #[test]
    fn what_the_backend_derives_from_is_heard_for_every_profile_on_offer() {
        for profile in super::super::PROFILES.map(|(_, profile)| profile) {
            let (keys, [node_key, node_salt, client_key, client_salt]) = heard(profile);
            assert!(keys.profile as u16 == profile as u16);
            assert_eq!((keys.node, keys.client), ((node_key, node_salt), (client_key, client_salt)));
        }
    }
}
