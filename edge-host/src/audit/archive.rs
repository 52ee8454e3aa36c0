//! Audit files as backups keep them, and on their way back to a host that is restored.
//!
//! ```text
//! own/<file>           of the host whose archive it is
//! from/<node>/<file>   another's, as that host keeps it
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use locum_identity::{Jwks, NodeId, SigningKey, private_file};

use super::checkpoint::{self, Chain, Checkpoint, FILE, KEYS};
use super::frame::{self, End, FileName};
use super::rows::Rows;
use super::{Audit, kept, log, own_folder};
use crate::store::GroupId;

/// A file that only grows, or is replaced whole.
pub(crate) struct AuditFile {
    /// In an archive.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// As much as is on the disk for good.
    pub(crate) bytes: u64,
    /// Another one means that it has changed.
    pub(crate) stamp: (u64, SystemTime),
}

/// Puts together what several archives hold of the same logs. Blocks.
pub(crate) struct Gathered {
    /// Node → its log files, each with the copy that goes furthest.
    logs: BTreeMap<(NodeId, FileName), PathBuf>,
    /// Node → what it signed, and the keys.
    signed: BTreeMap<NodeId, (BTreeSet<String>, Jwks)>,
}

impl Audit {
    /// The files of a group on this host that go into its archive. Blocks.
    pub(crate) fn files(&self, group: &GroupId) -> io::Result<Vec<AuditFile>> {
        let own = self.own_folder(group);
        let mut found = Vec::new();
        let end = self.own_end(group, &own)?;
        add(&mut found, &own, "own", end)?;
        for node in folders(&own.with_file_name("from"))? {
            let (folder, name) = (own.with_file_name("from").join(&node), format!("from/{node}"));
            add(&mut found, &folder, &name, None)?;
        }
        Ok(found)
    }

    /// How much of the log that is added to was not left by a crash.
    fn own_end(&self, group: &GroupId, own: &Path) -> io::Result<Option<(FileName, u64)>> {
        if let Some(log) = self.groups.get(group).and_then(|own| own.log.get()) {
            let synced = *log.synced().borrow();
            return Ok(Some((synced.file, synced.bytes)));
        }
        let current = match log::current(own) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            current => current?,
        };
        let Some(file) = current else { return Ok(None) };
        let walked = frame::walk(file, &private_file::read(&file.in_folder(own))?, |_| {});
        Ok(Some((file, walked.bytes)))
    }
}

/// Adds the files of one folder.
fn add(
    found: &mut Vec<AuditFile>,
    folder: &Path,
    below: &str,
    end: Option<(FileName, u64)>,
) -> io::Result<()> {
    for name in names(folder)? {
        let log = FileName::parse(&name);
        if log.is_none() && name != FILE && name != KEYS {
            continue;
        }
        let path = folder.join(&name);
        let metadata = fs::metadata(&path)?;
        let bytes = match end {
            Some((file, bytes)) if log == Some(file) => bytes,
            _ => metadata.len(),
        };
        let stamp = (bytes, metadata.modified()?);
        found.push(AuditFile { name: format!("{below}/{name}"), path, bytes, stamp });
    }
    Ok(())
}

impl Gathered {
    pub(crate) fn new() -> Self {
        Self { logs: BTreeMap::new(), signed: BTreeMap::new() }
    }

    /// Takes in a file of the archive of `holder`, which lies at `path`, complete. One of another kind is
    /// passed over.
    pub(crate) fn take(&mut self, holder: &NodeId, name: &str, path: &Path) -> io::Result<()> {
        let (owner, file) = match name.split('/').collect::<Vec<_>>()[..] {
            ["own", file] => (holder.clone(), file),
            ["from", node, file] => (node.parse().map_err(io::Error::other)?, file),
            _ => return Ok(()),
        };
        if let Some(log) = FileName::parse(file) {
            let longest = self.logs.entry((owner, log)).or_insert_with(|| path.to_owned());
            if fs::metadata(path)?.len() > fs::metadata(&*longest)?.len() {
                path.clone_into(longest);
            }
            return Ok(());
        }
        let (lines, keys) = self.signed.entry(owner).or_default();
        match file {
            FILE => lines.extend(checkpoint::lines(&fs::read(path)?)),
            KEYS => {
                let found: Jwks = serde_json::from_slice(&fs::read(path)?)?;
                let new = found.keys.into_iter().filter(|key| !keys.keys.contains(key));
                keys.keys.extend(new.collect::<Vec<_>>());
            }
            _ => {}
        }
        Ok(())
    }

    /// Puts everything below `audit` as other hosts' events: this host's own log begins anew. Synced.
    pub(crate) fn place(self, audit: &Path, group: &GroupId) -> io::Result<()> {
        let mut written = BTreeSet::new();
        for ((owner, file), path) in self.logs {
            let folder = kept::folder_of(audit, group, &owner);
            private_file::create_dir(&folder)?;
            let to = file.in_folder(&folder);
            fs::rename(path, &to)?;
            fs::File::open(&to)?.sync_all()?;
            written.insert(folder);
        }
        for (owner, (lines, keys)) in self.signed {
            let folder = kept::folder_of(audit, group, &owner);
            private_file::create_dir(&folder)?;
            let lines: String = lines.into_iter().map(|line| line + "\n").collect();
            private_file::write(&folder.join(FILE), lines.as_bytes())?;
            private_file::write(&folder.join(KEYS), &serde_json::to_vec(&keys)?)?;
        }
        for folder in written {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

/// Signs that the rows of a group go on from here, whatever was signed for before: a backup holds no more.
/// `before` is when the newest of those was signed. Blocks.
pub(crate) fn begin_again(
    audit: &Path,
    group: &GroupId,
    rows: &Rows,
    (region, before): (&str, i64),
    key: &SigningKey,
) -> io::Result<()> {
    let end = End { sequence: rows.chained, hash: rows.end };
    let chain = Chain::Restored(rows.chained + rows.unchained);
    let mut checkpoint = Checkpoint::new(group, chain, end, (region, "restore"));
    // Clocks of hosts differ.
    checkpoint.at_ms = checkpoint.at_ms.max(before);
    let token = checkpoint.sign(key).ok_or_else(|| io::Error::other("a checkpoint cannot be signed"))?;
    checkpoint::keep(&own_folder(audit, group), &token, &key.jwk())
}

/// When the newest checkpoint below `audit` was signed. Blocks.
pub(crate) fn newest_signature(audit: &Path, group: &GroupId) -> io::Result<i64> {
    let from = own_folder(audit, group).with_file_name("from");
    let mut newest = 0;
    for node in folders(&from)? {
        let (checkpoints, _) = checkpoint::read(&from.join(node))?;
        newest = checkpoints.iter().map(|checkpoint| checkpoint.at_ms).fold(newest, i64::max);
    }
    Ok(newest)
}

fn folders(folder: &Path) -> io::Result<Vec<String>> {
    let is_folder = |name: &String| folder.join(name).is_dir();
    Ok(names(folder)?.into_iter().filter(is_folder).collect())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
