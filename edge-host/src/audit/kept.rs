//! Other hosts' read events, as this host keeps them: the same files, byte for byte.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use locum_identity::{Jwk, NodeId, private_file};

use super::checkpoint;
use super::frame::{self, End, FileName};
use crate::store::GroupId;

/// Everything that other hosts sent.
pub(crate) struct KeptEvents {
    folder: PathBuf,
    /// How far each file goes that was written to since the start.
    ends: Mutex<BTreeMap<PathBuf, (u64, End)>>,
}

/// What was sent is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// Not whole events that follow on from those that are here.
    #[error("these events do not follow on from those before")]
    DoesNotFollow,
    /// The disk says no.
    #[error("keep audit events of another host")]
    File(#[source] io::Error),
}

/// Where events of other hosts of a group are.
pub(crate) fn folder_of(audit: &Path, group: &GroupId, node: &NodeId) -> PathBuf {
    audit.join(group.as_str()).join("from").join(node.as_str())
}

impl KeptEvents {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, ends: Mutex::default() }
    }

    /// Adds `bytes` at `offset` of a node's file and returns how long the file is, synced. Another offset
    /// than that adds nothing: the sender goes on from the answer. Blocks.
    pub(crate) fn append(
        &self,
        (group, node): (&GroupId, &NodeId),
        name: FileName,
        offset: u64,
        bytes: &[u8],
    ) -> Result<u64, KeepError> {
        let folder = folder_of(&self.folder, group, node);
        let path = name.in_folder(&folder);
        // One writer at a time, of all files: they come a few times a second.
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match ends.get(&path) {
            Some(known) => Some(*known),
            None => found(&path, name).map_err(KeepError::File)?,
        };
        let held = known.map_or(0, |(held, _)| held);
        if offset != held || bytes.is_empty() {
            return Ok(held);
        }
        let end = match known {
            Some((_, end)) => match frame::follow(end, bytes, |_| {}) {
                (end, _, None) => end,
                _ => return Err(KeepError::DoesNotFollow),
            },
            None => {
                let walked = frame::walk(name, bytes, |_| {});
                let begins = name.first != 1 || walked.before == FileName::origin(name.log, group);
                if walked.damage.is_some() || !begins {
                    return Err(KeepError::DoesNotFollow);
                }
                walked.end
            }
        };
        write(&folder, &path, offset, bytes).map_err(KeepError::File)?;
        let held = offset + bytes.len() as u64;
        ends.insert(path, (held, end));
        Ok(held)
    }

    /// Keeps a node's signed checkpoint. Blocks.
    pub(crate) fn checkpoint(
        &self,
        (group, node): (&GroupId, &NodeId),
        token: &str,
        key: &Jwk,
    ) -> io::Result<()> {
        checkpoint::keep(&folder_of(&self.folder, group, node), token, key)
    }
}

/// A file that is here since before the start. What a crash left incomplete, or somebody changed, is set
/// aside for people, and the file sent anew.
fn found(path: &Path, name: FileName) -> io::Result<Option<(u64, End)>> {
    let bytes = match private_file::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let walked = frame::walk(name, &bytes, |_| {});
    if walked.damage.is_none() {
        return Ok(Some((walked.bytes, walked.end)));
    }
    tracing::error!(sequence = walked.end.sequence, "another host's audit events are damaged and set aside");
    metrics::counter!("locum_edge_audit_damaged_total").increment(1);
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".damaged-{}", crate::clock::unix_ms()));
    fs::rename(path, aside)?;
    Ok(None)
}

fn write(folder: &Path, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    private_file::create_dir(folder)?;
    let is_new = !path.exists();
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    file.write_all_at(bytes, offset)?;
    file.sync_data()?;
    if is_new {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{event, group, sealer};
    use super::*;

    fn file(events: u64) -> (FileName, Vec<u8>) {
        let (name, mut end) = (FileName { log: 7, first: 1 }, FileName::origin(7, &group()));
        let mut bytes = name.head(&end.hash);
        for number in 0..events {
            let (frame, next) = sealer().frame(7, end, &event(number)).unwrap();
            bytes.extend(frame);
            end = next;
        }
        (name, bytes)
    }

    #[test]
    fn only_what_follows_on_is_kept_and_a_damaged_copy_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (group, node): (_, NodeId) = (group(), "edge-1".parse().unwrap());
        let (name, bytes) = file(4);
        let half = file(2).1.len();
        let kept = KeptEvents::new(folder.path().to_owned());
        let append =
            |kept: &KeptEvents, at: usize, bytes: &[u8]| kept.append((&group, &node), name, at as u64, bytes);
        // The events of this file are sealed with random nonces: only its own bytes follow on.
        let path = name.in_folder(&folder_of(folder.path(), &group, &node));
        assert!(append(&kept, 0, &bytes[10..]).is_err(), "not a file");
        let head = frame::HEADER_BYTES;
        let first = bytes[head..].len() / 4 + head;
        assert_eq!(append(&kept, 0, &bytes[..first]).unwrap(), first as u64);
        assert_eq!(append(&kept, 0, &bytes).unwrap(), first as u64, "sent again");
        assert!(append(&kept, first, &bytes[first..half + 3]).is_err(), "half an event");
        assert!(append(&kept, first, &file(4).1[first..]).is_err(), "of another history");
        assert_eq!(append(&kept, first, &bytes[first..]).unwrap(), bytes.len() as u64);
        assert_eq!(fs::read(&path).unwrap(), bytes);

        let again = KeptEvents::new(folder.path().to_owned());
        assert_eq!(append(&again, 0, &[]).unwrap(), bytes.len() as u64);
        let mut flipped = bytes.clone();
        flipped[first + 9] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let again = KeptEvents::new(folder.path().to_owned());
        assert_eq!(append(&again, 0, &bytes).unwrap(), bytes.len() as u64);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        let aside = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(aside, 2, "the damaged file is kept for people");
    }
}
