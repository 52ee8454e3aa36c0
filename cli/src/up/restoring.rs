//! A network's folder that gets records from a backup, and what is remembered of that.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::clinics::MAIN;
use super::data::{Data, remove_all_but};
use super::regions::{self, Region};
use crate::output::complain;

/// In the network's folder, once something came from a backup.
pub(super) const FILE: &str = "restored.json";

/// The record groups that came from backups, and the regions that may hold each; none where nobody said.
pub(crate) type Restored = BTreeMap<String, Vec<String>>;

/// A network's folder that is about to get records from a backup. Dropped, it is as it was.
pub(crate) struct Restoring {
    regions: Vec<Region>,
    before: Before,
    is_kept: bool,
    /// Locks the folder.
    data: Data,
}

/// What a region's edge host begins with.
pub(crate) struct Disk {
    /// Such as `us-west`.
    pub(crate) region: &'static str,
    pub(crate) state_dir: PathBuf,
    pub(crate) store_key: PathBuf,
}

impl Restoring {
    /// The folder of a network that does not run, with as many regions.
    pub(crate) fn prepare(folder: &Path, count: u8) -> Result<Self> {
        let before = Before::look(folder).with_context(|| format!("look into {}", folder.display()))?;
        let data = Data::open(folder, false)?;
        Ok(Self { regions: regions::regions(count), before, is_kept: false, data })
    }

    /// The names of its regions.
    pub(crate) fn regions(&self) -> Vec<&'static str> {
        self.regions.iter().map(|region| region.name).collect()
    }

    /// With its key, which is made if there is none.
    pub(crate) fn disk(&self, region: &str) -> Result<Disk> {
        let found = self.regions.iter().find(|found| found.name == region).context("no such region")?;
        let key = format!("{}.key", found.edge.name);
        self.data.secret(&key)?;
        let (state_dir, store_key) = (self.data.path(&found.edge.name), self.data.path(&key));
        Ok(Disk { region: found.name, state_dir, store_key })
    }

    /// The records are in their place. Everything that came from backups so far.
    pub(crate) fn keep(mut self, groups: Restored) -> Result<Restored> {
        self.is_kept = true;
        let mut all = restored(&self.data)?;
        all.extend(groups);
        self.data.write_secret(FILE, &serde_json::to_string(&all).context("write JSON")?)?;
        Ok(all)
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        if let Err(error) = self.before.bring_back() {
            let folder = self.before.folder.display();
            complain(&format!("error: something of the restore is left in {folder}: {error}"));
        }
    }
}

/// What came from backups: nothing in most networks.
pub(super) fn restored(data: &Data) -> Result<Restored> {
    match data.read(FILE)? {
        Some(text) => serde_json::from_str(&text).with_context(|| format!("read {FILE}")),
        None => Ok(Restored::new()),
    }
}

/// The command that starts it, as far as backups tell.
pub(crate) fn start_with(folder: &Path, count: u8, restored: &Restored) -> String {
    let there = regions::regions(count);
    let is_there = |name: &str| there.iter().any(|region| region.name == name);
    let mut command = format!("locum up --data {} --regions {count}", folder.display());
    for (group, may_hold) in without_a_clinic(restored).filter(|_| count > 1) {
        let named: Vec<&str> = may_hold.iter().map(String::as_str).filter(|name| is_there(name)).collect();
        // Where nobody said, the person does.
        let named = if named.is_empty() { "REGION,...".to_owned() } else { named.join(",") };
        command += &format!(" --clinic {group}={named}");
    }
    command
}

/// Groups that a network has only when it is started with a clinic for each.
pub(crate) fn without_a_clinic(restored: &Restored) -> impl Iterator<Item = (&String, &Vec<String>)> {
    restored.iter().filter(|(group, _)| *group != MAIN)
}

/// A folder as it was.
struct Before {
    folder: PathBuf,
    /// `None`: it was not there.
    entries: Option<BTreeSet<OsString>>,
    /// Folders above it that were not there, innermost first.
    missing: Vec<PathBuf>,
}

impl Before {
    fn look(folder: &Path) -> io::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let above = folder.ancestors().skip(1);
        let missing = above.take_while(|above| !above.exists()).map(Path::to_owned).collect();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => {
                let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
                Some(names.collect::<io::Result<BTreeSet<_>>>()?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { folder, entries, missing })
    }

    /// Removes what has come since.
    fn bring_back(&self) -> io::Result<()> {
        let Some(before) = &self.entries else {
            fs::remove_dir_all(&self.folder)?;
            // Not what somebody else put something into.
            let _ = self.missing.iter().try_for_each(fs::remove_dir);
            return Ok(());
        };
        remove_all_but(&self.folder, |name| before.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    fn held(regions: &[&str]) -> Vec<String> {
        regions.iter().map(|&region| region.to_owned()).collect()
    }

    /// As a restore would that fails halfway.
    fn begin(folder: &Path) -> Restoring {
        let restoring = Restoring::prepare(folder, 3).unwrap();
        let disk = restoring.disk("us-west").unwrap();
        fs::create_dir_all(disk.state_dir.join("records")).unwrap();
        assert!(disk.store_key.is_file());
        restoring
    }

    #[test]
    fn a_restore_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/network");
        drop(begin(&deep));
        assert!(entries(folder.path()).is_empty());

        fs::create_dir(folder.path().join("a")).unwrap();
        drop(begin(&deep));
        assert!(entries(&folder.path().join("a")).is_empty());

        let empty = folder.path().join("empty");
        fs::create_dir(&empty).unwrap();
        drop(begin(&empty));
        assert!(entries(&empty).is_empty());
    }

    #[test]
    fn a_restore_that_fails_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let network = folder.path().join("network");
        let all = begin(&network).keep(Restored::from([("main".to_owned(), Vec::new())])).unwrap();
        assert_eq!(all.len(), 1);
        let (before, key) = (entries(&network), fs::read(network.join("edge-us-west.key")).unwrap());
        fs::write(network.join("edge-us-west/kept"), "").unwrap();
        drop(begin(&network));
        assert_eq!((entries(&network), fs::read(network.join("edge-us-west.key")).unwrap()), (before, key));
        assert!(network.join("edge-us-west/kept").is_file());

        let all = begin(&network).keep(Restored::from([("berlin".to_owned(), held(&["us-east"]))])).unwrap();
        assert_eq!(all.len(), 2, "one after the other");
        assert_eq!(restored(&Data::open(&network, false).unwrap()).unwrap(), all);
    }

    #[test]
    fn a_folder_that_is_no_network_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "years of work").unwrap();
        assert!(Restoring::prepare(folder.path(), 1).is_err());
        assert_eq!(entries(folder.path()), ["thesis.tex"]);
    }

    #[test]
    fn a_clinic_is_started_where_it_may_be() {
        let restored = Restored::from([
            ("berlin".to_owned(), held(&["eu-central", "us-east", "mars"])),
            ("main".to_owned(), held(&["us-west", "us-east", "eu-central"])),
            ("paris".to_owned(), Vec::new()),
        ]);
        let start = |count| start_with(Path::new(".locum"), count, &restored);
        assert_eq!(
            start(3),
            "locum up --data .locum --regions 3 --clinic berlin=eu-central,us-east --clinic paris=REGION,..."
        );
        assert_eq!(start(1), "locum up --data .locum --regions 1");
    }
}
