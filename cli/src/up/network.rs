//! The processes of a network: started in order, watched, stopped.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use locum_identity::Role;
use locum_telemetry::ReadyFile;
use tokio::process::Command;

use super::accounts::Accounts;
use super::again;
use super::child::{self, Child};
use super::clinics::CANARY;
use super::configuration::Plan;
use super::data::Data;
use super::demo::{self, Demo, Pages};
use super::regions::{self, Controller, Edge};
use super::{Progress, complain};
use crate::status;

/// A process that is not ready by then is stuck; the first start compiles the functions.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Members are taken in one by one, and copy a small record.
const VOTERS_WITHIN: Duration = Duration::from_secs(40);
/// Between two looks at what runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longer than a process's own grace period.
const STOP_WITHIN: Duration = Duration::from_secs(12);

/// A network on this machine.
pub(super) struct Network {
    plan: Plan,
    data: Data,
    binaries: PathBuf,
    running: Vec<Child>,
    /// What holds drills, if anybody wants them.
    drills: Option<Child>,
}

impl Network {
    /// Nothing runs yet.
    pub(super) fn new(plan: Plan, data: Data, binaries: PathBuf) -> Self {
        Self { plan, data, binaries, running: Vec::new(), drills: None }
    }

    /// Starts everything and onboards the demo clinic; where people go then, a region each.
    pub(super) async fn start(&mut self, accounts: &mut Accounts, say: &Progress) -> Result<Vec<Pages>> {
        self.data.empty("run")?;
        say.step("control plane");
        let control = self.start_control().await?;
        let member = &control[0].0.name;
        let (config, member) = (self.data.path(&format!("{member}.toml")), member.clone());

        let regions = self.plan.regions.clone();
        say.step(if regions.len() == 1 { "media node and edge host" } else { "media nodes and edge hosts" });
        for region in &regions {
            self.mint(Role::Media, &region.media, region.name, &config).await?;
            let members = self.nearest_first(&control, region.name);
            let media =
                self.data.write(&format!("{}.toml", region.media), &self.plan.media(region, &members))?;
            self.spawn(Role::Media, &region.media, &media)?;
        }
        let setup_token = self.data.secret("setup-token")?;
        let edges: Vec<&Edge> = regions.iter().map(|region| &region.edge).collect();
        let hosts = self.start_edges(&edges, &control, &config, &setup_token).await?;
        for region in &regions {
            self.ready(&region.media).await?;
            self.data.remove(&format!("{}.join", region.media))?;
        }

        self.wait_for_voters(&member, control.len()).await?;
        say.step("demo clinic");
        self.wait_for_nodes(&hosts, edges.len()).await?;
        let mut of_canary = Accounts::of_canary(&self.data)?;
        for clinic in &self.plan.clinics {
            let accounts = if clinic.name == CANARY { &mut of_canary } else { &mut *accounts };
            if demo::onboard(clinic, &hosts, &setup_token, accounts).await? {
                accounts.keep(&self.data)?;
            }
        }
        // The first host of a region to come gets its vote. These come when there is none left to get.
        let siblings: Vec<&Edge> = regions.iter().flat_map(|region| &region.siblings).collect();
        let others = self.start_edges(&siblings, &control, &config, &setup_token).await?;
        self.wait_for_nodes(&others, edges.len() + others.len()).await?;
        Ok(hosts.iter().map(Demo::pages).collect())
    }

    /// Starts edge hosts, and returns when they serve.
    async fn start_edges(
        &mut self,
        edges: &[&Edge],
        control: &[(Controller, SocketAddr)],
        member: &Path,
        setup_token: &str,
    ) -> Result<Vec<Demo>> {
        for edge in edges {
            self.mint(Role::Edge, &edge.name, edge.region, member).await?;
            self.data.secret(&format!("{}.key", edge.name))?;
            let members = self.nearest_first(control, edge.region);
            let table = self.plan.edge(edge, &members, setup_token);
            let config = self.data.write(&format!("{}.toml", edge.name), &table)?;
            self.spawn(Role::Edge, &edge.name, &config)?;
        }
        let mut hosts = Vec::new();
        for edge in edges {
            let http = self.ready(&edge.name).await?.addresses["http"];
            hosts.push(Demo::new(edge.region, http)?);
            self.data.remove(&format!("{}.join", edge.name))?;
        }
        Ok(hosts)
    }

    /// A join token in the file where its node looks for it.
    async fn mint(&self, role: Role, name: &str, region: &str, member: &Path) -> Result<()> {
        let token = child::join_token(&self.binaries, member, role, name, region).await?;
        self.data.write_secret(&format!("{name}.join"), &token)
    }

