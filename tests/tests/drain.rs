//! A person takes a region out of service and back: with real processes and a writer.

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Network, Writers, alone, until};

/// What a node obeys, by the control plane's word.
fn told(network: &Network, node: &str) -> Result<(bool, bool)> {
    let operations = network.operations()?;
    let nodes = operations["nodes"].as_array().context("no nodes")?;
    let found = nodes.iter().find(|one| one["node"] == node).context("no such node")?;
    let generation = found["told"]["generation"].as_u64().context("no generation")?;
    Ok((found["told"]["drain"] == true, found["obeyed"].as_u64() >= Some(generation)))
}

#[test]
fn a_drained_region_leads_nothing_takes_nobody_and_stays_so() -> Result<()> {
    alone("a_drained_region_leads_nothing_takes_nobody_and_stays_so", async || {
        let mut network = Network::start_regions(3)?;
        let mut writers = Writers::start(&network, 0).await?;
        let region = network.leader().await?;
        let others: Vec<String> = network.regions().into_iter().filter(|other| *other != region).collect();
        let (edge, media) = (network.edge(&region), network.media(&region));

        let (shown, plan) = network.locum(&["drain", &region])?;
        ensure!(shown && plan.contains("nothing was done") && plan.contains("leads next"), "{plan}");
        ensure!(network.leader().await? == region, "a plan moves nothing");

        let (drained, said) = network.locum(&["drain", &region, "--yes"])?;
        ensure!(drained && said.contains("done"), "{said}");
        for node in [&edge, &media] {
            ensure!(network.state_of_node(node)? == "draining", "{node}");
            ensure!(told(&network, node)? == (true, true), "{node} obeys");
        }
        let next = network.leader().await?;
        ensure!(others.contains(&next), "the primary is in {next}");
        // All can still write, also through the drained region: it carries requests to the primary.
        writers.go_on(&network.regions(), 2).await?;

        // The wish outlives the member, and the order the node.
        network.kill_control()?;
        network.revive_control()?;
        network.kill(&media)?;
        network.revive(&media)?;
        until("the drain is known", || Ok(network.operations()?["drains"][0] == format!("region/{region}")))?;
        network.until_node_is(&media, "draining")?;
        let told = network.log(&media)?.matches("told whether to take people").count();
        ensure!(told >= 2, "it was told once and remembers after a restart: {told}");

        let (back, said) = network.locum(&["undrain", &region, "--yes"])?;
        ensure!(back && said.contains("done"), "{said}");
        network.until_node_is(&edge, "up")?;
        network.until_node_is(&media, "up")?;
        ensure!(network.leader().await? == next, "nothing moves back by itself");
        let (pinned, said) = network.locum(&["pin", &region, "--yes"])?;
        ensure!(pinned && said.contains("done"), "{said}");
        ensure!(network.leader().await? == region, "it belongs there");
        writers.go_on(&network.regions(), 2).await?;
        writers.check(&network).await?;
        network.stop_and_verify()
    })
}
