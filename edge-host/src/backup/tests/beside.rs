//! What lies beside the database: documents, erasures, audit events.

use locum_backup::Keep;

use super::super::begun::Begun;
use super::super::retaining;
use super::*;

impl Kept {
    fn session(&self) -> Arc<dyn Session> {
        self.store.session(&self.group, Access::Write, Instant::now() + Duration::from_secs(5)).unwrap()
    }

    pub(super) async fn store_document(&self, document: &str, content: &[u8]) -> Blob {
        let content = stream::iter([Ok(Bytes::copy_from_slice(content))]);
        let blob = self.source.blobs.put(&self.group, content, &Alone).await.unwrap();
        let session = self.session();
        blob::refer(session.as_ref(), ("demo", document), &blob).await.unwrap();
        session.commit().await.unwrap();
        blob
    }

    async fn erase(&self, document: &str) {
        let session = self.session();
        assert!(blob::erase(session.as_ref(), ("demo", document)).await.unwrap());
        session.commit().await.unwrap();
    }

    /// The content of a document, as this host has it.
    async fn document(&self, document: &str) -> Option<Vec<u8>> {
        let found = blob::find(self.session().as_ref(), ("demo", document)).await.unwrap()?;
        Some(self.source.blobs.read(&self.group, &found, &Alone).await.unwrap())
    }

    pub(super) async fn write_events(&self, events: std::ops::Range<u64>) {
        let session = self.session();
        let events: Vec<_> = events.map(audit::testing::event).collect();
        audit::insert(session.as_ref(), &events).await.unwrap();
        session.commit().await.unwrap();
    }

    async fn read_events(&self, events: std::ops::Range<u64>) {
        for number in events {
            let event = audit::testing::event(number);
            self.source.audit.keep(&self.group, vec![event], &Alone).await.unwrap();
        }
    }

    /// Takes a backup and gives what comes out of it.
    pub(super) async fn brought_after_whole(&self) -> Result<Brought, RebuildError> {
        drop(self.whole().await);
        self.brought().await
    }

    fn verified(&self) -> audit::Report {
        let host = audit::HostOnDisk {
            name: "edge-1".to_owned(),
            state_dir: self.folder.path().to_owned(),
            master_key: MasterKey::read(&self.folder.path().join("store.key")).unwrap(),
        };
        audit::verify(&[host], &self.group).unwrap()
    }

    fn file_of(&self, blob: &Blob) -> PathBuf {
        self.folder.path().join("blobs/main").join(blob.object_name())
    }
}

