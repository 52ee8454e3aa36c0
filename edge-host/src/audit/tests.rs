//! Hosts of several regions that keep each other's events, in one process.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use locum_identity::{NodeId, SigningKey};
use tempfile::TempDir;

use super::frame::FileName;
use super::report::Finding;
use super::rows::Fault;
use super::testing::{event, group};
use super::*;
use crate::mesh::{AskError, Question, envelope};
use crate::store::{Access, MasterKey, testing};

/// Hosts that all hold one group's key, each with records of its own.
struct Hosts {
    hosts: Vec<Arc<Host>>,
    /// Nobody answers any more.
    down: Arc<Mutex<Vec<NodeId>>>,
}

struct Host {
    node: NodeId,
    audit: Arc<Audit>,
    folder: TempDir,
}

/// The others, as one of them reaches them.
struct Around<'a>(&'a Hosts, usize);

impl Hosts {
    fn new(count: usize, allocate: fn(&File, u64) -> io::Result<()>) -> Self {
        Self::with_files_of(FILE_BYTES, count, allocate)
    }

    fn with_files_of(file_bytes: u64, count: usize, allocate: fn(&File, u64) -> io::Result<()>) -> Self {
        let first = tempfile::tempdir().unwrap();
        drop(testing::store(first.path()));
        let mut hosts = Vec::new();
        for number in 1..=count {
            let folder = tempfile::tempdir().unwrap();
            let records = folder.path().join("records/main");
            fs::create_dir_all(&records).unwrap();
            // One key for all, as a group's hosts have it.
            fs::copy(first.path().join("records/main/key.json"), records.join("key.json")).unwrap();
            hosts.push(Arc::new(Host::open(number, folder, allocate, file_bytes)));
        }
        Self { hosts, down: Arc::default() }
    }

    fn around(&self, host: usize) -> Around<'_> {
        Around(self, host)
    }

    async fn read(&self, host: usize, number: u64) -> Result<(), AuditError> {
        self.hosts[host].audit.keep(&group(), vec![event(number)], &self.around(host)).await
    }

    async fn round(&self, host: usize) {
        self.hosts[host].audit.round(&group(), &self.around(host)).await;
    }

    fn verify(&self, hosts: &[usize]) -> Report {
        let hosts: Vec<_> = hosts.iter().map(|host| self.hosts[*host].on_disk()).collect();
        verify(&hosts, &group()).unwrap()
    }

    fn own(&self, host: usize) -> PathBuf {
        own_folder(&self.hosts[host].folder.path().join("audit"), &group())
    }

    fn kept(&self, by: usize, of: usize) -> PathBuf {
        kept::folder_of(&self.hosts[by].folder.path().join("audit"), &group(), &self.hosts[of].node)
    }
}

impl Host {
    fn open(
        number: usize,
        folder: TempDir,
        allocate: fn(&File, u64) -> io::Result<()>,
        file_bytes: u64,
    ) -> Self {
        let node: NodeId = format!("edge-{number}").parse().unwrap();
        let named = node.to_string();
        let settings = AuditSettings {
            folder: folder.path().join("audit"),
            reserve_bytes: 1 << 16,
            file_bytes,
            allocate,
            keep: Duration::from_secs(3_600),
            ships: true,
            clinics: crate::clinic::Clinics::default(),
            key: SigningKey::load_or_create(&folder.path().join("audit-key.pem")).unwrap(),
            region: format!("region-{number}"),
            node: Box::new(move || named.clone()),
            ordered: Box::new(Vec::new),
        };
        let (store, _) = testing::store(folder.path());
        Self { node, audit: Arc::new(Audit::new(settings, Arc::new(store))), folder }
    }

    fn on_disk(&self) -> HostOnDisk {
        HostOnDisk {
            name: self.node.to_string(),
            state_dir: self.folder.path().to_owned(),
            master_key: MasterKey::read(&self.folder.path().join("store.key")).unwrap(),
        }
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
        let unknown = || Err(AskError::Unknown(node.clone()));
        let is_down = all.down.lock().unwrap().contains(node);
        let host = all.hosts.iter().find(|host| host.node == *node && !is_down);
        let answer = host.map_or_else(unknown, |host| {
            let (question, bytes) = envelope::open(&Bytes::copy_from_slice(question)).unwrap();
            let Question::Audit(question) = question else { panic!("another question") };
            let answer = host.audit.answer(&all.hosts[*me].node, question, &bytes);
            answer.map_or_else(|_| unknown(), |(answer, bytes)| Ok(envelope::seal(&answer, &bytes).unwrap()))
        });
        std::future::ready(answer).boxed()
    }

