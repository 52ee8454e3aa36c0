//! The faults: whom each meets, how it is made, and how it is undone, whatever happens in between.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use locum_identity::Role;

use super::cut::Cut;
use crate::process::{self, Signal};
use crate::site::{Node, Site};
use crate::up::again;

/// Stands for whoever leads the canary's record group when a round begins.
pub(super) const PRIMARY: &str = "primary";
/// Stands for the member that leads the control plane then.
pub(super) const LEADER: &str = "leader";
/// A signal takes effect at once; machines are shared.
const TAKES_EFFECT_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Kind {
    /// Every process of a region is killed, and started again afterwards.
    RegionLoss,
    /// One process is killed, or several at once, and started again afterwards.
    NodeKill,
    /// Nothing passes between a region and the others, which takes rules of this machine's firewall: run it as root.
    Partition,
    /// The host that leads the canary's record group stands still, and goes on afterwards.
    PrimaryPause,
}

/// Whom a fault meets.
#[derive(Clone, Debug)]
pub(super) struct Victims {
    /// What goes wrong.
    pub kind: Kind,
    /// Where.
    pub region: String,
    /// The processes.
    pub nodes: Vec<Node>,
    /// Whether one of them leads the canary's record group.
    pub led: bool,
    /// Whether one of them leads the control plane.
    pub led_control: bool,
}

/// A fault that is there. Dropping it undoes it, so that nothing stays behind when the drill is interrupted.
pub(super) struct Made {
    victims: Victims,
    network: PathBuf,
    cut: Option<Cut>,
    undone: bool,
}

impl Kind {
    /// As on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RegionLoss => "region-loss",
            Self::NodeKill => "node-kill",
            Self::Partition => "partition",
            Self::PrimaryPause => "primary-pause",
        }
    }

    /// Whom it would meet now. `leader` leads the control plane.
    pub(super) fn choose(self, site: &Site, target: &str, leader: Option<&str>) -> Result<Victims> {
        let primary = site.primary(site.drilled()?);
        let primary = primary.context("nobody leads the canary's record group, or several do")?;
        let meant = if target == PRIMARY { primary.region.as_str() } else { target };
        let nodes = match self {
            Self::RegionLoss | Self::Partition => {
                let known = site.regions();
                if !known.contains(meant) {
                    let known = known.into_iter().collect::<Vec<_>>().join(", ");
                    bail!("no region `{meant}`; there are {known}, and `{PRIMARY}` for the one that leads");
                }
                site.of_region(meant)
            }
            Self::NodeKill => {
                let named = target.split(',').map(|name| match name {
                    PRIMARY => Ok(primary),
                    LEADER => only(site, leader.context("nobody leads the control plane")?),
                    name => only(site, name),
                });
                named.collect::<Result<Vec<_>>>()?
            }
            Self::PrimaryPause
                if [PRIMARY, primary.name.as_str(), primary.region.as_str()].contains(&target) =>
            {
                vec![primary]
            }
            Self::PrimaryPause => {
                bail!("{target} does not lead: {} in {} does", primary.name, primary.region)
            }
        };
        let region = nodes.first().context("nothing runs there")?.region.clone();
        let has = |name: &str| nodes.iter().any(|node| node.name == name);
        let (led, led_control) = (has(&primary.name), leader.is_some_and(has));
        let mut nodes: Vec<Node> = nodes.into_iter().cloned().collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes.dedup_by(|a, b| a.name == b.name);
        majority_stays(site, &nodes)?;
        Ok(Victims { kind: self, region, nodes, led, led_control })
    }
}

/// Without a majority of its members the control plane heals nothing, and that is an outage, no drill.
fn majority_stays(site: &Site, away: &[Node]) -> Result<()> {
    let members = site.with_role(Role::Control).count();
    let lost = away.iter().filter(|node| node.role == Role::Control).count();
    if members > 1 && members - lost <= members / 2 {
        bail!("this would take {lost} of {members} members of the control plane: a majority must stay");
    }
    Ok(())
}

/// A process that may be killed alone.
fn only<'a>(site: &'a Site, name: &str) -> Result<&'a Node> {
    let node = site.nodes.get(name).with_context(|| {
        let known = site.nodes.keys().cloned().collect::<Vec<_>>().join(", ");
        format!("no process `{name}`; there are {known}, `{PRIMARY}` and `{LEADER}`")
    })?;
    if node.role == Role::Control && site.with_role(Role::Control).count() < 2 {
        bail!(
            "{name} is the control plane's only member: without it nothing heals, and that is an outage, no drill"
        );
    }
    Ok(node)
}

impl fmt::Display for Victims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
        let led = match (self.led, self.led_control) {
            (true, true) => ", which lead the record group and the control plane",
            (true, false) => ", which leads the record group",
            (false, true) => ", which leads the control plane",
            (false, false) => "",
        };
        match self.kind {
            Kind::RegionLoss => write!(f, "kill everything in {} ({names}){led}", self.region),
            Kind::NodeKill => write!(f, "kill {names}{led}"),
            Kind::Partition => write!(f, "cut {} off from the others ({names}){led}", self.region),
            Kind::PrimaryPause => write!(f, "stop {names}, which leads the record group, and let it go on"),
        }
    }
}

impl Victims {
    /// Their names.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// Those that a node list should call down. A cut meets addresses on the mesh: a media node has none that others
    /// call, so people still reach it.
    pub(super) fn listed(&self) -> BTreeSet<String> {
        let is_out = |node: &&Node| self.kind != Kind::Partition || node.addresses.contains_key("mesh");
        let listed = self.nodes.iter().filter(|node| node.role != Role::Control).filter(is_out);
        listed.map(|node| node.name.clone()).collect()
    }

