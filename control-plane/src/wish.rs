//! A person drains, takes back or pins: `locum-control drain` and its like. Shows what would follow; keeps the wish
//! only with `--yes`, and then waits until it is fulfilled or says what is missing.

use std::time::Duration;

use anyhow::{Context as _, bail};
use locum_cluster::operate::OperationsView;
use locum_cluster::protocol::{NodeAnswer, OperatorRequest};
use locum_cluster::{Subject, Wish};
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::operator::{self, Operated, say};

/// A wish is kept whether or not it is fulfilled by then.
const FULFILLED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Which of both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Drain {
    /// Nobody new.
    Out,
    /// As before.
    Back,
}

/// Finds out whether `name` is a region or a node, and drains it or takes it back.
pub(crate) async fn drain(config: &Config, name: &str, drain: Drain, yes: bool) -> anyhow::Result<()> {
    let member = Operated::find(config)?;
    let subject = subject(&member.operations().await?, name)?;
    let wish = match drain {
        Drain::Out => Wish::Drain(subject),
        Drain::Back => Wish::Undrain(subject),
    };
    keep(&member, wish, yes).await
}

/// Shows a wish, and keeps it with `yes`.
pub(crate) async fn run(config: &Config, wish: Wish, yes: bool) -> anyhow::Result<()> {
    keep(&Operated::find(config)?, wish, yes).await
}

async fn keep(member: &Operated, wish: Wish, yes: bool) -> anyhow::Result<()> {
    let NodeAnswer::Preview(lines) = member.ask(OperatorRequest::Preview(wish.clone())).await? else {
        bail!("the member answers another question");
    };
    if lines.is_empty() {
        say("this is so already");
    }
    lines.iter().for_each(|line| say(line));
    let view = member.operations().await?;
    warnings(&view, &wish).iter().for_each(|warning| say(warning));
    if !yes && !lines.is_empty() {
        say("nothing was done; add --yes to carry this out");
        return Ok(());
    }
    let NodeAnswer::Operations(view) = member.ask(OperatorRequest::Wish(wish.clone())).await? else {
        bail!("the member answers another question");
    };
    wait(member, *view, &wish).await
}

async fn wait(member: &Operated, mut view: OperationsView, wish: &Wish) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let missing = missing(&view, wish);
        if missing.is_empty() {
            say("done");
            return Ok(());
        }
        if begun.elapsed() > FULFILLED_WITHIN {
            missing.iter().for_each(|line| say(line));
            bail!("the wish is kept, and not fulfilled yet");
        }
        sleep(LOOK_EVERY).await;
        view = match member.operations().await {
            // The members choose another leader, say: it finds the wish in their record.
            Err(error) if operator::is_later(&error) => continue,
            answer => answer?,
        };
    }
}

fn subject(view: &OperationsView, name: &str) -> anyhow::Result<Subject> {
    if let Some(node) = view.nodes.iter().find(|node| node.region.as_str() == name) {
        return Ok(Subject::Region(node.region.clone()));
    }
    let node = view.nodes.iter().find(|node| node.node.as_str() == name);
    let node = node.with_context(|| format!("{name} is neither a region nor a node of this network"))?;
    Ok(Subject::Node(node.node.clone()))
}

/// What a person should know before draining.
fn warnings(view: &OperationsView, wish: &Wish) -> Vec<String> {
    let Wish::Drain(subject) = wish else { return Vec::new() };
    let stays = |node: &&locum_cluster::operate::NodeView| {
        node.state == locum_cluster::NodeState::Up && !subject.covers(&node.node, &node.region)
    };
    let left: Vec<_> = view.nodes.iter().filter(stays).collect();
    let roles = [(locum_identity::Role::Edge, "edge host"), (locum_identity::Role::Media, "media node")];
    let without = roles.iter().filter(|(role, _)| left.iter().all(|node| node.role != *role));
    without.map(|(_, name)| format!("WARNING: no other {name} takes people then")).collect()
}

