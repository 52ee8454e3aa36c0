//! This host's place in the network: its token key, its public names, the newest node list.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use locum_agent::{Agent, AgentConfig, AgentError, Announcement, Mesh, MeshListen, NodeListView};
use locum_cluster::operate::Ordered;
use locum_cluster::{Load, NodeList, NodeState};
use locum_identity::{Jwks, NodeId, RegionId, Role, SigningKey};
use locum_mesh::{Peer, PeerName, Tunnel};
use locum_replication::{GroupReport, GroupView};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::{ControlConfig, EdgeConfig};
use crate::media_nodes::{MediaNode, MediaNodes};
use crate::mesh::{AskError, Peers};

/// Name of a host that joined nothing.
const ALONE: &str = "edge-alone";
const LOAD_INTERVAL: Duration = Duration::from_secs(1);

/// Web origins of the network, as browsers write them.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    /// Where the pages come from.
    pub(crate) pages: String,
    /// This host's API.
    pub(crate) api: String,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// The zone they are in.
    pub(crate) zone: String,
}

/// What the host knows of the network.
pub(crate) struct Network {
    /// Public names.
    pub(crate) origins: Origins,
    region: RegionId,
    token_key: SigningKey,
    /// Set once joined.
    agent: OnceLock<Agent>,
}

/// `/.well-known/locum.json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Discovery<'a> {
    zone: &'a str,
    region: &'a RegionId,
    clinics: Vec<&'a str>,
    apis: Vec<String>,
    /// Best first for people of this host's region; also while the control plane is away.
    media_nodes: Vec<MediaNode<'a>>,
    node_list: Option<String>,
    node_list_version: u64,
}

impl Origins {
    /// Names for a host that clients reach at `port`.
    pub(crate) fn new(config: &EdgeConfig, port: u16) -> Self {
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        // A browser leaves out the scheme's own port.
        let port = match (scheme, port) {
            ("http", 80) | ("https", 443) => String::new(),
            _ => format!(":{port}"),
        };
        let zone = config.zone.as_str();
        Self {
            pages: format!("{scheme}://app.{zone}{port}"),
            api: format!("{scheme}://{}.{zone}{port}", config.region),
            scheme,
            zone: zone.to_owned(),
        }
    }
}

impl Origins {
    /// The pages' origin of the host whose API is at `api`, which must be in our zone.
    fn pages_beside(&self, api: &str) -> Option<String> {
        let (host, port) = api.strip_prefix(self.scheme)?.strip_prefix("://")?.split_once(&self.zone)?;
        let label = host.strip_suffix('.')?;
        let is_port = port.strip_prefix(':').is_none_or(|port| port.parse::<u16>().is_ok());
        let in_zone = !label.contains(['.', '/', '@', ':']) && (port.is_empty() || port.starts_with(':'));
        (in_zone && is_port).then(|| format!("{}://app.{}{port}", self.scheme, self.zone))
    }
}

impl Network {
    /// A host that has not joined yet.
    pub(crate) fn new(origins: Origins, region: RegionId, token_key: SigningKey) -> Self {
        Self { origins, region, token_key, agent: OnceLock::new() }
    }

    /// Joins the control plane and announces this host. It must serve already.
    pub(crate) async fn join(
        self: &Arc<Self>,
        config: &EdgeConfig,
        control: &ControlConfig,
        stop: CancellationToken,
    ) -> Result<(), AgentError> {
        let agent_config = AgentConfig {
            zone: config.zone.clone(),
            region: self.region.clone(),
            role: Role::Edge,
            control: control.address.all(),
            from: control.address.all().first().and_then(|first| config.calls_from(*first)),
            join_token_file: control.join_token_file.clone(),
            state_dir: config.state_dir.clone(),
            mesh: config
                .mesh_listen
                .map(|address| MeshListen { address, announce: config.mesh_announce_ips.clone() }),
        };
        let announcement = Announcement {
            addresses: vec![self.origins.api.clone()],
            jwks: Some(self.jwks()),
            public: config.public_ips(),
            probe: None,
        };
        let agent = Agent::start(agent_config, announcement, stop).await?;
        // Joined once a process; a second call would be the same agent.
        let _ = self.agent.set(agent);
        Ok(())
    }

