//! The folder of a network: its own, locked while the network runs, readable by nobody else.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use locum_identity::private_file;

/// Marks a folder as a network's, so that `--reset` never wipes anything else.
const MARKER: &str = "locum-network";

/// An open data folder. The lock ends with the process.
pub(super) struct Data {
    folder: PathBuf,
    _lock: File,
}

impl Data {
    /// Opens or makes the folder; with `reset`, empties it first.
    pub(super) fn open(folder: &Path, reset: bool) -> Result<Self> {
        let is_ours = folder.join(MARKER).is_file();
        let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
        if !is_ours && !is_empty {
            bail!("{} holds something that is no network: choose another with --data", folder.display());
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("make {}", folder.display()))?;
        let folder = folder.canonicalize().with_context(|| format!("find {}", folder.display()))?;
        let lock = File::create(folder.join(MARKER)).context("make the lock file")?;
        if lock.try_lock().is_err() {
            bail!("a network runs on {} already", folder.display());
        }
        let data = Self { folder, _lock: lock };
        if reset {
            data.wipe().with_context(|| format!("reset {}", data.folder.display()))?;
        }
        for below in ["log", "run"] {
            fs::create_dir_all(data.path(below)).with_context(|| format!("make {below}"))?;
        }
        Ok(data)
    }

    /// A path below the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a configuration file. It may hold secrets, so only its owner reads it.
    pub(super) fn write(&self, name: &str, table: &toml::Table) -> Result<PathBuf> {
        self.write_secret(name, &toml::to_string(table).context("write TOML")?)?;
        Ok(self.path(name))
    }

    /// Writes a file that only its owner reads.
    pub(super) fn write_secret(&self, name: &str, text: &str) -> Result<()> {
        private_file::write(&self.path(name), text.as_bytes()).with_context(|| format!("write {name}"))
    }

    /// The secret kept in `name`: 32 random bytes in hex, made at the first call.
    pub(super) fn secret(&self, name: &str) -> Result<String> {
        if let Some(kept) = self.read(name)? {
            return Ok(kept);
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).context("gather randomness")?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.write_secret(name, &text)?;
        Ok(text)
    }

    /// A file's text, `None` when there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>> {
        match fs::read_to_string(self.path(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {name}")),
        }
    }

    /// Removes a file that may not be there.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {name}"))
            }
            _ => Ok(()),
        }
    }

    /// Empties a folder below.
    pub(super) fn empty(&self, name: &str) -> Result<()> {
        let folder = self.path(name);
        fs::remove_dir_all(&folder)
            .and_then(|()| fs::create_dir(&folder))
            .with_context(|| format!("empty {name}"))
    }

    fn wipe(&self) -> io::Result<()> {
        // The marker is locked, and shows a half-wiped folder to be ours.
        remove_all_but(&self.folder, |name| name == MARKER)
    }
}

/// Removes what is in a folder, but not the entries that stay.
pub(super) fn remove_all_but(folder: &Path, stays: impl Fn(&OsStr) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if stays(&entry.file_name()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::open(&folder.path().join("n"), false).unwrap();
        let secret = data.secret("key").unwrap();
        assert_eq!(secret.len(), 64);
        assert_eq!(data.secret("key").unwrap(), secret);
        assert_ne!(data.secret("other").unwrap(), secret);
    }

    #[test]
    fn one_network_runs_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = Data::open(folder.path(), false).unwrap();
        let error = Data::open(folder.path(), false).err().unwrap().to_string();
        assert!(error.contains("runs on"), "{error}");
        drop(first);
        assert!(Data::open(folder.path(), false).is_ok());
    }

    #[test]
    fn reset_wipes_only_a_network() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("thesis.tex");
        fs::write(&theirs, "years of work").unwrap();
        assert!(Data::open(folder.path(), true).is_err());
        assert!(theirs.is_file());

        let ours = folder.path().join("ours");
        Data::open(&ours, false).unwrap().secret("key").unwrap();
        let data = Data::open(&ours, true).unwrap();
        assert_eq!(data.read("key").unwrap(), None);
        assert!(ours.join(MARKER).is_file());
    }
}
