//! Whether a name server answers for the network's zone: one question over UDP, as a resolver would send it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use locum_identity::Zone;
use tokio::net::UdpSocket;

use super::{Miss, unspecified};
use crate::health::Reason;

const ANSWER_BYTES: usize = 4_096;
const SOA: u16 = 6;
const INTERNET: u16 = 1;
/// QR and AA of the first flags' byte (RFC 1035 §4.1.1), without the opcode between them.
const AUTHORITATIVE_ANSWER: u8 = 0x84;

/// Asks for the zone's SOA record. The caller bounds the time.
pub(super) async fn probe(own: Option<IpAddr>, to: SocketAddr, zone: &Zone) -> Result<(), Miss> {
    let own = own.filter(|own| own.is_ipv4() == to.is_ipv4()).unwrap_or_else(|| unspecified(to));
    let socket = UdpSocket::bind(SocketAddr::new(own, 0)).await.map_err(|error| unreached(&error))?;
    socket.connect(to).await.map_err(|error| unreached(&error))?;
    let id = getrandom::u32().map_err(|_| Miss(Reason::Silent))?.to_be_bytes();
    let id = [id[0], id[1]];
    let question = question(id, zone.as_str());
    socket.send(&question).await.map_err(|error| unreached(&error))?;
    let mut answer = vec![0; ANSWER_BYTES];
    loop {
        let length = socket.recv(&mut answer).await.map_err(|error| unreached(&error))?;
        if answer[..length].starts_with(&id) {
            return if is_authoritative(&answer[..length]) { Ok(()) } else { Err(Miss(Reason::Wrong)) };
        }
    }
}

fn question(id: [u8; 2], zone: &str) -> Vec<u8> {
    let mut message = id.to_vec();
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in zone.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(SOA.to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    message
}

/// An answer of its own, without error, that holds something.
fn is_authoritative(message: &[u8]) -> bool {
    let Some(header) = message.get(..12) else { return false };
    header[2] & AUTHORITATIVE_ANSWER == AUTHORITATIVE_ANSWER
        && header[3] & 0x0F == 0
        && header[6..8] != [0, 0]
}

fn unreached(error: &io::Error) -> Miss {
    let refused = error.kind() == io::ErrorKind::ConnectionRefused;
    Miss(if refused { Reason::Refused } else { Reason::Silent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_question_is_one() {
        let expected = b"\x01\x02\0\0\0\x01\0\0\0\0\0\0\x05locum\x07example\0\0\x06\0\x01";
        assert_eq!(question([1, 2], "locum.example"), expected);
    }

    #[tokio::test]
    async fn only_an_authoritative_answer_is_good() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let answers = [([0x84, 0x00], 1, Ok(())), ([0x80, 0x00], 1, Err(())), ([0x84, 0x05], 0, Err(()))];
        let expected = answers.map(|(_, _, expected)| expected);
        let serve = async {
            let mut buffer = [0; 512];
            for (flags, count, _) in answers {
                let (length, from) = server.recv_from(&mut buffer).await.unwrap();
                buffer[2..4].copy_from_slice(&flags);
                buffer[7] = count;
                // Somebody else's answer comes first.
                server.send_to(b"nothing", from).await.unwrap();
                server.send_to(&buffer[..length], from).await.unwrap();
            }
        };
        let ask = async {
            let zone = "locum.example".parse().unwrap();
            for expected in expected {
                let answered =
                    tokio::time::timeout(Duration::from_secs(5), probe(None, address, &zone)).await;
                assert_eq!(answered.unwrap().map_err(|_| ()), expected);
            }
        };
        tokio::join!(serve, ask);
    }
}
