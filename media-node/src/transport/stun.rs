//! STUN connectivity checks as an ICE-lite agent answers them (RFC 8489, RFC 8445 §7.3).
//!
//! Pure: bytes in, bytes out. Nothing here trusts a length it has not checked.

use std::net::{IpAddr, SocketAddr};

use ring::hmac;

const MAGIC_COOKIE: u32 = 0x2112_A442;
const HEADER_BYTES: usize = 20;
const INTEGRITY_BYTES: usize = 20;

/// Longest request that is believed: clients send some hundred bytes, and never more than one unfragmented
/// datagram (RFC 8489 §6.1).
pub const MAX_REQUEST_BYTES: usize = 1_280;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;

const ATTR_USERNAME: u16 = 0x0006;
const ATTR_MESSAGE_INTEGRITY: u16 = 0x0008;
const ATTR_XOR_MAPPED_ADDRESS: u16 = 0x0020;
const ATTR_PRIORITY: u16 = 0x0024;
const ATTR_USE_CANDIDATE: u16 = 0x0025;
const ATTR_FINGERPRINT: u16 = 0x8028;
const ATTR_ICE_CONTROLLING: u16 = 0x802A;
const FINGERPRINT_XOR: u32 = 0x5354_554E;

/// Key of MESSAGE-INTEGRITY: the password of the side that receives the request (RFC 8445 §7.1.2).
#[derive(Clone)]
pub struct IntegrityKey(hmac::Key);

impl IntegrityKey {
    /// Key from an ICE password.
    #[must_use]
    pub fn new(password: &str) -> Self {
        // RFC 8489 §14.5 fixes HMAC-SHA1; there is nothing to negotiate for ICE.
        Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()))
    }
}

/// Identifies a request and its answer.
pub type TransactionId = [u8; 12];

/// A well-formed binding request, not yet believed: see [`BindingRequest::is_authentic`].
#[derive(Clone, Copy, Debug)]
pub struct BindingRequest<'a> {
    datagram: &'a [u8],
    transaction: TransactionId,
    username: &'a str,
    /// Where MESSAGE-INTEGRITY begins; what follows it is not covered and not read.
    integrity_at: usize,
    use_candidate: bool,
}

impl<'a> BindingRequest<'a> {
    /// Reads a datagram. `None` when it is not a binding request that carries a user name and integrity.
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let transaction = parse_header(datagram, BINDING_REQUEST)?;
        let (mut username, mut use_candidate) = (None, false);
        let mut at = HEADER_BYTES;
        loop {
            let (kind, value) = attribute(datagram, at)?;
            match kind {
                ATTR_MESSAGE_INTEGRITY if value.len() == INTEGRITY_BYTES => break,
                ATTR_USERNAME => username = Some(std::str::from_utf8(value).ok()?),
                ATTR_USE_CANDIDATE => use_candidate = true,
                _ => {}
            }
            at += 4 + value.len().next_multiple_of(4);
        }
        Some(Self { datagram, transaction, username: username?, integrity_at: at, use_candidate })
    }

    /// The addressee's user name fragment: the part before the colon (RFC 8445 §7.2.2).
    #[must_use]
    pub fn local_ufrag(&self) -> &'a str {
        self.username.split_once(':').map_or(self.username, |(local, _)| local)
    }

    /// Whether the sender nominates the address it sends from.
    #[must_use]
    pub fn nominates(&self) -> bool {
        self.use_candidate
    }

    /// Whether the sender knows the password.
    #[must_use]
    pub fn is_authentic(&self, key: &IntegrityKey) -> bool {
        let Some(tag) = self.datagram.get(self.integrity_at + 4..self.integrity_at + 4 + INTEGRITY_BYTES)
        else {
            return false;
        };
        // On the stack: whoever guesses a user name fragment is still a stranger, and costs no allocation.
        let mut covered = [0; MAX_REQUEST_BYTES];
        let Some(covered) = covered.get_mut(..self.integrity_at) else { return false };
        covered.copy_from_slice(&self.datagram[..self.integrity_at]);
        set_length(covered, self.integrity_at + 4 + INTEGRITY_BYTES);
        hmac::verify(&key.0, covered, tag).is_ok()
    }

    /// The signed answer, telling the sender the address it was seen at.
    #[must_use]
    pub fn success(&self, seen_at: SocketAddr, key: &IntegrityKey) -> Vec<u8> {
        success(self.transaction, seen_at, key)
    }
}

/// Whether the datagram is STUN at all (RFC 7983 §7).
#[must_use]
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4)
}

/// Transaction of a binding request, whatever else it carries.
#[must_use]
pub fn request_transaction(datagram: &[u8]) -> Option<TransactionId> {
    parse_header(datagram, BINDING_REQUEST)
}

/// A signed success response.
#[must_use]
pub fn success(transaction: TransactionId, seen_at: SocketAddr, key: &IntegrityKey) -> Vec<u8> {
    let mut message = Builder::new(BINDING_SUCCESS, transaction);
    message.attribute(ATTR_XOR_MAPPED_ADDRESS, &xor_address(seen_at, &transaction));
    message.sign(key)
}

/// A signed request that nominates, as a controlling client would send it.
#[must_use]
pub fn nomination(transaction: TransactionId, username: &str, key: &IntegrityKey) -> Vec<u8> {
    let mut message = Builder::new(BINDING_REQUEST, transaction);
    message.attribute(ATTR_USERNAME, username.as_bytes());
    message.attribute(ATTR_USE_CANDIDATE, &[]);
    message.attribute(ATTR_ICE_CONTROLLING, &[0xFF; 8]);
    message.attribute(ATTR_PRIORITY, &1_u32.to_be_bytes());
    message.sign(key)
}

