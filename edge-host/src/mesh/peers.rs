//! Other edge hosts, as this one reaches them.

use std::time::Duration;

use futures_util::future::BoxFuture;
use locum_identity::NodeId;
use locum_mesh::{RefusalCode, RequestError};

/// A question got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The node list knows no mesh address of it.
    #[error("{0} is not to be found")]
    Unknown(NodeId),
    /// On the mesh.
    #[error("ask {node}")]
    Request {
        /// Whom.
        node: NodeId,
        /// Why not.
        #[source]
        source: RequestError,
    },
}

/// Where questions go.
pub(crate) trait Peers: Send + Sync {
    /// Asks a node, by name; nobody else may answer.
    fn ask<'a>(
        &'a self,
        node: &'a NodeId,
        question: &'a [u8],
        within: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, AskError>>;

    /// Edge hosts of other regions that answer, in the order in which to ask them to keep something.
    fn elsewhere(&self) -> Vec<NodeId>;

    /// All other edge hosts that belong to the network, whether they answer or not.
    fn edge_hosts(&self) -> Vec<NodeId> {
        self.elsewhere()
    }
}

impl AskError {
    /// Whether the other host has too much to do.
    pub(crate) fn is_overload(&self) -> bool {
        let Self::Request { source: RequestError::Refused { refusal, .. }, .. } = self else { return false };
        refusal.code == RefusalCode::Busy
    }

    /// Whether the question may have been carried out.
    pub(crate) fn may_have_been_carried_out(&self) -> bool {
        use RefusalCode::{Busy, Deadline, Denied, Internal, Invalid, TooLarge};
        match self {
            Self::Unknown(_) => false,
            Self::Request { source, .. } => match source {
                RequestError::Nowhere | RequestError::Connect { .. } | RequestError::TooLarge { .. } => false,
                RequestError::Deadline { .. } | RequestError::Lost { .. } => true,
                RequestError::Refused { refusal, .. } => match refusal.code {
                    Deadline | Internal => true,
                    Busy | Denied | Invalid | TooLarge => false,
                },
            },
        }
    }
}
