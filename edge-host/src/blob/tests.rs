//! Documents on hosts of three regions, in one process.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use locum_identity::NodeId;
use tempfile::TempDir;

use super::sweep::{GRACE, Swept};
use super::*;
use crate::mesh::{AskError, Question, envelope};
use crate::store::{Access, testing};

const DOCUMENT: (&str, &str) = ("demo", "document-1");

/// Hosts of one group, whose rows are all the first one's.
struct Hosts {
    hosts: Vec<(NodeId, Blobs, TempDir)>,
    store: Arc<dyn RecordStore>,
    group: GroupId,
    down: Mutex<Vec<usize>>,
}

/// The others, as one of them reaches them.
struct Around<'a>(&'a Hosts, usize);

impl Hosts {
    fn new() -> Self {
        let mut hosts = Vec::new();
        let records = tempfile::tempdir().unwrap();
        let (store, group) = testing::store(records.path());
        let store: Arc<dyn RecordStore> = Arc::new(store);
        // Its folder lives as long as the first host.
        let mut folders = vec![records];
        folders.extend((1..3).map(|_| tempfile::tempdir().unwrap()));
        for (place, folder) in folders.into_iter().enumerate() {
            let node = format!("edge-{place}").parse().unwrap();
            hosts.push((node, Blobs::new(folder.path().join("blobs"), store.clone(), true), folder));
        }
        Self { hosts, store, group, down: Mutex::default() }
    }

    async fn put(&self, host: usize, content: &[u8]) -> Result<Blob, BlobError> {
        // As a body comes: in pieces that fit no chunk.
        let pieces: Vec<_> = content.chunks(70_001).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        self.hosts[host].1.put(&self.group, stream::iter(pieces), &Around(self, host)).await
    }

    async fn read(&self, host: usize, blob: &Blob) -> Result<Vec<u8>, BlobError> {
        self.hosts[host].1.read(&self.group, blob, &Around(self, host)).await
    }

    async fn sweep(&self, host: usize, grace: Duration) -> Swept {
        self.hosts[host].1.sweep(&self.group, grace, &Around(self, host)).await.unwrap()
    }

    fn session(&self) -> Arc<dyn crate::store::Session> {
        self.store.session(&self.group, Access::Write, Instant::now() + Duration::from_secs(5)).unwrap()
    }

    async fn refer(&self, document: &str, blob: &Blob) {
        let session = self.session();
        refer(session.as_ref(), (DOCUMENT.0, document), blob).await.unwrap();
        session.commit().await.unwrap();
    }

    fn folder(&self, host: usize) -> PathBuf {
        self.hosts[host].2.path().join("blobs/main")
    }

    fn files(&self, host: usize) -> usize {
        fs::read_dir(self.folder(host)).map_or(0, Iterator::count)
    }

    fn stop(&self, hosts: &[usize]) {
        *self.down.lock().unwrap() = hosts.to_vec();
    }
}

impl Peers for Around<'_> {
    fn ask<'a>(
        &'a self,
        node: &'a NodeId,
        question: &'a [u8],
        _: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, AskError>> {
        let Self(all, me) = self;
        let asked = all.hosts.iter().position(|(name, ..)| name == node).unwrap();
        let is_down = all.down.lock().unwrap().contains(&asked);
        let (question, bytes) = envelope::open(&Bytes::copy_from_slice(question)).unwrap();
        let Question::Blob(question) = question else { panic!("another question") };
        let answer = if is_down {
            Err(AskError::Unknown(node.clone()))
        } else {
            let (answer, bytes) = all.hosts[asked].1.answer(&all.hosts[*me].0, &question, &bytes).unwrap();
            Ok(envelope::seal(&answer, &bytes).unwrap())
        };
        std::future::ready(answer).boxed()
    }

    fn elsewhere(&self) -> Vec<NodeId> {
        let others = self.0.hosts.iter().enumerate().filter(|(place, _)| *place != self.1);
        others.map(|(_, (node, ..))| node.clone()).collect()
    }
}

/// So long that it takes three chunks, and not the same twice.
fn content(planted: &str) -> Vec<u8> {
    let numbers = (0..300_000_u32).flat_map(u32::to_be_bytes);
    let length = 2 * CHUNK_BYTES + 12_345;
    planted.bytes().chain(numbers.cycle()).take(length).collect()
}

fn only_file(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

#[tokio::test]
async fn a_document_is_in_two_regions_sealed_and_read_from_any() {
    let hosts = Hosts::new();
    let planted = "planted words of a patient";
    let blob = hosts.put(0, &content(planted)).await.unwrap();
    assert_eq!([hosts.files(0), hosts.files(1), hosts.files(2)], [1, 1, 0]);
    for host in 0..3 {
        assert!(hosts.read(host, &blob).await.unwrap() == content(planted), "host {host}");
    }
    for host in 0..2 {
        let sealed = fs::read(only_file(&hosts.folder(host))).unwrap();
        assert!(!sealed.windows(planted.len()).any(|window| window == planted.as_bytes()));
    }
    for edge in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1] {
        let content = &content(planted)[..edge];
        let blob = hosts.put(2, content).await.unwrap();
        assert!(hosts.read(1, &blob).await.unwrap() == content, "{edge} bytes");
    }
}

