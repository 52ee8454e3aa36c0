//! The regions of a network on one machine, and what runs in each.
//!
//! Several regions are several addresses on the mesh, as they would be on hosts of their own: a firewall rule about
//! two addresses then cuts two regions apart. People reach all of them on 127.0.0.1.

use std::net::Ipv4Addr;

/// Names of regions, as production would have them.
const NAMES: [&str; 3] = ["us-west", "us-east", "eu-central"];
/// Where they are: latitude and longitude.
const PLACES: [(f64, f64); 3] = [(45.6, -121.2), (39.0, -77.5), (50.1, 8.7)];
/// Where the control plane's member runs, and everything else when there is one region.
pub(super) const HOME: &str = "eu-central";
/// Most regions.
pub(super) const MOST: u8 = 3;

/// One region: an edge host and a media node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Region {
    /// Such as `us-west`.
    pub name: &'static str,
    /// Its place among the regions: its ports lie this far behind the first region's.
    pub index: u8,
    /// Its address on the mesh.
    pub mesh: Ipv4Addr,
    /// Name of its edge host.
    pub edge: String,
    /// Name of its media node.
    pub media: String,
}

/// `count` regions, 1 to [`MOST`].
pub(super) fn regions(count: u8) -> Vec<Region> {
    if count == 1 {
        let (edge, media) = ("edge-1".to_owned(), "media-1".to_owned());
        return vec![Region { name: HOME, index: 0, mesh: Ipv4Addr::LOCALHOST, edge, media }];
    }
    let address = |index| Ipv4Addr::new(127, 0, index + 1, 1);
    let region = |(index, name): (u8, &'static str)| Region {
        name,
        index,
        mesh: address(index),
        edge: format!("edge-{name}"),
        media: format!("media-{name}"),
    };
    (0..).zip(NAMES).take(count.into()).map(region).collect()
}

/// Where a region is, in degrees north and east.
pub(super) fn place(name: &str) -> Option<(f64, f64)> {
    NAMES.iter().zip(PLACES).find(|(known, _)| **known == name).map(|(_, place)| place)
}

/// The address of the control plane's member on the mesh: behind those of all regions.
pub(super) fn control_address(regions: &[Region]) -> Ipv4Addr {
    if regions.len() == 1 { Ipv4Addr::LOCALHOST } else { Ipv4Addr::new(127, 0, MOST + 1, 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_region_keeps_short_names_and_more_are_named_after_their_place() {
        let named = |count| -> Vec<_> {
            regions(count).into_iter().map(|region| (region.name, region.edge, region.media)).collect()
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
    fn several_regions_are_several_addresses() {
        let of = |count| {
            let regions = regions(count);
            let own = regions.iter().map(|region| region.mesh).chain([control_address(&regions)]);
            own.map(|address| address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(1), ["127.0.0.1", "127.0.0.1"]);
        assert_eq!(of(3), ["127.0.1.1", "127.0.2.1", "127.0.3.1", "127.0.4.1"]);
    }
}
