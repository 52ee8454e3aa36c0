//! The map of the world: a file in MaxMind's format, given by the operator. Files of countries and of cities are
//! both understood; all that is kept of them is which regions are nearest.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use locum_identity::RegionId;
use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;

use super::countries::{self, Point};
use super::layer::{Layer, Orders, tables};

/// Where the regions are, and what the operator says of countries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Atlas {
    pub(crate) regions: BTreeMap<RegionId, Point>,
    /// Regions for a country, best first, whatever the distances are.
    pub(crate) countries: BTreeMap<String, Vec<RegionId>>,
}

/// What is read of a record. Files of countries only: `country_code`; MaxMind's own: the others.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Found<'a> {
    #[serde(borrow)]
    country_code: Option<&'a str>,
    #[serde(borrow)]
    country: Country<'a>,
    #[serde(borrow)]
    registered_country: Country<'a>,
    location: Location,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Country<'a> {
    #[serde(borrow)]
    iso_code: Option<&'a str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

impl Atlas {
    /// The regions by their distance from a point.
    pub(crate) fn nearest(&self, here: Point) -> Vec<RegionId> {
        let distance = |(region, point): (&RegionId, &Point)| (here.kilometres_to(*point), region.clone());
        let mut regions: Vec<_> = self.regions.iter().map(distance).collect();
        regions.sort_by(|(a, first), (b, second)| a.total_cmp(b).then_with(|| first.cmp(second)));
        regions.into_iter().map(|(_, region)| region).collect()
    }

    /// The other regions by their distance from a region; none when nobody said where it is.
    pub(crate) fn nearest_to(&self, region: &RegionId) -> Vec<RegionId> {
        let nearest = self.regions.get(region).map(|point| self.nearest(*point)).unwrap_or_default();
        nearest.into_iter().filter(|other| other != region).collect()
    }

    /// The regions for a country.
    pub(crate) fn for_country(&self, country: &str) -> Vec<RegionId> {
        let mut order = self.countries.get(country).cloned().unwrap_or_default();
        let nearest = countries::place(country).map(|point| self.nearest(point)).unwrap_or_default();
        order.extend(
            nearest
                .into_iter()
                .filter(|region| !self.countries.get(country).is_some_and(|own| own.contains(region))),
        );
        order
    }

    fn order(&self, found: &Found<'_>) -> Vec<RegionId> {
        let country = found.country_code.or(found.country.iso_code).or(found.registered_country.iso_code);
        if let Some(country) = country
            && self.countries.contains_key(country)
        {
            return self.for_country(country);
        }
        match (found.location.latitude, found.location.longitude) {
            (Some(latitude), Some(longitude)) => self.nearest(Point { latitude, longitude }),
            _ => country.map(|country| self.for_country(country)).unwrap_or_default(),
        }
    }
}

/// Reads a file. Takes seconds for a large one, and once more its size in memory meanwhile.
pub(crate) fn read(path: &Path, atlas: &Atlas) -> Result<Layer, MaxMindDbError> {
    from_reader(&Reader::open_readfile(path)?, atlas)
}

fn from_reader(reader: &Reader<Vec<u8>>, atlas: &Atlas) -> Result<Layer, MaxMindDbError> {
    let mut orders = Orders::default();
    // Many networks share a record.
    let mut known: HashMap<usize, u16> = HashMap::new();
    let mut prefixes = Vec::new();
    // Global unicast only: what lies outside leads to IPv4 by other names.
    let families: &[&str] = match reader.metadata().ip_version {
        6 => &["0.0.0.0/0", "2000::/3"],
        _ => &["0.0.0.0/0"],
    };
    for family in families {
        let Ok(all) = family.parse() else { continue };
        for network in reader.within(all, maxminddb::WithinOptions::default())? {
            let network = network?;
            let Some(record) = network.offset() else { continue };
            let number = match known.get(&record) {
                Some(number) => *number,
                None => {
                    let found: Found<'_> = network.decode()?.unwrap_or_default();
                    let number = orders.number(atlas.order(&found));
                    known.insert(record, number);
                    number
                }
            };
            let net = network.network()?;
            if let Some(net) = prefix(net.network(), net.prefix()) {
                prefixes.push((net, number));
            }
        }
    }
    let (v4, v6) = tables(prefixes.into_iter());
    Ok(Layer { orders, v4, v6 })
}

/// Networks of the other family come when a file has nothing below some node.
fn prefix(first: IpAddr, length: u8) -> Option<IpNet> {
    IpNet::new(first, length).ok().filter(|net| match net {
        IpNet::V4(_) => true,
        IpNet::V6(net) => net.prefix_len() >= 3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atlas() -> Atlas {
        let point = |latitude, longitude| Point { latitude, longitude };
        let region = |name: &str| name.parse::<RegionId>().unwrap();
        Atlas {
            regions: BTreeMap::from([
                (region("us-west"), point(45.6, -121.2)),
                (region("us-east"), point(39.0, -77.5)),
                (region("eu-central"), point(50.1, 8.7)),
            ]),
            countries: BTreeMap::from([("IS".to_owned(), vec![region("us-east")])]),
        }
    }

    fn names(order: &[RegionId]) -> Vec<&str> {
        order.iter().map(RegionId::as_str).collect()
    }

    #[test]
    fn an_operators_word_on_a_country_comes_before_distance() {
        let atlas = atlas();
        assert_eq!(names(&atlas.for_country("IS")), ["us-east", "eu-central", "us-west"]);
        assert_eq!(names(&atlas.for_country("NO")), ["eu-central", "us-east", "us-west"]);
        assert!(atlas.for_country("??").is_empty());
        let city = |country, latitude| Found {
            country: Country { iso_code: Some(country) },
            location: Location { latitude: Some(latitude), longitude: Some(-118.0) },
            ..Found::default()
        };
        assert_eq!(names(&atlas.order(&city("US", 34.0))), ["us-west", "us-east", "eu-central"]);
        assert_eq!(names(&atlas.order(&city("IS", 34.0)))[0], "us-east");
    }

    #[test]
    fn regions_know_their_neighbours() {
        assert_eq!(names(&atlas().nearest_to(&"us-west".parse().unwrap())), ["us-east", "eu-central"]);
        assert!(atlas().nearest_to(&"elsewhere".parse().unwrap()).is_empty());
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.mmdb");
        std::fs::write(&path, b"no database").unwrap();
        assert!(read(&path, &atlas()).is_err());
    }
}
