//! What every node runs towards the control plane: join once, say that it is there, keep the newest node
//! list.
//!
//! A node that has joined starts and runs without the control plane: it keeps its certificate and the last
//! list on disk.

mod backoff;
mod control;
mod heartbeat;
mod joining;
mod kept;
mod mesh;
mod records;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use locum_cluster::operate::Ordered;
use locum_cluster::probe::MediaProbe;
use locum_cluster::{Load, NodeList, NodeOrder, SignedNodeList};
use locum_identity::{CertificateError, Jwks, NodeId, NodeIdentity, RegionId, Role, VerifyError, Zone};
use locum_mesh::{MeshError, Refusal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::heartbeat::{Heart, Own};
use crate::kept::StateDir;

pub use crate::control::Addresses;
pub use crate::mesh::{Mesh, MeshListen};
pub use crate::records::RecordsError;

/// What an agent needs to know.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The network.
    pub zone: Zone,
    /// Where this node runs.
    pub region: RegionId,
    /// What it does.
    pub role: Role,
    /// Mesh addresses of members of the control plane, the nearest first.
    pub control: Vec<SocketAddr>,
    /// The address of this machine that calls come from; `None`: the system's choice.
    pub from: Option<IpAddr>,
    /// Holds the one-time join token; needed only while there is no certificate in `state_dir`.
    pub join_token_file: Option<PathBuf>,
    /// Where key, certificate and the last node list are kept.
    pub state_dir: PathBuf,
    /// Where other nodes call this one; `None`: nobody does.
    pub mesh: Option<MeshListen>,
}

/// What a node tells of itself for as long as it runs.
#[derive(Clone, Debug, Default)]
pub struct Announcement {
    /// Its public URLs, best first.
    pub addresses: Vec<String>,
    /// Edges: the keys with which it signs tokens.
    pub jwks: Option<Jwks>,
    /// Its own public addresses, one for each of its links.
    pub public: Vec<IpAddr>,
    /// Media nodes: how the control plane may try whether media gets through.
    pub probe: Option<MediaProbe>,
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
    /// Nobody to ask.
    #[error("no member of the control plane is configured: set `control.address`")]
    NoControl,
    /// Told to stop before it was ready.
    #[error("stopped before the control plane answered")]
    Stopped,
    /// Its own files.
    #[error("use {path}")]
    State {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No certificate (or none that is still valid), and no token to get one.
    #[error("this node has no valid certificate and no join token: set `control.join_token_file`")]
    NoToken,
    /// The token is no join token.
    #[error("read the join token in {path}")]
    Token {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: VerifyError,
    },
    /// Certificate or token are of another node than the configuration describes.
    #[error("configured as {role} in {region} of {zone}, but {what} is for {identity}")]
    OtherNode {
        /// The certificate or the token.
        what: &'static str,
        /// Whom it names.
        identity: Box<NodeIdentity>,
        /// As configured.
        zone: Zone,
        /// As configured.
        region: RegionId,
        /// As configured.
        role: Role,
    },
    /// The control plane says no.
    #[error("join the network")]
    Refused(#[source] Refusal),
    /// The control plane's answer cannot be used.
    #[error("read the answer to the join request")]
    Answer(#[source] serde_json::Error),
    /// Key or certificate.
    #[error("use the node's certificate")]
    Certificate(#[from] CertificateError),
    /// Sockets and TLS.
    #[error("set up the mesh")]
    Mesh(#[from] MeshError),
}

/// Stands between a node and the control plane. Its work goes on until the token given to [`Agent::start`] is
/// cancelled.
#[derive(Clone, Debug)]
pub struct Agent {
    node: NodeId,
    control: Arc<Control>,
    mesh: Arc<Mesh>,
    list: watch::Receiver<Arc<NodeListView>>,
    orders: watch::Receiver<NodeOrder>,
    ordered: watch::Receiver<Vec<Ordered>>,
    said: Arc<watch::Sender<Said>>,
}

/// What the next heartbeat says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Said {
    pub(crate) load: Load,
    pub(crate) draining: bool,
}

impl Agent {
    /// Joins if it must, then keeps this node known to the control plane until `stop`. Returns once there is
    /// a node list: the answer to the first heartbeat or, when the control plane does not answer soon, the
    /// list kept from last time. Waits for ever for a control plane that a first start needs.
    ///
    /// # Errors
    /// [`AgentError`]: what waiting would not mend.
    pub async fn start(
        config: AgentConfig,
        announcement: Announcement,
        stop: CancellationToken,
    ) -> Result<Agent, AgentError> {
        let reachable = *config.control.first().ok_or(AgentError::NoControl)?;
        let dir = StateDir::open(&config.state_dir)?;
        let kept = match dir.certificate()? {
            Some(kept) => kept,
            None => joining::join(&config, &dir, &stop).await?,
        };
        config.check("the certificate", kept.certificate.identity())?;
        let node = kept.certificate.identity().node.clone();
        let last = dir.list(&kept.trust.list_keys)?;
        let said = Arc::new(watch::Sender::new(Said::default()));
        let mesh = Arc::new(Mesh::open((config.from, reachable), config.mesh, &kept.credentials()?)?);
        let own = Own { announcement, mesh: mesh.clone(), dir, kept };
        let control = Arc::new(Control::new(config.control));
        if let Some(last) = &last {
            control.learn(&last.list);
        }
        let heart = Heart::new(control.clone(), own, said.subscribe(), stop.clone());
        let (orders, ordered) = (heart.orders(), heart.ordered());
        let list = heart.start(last).await?;
        Ok(Agent { node, control, mesh, list, orders, ordered, said })
    }

    /// This node's name, as its certificate says it.
    pub fn node_id(&self) -> &NodeId {
        &self.node
    }

    /// This node's end of the mesh. A node that listens is announced: run its server.
    pub fn mesh(&self) -> &Arc<Mesh> {
        &self.mesh
    }

    /// The newest node list, now and whenever it changes.
    pub fn list(&self) -> watch::Receiver<Arc<NodeListView>> {
        self.list.clone()
    }

    /// What the control plane told this node last, now and whenever it changes; after a restart, what it was told
    /// before.
    pub fn orders(&self) -> watch::Receiver<NodeOrder> {
        self.orders.clone()
    }

    /// What people ordered lately, oldest first: [`Ordered::MOST`] at most. Edges are told of it.
    pub fn ordered(&self) -> Vec<Ordered> {
        self.ordered.borrow().clone()
    }

    /// What the next heartbeats say of this node's load.
    pub fn set_load(&self, load: Load) {
        self.said.send_modify(|said| said.load = load);
    }

    /// From now on heartbeats say that this node wants nobody new; the first one goes at once.
    pub fn set_draining(&self) {
        self.said.send_modify(|said| said.draining = true);
    }
}

impl AgentConfig {
    fn check(&self, what: &'static str, identity: &NodeIdentity) -> Result<(), AgentError> {
        if identity.zone == self.zone && identity.region == self.region && identity.role == self.role {
            return Ok(());
        }
        Err(AgentError::OtherNode {
            what,
            identity: Box::new(identity.clone()),
            zone: self.zone.clone(),
            region: self.region.clone(),
            role: self.role,
        })
    }
}
