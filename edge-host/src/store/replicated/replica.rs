//! A copy of one epoch: a database file that follows the primary's replication log.
//!
//! The log comes as a stream that the primary feeds with every commit, so nobody polls. A frame counts as
//! held once SQLite has synced it to the copy's own log.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};
use hyper_014::client::conn::{Builder, SendRequest};
use libsql_replication::meta::WalIndexMeta;
use libsql_replication::replicator::{Error, Replicator, ReplicatorClient};
use libsql_replication::rpc::replication::replication_log_client::ReplicationLogClient;
use libsql_replication::rpc::replication::{
    Frame, HelloRequest, LogOffset, NAMESPACE_METADATA_KEY, SESSION_TOKEN_KEY, verify_session_token,
};
use libsql_sys::EncryptionConfig;
use libsql_sys::connection::Cipher;
use locum_replication::FrameNo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::body::BoxBody;
use tonic::metadata::{AsciiMetadataValue, BinaryMetadataValue};

use super::copies;
use crate::store::sqlite::DatabaseKey;

/// Frames in the copy's own log before they move into its file.
const CHECKPOINT_FRAMES: u32 = 1_000;
/// Before trying again after the stream broke.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// One frame is a page and its header.
const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Any byte stream that carries the log.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A way to the primary's log.
pub(super) trait LogSource: Send + Sync {
    /// A new byte stream to it, and the token it asks for.
    fn open(&self) -> BoxFuture<'_, io::Result<(Box<dyn ByteStream>, String)>>;
}

/// How far a copy has come. Shared with whoever waits for it.
pub(super) struct Progress {
    /// The newest frame that may be in the file: set before it is written.
    newest: AtomicU64,
    held: watch::Sender<Held>,
}

/// What is synced to disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Held {
    /// The last commit.
    pub(super) frame: Option<FrameNo>,
    /// Everything was there that the primary had when the copy first reached it.
    pub(super) is_complete: bool,
}

/// What a copy is when it begins to follow.
#[derive(Clone, Copy)]
pub(super) enum Origin {
    /// Empty, or what this replica left last time. `is_complete`: it once was a whole copy.
    Began { is_complete: bool },
    /// The very file that the engine started with; its log then stood at this frame.
    Cloned(FrameNo),
}

/// Follows the log until told to stop.
pub(super) struct Replica {
    pub(super) progress: Arc<Progress>,
    stop: CancellationToken,
    done: tokio::task::JoinHandle<()>,
}

/// The copy cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplicaError {
    #[error("open the copy {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: libsql_replication::meta::Error,
    },
    #[error("open the copy {path}")]
    Inject {
        path: PathBuf,
        #[source]
        source: Error,
    },
}

struct Client {
    source: Arc<dyn LogSource>,
    log: Option<ReplicationLogClient<SendRequest<BoxBody>>>,
    /// For requests on `log`.
    token: Option<AsciiMetadataValue>,
    session: Option<AsciiMetadataValue>,
    meta: WalIndexMeta,
    received: Option<u64>,
    /// The primary's newest frame at the first handshake.
    goal: Option<u64>,
    /// Where the file stands in a log whose id is not known yet.
    seed: Option<FrameNo>,
    progress: Arc<Progress>,
    stop: CancellationToken,
}

impl Progress {
    /// Of a copy that nothing follows.
    pub(super) fn at(frame: FrameNo) -> Arc<Self> {
        Self::new(Some(frame.0), true)
    }

    fn new(frame: Option<u64>, is_complete: bool) -> Arc<Self> {
        let held = Held { frame: frame.map(FrameNo), is_complete };
        Arc::new(Self { newest: AtomicU64::new(frame.unwrap_or(0)), held: watch::Sender::new(held) })
    }

    /// At most this is visible to a reader that has begun.
    pub(super) fn newest(&self) -> FrameNo {
        FrameNo(self.newest.load(Ordering::Acquire))
    }

    /// What is held, now and whenever it changes.
    pub(super) fn held(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }
}

