//! Connections that break between regions, all of them or one, both ways or one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use locum_network_tests::Browser;
use reqwest::Method;

use super::{Trial, for_as_long_as};

#[test]
fn the_primary_is_cut_off() -> Result<()> {
    Trial::run("connections::the_primary_is_cut_off", async |trial| {
        let (leader, others) = trial.places().await?;
        trial.isolate(&leader)?;
        trial.writers.go_on(&others, 5).await?;
        let next = trial.network.leader_among(&others).await?;
        shows_nothing(trial, &leader).await?;
        trial.firewall.heal()?;
        trial.writers.go_on(&[leader], 3).await?;
        ensure!(trial.network.leader().await? == next, "the primary moved again");
        Ok(())
    })
}

/// What it committed and nobody acknowledged it tells nobody.
async fn shows_nothing(trial: &Trial, region: &str) -> Result<()> {
    let shown = Browser::at(&trial.network, region)?.look(1..2).await?;
    ensure!(shown.is_err(), "{region} is cut off and shows records");
    Ok(())
}

/// It hears everybody and nobody hears it.
#[test]
fn nobody_hears_the_primary() -> Result<()> {
    Trial::run("connections::nobody_hears_the_primary", async |trial| {
        let (leader, others) = trial.places().await?;
        for own in trial.all_in(&leader)? {
            trial.firewall.cut_one_way(own, &trial.all_but(&leader)?)?;
        }
        trial.writers.go_on(&others, 5).await?;
        shows_nothing(trial, &leader).await?;
        trial.firewall.heal()
    })
}

/// Everybody hears it and it hears nobody.
#[test]
fn the_primary_hears_nobody() -> Result<()> {
    Trial::run("connections::the_primary_hears_nobody", async |trial| {
        let (leader, others) = trial.places().await?;
        let own = trial.all_in(&leader)?;
        for other in trial.all_but(&leader)? {
            trial.firewall.cut_one_way(other, &own)?;
        }
        trial.writers.go_on(&others, 5).await?;
        shows_nothing(trial, &leader).await?;
        trial.firewall.heal()
    })
}

/// Each follower in turn loses the primary, and only it: the other one acknowledges. The control plane sees no
/// fault, and the primary stays.
#[test]
fn the_acknowledging_follower_is_cut_off() -> Result<()> {
    Trial::run("connections::the_acknowledging_follower_is_cut_off", async |trial| {
        let (leader, followers) = trial.places().await?;
        for (cut, linked) in [(0, 1), (1, 0)] {
            let (cut, linked) = (&followers[cut], &followers[linked]);
            trial.firewall.cut(trial.network.mesh_of(&leader)?, &[trial.network.mesh_of(cut)?])?;
            let writing = [leader.clone(), linked.clone()];
            for_as_long_as(Duration::from_secs(3), &mut trial.writers, &writing).await?;
            trial.firewall.heal()?;
            trial.writers.go_on(std::slice::from_ref(cut), 2).await?;
        }
        ensure!(trial.network.leader().await? == leader, "the primary moved");
        Ok(())
    })
}

/// The voter that alone holds the newest writes cannot be asked; the other one answers, and must not lead.
#[test]
fn a_voter_that_is_behind_does_not_lead_in_place_of_one_that_cannot_be_asked() -> Result<()> {
    let name = "connections::a_voter_that_is_behind_does_not_lead_in_place_of_one_that_cannot_be_asked";
    Trial::run(name, async |trial| {
        let (leader, [holds, behind]) = trial.places().await?;
        let of = |region: &str| trial.network.mesh_of(region);
        trial.firewall.cut(of(&behind)?, &[of(&leader)?, of(&holds)?])?;
        trial.writers.go_on(&[leader.clone(), holds.clone()], 5).await?;
        trial.firewall.cut(of(&holds)?, &trial.all_controls()?)?;
        trial.network.kill_region(&leader)?;
        nobody_leads(trial, Duration::from_secs(12)).await?;
        trial.firewall.heal()?;
        trial.writers.go_on(&[holds.clone(), behind], 3).await?;
        trial.network.revive_region(&leader)?;
        trial.writers.host_is_back(&trial.network, &leader)
    })
}

/// No epoch begins for `time` beyond the old lease, and at its end nobody leads: one promise is missing.
pub(super) async fn nobody_leads(trial: &Trial, time: Duration) -> Result<()> {
    let epoch = trial.network.control("locum_group_epoch").await?;
    let (begun, lease) = (std::time::Instant::now(), Duration::from_secs(6));
    while begun.elapsed() < lease + time {
        let now = trial.network.control("locum_group_epoch").await?;
        ensure!(now == epoch, "epoch {now} began after {epoch}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let served = trial.network.control("locum_group_has_primary").await?;
    ensure!(served == 0.0, "somebody leads");
    let missing = trial.network.control("locum_group_promises_missing").await?;
    ensure!(missing == 1.0, "{missing} promises are missing");
    Ok(())
}

/// The primary commits and answers, and its answer never arrives; then it dies.
#[test]
fn a_write_whose_answer_is_lost_has_its_effect_once() -> Result<()> {
    Trial::run("connections::a_write_whose_answer_is_lost_has_its_effect_once", async |trial| {
        let (leader, [arrival, witness]) = trial.places().await?;
        let of = |region: &str| trial.network.mesh_of(region);
        let (here, there) = (Browser::at(&trial.network, &arrival)?, Browser::at(&trial.network, &witness)?);
        let days = 300..301;
        let mut slots = here.slots_within(days.clone()).await?;
        let (key, slot) = (format!("lost-{}", slots.len()), slots.pop().context("no slot")?);
        // The question passes on a connection that is there; nothing comes back.
        trial.firewall.cut_one_way(of(&leader)?, &[of(&arrival)?])?;
        let (asking, body, name) = (here.clone(), slot.clone(), key.clone());
        let asked = tokio::spawn(async move {
            asking
                .send_with(
                    Method::POST,
                    "/scheduling/holds",
                    Some(&body),
                    &[("idempotency-key", name.as_str())],
                )
                .await
        });
        let begun = std::time::Instant::now();
        while there.slots_within(days.clone()).await.is_ok_and(|free| free.contains(&slot)) {
            ensure!(begun.elapsed() < Duration::from_secs(5), "the question does not arrive");
        }
        trial.network.kill_region(&leader)?;
        trial.firewall.heal()?;
        let first = asked.await?;
        trial.network.revive_region(&leader)?;
        trial.writers.host_is_back(&trial.network, &leader)?;
        trial.writers.go_on(&[arrival], 1).await?;
        let mut ids =
            first.into_iter().filter(|answer| answer.status == 201).map(|answer| answer.body["id"].clone());
        let (before, headers) = (ids.next(), [("idempotency-key", key.as_str())]);
        let again = there.send_with(Method::POST, "/scheduling/holds", Some(&slot), &headers).await?;
        ensure!(again.status == 201, "{again:?}");
        ensure!(before.is_none_or(|before| before == again.body["id"]), "it was carried out twice");
        Ok(())
    })
}
