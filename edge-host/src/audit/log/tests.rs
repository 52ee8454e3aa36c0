//! A log over starts, crashes and a disk that is full.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::super::testing::{event, sealer};
use super::*;

fn settings(folder: &Path) -> LogSettings {
    let (folder, sync) = (folder.to_owned(), File::sync_data);
    LogSettings { folder, reserve_bytes: 1 << 20, file_bytes: 1 << 16, allocate: reserve, sync }
}

fn open(folder: &Path, vouched: u64) -> OwnLog {
    OwnLog::open(settings(folder), sealer(), |_| vouched).unwrap()
}

fn read(folder: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    for name in files(folder).unwrap() {
        let bytes = fs::read(name.in_folder(folder)).unwrap();
        let walked = frame::walk(name, &bytes, |frame| events.push(sealer().open(name.log, &frame).unwrap()));
        assert_eq!(walked.damage, None);
    }
    events
}

#[tokio::test]
async fn events_survive_in_order_over_files_and_starts() {
    let folder = tempfile::tempdir().unwrap();
    let small = LogSettings { file_bytes: 1_000, ..settings(folder.path()) };
    for start in 0..3 {
        let log = OwnLog::open(small.clone(), sealer(), |_| start * 4).unwrap();
        for number in 0..4 {
            log.append(event(start * 4 + number)).await.unwrap();
        }
    }
    assert!(files(folder.path()).unwrap().len() > 2, "no second file was begun");
    assert_eq!(read(folder.path()), (0..12).map(event).collect::<Vec<_>>());
}

#[tokio::test]
async fn many_readers_share_a_sync() {
    static SYNCS: AtomicU64 = AtomicU64::new(0);
    let folder = tempfile::tempdir().unwrap();
    let sync = |file: &File| {
        SYNCS.fetch_add(1, Ordering::Relaxed);
        file.sync_data()
    };
    let counted = LogSettings { sync, ..settings(folder.path()) };
    let log = OwnLog::open(counted, sealer(), |_| 0).unwrap();
    let all = (0..200).map(|number| log.append(event(number)));
    assert!(futures_util::future::join_all(all).await.into_iter().all(|kept| kept.is_ok()));
    assert_eq!(log.synced().borrow().end.sequence, 200);
    assert_eq!(read(folder.path()).len(), 200);
    let syncs = SYNCS.load(Ordering::Relaxed);
    assert!((1..=20).contains(&syncs), "{syncs} for 200 events");
}

#[tokio::test]
async fn an_event_is_answered_once_it_is_on_the_disk() {
    static MAY_SYNC: AtomicBool = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let sync = |file: &File| {
        while !MAY_SYNC.load(Ordering::Acquire) {
            thread::yield_now();
        }
        file.sync_data()
    };
    let slow = LogSettings { sync, ..settings(folder.path()) };
    let log = OwnLog::open(slow, sealer(), |_| 0).unwrap();
    let mut kept = Box::pin(log.append(event(0)));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut kept).await;
    assert!(early.is_err(), "answered before it is there");
    MAY_SYNC.store(true, Ordering::Release);
    kept.await.unwrap();
}

#[tokio::test]
async fn what_a_crash_left_is_cut_off_and_what_was_vouched_for_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), 0);
    for number in 0..3 {
        log.append(event(number)).await.unwrap();
    }
    let at = *log.synced().borrow();
    drop(log);
    let path = at.file.in_folder(folder.path());
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0, 0, 0, 90, 1, 2, 3], at.bytes).unwrap();
    let log = open(folder.path(), 3);
    log.append(event(3)).await.unwrap();
    assert_eq!(read(folder.path()), (0..4).map(event).collect::<Vec<_>>());
    drop(log);
    // Cut short behind the host's back: the log stays as it is, for people, and another begins.
    file.set_len(at.bytes - 10).unwrap();
    let log = open(folder.path(), 4);
    log.append(event(4)).await.unwrap();
    assert_ne!(log.synced().borrow().file.log, at.file.log);
    assert_eq!(fs::metadata(&path).unwrap().len(), at.bytes - 10);
}

#[tokio::test]
async fn a_full_disk_leaves_what_was_reserved() {
    static LEFT: AtomicU64 = AtomicU64::new(1);
    fn allocate(_: &File, _: u64) -> io::Result<()> {
        let took = LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        took.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
    }
    let folder = tempfile::tempdir().unwrap();
    let tight = LogSettings { reserve_bytes: 4_096, allocate, ..settings(folder.path()) };
    let log = OwnLog::open(tight, sealer(), |_| 0).unwrap();
    let mut kept = 0;
    let full = loop {
        match log.append(event(kept)).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, AppendError::Full);
    assert!(kept > 5, "only {kept} events");
    assert_eq!(read(folder.path()).len() as u64, kept);
    LEFT.store(1, Ordering::SeqCst);
    log.append(event(kept)).await.unwrap();
    assert_eq!(read(folder.path()).len() as u64, kept + 1);
}
