//! Faults in the middle of a promotion.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Trial;
use super::connections::nobody_leads;

/// A person moves the primary, and whoever should lead next dies as soon as the move has begun.
#[test]
fn the_next_primary_dies_while_it_is_promoted() -> Result<()> {
    Trial::run("promotion::the_next_primary_dies_while_it_is_promoted", async |trial| {
        let (leader, [target, other]) = trial.places().await?;
        let before = trial.network.control("locum_group_epoch").await?;
        let mut promotion = trial.network.promotion(&target, &["--yes"])?.spawn()?;
        while trial.network.control("locum_group_epoch").await? <= before {
            ensure!(promotion.try_wait()?.is_none_or(|status| status.success()), "the promotion ended");
        }
        trial.network.kill_region(&target)?;
        promotion.wait()?;
        trial.writers.go_on(&[leader, other], 3).await?;
        trial.network.revive_region(&target)?;
        trial.writers.host_is_back(&trial.network, &target)
    })
}

/// The primary dies, and then the one that takes over.
#[test]
fn the_primary_and_its_successor_die() -> Result<()> {
    Trial::run("promotion::the_primary_and_its_successor_die", async |trial| {
        let (leader, others) = trial.places().await?;
        trial.network.kill_region(&leader)?;
        let next = trial.network.leader_among(&others).await?;
        trial.network.kill_hosts(&next)?;
        // One copy is left: it alone cannot know that it is the newest, and two members of the control plane know that
        // as well as three.
        nobody_leads(trial, Duration::from_secs(2)).await?;
        trial.network.kill(&trial.network.control_in(&next))?;
        trial.network.revive_region(&leader)?;
        trial.writers.host_is_back(&trial.network, &leader)?;
        trial.writers.go_on(&[leader], 3).await?;
        trial.network.revive_region(&next)?;
        trial.writers.host_is_back(&trial.network, &next)
    })
}

/// What the control plane decided last is on the disks of its members: all of them die at once, and started again they go
/// on from there. A primary that does not find them again within its lease is succeeded, in a newer epoch.
#[test]
fn the_control_plane_dies_after_a_promotion() -> Result<()> {
    Trial::run("promotion::the_control_plane_dies_after_a_promotion", async |trial| {
        let (leader, [target, other]) = trial.places().await?;
        let moved = trial.network.promotion(&target, &["--yes"])?.status()?;
        ensure!(moved.success(), "the promotion ended with {moved}");
        let epoch = trial.network.control("locum_group_epoch").await?;
        trial.network.kill_control()?;
        trial.network.revive_control()?;
        trial.writers.go_on(&[leader, target.clone(), other], 3).await?;
        // The leader first: whoever takes over between the two questions does so in an epoch that the second one shows.
        let leader = trial.network.leader().await?;
        let now = trial.network.control("locum_group_epoch").await?;
        ensure!(now >= epoch, "epoch {now} after epoch {epoch}");
        ensure!(now > epoch || leader == target, "{leader} leads the epoch of {target}");
        Ok(())
    })
}
