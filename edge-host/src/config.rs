//! `edge.toml`: everything an operator can set on an edge host.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use locum_agent::Addresses;
use locum_identity::{RegionId, Zone};
use locum_telemetry::config::{ConfigError, invalid, load, resolve};
use serde::Deserialize;

use crate::backup::BackupConfig;
use crate::clinic::Clinics;
use crate::security_feed::SecurityFeedConfig;
use crate::sending::MessagesConfig;

/// Longest file that a variable's value stands in.
const MAX_VARIABLE_BYTES: u64 = 4 << 10;

/// One edge host's configuration. Paths are as seen from the file's folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeConfig {
    /// DNS zone of the network.
    pub zone: Zone,
    /// Region this host stands in; its API is `<region>.<zone>`.
    pub region: RegionId,
    /// The host's own folder (0700): records, keys, certificate, compiled functions.
    pub state_dir: PathBuf,
    /// Compiled functions, which several hosts of one user may share [default: `cache` in `state_dir`]. Whoever
    /// can write here can run code in this host: nobody but its user may.
    pub cache_dir: Option<PathBuf>,
    /// Written once ready, with the process id and the addresses.
    pub ready_file: Option<PathBuf>,
    /// `/livez`, `/readyz`, `/metrics`.
    pub telemetry_listen: SocketAddr,
    /// Longest wait for running requests when told to stop.
    #[serde(default = "default_drain_grace_ms")]
    pub drain_grace_ms: u64,
    /// The application: a Spin manifest, version 2.
    pub manifest: PathBuf,
    /// Pages and API: an address, or several. Port 0 after the first one is the port of the first.
    pub http_listen: Addresses,
    /// Port that clients see; default the bound one.
    pub public_port: Option<u16>,
    /// 32 random bytes in hexadecimal (0600) that wrap the record groups' keys.
    pub store_key_file: PathBuf,
    /// HTTPS instead of HTTP.
    pub tls: Option<locum_tls::Files>,
    /// The control plane to join. Without it the host runs alone and knows no media nodes.
    pub control: Option<ControlConfig>,
    /// Where other edge hosts call this one (UDP), and, where it names one address, where this host calls from;
    /// needed with `control`.
    pub mesh_listen: Option<SocketAddr>,
    /// The addresses they are told, best first, one for each link of this machine; default that of `mesh_listen`.
    #[serde(default)]
    pub mesh_announce_ips: Vec<IpAddr>,
    /// The addresses by which people reach this host, one for each link of this machine: for the names that lead to
    /// it, and for those who look whether it is there; default those that `http_listen` names.
    #[serde(default)]
    public_ips: Vec<IpAddr>,
    /// Copies of the records in other regions. Without it this host's file is the only copy.
    pub replication: Option<ReplicationConfig>,
    /// How schemas change.
    #[serde(default)]
    pub migrations: MigrationConfig,
    /// Where backups go, and when. Without it there are none.
    pub backup: Option<BackupConfig>,
    /// Where security events go. Without it they stand in the audit log only.
    pub security_feed: Option<SecurityFeedConfig>,
    /// How messages to people outside are sent. Without it they wait.
    pub messages: Option<MessagesConfig>,
    /// Where addresses are: a file in MaxMind's format, of countries or cities. Without it nobody is asked for a second
    /// factor because they come from a new country.
    pub geography_file: Option<PathBuf>,
    /// Passwords known from breaches, as `locum breached-passwords` makes it. Without it only the most frequent ones are
    /// refused.
    pub breached_passwords_file: Option<PathBuf>,
    /// Clinic → record group.
    #[serde(default)]
    pub clinics: Clinics,
    /// Values for the manifest's variables.
    #[serde(default)]
    pub variables: BTreeMap<String, Secret>,
    /// Values that stand in files of their own, such as keys of other services: without the line break at their end.
    #[serde(default)]
    pub variable_files: BTreeMap<String, PathBuf>,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
}

/// What a host needs to take part in record replication; who leads is the control plane's to say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicationConfig {
    /// The `sqld` binary.
    pub engine: PathBuf,
}

/// How schemas change while hosts are upgraded.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MigrationConfig {
    /// How long every host of a record group has run a release that knows a contract before it runs: so long people can
    /// go back to the release before.
    pub contract_after_s: u64,
}

