//! What edge hosts ask each other.
//!
//! A question is one of [`Question`], as JSON, followed by bytes that belong to it; so is an answer. Every
//! host answers edge hosts only: media nodes and the control plane never see what a clinic records. Members of the
//! control plane may ask for a canary, which is a number; media nodes may tell who was in a call and ask whose tokens they
//! are to refuse, by random names.
//!
//! Hosts of two releases speak to each other. A reader leaves aside fields that it does not know, so whatever is added
//! has a default; a *question* it does not know it refuses, and whoever asks goes on without the answer.

mod audit;
mod blob;
mod calls;
mod canary;
pub(crate) mod envelope;
mod handler;
mod peers;
mod records;
mod replay;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::audit::AuditQuestion;
use crate::blob::BlobQuestion;
use crate::store::{LogRequest, RecordsQuestion};

pub(crate) use handler::HostHandler;
pub(crate) use peers::{AskError, Peers};
pub(crate) use records::RecordLinks;
pub(crate) use replay::{Outcome, Replay, ReplayedRequest};

/// What an edge host may ask another.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Question {
    /// Carry out a request that writes a group you are the writer of. Followed by its body.
    Replay(replay::Head),
    /// What the hosts of a record group say to each other.
    Records(RecordsQuestion),
    /// Keep some of my audit events, which follow.
    Audit(AuditQuestion),
    /// Keep or give a document, sealed.
    Blob(BlobQuestion),
    /// For a tunnel: carry it to your engine's replication log.
    Log(LogRequest),
    /// For a tunnel: send your whole copy on it.
    Copy(LogRequest),
}
