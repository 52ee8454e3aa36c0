//! A loss that a person accepts, because nobody is left who holds what was acknowledged.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Firewall, Network, alone, binaries};
use serde_json::Value;

/// Longest wait for a promotion, or for a host to follow.
const PATIENCE: Duration = Duration::from_secs(60);

/// The hosts of two of three regions are lost with a change that only they held; the control plane's members live, as two of
/// them must for anything to be decided. Whoever has seen it is told so once. When the
/// hosts come back, they keep it for people, and nobody else sees it.
#[test]
fn who_has_seen_what_is_lost_is_told_so_once() -> Result<()> {
    alone("loss::who_has_seen_what_is_lost_is_told_so_once", async || {
        let (firewall, mut network) = (Firewall::open()?, Network::start_regions(3)?);
        let anybody = Browser::new(&network)?;
        let leader = network.leader().await?;
        let others: Vec<String> = network.regions().into_iter().filter(|region| *region != leader).collect();
        let [holds, left] = others.as_slice() else { anyhow::bail!("not three regions") };
        let person = anybody.moved_to(&network, &leader)?;
        let slot = person.slots_within(1..2).await?.pop().context("no slot")?;
        until_shown(&person.moved_to(&network, left)?, &slot).await?;
        let of = |region: &str| network.mesh_of(region);
        firewall.cut(of(left)?, &[of(&leader)?, of(holds)?])?;
        let held = person.post("/scheduling/holds", &slot).await?;
        ensure!(held.status == 201, "{held:?}");
        let id = held.body["id"].as_str().context("no id")?;

        network.kill(&network.edge(&leader))?;
        network.kill(&network.edge(holds))?;
        promote_with_loss(&network, left).await?;
        let there = person.moved_to(&network, left)?;
        let begun = Instant::now();
        let told = loop {
            match there.look(1..2).await? {
                Err(answer) if answer.status == 503 && begun.elapsed() < PATIENCE => {}
                looked => break looked,
            }
        };
        ensure!(
            told.as_ref().is_err_and(|told| (told.status, told.problem()) == (409, "history-lost")),
            "{told:?}"
        );
        // Once: now it is as it is.
        until_shown(&there, &slot).await?;

        firewall.heal()?;
        network.revive(&network.edge(&leader))?;
        network.revive(&network.edge(holds))?;
        let mut kept = BTreeSet::new();
        for region in [&leader, holds] {
            kept.extend(rows_of_tails(&network, region, id).await?);
        }
        ensure!(kept.len() == 2, "the lost change is kept by {kept:?}");
        for region in network.regions() {
            until_shown(&Browser::at(&network, &region)?, &slot).await?;
        }
        network.stop_and_verify()
    })
}

/// Refused as long as nobody says that loss is accepted.
async fn promote_with_loss(network: &Network, region: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let (moved, said) = network.promote(region, &["--yes"])?;
        ensure!(!moved, "{region} was promoted without a word about loss: {said}");
        let (moved, said) = network.promote(region, &["--accept-loss", "--yes"])?;
        if moved {
            ensure!(said.contains("ACKNOWLEDGED WRITES MAY BE LOST"), "{said}");
            return Ok(());
        }
        // Until the lease is over the primary may be there.
        ensure!(begun.elapsed() < PATIENCE, "{said}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn until_shown(person: &Browser, slot: &Value) -> Result<()> {
    let begun = Instant::now();
    loop {
        match person.look(1..2).await? {
            Ok(free) if free.contains(slot) => return Ok(()),
            looked => ensure!(begun.elapsed() < PATIENCE, "the slot is not free: {looked:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The region, once its host has kept a tail with the row `id`, as a person reads it there.
async fn rows_of_tails(network: &Network, region: &str, id: &str) -> Result<Option<String>> {
    let begun = Instant::now();
    let edge = network.edge(region);
    while network.metric(&edge, "locum_edge_tails_kept", "main").await?.unwrap_or_default() < 1.0 {
        ensure!(begun.elapsed() < PATIENCE, "{region} keeps no tail");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let tail = |more: &[&str]| -> Result<String> {
        let config = network.data().join(format!("{edge}.toml"));
        let mut command = Command::new(binaries()?.join("locum-edge"));
        let output = command.arg("tail").arg("--config").arg(config).args(more).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for kept in tail(&[])?.lines() {
        if tail(&[kept.trim()])?.lines().any(|row| row.contains("\"lost\"") && row.contains(id)) {
            return Ok(Some(region.to_owned()));
        }
    }
    Ok(None)
}
