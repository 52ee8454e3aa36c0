//! How this host's record groups reach the control plane and the groups' other hosts.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use locum_identity::NodeId;
use locum_mesh::{Carrier, Refusal, RefusalCode};
use locum_replication::{GroupReport, GroupView};
use tokio::net::TcpStream;

use super::envelope;
use super::{Peers, Question};
use crate::network::Network;
use crate::store::{
    ByteStream, Links, LogRequest, NoAnswer, RecordsAnswer, RecordsQuestion, ReplicatedStore,
};

/// Longest wait for another host of a group.
const WITHIN: Duration = Duration::from_secs(1);
/// Longest wait for the first byte of a log.
const OPEN_WITHIN: Duration = Duration::from_secs(2);

/// The way out for the groups' drivers.
pub(crate) struct RecordLinks {
    network: Arc<Network>,
}

impl RecordLinks {
    pub(crate) fn new(network: Arc<Network>) -> Self {
        Self { network }
    }

    async fn open(&self, node: &NodeId, question: Question) -> io::Result<Box<dyn ByteStream>> {
        let question = envelope::seal(&question, &[]).map_err(io::Error::other)?;
        let tunnel = self.network.tunnel(node, &question, OPEN_WITHIN).await.map_err(io::Error::other)?;
        Ok(Box::new(tunnel))
    }
}

impl Links for RecordLinks {
    fn report(&self, report: GroupReport) -> BoxFuture<'_, io::Result<GroupView>> {
        async move {
            let mut views = self.network.report_records(vec![report]).await?;
            views.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
        }
        .boxed()
    }

    fn ask<'a>(
        &'a self,
        node: &'a NodeId,
        question: RecordsQuestion,
    ) -> BoxFuture<'a, io::Result<RecordsAnswer>> {
        async move {
            let question = envelope::seal(&Question::Records(question), &[]).map_err(io::Error::other)?;
            let answer = self.network.ask(node, &question, WITHIN).await.map_err(io::Error::other)?;
            envelope::open(&Bytes::from(answer)).map(|(answer, _)| answer).map_err(io::Error::other)
        }
        .boxed()
    }

    fn open_log<'a>(
        &'a self,
        node: &'a NodeId,
        request: LogRequest,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        self.open(node, Question::Log(request)).boxed()
    }

    fn open_copy<'a>(
        &'a self,
        node: &'a NodeId,
        request: LogRequest,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        self.open(node, Question::Copy(request)).boxed()
    }
}

/// Answers another host of a group.
pub(super) async fn answer(
    store: &ReplicatedStore,
    from: NodeId,
    question: RecordsQuestion,
) -> Result<Vec<u8>, Refusal> {
    let answer = store.answer(from, question).await.map_err(refusal)?;
    envelope::seal(&answer, &[])
        .map_err(|_| Refusal::new(RefusalCode::Internal, "the answer cannot be written"))
}

/// Carries bytes between another host and this host's engine, once the epochs agree.
pub(super) async fn serve_log(
    store: &ReplicatedStore,
    from: NodeId,
    request: LogRequest,
) -> Result<Carrier, Refusal> {
    let address = store.log(from, request).await.map_err(refusal)?;
    let engine = TcpStream::connect(address).await;
    let mut engine = engine.map_err(|_| Refusal::new(RefusalCode::Internal, "the engine does not answer"))?;
    // Frames are small and somebody waits for each.
    let _ = engine.set_nodelay(true);
    Ok(Carrier::new(move |mut tunnel| async move {
        // Either side may end it at any time; the follower opens another.
        let _ = tokio::io::copy_bidirectional(&mut tunnel, &mut engine).await;
    }))
}

/// Sends this host's whole copy, once the epochs agree.
pub(super) async fn serve_copy(
    store: &ReplicatedStore,
    from: NodeId,
    request: LogRequest,
) -> Result<Carrier, Refusal> {
    let copy = store.copy(from, request).await.map_err(refusal)?;
    Ok(Carrier::new(move |tunnel| async move { copy.send(tunnel).await }))
}

fn refusal(error: NoAnswer) -> Refusal {
    let code = match error {
        NoAnswer::Busy => RefusalCode::Busy,
        NoAnswer::UnknownGroup | NoAnswer::NotLeading => RefusalCode::Denied,
    };
    Refusal::new(code, error.to_string())
}
