//! Backups of a store in this process.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use locum_backup::{BucketAccess, MasterKey, Place, Repository};
use locum_identity::RegionId;

use super::rebuild;
use super::taking::{self, Chain};
use crate::store::{GroupId, LocalCopy, RecordStore, Scratch, Value, testing};

struct Kept {
    folder: tempfile::TempDir,
    group: GroupId,
    copy: LocalCopy,
    repository: Repository,
}

fn kept() -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let (store, group) = testing::store(folder.path());
    let copy = store.local_copy(&group).unwrap();
    let key = folder.path().join("backup.key");
    MasterKey::generate(&key).unwrap();
    let place = folder.path().join("backups");
    let place = Place::open(place.to_str().unwrap(), &BucketAccess::default(), true).unwrap();
    let repository = Repository::new(place.clone(), place, MasterKey::read(&key).unwrap());
    run(folder.path(), "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES a (id), x BLOB)", &[]);
    Kept { folder, group, copy, repository }
}

fn run(folder: &Path, sql: &str, parameters: &[Value]) {
    testing::database(folder)(sql, parameters).unwrap();
}

impl Kept {
    async fn whole(&self) -> (Chain, taking::Taken) {
        let region: RegionId = "eu-central".parse().unwrap();
        taking::whole(&self.repository, &self.group, &region, self.copy.clone()).await.unwrap()
    }

    async fn rebuilt(&self) -> Result<rebuild::Rebuilt, rebuild::RebuildError> {
        let opened = rebuild::choose(&self.repository, &self.group, None).await?;
        let scratch = Scratch::with_new_key(self.folder.path())?;
        rebuild::rebuild(&opened, None, Arc::new(scratch)).await
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
        run(kept.folder.path(), &change, &[]);
        let shipped = chain.ship().await;
        chain = shipped.map_err(|(_, error)| error).unwrap().0;
        let mut count = testing::database(kept.folder.path());
        let expected = count("SELECT count(*) FROM a", &[]).unwrap().rows;
        let rebuilt = kept.rebuilt().await.unwrap();
        let found = i64::try_from(rebuilt.tables["a"]).unwrap();
        assert!(expected == [[Value::Integer(found)]], "{change}: {found}");
    }
    let (_, bytes) = chain.ship().await.map_err(|(_, error)| error).unwrap();
    assert_eq!(bytes, 0, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_nothing_is_not_sound() {
    let kept = kept();
    let mut database = testing::database(kept.folder.path());
    for sql in ["PRAGMA foreign_keys = OFF", "INSERT INTO a (id, b) VALUES (1, 7)"] {
        database(sql, &[]).unwrap();
    }
    drop(kept.whole().await);
    let refused = kept.rebuilt().await.unwrap_err().to_string();
    assert!(refused.ends_with("rows refer to rows that are not there"), "{refused}");
}

/// `cargo test -p locum-edge --lib -- --ignored --nocapture megabytes`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn megabytes_a_second() {
    let kept = kept();
    let row = |number: u64| {
        // Half of it compresses, as text does.
        let mut bytes = vec![0; 4_000];
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for byte in bytes.iter_mut().take(2_000) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        Value::Blob(bytes)
    };
    let mut database = testing::database(kept.folder.path());
    database("BEGIN", &[]).unwrap();
    for number in 0..25_000 {
        database("INSERT INTO a (x) VALUES (?)", &[row(number)]).unwrap();
    }
    database("COMMIT", &[]).unwrap();
    let (chain, taken) = kept.whole().await;
    let bytes = u64::from(taken.manifest.pages) * u64::from(taken.manifest.page_bytes);
    let megabytes = bytes as f64 / 1e6;
    println!("{megabytes:.0} MB, {:.0} MB sealed", taken.manifest.sealed_bytes as f64 / 1e6);
    println!("whole backup {:.0} MB/s", megabytes / taken.seconds);
    let began = Instant::now();
    kept.rebuilt().await.unwrap();
    println!("restore with all checks {:.0} MB/s", megabytes / began.elapsed().as_secs_f64());
    database("UPDATE a SET x = zeroblob(4000) WHERE id % 100 = 0", &[]).unwrap();
    let began = Instant::now();
    let (_, bytes) = chain.ship().await.map_err(|(_, error)| error).unwrap();
    println!("segment of 1 % of the rows: {bytes} bytes in {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
}
