//! What is read while something is committed and not acknowledged.

use std::sync::atomic::Ordering;

use super::*;
use crate::store::Position;
use crate::store::group::Group as _;

/// As `GET` reads: what was acknowledged last will do, unless it is from before what was seen.
async fn look(host: &Host, seen: Option<Position>) -> Result<(Vec<String>, Option<Position>), StoreError> {
    let session = host.session(Access::Read);
    session.allow_older(seen);
    let sql = "SELECT entry FROM journal ORDER BY rowid".to_owned();
    let rows = session.execute(sql, Vec::new(), Caller::Function).await.map_err(StoreError::Commit)?.rows;
    session.commit().await?;
    let text = |value| if let Value::Text(text) = value { text } else { panic!("text") };
    Ok((rows.into_iter().flatten().map(text).collect(), session.position()))
}

/// Until that is what is shown; where it stands.
async fn until_shown(host: &Host, wanted: &[&str]) -> Option<Position> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let shown = look(host, None).await;
        if let Ok((entries, position)) = &shown
            && entries == wanted
        {
            return *position;
        }
        assert!(Instant::now() < deadline, "{} shows {shown:?}", host.node);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Until that is kept in view, too.
async fn until_caught(host: &Host, wanted: &[&str]) -> Option<Position> {
    let position = until_shown(host, wanted).await;
    let store = &host.store.groups[&group()];
    until("it is caught", async || store.settled_at() >= position).await;
    position
}

fn is_not_settled<T: std::fmt::Debug>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Failed(Failure::NotSettled)))
}

/// Both followers die in the middle of a write. What was acknowledged before is shown, by many at once, until one
/// is back; the write is shown only then.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_whose_followers_die_shows_what_was_acknowledged() {
    let network = Network::new();
    let mut hosts = Vec::new();
    for region in REGIONS {
        hosts.push(network.start(region).await);
    }
    let first = first_write(&hosts, "one").await;
    let primary = hosts.remove(first);
    let region = hosts[0].node.as_str().trim_start_matches("edge-").to_owned();
    let before = until_caught(&primary, &["one"]).await;
    for host in hosts {
        host.die(&network).await;
    }
    let cut_off = primary.write("two").await;
    assert!(matches!(cut_off, Err(StoreError::Failed(Failure::NotDurableYet))), "{cut_off:?}");
    assert!(is_not_settled(&primary.entries().await), "whoever wants the newest waits");

    let looks = futures_util::future::join_all((0..40).map(|_| look(&primary, before))).await;
    for looked in looks {
        assert_eq!(looked.unwrap(), (vec!["one".to_owned()], before));
    }
    let newest = primary.store.groups[&group()].newest();
    assert!(newest > before, "{newest:?} after {before:?}");
    assert!(is_not_settled(&look(&primary, newest).await), "who has seen more is not shown less");

    let follower = network.start(&region).await;
    let after = until_shown(&primary, &["one", "two"]).await;
    assert!(after >= newest, "{after:?} after {newest:?}");
    for host in [primary, follower] {
        host.die(&network).await;
    }
}

/// Two regions in which "one" is written: the network, the primary, its follower.
async fn two() -> (Arc<Network>, Host, Host) {
    let network = Network::of(&REGIONS[..2], Duration::ZERO);
    let mut hosts = Vec::new();
    for region in &REGIONS[..2] {
        hosts.push(network.start(region).await);
    }
    let first = first_write(&hosts, "one").await;
    let (primary, follower) = (hosts.remove(first), hosts.remove(0));
    (network, primary, follower)
}

async fn until_leads(host: &Host) {
    let store = &host.store.groups[&group()];
    until("it leads", async || store.serving.borrow().leading.is_some()).await;
}

/// What a follower has, and nobody acknowledged to its knowledge, it does not show either when it has to lead.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_leads_alone_shows_what_was_acknowledged_before() {
    let (network, primary, follower) = two().await;
    let before = until_caught(&follower, &["one"]).await;
    network.is_mute.store(true, Ordering::Relaxed);
    assert!(primary.write("two").await.is_err());
    primary.die(&network).await;
    network.is_mute.store(false, Ordering::Relaxed);
    until_leads(&follower).await;
    assert_eq!(until_shown(&follower, &["one"]).await, before);
    let newest = follower.store.groups[&group()].newest();
    assert!(newest > before, "it holds no more than that");
    assert!(is_not_settled(&follower.entries().await));
    follower.die(&network).await;
}

/// An epoch that begins and dies before a second host has anything of it is no part of the history: who looked then saw
/// what it began from, and has lost nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_looks_at_the_beginning_of_an_epoch_saw_what_it_began_from() {
    let (network, primary, follower) = two().await;
    let before = until_shown(&follower, &["one"]).await;
    primary.die(&network).await;
    until_leads(&follower).await;
    let store = &follower.store.groups[&group()];
    until("its copy of the epoch is open", async || store.newest() > before).await;
    let seen = until_shown(&follower, &["one"]).await;
    assert_eq!(seen, before);
    follower.die(&network).await;
}

/// Views keep the log of a copy from beginning anew, and let it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_copy_does_not_grow_for_ever() {
    let network = Network::new();
    let mut hosts = Vec::new();
    for region in REGIONS {
        hosts.push(network.start(region).await);
    }
    let first = first_write(&hosts, "first").await;
    let mut longest = [0; 3];
    for number in 0..40 {
        let session = hosts[first].session(Access::Write);
        let text = format!("{number:02}").repeat(300_000);
        let sql = "INSERT INTO filler VALUES (?)".to_owned();
        session.execute(sql, vec![text.as_str().into()], Caller::Function).await.unwrap();
        session.commit().await.unwrap();
        for (host, longest) in hosts.iter().zip(&mut longest) {
            *longest = log_bytes(host).max(*longest);
            let mut shown = look(host, None).await;
            let deadline = Instant::now() + WITHIN;
            while shown.is_err() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(20)).await;
                shown = look(host, None).await;
            }
            assert!(shown.is_ok(), "{} shows {shown:?}", host.node);
        }
    }
    assert!(longest.iter().all(|bytes| *bytes < 12 << 20), "{longest:?} bytes of 24 million");
    for host in hosts {
        host.die(&network).await;
    }
}

/// 0 while the copy is being taken anew.
fn log_bytes(host: &Host) -> u64 {
    let epoch = host.store.groups[&group()].serving.borrow().copy.as_ref().map(|copy| copy.epoch);
    let Some(epoch) = epoch else { return 0 };
    let mut path = host.store.copies[&group()].data_file(epoch).into_os_string();
    path.push("-wal");
    std::fs::metadata(path).map_or(0, |file| file.len())
}
