//! Audit files of this host on their way to its archive: whatever they gained, in blocks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use locum_backup::{ArchiveError, ArchiveId, BLOCK_BYTES, ReadError, WriteError};
use locum_identity::{NodeId, private_file};
use tokio::task::spawn_blocking;

use super::source::Source;
use super::taking::TakeError;
use crate::audit::AuditFile;

/// Names the disk, in the host's own folder.
const DISK: &str = "archive-id";

/// What is in the archive.
#[derive(Default)]
pub(crate) struct AuditFiles {
    /// `None`: not looked yet.
    sent: Option<BTreeMap<String, Sent>>,
}

#[derive(Default)]
struct Sent {
    bytes: u64,
    /// The file was like this.
    stamp: Option<(u64, SystemTime)>,
    /// Said that it is shorter than what is in the archive.
    is_short: bool,
}

/// They are not shipped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShipError {
    #[error("open the archive")]
    Archive(#[source] TakeError),
    #[error("look at the archive")]
    Look(#[source] ReadError),
    #[error("read the audit files")]
    File(#[source] io::Error),
    #[error("write to the archive")]
    Write(#[source] WriteError),
}

impl From<ArchiveError> for ShipError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(TakeError::Archive(error))
    }
}

/// The name of this disk's archives, made at its first start. Blocks.
pub(crate) fn archive_id(state_dir: &Path, node: NodeId) -> io::Result<ArchiveId> {
    let path = state_dir.join(DISK);
    let disk = match private_file::read_to_string(&path) {
        Ok(text) => u64::from_str_radix(text.trim(), 16).map_err(io::Error::other)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let disk = getrandom::u64().map_err(io::Error::other)?;
            private_file::write(&path, format!("{disk:016x}").as_bytes())?;
            disk
        }
        Err(error) => return Err(error),
    };
    Ok(ArchiveId::new(node, disk))
}

impl AuditFiles {
    /// Ships what is new; gives the bytes. Nothing is opened or looked at before there is anything.
    pub(crate) async fn ship(&mut self, source: &Source) -> Result<u64, ShipError> {
        let files = {
            let (audit, group) = (Arc::clone(&source.audit), source.group.clone());
            blocking(move || audit.files(&group)).await?
        };
        if files.is_empty() {
            return Ok(0);
        }
        let archive = source.archive().await.map_err(ShipError::Archive)?;
        if self.sent.is_none() {
            let files = archive.files().await.map_err(ShipError::Look)?;
            let sent = |blocks: Vec<u64>| Sent { bytes: blocks.iter().sum(), ..Sent::default() };
            self.sent = Some(files.into_iter().map(|(name, blocks)| (name, sent(blocks))).collect());
        }
        let (known, mut shipped) = (self.sent.get_or_insert_default(), 0);
        for file in files {
            let AuditFile { name, path, bytes, stamp } = file;
            let sent = known.entry(name.clone()).or_default();
            if sent.stamp == Some(stamp) || sent.is_shorter(bytes, &name) {
                continue;
            }
            let first = usize::try_from(sent.bytes.saturating_sub(1)).unwrap_or(usize::MAX) / BLOCK_BYTES;
            for number in first.. {
                let path = path.clone();
                let block = blocking(move || read(&path, number, bytes)).await?;
                let length = block.len();
                if length == 0 {
                    break;
                }
                shipped += archive.put_block(&name, number, block).await.map_err(ShipError::Write)?;
                sent.bytes = (number * BLOCK_BYTES + length) as u64;
                if length < BLOCK_BYTES {
                    break;
                }
            }
            sent.stamp = Some(stamp);
        }
        Ok(shipped)
    }
}

impl Sent {
    /// A file that lost its end on this host keeps it in the archive.
    fn is_shorter(&mut self, bytes: u64, name: &str) -> bool {
        let is_shorter = bytes < self.bytes;
        if is_shorter && !self.is_short {
            tracing::error!(name, bytes, archived = self.bytes, "an audit file is shorter than its archive");
            metrics::counter!("locum_edge_backup_audit_shorter_total").increment(1);
        }
        self.is_short = is_shorter;
        is_shorter
    }
}

/// A block of the first `end` bytes of a file; empty past the end.
fn read(path: &PathBuf, number: usize, end: u64) -> io::Result<Vec<u8>> {
    let offset = (number * BLOCK_BYTES) as u64;
    let length = end.saturating_sub(offset).min(BLOCK_BYTES as u64);
    let mut block = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    File::open(path)?.read_exact_at(&mut block, offset)?;
    Ok(block)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ShipError> {
    let done = spawn_blocking(work).await.map_err(|error| ShipError::File(io::Error::other(error)))?;
    done.map_err(ShipError::File)
}
