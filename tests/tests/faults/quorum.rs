//! Members of the control plane die, stand still and lose each other, alone or together with the primary.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, binaries, run};

use super::Trial;
use super::processes::fill;

/// Whoever leads the control plane dies. Records are written on under the lease, and nobody else becomes primary.
#[test]
fn the_leading_member_dies() -> Result<()> {
    Trial::run("quorum::the_leading_member_dies", async |trial| {
        let (primary, member) = (trial.network.leader().await?, trial.network.leading_control().await?);
        let epoch = trial.network.control("locum_group_epoch").await?;
        trial.network.kill(&member)?;
        let begun = Instant::now();
        let next = trial.network.leading_control().await?;
        println!("control plane led again after {} ms", begun.elapsed().as_millis());
        ensure!(next != member, "a dead member leads");
        trial.writers.go_on(&trial.network.regions(), 15).await?;
        ensure!(trial.network.leader().await? == primary, "the primary moved");
        ensure!(trial.network.control("locum_group_epoch").await? == epoch, "another epoch began");
        trial.network.revive(&member)
    })
}

/// It stands still while another one is chosen, and goes on as if nothing had been.
#[test]
fn the_leading_member_stands_still_and_goes_on() -> Result<()> {
    Trial::run("quorum::the_leading_member_stands_still_and_goes_on", async |trial| {
        let member = trial.network.leading_control().await?;
        let epoch = trial.network.control("locum_group_epoch").await?;
        trial.network.pause(&member)?;
        trial.writers.go_on(&trial.network.regions(), 15).await?;
        trial.network.resume(&member)?;
        ensure!(trial.network.leading_control().await? != member, "it still leads");
        trial.writers.go_on(&trial.network.regions(), 3).await?;
        ensure!(trial.network.control("locum_group_epoch").await? == epoch, "another epoch began");
        Ok(())
    })
}

/// The control plane's leader and the primary are gone at the same moment.
#[test]
fn the_leading_member_and_the_primary_die_together() -> Result<()> {
    Trial::run("quorum::the_leading_member_and_the_primary_die_together", async |trial| {
        let (primary, others) = trial.places().await?;
        let member = trial.network.leading_control().await?;
        let begun = Instant::now();
        // The region's own member dies with it: of three, one that leads elsewhere would leave no majority.
        if trial.network.control_in(&primary) == member {
            trial.network.kill_region(&primary)?;
        } else {
            trial.network.kill(&member)?;
            trial.network.kill(&trial.network.edge(&primary))?;
        }
        trial.writers.go_on(&others, 1).await?;
        println!("both regions that are left write again after {} ms", begun.elapsed().as_millis());
        trial.writers.go_on(&others, 3).await?;
        if trial.network.control_in(&primary) == member {
            trial.network.revive_region(&primary)?;
        } else {
            trial.network.revive(&member)?;
            let edge = trial.network.edge(&primary);
            trial.network.revive(&edge)?;
        }
        trial.writers.host_is_back(&trial.network, &primary)
    })
}

/// The leader is cut off from the other members, in one direction or both. Nodes reach everybody.
#[test]
fn the_leading_member_is_cut_off_from_the_others() -> Result<()> {
    Trial::run("quorum::the_leading_member_is_cut_off_from_the_others", async |trial| {
        for (says, hears) in [(false, false), (true, false), (false, true)] {
            let member = trial.network.leading_control().await?;
            let regions = trial.network.regions();
            let (own, others): (Vec<_>, Vec<_>) =
                regions.into_iter().partition(|region| trial.network.control_in(region) == member);
            let own = trial.network.mesh_of_control(&own[0])?;
            for other in &others {
                let other = trial.network.mesh_of_control(other)?;
                if !says {
                    trial.firewall.cut_one_way(own, &[other])?;
                }
                if !hears {
                    trial.firewall.cut_one_way(other, &[own])?;
                }
            }
            another_leads(trial, &member).await?;
            trial.writers.go_on(&trial.network.regions(), 3).await?;
            trial.firewall.heal()?;
            trial.writers.go_on(&trial.network.regions(), 2).await?;
        }
        Ok(())
    })
}

