//! A repository in a folder: what is written comes back, and nothing else does.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use locum_backup::{
    BucketAccess, DocumentCheck, GroupKey, MANIFEST_VERSION, Manifest, MasterKey, Opened, Place, ReadError,
    Repository, Segment, SegmentHead, SnapshotTotals, Verified,
};
use locum_replication::GroupId;

mod beside;

const PAGE: usize = 4_096;
const PLANTED: &[u8] = b"planted-in-a-page";

struct Kept {
    folder: tempfile::TempDir,
    repository: Repository,
    opened: Opened,
}

fn group() -> GroupId {
    "main".parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn repository(folder: &Path, key: &str) -> Repository {
    let key = folder.join(key);
    if !key.exists() {
        MasterKey::generate(&key).unwrap();
    }
    let place = folder.join("backups");
    let place = Place::open(place.to_str().unwrap(), &BucketAccess::default(), true).unwrap();
    Repository::new(place.clone(), place, MasterKey::read(&key).unwrap())
}

fn page(number: u32) -> Vec<u8> {
    let mut page = vec![u8::try_from(number % 251).unwrap(); PAGE];
    page[..PLANTED.len()].copy_from_slice(PLANTED);
    page
}

async fn write(repository: &Repository, opened: &Opened, pages: u32) -> SnapshotTotals {
    let mut snapshot = opened.snapshot();
    for number in 1..=pages {
        if let Some(object) = snapshot.page(&page(number)).unwrap() {
            repository.put(object).await.unwrap();
        }
    }
    let (last, totals) = snapshot.finish().unwrap();
    if let Some(object) = last {
        repository.put(object).await.unwrap();
    }
    totals
}

fn manifest(opened: &Opened, pages: u32, totals: SnapshotTotals) -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        group: group(),
        id: opened.id().clone(),
        taken_at: at(1),
        region: "eu-central".parse().unwrap(),
        regions: vec!["eu-central".parse().unwrap(), "us-east".parse().unwrap()],
        position: None,
        page_bytes: u32::try_from(PAGE).unwrap(),
        pages,
        sha256: totals.sha256,
        chunks: totals.chunks,
        sealed_bytes: totals.sealed_bytes,
        tables: BTreeMap::from([("appointment".to_owned(), 7)]),
        group_key: GroupKey::new("00"),
        document_lists: 0,
        documents_missing: 0,
    }
}

async fn begin(repository: &Repository) -> Opened {
    repository.begin(&group(), repository.name(at(0)).unwrap()).await.unwrap()
}

async fn verify(opened: &Opened) -> Result<Verified, ReadError> {
    opened.verify(&mut DocumentCheck::default()).await
}

fn segment(second: i64) -> Segment {
    let head = SegmentHead {
        taken_at: at(second),
        position: None,
        page_bytes: u32::try_from(PAGE).unwrap(),
        pages_after: 3_000,
        ends: true,
        document_lists: 0,
    };
    Segment { head, pages: vec![(2, page(9))] }
}

/// Two chunks and two segments.
async fn kept() -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path(), "key");
    let opened = begin(&repository).await;
    let totals = write(&repository, &opened, 3_000).await;
    opened.finish(&manifest(&opened, 3_000, totals)).await.unwrap();
    for number in 1..=2 {
        opened.append(number, &segment(number.into())).await.unwrap();
    }
    Kept { folder, repository, opened }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn file_name(error: &ReadError) -> String {
    std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[tokio::test]
async fn what_was_written_comes_back() {
    let Kept { folder, repository, opened } = kept().await;
    let verified = verify(&opened).await.unwrap();
    assert_eq!((verified.segments, verified.until), (2, at(2)));
    assert_eq!(verified.manifest.chunks, 2);
    let mut number = 0;
    for chunk in 1..=2 {
        for found in opened.chunk(chunk).await.unwrap().chunks_exact(PAGE) {
            number += 1;
            assert!(found == page(number), "page {number}");
        }
    }
    assert_eq!(number, 3_000);
    assert_eq!(opened.segment(2).await.unwrap(), segment(2));
    assert_eq!(repository.groups().await.unwrap(), [group()]);
    let found = repository.backups(&group()).await.unwrap();
    assert_eq!(found.iter().map(|found| &found.id).collect::<Vec<_>>(), [opened.id()]);
    for path in files(folder.path()) {
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(PLANTED.len()).any(|part| part == PLANTED), "{}", path.display());
    }
}