#[tokio::test]
async fn without_a_second_region_nothing_is_called_stored() {
    let hosts = Hosts::new();
    hosts.stop(&[1]);
    hosts.put(0, b"x").await.unwrap();
    assert_eq!(hosts.files(2), 1, "the other other region takes it");
    hosts.stop(&[1, 2]);
    assert!(matches!(hosts.put(0, b"y").await, Err(BlobError::NotDurableYet)));
    let alone = Blobs::new(hosts.folder(0).join("alone"), hosts.store.clone(), false);
    let one = stream::iter([Ok(Bytes::from_static(b"z"))]);
    alone.put(&hosts.group, one, &Around(&hosts, 0)).await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_or_cut_leaves_nothing_behind() {
    let hosts = Hosts::new();
    let piece = || Ok(Bytes::from(vec![7; CHUNK_BYTES]));
    let put = async |pieces: Vec<io::Result<Bytes>>| {
        hosts.hosts[0].1.put(&hosts.group, stream::iter(pieces), &Around(&hosts, 0)).await
    };
    assert!(matches!(put((0..26).map(|_| piece()).collect()).await, Err(BlobError::TooLarge)));
    let cut = vec![piece(), piece(), Err(io::ErrorKind::ConnectionReset.into())];
    assert!(matches!(put(cut).await, Err(BlobError::Cut(_))));
    assert_eq!([hosts.files(0), hosts.files(1)], [0, 0]);
}

#[tokio::test]
async fn a_damaged_copy_is_never_shown_and_made_whole_again() {
    let hosts = Hosts::new();
    let blob = hosts.put(0, &content("a")).await.unwrap();
    hosts.refer(DOCUMENT.1, &blob).await;
    let path = only_file(&hosts.folder(0));
    let whole = fs::read(&path).unwrap();
    for place in [0, SEALED_CHUNK_BYTES + 5, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        fs::write(&path, flipped).unwrap();
        assert!(hosts.read(0, &blob).await.unwrap() == content("a"), "byte {place}");
        hosts.stop(&[1, 2]);
        assert!(matches!(hosts.read(0, &blob).await, Err(BlobError::Missing)), "byte {place}");
        assert_eq!(hosts.sweep(0, GRACE).await, Swept { missing: 1, ..Swept::default() });
        hosts.stop(&[]);
        assert_eq!(hosts.sweep(0, GRACE).await, Swept { repaired: 1, ..Swept::default() });
        assert!(fs::read(&path).unwrap() == whole);
    }
    fs::write(&path, &whole[..SEALED_CHUNK_BYTES]).unwrap();
    assert!(hosts.read(0, &blob).await.unwrap() == content("a"), "cut off");
    // The region that had none gets its copy too.
    assert_eq!(hosts.sweep(2, GRACE).await, Swept { repaired: 1, ..Swept::default() });
    assert!(fs::read(only_file(&hosts.folder(2))).unwrap() == whole);
    assert_eq!(hosts.sweep(2, GRACE).await, Swept::default());
}

#[tokio::test]
async fn what_no_row_names_goes_after_its_time() {
    let hosts = Hosts::new();
    let kept = hosts.put(0, b"named").await.unwrap();
    hosts.refer(DOCUMENT.1, &kept).await;
    hosts.put(0, b"never named").await.unwrap();
    assert_eq!(hosts.sweep(0, GRACE).await, Swept::default(), "its row may be on its way");
    for host in 0..2 {
        assert_eq!(hosts.sweep(host, Duration::ZERO).await, Swept { removed: 1, ..Swept::default() });
        assert_eq!(hosts.files(host), 1);
    }
    assert_eq!(hosts.read(1, &kept).await.unwrap(), b"named");
}

#[tokio::test]
async fn the_same_content_is_kept_once_and_erased_with_its_last_document() {
    let hosts = Hosts::new();
    let first = hosts.put(0, b"same").await.unwrap();
    let second = hosts.put(1, b"same").await.unwrap();
    assert_eq!(first.id, second.id);
    assert_ne!(first.object, second.object);
    hosts.refer("document-1", &first).await;
    hosts.refer("document-2", &second).await;
    let session = hosts.session();
    let named = find(session.as_ref(), ("demo", "document-2")).await.unwrap().unwrap();
    assert_eq!(named, first, "kept twice");
    assert!(find(session.as_ref(), ("other", "document-2")).await.unwrap().is_none());

    assert!(erase(session.as_ref(), ("demo", "document-1")).await.unwrap());
    assert!(!erase(session.as_ref(), ("demo", "document-1")).await.unwrap());
    assert!(find(session.as_ref(), ("demo", "document-2")).await.unwrap().is_some());
    assert!(erase(session.as_ref(), ("demo", "document-2")).await.unwrap());
    session.commit().await.unwrap();
    let mut database = testing::database(hosts.hosts[0].2.path());
    let left = database("SELECT count(*) FROM locum_blob", &[]).unwrap().rows;
    assert!(left == [vec![crate::store::Value::Integer(0)]], "the key is still there");
    for host in 0..2 {
        assert_eq!(hosts.sweep(host, Duration::ZERO).await.removed, 2);
    }
}
