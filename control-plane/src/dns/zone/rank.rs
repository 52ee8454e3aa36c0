//! Which edges to answer with: the nearest healthy one and the next, the operator's and the world's order of
//! regions given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use locum_cluster::NodeState;
use locum_identity::{RegionId, Role};

use crate::dns::view::{NodeView, ZoneView};

/// Addresses in an answer that is chosen for its client.
const CHOSEN: usize = 2;
/// Addresses of one family under one name.
const MAX_ADDRESSES: usize = 8;

/// Addresses to answer with, best first.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Addresses {
    pub(crate) v4: Vec<Ipv4Addr>,
    pub(crate) v6: Vec<Ipv6Addr>,
}

impl Addresses {
    /// At most `most` of each family, each once.
    fn collect<'a>(all: impl Iterator<Item = &'a IpAddr>, most: usize) -> Self {
        let mut addresses = Self::default();
        for address in all {
            match address {
                IpAddr::V4(v4) if addresses.v4.len() < most && !addresses.v4.contains(v4) => {
                    addresses.v4.push(*v4);
                }
                IpAddr::V6(v6) if addresses.v6.len() < most && !addresses.v6.contains(v6) => {
                    addresses.v6.push(*v6);
                }
                _ => {}
            }
        }
        addresses
    }

    /// All of a node's.
    pub(crate) fn of(addresses: &[IpAddr]) -> Self {
        Self::collect(addresses.iter(), MAX_ADDRESSES)
    }
}

/// For a client with this order of regions: an address of the best region and one of the next. Regions with
/// room come before full ones; those the order does not name come last, the less busy first. Only when no edge
/// is up are those answered that drain, and only when there is none of these, those that are down.
pub(crate) fn nearest(view: &ZoneView, order: &[RegionId]) -> Addresses {
    let edges = candidates(view, |_| true);
    // The best edge of each region first, so that two addresses are two regions wherever there are two.
    let mut regions: Vec<(&RegionId, Vec<&NodeView>)> = Vec::new();
    for edge in edges {
        match regions.iter_mut().find(|(region, _)| *region == &edge.region) {
            Some((_, edges)) => edges.push(edge),
            None => regions.push((&edge.region, vec![edge])),
        }
    }
    regions.sort_by_key(|(region, edges)| {
        let place = order.iter().position(|known| known == *region).unwrap_or(order.len());
        // Load decides only where nothing else does; otherwise answers would wander with it.
        let load = if place == order.len() { edges[0].load.used_permille() } else { 0 };
        (edges[0].load.is_full(), place, load, (*region).clone())
    });
    let best = regions.iter().map(|(_, edges)| edges[0]);
    let others = regions.iter().flat_map(|(_, edges)| &edges[1..]).copied();
    let ordered: Vec<&NodeView> = best.chain(others).collect();
    // One address an edge, and an edge's other uplink only where there is no second edge.
    let v4 = |address: &&IpAddr| address.is_ipv4();
    let first = |want: bool| {
        ordered.iter().filter_map(move |edge| edge.addresses.iter().find(|address| v4(address) == want))
    };
    let rest = ordered.iter().flat_map(|edge| &edge.addresses);
    Addresses::collect(first(true).chain(first(false)).chain(rest), CHOSEN)
}

/// For a region's own name: its edges that are up, or else those that drain: they still serve who is there. Of a
/// region without either, the nearest edges of another, `neighbours` given; and when nothing is up
/// anywhere, its own, whatever they are.
pub(crate) fn of_region(view: &ZoneView, region: &RegionId, neighbours: &[RegionId]) -> Addresses {
    let own = candidates(view, |edge| edge.region == *region);
    let dead = own.iter().all(|edge| edge.state == NodeState::Down);
    let elsewhere = || candidates(view, |edge| edge.region != *region);
    if dead && (own.is_empty() || elsewhere().iter().any(|edge| edge.state != NodeState::Down)) {
        let mut others = view.clone();
        others.nodes.retain(|node| node.region != *region);
        return nearest(&others, neighbours);
    }
    Addresses::collect(own.iter().flat_map(|edge| &edge.addresses), MAX_ADDRESSES)
}

/// The edges that have addresses, of the best state there is among them, best first.
fn candidates(view: &ZoneView, which: impl Fn(&NodeView) -> bool) -> Vec<&NodeView> {
    let is_edge = |node: &&NodeView| node.role == Role::Edge && !node.addresses.is_empty() && which(node);
    let health = |node: &NodeView| match node.state {
        NodeState::Up => 2,
        NodeState::Draining => 1,
        NodeState::Down => 0,
    };
    let mut edges: Vec<_> = view.nodes.iter().filter(is_edge).collect();
    let best = edges.iter().map(|edge| health(edge)).max().unwrap_or(0);
    edges.retain(|edge| health(edge) == best);
    edges.sort_by_key(|edge| (edge.load.is_full(), edge.load.used_permille(), edge.id.clone()));
    edges
}

#[cfg(test)]
pub(crate) mod tests {
    use locum_cluster::Load;

    use super::*;

