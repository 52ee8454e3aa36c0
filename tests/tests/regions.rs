//! Three regions: people move between them, the primary is moved, a region dies. Faults of all kinds are in `faults`.

use std::ops::Range;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use locum_network_tests::{Answer, Browser, Network, PATIENT, Patient, Planted, Writers, binaries};
use tokio::task::JoinHandle;

#[tokio::test(flavor = "multi_thread")]
async fn a_region_dies_and_no_file_holds_a_name_in_the_clear() -> Result<()> {
    let mut network = Network::start_regions(3)?;
    let staff = Browser::at(&network, "eu-central")?;
    staff.sign_in(&network.account("front-desk")?).await?;
    Browser::at(&network, "us-east")?.book(&staff, &Patient::planted()).await?;

    let mut writers = Writers::start(&network, 0).await?;
    // The first region leads where nothing else decides.
    network.kill_region("us-west")?;
    let others = ["us-east", "eu-central"].map(str::to_owned);
    writers.go_on(&others, 3).await?;
    network.revive_region("us-west")?;
    writers.host_is_back(&network, "us-west")?;
    writers.go_on(&network.regions(), 3).await?;
    writers.check(&network).await?;
    network.stop()?;
    found_in_no_file(&network)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_moves_the_primary_while_others_write() -> Result<()> {
    let network = Network::start_regions(3)?;
    let mut writers = Writers::start(&network, 0).await?;
    for region in ["us-east", "eu-central", "us-west"] {
        let moved = Command::new(binaries()?.join("locum-control"))
            .args(["promote", region, "--yes", "--config"])
            .arg(network.data().join("control-1.toml"))
            .output()?;
        ensure!(moved.status.success(), "{region}: {}", String::from_utf8_lossy(&moved.stderr));
        writers.go_on(&network.regions(), 2).await?;
    }
    writers.check(&network).await?;
    network.stop_and_verify()
}

/// The control plane's members bear the loss of any one, also while nothing runs; then a new one takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_disk_holds_up_nothing_and_is_replaced() -> Result<()> {
    let mut network = Network::start_regions(3)?;
    // The one that began the network.
    network.stop()?;
    std::fs::remove_dir_all(network.data().join("control-1"))?;
    network.start_again()?;
    let mut writers = Writers::start(&network, 0).await?;
    writers.go_on(&network.regions(), 2).await?;
    let remove = Command::new(binaries()?.join("locum"))
        .args(["member", "remove", "control-1", "--yes", "--data"])
        .arg(network.data())
        .output()?;
    ensure!(remove.status.success(), "{}", String::from_utf8_lossy(&remove.stderr));
    writers.go_on(&network.regions(), 1).await?;
    writers.check(&network).await?;
    network.restart()?;
    let leader = network.leading_control().await?;
    let voters = network.figure(&leader, "locum_quorum_members{kind=\"voter\"}").await?;
    ensure!(voters == Some(3.0), "{voters:?} voters");
    ensure!(network.controls().len() == 3, "{:?}", network.controls());
    network.stop_and_verify()
}

/// Written through one region, read through another whose copy has fallen behind: never less than was seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_moves_sees_what_they_wrote() -> Result<()> {
    let network = Network::start_regions(3)?;
    let here = Browser::at(&network, "eu-central")?;
    let all = here.slots().await?;
    let there = here.moved_to(&network, "us-east")?;
    there.slots().await?;
    network.pause(&network.edge("us-east"))?;
    let written = all.iter().take(30);
    for slot in written.clone() {
        let held = here.post("/scheduling/holds", slot).await?;
        ensure!(held.status == 201, "{held:?}");
    }
    // Asked while the host stands still: it finds the question and thirty commits waiting.
    let asked = tokio::spawn(async move { there.slots().await });
    network.resume(&network.edge("us-east"))?;
    let free = asked.await??;
    let stale = written.filter(|slot| free.contains(slot)).count();
    ensure!(stale == 0, "{stale} of 30 holds are not seen");
    Ok(())
}

