//! Processes that die, stand still, or find no room on the disk.

use std::fs::File;
use std::io::{ErrorKind, repeat};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use locum_network_tests::{Browser, run};

use super::{Trial, for_as_long_as};

/// Days that the writers do not book.
const LATER: Range<i32> = 300..301;

#[test]
fn the_primarys_region_dies() -> Result<()> {
    Trial::run("processes::the_primarys_region_dies", async |trial| {
        let (leader, others) = trial.places().await?;
        trial.network.kill_region(&leader)?;
        trial.writers.go_on(&others, 3).await?;
        trial.network.revive_region(&leader)?;
        trial.writers.host_is_back(&trial.network, &leader)
    })
}

#[test]
fn the_primarys_region_stands_still_and_goes_on() -> Result<()> {
    Trial::run("processes::the_primarys_region_stands_still_and_goes_on", async |trial| {
        let (leader, others) = trial.places().await?;
        let slots = Browser::at(&trial.network, &leader)?.slots_within(LATER).await?;
        let slot = slots.last().context("no slot")?.clone();
        trial.network.pause_region(&leader)?;
        // Its first act when it goes on: a write that came while it stood still.
        let (writer, asked) = (Browser::at(&trial.network, &leader)?, slot.clone());
        let writing = writer.clone();
        let write = tokio::spawn(async move { writing.post("/scheduling/holds", &asked).await });
        for_as_long_as(Duration::from_secs(20), &mut trial.writers, &others).await?;
        trial.network.resume_region(&leader)?;
        if write.await??.status == 201 {
            let there = writer.moved_to(&trial.network, &others[0])?;
            trial.writers.go_on(&others, 1).await?;
            let free = there.slots_within(LATER).await?;
            ensure!(!free.contains(&slot), "what {leader} acknowledged is not there");
        }
        Ok(())
    })
}

/// Its log is gone with it: a restart in place is a new epoch like any other.
#[test]
fn the_engine_dies_alone() -> Result<()> {
    Trial::run("processes::the_engine_dies_alone", async |trial| {
        let (leader, _) = trial.places().await?;
        let before = trial.network.control("locum_group_epoch").await?;
        trial.network.kill_engine(&leader)?;
        trial.writers.go_on(&trial.network.regions(), 3).await?;
        let after = trial.network.control("locum_group_epoch").await?;
        ensure!(after > before, "epoch {after} after epoch {before}");
        Ok(())
    })
}

/// Neither of the two that hold a copy is needed alone.
#[test]
fn the_acknowledging_host_dies() -> Result<()> {
    Trial::run("processes::the_acknowledging_host_dies", async |trial| {
        let (leader, followers) = trial.places().await?;
        for (dies, lives) in [(0, 1), (1, 0)] {
            let (dies, lives) = (&followers[dies], &followers[lives]);
            trial.network.kill_region(dies)?;
            trial.writers.go_on(&[leader.clone(), lives.clone()], 3).await?;
            trial.network.revive_region(dies)?;
            trial.writers.host_is_back(&trial.network, dies)?;
            trial.writers.go_on(std::slice::from_ref(dies), 2).await?;
        }
        ensure!(trial.network.leader().await? == leader, "the primary moved");
        Ok(())
    })
}

/// Its folder is on a file system of its own, which something else fills.
#[test]
fn the_primarys_disk_is_full() -> Result<()> {
    Trial::run("processes::the_primarys_disk_is_full", async |trial| {
        let leader = "us-west";
        let state = trial.network.state_of(leader);
        if !state.join("small").exists() {
            move_to_small_disk(trial, leader)?;
            trial.writers.go_on(&trial.others(leader), 2).await?;
        }
        if trial.network.leader().await? != leader {
            let (moved, said) = trial.network.promote(leader, &["--yes"])?;
            ensure!(moved, "{said}");
        }
        fill(&state.join("filler")).context("fill the disk")?;
        trial.writers.go_on(&trial.others(leader), 3).await?;
        std::fs::remove_file(state.join("filler"))?;
        Ok(())
    })
}

/// Another machine takes its place under its name, with a key of its own. It then counts: the other follower is not
/// needed any more.
#[test]
fn a_host_is_lost_for_good_and_replaced() -> Result<()> {
    Trial::run("processes::a_host_is_lost_for_good_and_replaced", async |trial| {
        let (leader, [lost, other]) = trial.places().await?;
        trial.network.kill_region(&lost)?;
        trial.network.forget(&lost)?;
        trial.writers.go_on(&[leader.clone(), other.clone()], 2).await?;
        trial.network.revive_region(&lost)?;
        trial.writers.host_is_back(&trial.network, &lost)?;
        trial.writers.go_on(std::slice::from_ref(&lost), 2).await?;
        trial.network.kill_region(&other)?;
        trial.writers.go_on(&[leader, lost], 3).await?;
        trial.network.revive_region(&other)?;
        trial.writers.host_is_back(&trial.network, &other)
    })
}

fn move_to_small_disk(trial: &mut Trial, region: &str) -> Result<()> {
    let (edge, state) = (trial.network.edge(region), trial.network.state_of(region));
    let aside = state.with_extension("aside");
    trial.network.kill(&edge)?;
    std::fs::rename(&state, &aside)?;
    std::fs::create_dir(&state)?;
    run("mount", &["-t", "tmpfs", "-o", "size=48m,mode=700", "tmpfs", &state.to_string_lossy()])?;
    run("cp", &["-a", &format!("{}/.", aside.to_string_lossy()), &state.to_string_lossy()])?;
    std::fs::remove_dir_all(aside)?;
    File::create(state.join("small"))?;
    trial.network.revive(&edge)?;
    trial.writers.host_is_back(&trial.network, region)
}

/// Until nothing goes in any more.
pub(crate) fn fill(path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    match std::io::copy(&mut repeat(0xa5), &mut file) {
        Err(error) if error.kind() == ErrorKind::StorageFull => Ok(()),
        ended => bail!("the disk takes everything: {ended:?}"),
    }
}
