//! `locum up`: a network of separate processes on this machine, with a demo clinic.

mod accounts;
mod child;
mod configuration;
mod data;
mod demo;
mod ports;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use locum_identity::Role;
use locum_telemetry::ReadyFile;
use serde_json::json;

use accounts::Accounts;
use child::Child;
use configuration::Plan;
use data::Data;
use ports::Ports;

use crate::status;

/// A process that is not ready by then is stuck; the first start compiles the functions.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Longer than a process's own grace period.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// Options of `locum up`.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the network keeps everything.
    #[arg(long, default_value = ".locum", value_name = "FOLDER")]
    data: PathBuf,
    /// Regions to run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    regions: u8,
    /// Wipe the folder of an earlier network first.
    #[arg(long)]
    reset: bool,
    /// Print one line of JSON when ready, and nothing else.
    #[arg(long)]
    json: bool,
    /// The functions to run [default: `spin.toml` here or in a folder above].
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Where locum-control, locum-edge and locum-media are [default: beside `locum`].
    #[arg(long, value_name = "FOLDER")]
    bin_dir: Option<PathBuf>,
    #[command(flatten)]
    ports: Ports,
}

/// Runs until a signal asks to stop, or a process dies.
pub(crate) async fn run(options: Options) -> Result<()> {
    if options.regions > 1 {
        bail!("--regions {}: more than one region needs the replicated record store", options.regions);
    }
    let say = Progress { silent: options.json };
    let stop = locum_telemetry::signals::shutdown().context("listen for signals")?;
    let binaries = binaries(options.bin_dir.as_deref())?;
    let manifest = manifest(options.manifest)?;
    let data = Data::open(&options.data, options.reset)?;
    let accounts = Accounts::load_or_make(&data)?;
    options.ports.check()?;
    let mut network =
        Network { plan: Plan { ports: options.ports, manifest }, data, binaries, running: vec![] };

    let started = tokio::select! {
        started = network.start(&accounts, &say) => started,
        () = stop.cancelled() => Ok(None),
    };
    let ended = match started {
        Ok(Some(pages)) => {
            network.report(&accounts, &pages, options.json)?;
            tokio::select! {
                died = network.death() => Err(died),
                () = stop.cancelled() => Ok(()),
            }
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    say.step("stopping");
    network.stop().await;
    ended
}

struct Network {
    plan: Plan,
    data: Data,
    binaries: PathBuf,
    running: Vec<Child>,
}

impl Network {
    async fn start(&mut self, accounts: &Accounts, say: &Progress) -> Result<Option<demo::Pages>> {
        say.step("control plane");
        let config = self.data.write("control-1.toml", &self.plan.control())?;
        self.spawn(Role::Control, &config)?;
        let control = self.ready("control-1").await?.addresses["mesh"];

        say.step("media node and edge host");
        for (role, name) in [(Role::Media, "media-1"), (Role::Edge, "edge-1")] {
            let token = child::join_token(&self.binaries, &config, role, name).await?;
            self.data.write_secret(&format!("{name}.join"), &token)?;
        }
        let media = self.data.write("media-1.toml", &self.plan.media(control))?;
        self.spawn(Role::Media, &media)?;
        self.data.secret("edge-1.key")?;
        let setup_token = self.data.secret("setup-token")?;
        let edge = self.data.write("edge-1.toml", &self.plan.edge(control, &setup_token))?;
        self.spawn(Role::Edge, &edge)?;
        self.ready("media-1").await?;
        let http = self.ready("edge-1").await?.addresses["http"];
        for name in ["media-1", "edge-1"] {
            self.data.remove(&format!("{name}.join"))?;
        }

        say.step("demo clinic");
        let demo = demo::Demo::new(http)?;
        let version = demo.wait_for_media_node().await?;
        self.wait_for_node_list("media-1", version).await?;
        demo.onboard(&setup_token, accounts).await?;
        Ok(Some(demo.pages()))
    }

    fn spawn(&mut self, role: Role, config: &Path) -> Result<()> {
        let name = format!("{role}-1");
        self.data.remove(&format!("run/{name}.json"))?;
        let log = self.data.path(&format!("log/{name}.log"));
        self.running.push(Child::spawn(&name, &self.binaries.join(format!("locum-{role}")), config, log)?);
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

    /// Waits until some process ends by itself, which none should.
    async fn death(&mut self) -> anyhow::Error {
        loop {
            for child in &mut self.running {
                if let Some(how) = child.ended() {
                    return how;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn stop(&mut self) {
        // The edge host first: what it is answering may still need the others.
        for child in self.running.iter_mut().rev() {
            child.ask_to_stop();
        }
        let deadline = tokio::time::Instant::now() + STOP_WITHIN;
        for child in &mut self.running {
            child.wait_or_kill(deadline).await;
        }
    }

    fn report(&self, accounts: &Accounts, pages: &demo::Pages, json: bool) -> Result<()> {
        let mut processes = BTreeMap::new();
        for child in &self.running {
            let path = self.data.path(&format!("run/{}.json", child.name));
            processes.insert(&child.name, ReadyFile::read(&path).with_context(|| child.name.clone())?);
        }
        let text = if json {
            json!({"processes": processes, "accounts": accounts.list, "pages": pages}).to_string()
        } else {
            summary(accounts, pages)
        };
        print(&text);
        Ok(())
    }
}

fn summary(accounts: &Accounts, pages: &demo::Pages) -> String {
    let sign_ins: Vec<String> = accounts
        .list
        .iter()
        .map(|a| format!("    {:<20} {:<16} password {}", a.name, a.username, a.password))
        .collect();
    format!(
        "\n  The network runs. Records: one copy (one region).\n\n\
         \x20 Patients book at     {}\n\
         \x20 The clinic works at  {}\n\
         \x20 Demo outbox          {}\n\n\
         \x20 Sign in as\n{}\n\n\
         \x20 For a call with yourself, use two browser profiles. Ctrl-C stops the network; the data stays.\n",
        pages.patient,
        pages.clinic,
        pages.outbox,
        sign_ins.join("\n"),
    )
}

struct Progress {
    silent: bool,
}

impl Progress {
    fn step(&self, what: &str) {
        if !self.silent {
            print(&format!("locum: {what}"));
        }
    }
}

#[allow(clippy::print_stdout, reason = "what a person asked this tool to say")]
fn print(text: &str) {
    println!("{text}");
}

fn binaries(given: Option<&Path>) -> Result<PathBuf> {
    let folder = match given {
        Some(folder) => folder.to_owned(),
        None => std::env::current_exe()?.parent().context("`locum` has no folder")?.to_owned(),
    };
    for daemon in ["locum-control", "locum-edge", "locum-media"] {
        if !folder.join(daemon).is_file() {
            bail!("no {daemon} in {}: build it, or name its folder with --bin-dir", folder.display());
        }
    }
    Ok(folder)
}

fn manifest(given: Option<PathBuf>) -> Result<PathBuf> {
    let found = match given {
        Some(file) => Some(file),
        None => {
            let here = std::env::current_dir()?;
            here.ancestors().map(|folder| folder.join("spin.toml")).find(|file| file.is_file())
        }
    };
    let file = found.context("no spin.toml here or above: name it with --manifest")?;
    file.canonicalize().with_context(|| format!("find {}", file.display()))
}