/// Where and how to join.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlConfig {
    /// A member of the control plane, or several: `["127.0.1.3:4443", …]`, the nearest first. One is enough to find the
    /// others.
    pub address: Addresses,
    /// One-time token; needed only until the node has its certificate.
    pub join_token_file: Option<PathBuf>,
}

/// Bounds of one host. Over one of them a request gets a clear error; nothing queues without end.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Functions that run at once.
    pub concurrent_calls: u32,
    /// Requests that wait for one of these places.
    pub queued_calls: u32,
    /// Longest wait for a free place.
    pub queue_wait_ms: u64,
    /// Longest run of a function.
    pub deadline_ms: u64,
    /// Linear memory of one function call.
    pub memory_mib: u32,
    /// Linear memory of all calls together.
    pub total_memory_mib: u32,
    /// Request body.
    pub body_bytes: u32,
    /// Answer body.
    pub answer_bytes: u32,
    /// Longest time for a request's head, and for its body.
    pub read_timeout_ms: u64,
    /// Connections at once.
    pub connections: u32,
    /// Longest time from a request's first write to its commit.
    pub transaction_hold_ms: u64,
    /// Longest wait for the record group's writer.
    pub transaction_wait_ms: u64,
    /// Disk space kept free for audit events, for each record group.
    pub audit_reserve_mib: u32,
    /// How long events of reading are kept: six years, unless more is asked for (45 CFR 164.316(b)(2)(i)). What no
    /// other region has had stays longer.
    pub audit_keep_days: u32,
}

/// A value that must not be printed.
#[derive(Clone, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub struct Secret(String);

impl EdgeConfig {
    /// Reads the file and makes its paths absolute or relative to the working folder.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = load(path)?;
        let from_file = |own: &mut PathBuf| *own = resolve(path, own);
        from_file(&mut config.state_dir);
        config.cache_dir.as_mut().map(from_file);
        from_file(&mut config.manifest);
        from_file(&mut config.store_key_file);
        config.ready_file.as_mut().map(from_file);
        config.geography_file.as_mut().map(from_file);
        config.breached_passwords_file.as_mut().map(from_file);
        config.variable_files.values_mut().for_each(from_file);
        if let Some(tls) = &mut config.tls {
            from_file(&mut tls.certificate);
            from_file(&mut tls.key);
        }
        if let Some(replication) = &mut config.replication {
            from_file(&mut replication.engine);
        }
        if let Some(control) = &mut config.control {
            control.join_token_file.as_mut().map(from_file);
        }
        if let Some(feed) = &mut config.security_feed {
            let syslog = feed.syslog.as_mut().and_then(|syslog| syslog.ca_file.as_mut());
            [feed.file.as_mut(), feed.geography_file.as_mut(), syslog]
                .into_iter()
                .flatten()
                .for_each(from_file);
        }
        if let Some(messages) = &mut config.messages {
            messages.resolve(path);
        }
        if let Some(backup) = &mut config.backup {
            backup.resolve(path);
            backup.schedule().map_err(|(key, problem)| invalid(path, key, problem))?;
        }
        config.read_variables().map_err(|problem| invalid(path, "variable_files", problem))?;
        config.limits.check().map_err(|problem| invalid(path, "limits", problem))?;
        config.check_mesh().map_err(|(key, problem)| invalid(path, key, problem))?;
        Ok(config)
    }

    fn read_variables(&mut self) -> Result<(), String> {
        for (name, file) in &self.variable_files {
            let wrong = |problem: String| format!("`{name}`: {problem}");
            let shown = file.display();
            let length = std::fs::metadata(file).map_err(|error| wrong(format!("{shown}: {error}")))?.len();
            if length > MAX_VARIABLE_BYTES {
                return Err(wrong(format!("{shown} is longer than {MAX_VARIABLE_BYTES} bytes")));
            }
            let text = std::fs::read_to_string(file).map_err(|error| wrong(format!("{shown}: {error}")))?;
            let value = text.trim_end_matches(['\r', '\n']);
            if value.is_empty() {
                return Err(wrong(format!("{shown} is empty")));
            }
            if self.variables.insert(name.clone(), Secret::new(value)).is_some() {
                return Err(wrong("stands in `[variables]` too".to_owned()));
            }
        }
        Ok(())
    }

    /// The key that is wrong, and why.
    fn check_mesh(&self) -> Result<(), (&'static str, &'static str)> {
        match (&self.control, self.mesh_listen) {
            (Some(_), None) => Err(("mesh_listen", "needed with `[control]`: other hosts call this one")),
            (None, Some(_)) => Err(("mesh_listen", "of no use without `[control]`")),
            (Some(_), Some(listen)) if listen.ip().is_unspecified() && self.mesh_announce_ips.is_empty() => {
                Err(("mesh_announce_ips", "`mesh_listen` is no address others could call"))
            }
            _ if self.mesh_announce_ips.iter().any(IpAddr::is_unspecified) => {
                Err(("mesh_announce_ips", "names no address others could call"))
            }
            _ if self.public_ips.iter().any(IpAddr::is_unspecified) => {
                Err(("public_ips", "names no address people could call"))
            }
            _ => Ok(()),
        }
    }

    /// Where people reach this host; none: its names say so.
    pub(crate) fn public_ips(&self) -> Vec<IpAddr> {
        if !self.public_ips.is_empty() {
            return self.public_ips.clone();
        }
        let listens = self.http_listen.all().into_iter().map(|address| address.ip());
        listens.filter(|own| !own.is_unspecified()).collect()
    }

    /// One address for both directions, so that a firewall between members can name it.
    pub(crate) fn calls_from(&self, peer: SocketAddr) -> Option<IpAddr> {
        let own = self.mesh_listen?.ip();
        (!own.is_unspecified() && own.is_ipv4() == peer.is_ipv4()).then_some(own)
    }

    /// Longest wait for running requests when told to stop.
    pub fn drain_grace(&self) -> Duration {
        Duration::from_millis(self.drain_grace_ms)
    }
}

