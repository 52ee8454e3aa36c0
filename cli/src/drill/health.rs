//! Whether a network is as it should be: nobody exercises one that is not, and a fault is over when it is again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use locum_cluster::NodeState;
use reqwest::Client;

use super::person::Door;
use super::stage::Stage;
use crate::look;
use crate::site::Site;

const LOOK_EVERY: Duration = Duration::from_millis(100);
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// What is not as it should be; nothing, if all is.
pub(super) async fn complaints(stage: &Stage) -> Vec<String> {
    let site = stage.site();
    let missing = stage.expected.iter().filter(|name| !site.nodes.contains_key(*name));
    let mut complaints: Vec<String> = missing.map(|name| format!("{name} does not run")).collect();
    for node in site.nodes.values() {
        if !node.is_alive() {
            complaints.push(format!("{} does not run", node.name));
        } else if !look::is_ready(&stage.client, node).await {
            complaints.push(format!("{} is not ready", node.name));
        }
    }
    if !complaints.is_empty() {
        return complaints;
    }
    for host in stage.hosts().keys() {
        complaints.extend(by_list(stage, &site, host).await);
    }
    complaints.extend(by_groups(stage, &site).await);
    complaints
}

/// Waits until nothing is to be complained of; what is, if that takes longer than `within`.
pub(super) async fn wait(stage: &Stage, within: Duration) -> Result<(), Vec<String>> {
    let begun = Instant::now();
    loop {
        let found = match stage.look_again() {
            Ok(()) => complaints(stage).await,
            Err(error) => vec![format!("{error:#}")],
        };
        if found.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > within {
            return Err(found);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Fails unless the network can be exercised.
pub(super) async fn check(client: &Client, site: &Site) -> Result<()> {
    if site.regions().len() < 2 {
        bail!("this network has one region: nothing could stand in for it");
    }
    // One that has just started may be about to be.
    if let Err(complaints) = wait(&Stage::new(client, site.clone()), SETTLES_WITHIN).await {
        bail!("the network is not healthy, and a drill would make it worse: {}", complaints.join("; "));
    }
    let group = site.drilled()?;
    site.primary(group).map(drop).with_context(|| format!("nobody leads the record group {group}"))
}

/// What an edge host's node list says of nodes that should be up.
async fn by_list(stage: &Stage, site: &Site, host: &str) -> Option<String> {
    let door = Door::of(site, site.nodes.get(host)?).ok()?;
    let Some(list) = look::node_list(&stage.client, &door.api, 0).await else {
        return Some(format!("{host} shows no node list"));
    };
    let not_up = list
        .nodes
        .iter()
        .find(|node| node.state != NodeState::Up && site.nodes.contains_key(node.id.as_str()));
    not_up.map(|node| format!("{} is {} by the node list of {host}", node.id, node.state))
}

/// What the member that leads says of record groups: it must find every group whole.
async fn by_groups(stage: &Stage, site: &Site) -> Option<String> {
    let mut complaint = Some("no member of the control plane says how the record groups are".to_owned());
    for member in site.with_role(locum_identity::Role::Control) {
        let Some(metrics) = look::metrics(&stage.client, member).await else { continue };
        let groups = look::groups(&member.name, &metrics);
        if groups.is_empty() || !look::leads(&metrics) {
            continue;
        }
        let bad = groups.iter().find(|group| !group.served || group.complete < group.voters);
        match bad {
            None => return None,
            Some(bad) if !bad.served => complaint = Some(format!("group {} has no primary", bad.group)),
            Some(bad) => {
                complaint = Some(format!(
                    "group {} has {} complete copies of {}",
                    bad.group, bad.complete, bad.voters
                ));
            }
        }
    }
    complaint
}
