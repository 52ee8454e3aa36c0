//! Bringing a copy up to the primary's, between two folders and without engines.

use std::path::Path;
use std::time::Instant;

use locum_identity::private_file;
use locum_replication::{Epoch, FrameNo, Position};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::super::applier::{Applier, Stamp};
use super::super::copies::Copies;
use super::super::engine::{Engine, EngineSettings};
use super::super::tails::{LostRow, TailMark, Tails};
use super::super::transfer::{self, Compared, Moved, TransferError};
use super::group;
use crate::store::gate::Authority;
use crate::store::migrations::Schema;
use crate::store::sqlite::Database;
use crate::store::{MasterKey, Value};

const FILL: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO note SELECT i, randomblob(1200) FROM n";
const PRIMARY: &str = "primary";
const FOLLOWER: &str = "follower";

/// No application's.
fn schema() -> Schema {
    Schema::new(&[]).unwrap()
}

struct Hosts(tempfile::TempDir);

impl Hosts {
    /// The primary has a copy of epoch 1 with some thousand pages.
    fn new() -> Self {
        let hosts = Self(tempfile::tempdir().unwrap());
        let primary = hosts.copies(PRIMARY);
        primary.make_engine_folder(Epoch(1), None, &schema()).unwrap();
        hosts.change(Epoch(1), "CREATE TABLE note (id INTEGER PRIMARY KEY, text)");
        hosts.change(Epoch(1), FILL);
        hosts.stamp(PRIMARY, Epoch(1), 5);
        hosts
    }

    fn copies(&self, host: &str) -> Copies {
        let (folder, key) = (self.0.path().join(host), self.0.path().join("master.key"));
        private_file::create_dir(&folder).unwrap();
        private_file::write(&key, "5a".repeat(32).as_bytes()).unwrap();
        Copies::open(group(), &folder, &MasterKey::read(&key).unwrap()).unwrap()
    }

    fn open(&self, host: &str, epoch: Epoch) -> Database {
        let copies = self.copies(host);
        Database::open_tuned(&copies.data_file(epoch), &copies.key().unwrap()).unwrap()
    }

    fn change(&self, epoch: Epoch, sql: &str) {
        self.open(PRIMARY, epoch).run_script(sql, Authority::Host).unwrap();
    }

    fn stamp(&self, host: &str, epoch: Epoch, frame: u64) {
        let copies = self.copies(host);
        let (path, key) = (copies.data_file(epoch), copies.key().unwrap());
        let (mut applier, _) = Applier::open(&path, &key, CancellationToken::new()).unwrap();
        let position = Position::new(epoch, FrameNo(frame));
        applier.stamp(Stamp { position, log: 7 }).unwrap();
        copies.mark_complete(epoch).unwrap();
    }

    async fn fetch(&self, epoch: Epoch) -> Result<Moved, TransferError> {
        let (theirs, ours) = tokio::io::duplex(1 << 16);
        let sending = tokio::spawn(transfer::send(self.copies(PRIMARY), epoch, theirs));
        let moved = transfer::receive(self.copies(FOLLOWER), epoch, ours).await;
        sending.await.unwrap().unwrap();
        let follower = self.copies(FOLLOWER);
        assert_ne!(
            follower.newest().unwrap().map(|copy| copy.epoch),
            Some(epoch),
            "not before it has caught up"
        );
        follower.mark_complete(epoch).unwrap();
        moved
    }

    async fn compare(&self, epoch: Epoch) -> Compared {
        let (theirs, ours) = tokio::io::duplex(1 << 16);
        let sending = tokio::spawn(transfer::send(self.copies(PRIMARY), epoch, theirs));
        let compared = transfer::compare(self.copies(FOLLOWER), epoch, ours).await.unwrap();
        drop(sending.await);
        compared
    }

    fn notes(&self, host: &str, epoch: Epoch) -> Vec<Vec<Value>> {
        let sql = "SELECT id, text FROM note WHERE id % 7 = 0";
        self.open(host, epoch).host(sql, &[]).unwrap().rows
    }
}