    /// Waits until hosts know all media nodes and so many edge hosts, and each media node what they know.
    async fn wait_for_nodes(&self, hosts: &[Demo], edges: usize) -> Result<()> {
        for host in hosts {
            let version = host.wait_for_nodes(self.plan.regions.len(), edges).await?;
            for region in &self.plan.regions {
                self.wait_for_node_list(&region.media, version).await?;
            }
        }
        Ok(())
    }

    /// Starts the members of the control plane; where each answers. The first one begins the network, and those that know
    /// none yet join it. Later any majority will do: people are told of the others.
    async fn start_control(&mut self) -> Result<Vec<(Controller, SocketAddr)>> {
        let members = regions::controllers(&self.plan.regions);
        let port_of = |member: &Controller| self.member_port(member, members.len());
        let ports = members.iter().map(port_of).collect::<Result<Vec<u16>>>()?;
        let known =
            |member: &Controller| self.data.path(&format!("{}/quorum/member.json", member.name)).exists();
        let first = members.iter().position(known).unwrap_or(0);
        let (old, new): (Vec<_>, Vec<_>) =
            (0..members.len()).partition(|place| *place == first || known(&members[*place]));
        let first_at = SocketAddr::new(members[first].mesh.into(), ports[first]);
        for place in &old {
            self.start_member(&members[*place], ports[*place], (*place != first).then_some(first_at))?;
        }
        let mut ready = Vec::new();
        for place in old {
            ready.extend(self.member_is_ready(&members[place]).await);
        }
        if let Some((through, address)) = ready.first().cloned() {
            for place in new {
                let config = self.data.path(&format!("{}.toml", through.name));
                self.mint(Role::Control, &members[place].name, members[place].region, &config).await?;
                self.start_member(&members[place], ports[place], Some(address))?;
                ready.extend(self.member_is_ready(&members[place]).await);
            }
        }
        if ready.len() <= members.len() / 2 {
            bail!("{} of {} members of the control plane start: a majority must", ready.len(), members.len());
        }
        Ok(ready)
    }

    fn start_member(&mut self, member: &Controller, port: u16, others: Option<SocketAddr>) -> Result<()> {
        let table = self.plan.control(member, port, others);
        let config = self.data.write(&format!("{}.toml", member.name), &table)?;
        self.spawn(Role::Control, &member.name, &config)
    }

    /// Where a member answers; `None`, and people are told why, if it does not start.
    async fn member_is_ready(&mut self, member: &Controller) -> Option<(Controller, SocketAddr)> {
        match self.ready(&member.name).await {
            Ok(ready) => {
                // If it stays, it was used.
                let _ = self.data.remove(&format!("{}.join", member.name));
                Some((member.clone(), *ready.addresses.get("mesh")?))
            }
            Err(error) => {
                let help = "see docs/runbooks/control-members.md";
                complain(&error.context(format!("{} does not start; {help}", member.name)));
                None
            }
        }
    }

    /// Members that are called by others are found at the same port after a restart, whoever chose it.
    fn member_port(&self, member: &Controller, members: usize) -> Result<u16> {
        let given = self.plan.ports.mesh();
        if given != 0 || members == 1 {
            return Ok(given);
        }
        let file = format!("{}.port", member.name);
        if let Some(kept) = self.data.read(&file)?.and_then(|text| text.trim().parse().ok()) {
            return Ok(kept);
        }
        let free = UdpSocket::bind((member.mesh, 0)).and_then(|socket| socket.local_addr());
        let port = free.with_context(|| format!("find a port for {}", member.name))?.port();
        self.data.write_secret(&file, &port.to_string())?;
        Ok(port)
    }

    fn nearest_first(&self, members: &[(Controller, SocketAddr)], region: &str) -> Vec<SocketAddr> {
        let mut members: Vec<_> = members.iter().collect();
        members.sort_by_key(|(member, _)| member.region != region);
        members.into_iter().map(|(_, address)| *address).collect()
    }

