//! A whole copy on its way from the primary's host to a follower, as raw encrypted pages.
//!
//! It does not come from `sqld`'s log: a log that `sqld` rebuilt from an encrypted file holds that file's pages
//! as they are, encrypted, and only later commits in the clear.
//!
//! On the wire: length (u32, big endian) and JSON of [`Head`], the data file, the copy's own log.

use std::fs::File;
use std::io;
use std::path::Path;

use locum_identity::private_file;
use locum_replication::{Epoch, FrameNo};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::copies::{Copies, CopyError, with_suffix};
use super::log_client::ByteStream;

/// A head is some hundred bytes.
const MAX_HEAD_BYTES: u32 = 4_096;

/// What comes, and what it is worth.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// The copy holds everything up to here; it may hold more, which the log brings again.
    frame: FrameNo,
    data_bytes: u64,
    log_bytes: u64,
    /// The group's key: the stream is encrypted, and only hosts of the group get here.
    key: String,
}

/// A copy did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransferError {
    #[error("read the copy to send")]
    Export(#[source] CopyError),
    #[error("carry the copy")]
    Stream(#[source] io::Error),
    #[error("the other side speaks another version")]
    Head,
    #[error("write the copy")]
    Import(#[source] CopyError),
    #[error("a task was given up")]
    Ended,
}

/// Sends the copy of `epoch`, which holds everything up to `frame`.
pub(super) async fn send(
    copies: Copies,
    epoch: Epoch,
    frame: FrameNo,
    stream: &mut (impl ByteStream + ?Sized),
) -> Result<(), TransferError> {
    let opened = {
        let copies = copies.clone();
        tokio::task::spawn_blocking(move || copies.open_for_sending(epoch))
    };
    // The snapshot inside keeps both files from changing below what is sent.
    let opened = opened.await.map_err(|_| TransferError::Ended)?.map_err(TransferError::Export)?;
    let head = Head {
        frame,
        data_bytes: opened.data_bytes,
        log_bytes: opened.log_bytes,
        key: copies.key().map_err(TransferError::Export)?.expose().to_owned(),
    };
    let head = serde_json::to_vec(&head).map_err(|_| TransferError::Head)?;
    let length = u32::try_from(head.len()).map_err(|_| TransferError::Head)?;
    let sent = async {
        stream.write_u32(length).await?;
        stream.write_all(&head).await?;
        for (file, bytes) in [(&opened.data, opened.data_bytes), (&opened.log, opened.log_bytes)] {
            let Some(file) = file else { continue };
            let file = tokio::fs::File::from_std(file.try_clone()?);
            tokio::io::copy(&mut file.take(bytes), stream).await?;
        }
        stream.shutdown().await
    };
    sent.await.map_err(TransferError::Stream)
}

/// Receives a copy into the folder of `epoch` and says how far it goes. What a former attempt left is replaced.
pub(super) async fn receive(
    copies: Copies,
    epoch: Epoch,
    stream: &mut (impl ByteStream + ?Sized),
) -> Result<FrameNo, TransferError> {
    let length = stream.read_u32().await.map_err(TransferError::Stream)?;
    if length > MAX_HEAD_BYTES {
        return Err(TransferError::Head);
    }
    let mut head = vec![0; length as usize];
    stream.read_exact(&mut head).await.map_err(TransferError::Stream)?;
    let head: Head = serde_json::from_slice(&head).map_err(|_| TransferError::Head)?;
    copies.adopt_key(&head.key).map_err(TransferError::Import)?;
    let data = copies.make(epoch).map_err(TransferError::Import)?;
    for suffix in ["", "-wal", "-shm"] {
        let path = with_suffix(&data, suffix);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(TransferError::Stream(error));
            }
            _ => {}
        }
    }
    write(&data, head.data_bytes, stream).await.map_err(TransferError::Stream)?;
    if head.log_bytes > 0 {
        write(&with_suffix(&data, "-wal"), head.log_bytes, stream).await.map_err(TransferError::Stream)?;
    }
    Ok(head.frame)
}

async fn write(path: &Path, bytes: u64, stream: &mut (impl ByteStream + ?Sized)) -> io::Result<()> {
    // A new file under a new name: a write of an attempt that was given up cannot reach it.
    let part = with_suffix(path, &format!(".{}", uuid::Uuid::new_v4().simple()));
    let mut file = tokio::fs::File::from_std(create(&part)?);
    let copied = tokio::io::copy(&mut stream.take(bytes), &mut file).await?;
    if copied < bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    file.sync_all().await?;
    tokio::fs::rename(&part, path).await
}

fn create(path: &Path) -> io::Result<File> {
    private_file::write(path, b"")?;
    File::options().write(true).open(path)
}
