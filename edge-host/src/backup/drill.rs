//! The restore drill: the newest backup becomes a database in a scratch place, is checked, and goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use locum_backup::{BackupId, Repository};
use locum_identity::{SigningKey, private_file};
use locum_telemetry::config::chain;
use serde::{Deserialize, Serialize};

use super::bring::{Bring, Brought};
use super::rebuild::{self, RebuildError};
use super::stage::{Stage, StageError};
use crate::store::{GroupId, KeyError, MasterKey};

/// How a drill went. Kept beside the records.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct DrillResult {
    pub(crate) group: GroupId,
    pub(crate) at: Timestamp,
    /// When one of this group last found nothing, on this host.
    #[serde(default)]
    pub(crate) passed_at: Option<Timestamp>,
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
    /// Documents that were opened.
    #[serde(default)]
    pub(crate) documents: u64,
}

/// A drill could not be held, or found something.
#[derive(Debug, thiserror::Error)]
enum DrillError {
    #[error("make room for the drill")]
    Stage(#[source] StageError),
    #[error("make keys for the drill")]
    Key(#[source] KeyError),
    #[error("make a signing key for the drill")]
    AuditKey(#[source] locum_identity::KeyError),
    #[error(transparent)]
    Rebuild(RebuildError),
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
        let brought = self.bring(repository, group).await;
        let mut result = result(group, began.elapsed(), brought);
        result.passed_at = match result.problem {
            None => Some(result.at),
            Some(_) => self.last(group).and_then(|last| last.passed_at),
        };
        match &result.problem {
            None => tracing::info!(%group, rows = result.rows, bytes = result.bytes, "restore drill passed"),
            Some(problem) => tracing::error!(%group, problem, "restore drill failed"),
        }
        result.tell();
        self.keep(&result);
        result
    }

    /// As a restore would, under a key that only this process knows.
    async fn bring(&self, repository: &Repository, group: &GroupId) -> Result<Brought, DrillError> {
        let opened = rebuild::choose(repository, group, None).await.map_err(DrillError::Rebuild)?;
        let stage = Stage::scratch(&self.0).map_err(DrillError::Stage)?;
        let bring = Bring {
            repository,
            stage: &stage,
            at: None,
            store_key: &MasterKey::random().map_err(DrillError::Key)?,
            is_replicated: false,
            keeps_documents: false,
            audit_key: &SigningKey::generate().map_err(DrillError::AuditKey)?,
        };
        bring.group(&opened).await.map_err(DrillError::Rebuild)
    }
}

impl DrillResult {
    /// In metrics.
    pub(crate) fn tell(&self) {
        let labels = [("group", self.group.to_string())];
        let is_good = f64::from(u8::from(self.problem.is_none()));
        metrics::gauge!("locum_edge_restore_drill_success", &labels).set(is_good);
        metrics::gauge!("locum_edge_restore_drill_duration_seconds", &labels).set(self.seconds);
        metrics::gauge!("locum_edge_restore_drill_bytes", &labels).set(self.bytes as f64);
        if let Some(passed_at) = self.passed_at {
            let age = Timestamp::now().duration_since(passed_at);
            metrics::gauge!("locum_edge_restore_drill_age_seconds", &labels).set(age.as_secs_f64());
        }
    }
}

fn result(group: &GroupId, took: Duration, brought: Result<Brought, DrillError>) -> DrillResult {
    let (group, at, seconds) = (group.clone(), Timestamp::now(), took.as_secs_f64());
    match brought {
        Ok(brought) => {
            let problem = problem(&brought);
            let Brought { rebuilt, documents, .. } = brought;
            DrillResult {
                group,
                at,
                passed_at: None,
                seconds,
                problem,
                backup: Some(rebuilt.manifest.id.clone()),
                until: Some(rebuilt.until),
                bytes: u64::from(rebuilt.manifest.pages) * u64::from(rebuilt.manifest.page_bytes),
                rows: rebuilt.tables.values().sum(),
                audited: rebuilt.audited(),
                documents,
            }
        }
        Err(error) => DrillResult {
            group,
            at,
            passed_at: None,
            seconds,
            problem: Some(chain(&error)),
            backup: None,
            until: None,
            bytes: 0,
            rows: 0,
            audited: 0,
            documents: 0,
        },
    }
}

/// What a restore would report and go on.
fn problem(brought: &Brought) -> Option<String> {
    match (brought.audit_problems.first(), brought.missing) {
        (Some(first), _) => Some(format!("audit events: {first}")),
        (None, 0) => None,
        (None, missing) => Some(format!("{missing} documents were in no region when it was backed up")),
    }
}
