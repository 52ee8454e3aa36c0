//! `locum restore`: a network on this machine begins with what a backup holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use locum_backup::BackupId;
use locum_identity::RegionId;
use locum_replication::GroupId;
use serde_json::Value;

use crate::backup::Where;
use crate::binaries;
use crate::output::print;
use crate::up::{Disk, Restored, Restoring, start_with, without_a_clinic};

/// Options of `locum restore`. An edge host of its own is restored by `locum-edge restore`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Where,
    /// This record group only; may be given again [default: all that there are].
    #[arg(long = "group")]
    groups: Vec<GroupId>,
    /// As it was then, such as 2026-11-22T10:00:00Z [default: as new as there is].
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// This backup, not the newest that fits; `locum backup list` names them.
    #[arg(long, value_name = "NAME")]
    backup: Option<BackupId>,
    /// The folder of the new network; `locum up --data` with as many regions starts it.
    #[arg(long, default_value = ".locum", value_name = "FOLDER")]
    to: PathBuf,
    /// Regions that it will have.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    regions: u8,
    /// Where locum-edge is [default: beside `locum`].
    #[arg(long, value_name = "FOLDER")]
    bin_dir: Option<PathBuf>,
}

/// The edge hosts' own code writes their disks.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let edge = binaries::folder(options.bin_dir.as_deref(), &["locum-edge"])?.join("locum-edge");
    let to = Restoring::prepare(&options.to, options.regions)?;
    let mut groups = Vec::new();
    for (region, of_region) in &hosts(options, &to.regions()).await? {
        let disk = to.disk(region)?;
        let done = command(options, &edge, &disk, of_region).output().context("start locum-edge")?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            bail!("{}", said.trim().trim_start_matches("error: "));
        }
        let said: Value = serde_json::from_slice(&done.stdout).context("read what locum-edge said")?;
        groups.extend(said["restored"].as_array().context("read what locum-edge said")?.iter().cloned());
    }
    let restored = to.keep(placed(&groups))?;
    groups.iter().try_for_each(report)?;
    if options.regions == 1 {
        for (group, _) in without_a_clinic(&restored) {
            print(&format!("{group}: one region has no clinic for it; restore it with --regions 2 or 3"))?;
        }
    }
    print(&format!("start it with: {}", start_with(&options.to, options.regions, &restored)))
}

