use openraft::{CommittedLeaderId, EntryPayload};
use tempfile::TempDir;

use super::*;
use crate::quorum::{Change, MemberId};

fn id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(1, MemberId(1)), index)
}

fn entry(index: u64) -> Entry {
    Entry { log_id: id(index), payload: EntryPayload::Normal(Change::Begin) }
}

fn made(entries: u64) -> (TempDir, LogFile) {
    let dir = tempfile::tempdir().unwrap();
    LogFile::create(dir.path()).unwrap();
    let mut log = LogFile::open(dir.path()).unwrap();
    assert!(log.is_pristine());
    for index in 0..entries {
        log.append(vec![entry(index)]).unwrap();
    }
    (dir, log)
}

fn indexes(log: &LogFile) -> Vec<u64> {
    log.range(0, u64::MAX).map(index).collect()
}

fn alter(dir: &TempDir, how: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.path().join("log");
    let mut bytes = std::fs::read(&path).unwrap();
    how(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn what_was_written_is_there_again() {
    let (dir, mut log) = made(5);
    log.save_vote(Vote::new(3, MemberId(2))).unwrap();
    log.truncate(3).unwrap();
    log.append(vec![entry(3), entry(4), entry(5)]).unwrap();
    let log = LogFile::open(dir.path()).unwrap();
    assert_eq!(indexes(&log), [0, 1, 2, 3, 4, 5]);
    assert_eq!((log.vote(), log.last(), log.purged()), (Some(Vote::new(3, MemberId(2))), Some(id(5)), None));
    assert!(!log.is_pristine());
}

#[test]
fn what_went_into_a_snapshot_makes_room() {
    let (dir, mut log) = made(100);
    let before = log.bytes();
    log.purge(id(89)).unwrap();
    assert!(log.bytes() < before);
    log.append(vec![entry(100)]).unwrap();
    log.purge(id(50)).unwrap();
    for log in [&log, &LogFile::open(dir.path()).unwrap()] {
        assert_eq!(indexes(log), (90..=100).collect::<Vec<_>>());
        assert_eq!(log.purged(), Some(id(89)));
        assert_eq!(log.range(95, 97).map(index).collect::<Vec<_>>(), [95, 96]);
    }
    log.purge(id(200)).unwrap();
    assert_eq!((indexes(&log), log.last()), (vec![], Some(id(200))));
    log.append(vec![entry(201)]).unwrap();
    assert_eq!(indexes(&LogFile::open(dir.path()).unwrap()), [201]);
}

#[test]
fn a_torn_write_that_nobody_heard_of_is_cut_off() {
    let (dir, log) = made(4);
    let end = log.bytes();
    let mut torn = Vec::new();
    push_entry(&mut torn, log.entries.back().unwrap().crc, &entry(4)).unwrap();
    for length in 1..torn.len() {
        alter(&dir, |bytes| bytes.extend(&torn[..length]));
        let log = LogFile::open(dir.path()).unwrap();
        assert_eq!((indexes(&log), log.bytes()), (vec![0, 1, 2, 3], end), "{length} bytes");
    }
    alter(&dir, |bytes| bytes.resize(bytes.len() + 300, 0));
    assert_eq!(indexes(&LogFile::open(dir.path()).unwrap()), [0, 1, 2, 3], "zeros are no entries");
}

#[test]
fn a_log_cut_short_is_not_taken_for_a_short_log() {
    let (dir, log) = made(4);
    let whole = std::fs::read(dir.path().join("log")).unwrap();
    for length in 0..usize::try_from(log.bytes()).unwrap() {
        alter(&dir, |bytes| *bytes = whole[..length].to_vec());
        let opened = LogFile::open(dir.path());
        assert!(matches!(opened, Err(LogError::Damaged { file: "log", .. })), "{length} bytes: {opened:?}");
    }
}

#[test]
fn one_flipped_bit_is_found_wherever_it_is() {
    let (dir, _) = made(4);
    let whole = std::fs::read(dir.path().join("log")).unwrap();
    // Between head, marks and entries lie zeros that nobody reads.
    let read = (0..100).chain(512..532).chain(1024..1044).chain(ENTRIES as usize..whole.len());
    for place in read {
        alter(&dir, |bytes| {
            *bytes = whole.clone();
            bytes[place] ^= 1;
        });
        match LogFile::open(dir.path()) {
            Err(LogError::Damaged { .. }) => {}
            // One of two marks may be lost; then the other one counts, and all entries are there.
            Ok(log) => assert!(place < ENTRIES as usize && indexes(&log) == [0, 1, 2, 3], "byte {place}"),
            other => panic!("byte {place}: {other:?}"),
        }
    }
}

#[test]
fn a_file_that_is_gone_is_not_taken_for_an_empty_one() {
    for file in ["log", "vote"] {
        let (dir, _) = made(2);
        std::fs::remove_file(dir.path().join(file)).unwrap();
        assert!(matches!(LogFile::open(dir.path()), Err(LogError::Missing { file: gone }) if gone == file));
    }
    let (dir, mut log) = made(0);
    log.save_vote(Vote::new(3, MemberId(2))).unwrap();
    let path = dir.path().join("vote");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("3", "2")).unwrap();
    assert!(matches!(LogFile::open(dir.path()), Err(LogError::Damaged { file: "vote", .. })));
}

#[test]
fn an_entry_that_was_cut_out_is_missed() {
    let (dir, log) = made(4);
    let (from, until) = (log.entries[1].at as usize, log.entries[2].at as usize);
    alter(&dir, |bytes| drop(bytes.drain(from..until)));
    assert!(matches!(LogFile::open(dir.path()), Err(LogError::Damaged { file: "log", .. })));
}

#[test]
fn an_entry_that_does_not_come_after_the_last_is_refused() {
    let (_dir, mut log) = made(2);
    assert!(log.append(vec![entry(1)]).is_err());
    assert!(log.append(vec![entry(2), entry(2)]).is_err());
    assert_eq!(indexes(&log), [0, 1]);
}

#[test]
fn what_went_into_a_snapshot_is_not_written_again() {
    let (dir, mut log) = made(4);
    log.purge(id(2)).unwrap();
    log.append(vec![entry(1), entry(2)]).unwrap();
    assert_eq!(indexes(&log), [3]);
    log.append(vec![entry(2), entry(4)]).unwrap();
    assert!(log.append(vec![entry(3)]).is_err());
    drop(log);
    assert_eq!(indexes(&LogFile::open(dir.path()).unwrap()), [3, 4]);
}

#[test]
fn a_batch_is_bounded_and_never_empty() {
    let (_dir, log) = made(20);
    let length = log.entries[1].at - log.entries[0].at;
    let batch = |most, bytes| log.batch(5, 15, most, bytes).map(index).collect::<Vec<_>>();
    assert_eq!(batch(100, u64::MAX), (5..15).collect::<Vec<_>>());
    assert_eq!(batch(3, u64::MAX), [5, 6, 7]);
    assert_eq!(batch(100, length + 1), [5, 6]);
    assert_eq!(batch(100, 1), [5]);
    assert_eq!(log.batch(15, 15, 3, 1).count(), 0);
}
