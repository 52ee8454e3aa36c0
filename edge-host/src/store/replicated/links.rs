//! What a group's driver says to others: the control plane, and the group's other hosts.

use std::io;

use futures_util::future::BoxFuture;
use locum_identity::NodeId;
use locum_replication::{CopyReport, Epoch, FrameNo, GroupId, GroupReport, GroupView, Hint, HintAnswer};
use serde::{Deserialize, Serialize};

use super::log_client::ByteStream;
use super::schema::{HandedAnswer, HandedOver, SchemaReport};

/// What one host of a group may ask another.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RecordsQuestion {
    /// Primary → follower. Answered with [`RecordsAnswer::Hint`].
    Hint(Hint),
    /// Voter → primary. Answered with [`RecordsAnswer::Acked`], after a short wait if the frame is not
    /// acknowledged yet.
    Copy(CopyReport),
    /// Follower → primary: a token for the replication log. Answered with [`RecordsAnswer::LogToken`].
    LogToken(LogRequest),
    /// Voter → primary. Answered with [`RecordsAnswer::Noted`].
    Schema(SchemaReport),
    /// Voter → primary. Answered with [`RecordsAnswer::HandedOver`].
    HandOver(HandedOver),
}

/// Which log.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct LogRequest {
    /// The group.
    pub(crate) group: GroupId,
    /// The epoch that the asker takes to be current. Another one is refused before any byte of the log.
    pub(crate) epoch: Epoch,
}

/// Answers to [`RecordsQuestion`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RecordsAnswer {
    /// To a hint.
    Hint(HintAnswer),
    /// The newest acknowledged frame of the epoch that was asked about; `None`: none, or another epoch.
    Acked(Option<FrameNo>),
    /// For the engine's log, read only.
    LogToken(String),
    /// It was heard.
    Noted,
    /// What becomes of it.
    HandedOver(HandedAnswer),
}

/// The driver's way out. Every call has a deadline of its own.
pub(crate) trait Links: Send + Sync {
    /// Tells the control plane where this host stands.
    fn report(&self, report: GroupReport) -> BoxFuture<'_, io::Result<GroupView>>;

    /// Asks another host of the group.
    fn ask<'a>(
        &'a self,
        node: &'a NodeId,
        question: RecordsQuestion,
    ) -> BoxFuture<'a, io::Result<RecordsAnswer>>;

    /// Opens a stream to another host's engine.
    fn open_log<'a>(
        &'a self,
        node: &'a NodeId,
        request: LogRequest,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>>;

    /// Opens a stream on which another host compares its copy with this one's, and sends what is missing.
    fn open_copy<'a>(
        &'a self,
        node: &'a NodeId,
        request: LogRequest,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>>;

    /// The token that goes with the log.
    fn log_token<'a>(&'a self, node: &'a NodeId, request: LogRequest) -> BoxFuture<'a, io::Result<String>> {
        Box::pin(async move {
            match self.ask(node, RecordsQuestion::LogToken(request)).await? {
                RecordsAnswer::LogToken(token) => Ok(token),
                _ => Err(io::ErrorKind::InvalidData.into()),
            }
        })
    }
}
