//! `locum backup`: backups of a network's records: taken, listed, verified, tried.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use locum_backup::{
    BackupId, BucketAccess, DocumentCheck, Found, Manifest, MasterKey, Place, ReadError, Repository,
    verify_archive,
};
use locum_replication::GroupId;
use serde_json::Value;

use crate::output::{complain, print};

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
    pub(crate) from: String,
    /// Where the backups' keys are, if not there.
    #[arg(long, value_name = "PLACE")]
    pub(crate) keyring: Option<String>,
    /// The backup key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

/// The folder in which `locum-edge` answers operators.
const SOCKET: &str = "operations.sock";

pub(crate) async fn run(command: Backup) -> Result<()> {
    match command {
        Backup::Key { file } => {
            MasterKey::generate(&file)?;
            print(&format!("{}: keep a copy of it where the network is not", file.display()))
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
    pub(crate) fn open(&self) -> Result<Repository> {
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
    let mut outcome = Outcome::default();
    for folder in &folders {
        let host = folder.file_name().map_or_else(|| folder.to_string_lossy(), |name| name.to_string_lossy());
        for said in outcome.take(&host, ask_host(folder, what))? {
            print(&format!("{}: {}", text(&said["group"]), show(&said)).replace('"', ""))?;
        }
    }
    let problems = outcome.problems();
    if problems.is_empty() {
        return Ok(());
    }
    problems.iter().for_each(|problem| complain(&format!("error: {problem}")));
    match (outcome.failed().len(), outcome.groups().len()) {
        (_, 0) => bail!("no host answers"),
        (failed, all) => bail!("{failed} of {all} record groups failed"),
    }
}

/// What the hosts said.
#[derive(Default)]
struct Outcome {
    /// Groups that some host did it for.
    done: BTreeSet<String>,
    /// Group and problem → the hosts that have it. Those that do not lead say so.
    troubled: BTreeMap<(String, String), Vec<String>>,
    /// Hosts without an answer, and why.
    silent: Vec<(String, String)>,
}

impl Outcome {
    /// What a host did, a group each.
    fn take(&mut self, host: &str, answer: Result<Value>) -> Result<Vec<Value>> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.silent.push((host.to_owned(), format!("{error:#}")));
                return Ok(Vec::new());
            }
        };
        let mut did = Vec::new();
        for said in answer["groups"].as_array().context("the host's answer is no list of groups")? {
            let group = text(&said["group"]).to_owned();
            match said["problem"].as_str() {
                Some(problem) => {
                    self.troubled.entry((group, problem.to_owned())).or_default().push(host.to_owned());
                }
                None => {
                    self.done.insert(group);
                    did.push(said.clone());
                }
            }
        }
        Ok(did)
    }

    fn groups(&self) -> BTreeSet<&str> {
        let troubled = self.troubled.keys().map(|(group, _)| group.as_str());
        self.done.iter().map(String::as_str).chain(troubled).collect()
    }

    /// Those that no host did it for.
    fn failed(&self) -> BTreeSet<&str> {
        self.groups().into_iter().filter(|group| !self.done.contains(*group)).collect()
    }

    /// A line each. Who does not answer is missed only when nobody else led: a region may be down.
    fn problems(&self) -> Vec<String> {
        let failed = self.failed();
        let troubled = self.troubled.iter().filter(|((group, _), _)| failed.contains(group.as_str()));
        let mut lines: Vec<String> = troubled
            .map(|((group, problem), hosts)| format!("{group}: {problem} ({})", hosts.join(", ")))
            .collect();
        if !failed.is_empty() || self.done.is_empty() {
            lines.extend(self.silent.iter().map(|(host, problem)| format!("{host}: {problem}")));
        }
        lines
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
    let mut unreadable = 0;
    for (group, found) in backups(repository).await? {
        for Found { id, manifest } in found {
            let listed = match manifest {
                Ok(manifest) => contents(repository, &group, &id, &manifest).await,
                Err(error) => Err(error),
            };
            let said = match listed {
                Ok(contents) => contents,
                Err(ReadError::Unfinished(_)) => "not finished".to_owned(),
                Err(error) => {
                    unreadable += 1;
                    format!("{:#}", anyhow::Error::from(error))
                }
            };
            print(&format!("{group}  {id}  {said}"))?;
        }
    }
    match unreadable {
        0 => Ok(()),
        count => bail!("{count} backups cannot be read"),
    }
}

async fn contents(
    repository: &Repository,
    group: &GroupId,
    id: &BackupId,
    manifest: &Manifest,
) -> Result<String, ReadError> {
    let bytes = u64::from(manifest.pages) * u64::from(manifest.page_bytes);
    let rows: u64 = manifest.tables.values().sum();
    let segments = repository.open(group, id).await?.segments().await?;
    Ok(format!("{}  {bytes} bytes  {rows} rows  {segments} log segments", manifest.taken_at))
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
                self.is_damaged(&format!("{group}  erasure journal"), error)?;
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
                    print(&format!("{group}  {id}  whole, up to {until}, {documents} documents"))?;
                    let missing = verified.manifest.documents_missing;
                    if missing > 0 {
                        print(&format!("{group}  {id}  {missing} more were in no region when it was taken"))?;
                    }
                }
                Err(ReadError::Unfinished(_)) => print(&format!("{group}  {id}  not finished"))?,
                Err(error) => self.is_damaged(&format!("{group}  {id}"), error)?,
            }
        }
        for id in repository.archives(group).await? {
            let verified = match repository.open_archive(group, &id).await {
                Ok(archive) => verify_archive(&archive).await,
                Err(error) => Err(error),
            };
            match verified {
                Ok(files) => print(&format!("{group}  {id}  {files} audit files whole"))?,
                Err(error) => self.is_damaged(&format!("{group}  {id}"), error)?,
            }
        }
        Ok(())
    }

    fn is_damaged(&mut self, what: &str, error: ReadError) -> Result<()> {
        self.damaged += 1;
        print(&format!("{what}  NOT WHOLE: {:#}", anyhow::Error::from(error)))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(outcome: &mut Outcome, host: &str, groups: Value) -> usize {
        outcome.take(host, Ok(json!({ "groups": groups }))).unwrap().len()
    }

    #[test]
    fn every_group_that_failed_is_told_and_no_other() {
        let mut outcome = Outcome::default();
        let no_leader = "this host does not lead the record group";
        let west = json!([
            {"group": "berlin", "problem": no_leader},
            {"group": "main", "backup": "b"},
            {"group": "paris", "problem": "the place is full"},
        ]);
        assert_eq!(answer(&mut outcome, "edge-us-west", west), 1);
        let east = json!([
            {"group": "berlin", "problem": no_leader},
            {"group": "main", "problem": no_leader},
        ]);
        assert_eq!(answer(&mut outcome, "edge-us-east", east), 0);
        outcome.take("edge-eu-central", Err(anyhow::anyhow!("no answer"))).unwrap();
        let expected = [
            "berlin: this host does not lead the record group (edge-us-west, edge-us-east)",
            "paris: the place is full (edge-us-west)",
            "edge-eu-central: no answer",
        ];
        assert_eq!(outcome.problems(), expected);
        assert_eq!((outcome.failed().len(), outcome.groups().len()), (2, 3));
    }

    #[test]
    fn who_does_not_answer_is_missed_only_when_nobody_else_led() {
        let mut outcome = Outcome::default();
        outcome.take("edge-us-west", Err(anyhow::anyhow!("no answer"))).unwrap();
        assert_eq!(outcome.problems(), ["edge-us-west: no answer"]);
        answer(&mut outcome, "edge-us-east", json!([{"group": "main"}]));
        assert!(outcome.problems().is_empty());
        assert!(outcome.take("edge-us-east", Ok(json!({}))).is_err());
    }
}
