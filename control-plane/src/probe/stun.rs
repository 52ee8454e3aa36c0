//! A connectivity check as a client sends it, and its answer (RFC 8489, RFC 8445 §7.2).
//!
//! Written apart from what media nodes answer with, so that the probe does not share their mistakes.

use ring::hmac;

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const HEADER_BYTES: usize = 20;
const INTEGRITY_BYTES: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLING: u16 = 0x802A;

/// Identifies a check and its answer.
pub(super) type Transaction = [u8; 12];

/// The check of a client that nominates the address it sends from.
pub(super) fn check(transaction: Transaction, ufrag: &str, password: &str) -> Vec<u8> {
    let mut message = BINDING_REQUEST.to_be_bytes().to_vec();
    message.extend([0, 0]);
    message.extend(MAGIC_COOKIE);
    message.extend(transaction);
    // The addressee's fragment stands first (RFC 8445 §7.2.2); ours is nobody's.
    attribute(&mut message, USERNAME, format!("{ufrag}:probe").as_bytes());
    attribute(&mut message, USE_CANDIDATE, &[]);
    attribute(&mut message, ICE_CONTROLLING, &[0xFF; 8]);
    attribute(&mut message, PRIORITY, &1_u32.to_be_bytes());
    // RFC 8489 §14.5: the length counts the attribute itself while its value is made.
    let length = message.len() + 4 + INTEGRITY_BYTES;
    set_length(&mut message, length);
    let tag = hmac::sign(&key(password), &message);
    attribute(&mut message, MESSAGE_INTEGRITY, tag.as_ref());
    let length = message.len() + 8;
    set_length(&mut message, length);
    let fingerprint = crc32(&message) ^ 0x5354_554E;
    attribute(&mut message, FINGERPRINT, &fingerprint.to_be_bytes());
    message
}

/// Whether a datagram answers the check with success, made by who knows the password.
pub(super) fn is_success(datagram: &[u8], transaction: Transaction, password: &str) -> bool {
    verified(datagram, transaction, password).is_some()
}

fn verified(datagram: &[u8], transaction: Transaction, password: &str) -> Option<()> {
    let header = datagram.get(..HEADER_BYTES)?;
    let kind = u16::from_be_bytes([header[0], header[1]]);
    if kind != BINDING_SUCCESS || header[4..8] != MAGIC_COOKIE || header[8..] != transaction {
        return None;
    }
    let mut at = HEADER_BYTES;
    loop {
        let head = datagram.get(at..at + 4)?;
        let (kind, length) = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
        let value = datagram.get(at + 4..at + 4 + usize::from(length))?;
        if kind == MESSAGE_INTEGRITY && value.len() == INTEGRITY_BYTES {
            let mut covered = datagram[..at].to_vec();
            let length = at + 4 + INTEGRITY_BYTES;
            set_length(&mut covered, length);
            return hmac::verify(&key(password), &covered, value).ok();
        }
        at += 4 + usize::from(length).next_multiple_of(4);
    }
}

fn key(password: &str) -> hmac::Key {
    // RFC 8489 §14.5 fixes HMAC-SHA1; there is nothing to negotiate for ICE.
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes())
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn set_length(message: &mut [u8], total: usize) {
    let length = u16::try_from(total - HEADER_BYTES).unwrap_or(u16::MAX);
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

/// CRC-32 of ITU-T V.42, bit by bit: a check is a hundred bytes a second.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_standard_is_believed_and_an_altered_one_is_not() {
        // RFC 5769 §2.2, sample IPv4 response.
        let sample = [
            0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
            0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63,
            0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
            0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5, 0x99, 0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9,
            0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b, 0xe7, 0xd7, 0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
        ];
        let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let password = "VOkJxbRl1RmTxUk/WvJxBt";
        assert!(is_success(&sample, transaction, password));
        assert!(!is_success(&sample, transaction, "another"));
        assert!(!is_success(&sample, [0; 12], password), "the answer to another check");
        for bit in 0..(48 + 24) * 8 {
            let mut altered = sample;
            altered[bit / 8] ^= 1 << (bit % 8);
            // The length is set anew while the tag is checked: it is not covered.
            assert!(!is_success(&altered, transaction, password) || (16..32).contains(&bit), "bit {bit}");
        }
        for length in 0..sample.len() - 8 {
            assert!(!is_success(&sample[..length], transaction, password), "{length} bytes");
        }
    }

    #[test]
    fn a_check_is_what_the_standard_asks_for() {
        let check = check([7; 12], "ufrag", "password");
        assert_eq!(usize::from(u16::from_be_bytes([check[2], check[3]])), check.len() - HEADER_BYTES);
        assert_eq!(check.len() % 4, 0);
        let fingerprint = crc32(&check[..check.len() - 8]) ^ 0x5354_554E;
        assert_eq!(fingerprint.to_be_bytes(), check[check.len() - 4..]);
    }
}