impl Replica {
    /// Opens (or makes) the copy at `path` and follows `source`.
    pub(super) async fn follow(
        path: &Path,
        key: &DatabaseKey,
        source: Arc<dyn LogSource>,
        origin: Origin,
    ) -> Result<Self, ReplicaError> {
        let open_error = |source| ReplicaError::Open { path: path.to_owned(), source };
        if let Origin::Cloned(_) = origin {
            // A file without an index beside it is taken for somebody else's.
            let index = copies::with_suffix(path, copies::INDEX_SUFFIX);
            tokio::fs::write(index, b"").await.map_err(|error| open_error(error.into()))?;
        }
        let meta = WalIndexMeta::open_prefixed(path).await.map_err(open_error)?;
        let (is_complete, seed) = match origin {
            Origin::Began { is_complete } => (is_complete, None),
            Origin::Cloned(frame) => (false, Some(frame)),
        };
        let progress = Progress::new(meta.current_frame_no(), is_complete);
        let stop = CancellationToken::new();
        let client = Client {
            source,
            log: None,
            token: None,
            session: None,
            received: meta.current_frame_no(),
            meta,
            goal: None,
            seed,
            progress: Arc::clone(&progress),
            stop: stop.clone(),
        };
        let cipher = EncryptionConfig {
            cipher: Cipher::Aes256Cbc,
            encryption_key: bytes::Bytes::copy_from_slice(key.expose().as_bytes()),
        };
        let replicator =
            Replicator::new_sqlite(client, path.to_owned(), CHECKPOINT_FRAMES, Some(cipher)).await;
        let replicator =
            replicator.map_err(|source| ReplicaError::Inject { path: path.to_owned(), source })?;
        let done = tokio::spawn(run(replicator, stop.clone()));
        Ok(Self { progress, stop, done })
    }

    /// Stops following. When this returns nothing writes to the copy any more.
    pub(super) async fn stop(self) -> Held {
        self.stop.cancel();
        // It only ends by itself; a panic in it was logged when it happened.
        let _ = self.done.await;
        *self.progress.held.borrow()
    }
}

async fn run(
    mut replicator: Replicator<Client, libsql_replication::injector::SqliteInjector>,
    stop: CancellationToken,
) {
    replicator.set_primary_handshake_retries(1);
    while !stop.is_cancelled() {
        let broken = replicator.run().await;
        if stop.is_cancelled() {
            return;
        }
        // Its text can name addresses, never rows.
        match broken {
            Error::Fatal(error) => tracing::error!(%error, "the copy cannot follow until the epoch changes"),
            error => tracing::debug!(%error, "replication stream broke"),
        }
        replicator.client_mut().disconnect();
        let _ = tokio::time::timeout(RETRY_AFTER, stop.cancelled()).await;
    }
}

impl Client {
    fn disconnect(&mut self) {
        (self.log, self.session) = (None, None);
    }

    async fn log(&mut self) -> Result<&mut ReplicationLogClient<SendRequest<BoxBody>>, Error> {
        if self.log.is_none() {
            let (stream, token) = self.source.open().await.map_err(|error| Error::Client(error.into()))?;
            let token = AsciiMetadataValue::try_from(format!("Bearer {token}"))
                .map_err(|error| Error::Client(error.into()))?;
            let handshake = Builder::new().http2_only(true).handshake(stream).await;
            let (sender, connection) = handshake.map_err(|error| Error::Client(error.into()))?;
            // It ends with its sender, and its error is the sender's.
            tokio::spawn(connection);
            self.token = Some(token);
            // The origin only fills the request line.
            let origin = http_02::Uri::from_static("http://sqld");
            let log = ReplicationLogClient::with_origin(sender, origin);
            self.log = Some(log.max_decoding_message_size(MAX_MESSAGE_BYTES));
        }
        self.log.as_mut().ok_or(Error::NoHandshake)
    }

