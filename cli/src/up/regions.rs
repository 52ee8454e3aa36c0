//! The regions of a network on one machine, and what runs in each.
//!
//! Several regions are several addresses on the mesh, as they would be on hosts of their own: a firewall rule about
//! two addresses then cuts two regions apart. People reach all of them on 127.0.0.1.

use std::net::Ipv4Addr;

/// Names of regions, as production would have them.
const NAMES: [&str; 3] = ["us-west", "us-east", "eu-central"];
/// Where they are: latitude and longitude.
const PLACES: [(f64, f64); 3] = [(45.6, -121.2), (39.0, -77.5), (50.1, 8.7)];
/// Where the first member of the control plane runs, and everything else when there is one region.
pub(super) const HOME: &str = "eu-central";
/// Most regions.
pub(super) const MOST: u8 = 3;
/// Most edge hosts of one region.
pub(super) const MOST_EDGES: u8 = 2;

/// One region: edge hosts and a media node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Region {
    /// Such as `us-west`.
    pub name: &'static str,
    /// Its place among the regions: its ports lie this far behind the first region's.
    pub index: u8,
    /// Its edge host.
    pub edge: Edge,
    /// Further edge hosts. They start after all others, so none of them votes in a record group.
    pub siblings: Vec<Edge>,
    /// Name of its media node.
    pub media: String,
}

/// An edge host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Edge {
    /// Such as `edge-us-west`.
    pub name: String,
    /// Such as `us-west`.
    pub region: &'static str,
    /// Its place among the edge hosts: its ports lie this far behind the first one's.
    pub index: u8,
    /// Its address on the mesh.
    pub mesh: Ipv4Addr,
}

impl Region {
    /// The same with so many edge hosts.
    pub(super) fn with_edges(mut self, count: u8) -> Self {
        let sibling = |number: u8| Edge {
            name: format!("{}-{number}", self.edge.name),
            region: self.name,
            index: self.index + (number - 1) * MOST,
            mesh: Ipv4Addr::new(127, 0, self.index + 1, number),
        };
        self.siblings = (2..=count).map(sibling).collect();
        self
    }

    /// Its edge hosts, the first one first.
    pub(super) fn edges(&self) -> impl Iterator<Item = &Edge> {
        std::iter::once(&self.edge).chain(&self.siblings)
    }
}

/// `count` regions, 1 to [`MOST`].
pub(super) fn regions(count: u8) -> Vec<Region> {
    if count == 1 {
        let (name, media) = ("edge-1".to_owned(), "media-1".to_owned());
        let edge = Edge { name, region: HOME, index: 0, mesh: Ipv4Addr::LOCALHOST };
        return vec![Region { name: HOME, index: 0, edge, siblings: Vec::new(), media }];
    }
    let region = |(index, name): (u8, &'static str)| {
        let mesh = Ipv4Addr::new(127, 0, index + 1, 1);
        let edge = Edge { name: format!("edge-{name}"), region: name, index, mesh };
        Region { name, index, edge, siblings: Vec::new(), media: format!("media-{name}") }
    };
    (0..).zip(NAMES).take(count.into()).map(region).collect()
}

/// Where a region is, in degrees north and east.
pub(super) fn place(name: &str) -> Option<(f64, f64)> {
    NAMES.iter().zip(PLACES).find(|(known, _)| **known == name).map(|(_, place)| place)
}

/// A member of the control plane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Controller {
    /// Such as `control-1`, which begins the network.
    pub name: String,
    /// Where.
    pub region: &'static str,
    /// Its address on the mesh: another one than those of the edge hosts beside it.
    pub mesh: Ipv4Addr,
}

/// One member in each of three regions, and one alone where there are fewer: two bear no more losses than one. The
/// first to begin is the one that there always was.
pub(super) fn controllers(regions: &[Region]) -> Vec<Controller> {
    let member = |number: usize, region, mesh| Controller { name: format!("control-{number}"), region, mesh };
    match regions.len() {
        1 => vec![member(1, HOME, Ipv4Addr::LOCALHOST)],
        3 => {
            let others = regions.iter().filter(|region| region.name != HOME);
            let home = regions.iter().filter(|region| region.name == HOME);
            let beside = |region: &Region| Ipv4Addr::new(127, 0, region.index + 1, MOST_EDGES + 1);
            (1..)
                .zip(home.chain(others))
                .map(|(number, region)| member(number, region.name, beside(region)))
                .collect()
        }
        _ => vec![member(1, HOME, Ipv4Addr::new(127, 0, MOST + 1, 1))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_region_keeps_short_names_and_more_are_named_after_their_place() {
        let named = |count| -> Vec<_> {
            regions(count).into_iter().map(|region| (region.name, region.edge.name, region.media)).collect()
        };
        let owned = |name, edge: &str, media: &str| (name, edge.to_owned(), media.to_owned());
        assert_eq!(named(1), [owned("eu-central", "edge-1", "media-1")]);
        let three = [
            owned("us-west", "edge-us-west", "media-us-west"),
            owned("us-east", "edge-us-east", "media-us-east"),
            owned("eu-central", "edge-eu-central", "media-eu-central"),
        ];
        assert_eq!(named(MOST), three);
        assert_eq!(named(2), three[..2]);
        assert_eq!(regions(3).iter().map(|region| region.index).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_member_of_the_control_plane_in_each_of_three_regions() {
        let members = controllers(&regions(3));
        let named: Vec<_> = members.iter().map(|member| (member.name.as_str(), member.region)).collect();
        assert_eq!(named, [("control-1", "eu-central"), ("control-2", "us-west"), ("control-3", "us-east")]);
        assert_eq!(controllers(&regions(1)).len(), 1);
    }

    #[test]
    fn several_regions_are_several_addresses() {
        let of = |count| {
            let regions = regions(count);
            let members = controllers(&regions);
            let edges = regions.iter().map(|region| region.edge.mesh);
            let own = edges.chain(members.iter().map(|member| member.mesh));
            own.map(|address| address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(1), ["127.0.0.1", "127.0.0.1"]);
        assert_eq!(of(2), ["127.0.1.1", "127.0.2.1", "127.0.4.1"]);
        assert_eq!(of(3), ["127.0.1.1", "127.0.2.1", "127.0.3.1", "127.0.3.3", "127.0.1.3", "127.0.2.3"]);
    }

    #[test]
    fn a_second_edge_host_of_a_region_has_a_place_of_its_own() {
        let east = regions(3).remove(1).with_edges(2);
        let told: Vec<_> = east.edges().map(|edge| (edge.name.as_str(), edge.index)).collect();
        assert_eq!(told, [("edge-us-east", 1), ("edge-us-east-2", 4)]);
        assert_eq!(east.siblings[0].mesh, Ipv4Addr::new(127, 0, 2, 2));
        assert_eq!(regions(3).remove(1).with_edges(1), regions(3)[1]);
    }
}
