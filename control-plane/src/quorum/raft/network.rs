//! Raft's questions to other members, over the mesh. Each has a deadline; Raft asks again by itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{
    Fatal, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetwork, RaftNetworkFactory, Snapshot};

use super::{Types, Vote};
use crate::quorum::peer::PeerError;
use crate::quorum::{MemberAnswer, MemberId, MemberRequest, Peers, Place};

/// Between two tries to reach a member that does not answer.
const AGAIN: Duration = Duration::from_millis(200);
/// A whole record, over a thin link.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(5);

type Failed = RPCError<MemberId, Place, RaftError<MemberId>>;

/// Reaches every member.
#[derive(Clone)]
pub(super) struct Network(pub(super) Arc<Peers>);

/// Reaches one.
pub(super) struct Connection {
    peers: Arc<Peers>,
    target: MemberId,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: MemberId, place: &Place) -> Connection {
        self.0.know(target, place);
        Connection { peers: self.0.clone(), target }
    }
}

impl Connection {
    async fn ask(&self, request: MemberRequest, deadline: Duration) -> Result<MemberAnswer, Unreachable> {
        let answer = self.peers.ask(self.target, request, deadline).await;
        answer.map_err(|error| {
            tracing::debug!(member = %self.target, %error, "a member does not answer");
            Unreachable::new(&error)
        })
    }

    fn remote<E: std::error::Error>(&self, error: E) -> RemoteError<MemberId, Place, E> {
        RemoteError::new(self.target, error)
    }
}

fn unexpected() -> Unreachable {
    Unreachable::new(&PeerError::Unexpected)
}

impl RaftNetwork<Types> for Connection {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<MemberId>, Failed> {
        match self.ask(MemberRequest::Append(request), option.hard_ttl()).await? {
            MemberAnswer::Append(answer) => Ok(answer.map_err(|error| self.remote(error))?),
            _ => Err(unexpected().into()),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<MemberId>,
        option: RPCOption,
    ) -> Result<VoteResponse<MemberId>, Failed> {
        match self.ask(MemberRequest::Vote(request), option.hard_ttl()).await? {
            MemberAnswer::Vote(answer) => Ok(answer.map_err(|error| self.remote(error))?),
            _ => Err(unexpected().into()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<MemberId>, StreamingError<Types, Fatal<MemberId>>> {
        let request = MemberRequest::Snapshot { vote, meta: snapshot.meta, held: *snapshot.snapshot };
        let answer = tokio::select! {
            answer = self.ask(request, SNAPSHOT_WITHIN) => answer?,
            closed = cancel => return Err(closed.into()),
        };
        match answer {
            MemberAnswer::Snapshot(answer) => Ok(answer.map_err(|error| self.remote(error))?),
            _ => Err(unexpected().into()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(AGAIN))
    }
}
