//! The node's configuration, read once.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use locum_agent::Addresses;
use locum_identity::{RegionId, Zone};
use locum_telemetry::config::{self, ConfigError};
use serde::Deserialize;

use crate::sandbox::Folders;

/// Each is a candidate that every client tries.
const MAX_ADDRESSES: usize = 8;

/// What stands in `media.toml`. Paths are relative to the file's folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// DNS zone of the network.
    pub zone: Zone,
    /// Region this node is in.
    pub region: RegionId,
    /// Where the node keeps what it must remember; created for its owner alone.
    pub state_dir: PathBuf,
    /// Written once the node is ready, with its addresses.
    pub ready_file: Option<PathBuf>,
    /// Health and metrics.
    #[serde(default = "any_loopback_port")]
    pub telemetry_listen: SocketAddr,
    /// How long the node waits for its clients to move elsewhere when told to stop. Those who have not after half of it,
    /// or 5 s, are sent.
    #[serde(default = "default_drain_grace_ms")]
    pub drain_grace_ms: u64,
    /// Signalling, HTTP and WebSocket, and media by TCP: an address, or several. Port 0 after the first one is the port
    /// of the first.
    pub signal_listen: Addresses,
    /// Media, UDP, all sessions: an address, or several, as above.
    pub media_listen: Addresses,
    /// HTTPS and WebSocket over TLS, and nothing in the clear but media, which is encrypted in itself.
    pub tls: Option<locum_tls::Files>,
    /// Host name clients reach the signalling by.
    pub announce_host: String,
    /// Addresses clients send media to, where they are others than those listened at (a NAT in front that keeps the
    /// ports); default: those of `media_listen`.
    #[serde(default)]
    pub announce_ips: Vec<IpAddr>,
    /// Participants of all rooms together. From 70 % on the node takes no new calls.
    #[serde(default = "default_capacity")]
    pub capacity: u32,
    /// Where other media nodes call this one (UDP), and, where it names one address, where this node calls from; needed
    /// with `control`.
    pub mesh_listen: Option<SocketAddr>,
    /// The addresses they are told, best first, one for each link of this machine; default that of `mesh_listen`.
    #[serde(default)]
    pub mesh_announce_ips: Vec<IpAddr>,
    /// The control plane. Without it, `jwks_file` says whom to believe.
    pub control: Option<Control>,
    /// Keys of the edge hosts, for a node that stands alone (RFC 7517 JWK set).
    pub jwks_file: Option<PathBuf>,
}

/// Where the control plane is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Mesh address of a member, or of several: `["127.0.1.3:4443", …]`, the nearest first. One is enough to find the
    /// others.
    pub address: Addresses,
    /// The address of this machine to call it from; default: the system's choice.
    pub from: Option<IpAddr>,
    /// One-time token; needed until the node has its certificate.
    pub join_token_file: Option<PathBuf>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names the file and the key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut read: Self = config::load(path)?;
        let resolve = |relative: &mut PathBuf| *relative = config::resolve(path, relative);
        resolve(&mut read.state_dir);
        read.ready_file.iter_mut().chain(&mut read.jwks_file).for_each(resolve);
        read.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]).for_each(resolve);
        read.control.iter_mut().filter_map(|control| control.join_token_file.as_mut()).for_each(resolve);

        match (&read.control, &read.jwks_file) {
            (Some(_), Some(_)) => Err(config::invalid(path, "jwks_file", "keys come from the control plane")),
            (None, None) => {
                Err(config::invalid(path, "control", "either `[control]` or `jwks_file` is needed"))
            }
            _ if read.announced_ips().iter().any(IpAddr::is_unspecified) => Err(config::invalid(
                path,
                "announce_ips",
                "`media_listen` is no address clients could send to",
            )),
            _ if [&read.signal_listen, &read.media_listen]
                .iter()
                .any(|all| all.all().len() > MAX_ADDRESSES) =>
            {
                Err(config::invalid(path, "media_listen", "too many addresses"))
            }
            _ if read.announce_ips.len() > MAX_ADDRESSES => {
                Err(config::invalid(path, "announce_ips", "too many addresses"))
            }
            (Some(_), None) if read.mesh_listen.is_none() => Err(config::invalid(
                path,
                "mesh_listen",
                "needed with `[control]`: other media nodes call this one",
            )),
            (None, Some(_)) if read.mesh_listen.is_some() => {
                Err(config::invalid(path, "mesh_listen", "of no use without `[control]`"))
            }
            _ if !read.mesh_can_be_called() => Err(config::invalid(
                path,
                "mesh_announce_ips",
                "`mesh_listen` is no address others could call",
            )),
            _ if read.capacity == 0 => Err(config::invalid(path, "capacity", "must be at least 1")),
            _ => Ok(read),
        }
    }

    fn mesh_can_be_called(&self) -> bool {
        let announced = &self.mesh_announce_ips;
        let is_anywhere = self.mesh_listen.is_some_and(|listen| listen.ip().is_unspecified());
        announced.iter().all(|ip| !ip.is_unspecified()) && !(is_anywhere && announced.is_empty())
    }

    /// Addresses clients send media to.
    #[must_use]
    pub fn announced_ips(&self) -> Vec<IpAddr> {
        if self.announce_ips.is_empty() {
            return self.media_listen.all().iter().map(SocketAddr::ip).collect();
        }
        self.announce_ips.clone()
    }

    /// Folders the node reads and writes once it has started; those it writes exist by then.
    #[must_use]
    pub fn folders(&self) -> Folders {
        let beside = |path: &PathBuf| path.parent().unwrap_or(Path::new("/")).to_owned();
        let tls = self.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
        let token = self.control.iter().filter_map(|control| control.join_token_file.as_ref());
        Folders {
            own: [self.state_dir.clone()].into_iter().chain(self.ready_file.as_ref().map(beside)).collect(),
            // Folders, not files: what is replaced is another file. A join token may be gone, with its folder, once
            // there is a certificate.
            read: tls.chain(&self.jwks_file).chain(token).map(beside).filter(|dir| dir.is_dir()).collect(),
        }
    }

    /// One address for both directions of the mesh, so that a firewall between members can name it.
    #[must_use]
    pub fn calls_from(&self, control: &Control) -> Option<IpAddr> {
        let (own, peer) = (self.mesh_listen?.ip(), *control.address.all().first()?);
        (!own.is_unspecified() && own.is_ipv4() == peer.is_ipv4()).then_some(own)
    }

    /// How long a drain may take.
    #[must_use]
    pub const fn drain_grace(&self) -> Duration {
        Duration::from_millis(self.drain_grace_ms)
    }
}

