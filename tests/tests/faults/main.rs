//! What goes wrong with hosts and between them, with real processes and a writer in each of three regions. After
//! each fault: whatever was acknowledged is there, once; nobody saw less than before; no epoch had two primaries;
//! every copy is whole. Each test has a network of its own, in namespaces of its own.
//!
//! `LOCUM_ROUNDS` says how often each fault comes, twice if it does not. `make soak` has many.

mod clocks;
mod connections;
mod loss;
mod processes;
mod promotion;
mod quorum;
mod siblings;

use std::net::IpAddr;
use std::ops::AsyncFnMut;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use locum_network_tests::{Firewall, Network, Writers, alone};

/// A network of three regions under fault.
struct Trial {
    network: Network,
    firewall: Firewall,
    writers: Writers,
}

impl Trial {
    /// Runs `fault` as often as is asked for, with fresh journals, and checks them. `fault` leaves all well behind.
    fn run(name: &str, fault: impl AsyncFnMut(&mut Self) -> Result<()>) -> Result<()> {
        Self::run_with(name, &[], fault)
    }

    /// The same, with further options of `locum up`.
    fn run_with(
        name: &str,
        options: &[&str],
        mut fault: impl AsyncFnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        alone(name, async || {
            let firewall = Firewall::open()?;
            let network = Network::start_with(3, options)?;
            let writers = Writers::start(&network, 0).await?;
            let mut trial = Self { network, firewall, writers };
            for round in 1..=rounds()? {
                fault(&mut trial).await.with_context(|| format!("round {round}"))?;
                // Everybody writes again, through the region that failed as well.
                trial.writers.go_on(&trial.network.places(), 2).await?;
                let fresh = Writers::start(&trial.network, round).await?;
                std::mem::replace(&mut trial.writers, fresh).check(&trial.network).await?;
                trial.network.note_leaders()?;
            }
            trial.writers.check(&trial.network).await?;
            trial.network.stop_and_verify()
        })
    }

    /// The regions but one.
    fn others(&self, region: &str) -> Vec<String> {
        self.network.regions().into_iter().filter(|other| other != region).collect()
    }

    /// Who leads, and the two others.
    async fn places(&self) -> Result<(String, [String; 2])> {
        let leader = self.network.leader().await?;
        let others = self.others(&leader).try_into();
        Ok((leader, others.ok().context("not three regions")?))
    }

    /// Nothing passes between a region and all else.
    fn isolate(&self, region: &str) -> Result<()> {
        let all = self.all_but(region)?;
        self.all_in(region)?.into_iter().try_for_each(|own| self.firewall.cut(own, &all))
    }

    /// Where everybody else is, the control plane's members too.
    fn all_but(&self, region: &str) -> Result<Vec<IpAddr>> {
        let others = self.others(region);
        others.iter().map(|other| self.all_in(other)).collect::<Result<Vec<_>>>().map(|all| all.concat())
    }

    /// Where everybody in a region is.
    fn all_in(&self, region: &str) -> Result<Vec<IpAddr>> {
        Ok(vec![self.network.mesh_of(region)?, self.network.mesh_of_control(region)?])
    }

    /// Where the members of the control plane are.
    fn all_controls(&self) -> Result<Vec<IpAddr>> {
        self.network.regions().iter().map(|region| self.network.mesh_of_control(region)).collect()
    }
}

fn rounds() -> Result<i32> {
    std::env::var("LOCUM_ROUNDS").map_or(Ok(2), |rounds| rounds.parse().context("LOCUM_ROUNDS is a number"))
}

/// For as long as a fault lasts by its own definition; waits for nothing.
async fn for_as_long_as(time: Duration, writers: &mut Writers, regions: &[String]) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        writers.go_on(regions, 1).await?;
    }
    Ok(())
}
