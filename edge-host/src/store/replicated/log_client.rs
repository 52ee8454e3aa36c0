//! `sqld`'s replication protocol, as far as a copy needs it: one greeting, then a stream of frames.

use std::io;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper_014::client::conn::{Builder, SendRequest};
use libsql_replication::rpc::replication::replication_log_client::ReplicationLogClient;
use libsql_replication::rpc::replication::{
    Frame, HelloRequest, LogOffset, NAMESPACE_METADATA_KEY, NEED_SNAPSHOT_ERROR_MSG, SESSION_TOKEN_KEY,
    verify_session_token,
};
use locum_replication::FrameNo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::BoxBody;
use tonic::metadata::{AsciiMetadataValue, BinaryMetadataValue};
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

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

/// A connection to an engine that has been greeted.
pub(super) struct LogClient {
    log: ReplicationLogClient<SendRequest<BoxBody>>,
    token: AsciiMetadataValue,
    session: AsciiMetadataValue,
    /// Tells logs apart.
    pub(super) log_id: u32,
    /// Its newest frame at the greeting.
    pub(super) newest: FrameNo,
}

/// The log does not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error("reach the primary's log")]
    Reach(#[source] io::Error),
    #[error("speak with the primary's engine")]
    Connection(#[source] hyper_014::Error),
    #[error("read the log")]
    Status(#[source] Box<Status>),
    #[error("the engine speaks another version")]
    Version,
    /// It was compacted since.
    #[error("the log does not reach back to this copy any more")]
    TooFarBehind,
    /// It is being compacted.
    #[error("the compacted log is not there yet")]
    NotYet,
}

impl LogClient {
    /// Opens a stream and learns which log it is.
    pub(super) async fn open(source: &Arc<dyn LogSource>) -> Result<Self, LogError> {
        let (stream, token) = source.open().await.map_err(LogError::Reach)?;
        let token = AsciiMetadataValue::try_from(format!("Bearer {token}")).map_err(|_| LogError::Version)?;
        let handshake = Builder::new().http2_only(true).handshake(stream).await;
        let (sender, connection) = handshake.map_err(LogError::Connection)?;
        // It ends with its sender, and its error is the sender's.
        tokio::spawn(connection);
        // The origin only fills the request line.
        let origin = http_02::Uri::from_static("http://sqld");
        let log = ReplicationLogClient::with_origin(sender, origin);
        let mut log = log.max_decoding_message_size(MAX_MESSAGE_BYTES);
        let hello =
            log.hello(request(HelloRequest::new(), &token, None)).await.map_err(refused)?.into_inner();
        verify_session_token(&hello.session_token).map_err(|_| LogError::Version)?;
        let session = AsciiMetadataValue::try_from(hello.session_token.as_ref());
        let id = Uuid::from_str(&hello.log_id).map_err(|_| LogError::Version)?;
        Ok(Self {
            log,
            token,
            session: session.map_err(|_| LogError::Version)?,
            log_id: id.as_fields().0,
            newest: FrameNo(hello.current_replication_index.unwrap_or(0)),
        })
    }

    /// Every frame after `after`, those too that do not exist yet.
    pub(super) async fn frames(&mut self, after: FrameNo) -> Result<Streaming<Frame>, LogError> {
        let offset = LogOffset { next_offset: after.0 + 1, wal_flavor: None };
        let request = request(offset, &self.token, Some(&self.session));
        Ok(self.log.log_entries(request).await.map_err(refused)?.into_inner())
    }

    /// What was compacted after `after`: the newest frame of each page, newest first, all to be taken in at once.
    /// A log begins with the pages of the file that it was made from, in a form that no copy can take in; no
    /// copy asks for those, because each begins behind them.
    pub(super) async fn compacted(&mut self, after: FrameNo) -> Result<Vec<Bytes>, LogError> {
        let offset = LogOffset { next_offset: after.0 + 1, wal_flavor: None };
        let request = request(offset, &self.token, Some(&self.session));
        let mut stream = self.log.snapshot(request).await.map_err(refused)?.into_inner();
        let mut frames = Vec::new();
        while let Some(frame) = stream.message().await.map_err(refused)? {
            frames.push(frame.data);
        }
        Ok(frames)
    }
}

fn request<T>(
    message: T,
    token: &AsciiMetadataValue,
    session: Option<&AsciiMetadataValue>,
) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert_bin(NAMESPACE_METADATA_KEY, BinaryMetadataValue::from_bytes(b"default"));
    metadata.insert("x-authorization", token.clone());
    if let Some(session) = session {
        metadata.insert(SESSION_TOKEN_KEY, session.clone());
    }
    request
}

/// What the engine answered instead of frames.
pub(super) fn refused(status: Status) -> LogError {
    if status.code() == Code::FailedPrecondition && status.message() == NEED_SNAPSHOT_ERROR_MSG {
        LogError::TooFarBehind
    } else if status.code() == Code::Unavailable {
        LogError::NotYet
    } else {
        LogError::Status(Box::new(status))
    }
}