    /// `us-west 10 up 192.0.2.1`: region, sessions of a hundred, state, addresses.
    pub(crate) fn view(lines: &[&str]) -> ZoneView {
        let edge = |(index, line): (usize, &&str)| {
            let mut words = line.split_whitespace();
            let mut word = || words.next().unwrap();
            let (region, sessions, state) = (word(), word(), word());
            NodeView {
                id: format!("edge-{index}").parse().unwrap(),
                role: Role::Edge,
                region: region.parse().unwrap(),
                state: NodeState::ALL.into_iter().find(|known| known.as_str() == state).unwrap(),
                load: Load { sessions: sessions.parse().unwrap(), capacity: 100, cpu_permille: 0 },
                addresses: words.map(|address| address.parse().unwrap()).collect(),
                host: None,
                changed_ms: None,
            }
        };
        ZoneView { generation: 1, nodes: lines.iter().enumerate().map(edge).collect(), ..ZoneView::default() }
    }

    fn order(text: &str) -> Vec<RegionId> {
        text.split_whitespace().map(|region| region.parse().unwrap()).collect()
    }

    fn v4(addresses: &Addresses) -> Vec<String> {
        addresses.v4.iter().map(Ipv4Addr::to_string).collect()
    }

    fn near(lines: &[&str], regions: &str) -> Vec<String> {
        v4(&nearest(&view(lines), &order(regions)))
    }

    const THREE: [&str; 3] = ["west 10 up 192.0.2.1", "east 5 up 192.0.2.2", "eu 30 up 192.0.2.3"];

    #[test]
    fn the_nearest_and_the_next() {
        assert_eq!(near(&THREE, "eu east west"), ["192.0.2.3", "192.0.2.2"]);
        assert_eq!(near(&THREE, "eu"), ["192.0.2.3", "192.0.2.2"], "then by load");
        assert_eq!(near(&THREE, ""), ["192.0.2.2", "192.0.2.1"], "load alone");
    }

    #[test]
    fn two_addresses_are_two_regions_where_there_are_two() {
        let lines = ["west 10 up 192.0.2.1", "west 5 up 192.0.2.4 192.0.2.5", "east 5 up 192.0.2.2"];
        assert_eq!(near(&lines, "west east"), ["192.0.2.4", "192.0.2.2"]);
        assert_eq!(
            near(&lines[..2], "west east"),
            ["192.0.2.4", "192.0.2.1"],
            "two edges before two uplinks"
        );
        assert_eq!(near(&lines[1..2], "west"), ["192.0.2.4", "192.0.2.5"]);
    }

    #[test]
    fn who_is_full_comes_later_and_who_is_not_up_not_at_all() {
        let mut lines = THREE;
        lines[2] = "eu 70 up 192.0.2.3";
        assert_eq!(near(&lines, "eu east west"), ["192.0.2.2", "192.0.2.1"]);
        lines[0] = "west 10 draining 192.0.2.1";
        assert_eq!(near(&lines, "eu east west"), ["192.0.2.2", "192.0.2.3"]);
        lines[1] = "east 5 down 192.0.2.2";
        assert_eq!(near(&lines, "eu east west"), ["192.0.2.3"]);
    }

    #[test]
    fn all_down_is_all_rather_than_none() {
        let lines = ["west 1 down 192.0.2.1", "east 1 draining 192.0.2.2", "eu 1 down 192.0.2.3"];
        assert_eq!(near(&lines, "eu east"), ["192.0.2.2"]);
        assert_eq!(near(&[lines[0], lines[2]], "eu east"), ["192.0.2.3", "192.0.2.1"]);
        assert!(near(&[], "eu").is_empty());
    }

    #[test]
    fn each_family_has_its_own_nearest() {
        let lines = ["west 1 up 192.0.2.1", "east 1 up 192.0.2.2 2001:db8::2", "eu 1 up 2001:db8::3"];
        let addresses = nearest(&view(&lines), &order("west east eu"));
        assert_eq!(v4(&addresses), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(
            addresses.v6,
            ["2001:db8::2".parse::<Ipv6Addr>().unwrap(), "2001:db8::3".parse().unwrap()]
        );
    }

    #[test]
    fn a_regions_own_name() {
        let own = |lines: &[&str]| v4(&of_region(&view(lines), &"west".parse().unwrap(), &order("east eu")));
        let mut lines = vec!["west 1 up 192.0.2.1", "west 9 draining 192.0.2.4"];
        lines.extend(&THREE[1..]);
        assert_eq!(own(&lines), ["192.0.2.1"]);
        lines[0] = "west 1 down 192.0.2.1";
        assert_eq!(own(&lines), ["192.0.2.4"], "who drains still serves its own");
        lines[1] = "west 9 down 192.0.2.4";
        assert_eq!(own(&lines), ["192.0.2.2", "192.0.2.3"], "the next regions stand in");
        lines[2] = "east 5 down 192.0.2.2";
        lines[3] = "eu 5 down 192.0.2.3";
        assert_eq!(own(&lines), ["192.0.2.1", "192.0.2.4"], "nobody is up: its own");
        assert_eq!(own(&lines[3..]), ["192.0.2.3"], "without edges of its own");
    }
}
