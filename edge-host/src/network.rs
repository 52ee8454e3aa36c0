//! This host's place in the network: its token key, its public names, the newest node list.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use locum_agent::{Agent, AgentConfig, AgentError, Announcement, NodeListView};
use locum_cluster::{Load, NodeState, ranked_media};
use locum_identity::{Jwks, RegionId, Role, SigningKey};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::{ControlConfig, EdgeConfig};

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
            join_token_file: control.join_token_file.clone(),
            state_dir: config.state_dir.clone(),
        };
        let announcement =
            Announcement { addresses: vec![self.origins.api.clone()], jwks: Some(self.jwks()) };
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

    /// This node's id: issuer of its join tokens.
    pub(crate) fn node_id(&self) -> &str {
        self.agent.get().map_or(ALONE, |agent| agent.node_id().as_str())
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

    fn view(&self) -> Option<Arc<NodeListView>> {
        self.agent.get().map(|agent| Arc::clone(&agent.list().borrow()))
    }
}