    /// Tells the control plane how busy this host is, until `stop`.
    pub(crate) async fn report_load(&self, load: impl Fn() -> Load, stop: CancellationToken) {
        while tokio::time::timeout(LOAD_INTERVAL, stop.cancelled()).await.is_err() {
            if let Some(agent) = self.agent.get() {
                agent.set_load(load());
            }
        }
        if let Some(agent) = self.agent.get() {
            agent.set_draining();
        }
    }

    /// This host's end of the mesh, once joined.
    pub(crate) fn mesh(&self) -> Option<Arc<Mesh>> {
        self.agent.get().map(|agent| Arc::clone(agent.mesh()))
    }

    /// Where this host is.
    pub(crate) fn region(&self) -> &RegionId {
        &self.region
    }

    /// This node's id: issuer of its join tokens.
    pub(crate) fn node_id(&self) -> &str {
        self.agent.get().map_or(ALONE, |agent| agent.node_id().as_str())
    }

    /// The same, once joined.
    pub(crate) fn node(&self) -> Option<&NodeId> {
        self.agent.get().map(Agent::node_id)
    }

    /// What people ordered lately, oldest first.
    pub(crate) fn ordered(&self) -> Vec<Ordered> {
        self.agent.get().map(Agent::ordered).unwrap_or_default()
    }

    /// Public keys of its join tokens.
    fn jwks(&self) -> Jwks {
        self.token_key.jwks()
    }

    /// Public keys of every edge host that the node list names, its own first: whoever reads a signature may have
    /// got it from any of them.
    pub(crate) fn all_jwks(&self) -> Jwks {
        let Jwks { mut keys } = self.jwks();
        let others = self.view().map(|view| view.list.token_keys()).unwrap_or_default();
        for key in others.keys {
            if keys.iter().all(|known| known.kid != key.kid) {
                keys.push(key);
            }
        }
        Jwks { keys }
    }

    /// Id of the key that signs its join tokens.
    pub(crate) fn token_key_id(&self) -> &str {
        self.token_key.kid()
    }

    /// The media nodes, as functions are told of them: [`MediaNodes`] in JSON.
    pub(crate) fn media_nodes(&self) -> String {
        let view = self.view();
        let nodes = view.as_ref().map(|view| MediaNodes::of(&view.list, &self.region)).unwrap_or_default();
        serde_json::to_string(&nodes).unwrap_or_default()
    }

    /// Whether another host of the network serves the pages from this origin: on one machine, each does from
    /// a port of its own.
    pub(crate) fn serves_pages_at(&self, origin: &[u8]) -> bool {
        let Some(view) = self.view() else { return false };
        let edges = view.list.nodes.iter().filter(|node| node.role == Role::Edge);
        let mut apis = edges.flat_map(|node| &node.addresses);
        apis.any(|api| self.origins.pages_beside(api).is_some_and(|pages| pages.as_bytes() == origin))
    }