    fn elsewhere(&self) -> Vec<NodeId> {
        let Self(all, me) = self;
        let others = all.hosts.iter().enumerate().filter(|(place, _)| place != me);
        others.map(|(_, host)| host.node.clone()).collect()
    }
}

fn only_log(folder: &Path) -> PathBuf {
    let files = log::files(folder).unwrap();
    assert_eq!(files.len(), 1);
    files[0].in_folder(folder)
}

async fn write(host: &Host, events: std::ops::Range<u64>) {
    let until = Instant::now() + Duration::from_secs(5);
    let session = host.audit.store.session(&group(), Access::Write, until).unwrap();
    insert(session.as_ref(), &events.map(event).collect::<Vec<_>>()).await.unwrap();
    session.commit().await.unwrap();
}

#[tokio::test]
async fn another_region_holds_every_event_byte_for_byte_and_follows_when_one_is_lost() {
    let hosts = Hosts::new(3, reserve);
    for number in 0..3 {
        hosts.read(0, number).await.unwrap();
    }
    hosts.round(0).await;
    hosts.read(0, 3).await.unwrap();
    hosts.round(0).await;
    let own = fs::read(only_log(&hosts.own(0))).unwrap();
    assert_eq!(fs::read(only_log(&hosts.kept(1, 0))).unwrap(), own);
    assert!(!hosts.kept(2, 0).exists(), "one other region is enough");

    hosts.down.lock().unwrap().push(hosts.hosts[1].node.clone());
    hosts.read(0, 4).await.unwrap();
    hosts.round(0).await;
    let own = fs::read(only_log(&hosts.own(0))).unwrap();
    assert_eq!(fs::read(only_log(&hosts.kept(2, 0))).unwrap(), own);
    let report = hosts.verify(&[0, 1, 2]);
    assert!(report.is_sound() && report.gaps.is_empty(), "{report}");
}

#[tokio::test]
async fn what_a_lost_region_had_not_shipped_is_a_numbered_gap() {
    let hosts = Hosts::new(2, reserve);
    hosts.read(0, 0).await.unwrap();
    hosts.round(0).await;
    hosts.read(0, 1).await.unwrap();
    let report = hosts.verify(&[1]);
    assert!(report.is_sound());
    let text = report.to_string();
    assert!(text.contains("gap 1: whatever edge-1 recorded after event 1"), "{text}");
    assert!(hosts.verify(&[0, 1]).gaps.is_empty());
}