fn bytes_of(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_moved() {
    let hosts = Hosts::new();
    let began = Instant::now();
    let all = hosts.fetch(Epoch(1)).await.unwrap();
    println!("everything: {all:?} in {:?}", began.elapsed());
    assert_eq!(all.pages, all.of, "nothing was there");
    let follower = hosts.copies(FOLLOWER);
    assert_eq!(follower.newest().unwrap(), Some(Position::new(Epoch(1), FrameNo(5))));
    assert!(hosts.notes(FOLLOWER, Epoch(1)) == hosts.notes(PRIMARY, Epoch(1)));

    hosts.copies(PRIMARY).make_engine_folder(Epoch(2), Some(Epoch(1)), &schema()).unwrap();
    hosts.change(Epoch(2), "UPDATE note SET text = randomblob(1200) WHERE id % 300 = 0");
    hosts.stamp(PRIMARY, Epoch(2), 9);
    let began = Instant::now();
    let moved = hosts.fetch(Epoch(2)).await.unwrap();
    println!("one percent: {moved:?} in {:?}", began.elapsed());
    assert_eq!(follower.newest().unwrap(), Some(Position::new(Epoch(2), FrameNo(9))));
    assert!(hosts.notes(FOLLOWER, Epoch(2)) == hosts.notes(PRIMARY, Epoch(2)));
    assert!(hosts.notes(FOLLOWER, Epoch(1)) != hosts.notes(PRIMARY, Epoch(2)), "the older copy stays");
    assert!(moved.pages * 110 >= moved.of, "{moved:?}");
    let whole = bytes_of(&hosts.copies(PRIMARY).data_file(Epoch(2)));
    assert!(moved.bytes * 20 < whole, "{moved:?} of {whole}");
    assert_eq!(
        hosts.compare(Epoch(2)).await,
        Compared::Differing { at: Position::new(Epoch(2), FrameNo(9)), pages: 0 }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_copy_is_taken_over_too() {
    let hosts = Hosts::new();
    hosts.fetch(Epoch(1)).await.unwrap();
    hosts.copies(PRIMARY).make_engine_folder(Epoch(2), None, &schema()).unwrap();
    hosts.change(Epoch(2), "CREATE TABLE note (id INTEGER PRIMARY KEY, text)");
    hosts.stamp(PRIMARY, Epoch(2), 1);
    hosts.fetch(Epoch(2)).await.unwrap();
    assert!(hosts.notes(FOLLOWER, Epoch(2)).is_empty());
    let pages = |host| hosts.open(host, Epoch(2)).host("PRAGMA page_count", &[]).unwrap().rows;
    assert!(pages(FOLLOWER) == pages(PRIMARY));
}

/// What the primary sends is cut off after so many bytes, or the byte after them is another one.
async fn disturbed(hosts: &Hosts, after: u64, is_cut: bool) -> Result<Moved, TransferError> {
    let (theirs, through) = tokio::io::duplex(1 << 16);
    let (ours, near) = tokio::io::duplex(1 << 16);
    let sending = tokio::spawn(transfer::send(hosts.copies(PRIMARY), Epoch(1), theirs));
    let (mut from, mut to) = tokio::io::split(through);
    let (mut asked, mut answered) = tokio::io::split(near);
    let asking = tokio::spawn(async move { tokio::io::copy(&mut asked, &mut to).await });
    let relaying = tokio::spawn(async move {
        tokio::io::copy(&mut (&mut from).take(after), &mut answered).await?;
        if !is_cut {
            let byte = from.read_u8().await?;
            answered.write_u8(!byte).await?;
            tokio::io::copy(&mut from, &mut answered).await?;
        }
        answered.shutdown().await
    });
    let received = transfer::receive(hosts.copies(FOLLOWER), Epoch(1), ours).await;
    // Ends early when the follower has.
    let _ = relaying.await.unwrap();
    asking.abort();
    drop(sending);
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_breaks_off_leaves_no_copy() {
    let hosts = Hosts::new();
    for after in [0, 3, 100, 70_000, 2_000_000] {
        let received = disturbed(&hosts, after, true).await;
        assert!(received.is_err(), "{after}: {received:?}");
        assert!(!hosts.copies(FOLLOWER).is_begun(Epoch(1)));
    }
    let received = disturbed(&hosts, 2_000_000, false).await;
    assert!(matches!(received, Err(TransferError::Different)), "{received:?}");
    assert!(!hosts.copies(FOLLOWER).is_begun(Epoch(1)));
    hosts.fetch(Epoch(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_rots_is_found() {
    let hosts = Hosts::new();
    hosts.fetch(Epoch(1)).await.unwrap();
    let path = hosts.copies(FOLLOWER).data_file(Epoch(1));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40 * 4_096 + 1_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let at = Position::new(Epoch(1), FrameNo(5));
    assert_eq!(hosts.compare(Epoch(1)).await, Compared::Differing { at, pages: 1 });
    hosts.stamp(PRIMARY, Epoch(1), 6);
    assert_eq!(hosts.compare(Epoch(1)).await, Compared::NotAligned);
}

/// `LOCUM_MIB=1024 cargo test … -- --ignored epoch_start --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn measure_epoch_start() {
    let mib: u64 = std::env::var("LOCUM_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(100);
    let hosts = Hosts::new();
    for _ in 1..mib / 27 {
        hosts.change(Epoch(1), &FILL.replace("SELECT i,", "SELECT NULL,"));
    }
    let primary = hosts.copies(PRIMARY);
    let (data, key) = (primary.data_file(Epoch(1)), primary.key().unwrap());
    println!("{} MiB", bytes_of(&data) >> 20);
    let began = Instant::now();
    println!("everything: {:?} in {:?}", hosts.fetch(Epoch(1)).await.unwrap(), began.elapsed());
    let began = Instant::now();
    let folder = primary.make_engine_folder(Epoch(2), Some(Epoch(1)), &schema()).unwrap();
    println!("folder and own copy: {:?}", began.elapsed());
    let began = Instant::now();
    let settings = EngineSettings { binary: &super::engine(), folder: &folder, key: &key };
    let engine = Engine::start(&settings).await.unwrap();
    println!("engine: {:?}, first frame {}", began.elapsed(), engine.first.0);
    hosts.change(Epoch(2), "UPDATE note SET text = randomblob(1200) WHERE id % 300 = 0");
    hosts.stamp(PRIMARY, Epoch(2), 9);
    let began = Instant::now();
    println!("one percent: {:?} in {:?}", hosts.fetch(Epoch(2)).await.unwrap(), began.elapsed());
}

#[test]
fn older_copies_go_once_their_tail_is_kept() {
    let hosts = Hosts::new();
    let primary = hosts.copies(PRIMARY);
    primary.make_engine_folder(Epoch(2), Some(Epoch(1)), &schema()).unwrap();
    hosts.stamp(PRIMARY, Epoch(2), 1);
    hosts.change(Epoch(1), "INSERT INTO note VALUES (99999, 'planted')");
    let copy = Position::new(Epoch(1), FrameNo(6));
    let after = Some(Position::new(Epoch(1), FrameNo(5)));
    primary.mark_tail(TailMark { copy, after }).unwrap();
    let folder = hosts.0.path().join(PRIMARY);
    for _ in 0..2 {
        primary.clear_before(Epoch(2)).unwrap();
        assert!(!folder.join("epochs/1").exists());
        assert_eq!(primary.newest().unwrap(), Some(Position::new(Epoch(2), FrameNo(1))));
    }
    let tails = Tails::new(&group(), &folder, &MasterKey::read(&hosts.0.path().join("master.key")).unwrap());
    let mut rows = Vec::new();
    let take = |row: LostRow| {
        rows.push((row.table, row.lost, row.kept));
        Ok(())
    };
    tails.read("1-6", take).unwrap();
    let lost = serde_json::json!({ "id": 99_999, "text": "planted" });
    assert_eq!(rows, [("note".to_owned(), Some(lost), None)]);
}