    /// What clients need to find their way.
    pub(crate) fn discovery<'a>(&'a self, clinics: impl Iterator<Item = &'a str>) -> Vec<u8> {
        let view = self.view();
        let mut apis = vec![self.origins.api.clone()];
        for node in view.iter().flat_map(|view| &view.list.nodes) {
            if node.role == Role::Edge && node.state == NodeState::Up {
                apis.extend(node.addresses.iter().filter(|url| **url != self.origins.api).cloned());
            }
        }
        let discovery = Discovery {
            zone: &self.origins.zone,
            region: &self.region,
            clinics: clinics.collect(),
            apis,
            media_nodes: view
                .as_ref()
                .map(|view| MediaNodes::of(&view.list, &self.region).offered())
                .unwrap_or_default(),
            node_list: view.as_ref().map(|view| view.signed.as_str().to_owned()),
            node_list_version: view.as_ref().map_or(0, |view| view.list.version),
        };
        serde_json::to_vec(&discovery).unwrap_or_default()
    }

    /// Tells the control plane where this host's record groups stand.
    pub(crate) async fn report_records(&self, reports: Vec<GroupReport>) -> io::Result<Vec<GroupView>> {
        let agent = self.agent.get().ok_or(io::ErrorKind::NotConnected)?;
        agent.records(reports).await.map_err(io::Error::other)
    }

    /// Opens a stream to another edge host.
    pub(crate) async fn tunnel(
        &self,
        node: &NodeId,
        question: &[u8],
        within: Duration,
    ) -> Result<Tunnel, AskError> {
        let (mesh, peers) = self.peers(node).ok_or_else(|| AskError::Unknown(node.clone()))?;
        let opened = mesh.client().tunnel_any(&peers, question, within).await;
        opened.map_err(|source| AskError::Request { node: node.clone(), source })
    }

    /// Each of its addresses leads to the same host.
    fn peers(&self, node: &NodeId) -> Option<(Arc<Mesh>, Vec<Peer>)> {
        let addresses = mesh_addresses(&self.view()?.list, node)?;
        let peer = |address| Peer { address, name: PeerName::Node(node.clone()) };
        Some((self.mesh()?, addresses.into_iter().map(peer).collect()))
    }

    fn view(&self) -> Option<Arc<NodeListView>> {
        self.agent.get().map(|agent| Arc::clone(&agent.list().borrow()))
    }
}

impl Peers for Network {
    fn ask<'a>(
        &'a self,
        node: &'a NodeId,
        question: &'a [u8],
        within: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, AskError>> {
        Box::pin(async move {
            let (mesh, peers) = self.peers(node).ok_or_else(|| AskError::Unknown(node.clone()))?;
            let asked = mesh.client().request_any(&peers, question, within).await;
            asked.map_err(|source| AskError::Request { node: node.clone(), source })
        })
    }

    fn elsewhere(&self) -> Vec<NodeId> {
        let Some(view) = self.view() else { return Vec::new() };
        let nodes = view.list.nodes.iter();
        let others = nodes.filter(|node| node.role == Role::Edge && node.region != self.region);
        others.filter(|node| node.state != NodeState::Down).map(|node| node.id.clone()).collect()
    }

    fn edge_hosts(&self) -> Vec<NodeId> {
        let Some(view) = self.view() else { return Vec::new() };
        let nodes = view.list.nodes.iter().filter(|node| node.role == Role::Edge);
        nodes.filter(|node| node.id.as_str() != self.node_id()).map(|node| node.id.clone()).collect()
    }
}

fn mesh_addresses(list: &NodeList, node: &NodeId) -> Option<Vec<SocketAddr>> {
    let known = list.nodes.iter().find(|known| known.id == *node && known.role == Role::Edge)?;
    (!known.mesh.is_empty()).then(|| known.mesh.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_hosts_are_those_of_our_zone() {
        let origins = Origins {
            pages: "http://app.locum.localhost:8080".to_owned(),
            api: "http://us-west.locum.localhost:8080".to_owned(),
            scheme: "http",
            zone: "locum.localhost".to_owned(),
        };
        let pages = |api: &str| origins.pages_beside(api);
        let east = Some("http://app.locum.localhost:8081".to_owned());
        assert_eq!(pages("http://us-east.locum.localhost:8081"), east);
        assert_eq!(pages("http://us-east.locum.localhost").as_deref(), Some("http://app.locum.localhost"));
        for foreign in [
            "https://us-east.locum.localhost:8081",
            "http://evil.example/.locum.localhost:8081",
            "http://us-east.locum.localhost.evil.example:8081",
            "http://us-east.locum.localhost:8081.evil.example",
            "http://us-eastlocum.localhost:8081",
            "http://locum.localhost:8081",
            "http://a.b.locum.localhost",
            "",
        ] {
            assert_eq!(pages(foreign), None, "{foreign}");
        }
    }
}
