//! What one source knows of where clients are: for each prefix, the regions to prefer, best first.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use locum_identity::RegionId;

use super::table::{Entry, Table};

/// Different orders of regions one source may have; what comes later counts as unknown.
const MAX_ORDERS: usize = 60_000;

/// Nothing known.
pub(crate) const UNKNOWN: u16 = 0;

/// Orders of regions, each kept once. The first is that of which nothing is known.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    list: Vec<Vec<RegionId>>,
    index: HashMap<Vec<RegionId>, u16>,
}

impl Default for Orders {
    fn default() -> Self {
        Self { list: vec![Vec::new()], index: HashMap::from([(Vec::new(), UNKNOWN)]) }
    }
}

impl Orders {
    /// The number of an order.
    pub(crate) fn number(&mut self, order: Vec<RegionId>) -> u16 {
        if let Some(number) = self.index.get(&order) {
            return *number;
        }
        match u16::try_from(self.list.len()) {
            Ok(number) if self.list.len() < MAX_ORDERS => {
                self.list.push(order.clone());
                self.index.insert(order, number);
                number
            }
            _ => UNKNOWN,
        }
    }

    /// All of them, by number.
    pub(crate) fn list(&self) -> &[Vec<RegionId>] {
        &self.list
    }
}

/// One source's knowledge.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) orders: Orders,
    pub(crate) v4: Table<u32>,
    pub(crate) v6: Table<u128>,
}

impl Default for Layer {
    /// Knows nothing.
    fn default() -> Self {
        Self { orders: Orders::default(), v4: Table::uniform(UNKNOWN), v6: Table::uniform(UNKNOWN) }
    }
}

impl Layer {
    /// From prefixes; the longest around an address counts.
    pub(crate) fn from_prefixes(prefixes: impl IntoIterator<Item = (IpNet, Vec<RegionId>)>) -> Self {
        let mut orders = Orders::default();
        let numbered = prefixes.into_iter().map(|(net, order)| (net, orders.number(order)));
        let (v4, v6) = tables(numbered);
        Self { orders, v4, v6 }
    }
}

/// One table a family.
pub(crate) fn tables(prefixes: impl Iterator<Item = (IpNet, u16)>) -> (Table<u32>, Table<u128>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (net, value) in prefixes {
        let length = net.prefix_len();
        match net.network() {
            IpAddr::V4(first) => v4.push(Entry { first: first.to_bits(), length, value }),
            IpAddr::V6(first) => v6.push(Entry { first: first.to_bits(), length, value }),
        }
    }
    (Table::from_prefixes(v4, UNKNOWN), Table::from_prefixes(v6, UNKNOWN))
}
