//! Whether media gets through to a media node: a connectivity check, then the first flights of DTLS from the
//! address that passed it. It is what a client's first packets are; beyond it only a call could tell more.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use locum_cluster::probe::MediaProbe;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Miss, unspecified};
use crate::health::Reason;
use crate::probe::{dtls, stun};

/// A lost datagram is sent again after this time, as a client does.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Longest datagram that is read: longer than any that DTLS sends.
const DATAGRAM_BYTES: usize = 2_048;

/// Probes one address of a media node, from `own` or any address of this machine.
pub(super) async fn probe(own: Option<IpAddr>, to: SocketAddr, probe: &MediaProbe) -> Result<(), Miss> {
    let own = own.filter(|own| own.is_ipv4() == to.is_ipv4()).unwrap_or_else(|| unspecified(to));
    let socket = UdpSocket::bind(SocketAddr::new(own, 0)).await.map_err(|error| unreached(&error))?;
    socket.connect(to).await.map_err(|error| unreached(&error))?;
    let mut random = [0; 44];
    getrandom::fill(&mut random).map_err(|_| Miss(Reason::Silent))?;
    let (transaction, client) = random.split_first_chunk::<12>().ok_or(Miss(Reason::Silent))?;
    let client: &[u8; 32] = client.try_into().map_err(|_| Miss(Reason::Silent))?;

    let check = stun::check(*transaction, &probe.ufrag, probe.password.expose());
    let answers = |bytes: &[u8]| stun::is_success(bytes, *transaction, probe.password.expose()).then_some(());
    ask(&socket, &check, answers).await?;
    let mut hello = dtls::hello(client, &[]);
    for _ in 0..2 {
        match ask(&socket, &hello, dtls::answer).await? {
            dtls::Answer::Hello => return Ok(()),
            dtls::Answer::Verify(cookie) => hello = dtls::hello(client, &cookie),
        }
    }
    Err(Miss(Reason::Wrong))
}

/// Sends until something comes that `read` takes for the answer. The caller bounds the time.
async fn ask<T>(socket: &UdpSocket, question: &[u8], read: impl Fn(&[u8]) -> Option<T>) -> Result<T, Miss> {
    let mut datagram = vec![0; DATAGRAM_BYTES];
    loop {
        socket.send(question).await.map_err(|error| unreached(&error))?;
        let heard = timeout(AGAIN_AFTER, async {
            loop {
                let length = socket.recv(&mut datagram).await.map_err(|error| unreached(&error))?;
                if let Some(answer) = read(&datagram[..length]) {
                    return Ok(answer);
                }
            }
        });
        if let Ok(heard) = heard.await {
            return heard;
        }
    }
}

/// A connected UDP socket hears of a port that nobody listens on (ICMP).
fn unreached(error: &io::Error) -> Miss {
    Miss(match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Reason::Refused,
        _ => Reason::Silent,
    })
}
