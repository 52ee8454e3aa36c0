//! Backups of a store in this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use jiff::Timestamp;
use locum_backup::{BucketAccess, MasterKey as BackupKey, Place, Repository};
use locum_identity::{NodeId, SigningKey};

use super::audit_files::{AuditFiles, archive_id};
use super::bring::{Bring, Brought};
use super::rebuild::{self, RebuildError};
use super::source::Source;
use super::stage::Stage;
use super::taking::{self, Chain};
use crate::audit::{self, Audit, AuditSettings};
use crate::blob::{self, Blob, Blobs};
use crate::mesh::{AskError, Peers};
use crate::store::{Access, GroupId, LocalCopy, MasterKey, RecordStore, Session, Value, testing};

mod beside;
mod measures;

/// A host of one region, and the place of its backups.
struct Kept {
    folder: tempfile::TempDir,
    group: GroupId,
    store: Arc<dyn RecordStore>,
    copy: LocalCopy,
    source: Source,
}

/// Nobody else is there.
struct Alone;

impl Peers for Alone {
    fn ask<'a>(
        &'a self,
        node: &'a NodeId,
        _: &'a [u8],
        _: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, AskError>> {
        std::future::ready(Err(AskError::Unknown(node.clone()))).boxed()
    }

    fn elsewhere(&self) -> Vec<NodeId> {
        Vec::new()
    }
}

fn kept() -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("backup.key");
    BackupKey::generate(&key).unwrap();
    let place = folder.path().join("backups");
    let place = Place::open(place.to_str().unwrap(), &BucketAccess::default(), true).unwrap();
    let repository = Repository::new(place.clone(), place, BackupKey::read(&key).unwrap());
    let kept = host(folder, repository);
    kept.run("CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES a (id), x BLOB)", &[]);
    kept
}

/// On a folder that may hold records already.
fn host(folder: tempfile::TempDir, repository: Repository) -> Kept {
    let (store, group) = testing::store(folder.path());
    let copy = store.local_copy(&group).unwrap();
    let store: Arc<dyn RecordStore> = Arc::new(store);
    let settings = AuditSettings {
        folder: folder.path().join("audit"),
        reserve_bytes: 1 << 16,
        file_bytes: audit::FILE_BYTES,
        allocate: audit::reserve,
        clinics: crate::clinic::Clinics::default(),
        key: SigningKey::load_or_create(&folder.path().join("audit-key.pem")).unwrap(),
        region: "eu-central".to_owned(),
        keep: Duration::from_secs(3_600),
        ships: false,
        node: Box::new(|| "edge-1".to_owned()),
        ordered: Box::new(Vec::new),
    };
    let audit = Arc::new(Audit::new(settings, store.clone()));
    let blobs = Arc::new(Blobs::new(folder.path().join("blobs"), store.clone(), false));
    let archive = archive_id(folder.path(), "edge-1".parse().unwrap()).unwrap();
    let source = Source::new(repository, group.clone(), (blobs, audit, Arc::new(Alone)), archive);
    Kept { folder, group, store, copy, source }
}

impl Kept {
    fn run(&self, sql: &str, parameters: &[Value]) {
        testing::database(self.folder.path())(sql, parameters).unwrap();
    }

    async fn whole(&self) -> (Chain, taking::Taken) {
        let regions = taking::Regions { own: "eu-central".parse().unwrap(), allowed: Vec::new() };
        let id = self.source.repository.name(Timestamp::now()).unwrap();
        taking::whole(&self.source, id, regions, self.copy.clone()).await.unwrap()
    }

    /// A group out of the backups, into a stage below `state`.
    async fn bring(
        &self,
        state: &Path,
        at: Option<Timestamp>,
        is_replicated: bool,
    ) -> Result<(Stage, Brought), RebuildError> {
        let repository = &self.source.repository;
        let opened = rebuild::choose(repository, &self.group, at).await?;
        let stage = Stage::begin(state, std::slice::from_ref(&self.group)).unwrap();
        let bring = Bring {
            repository,
            stage: &stage,
            at,
            store_key: &MasterKey::read(&self.folder.path().join("store.key")).unwrap(),
            is_replicated,
            keeps_documents: true,
            audit_key: &SigningKey::generate().unwrap(),
        };
        let brought = bring.group(&opened).await?;
        Ok((stage, brought))
    }

    /// The same, which goes again.
    async fn brought(&self) -> Result<Brought, RebuildError> {
        let state = tempfile::tempdir().unwrap();
        Ok(self.bring(state.path(), None, false).await?.1)
    }

    /// Another host that begins with what the backups hold.
    async fn restored(&self, at: Option<Timestamp>) -> (Kept, Brought) {
        let folder = tempfile::tempdir().unwrap();
        let (stage, brought) = self.bring(folder.path(), at, false).await.unwrap();
        stage.commit(std::slice::from_ref(&self.group)).unwrap();
        (host(folder, self.source.repository.clone()), brought)
    }

    /// Every file of the place, such as `documents/…`, below the group's folder.
    fn objects(&self, below: &str) -> Vec<PathBuf> {
        let mut folders = vec![self.folder.path().join("backups/main").join(below)];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_follows_whatever_changes() {
    let kept = kept();
    let (mut chain, _) = kept.whole().await;
    let rows = |count: i64| {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
            INSERT INTO a (x) SELECT zeroblob(3500) FROM n"
        )
    };
    // More pages than one segment holds.
    let changes = [rows(10), rows(2_300), "DELETE FROM a WHERE id % 50 > 0".into(), rows(3)];
    for change in changes {
        kept.run(&change, &[]);
        chain.ship(&kept.source).await.unwrap();
        let mut count = testing::database(kept.folder.path());
        let expected = count("SELECT count(*) FROM a", &[]).unwrap().rows;
        let brought = kept.brought().await.unwrap();
        let found = i64::try_from(brought.rebuilt.tables["a"]).unwrap();
        assert!(expected == [[Value::Integer(found)]], "{change}: {found}");
    }
    assert_eq!(chain.ship(&kept.source).await.unwrap(), 0, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_nothing_is_not_sound() {
    let kept = kept();
    let mut database = testing::database(kept.folder.path());
    for sql in ["PRAGMA foreign_keys = OFF", "INSERT INTO a (id, b) VALUES (1, 7)"] {
        database(sql, &[]).unwrap();
    }
    drop(kept.whole().await);
    let refused = kept.brought().await.err().unwrap().to_string();
    assert!(refused.ends_with("rows refer to rows that are not there"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_audit_events_that_is_broken_is_not_sound() {
    let kept = kept();
    kept.write_events(0..3).await;
    kept.source.audit.round(&kept.group, &Alone).await;
    assert_eq!(kept.brought_after_whole().await.unwrap().rebuilt.audited(), 3);
    for sql in
        ["DROP TRIGGER locum_audit_is_final", "UPDATE locum_audit SET agent = 'u-9' WHERE sequence = 2"]
    {
        kept.run(sql, &[]);
    }
    let refused = kept.brought_after_whole().await.err().unwrap().to_string();
    assert!(refused.ends_with("the chain of its audit events is broken"), "{refused}");
}
