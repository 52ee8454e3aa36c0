//! The links between media nodes: who calls calls to speak, and who is called listens. So a pair has up to two.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use locum_agent::Agent;
use locum_cluster::NodeList;
use locum_identity::Role;
use locum_mesh::{Caller, Carrier, Datagrams, Handler, Peer, PeerName, Refusal, RefusalCode, Sent, Tunnel};
use locum_telemetry::config::chain;
use metrics::counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use super::meeting::{MediaNodes, NodeName};
use super::messages::{Envelope, MAX_MESSAGE_BYTES};
use crate::shard::{RelayEvent, Shard};

/// What a link is asked for by.
const QUESTION: &[u8] = b"relay/1";

/// Messages that may wait for one link. A link that is further behind is made anew, and all is said again.
const MAX_MESSAGES: usize = 1_024;

/// From the first packet of a handshake to the acceptance.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Longest a link may take to accept a message.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// Between two attempts, at first and at most.
const TRY_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// The media nodes of a list that can be called.
#[must_use]
pub fn media_nodes(list: &NodeList) -> MediaNodes {
    let media = list.nodes.iter().filter(|node| node.role == Role::Media && !node.mesh.is_empty());
    let is_there = |node: &locum_cluster::NodeRecord| node.state != locum_cluster::NodeState::Down;
    let nodes = media.map(|node| (NodeName::new(node.id.clone()), is_there(node))).collect();
    MediaNodes { generation: list.version, nodes }
}

/// This node's links to others.
pub struct Links {
    agent: Agent,
    shard: Shard,
    runtime: runtime::Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
    links: HashMap<NodeName, Arc<Link>>,
}

/// A link that is wanted, whether it is there or not.
struct Link {
    out: Mutex<Option<Out>>,
    again: Notify,
    stop: CancellationToken,
}

struct Out {
    messages: mpsc::Sender<Bytes>,
    datagrams: Datagrams,
}

impl Links {
    /// Links of `agent`'s node, until `stop`. Must be called inside a runtime.
    #[must_use]
    pub fn new(agent: Agent, shard: Shard, tasks: TaskTracker, stop: CancellationToken) -> Self {
        let runtime = runtime::Handle::current();
        Self { agent, shard, runtime, tasks, stop, links: HashMap::new() }
    }

    /// Makes a link, and makes it again whenever it breaks.
    pub fn connect(&mut self, node: NodeName) {
        let stop = self.stop.child_token();
        let link = Arc::new(Link { out: Mutex::default(), again: Notify::new(), stop: stop.clone() });
        if let Some(old) = self.links.insert(NodeName::clone(&node), Arc::clone(&link)) {
            old.stop.cancel();
        }
        let keep = keep(node, link, self.agent.clone(), self.shard.clone());
        self.tasks.spawn_on(async move { stop.run_until_cancelled(keep).await }, &self.runtime);
    }

    /// Makes it anew now.
    pub fn reconnect(&self, node: &NodeName) {
        if let Some(link) = self.links.get(node) {
            link.break_off();
        }
    }

    /// It is needed no more.
    pub fn disconnect(&mut self, node: &NodeName) {
        if let Some(link) = self.links.remove(node) {
            link.stop.cancel();
        }
    }

    /// Sends a message, after those before it.
    pub fn message(&self, node: &NodeName, message: Bytes) {
        let Some(link) = self.links.get(node) else { return };
        let is_behind = link.out().as_ref().is_some_and(|out| out.messages.try_send(message).is_err());
        if is_behind {
            counter!("locum_media_relay_links_behind_total").increment(1);
            link.break_off();
        }
    }

    /// Sends a datagram.
    pub fn datagram(&self, node: &NodeName, datagram: Bytes) {
        let Some(link) = self.links.get(node) else { return };
        let out = link.out();
        let Some(out) = out.as_ref() else { return };
        if out.datagrams.send(datagram.clone()) == Sent::TooLarge {
            // A moment after it is made, a link does not know yet how much its path takes.
            let long = Envelope::encode(super::messages::Word::Long(datagram));
            let _ = long.is_some_and(|long| out.messages.try_send(long).is_ok());
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.links.values().for_each(|link| link.stop.cancel());
    }
}

impl Link {
    fn out(&self) -> MutexGuard<'_, Option<Out>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn break_off(&self) {
        *self.out() = None;
        self.again.notify_one();
    }
}

