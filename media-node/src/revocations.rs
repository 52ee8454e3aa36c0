//! Asks every edge host, again and again, whose tokens are to be refused, and puts out who is in on one.
//!
//! Of a host that does not answer, what it said last still counts: until it would have expired anyway.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt as _, stream};
use locum_agent::Agent;
use locum_cluster::revocation::{MediaAnswer, MediaQuestion, RevocationList};
use locum_cluster::{NodeRecord, NodeState};
use locum_identity::{NodeId, Role};
use locum_mesh::{Peer, PeerName};
use metrics::{counter, gauge};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::shard::Shard;
use crate::token::Revoked;

/// Between two rounds. Whoever is removed must be out within 30 s, also when a round is lost.
const ASK_EVERY: Duration = Duration::from_secs(4);

/// Longest wait for one host.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Hosts that are asked at once.
const AT_ONCE: usize = 16;

/// Keeps `revoked` at what the edge hosts say, until `stop`.
pub async fn follow(
    agent: Agent,
    revoked: watch::Sender<Arc<Revoked>>,
    shard: Shard,
    stop: CancellationToken,
) {
    let mut said: BTreeMap<NodeId, RevocationList> = BTreeMap::new();
    loop {
        tokio::select! {
            () = round(&agent, &mut said) => {}
            () = stop.cancelled() => return,
        }
        let current = Arc::new(Revoked::of(said.values().flat_map(|list| &list.revocations), now_unix_ms()));
        gauge!("locum_media_rooms_revoked").set(current.len() as f64);
        revoked.send_replace(Arc::clone(&current));
        if !current.is_empty() {
            // Each time: somebody may have passed the door a moment before they were refused there.
            let _ = shard.put_out(current).await;
        }
        if tokio::time::timeout(ASK_EVERY, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

async fn round(agent: &Agent, said: &mut BTreeMap<NodeId, RevocationList>) {
    let view = Arc::clone(&agent.list().borrow());
    let now = now_unix_ms();
    // A host that left the network is forgotten once nothing it said matters any more.
    said.retain(|_, list| list.revocations.iter().any(|revocation| revocation.until_ms > now));
    let asked = view.list.nodes.iter().filter(|node| is_asked(node)).map(|node| {
        let known = said.get(&node.id).map_or(0, |list| list.edition);
        (node.clone(), known)
    });
    let asked = stream::iter(asked.collect::<Vec<_>>());
    let answers = asked.map(|(node, known)| ask(agent.clone(), node, known)).buffer_unordered(AT_ONCE);
    for (node, answer) in answers.collect::<Vec<_>>().await {
        match answer {
            Some(MediaAnswer::Revocations(list)) => drop(said.insert(node, list)),
            Some(MediaAnswer::Unchanged) => {}
            None => counter!("locum_media_revocations_unanswered_total").increment(1),
        }
    }
}

fn is_asked(node: &NodeRecord) -> bool {
    node.role == Role::Edge && node.state != NodeState::Down && !node.mesh.is_empty()
}

async fn ask(agent: Agent, node: NodeRecord, known: u64) -> (NodeId, Option<MediaAnswer>) {
    let question = serde_json::to_vec(&MediaQuestion::Revocations { known }).unwrap_or_default();
    let peer = |address| Peer { address, name: PeerName::Node(node.id.clone()) };
    let peers: Vec<_> = node.mesh.iter().copied().map(peer).collect();
    let answer = match agent.mesh().client().request_any(&peers, &question, ANSWER_WITHIN).await {
        Ok(answer) => serde_json::from_slice(&answer).ok(),
        Err(error) => {
            debug!(node = %node.id, %error, "an edge host does not say who is refused");
            None
        }
    };
    (node.id, answer)
}

fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
