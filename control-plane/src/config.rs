//! The configuration of a member.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use locum_cluster::protocol::MAX_GROUPS;
use locum_identity::{NodeId, NodeIdentity, RegionId, Role, Zone};
use locum_replication::{GroupConfig, GroupId};
use locum_telemetry::config::{ConfigError, invalid, load, resolve};
use serde::Deserialize;

use crate::dns::config::DnsConfig;

/// Regions of one group: each more is one more that must answer before a primary is replaced.
const MAX_VOTERS: usize = 9;

/// As in the file; see [`Config`] for the paths' meaning.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// DNS zone of the network.
    pub(crate) zone: Zone,
    /// Where this member runs.
    pub(crate) region: RegionId,
    /// This member's name.
    #[serde(default = "default_node")]
    pub(crate) node: String,
    /// Keys, certificates, membership; made with mode 0700. Relative to the configuration file, like every
    /// path.
    pub(crate) state_dir: PathBuf,
    /// Written once ready.
    pub(crate) ready_file: Option<PathBuf>,
    /// `/livez`, `/readyz`, `/metrics`.
    pub(crate) telemetry_listen: SocketAddr,
    /// QUIC: joins, heartbeats, reports on record groups, and what members say to each other. Calls to other members
    /// come from its address too.
    pub(crate) mesh_listen: SocketAddr,
    /// The address others reach it at, when that is not the one of `mesh_listen`.
    pub(crate) mesh_announce_ip: Option<IpAddr>,
    /// Only for a member that joins others: without it a member that is new begins a network of its own.
    pub(crate) join: Option<JoinConfig>,
    /// The address of this machine that nodes are probed from, as people would reach them; the system's choice if
    /// not given.
    pub(crate) probe_from: Option<IpAddr>,
    /// Certificates (PEM) that are believed under nodes' public names, besides those the system believes.
    pub(crate) probe_trust: Option<PathBuf>,
    /// The record groups that are replicated, and the regions that may hold each: `[groups.main]`, `regions =
    /// ["us-west", "us-east", "eu-central"]`, preferred ones first. Once a group has begun its regions stay. `single_copy = true`: see [`GroupConfig`].
    #[serde(default)]
    pub(crate) groups: BTreeMap<GroupId, GroupConfig>,
    /// The zone's name server; without it this member answers no DNS.
    pub(crate) dns: Option<DnsConfig>,
    /// How long what was asked may take to finish at the end.
    #[serde(default = "default_drain_grace_ms")]
    drain_grace_ms: u64,
}

/// Whom a new member joins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinConfig {
    /// Mesh addresses of members there are.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The one-time token, made at one of them by `locum member add`; needed until this member has its seat.
    pub(crate) join_token_file: PathBuf,
}

impl Config {
    /// Reads and checks.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = load(path)?;
        if config.node.parse::<NodeId>().is_err() {
            return Err(invalid(path, "node", "must be one DNS label"));
        }
        config.check_groups(path)?;
        config.state_dir = resolve(path, &config.state_dir);
        config.ready_file = config.ready_file.map(|file| resolve(path, &file));
        if let Some(join) = &mut config.join {
            if join.addresses.is_empty() {
                return Err(invalid(path, "join.addresses", "must name a member"));
            }
            join.join_token_file = resolve(path, &join.join_token_file);
        }
        if config.announced_ip().is_unspecified() {
            let problem = "`mesh_listen` is no address other members could call";
            // One member alone is called by nobody before it has told where it is.
            if config.join.is_some() {
                return Err(invalid(path, "mesh_announce_ip", problem));
            }
        }
        config.probe_trust = config.probe_trust.map(|file| resolve(path, &file));
        if let Some(dns) = &mut config.dns {
            dns.check(path, &config.zone, &config.state_dir)?;
        }
        Ok(config)
    }

    fn check_groups(&self, path: &Path) -> Result<(), ConfigError> {
        if self.groups.len() > MAX_GROUPS {
            return Err(invalid(path, "groups", format!("may name at most {MAX_GROUPS}")));
        }
        for (group, GroupConfig { regions, .. }) in &self.groups {
            let once = regions.iter().collect::<BTreeSet<_>>().len() == regions.len();
            if !once || !(1..=MAX_VOTERS).contains(&regions.len()) {
                let problem = format!("`{group}` needs 1 to {MAX_VOTERS} regions, each once");
                return Err(invalid(path, "groups", problem));
            }
        }
        Ok(())
    }

    /// One address for both directions, so that a firewall between members can name it.
    pub(crate) fn calls_from(&self) -> Option<IpAddr> {
        let own = self.mesh_listen.ip();
        (!own.is_unspecified()).then_some(own)
    }

    fn announced_ip(&self) -> IpAddr {
        self.mesh_announce_ip.unwrap_or(self.mesh_listen.ip())
    }

    pub(crate) fn identity(&self) -> Result<NodeIdentity, locum_identity::ParseIdError> {
        Ok(NodeIdentity {
            zone: self.zone.clone(),
            region: self.region.clone(),
            role: Role::Control,
            node: self.node.parse()?,
        })
    }

    pub(crate) fn drain_grace(&self) -> Duration {
        Duration::from_millis(self.drain_grace_ms)
    }
}

fn default_node() -> String {
    "control-1".to_owned()
}

fn default_drain_grace_ms() -> u64 {
    5_000
}
