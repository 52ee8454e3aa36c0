//! A follower's copy is brought up to the primary's: both hash their pages, and only those that differ travel.
//!
//! It does not come from `sqld`'s log: a log that `sqld` rebuilt from an encrypted file holds that file's pages
//! as they are, encrypted, and only later commits in the clear.
//!
//! | from | what (numbers big endian) |
//! |---|---|
//! | follower | what it wants: [`WANTS_PAGES`] or [`WANTS_NUMBERS`] |
//! | primary | length (u32) and JSON of [`Head`] |
//! | follower | how many pages it has (u32), and the hash of each, in order |
//! | primary, meanwhile | number (u32) of each page that differs, and its content; 0 and the hash of all hashes |
//!
//! The first page always travels: it says where the primary's copy stood.

use std::collections::BTreeMap;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use locum_replication::{Epoch, Position};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::applier::Stamp;
use super::copies::{Copies, CopyError, WITHIN};
use super::digest::{HASH_BYTES, PageHash, PageHasher};
use super::log_client::ByteStream;
use crate::store::SqlError;
use crate::store::pages::{PageBuilder, PageReader, Shape};
use crate::store::readers::Readers;

/// The pages that differ.
const WANTS_PAGES: u8 = 1;
/// Only their numbers: the copies are compared.
const WANTS_NUMBERS: u8 = 2;
/// A head is some hundred bytes.
const MAX_HEAD_BYTES: u32 = 4_096;
/// SQLite's own bound.
const MAX_PAGE_BYTES: u32 = 1 << 16;
/// What is written together.
const BUFFER_BYTES: usize = 1 << 16;

/// What comes, and what it is worth.
#[derive(Deserialize, Serialize)]
struct Head {
    /// Where the snapshot stands.
    position: Position,
    page_bytes: u32,
    pages: u32,
    /// The group's key: the stream is encrypted, and only hosts of the group get here.
    key: String,
}

/// What a transfer moved.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Moved {
    pub(super) pages: u32,
    /// Of how many.
    pub(super) of: u32,
    /// Hashes, pages and what goes with them, in both directions.
    pub(super) bytes: u64,
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Compared {
    /// The copies stand at different positions.
    NotAligned,
    /// So many pages differ.
    Differing { at: Position, pages: u32 },
}