/// Each group comes to the first of these regions that may hold it.
async fn hosts(options: &Options, regions: &[&'static str]) -> Result<BTreeMap<&'static str, Vec<GroupId>>> {
    let repository = options.place.open()?;
    let groups = match &*options.groups {
        [] => repository.groups().await?,
        named => named.to_vec(),
    };
    if groups.is_empty() {
        bail!("no backups in {}", options.place.from);
    }
    let mut hosts = BTreeMap::<_, Vec<_>>::new();
    for group in groups {
        let backups = repository.backups(&group).await?;
        let newest = backups.into_iter().rev().find_map(|found| found.manifest.ok());
        // What cannot be read locum-edge says better.
        let allowed = newest.map(|manifest| manifest.regions).unwrap_or_default();
        hosts.entry(home(&group, &allowed, regions)?).or_default().push(group);
    }
    Ok(hosts)
}

/// `allowed` is empty where nobody says.
fn home(group: &GroupId, allowed: &[RegionId], regions: &[&'static str]) -> Result<&'static str> {
    let may_hold =
        |region: &&&str| allowed.is_empty() || allowed.iter().any(|name| name.as_str() == **region);
    regions.iter().find(may_hold).copied().with_context(|| {
        let allowed: Vec<&str> = allowed.iter().map(RegionId::as_str).collect();
        let (allowed, there) = (allowed.join(" or "), regions.join(", "));
        format!(
            "record group {group} belongs in {allowed}, and this network has {there}: give it more --regions, or name \
             the other groups with --group"
        )
    })
}

fn command(options: &Options, edge: &Path, to: &Disk, groups: &[GroupId]) -> Command {
    let Where { from, key, keyring } = &options.place;
    let mut command = Command::new(edge);
    command.arg("restore").arg("--from").arg(from).arg("--key").arg(key);
    command.arg("--state-dir").arg(&to.state_dir).arg("--store-key").arg(&to.store_key);
    command.arg("--region").arg(to.region);
    if let Some(keyring) = keyring {
        command.arg("--keyring").arg(keyring);
    }
    for group in groups {
        command.arg("--group").arg(group.as_str());
    }
    if let Some(at) = &options.at {
        command.arg("--at").arg(at.to_string());
    }
    if let Some(backup) = &options.backup {
        command.arg("--backup").arg(backup.to_string());
    }
    if options.regions > 1 {
        command.arg("--replicated");
    }
    command
}

/// The groups that are back, and where each may be, if the backup says so.
fn placed(groups: &[Value]) -> Restored {
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let named = |group: &Value| Some((group["group"].as_str()?.to_owned(), texts(&group["regions"])));
    groups.iter().filter_map(named).collect()
}

fn report(group: &Value) -> Result<()> {
    let text = |key: &str| group[key].as_str().unwrap_or_default();
    print(&format!(
        "{}: as of {}, from backup {} and {} segments of its log: {} rows, {} documents",
        text("group"),
        text("until"),
        text("backup"),
        group["segments"],
        group["rows"],
        group["documents"]
    ))?;
    for (key, what) in [
        ("erased", "erased since then, and erased again"),
        ("documents_missing", "documents were in no region when it was backed up"),
    ] {
        if group[key].as_u64().is_some_and(|count| count > 0) {
            print(&format!("{}: {} {what}", text("group"), group[key]))?;
        }
    }
    for problem in group["audit_problems"].as_array().into_iter().flatten() {
        print(&format!("{}: audit events: {}", text("group"), problem.as_str().unwrap_or_default()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(more: &[&str]) -> Result<Options, clap::Error> {
        let line = [&["restore", "--from", "backups", "--key", "backup.key"][..], more].concat();
        Line::try_parse_from(line).map(|line| line.options)
    }

    fn words(more: &[&str]) -> String {
        let options = parse(more).unwrap();
        let to = Disk { region: "us-east", state_dir: "state".into(), store_key: "store.key".into() };
        let command = command(&options, "locum-edge".as_ref(), &to, &options.groups);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    #[test]
    fn what_is_chosen_is_handed_on() {
        let all = "restore --from backups --key backup.key --state-dir state --store-key store.key --region us-east";
        assert_eq!(words(&[]), all);
        let chosen =
            "--group berlin --group main --at 2026-11-22T10:00:00Z --backup 20261122T120000.123456Z-0123abcd";
        let more: Vec<&str> = chosen.split(' ').chain(["--regions", "3"]).collect();
        assert_eq!(words(&more), format!("{all} {chosen} --replicated"));
    }

    #[test]
    fn a_group_comes_to_where_it_may_be() {
        let group: GroupId = "berlin".parse().unwrap();
        let allowed: Vec<RegionId> = vec!["eu-central".parse().unwrap(), "us-east".parse().unwrap()];
        assert_eq!(home(&group, &allowed, &["us-west", "us-east", "eu-central"]).unwrap(), "us-east");
        assert_eq!(home(&group, &[], &["us-west"]).unwrap(), "us-west");
        let refused = home(&group, &allowed, &["us-west"]).unwrap_err().to_string();
        assert!(refused.contains("belongs in eu-central or us-east"), "{refused}");
    }

    #[test]
    fn what_cannot_be_is_a_wrong_command_line() {
        for wrong in [["--at", "yesterday"], ["--backup", "newest"], ["--group", "a/b"]] {
            assert_eq!(parse(&wrong).err().unwrap().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn where_a_group_may_be_is_known_if_the_backup_says_so() {
        let groups = [json!({"group": "berlin", "regions": ["us-east"]}), json!({"group": "main"})];
        let expected = [("berlin".to_owned(), vec!["us-east".to_owned()]), ("main".to_owned(), Vec::new())];
        assert_eq!(placed(&groups), Restored::from(expected));
    }
}
