//! Nodes that die, stand still, cannot be reached, come and go: what the control plane says of them, and what it
//! says when nothing is wrong. With real processes, in namespaces of their own.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Firewall, Network, alone, pause, until};

const MEDIA: &str = "media-us-east";
const EDGE: &str = "edge-us-east";

/// Longer than three misses take.
const WHILE: Duration = Duration::from_secs(8);

fn port(network: &Network, process: &str, name: &str) -> Result<u16> {
    let address = network.address(process, name)?;
    Ok(address.rsplit(':').next().context("no port")?.parse()?)
}

/// The node list says nothing else of a node for a while.
fn stays(network: &Network, node: &str, state: &str, time: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        let now = network.state_of_node(node)?;
        ensure!(now == state, "{node} is {now} after {:?}", begun.elapsed());
        pause();
    }
    Ok(())
}

/// Every member has probed everybody, and nobody is missed.
async fn all_is_well(network: &Network) -> Result<()> {
    for region in network.regions() {
        network.until_node_is(&network.edge(&region), "up")?;
        network.until_node_is(&network.media(&region), "up")?;
    }
    let begun = Instant::now();
    for member in network.controls() {
        for kind in ["https", "signalling", "ice", "records"] {
            while probes(network, &member, &format!("kind=\"{kind}\",outcome=\"good\"")).await? < 3.0 {
                ensure!(begun.elapsed() < Duration::from_secs(30), "no good probe of {kind} by {member}");
                pause();
            }
        }
    }
    Ok(())
}

/// How many probes of a member have these labels.
async fn probes(network: &Network, member: &str, labels: &str) -> Result<f64> {
    network.sum(member, "locum_probes_total", labels).await
}

#[test]
fn a_killed_media_node_is_out_of_the_list_and_comes_back_after_five_good_probes() -> Result<()> {
    alone("a_killed_media_node_is_out_of_the_list_and_comes_back_after_five_good_probes", async || {
        let mut network = Network::start_regions(3)?;
        all_is_well(&network).await?;
        let begun = Instant::now();
        network.kill(MEDIA)?;
        network.until_node_is(MEDIA, "down")?;
        println!("killed to down: {:?}", begun.elapsed());
        let (what, why, after_ms) = network.happened(&format!("{MEDIA} is taken out"))?.remove(0);
        println!("{what}: {why}; after {after_ms} ms");
        ensure!(why.matches("refused").count() >= 2, "a majority missed it: {why}");
        // The processes of a region fail apart: its edge host stays.
        ensure!(network.state_of_node(EDGE)? == "up");
        let begun = Instant::now();
        network.revive(MEDIA)?;
        network.until_node_is(MEDIA, "up")?;
        ensure!(
            begun.elapsed() > Duration::from_secs(2),
            "one good probe is not five: {:?}",
            begun.elapsed()
        );
        Ok(())
    })
}

#[test]
fn an_edge_host_that_stands_still_is_down_until_it_goes_on() -> Result<()> {
    alone("an_edge_host_that_stands_still_is_down_until_it_goes_on", async || {
        let network = Network::start_regions(3)?;
        all_is_well(&network).await?;
        let begun = Instant::now();
        network.pause(EDGE)?;
        network.until_node_is(EDGE, "down")?;
        println!("stopped to down: {:?}", begun.elapsed());
        network.resume(EDGE)?;
        network.until_node_is(EDGE, "up")
    })
}

#[test]
fn a_dead_region_is_said_to_be_down() -> Result<()> {
    alone("a_dead_region_is_said_to_be_down", async || {
        let mut network = Network::start_regions(3)?;
        all_is_well(&network).await?;
        network.kill_region("us-east")?;
        until("the region is down", || {
            Ok(network.operations()?["down"]
                .as_array()
                .is_some_and(|down| down.iter().any(|r| r == "us-east")))
        })?;
        network.revive_region("us-east")?;
        until("it is there again", || Ok(network.operations()?["down"].as_array().is_some_and(Vec::is_empty)))
    })
}