fn chained(error: &RebuildError) -> String {
    locum_telemetry::config::chain(error)
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_go_once_and_come_back_with_their_rows() {
    let kept = kept();
    let long = vec![7; 2_500_000];
    kept.store_document("one", &long).await;
    let (mut chain, taken) = kept.whole().await;
    assert_eq!((taken.manifest.document_lists, taken.manifest.documents_missing), (1, 0));
    let one = fs::metadata(&kept.objects("documents")[0]).unwrap().modified().unwrap();
    kept.store_document("two", b"").await;
    chain.ship(&kept.source).await.unwrap();
    kept.store_document("three", b"not shipped").await;
    let (other, brought) = kept.restored(None).await;
    assert_eq!((brought.documents, brought.missing), (2, 0));
    assert!(other.document("one").await.unwrap() == long);
    assert_eq!(other.document("two").await.unwrap(), b"");
    assert_eq!(other.document("three").await, None);

    // The next backup shares what is there.
    drop(kept.whole().await);
    assert_eq!(kept.objects("documents").len(), 3);
    let again = kept.objects("documents").into_iter().map(|path| fs::metadata(path).unwrap());
    assert!(again.into_iter().any(|metadata| metadata.modified().unwrap() == one), "sent again");
    assert_eq!(kept.brought().await.unwrap().documents, 3);
    // A host that begins with a backup goes on making some.
    let (_, taken) = other.whole().await;
    assert_eq!(taken.manifest.documents_missing, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_missing_or_altered_is_refused_by_name() {
    let kept = kept();
    kept.store_document("one", b"content").await;
    drop(kept.whole().await);
    let path = kept.objects("documents").remove(0);
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[2] ^= 1;
    for altered in [Some(flipped), Some(whole[1..].to_vec()), None] {
        let name = path.canonicalize().unwrap();
        match altered {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let state = tempfile::tempdir().unwrap();
        let told = chained(&kept.bring(state.path(), None, false).await.err().unwrap());
        assert!(told.contains(name.to_str().unwrap()), "{told}");
        assert!(!state.path().join("blobs/main").exists() && !state.path().join("records/main").exists());
        fs::write(&path, &whole).unwrap();
    }
    // Another document's row: it is whole, and not what the row says.
    kept.run("UPDATE locum_blob SET wrapped_key = zeroblob(60)", &[]);
    let told = chained(&kept.brought_after_whole().await.err().unwrap());
    assert!(told.contains("does not open with the key in its row"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_nobody_has_stops_no_backup_and_goes_once_it_is_back() {
    let kept = kept();
    let (lost, other) =
        (kept.store_document("lost", b"lost").await, kept.store_document("other", b"x").await);
    let (file, aside) = (kept.file_of(&lost), kept.folder.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    let (mut chain, taken) = kept.whole().await;
    assert_eq!(taken.manifest.documents_missing, 1);
    let brought = kept.brought().await.unwrap();
    assert_eq!((brought.documents, brought.missing), (1, 1));
    fs::rename(&aside, &file).unwrap();
    chain.ship(&kept.source).await.unwrap();
    assert_eq!(chain.missing(), 0);
    let brought = kept.brought().await.unwrap();
    assert_eq!((brought.documents, brought.missing), (2, 0));
    // From then on the backup says that it is there.
    fs::remove_file(
        kept.objects("documents").into_iter().find(|path| path.ends_with(lost.name().to_string())).unwrap(),
    )
    .unwrap();
    assert!(kept.brought().await.is_err());
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_comes_back_from_no_backup() {
    let kept = kept();
    kept.store_document("one", b"one").await;
    kept.store_document("same", b"two").await;
    kept.store_document("too", b"two").await;
    let (mut chain, _) = kept.whole().await;
    kept.erase("one").await;
    kept.erase("same").await;
    let between = Timestamp::now();
    chain.ship(&kept.source).await.unwrap();
    assert_eq!(kept.objects("documents").len(), 1, "what nobody names is gone at once");
    let (old, brought) = kept.restored(Some(between)).await;
    assert_eq!((brought.rebuilt.segments, brought.rebuilt.erased), (0, 2));
    assert_eq!((old.document("one").await, old.document("same").await), (None, None));
    assert_eq!(old.document("too").await.unwrap(), b"two");
    let newest = kept.brought().await.unwrap();
    assert_eq!((newest.rebuilt.segments, newest.rebuilt.erased), (1, 0));

    // Its name may be used again: what is younger than the erasure stays.
    kept.store_document("one", b"new").await;
    chain.ship(&kept.source).await.unwrap();
    let (new, brought) = kept.restored(None).await;
    assert_eq!(brought.rebuilt.erased, 0);
    assert_eq!(new.document("one").await.unwrap(), b"new");
    // The host that was restored knows of it for good, and adds nothing to the journal.
    let entries = kept.objects("erasures").len();
    drop(old.whole().await);
    assert_eq!(kept.objects("erasures").len(), entries);
    let (older, brought) = old.restored(None).await;
    assert_eq!((brought.rebuilt.erased, older.document("one").await), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_events_come_back_and_verify_beside_records_of_an_earlier_moment() {
    let kept = kept();
    kept.write_events(0..3).await;
    kept.read_events(0..4).await;
    kept.source.audit.round(&kept.group, &Alone).await;
    drop(kept.whole().await);
    let mut files = AuditFiles::default();
    files.ship(&kept.source).await.unwrap();
    // Signed for, and in no segment: lost with this host.
    kept.write_events(3..5).await;
    kept.read_events(4..600).await;
    let again = Kept { source: host_source(&kept), ..kept };
    again.source.audit.round(&again.group, &Alone).await;
    files.ship(&again.source).await.unwrap();
    assert_eq!(files.ship(&again.source).await.unwrap(), 0, "nothing is new");

    let (other, brought) = again.restored(None).await;
    assert_eq!((brought.rebuilt.audited(), brought.audit_problems.len()), (3, 0));
    let report = other.verified().to_string();
    assert!(report.ends_with("nothing was altered"), "{report}");
    assert!(report.contains("events 1 to 600"), "{report}");
    assert!(report.contains("held changes up to event 3; events 4 to 5 of the lost network"), "{report}");
    // It goes on, and what it writes now is vouched for as ever.
    other.write_events(9..12).await;
    other.read_events(0..2).await;
    other.source.audit.round(&other.group, &Alone).await;
    let report = other.verified().to_string();
    assert!(report.contains("6 events chained") && report.ends_with("nothing was altered"), "{report}");
    for sql in ["DROP TRIGGER locum_audit_is_final", "DROP TRIGGER locum_audit_is_kept"] {
        other.run(sql, &[]);
    }
    other.run("DELETE FROM locum_audit WHERE sequence > 3", &[]);
    other.run("DELETE FROM locum_audit_chain WHERE sequence > 3", &[]);
    other.run("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'locum_audit'", &[]);
    let report = other.verified().to_string();
    assert!(report.contains("events from 4 on were cut off"), "{report}");
}

/// As after a restart of the host: checkpoints are due at once.
fn host_source(kept: &Kept) -> Source {
    let settings = AuditSettings {
        folder: kept.folder.path().join("audit"),
        reserve_bytes: 1 << 16,
        file_bytes: audit::FILE_BYTES,
        allocate: audit::reserve,
        clinics: crate::clinic::Clinics::default(),
        key: SigningKey::load_or_create(&kept.folder.path().join("audit-key.pem")).unwrap(),
        region: "eu-central".to_owned(),
        keep: Duration::from_secs(3_600),
        ships: false,
        node: Box::new(|| "edge-1".to_owned()),
        ordered: Box::new(Vec::new),
    };
    let audit = Arc::new(Audit::new(settings, kept.store.clone()));
    let archive = archive_id(kept.folder.path(), "edge-1".parse().unwrap()).unwrap();
    let kept_by = (Arc::clone(&kept.source.blobs), audit, Arc::new(Alone) as Arc<dyn Peers>);
    Source::new(kept.source.repository.clone(), kept.group.clone(), kept_by, archive)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_file_that_was_cut_keeps_its_end_in_the_archive() {
    let kept = kept();
    kept.read_events(0..4).await;
    AuditFiles::default().ship(&kept.source).await.unwrap();
    let own = kept.folder.path().join("audit/main/own");
    let log = fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().path());
    let log = log.into_iter().find(|path| path.extension().is_some_and(|name| name == "log")).unwrap();
    let whole = fs::read(&log).unwrap();
    let again = Kept { source: host_source(&kept), ..kept };
    fs::write(&log, &whole[..whole.len() / 2]).unwrap();
    AuditFiles::default().ship(&again.source).await.unwrap();
    drop(again.whole().await);
    let (other, _) = again.restored(None).await;
    assert!(other.verified().to_string().contains("events 1 to 4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_two_hosts_keep_comes_back_as_far_as_either_goes() {
    let kept = kept();
    kept.read_events(0..2).await;
    let mut files = AuditFiles::default();
    files.ship(&kept.source).await.unwrap();
    drop(kept.whole().await);
    kept.read_events(2..5).await;
    // A host elsewhere that had taken the last events before the first one was lost, and backs up what it keeps.
    let other = tempfile::tempdir().unwrap();
    let (own, from) =
        (kept.folder.path().join("audit/main/own"), other.path().join("audit/main/from/edge-1"));
    fs::create_dir_all(&from).unwrap();
    for entry in fs::read_dir(&own).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, from.join(path.file_name().unwrap())).unwrap();
    }
    let records = other.path().join("records/main");
    fs::create_dir_all(&records).unwrap();
    fs::copy(kept.folder.path().join("records/main/key.json"), records.join("key.json")).unwrap();
    let other = host(other, kept.source.repository.clone());
    AuditFiles::default().ship(&other.source).await.unwrap();
    let (third, brought) = kept.restored(None).await;
    assert!(brought.audit_problems.is_empty(), "{:?}", brought.audit_problems);
    assert!(third.verified().to_string().contains("events 1 to 5"), "{}", third.verified());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_expired_backups_need_goes_and_nothing_else() {
    let kept = kept();
    let only_first = kept.store_document("one", b"one").await;
    kept.store_document("two", b"two").await;
    let (_, first) = kept.whole().await;
    for table in ["locum_blob_reference", "locum_blob_order", "locum_blob"] {
        let column = if table == "locum_blob" { "id" } else { "blob" };
        let sql = format!(
            "DELETE FROM {table} WHERE {column} = (SELECT id FROM locum_blob WHERE hash = x'{}')",
            only_first.name()
        );
        kept.run(&sql, &[]);
    }
    let (_, second) = kept.whole().await;
    let keep = Keep { age: Duration::from_secs(3_600), count: 1 };
    let count = |below: &str| kept.objects(below).len();
    retaining::remove_expired(&kept.source, keep).await.unwrap();
    assert_eq!(
        (kept.source.repository.backups(&kept.group).await.unwrap().len(), count("documents")),
        (2, 2)
    );
    let none = Keep { age: Duration::ZERO, count: 1 };
    retaining::remove_expired(&kept.source, none).await.unwrap();
    let left = kept.source.repository.backups(&kept.group).await.unwrap();
    assert_eq!(left.iter().map(|found| &found.id).collect::<Vec<_>>(), [&second.manifest.id]);
    assert_ne!(first.manifest.id, second.manifest.id);
    assert_eq!(count("documents"), 2, "it is young: a backup that is on its way may need it");
    for path in kept.objects("documents") {
        let old = std::time::SystemTime::now() - Duration::from_secs(25 * 3_600);
        fs::File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
    }
    let repository = &kept.source.repository;
    let begun = repository.begin(&kept.group, repository.name(Timestamp::now()).unwrap()).await.unwrap();
    let unfinished =
        locum_backup::Object { name: format!("main/backups/{}/pages/00000001", begun.id()), bytes: vec![1] };
    repository.put(unfinished).await.unwrap();
    retaining::remove_expired(&kept.source, none).await.unwrap();
    assert_eq!(count("documents"), 2, "a backup is on its way");
    repository.remove(&kept.group, begun.id()).await.unwrap();
    retaining::remove_expired(&kept.source, none).await.unwrap();
    assert_eq!(count("documents"), 1);
    assert_eq!(kept.brought().await.unwrap().documents, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_host_had_begun_goes_at_its_next_start_and_what_it_finished_stays() {
    let kept = kept();
    let (repository, group) = (&kept.source.repository, &kept.group);
    let begun = Begun::open(kept.folder.path()).unwrap();
    let id = repository.name(Timestamp::now()).unwrap();
    begun.note(group, &id).unwrap();
    let opened = repository.begin(group, id.clone()).await.unwrap();
    let page = locum_backup::Object { name: format!("main/backups/{id}/pages/00000001"), bytes: vec![1] };
    repository.put(page).await.unwrap();
    // Another host's.
    let other = repository.name(Timestamp::now()).unwrap();
    repository.begin(group, other.clone()).await.unwrap();
    let page = locum_backup::Object { name: format!("main/backups/{other}/pages/00000001"), bytes: vec![1] };
    repository.put(page).await.unwrap();
    begun.tidy(repository, group).await.unwrap();
    let left = repository.backups(group).await.unwrap();
    assert_eq!(left.iter().map(|found| &found.id).collect::<Vec<_>>(), [&other]);
    assert!(
        kept.objects("keyring").iter().all(|path| !path.to_string_lossy().contains(opened.id().as_str()))
    );

    let (_, taken) = kept.whole().await;
    begun.note(group, &taken.manifest.id).unwrap();
    begun.tidy(repository, group).await.unwrap();
    begun.tidy(repository, group).await.unwrap();
    assert_eq!(kept.brought().await.unwrap().rebuilt.manifest.id, taken.manifest.id);
}
