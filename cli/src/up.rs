//! `locum up`: a network of separate processes on this machine, with a demo clinic.

pub(crate) mod accounts;
pub(crate) mod again;
pub(crate) mod child;
pub(crate) mod clinics;
mod configuration;
mod data;
mod demo;
mod network;
mod ports;
mod regions;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use locum_backup::MasterKey;
use serde_json::json;

use accounts::Accounts;
use clinics::Placed;
use configuration::Plan;
use data::Data;
use demo::Pages;
use network::Network;
use ports::Ports;

use crate::drill::Every;

/// Options of `locum up`.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the network keeps everything.
    #[arg(long, default_value = ".locum", value_name = "FOLDER")]
    data: PathBuf,
    /// Regions to run, 1 to 3.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(regions::MOST)))]
    regions: u8,
    /// Another clinic, whose records may only be in these of the regions. May be given again.
    #[arg(long = "clinic", value_name = "NAME=REGION,...")]
    clinics: Vec<Placed>,
    /// Acknowledge, and mark, changes that one region alone holds while no second one answers; otherwise records can
    /// then only be read.
    #[arg(long)]
    single_copy: bool,
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
    /// Back the records up there: a folder, or s3://bucket/below with the usual AWS_… variables.
    #[arg(long, value_name = "PLACE")]
    backup_to: Option<String>,
    /// The backup key [default: `backup.key` in the network's folder, made when there is none].
    #[arg(long, value_name = "FILE", requires = "backup_to")]
    backup_key: Option<PathBuf>,
    /// Hold a drill so often, as in 7d: one region or process after the other goes away for a moment and comes back
    /// (`locum drill schedule`).
    #[arg(long, value_name = "TIME")]
    drill_every: Option<Every>,
    #[command(flatten)]
    ports: Ports,
}

/// A network's folder that is about to get records from a backup.
pub(crate) struct Restoring {
    /// Of the region that begins with them.
    pub(crate) state_dir: PathBuf,
    /// Its key.
    pub(crate) store_key: PathBuf,
    /// Locks the folder.
    _data: Data,
}

impl Restoring {
    /// The folder of a network that does not run, with as many regions.
    pub(crate) fn prepare(folder: &Path, count: u8) -> Result<Self> {
        let data = Data::open(folder, false)?;
        let regions = regions::regions(count);
        let edge = &regions.first().context("a network has a region")?.edge;
        let name = format!("{edge}.key");
        data.secret(&name)?;
        Ok(Self { state_dir: data.path(edge), store_key: data.path(&name), _data: data })
    }
}

/// Runs until a signal asks to stop, or a process dies.
pub(crate) async fn run(options: Options) -> Result<()> {
    let say = Progress { silent: options.json };
    let stop = locum_telemetry::signals::shutdown().context("listen for signals")?;
    let daemons = ["locum-control", "locum-edge", "locum-media"];
    let binaries = crate::binaries::folder(options.bin_dir.as_deref(), &daemons)?;
    let manifest = manifest(options.manifest)?;
    let data = Data::open(&options.data, options.reset)?;
    let accounts = Accounts::load_or_make(&data)?;
    let regions = regions::regions(options.regions);
    options.ports.check(&regions)?;
    if regions.len() == 1 && options.drill_every.is_some() {
        bail!("--drill-every needs several regions: nothing stands in for one");
    }
    let engine = engine(&binaries, regions.len())?;
    let clinics = clinics::clinics(&options.clinics, &regions)?;
    let backup = backup(options.backup_to, options.backup_key, &data)?;
    let (ports, single_copy) = (options.ports, options.single_copy);
    let plan = Plan { ports, manifest, regions, clinics, single_copy, engine, backup };
    let mut network = Network::new(plan, data, binaries);

    let ran = tokio::select! {
        ran = start_and_watch(&mut network, &accounts, options.drill_every, &say) => ran,
        () = stop.cancelled() => Ok(()),
    };
    say.step("stopping");
    network.stop().await;
    ran
}

