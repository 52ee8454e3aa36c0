//! Whether the network's name servers still name what is gone.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::log::What;
use super::stage::Stage;

const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The resolution of what is measured here.
const AGAIN: Duration = Duration::from_millis(50);
/// RFC 1035 §3.2.2 and §3.2.4.
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
/// More than any answer over UDP without EDNS (RFC 1035 §4.2.1).
const MOST_BYTES: usize = 512;

/// Somebody who knows addresses.
pub(super) trait NameServer {
    /// The addresses of a name; `None`: no answer.
    fn addresses(&self, name: &str) -> impl Future<Output = Option<BTreeSet<IpAddr>>> + Send;
}

/// One that is asked over UDP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Udp(SocketAddr);

/// What is asked after a fault.
#[derive(Clone, Debug)]
pub(super) struct Question<S> {
    servers: Vec<S>,
    /// Names that may lead to what is gone.
    names: Vec<String>,
    /// Addresses that only what is gone has.
    gone: BTreeSet<IpAddr>,
}

/// What to ask when all hosts of `region` are about to go: `None` when the network has no name server that stays, or
/// where regions share their addresses, as on one machine they may.
pub(super) async fn question(stage: &Stage, region: &str, away: &BTreeSet<String>) -> Option<Question<Udp>> {
    let site = stage.site();
    let stays = site.nodes.values().filter(|node| !away.contains(&node.name));
    let servers: Vec<Udp> = stays.filter_map(|node| node.addresses.get("dns").copied().map(Udp)).collect();
    let (first, mut others) = (servers.first()?, BTreeSet::new());
    for other in site.regions().into_iter().filter(|other| *other != region) {
        others.extend(first.addresses(&format!("{other}.{}", site.zone)).await?);
    }
    let own = first.addresses(&format!("{region}.{}", site.zone)).await?;
    let gone: BTreeSet<IpAddr> = own.difference(&others).copied().collect();
    let names = [region, "app"].map(|label| format!("{label}.{}", site.zone)).to_vec();
    (!gone.is_empty()).then_some(Question { servers, names, gone })
}

/// Asks until no server names any of it.
pub(super) async fn ask<S: NameServer>(stage: Stage, question: Question<S>) {
    while !is_right(&question).await {
        tokio::time::sleep(AGAIN).await;
    }
    stage.log.note(What::Named { servers: question.servers.len() });
}

async fn is_right<S: NameServer>(question: &Question<S>) -> bool {
    for server in &question.servers {
        for name in &question.names {
            let Some(addresses) = server.addresses(name).await else { return false };
            if addresses.is_empty() || !addresses.is_disjoint(&question.gone) {
                return false;
            }
        }
    }
    true
}

impl NameServer for Udp {
    async fn addresses(&self, name: &str) -> Option<BTreeSet<IpAddr>> {
        let id = getrandom::u32().ok()? as u16;
        let asked = async {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
            socket.connect(self.0).await.ok()?;
            socket.send(&query(id, name)?).await.ok()?;
            let mut answer = [0; MOST_BYTES];
            let bytes = socket.recv(&mut answer).await.ok()?;
            parse(id, &answer[..bytes])
        };
        tokio::time::timeout(ANSWER_WITHIN, asked).await.ok().flatten()
    }
}

/// A question for the addresses of a name (RFC 1035 §4.1).
fn query(id: u16, name: &str) -> Option<Vec<u8>> {
    // Recursion is not wanted; one question.
    let mut message = [id.to_be_bytes(), [0, 0], [0, 1], [0, 0], [0, 0], [0, 0]].concat();
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend([TYPE_A.to_be_bytes(), CLASS_IN.to_be_bytes()].concat());
    Some(message)
}

/// The addresses in an answer.
fn parse(id: u16, message: &[u8]) -> Option<BTreeSet<IpAddr>> {
    let word = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let is_answer = word(0)? == id && word(2)? & 0x8000 != 0 && word(2)? & 0x000f == 0;
    if !is_answer {
        return None;
    }
    let (questions, answers) = (word(4)?, word(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = after_name(message, at)? + 4;
    }
    let mut found = BTreeSet::new();
    for _ in 0..answers {
        at = after_name(message, at)?;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = message.get(at + 10..at + 10 + length)?;
        if let (TYPE_A, Ok(octets)) = (kind, <[u8; 4]>::try_from(data)) {
            found.insert(IpAddr::V4(octets.into()));
        }
        at += 10 + length;
    }
    Some(found)
}

/// Where a name ends: behind its root label, or behind a pointer (RFC 1035 §4.1.4).
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer & 0xc0 == 0xc0 => return Some(at + 2),
            length if length < 64 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer of a server: a CNAME and two addresses, with pointers.
    fn answer(id: u16) -> Vec<u8> {
        let mut message = query(id, "app.locum.localhost").unwrap();
        message[2] = 0x84;
        message[7] = 3;
        let record = |kind: u16, data: &[u8]| {
            let mut record = vec![0xc0, 12];
            record.extend([kind.to_be_bytes(), CLASS_IN.to_be_bytes(), [0, 0], [0, 30]].concat());
            record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            record.extend(data);
            record
        };
        for (kind, data) in [(5, &[1, b'x', 0xc0, 16][..]), (1, &[127, 0, 1, 1]), (1, &[127, 0, 2, 1])] {
            message.extend(record(kind, data));
        }
        message
    }

    fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_are_read_and_nothing_else_is() {
        assert_eq!(parse(7, &answer(7)), Some(set(&["127.0.1.1", "127.0.2.1"])));
        assert_eq!(parse(8, &answer(7)), None, "another question's");
        let mut refused = answer(7);
        refused[3] = 5;
        assert_eq!(parse(7, &refused), None);
        let whole = answer(7);
        for cut in 0..whole.len() {
            let _ = parse(7, &whole[..cut]);
        }
        assert_eq!(parse(7, &whole[..whole.len() - 1]), None);
        assert_eq!(query(1, "a..b"), None);
        assert_eq!(query(1, &"a".repeat(64)), None);
    }

    struct Says(Option<&'static [&'static str]>);

    impl NameServer for Says {
        async fn addresses(&self, _: &str) -> Option<BTreeSet<IpAddr>> {
            self.0.map(set)
        }
    }

    #[tokio::test]
    async fn every_server_must_name_somebody_and_nobody_who_is_gone() {
        let is_right = async |says: [Option<&'static [&'static str]>; 2]| {
            let (servers, names) = (says.map(Says).into(), vec!["app".to_owned()]);
            is_right(&Question { servers, names, gone: set(&["127.0.1.1"]) }).await
        };
        assert!(is_right([Some(&["127.0.2.1"]), Some(&["127.0.3.1", "127.0.2.1"])]).await);
        assert!(!is_right([Some(&["127.0.2.1"]), Some(&["127.0.2.1", "127.0.1.1"])]).await);
        assert!(!is_right([Some(&["127.0.2.1"]), None]).await);
        assert!(!is_right([Some(&["127.0.2.1"]), Some(&[])]).await);
    }

    #[tokio::test]
    async fn a_server_is_asked_over_udp() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let asked = Udp(server.local_addr().unwrap());
        let answers = tokio::spawn(async move {
            let mut question = [0; MOST_BYTES];
            let (_, from) = server.recv_from(&mut question).await.unwrap();
            let id = u16::from_be_bytes([question[0], question[1]]);
            server.send_to(&answer(id), from).await.unwrap();
        });
        assert_eq!(asked.addresses("app.locum.localhost").await, Some(set(&["127.0.1.1", "127.0.2.1"])));
        answers.await.unwrap();
    }
}