#[tokio::test]
async fn whatever_is_done_to_a_log_is_found_and_named() {
    let cut = |bytes: &[u8], events: usize| {
        let mut end = frame::HEADER_BYTES;
        for _ in 0..events {
            end += 36 + u32::from_be_bytes(*bytes[end..].first_chunk().unwrap()) as usize;
        }
        bytes[..end].to_vec()
    };
    let flip = |place: fn(usize) -> usize| {
        move |mut bytes: Vec<u8>| {
            let place = place(bytes.len());
            bytes[place] ^= 1;
            bytes
        }
    };
    type Tamper = Box<dyn Fn(Vec<u8>) -> Vec<u8>>;
    let nth = move |bytes: &[u8], event: usize| {
        bytes[cut(bytes, event - 1).len()..cut(bytes, event).len()].to_vec()
    };
    let cases: [(&str, Tamper, Fault); 8] = [
        ("a byte of the first event", Box::new(flip(|_| frame::HEADER_BYTES + 9)), Fault::Changed(1)),
        ("a byte of the last hash", Box::new(flip(|length| length - 1)), Fault::Changed(4)),
        (
            "an event is gone",
            Box::new(move |bytes| [cut(&bytes, 1), bytes[cut(&bytes, 2).len()..].to_vec()].concat()),
            Fault::Changed(2),
        ),
        (
            "an event is there twice",
            Box::new(move |bytes| {
                let end = cut(&bytes, 2).len();
                [&bytes[..end], &nth(&bytes, 1), &bytes[end..]].concat()
            }),
            Fault::Changed(3),
        ),
        (
            "two change places",
            Box::new(move |bytes| {
                let swapped = [cut(&bytes, 1), nth(&bytes, 3), nth(&bytes, 2)].concat();
                [&swapped[..], &bytes[swapped.len()..]].concat()
            }),
            Fault::Changed(2),
        ),
        (
            "one is put in between, and all hashes behind it are worked out anew",
            Box::new(move |bytes| {
                let before: frame::Hash = bytes[24..frame::HEADER_BYTES].try_into().unwrap();
                let mut end = frame::End { sequence: 0, hash: before };
                let mut written = bytes[..frame::HEADER_BYTES].to_vec();
                for event in [1, 2, 1, 3, 4] {
                    let frame = nth(&bytes, event);
                    let sealed = &frame[4..frame.len() - 32];
                    end = end.then(sealed);
                    written.extend([&frame[..4], sealed, &end.hash].concat());
                }
                written
            }),
            Fault::Changed(3),
        ),
        ("the end is gone", Box::new(move |bytes| cut(&bytes, 2)), Fault::CutOff(3)),
        ("half an event is gone", Box::new(|bytes| bytes[..bytes.len() - 5].to_vec()), Fault::CutOff(4)),
    ];
    for (what, tamper, expected) in cases {
        let hosts = Hosts::new(2, reserve);
        for number in 0..4 {
            hosts.read(0, number).await.unwrap();
        }
        hosts.round(0).await;
        assert!(hosts.verify(&[0, 1]).is_sound());
        let path = only_log(&hosts.own(0));
        fs::write(&path, tamper(fs::read(&path).unwrap())).unwrap();
        // Also alone: its own checkpoint says how far it had come.
        for given in [&[0][..], &[0, 1]] {
            let report = hosts.verify(given);
            let found = report.findings().iter().any(
                |finding| matches!(finding, Finding::Reads { from: None, fault, .. } if *fault == expected),
            );
            assert!(found, "{what}: {report}");
        }
        // Without the checkpoint the other region's copy still tells.
        fs::remove_file(hosts.own(0).join("checkpoints")).unwrap();
        assert!(!hosts.verify(&[0, 1]).is_sound(), "{what}");
    }
}

#[tokio::test]
async fn a_log_that_was_written_anew_is_another_than_the_one_that_was_shipped() {
    let hosts = Hosts::new(2, reserve);
    for number in 0..3 {
        hosts.read(0, number).await.unwrap();
    }
    hosts.round(0).await;
    let path = only_log(&hosts.own(0));
    let name = log::files(&hosts.own(0)).unwrap()[0];
    // By somebody who has every key: the second event is another one.
    let sealer = hosts.hosts[0].audit.sealer(&group()).unwrap();
    let mut end = FileName::origin(name.log, &group());
    let mut bytes = name.head(&end.hash);
    for number in [0, 7, 2] {
        let (frame, next) = sealer.frame(name.log, end, &event(number)).unwrap();
        bytes.extend(frame);
        end = next;
    }
    fs::write(&path, bytes).unwrap();
    fs::remove_file(hosts.own(0).join("checkpoints")).unwrap();
    let report = hosts.verify(&[0, 1]);
    assert!(!report.is_sound(), "{report}");
}

#[tokio::test]
async fn changes_that_were_signed_for_cannot_be_cut_off() {
    let hosts = Hosts::new(2, reserve);
    write(&hosts.hosts[0], 0..3).await;
    hosts.round(0).await;
    assert!(hosts.verify(&[0, 1]).is_sound());
    let mut database = testing::database(hosts.hosts[0].folder.path());
    for sql in [
        "DROP TRIGGER locum_audit_is_kept",
        "DELETE FROM locum_audit WHERE sequence = 3",
        "DELETE FROM locum_audit_chain WHERE sequence = 3",
        "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'locum_audit'",
    ] {
        database(sql, &[]).unwrap();
    }
    drop(database);
    // Nor by taking this host's own checkpoints away.
    fs::remove_dir_all(hosts.own(0)).unwrap();
    let report = hosts.verify(&[0, 1]);
    let expected = Finding::Writes { holder: "edge-1".to_owned(), fault: Fault::CutOff(3) };
    assert_eq!(report.findings(), [expected], "{report}");
}

