//! Reports on record groups to the control plane, and what it answers.

use std::time::Duration;

use locum_cluster::protocol::{NodeAnswer, NodeRequest};
use locum_mesh::RequestError;
use locum_replication::{GroupReport, GroupView};
use metrics::histogram;
use tokio::time::Instant;

use crate::Agent;

/// A report is said again twice a second: an older answer is of no use, and a lease counts from before the
/// question left.
const DEADLINE: Duration = Duration::from_secs(1);

/// The control plane took no reports.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// It does not answer, or says no.
    #[error("report to the control plane")]
    Request(#[from] RequestError),
    /// Its answer is no answer.
    #[error("read the control plane's answer")]
    Json(#[from] serde_json::Error),
    /// Its answer is to another question.
    #[error("the control plane's answer is not about the groups reported on")]
    Unexpected,
}

impl Agent {
    /// Tells the control plane how this host's copies stand. The answers are in the order of the reports. A
    /// report may be taken in although it got no answer, and may be said again at any time.
    ///
    /// # Errors
    /// [`RecordsError`], after a second for each member of the control plane at most.
    pub async fn records(&self, reports: Vec<GroupReport>) -> Result<Vec<GroupView>, RecordsError> {
        let groups: Vec<_> = reports.iter().map(|report| report.group.clone()).collect();
        let question = serde_json::to_vec(&NodeRequest::Records(reports))?;
        let begun = Instant::now();
        let answer = self.control.ask(self.mesh.client(), &question, DEADLINE).await?;
        histogram!("locum_group_report_seconds").record(begun.elapsed());
        let NodeAnswer::Records(views) = serde_json::from_slice(&answer)? else {
            return Err(RecordsError::Unexpected);
        };
        let asked = views.iter().map(|view| &view.group).eq(&groups);
        if asked { Ok(views) } else { Err(RecordsError::Unexpected) }
    }
}
