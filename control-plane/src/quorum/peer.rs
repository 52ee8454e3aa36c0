//! What members say to each other, over the mesh, and how they reach each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use locum_cluster::protocol::NodeRequest;
use locum_identity::{NodeIdentity, Role};
use locum_mesh::{Client, Peer, PeerName, RequestError};
use openraft::error::{Fatal, RaftError};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use crate::health::Report;

use super::raft::{LogId, SnapshotMeta, Types, Vote};
use super::{Held, MemberId, Place};

/// One question of a member to another.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberQuestion {
    /// Who asks; its certificate must bear the name that goes with it.
    pub(crate) from: MemberId,
    /// Who is asked; `None`: whoever it is. A host that was given the name of another has another number.
    pub(crate) to: Option<MemberId>,
    /// Where it answers itself: it may have moved.
    pub(crate) address: SocketAddr,
    /// What.
    pub(crate) request: MemberRequest,
}

/// What a member asks.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum MemberRequest {
    /// Raft: take these entries.
    Append(AppendEntriesRequest<Types>),
    /// Raft: vote for me.
    Vote(VoteRequest<MemberId>),
    /// Raft: take this record in place of entries.
    Snapshot {
        /// By whose right.
        vote: Vote,
        /// Where it stands.
        meta: SnapshotMeta,
        /// The record.
        held: Held,
    },
    /// Would you vote for somebody whose log ends here, because you hear of no leader either?
    WouldVote {
        /// The newest entry of the asker's log.
        last: Option<LogId>,
    },
    /// Do you still follow me? See [`locum_replication::Round`].
    Confirm {
        /// My term.
        term: u64,
        /// Then do not vote for another one: I tell the others that I lead.
        asserts: bool,
    },
    /// Leaders: this is how the nodes look from where I am.
    Observed(Report),
    /// Leaders: carry this out as if `caller` had asked you.
    Forward {
        /// A node, by the certificate it showed to the asker; `None`: somebody with a join token.
        caller: Option<NodeIdentity>,
        /// The question, as it came.
        question: String,
    },
    /// Give me the keys of the network: I have joined as a member.
    Keys,
}

/// What it answers. Cannot be printed: keys may be in it.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum MemberAnswer {
    Append(Result<AppendEntriesResponse<MemberId>, RaftError<MemberId>>),
    Vote(Result<VoteResponse<MemberId>, RaftError<MemberId>>),
    Snapshot(Result<SnapshotResponse<MemberId>, Fatal<MemberId>>),
    /// Whether.
    WouldVote(bool),
    /// `None`: no. Otherwise, how long ago another leader was last told yes, milliseconds.
    Confirm(Option<u64>),
    /// The leader has taken it in.
    Observed,
    /// The leader's answer, as it goes to whoever asked.
    Forward(String),
    /// PEM, all three.
    Keys {
        authority: String,
        authority_key: String,
        signing_key: String,
    },
}

/// No answer of a member.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("where member {0} is, is not known")]
    Unknown(MemberId),
    #[error("ask a member")]
    Request(#[from] RequestError),
    #[error("write or read what members say")]
    Json(#[from] serde_json::Error),
    #[error("a member answers another question")]
    Unexpected,
}

/// The other members, as far as this one knows them.
pub(crate) struct Peers {
    own: MemberId,
    address: SocketAddr,
    client: Arc<Client>,
    book: Mutex<BTreeMap<MemberId, Place>>,
}

impl Peers {
    /// Of member `own`, which answers at `address` and calls with `client`.
    pub(crate) fn new(own: MemberId, address: SocketAddr, client: Client) -> Self {
        Self { own, address, client: Arc::new(client), book: Mutex::default() }
    }

    /// This member.
    pub(crate) fn own(&self) -> MemberId {
        self.own
    }

    /// Where this member answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its end of the mesh.
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// `member` is at `place`, as the members agreed; what it said itself meanwhile is newer.
    pub(crate) fn know(&self, member: MemberId, place: &Place) {
        if place.address.is_some() {
            self.book().entry(member).or_insert_with(|| place.clone());
        }
    }

    /// `member`, of this name, called from there itself.
    pub(crate) fn heard(&self, member: MemberId, name: &str, address: SocketAddr) {
        self.book().insert(member, Place { name: name.to_owned(), address: Some(address) });
    }

    /// Where `member` is.
    pub(crate) fn place(&self, member: MemberId) -> Option<Place> {
        self.book().get(&member).cloned()
    }

    /// Asks `member`.
    pub(crate) async fn ask(
        &self,
        member: MemberId,
        request: MemberRequest,
        deadline: Duration,
    ) -> Result<MemberAnswer, PeerError> {
        let place = self.place(member).ok_or(PeerError::Unknown(member))?;
        let (Some(address), Ok(name)) = (place.address, place.name.parse()) else {
            return Err(PeerError::Unknown(member));
        };
        self.ask_peer(&Peer { address, name: PeerName::Node(name) }, Some(member), request, deadline).await
    }

    /// Asks whatever member answers at `address`.
    pub(crate) async fn ask_at(
        &self,
        address: SocketAddr,
        request: MemberRequest,
        deadline: Duration,
    ) -> Result<MemberAnswer, PeerError> {
        self.ask_peer(&Peer { address, name: PeerName::Role(Role::Control) }, None, request, deadline).await
    }

    async fn ask_peer(
        &self,
        peer: &Peer,
        to: Option<MemberId>,
        request: MemberRequest,
        deadline: Duration,
    ) -> Result<MemberAnswer, PeerError> {
        let question = MemberQuestion { from: self.own, to, address: self.address, request };
        let question = serde_json::to_vec(&NodeRequest::Member(serde_json::to_value(question)?))?;
        let answer = self.client.request(peer, &question, deadline).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    fn book(&self) -> MutexGuard<'_, BTreeMap<MemberId, Place>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
