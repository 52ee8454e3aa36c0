//! `locum backup`: backups of a network's records: taken, listed, verified, tried.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use locum_backup::{
    BucketAccess, DocumentCheck, Found, MasterKey, Place, ReadError, Repository, verify_archive,
};
use locum_replication::GroupId;
use serde_json::Value;

#[derive(Subcommand)]
pub(crate) enum Backup {
    /// Make a backup key: 32 random bytes that open every backup. Keep it apart from the network.
    Key {
        /// A new file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Take a whole backup of every record group now.
    Now(Network),
    /// Restore the newest backup of every group into a scratch place of its host, and check it.
    Drill(Network),
    /// List the backups.
    List(Where),
    /// Read every part of every backup and check it. Exit code 1 when one is not whole.
    Verify(Where),
}

/// A running network.
#[derive(Args)]
pub(crate) struct Network {
    /// The folder of a network on this machine.
    #[arg(long, default_value = ".locum", value_name = "FOLDER")]
    data: PathBuf,
    /// An edge host's own folder (`state_dir`), instead.
    #[arg(long, value_name = "FOLDER", conflicts_with = "data")]
    state_dir: Option<PathBuf>,
}

/// Backups.
#[derive(Args)]
pub(crate) struct Where {
    /// A folder, or s3://bucket/below with the usual AWS_… variables.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// Where the backups' keys are, if not there.
    #[arg(long, value_name = "PLACE")]
    keyring: Option<String>,
    /// The backup key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// The folder in which `locum-edge` answers operators.
const SOCKET: &str = "operations.sock";

pub(crate) async fn run(command: Backup) -> Result<()> {
    match command {
        Backup::Key { file } => {
            MasterKey::generate(&file)?;
            print(&format!("{}: keep a copy of it where the network is not", file.display()));
            Ok(())
        }
        Backup::Now(network) => ask(&network, "backup", |said| {
            format!(
                "backup {}, {} of {} bytes in {:.1} s",
                said["backup"],
                said["sealed"],
                said["bytes"],
                seconds(said)
            )
        }),
        Backup::Drill(network) => ask(&network, "drill", |said| {
            format!(
                "backup {} came back as of {}: {} rows, {} documents, {} bytes in {:.1} s",
                said["backup"],
                said["until"],
                said["rows"],
                said["documents"],
                said["bytes"],
                seconds(said)
            )
        }),
        Backup::List(place) => list(&place.open()?).await,
        Backup::Verify(place) => verify(&place.open()?).await,
    }
}

impl Where {
    fn open(&self) -> Result<Repository> {
        let open = |place: &str| Place::open(place, &BucketAccess::default(), false);
        let place = open(&self.from)?;
        let keyring = self.keyring.as_deref().map_or_else(|| Ok(place.clone()), open)?;
        Ok(Repository::new(place, keyring, MasterKey::read(&self.key)?))
    }
}

/// Every host is asked; each group has one that leads it.
fn ask(network: &Network, what: &str, show: impl Fn(&Value) -> String) -> Result<()> {
    let folders = match &network.state_dir {
        Some(folder) => vec![folder.clone()],
        None => edge_hosts(&network.data)?,
    };
    let (mut done, mut problems) = (Vec::new(), Vec::new());
    for folder in &folders {
        let answer = match ask_host(folder, what) {
            Ok(answer) => answer,
            // A region may be down; another one leads then.
            Err(error) => {
                problems.push((Value::Null, format!("{}: {error:#}", folder.display())));
                continue;
            }
        };
        for said in answer["groups"].as_array().context("the host's answer is no list of groups")? {
            match said["problem"].as_str() {
                Some(problem) => problems.push((said["group"].clone(), problem.to_owned())),
                None => {
                    print(&format!("{}: {}", text(&said["group"]), show(said)).replace('"', ""));
                    done.push(said["group"].clone());
                }
            }
        }
    }
    problems.retain(|(group, _)| !done.contains(group));
    // Who does not answer is missed only when nobody else led.
    let missed = problems.iter().find(|(group, _)| !group.is_null() || done.is_empty());
    match missed {
        Some((group, problem)) => bail!("{} {problem}", text(group)),
        None => Ok(()),
    }
}

fn ask_host(state_dir: &Path, what: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(state_dir.join(SOCKET))
        .context("no answer: the host does not run, or has no [backup] in its configuration")?;
    writeln!(stream, "{{\"do\": \"{what}\"}}")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer: Value = serde_json::from_str(&line).context("read the answer")?;
    match answer["error"].as_str() {
        Some(error) => bail!("{error}"),
        None => Ok(answer),
    }
}

fn edge_hosts(data: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(data).with_context(|| format!("no network in {}", data.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = paths.filter(|path| path.join(SOCKET).exists()).collect();
    found.sort();
    if found.is_empty() {
        bail!("no host in {} backs anything up: start it with --backup-to", data.display());
    }
    Ok(found)
}

async fn list(repository: &Repository) -> Result<()> {
    for (group, found) in backups(repository).await? {
        for Found { id, manifest } in found {
            let said = match manifest {
                Ok(manifest) => {
                    let bytes = u64::from(manifest.pages) * u64::from(manifest.page_bytes);
                    let rows: u64 = manifest.tables.values().sum();
                    let segments = repository.open(&group, &id).await?.segments().await?;
                    format!("{}  {bytes} bytes  {rows} rows  {segments} log segments", manifest.taken_at)
                }
                Err(ReadError::Unfinished(_)) => "not finished".to_owned(),
                Err(error) => format!("{:#}", anyhow::Error::from(error)),
            };
            print(&format!("{group}  {id}  {said}"));
        }
    }
    Ok(())
}

async fn verify(repository: &Repository) -> Result<()> {
    let mut verified = Verified::default();
    for (group, found) in backups(repository).await? {
        verified.group(repository, &group, found).await?;
    }
    match (verified.whole, verified.damaged) {
        (0, 0) => bail!("there is no backup"),
        (_, 0) => Ok(()),
        (_, damaged) => bail!("{damaged} backups or archives are not whole"),
    }
}

/// How many there are of each.
#[derive(Default)]
struct Verified {
    whole: u32,
    damaged: u32,
}

impl Verified {
    async fn group(&mut self, repository: &Repository, group: &GroupId, found: Vec<Found>) -> Result<()> {
        let mut documents = match DocumentCheck::begin(repository, group).await {
            Ok(documents) => documents,
            Err(error) => {
                self.is_damaged(&format!("{group}  erasure journal"), error);
                DocumentCheck::default()
            }
        };
        for Found { id, .. } in found {
            let verified = match repository.open(group, &id).await {
                Ok(opened) => opened.verify(&mut documents).await,
                Err(error) => Err(error),
            };
            match verified {
                Ok(verified) => {
                    self.whole += 1;
                    let (until, documents) = (verified.until, verified.documents);
                    print(&format!("{group}  {id}  whole, up to {until}, {documents} documents"));
                    let missing = verified.manifest.documents_missing;
                    if missing > 0 {
                        print(&format!("{group}  {id}  {missing} more were in no region when it was taken"));
                    }
                }
                Err(ReadError::Unfinished(_)) => print(&format!("{group}  {id}  not finished")),
                Err(error) => self.is_damaged(&format!("{group}  {id}"), error),
            }
        }
        for id in repository.archives(group).await? {
            let verified = match repository.open_archive(group, &id).await {
                Ok(archive) => verify_archive(&archive).await,
                Err(error) => Err(error),
            };
            match verified {
                Ok(files) => print(&format!("{group}  {id}  {files} audit files whole")),
                Err(error) => self.is_damaged(&format!("{group}  {id}"), error),
            }
        }
        Ok(())
    }

    fn is_damaged(&mut self, what: &str, error: ReadError) {
        self.damaged += 1;
        print(&format!("{what}  NOT WHOLE: {:#}", anyhow::Error::from(error)));
    }
}

async fn backups(repository: &Repository) -> Result<Vec<(GroupId, Vec<Found>)>> {
    let mut all = Vec::new();
    for group in repository.groups().await? {
        let found = repository.backups(&group).await?;
        all.push((group, found));
    }
    Ok(all)
}

fn seconds(said: &Value) -> f64 {
    said["seconds"].as_f64().unwrap_or(0.0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[allow(clippy::print_stdout, reason = "what a person asked this tool to say")]
fn print(text: &str) {
    println!("{text}");
}
