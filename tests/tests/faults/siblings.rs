//! A second edge host in each region, which is no voter: it may outlive the one that is, and is never taken for it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use locum_network_tests::sibling_of;

use super::connections::nobody_leads;
use super::{Trial, for_as_long_as};

const TWO_HOSTS: [&str; 2] = ["--edges-per-region", "2"];

/// The others acknowledge, through the sibling too. Without the other one nobody does: the sibling's word is none.
#[test]
fn the_acknowledging_host_dies_while_its_sibling_lives() -> Result<()> {
    let name = "siblings::the_acknowledging_host_dies_while_its_sibling_lives";
    Trial::run_with(name, &TWO_HOSTS, async |trial| {
        let (leader, followers) = trial.places().await?;
        for (dies, lives) in [(0, 1), (1, 0)] {
            let (dies, lives) = (&followers[dies], &followers[lives]);
            let alive = [leader.clone(), lives.clone(), sibling_of(dies)];
            trial.network.kill(&trial.network.edge(dies))?;
            for_as_long_as(Duration::from_secs(5), &mut trial.writers, &alive).await?;
            trial.network.kill(&trial.network.edge(lives))?;
            nobody_acknowledges(trial, &leader, Duration::from_secs(6)).await?;
            for region in [lives, dies] {
                trial.network.revive(&trial.network.edge(region))?;
                trial.writers.host_is_back(&trial.network, region)?;
                trial.writers.go_on(&alive, 2).await?;
            }
        }
        ensure!(trial.network.leader().await? == leader, "the primary moved");
        holds_nothing(trial)
    })
}

/// The primary dies as well. One voter and two siblings are left: two promises are needed, and there is one.
#[test]
fn a_sibling_promises_nothing_in_place_of_a_voter() -> Result<()> {
    Trial::run_with("siblings::a_sibling_promises_nothing_in_place_of_a_voter", &TWO_HOSTS, async |trial| {
        let (leader, [lost, left]) = trial.places().await?;
        trial.network.kill(&trial.network.edge(&lost))?;
        trial.writers.go_on(&[leader.clone(), left.clone(), sibling_of(&lost)], 3).await?;
        trial.network.kill(&trial.network.edge(&leader))?;
        nobody_leads(trial, Duration::from_secs(12)).await?;
        trial.network.revive(&trial.network.edge(&lost))?;
        trial.writers.host_is_back(&trial.network, &lost)?;
        trial.writers.go_on(&[lost, left, sibling_of(&leader)], 3).await?;
        trial.network.revive(&trial.network.edge(&leader))?;
        trial.writers.host_is_back(&trial.network, &leader)?;
        holds_nothing(trial)
    })
}

/// The voter is lost for good, and the sibling's machine takes its place, under its name and with nothing of its own.
/// It then counts: the other follower is not needed any more.
#[test]
fn a_voter_is_lost_for_good_and_its_siblings_machine_replaces_it() -> Result<()> {
    let name = "siblings::a_voter_is_lost_for_good_and_its_siblings_machine_replaces_it";
    Trial::run_with(name, &TWO_HOSTS, async |trial| {
        let (leader, [region, other]) = trial.places().await?;
        let (voter, sibling) = trial.hosts_of(&region).await?;
        let (of_voter, of_sibling) = (trial.network.edge(&region), trial.network.edge(&sibling_of(&region)));
        for place in [&voter, &sibling] {
            trial.network.kill(&trial.network.edge(place))?;
        }
        trial.network.forget_and_call(&sibling, &of_voter)?;
        trial.network.forget_and_call(&voter, &of_sibling)?;
        trial.writers.go_on(&[leader.clone(), other.clone()], 2).await?;
        trial.network.revive(&trial.network.edge(&sibling))?;
        trial.writers.host_is_back(&trial.network, &sibling)?;
        trial.writers.go_on(std::slice::from_ref(&sibling), 2).await?;
        // The hosts only: with a member of the control plane the primary might move, to a machine that is not looked at.
        trial.network.kill_hosts(&other)?;
        trial.writers.go_on(&[leader, sibling], 3).await?;
        for process in [trial.network.edge(&other), trial.network.media(&other)] {
            trial.network.revive(&process)?;
        }
        trial.writers.host_is_back(&trial.network, &other)?;
        // What was the voter's machine is the sibling's now.
        trial.network.revive(&trial.network.edge(&voter))?;
        trial.writers.host_is_back(&trial.network, &voter)?;
        trial.writers.go_on(&[voter], 2).await
    })
}

impl Trial {
    /// The places of a region's two hosts, the one that votes first. Only that one has a copy to tell of.
    async fn hosts_of(&self, region: &str) -> Result<(String, String)> {
        let (mut votes, mut others) = (Vec::new(), Vec::new());
        for place in [region.to_owned(), sibling_of(region)] {
            let frame =
                self.network.metric(&self.network.edge(&place), "locum_edge_replica_frame", "main").await?;
            if frame.is_some() { votes.push(place) } else { others.push(place) }
        }
        Ok((votes.pop().context("no host has a copy")?, others.pop().context("both hosts have copies")?))
    }
}

/// From when the primary knows that it is alone.
async fn nobody_acknowledges(trial: &Trial, leader: &str, time: Duration) -> Result<()> {
    let (leader, begun) = (trial.network.edge(leader), Instant::now());
    let alone = || trial.network.metric(&leader, "locum_edge_group_alone", "main");
    while alone().await? != Some(1.0) {
        ensure!(begun.elapsed() < Duration::from_secs(20), "the primary has company");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (before, begun) = (trial.writers.count(), Instant::now());
    while begun.elapsed() < time {
        ensure!(alone().await? == Some(1.0), "somebody keeps the primary company");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let more = trial.writers.count() - before;
    // One that was acknowledged in time may have been told after.
    ensure!(more <= trial.network.places().len(), "{more} holds are acknowledged by nobody");
    Ok(())
}

/// Where nobody votes there is no copy.
fn holds_nothing(trial: &Trial) -> Result<()> {
    for region in trial.network.regions() {
        let folder = trial.network.state_of(&sibling_of(&region)).join("records/main");
        let kept = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let kept = kept.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
        ensure!(kept == ["voter.json"], "{kept:?} at the sibling in {region}");
    }
    Ok(())
}