fn parse_header(datagram: &[u8], kind: u16) -> Option<TransactionId> {
    let header = datagram.get(..HEADER_BYTES)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let cookie = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let well_formed = u16::from_be_bytes([header[0], header[1]]) == kind
        && cookie == MAGIC_COOKIE
        && length % 4 == 0
        && datagram.len() == HEADER_BYTES + length;
    well_formed.then(|| header[8..].try_into().ok()).flatten()
}

fn attribute(datagram: &[u8], at: usize) -> Option<(u16, &[u8])> {
    let head = datagram.get(at..at + 4)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let value = datagram.get(at + 4..at + 4 + length)?;
    Some((u16::from_be_bytes([head[0], head[1]]), value))
}

/// The header's length counts up to and including MESSAGE-INTEGRITY while the tag is made (RFC 8489 §14.5).
fn covered_by_integrity(before: &[u8]) -> Vec<u8> {
    let mut covered = before.to_vec();
    set_length(&mut covered, before.len() + 4 + INTEGRITY_BYTES);
    covered
}

fn set_length(message: &mut [u8], total: usize) {
    let length = u16::try_from(total - HEADER_BYTES).unwrap_or(u16::MAX);
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

fn xor_address(address: SocketAddr, transaction: &TransactionId) -> Vec<u8> {
    let cookie = MAGIC_COOKIE.to_be_bytes();
    let mask = cookie.iter().chain(transaction);
    let port = (address.port() ^ (MAGIC_COOKIE >> 16) as u16).to_be_bytes();
    let mut value = vec![0, if address.is_ipv4() { 1 } else { 2 }];
    value.extend_from_slice(&port);
    match address.ip() {
        IpAddr::V4(ip) => value.extend(ip.octets().iter().zip(mask).map(|(a, b)| a ^ b)),
        IpAddr::V6(ip) => value.extend(ip.octets().iter().zip(mask).map(|(a, b)| a ^ b)),
    }
    value
}

struct Builder(Vec<u8>);

impl Builder {
    fn new(kind: u16, transaction: TransactionId) -> Self {
        let mut message = kind.to_be_bytes().to_vec();
        message.extend_from_slice(&[0, 0]);
        message.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        message.extend_from_slice(&transaction);
        Self(message)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.0.extend_from_slice(&kind.to_be_bytes());
        self.0.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn sign(mut self, key: &IntegrityKey) -> Vec<u8> {
        let tag = hmac::sign(&key.0, &covered_by_integrity(&self.0));
        self.attribute(ATTR_MESSAGE_INTEGRITY, tag.as_ref());
        let total = self.0.len() + 8;
        set_length(&mut self.0, total);
        let fingerprint = crc32(&self.0) ^ FINGERPRINT_XOR;
        self.attribute(ATTR_FINGERPRINT, &fingerprint.to_be_bytes());
        self.0
    }
}

/// CRC-32 of ITU-T V.42, bit by bit: a check is some hundred bytes every few seconds.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION: TransactionId = [7; 12];

    fn request() -> Vec<u8> {
        nomination(TRANSACTION, "node:client", &IntegrityKey::new("secret"))
    }

    #[test]
    fn a_request_is_read_back() {
        let bytes = request();
        let request = BindingRequest::parse(&bytes).unwrap();
        assert_eq!(request.local_ufrag(), "node");
        assert!(request.nominates());
        assert!(request.is_authentic(&IntegrityKey::new("secret")));
    }

    #[test]
    fn a_wrong_password_is_not_authentic() {
        assert!(!BindingRequest::parse(&request()).unwrap().is_authentic(&IntegrityKey::new("other")));
    }

    #[test]
    fn any_changed_bit_under_integrity_is_noticed_or_unreadable() {
        let good = request();
        let covered = BindingRequest::parse(&good).unwrap().integrity_at + 4 + INTEGRITY_BYTES;
        for at in 0..covered * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            let accepted =
                BindingRequest::parse(&bad).is_some_and(|r| r.is_authentic(&IntegrityKey::new("secret")));
            assert!(!accepted, "bit {at}");
        }
    }

    #[test]
    fn rfc5769_request_is_authentic() {
        // RFC 5769 §2.1, sample request.
        let sample = [
            0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
            0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73,
            0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff,
            0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09,
            0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14,
            0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49,
            0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
        ];
        let request = BindingRequest::parse(&sample).unwrap();
        assert_eq!(request.local_ufrag(), "evtj");
        assert!(!request.nominates());
        assert!(request.is_authentic(&IntegrityKey::new("VOkJxbRl1RmTxUk/WvJxBt")));
        let fingerprint = crc32(&sample[..sample.len() - 8]) ^ FINGERPRINT_XOR;
        assert_eq!(fingerprint.to_be_bytes(), sample[sample.len() - 4..]);
    }

    #[test]
    fn rfc5769_addresses_are_masked() {
        // RFC 5769 §2.2 and §2.3.
        let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let v4 = xor_address("192.0.2.1:32853".parse().unwrap(), &transaction);
        assert_eq!(v4, [0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        let v6 = xor_address("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap(), &transaction);
        assert_eq!(v6[..8], [0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa]);
        assert_eq!(v6.len(), 20);
    }

    #[test]
    fn truncated_requests_are_refused() {
        let good = request();
        for len in 0..good.len() {
            assert!(BindingRequest::parse(&good[..len]).is_none(), "{len} bytes");
        }
    }
}