/// A clinic whose records may be in two of the three regions, used through the third.
#[tokio::test(flavor = "multi_thread")]
async fn records_stay_in_the_regions_they_may_be_in() -> Result<()> {
    let mut network = Network::start_with(3, &["--clinic", "berlin=eu-central,us-east"])?;
    let person = Browser::at(&network, "us-west")?.of("berlin");
    let outside = || person.another();
    let staff = outside();
    let signed_in = staff.sign_in(&network.account("front-desk")?).await?;
    ensure!(signed_in.status == 201, "{signed_in:?}");
    let visit = outside().book(&staff, &Patient::planted()).await?;
    let listed = staff.appointment(&visit.appointment).await?;
    ensure!(listed["patient"]["name"] == PATIENT, "{listed}");
    // The same clinic, from where its records are; and nothing of it at another clinic.
    let inside = Browser::at(&network, "us-east")?.of("berlin");
    inside.sign_in(&network.account("front-desk")?).await?;
    inside.appointment(&visit.appointment).await?;
    let demo = Browser::at(&network, "us-west")?;
    demo.sign_in(&network.account("front-desk")?).await?;
    ensure!(demo.appointment(&visit.appointment).await.is_err(), "it is on the list of another clinic");

    // With one of the two it can be read, and nothing can be changed. What is being written just then is shown to
    // nobody, and hides nothing.
    for (dies, days) in [("us-east", 30..40), ("eu-central", 40..50)] {
        let writing = keep_writing(&outside(), days).await?;
        network.kill_region(dies)?;
        let alone = network.edge(if dies == "us-east" { "eu-central" } else { "us-east" });
        let begun = Instant::now();
        while !network
            .metric(&alone, "locum_edge_group_alone", "berlin")
            .await?
            .is_some_and(|alone| alone > 0.0)
        {
            ensure!(begun.elapsed() < PATIENCE, "{alone} does not see that it is alone");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let refused = outside().post("/scheduling/holds", &serde_json::json!({})).await?;
        ensure!(refused.problem() == "no-primary", "{refused:?}");
        until_shown(&staff, &visit.appointment).await.context(dies)?;
        until_shown_to(&outside()).await.context(dies)?;
        writing.abort();
        network.revive_region(dies)?;
        until_held(&outside()).await.context(dies)?;
    }
    network.stop()?;
    let kept = network.state_of("us-west").join("records/berlin");
    let kept = std::fs::read_dir(kept)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    ensure!(kept == ["voter.json"], "{kept:?} of a group that may not be here");
    found_in_no_file(&network)
}

/// By policy one region is enough for as long as no second one answers, and whoever writes is told.
#[tokio::test(flavor = "multi_thread")]
async fn one_region_goes_on_alone_by_policy_and_says_so() -> Result<()> {
    let mut network = Network::start_with(2, &["--single-copy"])?;
    let person = Browser::at(&network, "us-west")?;
    let answer = until_held(&person).await?;
    ensure!(!answer.headers.contains_key("locum-single-copy"), "{answer:?}");
    network.kill_region("us-east")?;
    let answer = until_held_alone(&person).await?;
    let read = person.look(0..7).await?;
    ensure!(read.is_ok(), "what one region holds is not shown: {read:?}");
    network.revive_region("us-east")?;
    let begun = Instant::now();
    while until_held(&person).await?.headers.contains_key("locum-single-copy") {
        ensure!(begun.elapsed() < PATIENCE, "still alone: {answer:?}");
    }
    network.stop_and_verify()
}

/// Longest wait for a region to fail, to take over or to be back.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who holds one slot after the other, whatever is answered, until told to stop. Returns once they began.
async fn keep_writing(person: &Browser, days: Range<i32>) -> Result<JoinHandle<()>> {
    let mut slots = person.slots_within(days).await?.into_iter();
    let first = person.post("/scheduling/holds", &slots.next().context("no slot")?).await?;
    ensure!(first.status == 201, "{first:?}");
    let person = person.clone();
    Ok(tokio::spawn(async move {
        for slot in slots {
            let _ = person.another().post("/scheduling/holds", &slot).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }))
}

/// Anybody is shown something.
async fn until_shown_to(person: &Browser) -> Result<()> {
    let begun = Instant::now();
    loop {
        match person.look(0..7).await? {
            Ok(_) => return Ok(()),
            Err(answer) if begun.elapsed() > PATIENCE => bail!("{answer:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn until_shown(staff: &Browser, appointment: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        match staff.appointment(appointment).await {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The answer to a hold that was made.
async fn until_held(person: &Browser) -> Result<Answer> {
    let holds = |answer: &Answer| answer.status == 201;
    until(person, holds).await
}

async fn until_held_alone(person: &Browser) -> Result<Answer> {
    let alone = |answer: &Answer| answer.status == 201 && answer.headers.contains_key("locum-single-copy");
    until(person, alone).await
}

async fn until(person: &Browser, fits: impl Fn(&Answer) -> bool) -> Result<Answer> {
    let (begun, mut slots) = (Instant::now(), Vec::new());
    loop {
        if slots.is_empty() {
            slots = person.slots().await.unwrap_or_default();
        }
        // Of no slot only a refusal comes that does not look at it.
        let slot = slots.pop().unwrap_or_default();
        let answer = person.post("/scheduling/holds", &slot).await;
        match answer {
            Ok(answer) if fits(&answer) => return Ok(answer),
            Ok(answer) => ensure!(begun.elapsed() < PATIENCE, "{answer:?}"),
            Err(error) => ensure!(begun.elapsed() < PATIENCE, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn found_in_no_file(network: &Network) -> Result<()> {
    let planted = Planted::new([PATIENT])?;
    for folder in [network.data(), network.temporary(), network.working()] {
        planted.absent_below(&folder)?;
    }
    Ok(())
}