    /// Makes the fault; returns when it is there.
    pub(super) async fn meet(&self, site: &Site) -> Result<Made> {
        if let Some(gone) = self.nodes.iter().find(|node| !node.is_alive()) {
            bail!("{} does not run", gone.name);
        }
        let mut made = Made { victims: self.clone(), network: site.folder.clone(), cut: None, undone: false };
        match self.kind {
            Kind::Partition => {
                let (inside, outside) = self.sides(site)?;
                made.cut = Some(Cut::make(&inside, &outside).await?);
            }
            Kind::RegionLoss | Kind::NodeKill => {
                self.tell(Signal::Kill);
                self.until("is killed", |id| !process::is_alive(id)).await?;
            }
            Kind::PrimaryPause => {
                self.tell(Signal::Stop);
                self.until("stands still", |id| process::is_stopped(id) || !process::is_alive(id)).await?;
            }
        }
        Ok(made)
    }

    /// All at once: a region does not die in an order.
    fn tell(&self, signal: Signal) {
        let all: Vec<u32> =
            self.nodes.iter().flat_map(|node| [vec![node.pid], node.engines()].concat()).collect();
        for id in all {
            process::tell(id, signal);
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(u32) -> bool) -> Result<()> {
        let begun = Instant::now();
        while let Some(node) = self.nodes.iter().find(|node| !holds(node.pid)) {
            if begun.elapsed() > TAKES_EFFECT_WITHIN {
                bail!("not within {} s: {} {what}", TAKES_EFFECT_WITHIN.as_secs(), node.name);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Addresses on the mesh, inside and outside.
    fn sides(&self, site: &Site) -> Result<(BTreeSet<IpAddr>, BTreeSet<IpAddr>)> {
        let names = self.names();
        let of = |inside: bool| -> BTreeSet<IpAddr> {
            let nodes = site.nodes.values().filter(|node| names.contains(&node.name) == inside);
            nodes.filter_map(Node::mesh).collect()
        };
        let (inside, outside) = (of(true), of(false));
        if inside.is_empty() || outside.is_empty() {
            bail!("{} has no address on the mesh of its own", self.region);
        }
        Ok((inside, outside))
    }
}

impl Made {
    /// Undoes it. What was killed is started again by `locum up`.
    pub(super) fn undo(&mut self) -> Result<()> {
        self.undone = true;
        match self.victims.kind {
            Kind::Partition => self.cut.take().map_or(Ok(()), |cut| cut.heal()),
            Kind::PrimaryPause => {
                self.victims.tell(Signal::Continue);
                Ok(())
            }
            Kind::RegionLoss | Kind::NodeKill => {
                for node in self.victims.nodes.iter().filter(|node| !node.is_alive()) {
                    again::ask(&self.network, &node.name)
                        .with_context(|| format!("ask for {} to be started again", node.name))?;
                }
                Ok(())
            }
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.undone {
            // Whoever drops it is on the way out; the cut sees to itself.
            let _ = self.undo();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::tests::three_regions;

    #[test]
    fn without_a_primary_nothing_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let site = three_regions(folder.path(), &["eu-central"]);
        let error = Kind::RegionLoss.choose(&site, "us-west", None).unwrap_err().to_string();
        assert!(error.starts_with("nobody leads"), "{error}");
    }

    #[test]
    fn the_only_member_of_the_control_plane_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let alone = three_regions(folder.path(), &["eu-central"]);
        let error = only(&alone, "control-eu-central").unwrap_err().to_string();
        assert!(error.contains("only member"), "{error}");
        assert!(only(&alone, "media-us-east").is_ok());
        let error = only(&alone, "media-mars").unwrap_err().to_string();
        assert!(error.contains("there are control-eu-central, edge-eu-central"), "{error}");
        let three = three_regions(folder.path(), &["us-west", "us-east", "eu-central"]);
        assert!(only(&three, "control-us-east").is_ok());
        let members: Vec<Node> = three.with_role(Role::Control).cloned().collect();
        assert!(majority_stays(&three, &members[..1]).is_ok());
        let error = majority_stays(&three, &members[..2]).unwrap_err().to_string();
        assert!(error.contains("2 of 3 members"), "{error}");
    }

    #[tokio::test]
    async fn nobody_is_told_whose_process_is_not_the_networks() {
        let folder = tempfile::tempdir().unwrap();
        let site = three_regions(folder.path(), &["eu-central"]);
        // The id is in use, by somebody else.
        let mut node = site.nodes["edge-us-west"].clone();
        node.pid = std::process::id();
        let victims = Victims {
            kind: Kind::NodeKill,
            region: "us-west".to_owned(),
            nodes: vec![node],
            led: false,
            led_control: false,
        };
        let error = victims.meet(&site).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("edge-us-west does not run"), "{error}");
    }

    #[test]
    fn what_is_dropped_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        let site = three_regions(folder.path(), &["eu-central"]);
        let nodes = site.of_region("us-west").into_iter().cloned().collect();
        let victims = Victims {
            kind: Kind::RegionLoss,
            region: "us-west".to_owned(),
            nodes,
            led: true,
            led_control: false,
        };
        drop(Made { victims, network: site.folder.clone(), cut: None, undone: false });
        assert!(
            again::is_asked(&site.folder, "edge-us-west") && again::is_asked(&site.folder, "media-us-west")
        );
    }
}