async fn another_leads(trial: &Trial, than: &str) -> Result<()> {
    let begun = Instant::now();
    while trial.network.leading_control().await? == than {
        ensure!(begun.elapsed() < Duration::from_secs(20), "{than} leads although nobody confirms it");
    }
    Ok(())
}

/// All members but one are killed: what is there can be read, nothing is written once the lease is over, and all goes on
/// by itself when a majority is back.
#[test]
fn a_majority_of_members_dies_and_comes_back() -> Result<()> {
    Trial::run("quorum::a_majority_of_members_dies_and_comes_back", async |trial| {
        let regions = trial.network.regions();
        let (primary, followers) = trial.places().await?;
        let (stays, die) = (trial.network.control_in(&regions[2]), &regions[..2]);
        for region in die {
            trial.network.kill(&trial.network.control_in(region))?;
        }
        let begun = Instant::now();
        let person = Browser::at(&trial.network, &primary)?;
        let slot = person.slots_within(300..301).await?.pop().context("no slot")?;
        loop {
            let held = person.post("/scheduling/holds", &slot).await?;
            if held.status == 503 {
                let problem = held.body.to_string();
                // One that was on its way when the lease ended may last or not.
                let honest = ["no-primary", "outcome-unknown", "not-durable-yet"];
                ensure!(honest.iter().any(|kind| problem.contains(kind)), "{problem}");
                if problem.contains("no-primary") {
                    println!("writes stop after {} ms: {problem}", begun.elapsed().as_millis());
                    break;
                }
            }
            ensure!(begun.elapsed() < Duration::from_secs(20), "writes go on: {held:?}");
        }
        // The primary itself cannot know whether it still is one.
        for region in &followers {
            let shown = Browser::at(&trial.network, region)?.look(300..301).await?;
            ensure!(shown.is_ok(), "{region} shows nothing: {shown:?}");
        }
        let leads = trial.network.figure(&stays, "locum_quorum_leads").await?;
        ensure!(leads != Some(1.0), "one of three leads");
        let back = trial.network.control_in(&die[0]);
        trial.network.revive(&back)?;
        trial.writers.go_on(&regions, 3).await?;
        let back = trial.network.control_in(&die[1]);
        trial.network.revive(&back)
    })
}

/// A member that cannot write its log ends and says why, does not start while there is no room, and comes back.
#[test]
fn a_members_disk_is_full() -> Result<()> {
    Trial::run("quorum::a_members_disk_is_full", async |trial| {
        let leading = trial.network.leading_control().await?;
        let member = trial.network.controls().into_iter().find(|name| *name != leading).context("alone")?;
        let state = trial.network.data().join(&member);
        if !state.join("small").exists() {
            move_to_small_disk(trial, &member)?;
        }
        fill(&state.join("filler")).context("fill the disk")?;
        let log = trial.network.data().join(format!("log/{member}.log"));
        let begun = Instant::now();
        while !std::fs::read_to_string(&log)?.contains("could not write the quorum's log: this member ends") {
            ensure!(begun.elapsed() < Duration::from_secs(120), "{member} goes on although its disk is full");
            // A new epoch is something to write down; the last page of the file may take a few.
            trial.network.kill_engine(&trial.network.leader().await?)?;
            trial.writers.go_on(&trial.network.regions(), 2).await?;
        }
        trial.network.kill(&member)?;
        let refused = std::process::Command::new(binaries()?.join("locum-control"))
            .arg("--config")
            .arg(trial.network.data().join(format!("{member}.toml")))
            .output()?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success() && said.contains("is full"), "{said}");
        std::fs::remove_file(state.join("filler"))?;
        std::fs::write(&log, "")?;
        trial.network.revive(&member)
    })
}

fn move_to_small_disk(trial: &mut Trial, member: &str) -> Result<()> {
    let state = trial.network.data().join(member);
    let aside = state.with_extension("aside");
    trial.network.kill(member)?;
    std::fs::rename(&state, &aside)?;
    std::fs::create_dir(&state)?;
    run("mount", &["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", &state.to_string_lossy()])?;
    run("cp", &["-a", &format!("{}/.", aside.to_string_lossy()), &state.to_string_lossy()])?;
    std::fs::remove_dir_all(aside)?;
    std::fs::File::create(state.join("small"))?;
    trial.network.revive(member)
}
