//! Sealed files between hosts of a group: pushed when a document is stored, fetched when one is missing.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use locum_identity::NodeId;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::disk::{Disk, FileHash};
use super::seal::{ObjectId, SEALED_CHUNK_BYTES};
use crate::mesh::{Peers, Question, envelope};
use crate::store::GroupId;

/// Longest wait for each part.
pub(super) const WITHIN: Duration = Duration::from_secs(2);
/// Largest file: 25 MiB, sealed.
const MAX_FILE_BYTES: u64 = 26 << 20;

/// What hosts of a group ask each other.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BlobQuestion {
    /// Keep these bytes, which follow. Answered with [`BlobAnswer::Held`].
    Part {
        /// Whose.
        group: GroupId,
        /// Of which file.
        object: ObjectId,
        /// Where in it.
        offset: u64,
    },
    /// That was all of it. Answered with [`BlobAnswer::Kept`] once it is on the disk.
    Finish {
        /// Whose.
        group: GroupId,
        /// Which file.
        object: ObjectId,
        /// Its SHA-256.
        hash: FileHash,
    },
    /// Send me bytes. Answered with [`BlobAnswer::Bytes`], which they follow.
    Fetch {
        /// Whose.
        group: GroupId,
        /// Of which file.
        object: ObjectId,
        /// Where in it.
        offset: u64,
        /// How many.
        length: u32,
    },
}

/// Answers to [`BlobQuestion`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BlobAnswer {
    /// So much of the file is here.
    Held {
        /// Its length so far.
        bytes: u64,
    },
    /// It is whole and synced.
    Kept,
    /// They follow.
    Bytes,
    /// It is not here, or not what it should be.
    Missing,
}

impl BlobQuestion {
    /// Whose document it is about.
    pub(crate) fn group(&self) -> &GroupId {
        match self {
            Self::Part { group, .. } | Self::Finish { group, .. } | Self::Fetch { group, .. } => group,
        }
    }
}

/// Answers another host of the group; what goes with the answer. Blocks.
pub(super) fn answer(
    disk: &Disk,
    from: &NodeId,
    question: &BlobQuestion,
    bytes: &[u8],
) -> io::Result<(BlobAnswer, Vec<u8>)> {
    let nothing = |answer| (answer, Vec::new());
    match question {
        BlobQuestion::Part { object, offset, .. } => {
            let mut part = disk.part(*object, from.as_str())?;
            if part.bytes() == *offset && offset + bytes.len() as u64 <= MAX_FILE_BYTES {
                part.append(bytes)?;
            }
            Ok(nothing(BlobAnswer::Held { bytes: part.bytes() }))
        }
        BlobQuestion::Finish { object, hash, .. } => {
            // Sent again: the first answer was lost.
            let is_here = disk.find(*object)?.is_some() && disk.hash(*object)?.as_ref() == Some(hash);
            let part = disk.part(*object, from.as_str())?;
            if is_here {
                part.discard();
                return Ok(nothing(BlobAnswer::Kept));
            }
            let kept = disk.keep(*object, part, hash)?;
            Ok(nothing(if kept { BlobAnswer::Kept } else { BlobAnswer::Missing }))
        }
        BlobQuestion::Fetch { object, offset, length, .. } => {
            let length = (*length as usize).min(SEALED_CHUNK_BYTES);
            let found = disk.read(*object, *offset, length)?;
            Ok(found.map_or(nothing(BlobAnswer::Missing), |bytes| (BlobAnswer::Bytes, bytes)))
        }
    }
}

/// Has a whole file of this host kept by another one, synced.
pub(super) async fn push(
    peers: &dyn Peers,
    to: &NodeId,
    disk: &Disk,
    (group, object): (&GroupId, ObjectId),
    (bytes, hash): (u64, FileHash),
) -> io::Result<()> {
    let mut held = 0;
    while held < bytes {
        let length =
            usize::try_from((bytes - held).min(SEALED_CHUNK_BYTES as u64)).map_err(io::Error::other)?;
        let own = disk.clone();
        let part = blocking(move || own.read(object, held, length)).await?;
        let part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
        let question = BlobQuestion::Part { group: group.clone(), object, offset: held };
        match ask(peers, to, question, &part).await?.0 {
            // Also what it has from a try before.
            BlobAnswer::Held { bytes: now } if now > held && now <= bytes => held = now,
            _ => return Err(io::Error::other("the other host does not take it")),
        }
    }
    match ask(peers, to, BlobQuestion::Finish { group: group.clone(), object, hash }, &[]).await?.0 {
        BlobAnswer::Kept => Ok(()),
        _ => Err(io::Error::other("the other host has something else")),
    }
}

/// Bytes of a file of another host; `None` when it has none.
pub(super) async fn fetch(
    peers: &dyn Peers,
    from: &NodeId,
    (group, object): (&GroupId, ObjectId),
    (offset, length): (u64, usize),
) -> io::Result<Option<Vec<u8>>> {
    let length_asked = u32::try_from(length).map_err(io::Error::other)?;
    let question = BlobQuestion::Fetch { group: group.clone(), object, offset, length: length_asked };
    match ask(peers, from, question, &[]).await? {
        (BlobAnswer::Bytes, bytes) if bytes.len() == length => Ok(Some(bytes.to_vec())),
        (BlobAnswer::Missing, _) => Ok(None),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn ask(
    peers: &dyn Peers,
    node: &NodeId,
    question: BlobQuestion,
    bytes: &[u8],
) -> io::Result<(BlobAnswer, Bytes)> {
    let question = envelope::seal(&Question::Blob(question), bytes).map_err(io::Error::other)?;
    let answer = peers.ask(node, &question, WITHIN).await.map_err(io::Error::other)?;
    envelope::open(&Bytes::from(answer)).map_err(io::Error::other)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
