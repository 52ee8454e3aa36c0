//! This host's place in the network: its token key, its public names, the newest node list.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use locum_agent::{Agent, AgentConfig, AgentError, Announcement, Mesh, MeshListen, NodeListView};
use locum_cluster::{Load, NodeList, NodeState, ranked_media};
use locum_identity::{Jwks, NodeId, RegionId, Role, SigningKey};
use locum_mesh::{Peer, PeerName, Tunnel};
use locum_replication::{GroupReport, GroupView};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::{ControlConfig, EdgeConfig};
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
    node_list: Option<String>,
    node_list_version: u64,
}

#[derive(Serialize)]
struct MediaNode<'a> {
    id: &'a str,
    region: &'a str,
    url: &'a str,
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
            control: control.address,
            from: config.calls_from(control.address),
            join_token_file: control.join_token_file.clone(),
            state_dir: config.state_dir.clone(),
            mesh: config.mesh_listen.map(|address| MeshListen { address, announce: config.mesh_announce_ip }),
        };
        let announcement = Announcement {
            addresses: vec![self.origins.api.clone()],
            public: config.public_addresses(),
            jwks: Some(self.jwks()),
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

    /// Public keys of its join tokens.
    pub(crate) fn jwks(&self) -> Jwks {
        self.token_key.jwks()
    }

    /// Id of the key that signs its join tokens.
    pub(crate) fn token_key_id(&self) -> &str {
        self.token_key.kid()
    }

    /// The media nodes to offer, best first, as JSON `[{"id","region","url"}]`.
    pub(crate) fn media_nodes(&self) -> String {
        let Some(view) = self.view() else { return "[]".to_owned() };
        let nodes: Vec<_> = ranked_media(&view.list, &self.region)
            .into_iter()
            .filter_map(|node| {
                let url = node.addresses.first()?;
                Some(MediaNode { id: node.id.as_str(), region: node.region.as_str(), url })
            })
            .collect();
        serde_json::to_string(&nodes).unwrap_or_else(|_| "[]".to_owned())
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
        let (mesh, peer) = self.peer(node).ok_or_else(|| AskError::Unknown(node.clone()))?;
        let opened = mesh.client().tunnel(&peer, question, within).await;
        opened.map_err(|source| AskError::Request { node: node.clone(), source })
    }

    fn peer(&self, node: &NodeId) -> Option<(Arc<Mesh>, Peer)> {
        let address = mesh_address(&self.view()?.list, node)?;
        Some((self.mesh()?, Peer { address, name: PeerName::Node(node.clone()) }))
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
            let (mesh, peer) = self.peer(node).ok_or_else(|| AskError::Unknown(node.clone()))?;
            let asked = mesh.client().request(&peer, question, within).await;
            asked.map_err(|source| AskError::Request { node: node.clone(), source })
        })
    }

    fn elsewhere(&self) -> Vec<NodeId> {
        let Some(view) = self.view() else { return Vec::new() };
        let nodes = view.list.nodes.iter();
        let others = nodes.filter(|node| node.role == Role::Edge && node.region != self.region);
        others.filter(|node| node.state != NodeState::Down).map(|node| node.id.clone()).collect()
    }
}

fn mesh_address(list: &NodeList, node: &NodeId) -> Option<SocketAddr> {
    list.nodes.iter().find(|known| known.id == *node && known.role == Role::Edge)?.mesh
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
