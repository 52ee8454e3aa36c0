//! The configuration files of the processes: what a production host's would say, with loopback addresses.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::{Table, toml};

use super::ports::Ports;

/// The zone of a network on one machine. Browsers resolve it to loopback and treat it as a secure context.
pub(super) const ZONE: &str = "locum.localhost";
/// Its region.
pub(super) const REGION: &str = "eu-central";
/// Its clinic.
pub(super) const CLINIC: &str = "demo";

/// What the files are made from.
pub(super) struct Plan {
    /// Where processes listen.
    pub ports: Ports,
    /// The functions' manifest.
    pub manifest: PathBuf,
}

impl Plan {
    /// The control-plane member.
    pub(super) fn control(&self) -> Table {
        let mut table = common("control-1");
        table.insert("mesh_listen".into(), loopback(self.ports.mesh()).into());
        table
    }

    /// The media node, which joins at `control`.
    pub(super) fn media(&self, control: SocketAddr) -> Table {
        let mut table = common("media-1");
        table.insert("signal_listen".into(), loopback(self.ports.signal()).into());
        table.insert("media_listen".into(), loopback(self.ports.media()).into());
        table.insert("announce_host".into(), format!("media.{REGION}.{ZONE}").into());
        table.insert("control".into(), join(control, "media-1").into());
        table
    }

    /// The edge host, which joins at `control`.
    pub(super) fn edge(&self, control: SocketAddr, setup_token: &str) -> Table {
        let mut table = common("edge-1");
        let manifest = self.manifest.to_string_lossy().into_owned();
        table.insert("http_listen".into(), loopback(self.ports.http()).into());
        table.insert("manifest".into(), manifest.into());
        table.insert("store_key_file".into(), "edge-1.key".into());
        table.insert("control".into(), join(control, "edge-1").into());
        table.insert("clinics".into(), toml! { demo = "main" }.into());
        let mut variables = toml! { demo = "true" };
        variables.insert("setup_token".into(), setup_token.into());
        table.insert("variables".into(), variables.into());
        table
    }
}

fn common(name: &str) -> Table {
    let mut table = toml! { telemetry_listen = "127.0.0.1:0" };
    table.insert("zone".into(), ZONE.into());
    table.insert("region".into(), REGION.into());
    table.insert("state_dir".into(), name.into());
    table.insert("ready_file".into(), format!("run/{name}.json").into());
    table
}

fn join(control: SocketAddr, name: &str) -> Table {
    let mut table = Table::new();
    table.insert("address".into(), control.to_string().into());
    table.insert("join_token_file".into(), format!("{name}.join").into());
    table
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
