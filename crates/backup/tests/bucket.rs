//! The same in a bucket of an S3-compatible service: `moto_server`, which `setup/moto` installs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use locum_backup::{
    ArchiveId, BucketAccess, DocumentCheck, GroupKey, MANIFEST_VERSION, Manifest, MasterKey, Place,
    ReadError, Repository,
};
use locum_replication::GroupId;

const PATIENCE: Duration = Duration::from_secs(30);

struct Service {
    process: Child,
    access: BucketAccess,
}

impl Service {
    async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = std::env::var("LOCUM_MOTO").unwrap_or_else(|_| "moto_server".to_owned());
        let process = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program}: {error}; `setup/moto` installs it, LOCUM_MOTO names it")
            });
        let endpoint = format!("http://127.0.0.1:{port}");
        let access = BucketAccess {
            endpoint: Some(endpoint.clone()),
            region: Some("us-east-1".to_owned()),
            access_key_id: Some("id".to_owned()),
            secret_access_key: Some("secret".to_owned()),
        };
        let service = Self { process, access };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        for bucket in ["backups", "keys"] {
            let began = Instant::now();
            while !client
                .put(format!("{endpoint}/{bucket}"))
                .send()
                .await
                .is_ok_and(|a| a.status().is_success())
            {
                assert!(began.elapsed() < PATIENCE, "{program} does not answer");
                tokio::task::yield_now().await;
            }
        }
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn manifest(group: &GroupId, id: &locum_backup::BackupId, totals: locum_backup::SnapshotTotals) -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        group: group.clone(),
        id: id.clone(),
        taken_at: Timestamp::UNIX_EPOCH,
        region: "eu-central".parse().unwrap(),
        regions: vec!["eu-central".parse().unwrap(), "us-east".parse().unwrap()],
        position: None,
        page_bytes: 4_096,
        pages: 2,
        sha256: totals.sha256,
        chunks: totals.chunks,
        sealed_bytes: totals.sealed_bytes,
        tables: BTreeMap::new(),
        group_key: GroupKey::new("00"),
        document_lists: 0,
        documents_missing: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_backups_and_another_their_keys() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    MasterKey::generate(&key).unwrap();
    let place = Place::open("s3://backups/some/where", &service.access, true).unwrap();
    let keyring = Place::open("s3://keys", &service.access, true).unwrap();
    let repository = Repository::new(place.clone(), keyring, MasterKey::read(&key).unwrap());
    let group: GroupId = "main".parse().unwrap();

    let name = || repository.name(Timestamp::UNIX_EPOCH).unwrap();
    let opened = repository.begin(&group, name()).await.unwrap();
    let mut snapshot = opened.snapshot();
    for page in 1..=2 {
        assert!(snapshot.page(&[page; 4_096]).unwrap().is_none());
    }
    let (last, totals) = snapshot.finish().unwrap();
    repository.put(last.unwrap()).await.unwrap();
    let found = repository.backups(&group).await.unwrap();
    assert!(matches!(found[0].manifest, Err(ReadError::Unfinished(_))));
    opened.finish(&manifest(&group, opened.id(), totals)).await.unwrap();

    assert_eq!(repository.groups().await.unwrap(), std::slice::from_ref(&group));
    let found = repository.backups(&group).await.unwrap();
    assert_eq!(found[0].manifest.as_ref().unwrap().pages, 2);
    let document = repository.put_document(&group, b"sealed".to_vec()).await.unwrap();
    opened.list_documents(1, &[document]).await.unwrap();
    assert_eq!(opened.documents(&BTreeMap::from([(1, 1)])).await.unwrap(), [document].into());
    assert!(repository.documents(&group).await.unwrap().contains_key(&document));
    opened.verify(&mut DocumentCheck::default()).await.unwrap();
    let archive = ArchiveId::new("edge-1".parse().unwrap(), 7);
    let archive = repository.archive(&group, &archive).await.unwrap();
    archive.put_block("own/log", 0, b"event".to_vec()).await.unwrap();
    assert_eq!(archive.files().await.unwrap()["own/log"], [5]);
    assert_eq!(repository.archives(&group).await.unwrap(), [archive.id().clone()]);
    archive.erased(&[], Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(repository.erasures(&group).await.unwrap().is_empty());
    // The keys are in the other bucket only.
    let alone = Repository::new(place.clone(), place, MasterKey::read(&key).unwrap());
    let refused = alone.open(&group, opened.id()).await;
    assert!(
        matches!(&refused, Err(ReadError::NoKey(name)) if name.starts_with("s3://backups/some/where/main/"))
    );

    repository.remove(&group, opened.id()).await.unwrap();
    assert!(repository.backups(&group).await.unwrap().is_empty());
    let gone = Place::open("s3://nowhere", &service.access, false).unwrap();
    let none = Repository::new(gone.clone(), gone, MasterKey::read(&key).unwrap());
    assert!(none.begin(&group, name()).await.is_err());
}