/// What is still to happen until a wish is fulfilled.
fn missing(view: &OperationsView, wish: &Wish) -> Vec<String> {
    match wish {
        Wish::Drain(subject) => {
            let nodes = view.nodes.iter().filter(|node| subject.covers(&node.node, &node.region));
            let told = nodes
                .filter(|node| !node.told.drain || node.is_behind())
                .map(|node| format!("{} does not say yet that it takes nobody new", node.node));
            let led = view.groups.iter().filter(|group| {
                let primary = group.primary.as_ref().zip(group.region.as_ref());
                group.served && primary.is_some_and(|(node, region)| subject.covers(node, region))
            });
            told.chain(led.map(|group| format!("group {} is still led there", group.group))).collect()
        }
        Wish::Undrain(subject) => {
            let nodes = view.nodes.iter().filter(|node| subject.covers(&node.node, &node.region));
            nodes
                .filter(|node| node.told.drain || node.is_behind())
                .map(|node| format!("{} has not caught up yet, or does not answer", node.node))
                .collect()
        }
        Wish::Pin { group, region } => {
            // On its way it is led nowhere: that is not there yet either.
            let elsewhere = view.groups.iter().filter(|place| {
                place.group == *group && !(place.served && place.region.as_ref() == Some(region))
            });
            elsewhere.map(|place| format!("group {} is not led there yet", place.group)).collect()
        }
        Wish::Unpin { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use locum_cluster::operate::{GroupPlace, NodeView};
    use locum_cluster::{NodeOrder, NodeState};
    use locum_identity::Role;
    use locum_replication::Epoch;

    use super::*;

    fn node(role: Role, region: &str, drain: bool, obeyed: u64) -> NodeView {
        NodeView {
            node: format!("{role}-{region}").parse().unwrap(),
            role,
            region: region.parse().unwrap(),
            state: NodeState::Up,
            strikes: 0,
            told: NodeOrder { generation: 7, drain },
            obeyed,
            sessions: 0,
        }
    }

    fn view(nodes: Vec<NodeView>, led_in: &str) -> OperationsView {
        let group = GroupPlace {
            group: "main".parse().unwrap(),
            epoch: Epoch(3),
            primary: Some(format!("edge-{led_in}").parse().unwrap()),
            region: Some(led_in.parse().unwrap()),
            served: true,
        };
        let (down, drains, pins, timeline) = Default::default();
        OperationsView { generation: 7, nodes, groups: vec![group], down, drains, pins, timeline }
    }

    #[test]
    fn a_name_is_a_region_or_a_node() {
        let view = view(vec![node(Role::Edge, "west", false, 7)], "west");
        assert_eq!(subject(&view, "west").unwrap().to_string(), "region/west");
        assert_eq!(subject(&view, "edge-west").unwrap().to_string(), "node/edge-west");
        assert!(subject(&view, "east").is_err());
    }

    #[test]
    fn a_drain_is_done_when_its_nodes_obey_and_nothing_is_led_there() {
        let wish = Wish::Drain("region/west".parse().unwrap());
        let nodes =
            |drain, obeyed| vec![node(Role::Edge, "west", drain, obeyed), node(Role::Edge, "east", false, 7)];
        assert_eq!(missing(&view(nodes(false, 7), "east"), &wish).len(), 1, "not told");
        assert_eq!(missing(&view(nodes(true, 6), "east"), &wish).len(), 1, "told, and not obeyed");
        assert_eq!(missing(&view(nodes(true, 7), "west"), &wish).len(), 1, "led there");
        assert!(missing(&view(nodes(true, 7), "east"), &wish).is_empty());
        let back = Wish::Undrain("region/west".parse().unwrap());
        assert_eq!(missing(&view(nodes(true, 7), "east"), &back).len(), 1);
        assert!(missing(&view(nodes(false, 7), "east"), &back).is_empty());
    }

    #[test]
    fn the_last_of_a_kind_is_warned_of() {
        let nodes = vec![node(Role::Edge, "west", false, 7), node(Role::Media, "west", false, 7)];
        let all = warnings(&view(nodes.clone(), "west"), &Wish::Drain("region/west".parse().unwrap()));
        assert_eq!(all.len(), 2, "{all:?}");
        let one = warnings(&view(nodes, "west"), &Wish::Drain("node/media-west".parse().unwrap()));
        assert_eq!(one.len(), 1, "{one:?}");
        assert!(one[0].contains("media node"));
    }

    #[test]
    fn a_pin_is_done_when_it_is_led_there() {
        let wish =
            |region: &str| Wish::Pin { group: "main".parse().unwrap(), region: region.parse().unwrap() };
        assert!(missing(&view(Vec::new(), "west"), &wish("west")).is_empty());
        assert_eq!(missing(&view(Vec::new(), "west"), &wish("east")).len(), 1);
        let mut on_its_way = view(Vec::new(), "west");
        on_its_way.groups[0].served = false;
        assert_eq!(missing(&on_its_way, &wish("west")).len(), 1);
    }
}
