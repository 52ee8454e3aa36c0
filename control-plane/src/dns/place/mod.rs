//! Where a client is: which regions to prefer for an address, by the first source that knows: what the operator
//! says of a prefix, round trips that were measured, geography.

pub(crate) mod countries;
pub(crate) mod geography;
mod layer;
pub(crate) mod prefixes;
mod table;

use std::net::IpAddr;
use std::sync::Arc;

use locum_identity::RegionId;

use layer::Orders;
pub(crate) use layer::{Layer, UNKNOWN};
use table::Table;

/// What each source knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The operator's word on prefixes.
    pub(crate) overrides: Arc<Layer>,
    /// Round trips from prefixes to regions.
    pub(crate) round_trips: Arc<Layer>,
    /// The map of the world.
    pub(crate) geography: Arc<Layer>,
}

/// All sources together: an order of regions for each address.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    orders: Orders,
    v4: Table<u32>,
    v6: Table<u128>,
}

/// What came of the orders of a [`Map`]: a class for each address. Addresses of one class get the same answers.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    v4: Table<u32>,
    v6: Table<u128>,
}

impl Map {
    /// Joins the sources: the first one's regions come first, then those that only a later one names.
    pub(crate) fn new(sources: &Sources) -> Self {
        let Sources { overrides, round_trips, geography } = sources;
        let mut told = Orders::default();
        let mut join = |orders: &[&Orders; 2], a: u16, b: u16| told.number(joined(orders, a, b));
        let two = [&overrides.orders, &round_trips.orders];
        let v4 = overrides.v4.zip(&round_trips.v4, |a, b| join(&two, a, b));
        let v6 = overrides.v6.zip(&round_trips.v6, |a, b| join(&two, a, b));
        let mut orders = Orders::default();
        let mut join = |a: u16, b: u16| orders.number(joined(&[&told, &geography.orders], a, b));
        let (v4, v6) = (v4.zip(&geography.v4, &mut join), v6.zip(&geography.v6, &mut join));
        Self { orders, v4, v6 }
    }

    /// Every order there is; [`UNKNOWN`] is among them, whether any address has it or not.
    pub(crate) fn orders(&self) -> &[Vec<RegionId>] {
        self.orders.list()
    }

    /// The order for an address, the preferred region first.
    pub(crate) fn order(&self, client: IpAddr) -> &[RegionId] {
        let (number, _) = at(&self.v4, &self.v6, client);
        self.orders.list().get(usize::from(number)).map_or(&[], Vec::as_slice)
    }

    /// Replaces each order by its class: `classes` holds one for each of [`Map::orders`].
    pub(crate) fn classes(&self, classes: &[u16]) -> Classes {
        let class = |order: u16| classes.get(usize::from(order)).copied().unwrap_or(UNKNOWN);
        Classes { v4: self.v4.map(class), v6: self.v6.map(class) }
    }
}

impl Classes {
    /// The class of an address, and the widest prefix around it that is all of this class.
    pub(crate) fn at(&self, client: IpAddr) -> (u16, u8) {
        at(&self.v4, &self.v6, client)
    }

    /// Ranges of both families.
    pub(crate) fn ranges(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

fn at(v4: &Table<u32>, v6: &Table<u128>, client: IpAddr) -> (u16, u8) {
    match client {
        IpAddr::V4(client) => v4.at(client.to_bits()),
        IpAddr::V6(client) => v6.at(client.to_bits()),
    }
}

fn joined(orders: &[&Orders; 2], a: u16, b: u16) -> Vec<RegionId> {
    let regions =
        |orders: &Orders, number: u16| orders.list().get(usize::from(number)).cloned().unwrap_or_default();
    let mut joined = regions(orders[0], a);
    for region in regions(orders[1], b) {
        if !joined.contains(&region) {
            joined.push(region);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(prefixes: &[(&str, &[&str])]) -> Arc<Layer> {
        let parse = |(net, order): &(&str, &[&str])| {
            (net.parse().unwrap(), order.iter().map(|region| region.parse().unwrap()).collect())
        };
        Arc::new(Layer::from_prefixes(prefixes.iter().map(parse)))
    }

    fn sources() -> Sources {
        Sources {
            overrides: layer(&[("10.1.0.0/16", &["c"]), ("2001:db8::/32", &["b", "a"])]),
            round_trips: layer(&[("10.0.0.0/8", &["b"])]),
            geography: layer(&[("0.0.0.0/0", &["a", "b", "c"])]),
        }
    }

    #[test]
    fn overrides_then_round_trips_then_geography() {
        let map = Map::new(&sources());
        let order = |client: &str| -> Vec<&str> {
            map.order(client.parse().unwrap()).iter().map(RegionId::as_str).collect()
        };
        assert_eq!(order("10.1.2.3"), ["c", "b", "a"]);
        assert_eq!(order("10.2.0.0"), ["b", "a", "c"]);
        assert_eq!(order("11.0.0.0"), ["a", "b", "c"]);
        assert_eq!(order("2001:db8::1"), ["b", "a"]);
        assert!(order("2001:db9::1").is_empty());
    }

    #[test]
    fn a_class_that_swallows_differences_widens_the_scope() {
        let map = Map::new(&sources());
        let split = |class: fn(&[RegionId]) -> u16| -> Vec<u16> {
            map.orders().iter().map(|order| class(order)).collect()
        };
        let last = |order: &[RegionId]| u16::from(order.first().is_some_and(|first| first.as_str() == "c"));
        let classes = map.classes(&split(last));
        assert_eq!(classes.at("10.1.2.3".parse().unwrap()), (1, 16));
        assert_eq!(classes.at("10.2.2.3".parse().unwrap()), (0, 15));
        assert_eq!(classes.at("11.2.2.3".parse().unwrap()), (0, 8));
        let same = map.classes(&split(|_| 0));
        assert_eq!(same.at("10.1.2.3".parse().unwrap()), (0, 0));
        assert_eq!(same.ranges(), 2);
    }
}
