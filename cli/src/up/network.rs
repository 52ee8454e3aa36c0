//! The processes of a network: started in order, watched, stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
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
use super::{Progress, complain};
use crate::status;

/// A process that is not ready by then is stuck; the first start compiles the functions.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at what runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longer than a process's own grace period.
const STOP_WITHIN: Duration = Duration::from_secs(8);

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
    pub(super) async fn start(&mut self, accounts: &Accounts, say: &Progress) -> Result<Vec<Pages>> {
        self.data.empty("run")?;
        say.step("control plane");
        let config = self.data.write("control-1.toml", &self.plan.control())?;
        self.spawn(Role::Control, "control-1", &config)?;
        let control = self.ready("control-1").await?.addresses["mesh"];

        let regions = self.plan.regions.clone();
        say.step(if regions.len() == 1 { "media node and edge host" } else { "media nodes and edge hosts" });
        for region in &regions {
            for (role, name) in [(Role::Media, &region.media), (Role::Edge, &region.edge)] {
                let token = child::join_token(&self.binaries, &config, role, name, region.name).await?;
                self.data.write_secret(&format!("{name}.join"), &token)?;
            }
            let media =
                self.data.write(&format!("{}.toml", region.media), &self.plan.media(region, control))?;
            self.spawn(Role::Media, &region.media, &media)?;
        }
        let setup_token = self.data.secret("setup-token")?;
        for region in &regions {
            self.data.secret(&format!("{}.key", region.edge))?;
            let table = self.plan.edge(region, control, &setup_token);
            let edge = self.data.write(&format!("{}.toml", region.edge), &table)?;
            self.spawn(Role::Edge, &region.edge, &edge)?;
        }
        let mut hosts = Vec::new();
        for region in &regions {
            self.ready(&region.media).await?;
            let http = self.ready(&region.edge).await?.addresses["http"];
            hosts.push(Demo::new(region.name, http)?);
            for name in [&region.media, &region.edge] {
                self.data.remove(&format!("{name}.join"))?;
            }
        }

        say.step("demo clinic");
        for host in &hosts {
            let version = host.wait_for_nodes(regions.len()).await?;
            for region in &regions {
                self.wait_for_node_list(&region.media, version).await?;
            }
        }
        let of_canary = Accounts::of_canary(&self.data)?;
        for clinic in &self.plan.clinics {
            let accounts = if clinic.name == CANARY { &of_canary } else { accounts };
            demo::onboard(clinic, &hosts, &setup_token, accounts).await?;
        }
        Ok(hosts.iter().map(Demo::pages).collect())
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
            died = self.death() => Err(died),
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
            while let Some(died) = self.dead() {
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

    /// Waits until some process ends by itself; it is no longer watched then.
    async fn death(&mut self) -> anyhow::Error {
        loop {
            if let Some(died) = self.dead() {
                return died;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A process that ended by itself, if one did.
    fn dead(&mut self) -> Option<anyhow::Error> {
        let (index, how) =
            self.running.iter_mut().enumerate().find_map(|(index, child)| Some((index, child.ended()?)))?;
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
