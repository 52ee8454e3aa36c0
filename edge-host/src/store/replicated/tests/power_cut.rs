//! Whatever a power cut leaves of a copy's log, the copy stands where it says.

use std::path::Path;
use std::time::{Duration, Instant};

use locum_replication::{Epoch, FrameNo, Position};
use tokio_util::sync::CancellationToken;

use super::super::applier::{Applied, Applier, Stamp};
use crate::store::gate::Authority;
use crate::store::pages::{PageBuilder, PageReader, Shape};
use crate::store::readers::Readers;
use crate::store::sqlite::{Database, DatabaseKey};
use crate::store::{SqlError, Value};

const LOG: u32 = 7;

fn key() -> DatabaseKey {
    DatabaseKey::from([7; 32])
}

fn pages(path: &Path) -> (Shape, Vec<(u32, Vec<u8>)>) {
    let within = Instant::now() + Duration::from_secs(60);
    let mut reader = PageReader::begin(&Readers::new(path, key()), within).unwrap();
    let (shape, mut pages) = (reader.shape(), Vec::new());
    let take = |number, bytes| {
        pages.push((number, bytes));
        Ok::<_, SqlError>(())
    };
    reader.each(shape.numbers(), take).unwrap();
    (shape, pages)
}

fn at(frame: i64) -> Position {
    Position::new(Epoch(1), FrameNo(frame.unsigned_abs()))
}

/// The copy stands at frame n when its table holds n rows.
fn stands_at(path: &Path) -> i64 {
    let (applier, stamp) = Applier::open(path, &key(), CancellationToken::new()).unwrap();
    let mut database = Database::open_tuned(path, &key()).unwrap();
    let rows = database.host("SELECT count(*) FROM note", &[]).unwrap().rows;
    let [Value::Integer(rows)] = rows[0][..] else { panic!("a number") };
    assert_eq!(stamp, Some(Stamp { position: at(rows), log: LOG }));
    drop(applier);
    rows
}

#[test]
fn a_copy_stands_where_it_says_wherever_its_log_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (source, copy) = (folder.path().join("source.db"), folder.path().join("copy.db"));
    let mut database = Database::open_tuned(&source, &key()).unwrap();
    database.run_script("PRAGMA journal_mode = WAL; CREATE TABLE note (text)", Authority::Host).unwrap();
    let (shape, mut before) = pages(&source);
    let mut builder = PageBuilder::open(&copy, &key(), shape.page_bytes).unwrap();
    let mut building = builder.begin().unwrap();
    building.write(before.clone()).unwrap();
    building.commit(shape.pages).unwrap();
    builder.finish().unwrap();
    let (mut applier, none) = Applier::open(&copy, &key(), CancellationToken::new()).unwrap();
    assert_eq!(none, None);
    applier.stamp(Stamp { position: at(0), log: LOG }).unwrap();
    let commits = 6;
    for frame in 1..=commits {
        database.run_script("INSERT INTO note VALUES (randomblob(9000))", Authority::Host).unwrap();
        let (shape, now) = pages(&source);
        let changed = now.iter().filter(|page| !before.contains(page));
        let changed = changed.map(|(number, bytes)| (*number, bytes.clone().into())).collect();
        applier.apply(LOG, &Applied { last: at(frame), pages: changed, size: shape.pages }).unwrap();
        before = now;
    }
    let log = std::fs::read(folder.path().join("copy.db-wal")).unwrap();
    let data = std::fs::read(&copy).unwrap();
    let (cut, mut seen) = (folder.path().join("cut.db"), std::collections::BTreeSet::new());
    // Page by page, and in the middle of each.
    for length in (32..=log.len()).step_by(2_060) {
        std::fs::write(&cut, &data).unwrap();
        std::fs::write(folder.path().join("cut.db-wal"), &log[..length]).unwrap();
        if length > 2 * (24 + 4_096) {
            seen.insert(stands_at(&cut));
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), (0..=commits).collect::<Vec<_>>());
}

/// `cargo test … -- --ignored taking_in --nocapture`
#[tokio::test]
#[ignore = "a benchmark"]
async fn measure_taking_in() {
    use libsql_replication::injector::{Injector, SqliteInjector};
    use libsql_replication::rpc::replication::Frame;
    use libsql_sys::EncryptionConfig;
    use libsql_sys::connection::Cipher;

    let commits = 300_u64;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.db");
    let mut database = Database::open_tuned(&source, &key()).unwrap();
    let fill = "CREATE TABLE note (text); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
        WHERE i < 4000) INSERT INTO note SELECT randomblob(1000) FROM n; PRAGMA journal_mode = WAL;";
    database.run_script(fill, Authority::Host).unwrap();
    drop(database);
    let (shape, pages) = pages(&source);
    let (ours, theirs) = (folder.path().join("ours.db"), folder.path().join("theirs.db"));
    std::fs::copy(&source, &ours).unwrap();
    std::fs::copy(&source, &theirs).unwrap();
    let changed = |number: u64| {
        let index = usize::try_from(number).unwrap() * 3 % (pages.len() - 4) + 1;
        [pages[index].clone(), pages[index + 1].clone(), pages[0].clone()]
    };
    let (mut applier, _) = Applier::open(&ours, &key(), CancellationToken::new()).unwrap();
    let began = Instant::now();
    for number in 1..=commits {
        let pages = changed(number).map(|(page, bytes)| (page, bytes.into())).to_vec();
        let last = Position::new(Epoch(1), FrameNo(number * 3));
        applier.apply(LOG, &Applied { last, pages, size: shape.pages }).unwrap();
    }
    println!("own: {:?} a commit", began.elapsed() / 300);
    let encryption_key = bytes::Bytes::copy_from_slice(key().expose().as_bytes());
    let cipher = EncryptionConfig { cipher: Cipher::Aes256Cbc, encryption_key };
    let mut injector = SqliteInjector::new(theirs, 10, 1_000, Some(cipher)).await.unwrap();
    let began = Instant::now();
    for number in 1..=commits {
        for (index, (page, bytes)) in (0_u64..).zip(changed(number)) {
            let mut frame = (number * 3 + index).to_le_bytes().to_vec();
            frame.extend([0; 8]);
            frame.extend(page.to_le_bytes());
            frame.extend(if index == 2 { shape.pages } else { 0 }.to_le_bytes());
            frame.extend(bytes);
            let frame = Frame { data: frame.into(), timestamp: None, durable_frame_no: None };
            injector.inject_frame(frame).await.unwrap();
        }
    }
    println!("libsql_replication's: {:?} a commit", began.elapsed() / 300);
}