#[tokio::test]
async fn every_altered_cut_or_missing_file_is_refused_by_name() {
    let Kept { folder, repository, opened } = kept().await;
    let all = files(&folder.path().join("backups"));
    assert_eq!(all.len(), 6, "{all:?}");
    for path in all {
        let whole = fs::read(&path).unwrap();
        let middle = whole.len() / 2;
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            Some(bytes)
        };
        let ways = [
            flipped(0),
            flipped(20),
            flipped(middle),
            flipped(whole.len() - 3),
            Some(whole[..middle].to_vec()),
            Some(Vec::new()),
            None,
        ];
        let is_last_segment = path.ends_with("log/00000002");
        for (way, altered) in ways.into_iter().enumerate() {
            if is_last_segment && altered.is_none() {
                // Cut off at its end, a log is an earlier point in time.
                continue;
            }
            match altered {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let read = match repository.open(&group(), opened.id()).await {
                Ok(opened) => verify(&opened).await,
                Err(error) => Err(error),
            };
            let error = file_name(&read.expect_err(&format!("{} way {way}", path.display())));
            let name = path.canonicalize().unwrap_or(path.clone());
            assert!(error.contains(&*name.to_string_lossy()), "{} way {way}: {error}", path.display());
            fs::write(&path, &whole).unwrap();
        }
    }
    verify(&opened).await.unwrap();
}

#[tokio::test]
async fn objects_of_one_backup_are_nothing_in_another_place() {
    let Kept { folder, opened, .. } = kept().await;
    let below = folder.path().join(format!("backups/main/backups/{}", opened.id()));
    fs::copy(below.join("log/00000001"), below.join("log/00000002")).unwrap();
    assert!(matches!(verify(&opened).await, Err(ReadError::Damaged { .. })));
}

#[tokio::test]
async fn another_master_key_opens_nothing() {
    let Kept { folder, opened, .. } = kept().await;
    let other = repository(folder.path(), "other-key");
    assert!(matches!(other.open(&group(), opened.id()).await, Err(ReadError::Key(_))));
    let found = other.backups(&group()).await.unwrap();
    assert!(matches!(found[0].manifest, Err(ReadError::Key(_))));
}

#[tokio::test]
async fn a_backup_that_was_cut_off_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path(), "key");
    let opened = begin(&repository).await;
    write(&repository, &opened, 3_000).await;
    let found = repository.backups(&group()).await.unwrap();
    assert!(matches!(found[0].manifest, Err(ReadError::Unfinished(_))));
}

#[tokio::test]
async fn without_its_key_a_backup_is_unreadable_and_removing_begins_with_it() {
    let Kept { folder, repository, opened } = kept().await;
    let below = folder.path().join("backups");
    let stolen = folder.path().join("stolen");
    let status = std::process::Command::new("cp").arg("-r").arg(&below).arg(&stolen).status().unwrap();
    assert!(status.success());
    // What a process that was killed leaves of an object that it was writing.
    fs::write(below.join(format!("main/backups/{}/log/00000003#1", opened.id())), "half").unwrap();
    repository.remove(&group(), opened.id()).await.unwrap();
    assert!(files(&below).is_empty());
    assert!(repository.backups(&group()).await.unwrap().is_empty(), "an empty folder is no backup");
    repository.remove(&group(), opened.id()).await.unwrap();
    // A copy made before, with the keyring as it is now.
    let key = MasterKey::read(&folder.path().join("key")).unwrap();
    let place = |path: &Path| Place::open(path.to_str().unwrap(), &BucketAccess::default(), false).unwrap();
    let stolen = Repository::new(place(&stolen), place(&below), key);
    assert!(matches!(stolen.open(&group(), opened.id()).await, Err(ReadError::NoKey(_))));
}

#[tokio::test]
async fn pages_of_another_snapshot_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path(), "key");
    let opened = begin(&repository).await;
    let totals = write(&repository, &opened, 10).await;
    opened.finish(&manifest(&opened, 11, totals.clone())).await.unwrap();
    assert!(matches!(verify(&opened).await, Err(ReadError::Malformed { .. })));
    let other = SnapshotTotals { sha256: "00".repeat(32), ..totals };
    opened.finish(&manifest(&opened, 10, other)).await.unwrap();
    assert!(matches!(verify(&opened).await, Err(ReadError::Malformed { .. })));
}
