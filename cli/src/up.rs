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
mod restoring;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use locum_backup::MasterKey;
use serde_json::json;

use crate::output;

use accounts::{Account, Accounts};
use clinics::Placed;
use configuration::{Plan, ZONE};
use data::Data;
use demo::Pages;
use network::Network;
use ports::Ports;
pub(crate) use restoring::{Disk, Restored, Restoring, start_with, without_a_clinic};

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
    /// Edge hosts in each region, 1 or 2: one votes about records, another carries requests to those that do.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(regions::MOST_EDGES)))]
    edges_per_region: u8,
    /// Another clinic, whose records may only be in these of the regions. May be given again.
    #[arg(long = "clinic", value_name = "NAME=REGION,...")]
    clinics: Vec<Placed>,
    /// Let sign-in ask this server (`https://login.example.org`): whoever else vouches for staff, or the keys of an app.
    /// May be given again.
    #[arg(long = "identity-host", value_name = "HOST")]
    identity_hosts: Vec<String>,
    /// Give functions this value of a variable of `spin.toml`. May be given again.
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// The same, with the value in a file: for keys of other services. May be given again.
    #[arg(long = "variable-file", value_name = "NAME=FILE", value_parser = variable)]
    variable_files: Vec<(String, String)>,
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
    /// Send messages to people as this file says: what stands under `[messages]` of an edge host. Without it they are shown in
    /// the demo outbox only.
    #[arg(long, value_name = "FILE")]
    messages: Option<PathBuf>,
    /// Hold a drill so often, as in 7d: one region or process after the other goes away for a moment and comes back
    /// (`locum drill schedule`).
    #[arg(long, value_name = "TIME")]
    drill_every: Option<Every>,
    #[command(flatten)]
    ports: Ports,
}

/// Runs until a signal asks to stop, or a process dies.
pub(crate) async fn run(options: Options) -> Result<()> {
    let say = Progress { silent: options.json };
    let stop = locum_telemetry::signals::shutdown().context("listen for signals")?;
    let daemons = ["locum-control", "locum-edge", "locum-media"];
    let binaries = crate::binaries::folder(options.bin_dir.as_deref(), &daemons)?;
    let manifest = manifest(options.manifest)?;
    let data = Data::open(&options.data, options.reset)?;
    let mut accounts = Accounts::of_demo(&data)?;
    if options.regions == 1 && options.edges_per_region > 1 {
        bail!("--edges-per-region needs several regions: with one, every record is in one host's file");
    }
    let regions = regions::regions(options.regions).into_iter();
    let regions: Vec<_> = regions.map(|region| region.with_edges(options.edges_per_region)).collect();
    options.ports.check(&regions)?;
    if regions.len() == 1 && options.drill_every.is_some() {
        bail!("--drill-every needs several regions: nothing stands in for one");
    }
    let engine = engine(&binaries, regions.len())?;
    let clinics = clinics::clinics(&options.clinics, &regions)?;
    let backup = backup(options.backup_to, options.backup_key, &data)?;
    let (ports, single_copy, identity_hosts) = (options.ports, options.single_copy, options.identity_hosts);
    let variables = options.variables;
    let variable_files = options.variable_files.into_iter().map(seen_from_anywhere).collect::<Result<_>>()?;
    let messages = options.messages.as_deref().map(messages).transpose()?;
    let geography = Some(binaries.join("geography.mmdb")).filter(|file| file.is_file());
    let plan = Plan {
        ports,
        manifest,
        regions,
        clinics,
        single_copy,
        identity_hosts,
        variables,
        variable_files,
        engine,
        backup,
        geography,
        messages,
    };
    let mut network = Network::new(plan, data, binaries);

    let ran = tokio::select! {
        ran = start_and_watch(&mut network, &mut accounts, options.drill_every, &say) => ran,
        () = stop.cancelled() => Ok(()),
    };
    say.step("stopping");
    network.stop().await;
    ran
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be a name, = and a value")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Hosts read it from their own folders.
fn seen_from_anywhere((name, file): (String, String)) -> Result<(String, String)> {
    Ok((name, absolute(Path::new(&file))?.to_string_lossy().into_owned()))
}

/// Returns when something went wrong.
async fn start_and_watch(
    network: &mut Network,
    accounts: &mut Accounts,
    drill_every: Option<Every>,
    say: &Progress,
) -> Result<()> {
    let pages = network.start(accounts, say).await?;
    if let Some(every) = drill_every {
        network.hold_drills(&every.to_string())?;
    }
    let first = pages.first().context("a network has a region")?;
    let text = if say.silent {
        json!({"processes": network.processes()?, "accounts": accounts.usable(), "pages": first}).to_string()
    } else {
        let processes = network.processes()?;
        let dns = processes.values().find_map(|process| process.addresses.get("dns"));
        summary(accounts, &pages, *dns.context("no process answers DNS")?)
    };
    print(&text);
    Err(network.watch().await)
}

fn summary(accounts: &Accounts, pages: &[Pages], dns: SocketAddr) -> String {
    let records = match pages.len() {
        1 => "one copy (one region)".to_owned(),
        regions => format!("every acknowledged change is held by two of {regions} regions"),
    };
    format!(
        "\n  The network runs. Records: {records}.\n\n{}\
         {}\n\
         \x20 Names                dig @{} -p {} app.{ZONE}\n\n\
         \x20 For a call with yourself, use two browser profiles: a doctor admits, the front desk sees the outbox.\n\
         \x20 Ctrl-C stops the network; the data stays.\n",
        pages.iter().map(|region| places(region, pages.len() > 1)).collect::<String>(),
        sign_ins(accounts),
        dns.ip(),
        dns.port(),
    )
}

fn sign_ins(accounts: &Accounts) -> String {
    let line = |a: &Account| {
        let roles = a.roles.join(", ");
        format!("    {:<20} {:<16} password {}  ({roles})\n", a.name, a.username, a.password)
    };
    let list: String = accounts.usable().iter().map(line).collect();
    match (list.is_empty(), accounts.restored) {
        (true, _) => "  Accounts are those of the backup.\n".to_owned(),
        (false, false) => format!("  Sign in as\n{list}"),
        (false, true) => {
            format!("  Sign in as\n{list}  In a clinic from the backup accounts are those of the backup.\n")
        }
    }
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
fn complain(error: &anyhow::Error) {
    output::complain(&format!("locum: {error:#}"));
}

/// The network runs, whether or not anybody can be told.
fn print(text: &str) {
    if let Err(error) = output::print(text) {
        complain(&error);
    }
}

/// What stands in the file; its own paths are absolute, for every host reads it from elsewhere.
fn messages(file: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    text.parse().with_context(|| format!("read {}", file.display()))
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
        let folder = tempfile::tempdir().unwrap();
        let data = Data::open(&folder.path().join("n"), false).unwrap();
        let accounts = Accounts::of_demo(&data).unwrap();
        let dns = "127.0.4.1:5300".parse().unwrap();
        let one = summary(&accounts, &[pages("eu-central")], dns);
        assert!(one.contains("dig @127.0.4.1 -p 5300 app.locum.localhost"), "{one}");
        assert!(one.contains("one copy") && !one.contains("  eu-central\n"), "{one}");
        let three = summary(&accounts, &["us-west", "us-east", "eu-central"].map(pages), dns);
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
