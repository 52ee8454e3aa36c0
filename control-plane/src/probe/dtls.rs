//! The first flights of a DTLS 1.2 handshake (RFC 6347 §4.2), far enough to know that the other side takes part
//! in one: hello, its cookie, hello with the cookie, its own hello and certificate.

/// What a server's datagram says, of what matters here.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// Say it again, with this cookie: so a server knows that it answers where it was asked.
    Verify(Vec<u8>),
    /// The handshake has begun.
    Hello,
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;
const DTLS_1_2: [u8; 2] = [0xFE, 0xFD];
const RECORD_HEADER_BYTES: usize = 13;
const HANDSHAKE_HEADER_BYTES: usize = 12;

/// What browsers offer of what media nodes take: the suite and the groups, keys for SRTP (RFC 5764), and the
/// extended master secret (RFC 7627), without which they refuse.
#[rustfmt::skip]
const EXTENSIONS: &[u8] = &[
    0x00, 0x0A, 0x00, 0x06, 0x00, 0x04, 0x00, 0x1D, 0x00, 0x17,             // groups: x25519, secp256r1
    0x00, 0x0B, 0x00, 0x02, 0x01, 0x00,                                     // points: uncompressed
    0x00, 0x0D, 0x00, 0x06, 0x00, 0x04, 0x04, 0x03, 0x08, 0x04,             // ecdsa_secp256r1_sha256, rsa_pss
    0x00, 0x0E, 0x00, 0x07, 0x00, 0x04, 0x00, 0x07, 0x00, 0x01, 0x00,       // SRTP: AES-128-GCM, AES-128-CM
    0x00, 0x17, 0x00, 0x00,                                                 // extended master secret
    0xFF, 0x01, 0x00, 0x01, 0x00,                                           // renegotiation info
];

/// A client's hello; the second one, with the cookie of the answer to the first.
pub(super) fn hello(random: &[u8; 32], cookie: &[u8]) -> Vec<u8> {
    let mut body = DTLS_1_2.to_vec();
    body.extend(random);
    body.push(0);
    body.push(u8::try_from(cookie.len()).unwrap_or(0));
    body.extend(&cookie[..cookie.len().min(255)]);
    // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256; no compression.
    body.extend([0, 2, 0xC0, 0x2B, 1, 0]);
    body.extend(short(EXTENSIONS.len()));
    body.extend(EXTENSIONS);
    let sequence = u8::from(!cookie.is_empty());
    let mut message = vec![CLIENT_HELLO];
    message.extend(long(body.len()));
    message.extend([0, sequence, 0, 0, 0]);
    message.extend(long(body.len()));
    message.extend(body);
    let mut record = vec![HANDSHAKE];
    record.extend(DTLS_1_2);
    record.extend([0, 0, 0, 0, 0, 0, 0, sequence]);
    record.extend(short(message.len()));
    record.extend(message);
    record
}

/// Reads a datagram; `None` if it is none of a server that takes part.
pub(super) fn answer(datagram: &[u8]) -> Option<Answer> {
    let header = datagram.get(..RECORD_HEADER_BYTES)?;
    let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
    let message = datagram.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + length)?;
    let body = message.get(HANDSHAKE_HEADER_BYTES..)?;
    match (header[0], message[0]) {
        (HANDSHAKE, SERVER_HELLO) => Some(Answer::Hello),
        (HANDSHAKE, HELLO_VERIFY_REQUEST) => {
            let length = usize::from(*body.get(2)?);
            let cookie = body.get(3..3 + length).filter(|cookie| !cookie.is_empty())?;
            Some(Answer::Verify(cookie.to_vec()))
        }
        _ => None,
    }
}

fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn long(length: usize) -> [u8; 3] {
    let [_, high, middle, low] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [high, middle, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, message: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend(short(message.len()));
        record.extend(message);
        record
    }

    #[test]
    fn a_cookie_is_read_and_given_back() {
        let mut message = vec![HELLO_VERIFY_REQUEST, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 7, 0xFE, 0xFF, 4];
        message.extend(b"cook");
        let datagram = record(HANDSHAKE, &message);
        assert_eq!(answer(&datagram), Some(Answer::Verify(b"cook".to_vec())));
        for length in 0..datagram.len() {
            assert_eq!(answer(&datagram[..length]), None, "{length} bytes");
        }
        let again = hello(&[7; 32], b"cook");
        assert!(again.windows(5).any(|bytes| bytes == b"\x04cook"));
    }

    #[test]
    fn only_a_servers_hello_is_one() {
        let hello = [SERVER_HELLO, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(answer(&record(HANDSHAKE, &hello)), Some(Answer::Hello));
        assert_eq!(answer(&record(21, &[2, 71, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])), None, "an alert");
        assert_eq!(answer(b"anything"), None);
    }
}