#[tokio::test]
async fn a_full_disk_keeps_events_in_another_region_or_shows_nothing() {
    static IS_FULL: AtomicBool = AtomicBool::new(false);
    fn allocate(_: &File, _: u64) -> io::Result<()> {
        if IS_FULL.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    let hosts = Hosts::new(2, allocate);
    hosts.read(0, 0).await.unwrap();
    IS_FULL.store(true, Ordering::SeqCst);
    let mut kept = 1;
    while !hosts.kept(1, 0).exists() {
        hosts.read(0, kept).await.unwrap();
        kept += 1;
    }
    hosts.read(0, kept).await.unwrap();
    let elsewhere = fs::read(only_log(&hosts.kept(1, 0))).unwrap();
    let walked = frame::walk(log::files(&hosts.kept(1, 0)).unwrap()[0], &elsewhere, |_| {});
    assert_eq!((walked.end.sequence, walked.damage), (2, None));
    assert!(hosts.verify(&[0, 1]).gaps.is_empty());

    hosts.down.lock().unwrap().push(hosts.hosts[1].node.clone());
    let refused = hosts.read(0, kept + 1).await.unwrap_err();
    assert!(refused.is_full(), "{refused}");
}

/// An hour, in these tests.
fn after_all_of(number: u64) -> i64 {
    event(number).recorded_at_ms + 3_600_001
}

fn count(folder: &Path) -> usize {
    log::files(folder).unwrap().len()
}

#[tokio::test]
async fn what_is_old_enough_goes_once_another_region_has_had_it() {
    let hosts = Hosts::with_files_of(1_000, 2, reserve);
    let expire = async |host: usize, now| {
        hosts.hosts[host].audit.expire(&group(), now, &hosts.around(host)).await;
    };
    for number in 0..20 {
        hosts.read(0, number).await.unwrap();
    }
    let all = count(&hosts.own(0));
    assert!(all > 4, "{all} files");
    expire(0, after_all_of(20)).await;
    assert_eq!(count(&hosts.own(0)), all, "no other region has had any of it");
    hosts.round(0).await;
    expire(0, event(0).recorded_at_ms).await;
    assert_eq!(count(&hosts.own(0)), all, "nothing is old");

    // The first files are, the others not yet.
    let first = log::files(&hosts.own(0)).unwrap()[2].first;
    expire(0, after_all_of(first - 2)).await;
    assert_eq!(count(&hosts.own(0)), all - 2);
    expire(1, after_all_of(first - 2)).await;
    assert_eq!(count(&hosts.kept(1, 0)), all - 2);
    let report = hosts.verify(&[0, 1]);
    assert!(report.is_sound(), "{report}");

    expire(0, after_all_of(20)).await;
    assert_eq!(count(&hosts.own(0)), 1, "the file that is added to stays");
    hosts.read(0, 20).await.unwrap();
    hosts.round(0).await;
    assert!(hosts.verify(&[0, 1]).is_sound());
}

#[tokio::test]
async fn what_is_taken_out_by_hand_is_told_from_what_expired() {
    let hosts = Hosts::with_files_of(1_000, 2, reserve);
    for number in 0..20 {
        hosts.read(0, number).await.unwrap();
    }
    hosts.round(0).await;
    let files = log::files(&hosts.own(0)).unwrap();
    fs::remove_file(files[0].in_folder(&hosts.own(0))).unwrap();
    let missing = Finding::Reads {
        holder: "edge-1".to_owned(),
        from: None,
        log: files[0].log,
        fault: Fault::Missing(files[1].first - 1),
    };
    assert_eq!(hosts.verify(&[0, 1]).findings(), [missing]);
}

#[tokio::test]
async fn each_event_is_listed_once_however_many_hold_it() {
    let hosts = Hosts::new(2, reserve);
    for number in 0..4 {
        hosts.read(0, number).await.unwrap();
    }
    hosts.read(1, 9).await.unwrap();
    hosts.round(0).await;
    let on_disk = |given: &[usize]| given.iter().map(|host| hosts.hosts[*host].on_disk()).collect::<Vec<_>>();
    let listed = |given: &[usize], wanted: &Wanted| list(&on_disk(given), &group(), wanted).unwrap();
    let all = Wanted::default();
    assert_eq!(listed(&[0, 1], &all).len(), 5);
    assert_eq!(listed(&[1], &all).len(), 5, "what the other keeps of it");
    assert_eq!(listed(&[0], &all).len(), 4);
    let times: Vec<_> = listed(&[0, 1], &all).iter().map(|event| event.recorded_at_ms).collect();
    assert!(times.is_sorted(), "{times:?}");
    let first = event(0);
    let at =
        |from: i64, until: i64| Wanted { from_ms: Some(from), until_ms: Some(until), ..Wanted::default() };
    let of_first = at(first.recorded_at_ms, first.recorded_at_ms + 1);
    assert_eq!(listed(&[0, 1], &of_first), [first]);
    let strange = |word: &str| Some(word.to_owned());
    for nobody in [
        Wanted { clinic: strange("other"), ..Wanted::default() },
        Wanted { agent: strange("x"), ..Wanted::default() },
        Wanted { entity: strange("x"), ..Wanted::default() },
        Wanted { code: strange("x"), ..Wanted::default() },
        Wanted { failed: true, ..Wanted::default() },
    ] {
        assert_eq!(listed(&[0, 1], &nobody), [], "{nobody:?}");
    }
}

/// Numbers of the events of a report, and what it says of hosts.
async fn report(hosts: &Hosts, at: usize, wish: Wish) -> (Vec<u64>, Vec<String>) {
    let reported = hosts.hosts[at].audit.report((&group(), "demo"), wish, &hosts.around(at)).await.unwrap();
    let number = |found: &wish::Found| (found.event.recorded_at_ms - 1_700_000_000_000).try_into().unwrap();
    let state = |source: &reports::Source| format!("{} {:?}", source.node, source.state);
    (reported.events.iter().map(number).collect(), reported.sources.iter().map(state).collect())
}

fn all() -> Wish {
    Wish { limit: 100, ..Wish::default() }
}

#[tokio::test]
async fn a_report_holds_every_event_once_and_says_whose_may_be_missing() {
    let hosts = Hosts::with_files_of(600, 3, reserve);
    for number in [0, 3, 4, 7] {
        hosts.read(0, number).await.unwrap();
    }
    hosts.read(1, 5).await.unwrap();
    write(&hosts.hosts[2], 1..3).await;
    hosts.round(0).await;
    let (events, sources) = report(&hosts, 2, all()).await;
    assert_eq!(events, [0, 1, 2, 3, 4, 5, 7]);
    assert_eq!(sources, ["edge-1 Answered", "edge-2 Answered", "edge-3 Answered"]);

    // What it had not sent elsewhere is not there while it does not answer; the rest comes from the copy, once.
    hosts.read(0, 8).await.unwrap();
    hosts.down.lock().unwrap().push(hosts.hosts[0].node.clone());
    let (events, sources) = report(&hosts, 2, all()).await;
    assert_eq!(events, [0, 1, 2, 3, 4, 5, 7]);
    assert_eq!(sources, ["edge-1 Copied", "edge-2 Answered", "edge-3 Answered"]);
    // Where the copy is on the host that is asked.
    let (events, _) = report(&hosts, 1, all()).await;
    assert_eq!(events, [0, 3, 4, 5, 7]);

    hosts.down.lock().unwrap().push(hosts.hosts[1].node.clone());
    let (events, sources) = report(&hosts, 2, all()).await;
    assert_eq!(events, [1, 2]);
    assert_eq!(sources, ["edge-1 Missing", "edge-2 Missing", "edge-3 Answered"]);
}

#[tokio::test]
async fn a_report_holds_what_is_asked_for_page_by_page() {
    let hosts = Hosts::with_files_of(600, 2, reserve);
    for number in 0..9 {
        hosts.read(usize::from(number % 2 == 1), number).await.unwrap();
    }
    write(&hosts.hosts[0], 9..15).await;
    let at = |number: i64| Some(1_700_000_000_000 + number);
    let between = Wish { from_ms: at(3), until_ms: at(11), ..all() };
    assert_eq!(report(&hosts, 0, between.clone()).await.0, [3, 4, 5, 6, 7, 8, 9, 10]);
    // Once more: files of other times are passed over by then.
    assert_eq!(report(&hosts, 0, between.clone()).await.0, [3, 4, 5, 6, 7, 8, 9, 10]);
    let seen = wish::Seen { id: "e-4".to_owned(), since_ms: 0 };
    let made_later = wish::Seen { id: "e-5".to_owned(), since_ms: i64::MAX };
    let of = Wish { entities: vec![seen, made_later], ..all() };
    assert_eq!(report(&hosts, 0, of).await.0, [4]);
    for unknown in [
        Wish { agent: Some("u-2".to_owned()), ..all() },
        Wish { codes: vec!["sign-in".to_owned()], ..all() },
        Wish { outcome: Some(wish::Outcome::Failure), ..all() },
        Wish { patient: Some("p-1".to_owned()), ..all() },
    ] {
        assert_eq!(report(&hosts, 0, unknown.clone()).await.0, [0_u64; 0], "{unknown:?}");
    }
    for descending in [false, true] {
        let (mut pages, mut wish) = (Vec::new(), Wish { descending, limit: 4, ..Wish::default() });
        loop {
            let audit = &hosts.hosts[0].audit;
            let page = audit.report((&group(), "demo"), wish.clone(), &hosts.around(0)).await.unwrap();
            assert_eq!(page.matched, 15);
            pages.extend(page.events.iter().map(|found| found.event.recorded_at_ms - at(0).unwrap()));
            if !page.more {
                break;
            }
            wish.after = page.events.last().map(|last| wish.place(last));
        }
        if descending {
            pages.reverse();
        }
        assert_eq!(pages, (0..15).collect::<Vec<_>>());
    }
    let other = hosts.hosts[0].audit.report((&group(), "other"), all(), &hosts.around(0)).await.unwrap();
    assert_eq!(other.matched, 0, "another clinic's");
}

/// A million events, half of them read and half changed: how long a report takes, and verifying.
/// `LOCUM_EVENTS=n` for another number.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_a_million_events() {
    let events: u64 = std::env::var("LOCUM_EVENTS").map_or(1_000_000, |text| text.parse().unwrap());
    let hosts = Hosts::new(1, reserve);
    let numbered = |number: u64| Event {
        agent: Some(format!("0198c7f2-0000-7000-8000-{:012}", number % 97)),
        patient: Some(format!("0198c7f2-0000-7000-9000-{:012}", number % 9_973)),
        purpose: Some("TREAT".to_owned()),
        token: Some("0123456789abcdef".to_owned()),
        ..event(number)
    };
    let begun = Instant::now();
    // As many as fit into what these hosts reserve.
    for batch in 0..events / 2 / 100 {
        let batch = (batch * 100..(batch + 1) * 100).map(numbered).collect();
        hosts.hosts[0].audit.keep(&group(), batch, &hosts.around(0)).await.unwrap();
    }
    println!("{} events of reading written in {:?}", events / 2, begun.elapsed());
    let begun = Instant::now();
    for batch in 0..events / 2 / 500 {
        let until = Instant::now() + Duration::from_secs(30);
        let session = hosts.hosts[0].audit.store.session(&group(), Access::Write, until).unwrap();
        let first = events / 2 + batch * 500;
        insert(session.as_ref(), &(first..first + 500).map(numbered).collect::<Vec<_>>()).await.unwrap();
        session.commit().await.unwrap();
    }
    println!("{} events of changes written in {:?}", events / 2, begun.elapsed());
    let begun = Instant::now();
    hosts.round(0).await;
    println!("… and chained in {:?}", begun.elapsed());

    let agent = Some("0198c7f2-0000-7000-8000-000000000007".to_owned());
    let patient = Some("0198c7f2-0000-7000-9000-000000000042".to_owned());
    let at = |number: u64| Some(1_700_000_000_000 + i64::try_from(number).unwrap());
    let page = Wish { descending: true, limit: 50, ..Wish::default() };
    for (what, wish) in [
        ("the newest 50 of all", page.clone()),
        ("the newest 50 of all, again", page.clone()),
        ("one person's", Wish { agent, ..page.clone() }),
        ("one patient's", Wish { patient, limit: 500, ..page.clone() }),
        ("all by person, 5000 of them", Wish { sort: wish::Sort::Agent, limit: 5_000, ..page.clone() }),
        ("a tenth of the time", Wish { from_ms: at(0), until_ms: at(events / 10), ..page.clone() }),
    ] {
        let begun = Instant::now();
        let report = hosts.hosts[0].audit.report((&group(), "demo"), wish, &hosts.around(0)).await.unwrap();
        println!("report, {what}: {:?}, {} events match", begun.elapsed(), report.matched);
    }
    let begun = Instant::now();
    let report = hosts.verify(&[0]);
    assert!(report.is_sound(), "{report}");
    let a_second = events as f64 / begun.elapsed().as_secs_f64();
    println!("verified in {:?}: {a_second:.0} events a second", begun.elapsed());
}
