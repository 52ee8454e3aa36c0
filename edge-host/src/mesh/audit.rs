//! Audit events of other hosts, to be kept here, and of this one, for reports.

use std::sync::Arc;

use bytes::Bytes;
use locum_identity::NodeId;
use locum_mesh::{Refusal, RefusalCode};
use locum_telemetry::config::chain;
use tokio::task::spawn_blocking;

use super::envelope;
use crate::audit::{Audit, AuditQuestion};

/// Keeps what a host of the same group sends, or shows it what is here.
pub(super) async fn answer(
    audit: &Arc<Audit>,
    from: NodeId,
    question: AuditQuestion,
    bytes: Bytes,
) -> Result<Vec<u8>, Refusal> {
    if !audit.holds(question.group()) {
        return Err(Refusal::new(RefusalCode::Denied, "this group is not on this host"));
    }
    let audit = Arc::clone(audit);
    let kept = spawn_blocking(move || audit.answer(&from, question, &bytes)).await;
    let kept = kept.map_err(|_| Refusal::new(RefusalCode::Internal, "the host is stopping"))?;
    let (answer, bytes) = kept.map_err(|error| {
        tracing::warn!(error = chain(&error), "audit events of another host are not kept");
        Refusal::new(RefusalCode::Invalid, "not kept")
    })?;
    envelope::seal(&answer, &bytes)
        .map_err(|_| Refusal::new(RefusalCode::Internal, "the answer cannot be written"))
}