    /// Learns which log it is and how far it has come.
    async fn greet(&mut self) -> Result<(), Error> {
        self.log().await?;
        let request = self.request(HelloRequest::new());
        let hello = self.log().await?.hello(request).await?.into_inner();
        verify_session_token(&hello.session_token).map_err(Error::Client)?;
        let session = AsciiMetadataValue::try_from(hello.session_token.as_ref());
        self.session = Some(session.map_err(|error| Error::Client(error.into()))?);
        let newest = hello.current_replication_index;
        // Another log has no place in this epoch's copy: the error stands until the epoch changes.
        self.meta.init_from_hello(hello)?;
        if let (Some(seed), None) = (self.seed.take(), self.meta.current_frame_no()) {
            self.meta.set_commit_frame_no(seed.0).await?;
            self.received = Some(seed.0);
            self.progress.newest.fetch_max(seed.0, Ordering::AcqRel);
        }
        self.meta.flush().await?;
        self.goal = self.goal.or(Some(newest.unwrap_or(0)));
        if let Some(held) = self.meta.current_frame_no() {
            self.hold(held);
        }
        Ok(())
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert_bin(NAMESPACE_METADATA_KEY, BinaryMetadataValue::from_bytes(b"default"));
        if let Some(token) = &self.token {
            metadata.insert("x-authorization", token.clone());
        }
        if let Some(session) = &self.session {
            metadata.insert(SESSION_TOKEN_KEY, session.clone());
        }
        request
    }

    fn offset(&self) -> LogOffset {
        LogOffset { next_offset: self.received.map_or(0, |frame| frame + 1), wal_flavor: None }
    }

    /// Notes each frame before it is injected, and ends the stream when told to stop: an injection that has
    /// begun always ends.
    fn watched(&self, frames: tonic::Streaming<Frame>) -> FrameStream {
        let progress = Arc::clone(&self.progress);
        let noted = frames.map(move |frame| {
            let frame = frame?;
            if let Some(number) = commit_number(&frame.data) {
                progress.newest.fetch_max(number, Ordering::AcqRel);
            }
            Ok(frame)
        });
        let stop = self.stop.clone().cancelled_owned();
        Box::pin(
            noted.take_until(stop).chain(futures_util::stream::once(async {
                Err(Error::Client("the stream has ended".into()))
            })),
        )
    }

    fn hold(&self, frame: u64) {
        let reached = self.goal.is_some_and(|goal| frame >= goal);
        self.progress.held.send_modify(|held| {
            held.frame = Some(FrameNo(frame));
            held.is_complete |= reached;
        });
    }
}

type FrameStream = Pin<Box<dyn Stream<Item = Result<Frame, Error>> + Send>>;

#[tonic::async_trait]
impl ReplicatorClient for Client {
    type FrameStream = FrameStream;

    /// Never [`Error::Client`]: the replicator would sleep on it, and [`run`] knows better when to try again.
    async fn handshake(&mut self) -> Result<(), Error> {
        self.greet().await.map_err(|error| match error {
            Error::Client(error) => Error::Internal(error),
            error => error,
        })
    }

    async fn next_frames(&mut self) -> Result<FrameStream, Error> {
        let request = self.request(self.offset());
        let frames = self.log().await?.log_entries(request).await?.into_inner();
        Ok(self.watched(frames))
    }

    /// A compacted log may hold pages of the file that the engine began with, and those are encrypted.
    async fn snapshot(&mut self) -> Result<FrameStream, Error> {
        Err(Error::Fatal("the log does not reach back to this copy any more".into()))
    }

    /// Called once the frames up to this one are in the copy's log, which SQLite has synced.
    async fn commit_frame_no(&mut self, frame: u64) -> Result<(), Error> {
        self.meta.set_commit_frame_no(frame).await?;
        self.received = Some(frame);
        self.hold(frame);
        Ok(())
    }

    fn committed_frame_no(&self) -> Option<u64> {
        self.meta.current_frame_no()
    }

    fn rollback(&mut self) {
        self.received = self.committed_frame_no();
    }
}

/// The number of a frame that ends a transaction. A frame begins with number and checksum (u64), page and
/// size of the database after the transaction (u32), little endian; the size is 0 inside a transaction.
fn commit_number(frame: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(*frame.first_chunk()?);
    let size_after = u32::from_le_bytes(*frame.get(20..24)?.first_chunk()?);
    (size_after != 0).then_some(number)
}