impl Limits {
    /// Longest run of a function.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    /// Linear memory of one call, in bytes.
    pub fn memory_bytes(&self) -> usize {
        (self.memory_mib as usize) << 20
    }

    /// Linear memory of all calls together, in bytes.
    pub fn total_memory_bytes(&self) -> usize {
        (self.total_memory_mib as usize) << 20
    }

    /// Longest time for a request's head, and for its body.
    pub fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms)
    }

    /// Longest wait for a free place.
    pub fn queue_wait(&self) -> Duration {
        Duration::from_millis(self.queue_wait_ms)
    }

    /// The upper ends are the network's own (architecture: a request 1 MiB, a function 10 s and 128 MiB, a
    /// queue 1,024).
    fn check(&self) -> Result<(), String> {
        let bounds = [
            ("concurrent_calls", u64::from(self.concurrent_calls), 512),
            ("queued_calls", u64::from(self.queued_calls), 1_024),
            ("queue_wait_ms", self.queue_wait_ms, 10_000),
            ("deadline_ms", self.deadline_ms, 10_000),
            ("memory_mib", u64::from(self.memory_mib), 128),
            ("total_memory_mib", u64::from(self.total_memory_mib), 1 << 20),
            ("body_bytes", u64::from(self.body_bytes), 1 << 20),
            ("answer_bytes", u64::from(self.answer_bytes), 4 << 20),
            ("read_timeout_ms", self.read_timeout_ms, 60_000),
            ("connections", u64::from(self.connections), 16_384),
            ("transaction_hold_ms", self.transaction_hold_ms, 2_000),
            ("transaction_wait_ms", self.transaction_wait_ms, 10_000),
            ("audit_reserve_mib", u64::from(self.audit_reserve_mib), 65_536),
            ("audit_keep_days", u64::from(self.audit_keep_days), 36_525),
        ];
        match bounds.iter().find(|(_, value, most)| value > most || *value == 0) {
            Some((key, _, most)) => Err(format!("`{key}` is between 1 and {most}")),
            None => Ok(()),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_calls: 64,
            queued_calls: 256,
            queue_wait_ms: 2_000,
            deadline_ms: 10_000,
            memory_mib: 128,
            total_memory_mib: 1_024,
            body_bytes: 1 << 20,
            answer_bytes: 4 << 20,
            read_timeout_ms: 10_000,
            connections: 1_024,
            transaction_hold_ms: 2_000,
            transaction_wait_ms: 5_000,
            audit_reserve_mib: 256,
            // Six years, two of them leap years.
            audit_keep_days: 6 * 365 + 2,
        }
    }
}

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl MigrationConfig {
    /// How long every host has known a contract before it runs.
    pub fn contract_after(&self) -> Duration {
        Duration::from_secs(self.contract_after_s)
    }
}

impl Default for MigrationConfig {
    fn default() -> Self {
        Self { contract_after_s: 24 * 3_600 }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

fn default_drain_grace_ms() -> u64 {
    5_000
}