const fn any_loopback_port() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0)
}

const fn default_drain_grace_ms() -> u64 {
    10_000
}

/// Some 15 µs a forwarded packet and 250 packets a second for each participant of a call of two: a quarter of a core.
const fn default_capacity() -> u32 {
    64
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        zone = "locum.localhost"
        region = "eu-central"
        state_dir = "media-1"
        signal_listen = "127.0.0.1:0"
        media_listen = "127.0.0.1:0"
        announce_host = "media.eu-central.locum.localhost"
    "#;

    fn load(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("media.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path).map_err(|error| config::chain(&error))
    }

    #[test]
    fn a_small_file_is_enough() {
        let config = load(&format!("{GOOD}\njwks_file = \"keys.json\"")).unwrap();
        assert_eq!(config.announced_ips(), [IpAddr::from([127, 0, 0, 1])]);
        assert!(config.jwks_file.unwrap().is_absolute());
        let control = "[control]\naddress = \"127.0.0.1:4443\"";
        assert!(load(&format!("{GOOD}\nmesh_listen = \"127.0.0.1:0\"\n{control}")).is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: String| load(&text).unwrap_err();
        assert!(error(format!("{GOOD}\nsignal_lisen = \"x\"")).contains("unknown key `signal_lisen`"));
        assert!(error(GOOD.to_owned()).contains("key `control`"));
        let anywhere = GOOD.replace("media_listen = \"127.0.0.1:0\"", "media_listen = \"0.0.0.0:0\"");
        assert!(error(format!("{anywhere}\njwks_file = \"k\"")).contains("key `announce_ips`"));
        assert!(error(format!("{GOOD}\ncapacity = 0\njwks_file = \"k\"")).contains("key `capacity`"));
        let mapped =
            format!("{anywhere}\njwks_file = \"k\"\nannounce_ips = [\"192.0.2.1\", \"2001:db8::1\"]");
        assert_eq!(load(&mapped).unwrap().announced_ips().len(), 2);
        let control = "[control]\naddress = \"127.0.0.1:1\"";
        assert!(error(format!("{GOOD}\n{control}")).contains("key `mesh_listen`"));
        let mesh = |listen: &str| format!("{GOOD}\nmesh_listen = \"{listen}:4443\"\n");
        assert!(error(mesh("127.0.0.1") + "jwks_file = \"k\"").contains("key `mesh_listen`"));
        assert!(error(mesh("0.0.0.0") + control).contains("key `mesh_announce_ips`"));
        let both = format!("{GOOD}\njwks_file = \"k\"\n[control]\naddress = \"127.0.0.1:1\"");
        assert!(error(both).contains("key `jwks_file`"));
    }
}
