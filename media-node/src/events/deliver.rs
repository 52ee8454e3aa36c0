//! Brings events to edge hosts.

use std::collections::BTreeSet;
use std::time::Duration;

use locum_agent::Agent;
use locum_cluster::calls::{CallEvent, CallEvents, CallEventsKept, MAX_CALL_EVENTS};
use locum_cluster::{NodeList, NodeState};
use locum_identity::{NodeId, RegionId, Role};
use locum_mesh::{Peer, PeerName};
use metrics::counter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::queue::{Keeper, QueueError};
use super::{Happened, lost};

/// What an edge host may take to answer: it writes, maybe in another region.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries when nobody takes anything.
const AGAIN: Duration = Duration::from_secs(2);

/// Keeps what happens on disk, and brings it to edge hosts, until `stop`; what is left then is delivered after the next
/// start.
pub async fn deliver(
    mut keeper: Keeper,
    mut happened: mpsc::Receiver<Happened>,
    agent: Agent,
    region: RegionId,
    stop: CancellationToken,
) {
    let mut waits = true;
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            taken = happened.recv_many(&mut batch, MAX_CALL_EVENTS) => if taken == 0 { return },
            () = tokio::time::sleep(AGAIN), if waits => {}
            () = stop.cancelled() => {
                // What came last: everybody was just sent away.
                happened.close();
                while happened.recv_many(&mut batch, MAX_CALL_EVENTS).await > 0 {}
                keeper = keep(keeper, batch).await.0;
                let _ = deliver_oldest(keeper, &agent, &region).await;
                return;
            }
        }
        keeper = keep(keeper, batch).await.0;
        let delivered;
        (keeper, delivered) = deliver_oldest(keeper, &agent, &region).await;
        waits = !delivered;
    }
}

/// The disk has its own thread.
async fn keep(mut keeper: Keeper, batch: Vec<Happened>) -> (Keeper, ()) {
    if batch.is_empty() {
        return (keeper, ());
    }
    let events = batch.len() as u64;
    let (keeper, kept) = blocking(move || {
        let kept = keeper.add(batch);
        (keeper, kept)
    })
    .await;
    if let Err(error) = kept {
        report(&error);
        lost("disk", events);
    }
    (keeper, ())
}

/// `true` when nothing is left.
async fn deliver_oldest(keeper: Keeper, agent: &Agent, region: &RegionId) -> (Keeper, bool) {
    let mut keeper = keeper;
    loop {
        let (places, events) = keeper.oldest(MAX_CALL_EVENTS);
        if places == 0 {
            return (keeper, true);
        }
        let settled = settle(agent, region, &events).await;
        // From the oldest on: the file is a queue. What was delivered behind one that waits is delivered again, and
        // counted once.
        let done = if settled.len() == events.len() { places } else { leading(&settled) };
        if done == 0 {
            return (keeper, false);
        }
        let (back, removed) = blocking(move || {
            let removed = keeper.remove(done);
            (keeper, removed)
        })
        .await;
        keeper = back;
        if let Err(error) = removed {
            report(&error);
            return (keeper, false);
        }
        if done < places {
            return (keeper, false);
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn report(error: &QueueError) {
    warn!(error = error as &dyn std::error::Error, "call events are not kept");
}

fn leading(settled: &BTreeSet<usize>) -> usize {
    settled.iter().enumerate().take_while(|(place, settled)| place == *settled).count()
}

/// Which of `events` need no further care: an edge host keeps them, or every edge host says that it knows of no such
/// call.
async fn settle(agent: &Agent, region: &RegionId, events: &[CallEvent]) -> BTreeSet<usize> {
    let edges = edges(&agent.list().borrow().list, region);
    let mut open: Vec<usize> = (0..events.len()).collect();
    let mut all_asked = !edges.is_empty();
    for edge in edges {
        let question = CallEvents { events: open.iter().map(|place| events[*place].clone()).collect() };
        let Some(answer) = ask(agent, &edge, &question).await else {
            all_asked = false;
            continue;
        };
        let kept: BTreeSet<usize> = answer.kept.into_iter().collect();
        let unknown: BTreeSet<usize> = answer.unknown.into_iter().collect();
        let now_kept = kept.iter().filter(|place| **place < open.len()).count();
        counter!("locum_media_call_events_delivered_total").increment(now_kept as u64);
        all_asked &= (0..open.len()).all(|place| kept.contains(&place) || unknown.contains(&place));
        let still = open.iter().enumerate().filter(|(place, _)| !kept.contains(place));
        open = still.map(|(_, event)| *event).collect();
        if open.is_empty() {
            break;
        }
    }
    let mut settled: BTreeSet<usize> = (0..events.len()).collect();
    if all_asked {
        lost("unknown-call", open.len() as u64);
    } else {
        open.iter().for_each(|place| {
            settled.remove(place);
        });
    }
    settled
}

async fn ask(agent: &Agent, edge: &Edge, question: &CallEvents) -> Option<CallEventsKept> {
    let question = serde_json::to_vec(question).ok()?;
    let answer = agent.mesh().client().request_any(&edge.peers, &question, ANSWER_WITHIN).await;
    answer.ok().and_then(|answer| serde_json::from_slice(&answer).ok())
}

/// Where to bring events.
struct Edge {
    is_near: bool,
    peers: Vec<Peer>,
}

/// Every edge host that is not down, those of the own region first.
fn edges(list: &NodeList, region: &RegionId) -> Vec<Edge> {
    let peer = |address, node: &NodeId| Peer { address, name: PeerName::Node(node.clone()) };
    let up = |state| state != NodeState::Down;
    let edges =
        list.nodes.iter().filter(|node| node.role == Role::Edge && up(node.state) && !node.mesh.is_empty());
    let mut edges: Vec<_> = edges
        .map(|node| Edge {
            is_near: node.region == *region,
            peers: node.mesh.iter().map(|address| peer(*address, &node.id)).collect(),
        })
        .collect();
    edges.sort_by_key(|edge| !edge.is_near);
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nothing_older_waits_before_is_done() {
        assert_eq!(leading(&BTreeSet::from([0, 1, 3])), 2);
        assert_eq!(leading(&BTreeSet::from([1])), 0);
        assert_eq!(leading(&BTreeSet::new()), 0);
    }
}
