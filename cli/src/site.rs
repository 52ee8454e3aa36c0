//! The processes of a running network on this machine, by its folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use locum_identity::Role;
use locum_telemetry::ReadyFile;
use serde::Deserialize;

use crate::process;
use crate::up::again::role_of;
use crate::up::clinics::CANARY;

/// The engine of record replication, a child of the edge host that leads a group.
const ENGINE: &str = "sqld";

/// One process of the network.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Such as `edge-us-west`.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Where it is.
    pub region: String,
    /// Its process id.
    pub pid: u32,
    /// Where it listens, by name.
    pub addresses: BTreeMap<String, SocketAddr>,
    /// The file it was started with.
    pub config: PathBuf,
    from: Option<IpAddr>,
}

/// What this tool reads of a process's configuration.
#[derive(Deserialize)]
struct Configured {
    zone: String,
    region: String,
    #[serde(default)]
    clinics: BTreeMap<String, String>,
    #[serde(default)]
    control: Joined,
}

#[derive(Default, Deserialize)]
struct Joined {
    /// The address a node calls from that does not listen on the mesh.
    from: Option<IpAddr>,
}

/// A network on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Its folder.
    pub folder: PathBuf,
    /// Its DNS zone.
    pub zone: String,
    /// The record group of the canary clinic, which a network of one region has not.
    pub canary: Option<String>,
    /// By name.
    pub nodes: BTreeMap<String, Node>,
}

impl Site {
    /// What the folder says; a process that died may still stand in it.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("no network in {}", folder.display()))?;
        let entries = fs::read_dir(folder.join("run"));
        let entries = entries.with_context(|| format!("no network runs in {}", folder.display()))?;
        let (mut nodes, mut zone, mut canary) = (BTreeMap::new(), None, None);
        for entry in entries {
            let path = entry.context("read the folder of ready files")?.path();
            let (Some(name), Ok(ready)) = (path.file_stem(), ReadyFile::read(&path)) else { continue };
            let name = name.to_string_lossy().into_owned();
            let Some(role) = role_of(&name) else { continue };
            let config = folder.join(format!("{name}.toml"));
            let text = fs::read_to_string(&config).with_context(|| format!("read {}", config.display()))?;
            let said: Configured =
                toml::from_str(&text).with_context(|| format!("parse {}", config.display()))?;
            canary = canary.or_else(|| said.clinics.get(CANARY).cloned());
            zone = zone.or_else(|| Some(said.zone.clone()));
            let ReadyFile { pid, addresses } = ready;
            let Configured { region, control: Joined { from }, .. } = said;
            nodes.insert(name.clone(), Node { name, role, region, pid, addresses, config, from });
        }
        let zone = zone.with_context(|| format!("no network runs in {}", folder.display()))?;
        Ok(Self { folder, zone, canary, nodes })
    }

    /// The regions, in the order of their names.
    pub(crate) fn regions(&self) -> BTreeSet<&str> {
        self.with_role(Role::Edge).map(|node| node.region.as_str()).collect()
    }

    /// All that do one thing.
    pub(crate) fn with_role(&self, role: Role) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(move |node| node.role == role)
    }

    /// Everything that dies with a region. The control plane's only member belongs to none: without it nothing
    /// could heal.
    pub(crate) fn of_region(&self, region: &str) -> Vec<&Node> {
        let stands_alone = self.with_role(Role::Control).count() < 2;
        let dies = |node: &&Node| node.region == region && !(stands_alone && node.role == Role::Control);
        self.nodes.values().filter(dies).collect()
    }

    /// The record group that drills write to.
    pub(crate) fn drilled(&self) -> Result<&str> {
        let none = "this network has no canary clinic: it needs several regions, and a start by this release";
        self.canary.as_deref().context(none)
    }

    /// The edge host that leads a record group, if one alone runs its engine.
    pub(crate) fn primary(&self, group: &str) -> Option<&Node> {
        let records = format!("/records/{group}/");
        let leads = |node: &&Node| node.engines().into_iter().any(|id| process::mentions(id, &records));
        let mut leading = self.with_role(Role::Edge).filter(leads);
        let first = leading.next();
        first.filter(|_| leading.next().is_none())
    }
}

impl Node {
    /// Whether its process lives.
    pub(crate) fn is_alive(&self) -> bool {
        process::runs(self.pid, &self.config)
    }

    /// Process ids of its engines: an edge host has one for each record group it leads.
    pub(crate) fn engines(&self) -> Vec<u32> {
        if self.role == Role::Edge { process::children(self.pid, ENGINE) } else { Vec::new() }
    }

    /// Its address on the mesh, from which it also calls.
    pub(crate) fn mesh(&self) -> Option<IpAddr> {
        self.addresses.get("mesh").map(SocketAddr::ip).or(self.from)
    }

    /// One of its addresses.
    pub(crate) fn address(&self, name: &str) -> Result<SocketAddr> {
        self.addresses
            .get(name)
            .copied()
            .with_context(|| format!("{} does not say its {name} address", self.name))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A network's folder in which nothing runs.
    pub(crate) fn three_regions(folder: &Path, members: &[&str]) -> Site {
        fs::create_dir_all(folder.join("run")).unwrap();
        let node = |role: &str, region: &str, last: u8, more: &str| {
            let name = format!("{role}-{region}");
            let text = format!("zone = \"locum.localhost\"\nregion = \"{region}\"\n{more}");
            fs::write(folder.join(format!("{name}.toml")), text).unwrap();
            let addresses =
                BTreeMap::from([("mesh".to_owned(), format!("127.0.{last}.1:4443").parse().unwrap())]);
            let ready = ReadyFile { pid: u32::MAX, addresses };
            fs::write(folder.join(format!("run/{name}.json")), serde_json::to_vec(&ready).unwrap()).unwrap();
        };
        for (region, last) in [("us-west", 1), ("us-east", 2), ("eu-central", 3)] {
            node("edge", region, last, "other = 1\n[clinics]\ndemo = \"main\"\ncanary = \"main\"\n");
            node("media", region, last, "");
        }
        for region in members {
            node("control", region, 4, "");
        }
        Site::read(folder).unwrap()
    }

    #[test]
    fn a_region_dies_with_its_member_unless_it_is_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let names = |site: &Site| -> Vec<String> {
            site.of_region("eu-central").iter().map(|node| node.name.clone()).collect()
        };
        let alone = three_regions(folder.path(), &["eu-central"]);
        assert_eq!(names(&alone), ["edge-eu-central", "media-eu-central"]);
        assert_eq!(alone.regions().into_iter().collect::<Vec<_>>(), ["eu-central", "us-east", "us-west"]);
        assert_eq!((alone.zone.as_str(), alone.canary.as_deref()), ("locum.localhost", Some("main")));
        assert!(alone.primary("main").is_none(), "nothing runs");
        let three = three_regions(folder.path(), &["us-west", "us-east", "eu-central"]);
        assert_eq!(names(&three), ["control-eu-central", "edge-eu-central", "media-eu-central"]);
    }

    #[test]
    fn a_folder_without_a_network_is_said_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = Site::read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.starts_with("no network in"), "{error}");
        let error = Site::read(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("no network runs in"), "{error}");
    }
}
