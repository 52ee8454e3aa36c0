//! Answers other edge hosts.

use std::sync::Arc;

use bytes::Bytes;
use locum_cluster::revocation::MediaQuestion;
use locum_identity::{NodeId, NodeIdentity, Role};
use locum_mesh::{Caller, Carrier, Handler, Refusal, RefusalCode};

use super::envelope::{self, Malformed};
use super::{Question, audit, blob, calls, canary, records};
use crate::http::Edge;
use crate::store::ReplicatedStore;

/// This host towards its like.
pub(crate) struct HostHandler {
    edge: Arc<Edge>,
    /// Of a network with several regions.
    records: Option<Arc<ReplicatedStore>>,
}

impl HostHandler {
    pub(crate) fn new(edge: Arc<Edge>, records: Option<Arc<ReplicatedStore>>) -> Self {
        Self { edge, records }
    }

    fn records(&self) -> Result<&ReplicatedStore, Refusal> {
        self.records.as_deref().ok_or_else(|| Refusal::new(RefusalCode::Invalid, "one region, one copy"))
    }
}

impl Handler for HostHandler {
    async fn answer(&self, caller: Caller, question: Bytes) -> Result<Vec<u8>, Refusal> {
        if is_member(&caller) {
            return canary::answer(&self.edge, &question).await;
        }
        if let Caller::Node(node) = &caller
            && node.role == Role::Media
        {
            return media_node(&self.edge, &node.node, &question).await;
        }
        let caller = edge_host(caller)?;
        let (question, bytes) = envelope::open(&question).map_err(invalid)?;
        match question {
            Question::Records(question) => records::answer(self.records()?, caller.node, question).await,
            Question::Log(_) | Question::Copy(_) => {
                Err(Refusal::new(RefusalCode::Invalid, "this goes through a tunnel"))
            }
            Question::Audit(question) => audit::answer(&self.edge.audit, caller.node, question, bytes).await,
            Question::Blob(question) => blob::answer(&self.edge.blobs, caller.node, question, bytes).await,
            Question::Replay(head) => {
                let request = head.with(bytes).map_err(invalid)?;
                let outcome = self.edge.carry_out(request).await.map_err(|_| unlike())?;
                outcome
                    .seal()
                    .map_err(|_| Refusal::new(RefusalCode::Internal, "the answer cannot be written"))
            }
        }
    }

    async fn tunnel(&self, caller: Caller, question: Bytes) -> Result<Carrier, Refusal> {
        let caller = edge_host(caller)?.node;
        match envelope::open(&question).map_err(invalid)? {
            (Question::Log(request), _) => records::serve_log(self.records()?, caller, request).await,
            (Question::Copy(request), _) => records::serve_copy(self.records()?, caller, request).await,
            _ => Err(Refusal::new(RefusalCode::Invalid, "not a tunnel known here")),
        }
    }
}

/// Members of the control plane may ask for nothing that a clinic recorded.
fn is_member(caller: &Caller) -> bool {
    matches!(caller, Caller::Node(node) if node.role == Role::Control)
}

/// Media nodes may tell what happened in calls, and ask whose tokens they are to refuse: random names, nothing that a
/// clinic recorded.
async fn media_node(edge: &Edge, node: &NodeId, question: &[u8]) -> Result<Vec<u8>, Refusal> {
    match serde_json::from_slice(question) {
        Ok(MediaQuestion::Revocations { known }) => edge.revocations.answer(known),
        Err(_) => calls::answer(edge, node, question).await,
    }
}

/// Only edge hosts hold what people entrusted to a clinic.
fn edge_host(caller: Caller) -> Result<NodeIdentity, Refusal> {
    match caller {
        Caller::Node(node) if node.role == Role::Edge => Ok(node),
        _ => Err(Refusal::new(RefusalCode::Denied, "only edge hosts may ask")),
    }
}

fn invalid(_: Malformed) -> Refusal {
    Refusal::new(RefusalCode::Invalid, "not a question known here")
}

/// Nothing was done.
fn unlike() -> Refusal {
    Refusal::new(RefusalCode::Invalid, "this request is of no clinic here: another configuration?")
}