async fn keep(node: NodeName, link: Arc<Link>, agent: Agent, shard: Shard) {
    let mut wait = TRY_AGAIN.0;
    loop {
        match connect(&node, &agent).await {
            Ok(tunnel) => {
                wait = TRY_AGAIN.0;
                info!(%node, "relay link made");
                speak(&node, &link, tunnel, &shard).await;
                info!(%node, "relay link ended");
            }
            Err(error) => debug!(%node, error, "no relay link"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(TRY_AGAIN.1);
    }
}

async fn connect(node: &NodeName, agent: &Agent) -> Result<Tunnel, String> {
    let list = agent.list().borrow().clone();
    let record = list.list.nodes.iter().find(|record| record.id == **node);
    let addresses = record.map(|record| record.mesh.clone()).unwrap_or_default();
    let peer = |address| Peer { address, name: PeerName::Node((**node).clone()) };
    let peers: Vec<_> = addresses.into_iter().map(peer).collect();
    let tunnel = agent.mesh().client().own_tunnel(&peers, QUESTION, CONNECT_WITHIN);
    tunnel.await.map_err(|error| chain(&error))
}

/// Sends what is to be sent until the link breaks.
async fn speak(node: &NodeName, link: &Link, tunnel: Tunnel, shard: &Shard) {
    let (messages, mut queue) = mpsc::channel(MAX_MESSAGES);
    *link.out() = Some(Out { messages, datagrams: tunnel.datagrams() });
    if shard.relay(RelayEvent::LinkUp(NodeName::clone(node))).await.is_ok() {
        let (mut read, mut write) = tokio::io::split(tunnel);
        let send = async {
            while let Some(message) = queue.recv().await {
                if !matches!(timeout(SEND_WITHIN, write_message(&mut write, &message)).await, Ok(Ok(()))) {
                    break;
                }
            }
        };
        tokio::select! {
            () = send => {}
            // Nothing is said there; it ends with the link.
            _ = read.read_u8() => {}
            () = link.again.notified() => {}
        }
    }
    *link.out() = None;
    // An overwhelmed loop notices by the silence.
    let _ = shard.relay(RelayEvent::LinkDown(NodeName::clone(node))).await;
}

async fn write_message(tunnel: &mut (impl AsyncWriteExt + Unpin), message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    tunnel.write_u32(length).await?;
    tunnel.write_all(message).await
}

async fn read_message(tunnel: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let length = tunnel.read_u32().await? as usize;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    tunnel.read_exact(&mut message).await?;
    Ok(message)
}

/// Listens to other nodes.
pub struct Ears {
    shard: Shard,
    /// The newest link of each node: what comes by an older one is out of date.
    newest: Arc<Mutex<HashMap<NodeName, CancellationToken>>>,
}

impl Ears {
    /// What is heard goes to `shard`.
    #[must_use]
    pub fn new(shard: Shard) -> Self {
        Self { shard, newest: Arc::default() }
    }
}

impl Handler for Ears {
    async fn answer(&self, _: Caller, _: Bytes) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::new(RefusalCode::Invalid, "a media node answers no questions"))
    }

    async fn tunnel(&self, caller: Caller, question: Bytes) -> Result<Carrier, Refusal> {
        let Caller::Node(identity) = caller else {
            return Err(Refusal::new(RefusalCode::Denied, "links are for nodes"));
        };
        if identity.role != Role::Media {
            counter!("locum_media_relay_links_refused_total").increment(1);
            return Err(Refusal::new(RefusalCode::Denied, "links are for media nodes"));
        }
        if question != QUESTION {
            return Err(Refusal::new(RefusalCode::Invalid, "not a link of this release"));
        }
        let (node, over) = (NodeName::new(identity.node), CancellationToken::new());
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = newest.insert(NodeName::clone(&node), over.clone()) {
            old.cancel();
        }
        let shard = self.shard.clone();
        Ok(Carrier::new(move |tunnel| async move {
            over.run_until_cancelled(listen(node, tunnel, shard)).await;
        }))
    }
}

async fn listen(node: NodeName, mut tunnel: Tunnel, shard: Shard) {
    let datagrams = tunnel.datagrams();
    let hear = async {
        while let Ok(message) = read_message(&mut tunnel).await {
            // What a newer release says besides is left aside.
            let Some(word) = Envelope::read(&message) else { continue };
            let heard = RelayEvent::Heard(NodeName::clone(&node), Box::new(word));
            if shard.relay(heard).await.is_err() {
                return;
            }
        }
    };
    let receive = async {
        while let Ok(datagram) = datagrams.receive().await {
            shard.relay_datagram(&node, datagram);
        }
    };
    tokio::select! {
        () = hear => {}
        () = receive => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::events::Recorder;
    use crate::room::{Ids, Limits, Rooms};
    use crate::transport::candidates::Announced;
    use crate::transport::rtc::RtcTransport;

    fn ears() -> Ears {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let announced = Announced { udp: vec![socket.local_addr().unwrap()], tcp: Vec::new() };
        let transport = RtcTransport::new(&announced).unwrap();
        let limits = Limits { sessions: 4, participants: 4, tracks: 4, move_within: Duration::from_secs(5) };
        let rooms = Rooms::new(limits, "eu-central".to_owned(), Ids::new(|| [7; 8]));
        Ears::new(Shard::start(vec![socket], transport, rooms, Recorder::to_nobody()).unwrap().0)
    }

    #[tokio::test]
    async fn only_media_nodes_are_listened_to() {
        let ears = ears();
        let node = |role: &str| {
            Caller::Node(format!("spiffe://locum.localhost/west/{role}/{role}-1").parse().unwrap())
        };
        let asked = async |caller, question: &'static [u8]| {
            let answer = ears.tunnel(caller, Bytes::from_static(question)).await;
            answer.map(|_| ()).map_err(|refusal| refusal.code)
        };
        assert_eq!(asked(node("media"), QUESTION).await, Ok(()));
        for caller in [node("edge"), node("control"), Caller::Joiner] {
            assert_eq!(asked(caller, QUESTION).await, Err(RefusalCode::Denied));
        }
        assert_eq!(asked(node("media"), b"relay/9").await, Err(RefusalCode::Invalid));
    }

    #[tokio::test]
    async fn messages_are_bounded_and_whole() {
        let (mut near, mut far) = tokio::io::duplex(1 << 10);
        tokio::spawn(async move {
            write_message(&mut near, b"word").await.unwrap();
            near.write_u32(u32::MAX).await.unwrap();
        });
        assert_eq!(read_message(&mut far).await.unwrap(), b"word");
        assert_eq!(read_message(&mut far).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
