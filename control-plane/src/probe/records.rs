//! Whether an edge host's copies can be read, and where it leads, written: over the mesh, because nobody outside
//! may ask that.

use std::net::SocketAddr;
use std::time::Duration;

use locum_cluster::probe::{GroupCanary, MemberAnswer, MemberQuestion};
use locum_identity::NodeId;
use locum_mesh::{Client, ConnectError, Peer, PeerName, RequestError};
use metrics::gauge;

use super::Miss;
use crate::health::Reason;

/// Asks the host at `address`.
pub(super) async fn probe(
    mesh: &Client,
    address: SocketAddr,
    node: &NodeId,
    write: bool,
    within: Duration,
) -> Result<(), Miss> {
    let peer = Peer { address, name: PeerName::Node(node.clone()) };
    let question = serde_json::to_vec(&MemberQuestion::Canary { write }).map_err(|_| Miss(Reason::Wrong))?;
    let answer = mesh.request(&peer, &question, within).await.map_err(|error| missed(&error))?;
    let MemberAnswer::Canary(canaries) = serde_json::from_slice(&answer).map_err(|_| Miss(Reason::Wrong))?;
    canaries.iter().for_each(|canary| measure(node, canary));
    if canaries.iter().all(GroupCanary::is_good) { Ok(()) } else { Err(Miss(Reason::Wrong)) }
}

fn measure(node: &NodeId, canary: &GroupCanary) {
    let set = |what: &'static str, good: bool| {
        let labels = [("group", canary.group.to_string()), ("node", node.to_string())];
        gauge!(what, &labels).set(if good { 1.0 } else { 0.0 });
    };
    set("locum_records_canary_read", canary.read);
    if let Some(write) = canary.write {
        set("locum_records_canary_written", write);
    }
}

fn missed(error: &RequestError) -> Miss {
    Miss(match error {
        RequestError::Connect { source: ConnectError::Deadline, .. } | RequestError::Deadline { .. } => {
            Reason::Silent
        }
        RequestError::Nowhere | RequestError::Connect { .. } | RequestError::Lost { .. } => Reason::Refused,
        RequestError::Refused { .. } | RequestError::TooLarge { .. } => Reason::Wrong,
    })
}
