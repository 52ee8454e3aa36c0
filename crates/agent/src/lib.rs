//! What every node runs towards the control plane: join once, say that it is there, keep the newest node list.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use locum_cluster::{Load, NodeList, SignedNodeList};
use locum_identity::{Jwks, NodeId, RegionId, Role, Zone};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What an agent needs to know.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The network.
    pub zone: Zone,
    /// Where this node runs.
    pub region: RegionId,
    /// What it does.
    pub role: Role,
    /// The control plane's mesh address.
    pub control: SocketAddr,
    /// Holds the one-time join token; needed only while there is no certificate in `state_dir`.
    pub join_token_file: Option<PathBuf>,
    /// Where key, certificate and the last node list are kept.
    pub state_dir: PathBuf,
}

/// What a node tells of itself for as long as it runs.
#[derive(Clone, Debug, Default)]
pub struct Announcement {
    /// Its public URLs, best first.
    pub addresses: Vec<String>,
    /// Edges: the keys with which it signs tokens.
    pub jwks: Option<Jwks>,
}

/// The newest node list, as data and as clients get it.
#[derive(Clone, Debug)]
pub struct NodeListView {
    /// Verified.
    pub list: NodeList,
    /// The same, signed.
    pub signed: SignedNodeList,
}

/// A node could not join or start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Told to stop before it was ready.
    #[error("stopped before the control plane answered")]
    Stopped,
}

/// Stands between a node and the control plane.
#[derive(Clone, Debug)]
pub struct Agent {
    node: NodeId,
    list: watch::Receiver<Arc<NodeListView>>,
    load: Arc<watch::Sender<(Load, bool)>>,
}

impl Agent {
    /// Joins if it must, then keeps this node known to the control plane until `stop`.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn start(
        _config: AgentConfig,
        _announcement: Announcement,
        _stop: CancellationToken,
    ) -> Result<Agent, AgentError> {
        Err(AgentError::Stopped)
    }

    /// This node's name, as its certificate says it.
    pub fn node_id(&self) -> &NodeId {
        &self.node
    }

    /// The newest node list, now and whenever it changes.
    pub fn list(&self) -> watch::Receiver<Arc<NodeListView>> {
        self.list.clone()
    }

    /// What the next heartbeats say of this node's load.
    pub fn set_load(&self, load: Load) {
        self.load.send_modify(|said| said.0 = load);
    }

    /// From now on heartbeats say that this node wants nobody new.
    pub fn set_draining(&self) {
        self.load.send_modify(|said| said.1 = true);
    }
}
