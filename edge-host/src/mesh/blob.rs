//! Documents of a group, between its hosts.

use std::sync::Arc;

use bytes::Bytes;
use locum_identity::NodeId;
use locum_mesh::{Refusal, RefusalCode};
use tokio::task::spawn_blocking;

use super::envelope;
use crate::blob::{BlobQuestion, Blobs};

/// Keeps or gives sealed bytes.
pub(super) async fn answer(
    blobs: &Arc<Blobs>,
    from: NodeId,
    question: BlobQuestion,
    bytes: Bytes,
) -> Result<Vec<u8>, Refusal> {
    if !blobs.holds(question.group()) {
        return Err(Refusal::new(RefusalCode::Denied, "this group is not on this host"));
    }
    let blobs = Arc::clone(blobs);
    let answered = spawn_blocking(move || blobs.answer(&from, &question, &bytes)).await;
    let answered = answered.map_err(|_| Refusal::new(RefusalCode::Internal, "the host is stopping"))?;
    let (answer, bytes) = answered.map_err(|error| {
        tracing::warn!(error = %error.kind(), "a document of another host is not kept or given");
        Refusal::new(RefusalCode::Internal, "the disk says no")
    })?;
    envelope::seal(&answer, &bytes)
        .map_err(|_| Refusal::new(RefusalCode::Internal, "the answer cannot be written"))
}