    /// Waits until so many members of the control plane vote, as one of them says.
    async fn wait_for_voters(&self, member: &str, members: usize) -> Result<()> {
        let path = self.data.path(&format!("run/{member}.json"));
        let all_vote = async {
            loop {
                let ready = ReadyFile::read(&path).context("read the ready file of a member")?;
                if status::look_at(ready).await?.voters.is_some_and(|voters| voters >= members as u64) {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(VOTERS_WITHIN, all_vote).await;
        waited.context("not all members of the control plane vote")?
    }

    fn spawn(&mut self, role: Role, name: &str, config: &Path) -> Result<()> {
        let log = self.data.path(&format!("log/{name}.log"));
        self.running.push(Child::spawn(name, &self.binaries.join(format!("locum-{role}")), config, log)?);
        Ok(())
    }

    /// Waits for a process's ready file, or for what it said when it died.
    async fn ready(&mut self, name: &str) -> Result<ReadyFile> {
        let path = self.data.path(&format!("run/{name}.json"));
        let appears = async {
            loop {
                if let Ok(ready) = ReadyFile::read(&path) {
                    break ready;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ready = tokio::time::timeout(READY_WITHIN, appears) => {
                ready.with_context(|| format!("{name} was not ready within {} s", READY_WITHIN.as_secs()))
            }
            died = self.death_of(name) => Err(died),
        }
    }

    /// Waits until a process holds the node list `version` or a later one.
    async fn wait_for_node_list(&self, name: &str, version: u64) -> Result<()> {
        let path = self.data.path(&format!("run/{name}.json"));
        let held = async {
            loop {
                let ready =
                    ReadyFile::read(&path).with_context(|| format!("read the ready file of {name}"))?;
                if status::look_at(ready).await?.node_list.is_some_and(|held| held >= version) {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(demo::NODE_LIST_WITHIN, held).await;
        waited.with_context(|| format!("{name} does not get the node list"))?
    }

    /// Watches what runs. A network of one region ends with any of its processes; one of several is there to
    /// outlive them, each may be started again, here when that is asked for or by hand, and it ends with the last.
    pub(super) async fn watch(&mut self) -> anyhow::Error {
        loop {
            while let Some(died) = self.dead(|_| true) {
                if self.plan.regions.len() == 1 || self.running.is_empty() {
                    return died;
                }
                complain(&died);
            }
            if let Some(ended) = self.drills.as_mut().and_then(Child::ended) {
                self.drills = None;
                complain(&ended);
            }
            self.start_asked();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// From now on drills are held so often, as long as the network runs.
    pub(super) fn hold_drills(&mut self, every: &str) -> Result<()> {
        let mut command = Command::new(std::env::current_exe().context("find this program")?);
        command.args(["drill", "schedule", "--every", every, "--data"]).arg(self.data.path(""));
        let log = self.data.path("log/drills.log");
        self.drills = Some(Child::start("drills", command, log).context("start the schedule of drills")?);
        Ok(())
    }

    /// Starts what was asked for. Who asks saw it dead, so what is still among those that run is about to be missed.
    fn start_asked(&mut self) {
        for asked in again::asked(&self.data.path("")) {
            match self.running.iter_mut().find(|child| child.name == asked.name).map(Child::ended) {
                Some(Some(_)) => continue,
                Some(None) => {}
                None => {
                    let config = self.data.path(&format!("{}.toml", asked.name));
                    if let Err(error) = self.spawn(asked.role, &asked.name, &config) {
                        complain(&error);
                    }
                }
            }
            asked.done();
        }
    }

    /// Waits until `name` ends while it starts, or something that must live for that: all but a member of several.
    async fn death_of(&mut self, name: &str) -> anyhow::Error {
        let several = regions::controllers(&self.plan.regions).len() > 1;
        loop {
            let counts = |other: &str| other == name || !several || !other.starts_with("control-");
            if let Some(died) = self.dead(counts) {
                return died;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// One of the processes that count, if it ended by itself.
    fn dead(&mut self, counts: impl Fn(&str) -> bool) -> Option<anyhow::Error> {
        let mut running = self.running.iter_mut().enumerate().filter(|(_, child)| counts(&child.name));
        let (index, how) = running.find_map(|(index, child)| Some((index, child.ended()?)))?;
        self.running.remove(index);
        Some(how)
    }

    /// Stops what runs, edge hosts first: what one is answering may still need the others.
    pub(super) async fn stop(&mut self) {
        let mut drills = self.drills.take();
        let all = || self.running.iter().rev().chain(&drills);
        all().for_each(Child::ask_to_stop);
        let deadline = tokio::time::Instant::now() + STOP_WITHIN;
        for child in self.running.iter_mut().chain(&mut drills) {
            child.wait_or_kill(deadline).await;
        }
        // What is left would be taken for processes that died; the next start clears it in any case.
        if let Err(error) = self.data.empty("run") {
            complain(&error);
        }
    }

    /// What each process said when it was ready.
    pub(super) fn processes(&self) -> Result<BTreeMap<&str, ReadyFile>> {
        let read = |child: &Child| {
            let path = self.data.path(&format!("run/{}.json", child.name));
            ReadyFile::read(&path).with_context(|| child.name.clone())
        };
        self.running.iter().map(|child| Ok((child.name.as_str(), read(child)?))).collect()
    }
}