/// Returns when something went wrong.
async fn start_and_watch(
    network: &mut Network,
    accounts: &Accounts,
    drill_every: Option<Every>,
    say: &Progress,
) -> Result<()> {
    let pages = network.start(accounts, say).await?;
    if let Some(every) = drill_every {
        network.hold_drills(&every.to_string())?;
    }
    let first = pages.first().context("a network has a region")?;
    let text = if say.silent {
        json!({"processes": network.processes()?, "accounts": accounts.list, "pages": first}).to_string()
    } else {
        summary(accounts, &pages)
    };
    print(&text);
    Err(network.watch().await)
}

fn summary(accounts: &Accounts, pages: &[Pages]) -> String {
    let sign_ins: Vec<String> = accounts
        .list
        .iter()
        .map(|a| {
            let roles = a.roles.join(", ");
            format!("    {:<20} {:<16} password {}  ({roles})", a.name, a.username, a.password)
        })
        .collect();
    let records = match pages.len() {
        1 => "one copy (one region)".to_owned(),
        regions => format!("every acknowledged change is held by two of {regions} regions"),
    };
    format!(
        "\n  The network runs. Records: {records}.\n\n{}\
         \x20 Sign in as\n{}\n\n\
         \x20 For a call with yourself, use two browser profiles: a doctor admits, the front desk sees the outbox.\n\
         \x20 Ctrl-C stops the network; the data stays.\n",
        pages.iter().map(|region| places(region, pages.len() > 1)).collect::<String>(),
        sign_ins.join("\n"),
    )
}

fn places(pages: &Pages, named: bool) -> String {
    let name = if named { format!("  {}\n", pages.region) } else { String::new() };
    format!(
        "{name}\
         \x20 Patients book at     {}\n\
         \x20 The clinic works at  {}\n\
         \x20 Demo outbox          {}\n\n",
        pages.patient, pages.clinic, pages.outbox,
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

/// What went wrong while the network goes on.
#[allow(clippy::print_stderr, reason = "standard output may be read by a program")]
fn complain(error: &anyhow::Error) {
    eprintln!("locum: {error:#}");
}

#[allow(clippy::print_stdout, reason = "what a person asked this tool to say")]
fn print(text: &str) {
    println!("{text}");
}

/// Where backups go and the key that opens them.
fn backup(to: Option<String>, key: Option<PathBuf>, data: &Data) -> Result<Option<(String, PathBuf)>> {
    let Some(to) = to else { return Ok(None) };
    let to = if to.contains("://") { to } else { absolute(Path::new(&to))?.to_string_lossy().into_owned() };
    let key = absolute(&key.unwrap_or_else(|| data.path("backup.key")))?;
    if !key.exists() {
        MasterKey::generate(&key)?;
    }
    Ok(Some((to, key)))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("find {}", path.display()))
}

/// Where the engine of record replication is; it must be there only when it is needed.
fn engine(binaries: &Path, regions: usize) -> Result<PathBuf> {
    let engine = binaries.join("sqld");
    if regions > 1 && !engine.is_file() {
        bail!("no sqld in {}: several regions need it; `make binaries` puts it there", binaries.display());
    }
    Ok(engine)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(region: &'static str) -> Pages {
        let at = |page: &str| format!("http://app.{region}.example/{page}");
        Pages { region, patient: at("p"), clinic: at("c"), outbox: at("o") }
    }

    #[test]
    fn regions_are_named_only_when_there_is_a_choice() {
        let accounts = Accounts { list: Vec::new() };
        let one = summary(&accounts, &[pages("eu-central")]);
        assert!(one.contains("one copy") && !one.contains("  eu-central\n"), "{one}");
        let three = summary(&accounts, &["us-west", "us-east", "eu-central"].map(pages));
        assert!(three.contains("two of 3 regions"), "{three}");
        for region in ["us-west", "us-east", "eu-central"] {
            assert!(three.contains(&format!("  {region}\n")), "{three}");
            assert!(
                three.contains(&format!("Patients book at     http://app.{region}.example/p")),
                "{three}"
            );
        }
    }

    #[test]
    fn pages_are_told_to_programs_as_ever() {
        let json = serde_json::to_value(pages("us-west")).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["clinic", "outbox", "patient"]);
    }
}
