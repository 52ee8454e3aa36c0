//! What a test can find out about a running network without asking its people's API.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use locum_identity::private_file;
use serde_json::Value;

use crate::network::{Network, binaries, until};

/// A process that does not tell its figures by then stands still.
const FIGURE_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

impl Network {
    /// The address of a region's edge host on the mesh.
    pub fn mesh_of(&self, region: &str) -> Result<IpAddr> {
        self.mesh_of_process(&self.edge(region))
    }

    /// The address of the control plane's member in a region.
    pub fn mesh_of_control(&self, region: &str) -> Result<IpAddr> {
        self.mesh_of_process(&self.control_in(region))
    }

    /// The member of the control plane in a region of three, or the only one.
    pub fn control_in(&self, region: &str) -> String {
        let number = match (self.regions().len(), region) {
            (3, "us-west") => 2,
            (3, "us-east") => 3,
            _ => 1,
        };
        format!("control-{number}")
    }

    /// Every member of the control plane.
    pub fn controls(&self) -> Vec<String> {
        self.processes().into_iter().filter(|name| name.starts_with("control-")).collect()
    }

    /// The member of the control plane that leads, once exactly one does.
    pub async fn leading_control(&self) -> Result<String> {
        let begun = std::time::Instant::now();
        loop {
            let mut leading = Vec::new();
            for name in self.controls() {
                // One that is dead, or stands still, does not lead.
                if self.figure(&name, "locum_quorum_leads").await.ok().flatten() == Some(1.0) {
                    leading.push(name);
                }
            }
            if let [leader] = leading.as_slice() {
                return Ok(leader.clone());
            }
            ensure!(begun.elapsed() < crate::network::PATIENCE, "{leading:?} lead the control plane");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    fn mesh_of_process(&self, process: &str) -> Result<IpAddr> {
        Ok(self.address(process, "mesh")?.parse::<SocketAddr>()?.ip())
    }

    /// The process id of a region's engine, which runs where the group is led.
    pub fn engine(&self, region: &str) -> Result<Option<u32>> {
        let host = self.process_id(&self.edge(region))?.to_string();
        for entry in std::fs::read_dir("/proc")? {
            let path = entry?.path();
            // Whoever ended meanwhile is no engine.
            let Ok(stat) = std::fs::read_to_string(path.join("stat")) else { continue };
            let Some((name, rest)) = stat.rsplit_once(')') else { continue };
            if name.ends_with("(sqld") && rest.split_whitespace().nth(1) == Some(&host) {
                let id = path.file_name().and_then(|name| name.to_str()?.parse().ok());
                return Ok(id);
            }
        }
        Ok(None)
    }

    /// The region that leads, once one does.
    pub async fn leader(&self) -> Result<String> {
        self.leader_among(&self.regions()).await
    }

    /// The one of `regions` that leads, once one does. A host that is cut off may still run an engine.
    pub async fn leader_among(&self, regions: &[String]) -> Result<String> {
        let begun = std::time::Instant::now();
        loop {
            let has_primary = self.control("locum_group_has_primary").await?;
            let mut leading = Vec::new();
            for region in regions {
                leading.extend(self.engine(region)?.map(|_| region));
            }
            match leading.as_slice() {
                [leader] if has_primary > 0.0 => return Ok((*leader).clone()),
                _ if begun.elapsed() < crate::network::PATIENCE => {}
                _ => bail!("nobody leads: the control plane says {has_primary}, engines run in {leading:?}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// A figure that the control plane's leader measures of the group `main`.
    pub async fn control(&self, metric: &str) -> Result<f64> {
        let begun = std::time::Instant::now();
        loop {
            let leader = self.leading_control().await?;
            // A leader that has just begun has not measured anything yet, and may be gone by now.
            if let Ok(Some(figure)) = self.metric(&leader, metric, "main").await {
                return Ok(figure);
            }
            ensure!(begun.elapsed() < crate::network::PATIENCE, "{leader} does not measure {metric}");
        }
    }

    /// A figure that a process measures of a group, if it does.
    pub async fn metric(&self, process: &str, metric: &str, group: &str) -> Result<Option<f64>> {
        self.figure(process, &format!("{metric}{{group=\"{group}\"}}")).await
    }

    /// All that a process measures.
    async fn figures(&self, process: &str) -> Result<String> {
        // Whoever was first has done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("http://{}/metrics", self.address(process, "telemetry")?);
        let asked = async { reqwest::get(url).await?.text().await };
        Ok(tokio::time::timeout(FIGURE_WITHIN, asked).await??)
    }

    /// A figure that a process measures, by its name and labels, if it does.
    pub async fn figure(&self, process: &str, name: &str) -> Result<Option<f64>> {
        let text = self.figures(process).await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.map(str::parse).transpose()?)
    }

    /// Notes who led which epoch, by the hosts' logs; no epoch twice. Logs are kept within bounds, so whoever lives
    /// long looks now and then.
    pub fn note_leaders(&mut self) -> Result<()> {
        for region in self.places() {
            let path = self.data().join(format!("log/{}.log", self.edge(&region)));
            let older = std::fs::read_to_string(path.with_extension("log.1")).unwrap_or_default();
            let log = older + &std::fs::read_to_string(path)?;
            for line in log.lines().filter(|line| line.contains("\"leads\"")) {
                let line: Value = serde_json::from_str(line)?;
                let group = line["group"].as_str().context("no group")?.to_owned();
                let epoch = line["epoch"].as_u64().context("no epoch")?;
                let before = self.leaders.insert((group, epoch), region.clone());
                ensure!(before.is_none_or(|before| before == region), "two led epoch {epoch}");
            }
        }
        ensure!(!self.leaders.is_empty(), "nobody ever led");
        Ok(())
    }

    /// Stops the network; then every copy on every host must be whole in itself, and no epoch led by two.
    pub fn stop_and_verify(mut self) -> Result<()> {
        self.stop()?;
        self.note_leaders()?;
        for region in self.places() {
            let config = self.data().join(format!("{}.toml", self.edge(&region)));
            let verified = Command::new(binaries()?.join("locum-edge"))
                .arg("--verify-records")
                .arg("--config")
                .arg(config)
                .output()?;
            let said = [verified.stdout, verified.stderr].concat();
            ensure!(verified.status.success(), "{region}: {}", String::from_utf8_lossy(&said));
        }
        Ok(())
    }

    /// `locum promote` from `network`'s folder, and what it said.
    pub fn promote(&self, region: &str, more: &[&str]) -> Result<(bool, String)> {
        let output = self.promotion(region, more)?.output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// The same, to be run.
    pub fn promotion(&self, region: &str, more: &[&str]) -> Result<Command> {
        let mut command = Command::new(binaries()?.join("locum"));
        command.args(["promote", region, "--data"]).arg(self.data()).args(more);
        Ok(command)
    }

    /// How the network is operated, and what happened lately: `locum-control operations`, of any member that answers.
    pub fn operations(&self) -> Result<Value> {
        let begun = std::time::Instant::now();
        loop {
            let mut said = String::new();
            for member in self.controls() {
                let config = self.data().join(format!("{member}.toml"));
                let mut command = Command::new(binaries()?.join("locum-control"));
                let output = command.args(["operations", "--config"]).arg(config).output()?;
                if output.status.success() {
                    return Ok(serde_json::from_slice(&output.stdout)?);
                }
                said += &String::from_utf8_lossy(&output.stderr);
            }
            ensure!(begun.elapsed() < crate::network::PATIENCE, "no member says how things are: {said}");
        }
    }

    /// What the node list says of a node, by the control plane's word.
    pub fn state_of_node(&self, node: &str) -> Result<String> {
        let operations = self.operations()?;
        let nodes = operations["nodes"].as_array().context("no nodes")?;
        let found = nodes.iter().find(|one| one["node"] == node).with_context(|| node.to_owned())?;
        Ok(found["state"].as_str().context("no state")?.to_owned())
    }

    /// Waits until the node list says so.
    pub fn until_node_is(&self, node: &str, state: &str) -> Result<()> {
        until(&format!("{node} is {state}"), || Ok(self.state_of_node(node)? == state))
    }

    /// What happened of this kind, by a part of its text; each with what it rests on and how long it had lasted.
    pub fn happened(&self, what: &str) -> Result<Vec<(String, String, u64)>> {
        let operations = self.operations()?;
        let entries = operations["timeline"].as_array().context("no timeline")?.iter();
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let told = entries.map(|entry| {
            (text(entry, "what"), text(entry, "why"), entry["afterMs"].as_u64().unwrap_or_default())
        });
        Ok(told.filter(|(said, _, _)| said.contains(what)).collect())
    }

    /// `locum` with these words, about this network; whether it succeeded, and what it said.
    pub fn locum(&self, words: &[&str]) -> Result<(bool, String)> {
        self.locum_as("nobody", words)
    }

    /// The same, at the hands of this operator.
    pub fn locum_as(&self, operator: &str, words: &[&str]) -> Result<(bool, String)> {
        let mut command = Command::new(binaries()?.join("locum"));
        command.env("LOCUM_OPERATOR", operator);
        let output = command.args(words).arg("--data").arg(self.data()).output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// Everything a process has logged.
    pub fn log(&self, process: &str) -> Result<String> {
        let path = self.data().join(format!("log/{process}.log"));
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// The sum of a metric's series that carry a label.
    pub async fn sum(&self, process: &str, metric: &str, label: &str) -> Result<f64> {
        let text = self.figures(process).await?;
        let series =
            text.lines().filter(|line| line.starts_with(&format!("{metric}{{")) && line.contains(label));
        Ok(series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// The folder in which a region's edge host keeps its state.
    pub fn state_of(&self, region: &str) -> PathBuf {
        self.data().join(self.edge(region))
    }

    /// What a region's edge host had is gone with its machine; a new one of that name may join, and has never run.
    pub fn forget(&self, region: &str) -> Result<()> {
        self.forget_and_call(region, &self.edge(region))
    }

    /// The same for a machine that may then join under the name of another host of its region.
    pub fn forget_and_call(&self, place: &str, node: &str) -> Result<()> {
        let (edge, data) = (self.edge(place), self.data());
        let region = place.strip_suffix("-2").unwrap_or(place);
        std::fs::remove_dir_all(self.state_of(place))?;
        let token = Command::new(binaries()?.join("locum-control"))
            .args(["join-token", "--role", "edge", "--node", node, "--region", region, "--config"])
            .arg(data.join("control-1.toml"))
            .output()?;
        ensure!(token.status.success(), "{}", String::from_utf8_lossy(&token.stderr));
        private_file::write(&data.join(format!("{edge}.join")), &token.stdout)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(private_file::write(&data.join(format!("{edge}.key")), key.as_bytes())?)
    }

    /// SIGKILL to a region's engine; returns when it is gone.
    pub fn kill_engine(&self, region: &str) -> Result<()> {
        let engine = self.engine(region)?.with_context(|| format!("no engine in {region}"))?;
        crate::network::signal(engine, libc::SIGKILL);
        until("the engine is gone", || Ok(self.engine(region)? != Some(engine)))
    }
}
