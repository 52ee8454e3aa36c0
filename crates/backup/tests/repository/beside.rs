//! What lies beside the pages: documents and the lists that name them, the erasure journal, files of archives.

use locum_backup::{
    Archive, ArchiveId, BLOCK_BYTES, DocumentName, Erased, Erasure, ErasureId, verify_archive,
};

use super::*;

/// A backup whose snapshot names one document and whose only segment another.
async fn with_documents() -> (Kept, [DocumentName; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path(), "key");
    let opened = begin(&repository).await;
    let totals = write(&repository, &opened, 10).await;
    let first = repository.put_document(&group(), b"sealed by its host".to_vec()).await.unwrap();
    let document_lists = opened.list_documents(0, &[first]).await.unwrap();
    opened.finish(&Manifest { document_lists, ..manifest(&opened, 10, totals) }).await.unwrap();
    let second = repository.put_document(&group(), b"another".to_vec()).await.unwrap();
    let document_lists = opened.list_documents(1, &[second]).await.unwrap();
    let head = SegmentHead { document_lists, ..segment(1).head };
    opened.append(1, &Segment { head, ..segment(1) }).await.unwrap();
    (Kept { folder, repository, opened }, [first, second])
}

#[tokio::test]
async fn a_backup_knows_its_documents_up_to_any_moment() {
    let (Kept { folder: _folder, repository, opened }, [first, second]) = with_documents().await;
    let of_snapshot = BTreeMap::from([(0, 1)]);
    assert_eq!(opened.documents(&of_snapshot).await.unwrap(), [first].into());
    assert_eq!(opened.documents(&BTreeMap::from([(0, 1), (1, 1)])).await.unwrap(), [first, second].into());
    assert!(matches!(opened.documents(&BTreeMap::from([(0, 2)])).await, Err(ReadError::Missing(_))));
    assert_eq!(opened.needed_documents().await.unwrap(), [first, second].into());
    let there = repository.documents(&group()).await.unwrap();
    assert_eq!(there.keys().copied().collect::<std::collections::BTreeSet<_>>(), [first, second].into());
    let found = repository.document(&group(), first).await.unwrap().unwrap();
    assert_eq!(&found[..], b"sealed by its host");
    assert_eq!(verify(&opened).await.unwrap().documents, 2);
    repository.remove_document(&group(), second).await.unwrap();
    assert!(repository.document(&group(), second).await.unwrap().is_none());
}

