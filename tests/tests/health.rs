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

/// Everybody has been probed and nothing was missed.
async fn all_is_well(network: &Network) -> Result<()> {
    for region in network.regions() {
        network.until_node_is(&network.edge(&region), "up")?;
        network.until_node_is(&network.media(&region), "up")?;
    }
    let probed = async |kind: &str| {
        let label = format!("kind=\"{kind}\",outcome=\"good\"");
        Ok::<_, anyhow::Error>(network.sum("control-1", "locum_probes_total", &label).await? >= 3.0)
    };
    let begun = Instant::now();
    for kind in ["https", "signalling", "ice", "records"] {
        while !probed(kind).await? {
            ensure!(begun.elapsed() < Duration::from_secs(30), "no good probe of {kind}");
            pause();
        }
    }
    Ok(())
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
        ensure!(why.contains("control-1: ") && why.contains("refused"), "{why}");
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
fn what_is_only_cut_off_in_one_way_is_not_given_up() -> Result<()> {
    alone("what_is_only_cut_off_in_one_way_is_not_given_up", async || {
        let firewall = Firewall::open()?;
        let network = Network::start_regions(3)?;
        all_is_well(&network).await?;
        let control = network.mesh_of_control()?;
        let public = [port(&network, EDGE, "http")?];
        // The only vantage point does not reach it, and it speaks.
        firewall.shut(control, &public)?;
        stays(&network, EDGE, "up", WHILE)?;
        firewall.heal()?;
        // It is reached, and does not speak.
        firewall.cut(network.mesh_of("us-east")?, &[control])?;
        stays(&network, EDGE, "up", WHILE)?;
        // Neither.
        firewall.shut(control, &public)?;
        network.until_node_is(EDGE, "down")?;
        let why = network.happened(&format!("{EDGE} is taken out"))?.remove(0).1;
        ensure!(why.contains("https") && why.contains("silent"), "{why}");
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
        firewall.shut(network.mesh_of_control()?, &[port(&network, MEDIA, "media")?])?;
        let count = async |labels: &str| network.sum("control-1", "locum_probes_total", labels).await;
        let (begun, signalling) = (Instant::now(), count("kind=\"signalling\",outcome=\"good\"").await?);
        while count("kind=\"ice\",outcome=\"silent\"").await? < 3.0 {
            ensure!(begun.elapsed() < Duration::from_secs(30), "nobody notices");
            pause();
        }
        ensure!(count("kind=\"signalling\",outcome=\"good\"").await? > signalling, "signalling goes on");
        ensure!(network.state_of_node(MEDIA)? == "up", "one vantage point, and the node speaks");
        Ok(())
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
async fn quiet(network: &Network, time: Duration, how: &str) -> Result<()> {
    let probes = async |outcome| {
        network.sum("control-1", "locum_probes_total", &format!("outcome=\"{outcome}\"")).await
    };
    let (begun, before) = (Instant::now(), probes("good").await?);
    let generation = network.operations()?["generation"].clone();
    while begun.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let good = probes("good").await? - before;
    let missed = probes("silent").await?;
    println!("{how}, {time:?}: {good} probes good, {missed} missed so far");
    let after = network.operations()?;
    ensure!(after["generation"] == generation, "something happened: {}", after["timeline"]);
    ensure!(good > 0.0, "nobody was probed");
    Ok(())
}
