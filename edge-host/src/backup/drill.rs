//! The restore drill: the newest backup becomes a database in a scratch place, is checked, and goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use locum_backup::{BackupId, Repository};
use locum_identity::private_file;
use locum_telemetry::config::chain;
use serde::{Deserialize, Serialize};

use super::rebuild::{self, RebuildError, Rebuilt};
use crate::store::{GroupId, Scratch, ScratchError};

/// How a drill went. Kept beside the records.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct DrillResult {
    pub(crate) group: GroupId,
    pub(crate) at: Timestamp,
    pub(crate) seconds: f64,
    /// What is wrong, naming the file; `None`: nothing.
    pub(crate) problem: Option<String>,
    /// What was restored.
    pub(crate) backup: Option<BackupId>,
    /// The newest moment that came back.
    pub(crate) until: Option<Timestamp>,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) audited: u64,
}

/// Where drills happen and what is kept of them.
#[derive(Clone, Debug)]
pub(crate) struct DrillFolder(PathBuf);

impl DrillFolder {
    /// Below the host's own folder. What a drill that was cut off has left goes.
    pub(crate) fn open(state_dir: &Path) -> std::io::Result<Self> {
        let folder = state_dir.join("drills");
        private_file::create_dir(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(Self(folder))
    }

    /// The last one of a group.
    pub(crate) fn last(&self, group: &GroupId) -> Option<DrillResult> {
        serde_json::from_slice(&private_file::read(&self.file(group)).ok()?).ok()
    }

    fn keep(&self, result: &DrillResult) {
        let kept = serde_json::to_vec_pretty(result)
            .map_err(std::io::Error::other)
            .and_then(|bytes| private_file::write(&self.file(&result.group), &bytes));
        if let Err(error) = kept {
            tracing::warn!(%error, "the result of the restore drill is not kept");
        }
    }

    fn file(&self, group: &GroupId) -> PathBuf {
        self.0.join(format!("{group}.json"))
    }

    /// Restores the newest backup of a group and says how it went.
    pub(crate) async fn run(&self, repository: &Repository, group: &GroupId) -> DrillResult {
        let began = Instant::now();
        let rebuilt = self.rebuild(repository, group).await;
        let result = result(group, began.elapsed(), rebuilt);
        let labels = [("group", group.to_string())];
        let is_good = result.problem.is_none();
        match &result.problem {
            None => tracing::info!(%group, rows = result.rows, bytes = result.bytes, "restore drill passed"),
            Some(problem) => tracing::error!(%group, problem, "restore drill failed"),
        }
        metrics::gauge!("locum_edge_restore_drill_success", &labels).set(f64::from(u8::from(is_good)));
        metrics::gauge!("locum_edge_restore_drill_duration_seconds", &labels).set(result.seconds);
        metrics::gauge!("locum_edge_restore_drill_bytes", &labels).set(result.bytes as f64);
        self.keep(&result);
        result
    }

    async fn rebuild(&self, repository: &Repository, group: &GroupId) -> Result<Rebuilt, RebuildError> {
        let opened = rebuild::choose(repository, group, None).await?;
        let folder = self.0.clone();
        // A key of its own, which is gone with the scratch database.
        let scratch = tokio::task::spawn_blocking(move || Scratch::with_new_key(&folder)).await;
        let scratch = scratch.map_err(|_| ScratchError::Unfinished)??;
        rebuild::rebuild(&opened, None, Arc::new(scratch)).await
    }
}

fn result(group: &GroupId, took: Duration, rebuilt: Result<Rebuilt, RebuildError>) -> DrillResult {
    let (group, at, seconds) = (group.clone(), Timestamp::now(), took.as_secs_f64());
    match rebuilt {
        Ok(rebuilt) => DrillResult {
            group,
            at,
            seconds,
            problem: None,
            backup: Some(rebuilt.manifest.id.clone()),
            until: Some(rebuilt.until),
            bytes: u64::from(rebuilt.manifest.pages) * u64::from(rebuilt.manifest.page_bytes),
            rows: rebuilt.tables.values().sum(),
            audited: rebuilt.audited,
        },
        Err(error) => DrillResult {
            group,
            at,
            seconds,
            problem: Some(chain(&error)),
            backup: None,
            until: None,
            bytes: 0,
            rows: 0,
            audited: 0,
        },
    }
}