#[test]
fn what_one_member_does_not_reach_is_not_given_up_and_what_two_do_not_reach_is() -> Result<()> {
    alone("what_one_member_does_not_reach_is_not_given_up_and_what_two_do_not_reach_is", async || {
        let firewall = Firewall::open()?;
        let network = Network::start_regions(3)?;
        all_is_well(&network).await?;
        let member = |region: &str| network.mesh_of_control(region);
        let public = [port(&network, EDGE, "http")?];
        // Heartbeats do not arrive, and everybody reaches it all the same.
        let heartbeats = network.controls().into_iter().map(|member| port(&network, &member, "mesh"));
        firewall.shut(network.mesh_of("us-east")?, &heartbeats.collect::<Result<Vec<u16>>>()?)?;
        stays(&network, EDGE, "up", WHILE)?;
        firewall.heal()?;
        // One vantage point of three, were it the leader's own, ...
        let leads = network.leading_control().await?;
        let mut regions = network.regions();
        regions.sort_by_key(|region| network.control_in(region) != leads);
        firewall.shut(member(&regions[0])?, &public)?;
        stays(&network, EDGE, "up", WHILE)?;
        // ... and two, although it says itself that it is there.
        firewall.shut(member(&regions[1])?, &public)?;
        network.until_node_is(EDGE, "down")?;
        let why = network.happened(&format!("{EDGE} is taken out"))?.remove(0).1;
        ensure!(why.matches("misses of https").count() == 2 && why.contains("reaches it"), "{why}");
        firewall.heal()?;
        network.until_node_is(EDGE, "up")
    })
}

#[test]
fn media_that_does_not_get_through_is_noticed_although_everything_else_works() -> Result<()> {
    alone("media_that_does_not_get_through_is_noticed_although_everything_else_works", async || {
        let firewall = Firewall::open()?;
        let network = Network::start_regions(3)?;
        all_is_well(&network).await?;
        let media = [port(&network, MEDIA, "media")?];
        let members = network.controls();
        let mut signalled = Vec::new();
        for region in network.regions() {
            firewall.shut(network.mesh_of_control(&region)?, &media)?;
        }
        for member in &members {
            signalled.push(probes(&network, member, "kind=\"signalling\",outcome=\"good\"").await?);
        }
        network.until_node_is(MEDIA, "down")?;
        let why = network.happened(&format!("{MEDIA} is taken out"))?.remove(0).1;
        ensure!(why.contains("misses of ice") && why.contains("silent"), "{why}");
        for (member, before) in members.iter().zip(signalled) {
            let now = probes(&network, member, "kind=\"signalling\",outcome=\"good\"").await?;
            ensure!(now > before, "signalling goes on");
        }
        firewall.heal()?;
        network.until_node_is(MEDIA, "up")
    })
}

#[test]
fn a_node_that_comes_and_goes_moves_people_ever_more_rarely() -> Result<()> {
    alone("a_node_that_comes_and_goes_moves_people_ever_more_rarely", async || {
        let mut network = Network::start_regions(3)?;
        all_is_well(&network).await?;
        let mut waits = Vec::new();
        for _ in 0..2 {
            network.kill(MEDIA)?;
            network.until_node_is(MEDIA, "down")?;
            let begun = Instant::now();
            network.revive(MEDIA)?;
            network.until_node_is(MEDIA, "up")?;
            waits.push(begun.elapsed());
        }
        println!("back after {waits:?}");
        ensure!(waits[1] > waits[0] + Duration::from_secs(3), "{waits:?}");
        ensure!(network.happened(&format!("{MEDIA} is back"))?.len() == 2);
        Ok(())
    })
}

#[test]
fn nobody_is_given_up_while_everything_is_well() -> Result<()> {
    alone("nobody_is_given_up_while_everything_is_well", async || {
        let network = Network::start_regions(3)?;
        all_is_well(&network).await?;
        let time = std::env::var("LOCUM_IDLE_S").map_or(Ok(20), |text| text.parse())?;
        quiet(&network, Duration::from_secs(time), "idle").await?;
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let busy: Vec<_> = (0..2 * std::thread::available_parallelism()?.get())
            .map(|_| {
                let stop = stop.clone();
                std::thread::spawn(move || while !stop.load(std::sync::atomic::Ordering::Relaxed) {})
            })
            .collect();
        let time = std::env::var("LOCUM_LOADED_S").map_or(Ok(20), |text| text.parse())?;
        let quiet = quiet(&network, Duration::from_secs(time), "under load").await;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        busy.into_iter().for_each(|thread| drop(thread.join()));
        quiet
    })
}

/// For a while nothing happens, but that everybody is probed.
#[allow(clippy::print_stdout, reason = "what a test measured")]
async fn quiet(network: &Network, time: Duration, how: &str) -> Result<()> {
    let all = async |outcome: &str| {
        let mut count = 0.0;
        for member in network.controls() {
            count += probes(network, &member, &format!("outcome=\"{outcome}\"")).await?;
        }
        Ok::<_, anyhow::Error>(count)
    };
    let (begun, before) = (Instant::now(), all("good").await?);
    let generation = network.operations()?["generation"].clone();
    while begun.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let good = all("good").await? - before;
    let missed = all("silent").await?;
    println!("{how}, {time:?}: {good} probes good, {missed} missed so far");
    let after = network.operations()?;
    ensure!(after["generation"] == generation, "something happened: {}", after["timeline"]);
    ensure!(good > 0.0, "nobody was probed");
    Ok(())
}
