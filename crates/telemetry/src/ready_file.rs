//! The file by which a process says, to whoever started it, that it is ready and where.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What a ready file holds.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadyFile {
    /// The process.
    pub pid: u32,
    /// Where it listens, by name: `http`, `telemetry`, `mesh`, …
    pub addresses: BTreeMap<String, SocketAddr>,
}

impl ReadyFile {
    /// Reads one. The process it names may have died since.
    ///
    /// # Errors
    /// `InvalidData` when it is no ready file, otherwise whatever the file system says.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}

/// Writes this process's ready file: whole or not at all. Makes the folder if it is missing.
///
/// # Errors
/// Whatever the file system says.
pub fn write_ready_file(path: &Path, addresses: &BTreeMap<String, SocketAddr>) -> io::Result<()> {
    let ready = ReadyFile { pid: std::process::id(), addresses: addresses.clone() };
    let beside = path.with_extension(format!("{}.new", ready.pid));
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&beside, serde_json::to_vec(&ready)?)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/edge-1.json");
        let addresses = BTreeMap::from([("http".to_owned(), "127.0.0.1:8080".parse().unwrap())]);
        write_ready_file(&path, &addresses).unwrap();
        let ready = ReadyFile::read(&path).unwrap();
        assert_eq!(ready, ReadyFile { pid: std::process::id(), addresses });
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }
}