/// A copy did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransferError {
    #[error("use the copy")]
    Copy(#[source] CopyError),
    #[error("read or write pages")]
    Pages(#[from] SqlError),
    #[error("carry pages")]
    Stream(#[from] io::Error),
    #[error("the other side speaks another version")]
    Version,
    #[error("the copy would not be what the primary has")]
    Different,
    #[error("a task was given up")]
    Ended,
}

/// One direction of a stream, used by a thread that may block. Ends when told to stop.
struct Blocking<S> {
    half: S,
    runtime: Handle,
    stop: CancellationToken,
}

/// Answers a follower from the copy of `epoch`.
pub(super) async fn send(
    copies: Copies,
    epoch: Epoch,
    stream: impl ByteStream + 'static,
) -> Result<(), TransferError> {
    let (read, write) = tokio::io::split(stream);
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    let (mut read, mut write) = (Blocking::new(read, &stop), Blocking::new(write, &stop));
    blocking(move || {
        let mut reader = open(&copies, epoch)?;
        let first = reader.first_page()?;
        let stamp = Stamp::of(&first).ok_or(TransferError::Version)?;
        let Shape { page_bytes, pages } = reader.shape();
        let key = copies.key().map_err(TransferError::Copy)?;
        let wants = one::<1>(&mut read)?;
        let head = Head { position: stamp.position, page_bytes, pages, key: key.expose().to_owned() };
        let head = serde_json::to_vec(&head).map_err(|_| TransferError::Version)?;
        write.write_all(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes())?;
        write.write_all(&head)?;
        let hasher = copies.hasher().map_err(TransferError::Copy)?;
        answer(&mut reader, &hasher, wants == [WANTS_PAGES], read, &mut write)?;
        Ok(write.wait(AsyncWriteExt::shutdown)?)
    })
    .await
}

/// Compares page by page with what the follower says of its own.
fn answer(
    reader: &mut PageReader,
    hasher: &PageHasher,
    with_pages: bool,
    theirs: impl Read,
    out: impl Write,
) -> Result<(), TransferError> {
    let (mut theirs, mut out) = (BufReader::new(theirs), BufWriter::with_capacity(BUFFER_BYTES, out));
    let known = u32::from_be_bytes(one(&mut theirs)?);
    let mut whole = hasher.whole();
    reader.each(reader.shape().numbers(), |number, bytes| {
        let hash = hasher.page(number, &bytes);
        whole.add(&hash);
        let is_same = number <= known && one::<HASH_BYTES>(&mut theirs)? == hash;
        if !is_same || (number == 1 && with_pages) {
            out.write_all(&number.to_be_bytes())?;
            if with_pages {
                out.write_all(&bytes)?;
            }
        }
        Ok::<_, TransferError>(())
    })?;
    out.write_all(&0_u32.to_be_bytes())?;
    out.write_all(&whole.finish())?;
    out.flush()?;
    Ok(())
}

/// Makes the copy of `epoch` out of the newest one on this host and what the primary has besides. It is durable
/// when this returns; what a former attempt left is removed.
pub(super) async fn receive(
    copies: Copies,
    epoch: Epoch,
    mut stream: impl ByteStream + 'static,
) -> Result<Moved, TransferError> {
    let began = Instant::now();
    let head = ask(&mut stream, WANTS_PAGES).await?;
    copies.adopt_key(&head.key).map_err(TransferError::Copy)?;
    let (read, write) = tokio::io::split(stream);
    let stop = CancellationToken::new();
    // Given up, both threads end at the next page; the file they leave is nobody's.
    let _stops = stop.clone().drop_guard();
    let (read, write) = (Blocking::new(read, &stop), Blocking::new(write, &stop));
    let moved = blocking(move || {
        let (target, base) = copies.begin_fetch(epoch).map_err(TransferError::Copy)?;
        let base = base.filter(|base| base.shape().page_bytes == head.page_bytes);
        let moved = std::thread::scope(|scope| {
            let (tell, told) = mpsc::sync_channel(1);
            let hasher = copies.hasher().map_err(TransferError::Copy)?;
            let (own, reading) =
                (hasher.clone(), scope.spawn(move || say_hashes(base, head.pages, &hasher, write, &tell)));
            let taken = take_pages(&copies, &target, &head, &own, read, &told);
            let said = reading.join().map_err(|_| TransferError::Ended)?;
            let (mut moved, said) = (taken?, said?);
            moved.bytes += said;
            Ok::<_, TransferError>(moved)
        })?;
        copies.mark_fetched(epoch, &target).map_err(TransferError::Copy)?;
        Ok(moved)
    })
    .await?;
    metrics::counter!("locum_edge_copy_bytes_total").increment(moved.bytes);
    metrics::counter!("locum_edge_copy_pages_total").increment(moved.pages.into());
    metrics::histogram!("locum_edge_copy_seconds").record(began.elapsed().as_secs_f64());
    tracing::info!(
        epoch = epoch.0,
        pages = moved.pages,
        of = moved.of,
        bytes = moved.bytes,
        seconds = began.elapsed().as_secs_f64(),
        "copy brought up to the primary's"
    );
    Ok(moved)
}

/// Compares this host's copy of `epoch` with the primary's, if both stand at the same position.
pub(super) async fn compare(
    copies: Copies,
    epoch: Epoch,
    mut stream: impl ByteStream + 'static,
) -> Result<Compared, TransferError> {
    let head = ask(&mut stream, WANTS_NUMBERS).await?;
    let (read, write) = tokio::io::split(stream);
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    let (read, write) = (Blocking::new(read, &stop), Blocking::new(write, &stop));
    blocking(move || {
        let mut own = open(&copies, epoch)?;
        let stamp = Stamp::of(&own.first_page()?);
        let is_aligned = stamp.is_some_and(|stamp| stamp.position == head.position)
            && own.shape() == (Shape { page_bytes: head.page_bytes, pages: head.pages });
        if !is_aligned {
            return Ok(Compared::NotAligned);
        }
        let hasher = copies.hasher().map_err(TransferError::Copy)?;
        let pages = std::thread::scope(|scope| {
            let (tell, _told) = mpsc::sync_channel(1);
            let reading = scope.spawn(move || say_hashes(Some(own), head.pages, &hasher, write, &tell));
            let mut read = BufReader::new(read);
            let mut differing = 0_u32;
            while u32::from_be_bytes(one(&mut read)?) != 0 {
                differing += 1;
            }
            reading.join().map_err(|_| TransferError::Ended)??;
            Ok::<_, TransferError>(differing)
        })?;
        Ok(Compared::Differing { at: head.position, pages })
    })
    .await
}

async fn ask(stream: &mut (impl ByteStream + ?Sized), what: u8) -> Result<Head, TransferError> {
    stream.write_u8(what).await?;
    stream.flush().await?;
    let length = stream.read_u32().await?;
    if length > MAX_HEAD_BYTES {
        return Err(TransferError::Version);
    }
    let mut head = vec![0; length as usize];
    stream.read_exact(&mut head).await?;
    let head: Head = serde_json::from_slice(&head).map_err(|_| TransferError::Version)?;
    if head.page_bytes > MAX_PAGE_BYTES { Err(TransferError::Version) } else { Ok(head) }
}

/// Sends the hashes of the pages that are here, as far as the primary has as many, and keeps them. Answers how
/// many bytes that took.
fn say_hashes(
    base: Option<PageReader>,
    pages: u32,
    hasher: &PageHasher,
    out: impl Write,
    keep: &mpsc::SyncSender<Vec<PageHash>>,
) -> Result<u64, TransferError> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
    let mut hashes = Vec::new();
    let pages = base.as_ref().map_or(0, |base| base.shape().pages.min(pages));
    out.write_all(&pages.to_be_bytes())?;
    if let Some(mut base) = base {
        let shape = Shape { pages, ..base.shape() };
        base.each(shape.numbers(), |number, bytes| {
            let hash = hasher.page(number, &bytes);
            hashes.push(hash);
            out.write_all(&hash).map_err(TransferError::Stream)
        })?;
    }
    out.flush()?;
    let bytes = 4 + hashes.len() as u64 * HASH_BYTES as u64;
    // Nobody keeps them where copies are only compared.
    let _ = keep.send(hashes);
    Ok(bytes)
}

/// Writes what comes over what is here, and makes sure that the whole is what the primary has.
fn take_pages(
    copies: &Copies,
    target: &Path,
    head: &Head,
    hasher: &PageHasher,
    stream: impl Read,
    base: &mpsc::Receiver<Vec<PageHash>>,
) -> Result<Moved, TransferError> {
    let mut stream = BufReader::with_capacity(BUFFER_BYTES, stream);
    let key = copies.key().map_err(TransferError::Copy)?;
    let mut builder = PageBuilder::open(target, &key, head.page_bytes)?;
    let mut pages = builder.begin()?;
    let (mut received, mut broken) = (BTreeMap::new(), None);
    pages.write(std::iter::from_fn(|| match page(&mut stream, head) {
        Ok(Some((number, bytes))) => {
            received.insert(number, hasher.page(number, &bytes));
            Some((number, bytes))
        }
        Ok(None) => None,
        Err(error) => {
            broken = Some(error);
            None
        }
    }))?;
    if let Some(error) = broken {
        return Err(error);
    }
    let said: [u8; blake3::OUT_LEN] = one(&mut stream)?;
    let base = base.recv().map_err(|_| TransferError::Ended)?;
    let shape = Shape { page_bytes: head.page_bytes, pages: head.pages };
    let mut whole = hasher.whole();
    for (index, number) in shape.numbers().enumerate() {
        let hash = received.get(&number).or_else(|| base.get(index));
        whole.add(hash.ok_or(TransferError::Different)?);
    }
    if whole.finish() != said {
        return Err(TransferError::Different);
    }
    pages.commit(head.pages)?;
    builder.finish()?;
    let moved = u32::try_from(received.len()).unwrap_or(u32::MAX);
    let bytes = u64::from(moved) * u64::from(head.page_bytes + 4) + 4 + said.len() as u64;
    Ok(Moved { pages: moved, of: head.pages, bytes })
}

/// The next page, or nothing after the last one.
fn page(stream: &mut impl Read, head: &Head) -> Result<Option<(u32, Vec<u8>)>, TransferError> {
    let number = u32::from_be_bytes(one(stream)?);
    if number == 0 {
        return Ok(None);
    }
    if number > head.pages {
        return Err(TransferError::Version);
    }
    let mut bytes = vec![0; head.page_bytes as usize];
    stream.read_exact(&mut bytes)?;
    Ok(Some((number, bytes)))
}

fn one<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn open(copies: &Copies, epoch: Epoch) -> Result<PageReader, TransferError> {
    let key = copies.key().map_err(TransferError::Copy)?;
    let readers = Readers::new(&copies.data_file(epoch), key);
    Ok(PageReader::begin(&readers, Instant::now() + WITHIN)?)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, TransferError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| TransferError::Ended)?
}

impl<S> Blocking<S> {
    /// For a thread of the runtime that this is called on.
    fn new(half: S, stop: &CancellationToken) -> Self {
        Self { half, runtime: Handle::current(), stop: stop.clone() }
    }

    fn wait<'a, T, F>(&'a mut self, io: impl FnOnce(&'a mut S) -> F) -> io::Result<T>
    where
        F: Future<Output = io::Result<T>>,
    {
        let io = io(&mut self.half);
        self.runtime.block_on(async {
            tokio::select! {
                done = io => done,
                () = self.stop.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
            }
        })
    }
}

impl<S: AsyncRead + Unpin> Read for Blocking<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(|half| half.read(buffer))
    }
}

impl<S: AsyncWrite + Unpin> Write for Blocking<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(|half| half.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wait(AsyncWriteExt::flush)
    }
}