#[tokio::test]
async fn every_altered_or_missing_document_and_list_is_refused_by_name() {
    let (Kept { folder, opened, .. }, _) = with_documents().await;
    let all = files(&folder.path().join("backups"))
        .into_iter()
        .filter(|path| path.components().any(|part| part.as_os_str() == "documents"));
    let all: Vec<_> = all.collect();
    assert_eq!(all.len(), 4, "{all:?}");
    for path in all {
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[3] ^= 1;
        for altered in [Some(flipped), Some(whole[1..].to_vec()), None] {
            let named = path.canonicalize().unwrap();
            match altered {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let error = file_name(&verify(&opened).await.unwrap_err());
            assert!(error.contains(&*named.to_string_lossy()), "{}: {error}", path.display());
            fs::write(&path, &whole).unwrap();
        }
    }
    verify(&opened).await.unwrap();
}

fn archive_id() -> ArchiveId {
    ArchiveId::new("edge-1".parse().unwrap(), 7)
}

fn erasure(number: u8, content: Option<DocumentName>) -> Erasure {
    let what = Erased::Document { clinic: "demo".to_owned(), document: format!("d-{number}"), content };
    Erasure { id: ErasureId::from([number; 16]), at_ms: number.into(), what }
}

#[tokio::test]
async fn what_was_erased_is_not_missed_and_the_journal_outlives_every_backup() {
    let (Kept { folder, repository, opened }, [first, _]) = with_documents().await;
    let archive = repository.archive(&group(), &archive_id()).await.unwrap();
    let other = ArchiveId::new("edge-2".parse().unwrap(), 8);
    let other = repository.archive(&group(), &other).await.unwrap();
    archive.erased(&[erasure(3, None), erasure(1, Some(first))], at(0)).await.unwrap();
    other.erased(&[erasure(2, None), erasure(1, Some(first))], at(0)).await.unwrap();
    repository.remove_document(&group(), first).await.unwrap();
    assert!(verify(&opened).await.is_err(), "nothing said that it was erased");
    let mut check = DocumentCheck::begin(&repository, &group()).await.unwrap();
    opened.verify(&mut check).await.unwrap();

    repository.remove(&group(), opened.id()).await.unwrap();
    let journal = repository.erasures(&group()).await.unwrap();
    assert_eq!(journal, [erasure(1, Some(first)), erasure(2, None), erasure(3, None)]);
    let entries = files(&folder.path().join("backups/main/erasures"));
    assert_eq!(entries.len(), 2);
    let mut bytes = fs::read(&entries[0]).unwrap();
    assert!(!bytes.windows(4).any(|part| part == b"demo"));
    bytes[60] ^= 1;
    fs::write(&entries[0], bytes).unwrap();
    let error = file_name(&repository.erasures(&group()).await.unwrap_err());
    assert!(error.contains(&*entries[0].canonicalize().unwrap().to_string_lossy()), "{error}");
}

async fn written(archive: &Archive, file: &str, content: &[u8]) {
    for (number, block) in content.chunks(BLOCK_BYTES).enumerate() {
        archive.put_block(file, number, block.to_vec()).await.unwrap();
    }
}

#[tokio::test]
async fn files_grow_in_their_archive_and_come_back_whole_or_not_at_all() {
    let Kept { folder, repository, .. } = kept().await;
    let archive = repository.archive(&group(), &archive_id()).await.unwrap();
    let content: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    written(&archive, "own/log", &content[..200_000]).await;
    written(&archive, "own/log", &content).await;
    written(&archive, "from/edge-2/checkpoints", PLANTED).await;
    // Opened again, as after a restart.
    let archive = repository.archive(&group(), &archive_id()).await.unwrap();
    assert_eq!(repository.archives(&group()).await.unwrap(), [archive_id()]);
    let found = archive.files().await.unwrap();
    let sizes: Vec<(&str, u64)> = found.iter().map(|(file, blocks)| (&**file, blocks.iter().sum())).collect();
    assert_eq!(sizes, [("from/edge-2/checkpoints", PLANTED.len() as u64), ("own/log", 300_000)]);
    let mut back = Vec::new();
    for number in 0..found["own/log"].len() {
        back.extend(archive.block("own/log", number).await.unwrap());
    }
    assert!(back == content);
    assert_eq!(verify_archive(&archive).await.unwrap(), 2);
    for path in files(&folder.path().join("backups/main/archives")) {
        let whole = fs::read(&path).unwrap();
        assert!(!whole.windows(PLANTED.len()).any(|part| part == PLANTED), "{}", path.display());
        let named = path.canonicalize().unwrap();
        let mut flipped = whole.clone();
        flipped[50] ^= 1;
        let is_last = path.ends_with("00000002") || path.ends_with("checkpoints/00000000");
        for altered in [Some(flipped), Some(whole[..whole.len() - 1].to_vec()), None] {
            match altered {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                // Without its last block a file is an earlier state of itself.
                None if is_last => continue,
                None => fs::remove_file(&path).unwrap(),
            }
            let error = file_name(&verify_archive(&archive).await.unwrap_err());
            assert!(error.contains(&*named.to_string_lossy()), "{}: {error}", path.display());
            fs::write(&path, &whole).unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_killed_process_left_half_written_goes_in_time() {
    let Kept { folder, repository, .. } = kept().await;
    let left = folder.path().join("backups/main/documents");
    fs::create_dir_all(&left).unwrap();
    for name in ["00#1", "00#12", "00#x", "00"] {
        fs::write(left.join(name), "half").unwrap();
    }
    let hour = std::time::Duration::from_secs(3_600);
    assert_eq!(repository.sweep(hour).await.unwrap(), 0, "somebody may be writing it");
    let old = std::time::SystemTime::now() - 2 * hour;
    for name in ["00#1", "00#x", "00"] {
        fs::File::options().append(true).open(left.join(name)).unwrap().set_modified(old).unwrap();
    }
    assert_eq!(repository.sweep(hour).await.unwrap(), 1);
    let names = files(&left).into_iter().map(|path| path.file_name().unwrap().to_owned());
    assert_eq!(names.collect::<Vec<_>>(), ["00", "00#12", "00#x"]);
}
