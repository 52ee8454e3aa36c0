//! In which order people of a call try the media nodes. Pure.
//!
//! Nodes pass calls on to each other, so everybody goes to what is nearest to them: by what the host ranks, and then by
//! what the browser measures.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

/// Nodes that one answer names.
const MAX_NAMED: usize = 8;

/// The media nodes that are up, as the host knows them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MediaNodes {
    /// Of the node list they are from.
    pub version: u64,
    /// Best first for people of the host's own region.
    nodes: Vec<MediaNode>,
    /// The best ones for people of a region, by id.
    #[serde(default)]
    by_region: BTreeMap<String, Vec<String>>,
}

/// One of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MediaNode {
    id: String,
    region: String,
    urls: Vec<String>,
    full: bool,
}

/// A node as clients are told of it.
#[derive(Debug, Eq, PartialEq, Serialize)]
pub struct NodeView<'a> {
    id: &'a str,
    region: &'a str,
    url: &'a str,
    urls: &'a [String],
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asking<'a> {
    /// The region they came in by.
    pub region: Option<&'a str>,
    /// Ids as they measured them, best first.
    pub nearest: &'a [String],
    /// Others are in the call already: nodes keep room for people of calls that run.
    pub running: bool,
}

/// Why nobody can be sent anywhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nowhere {
    /// No media node is up.
    None,
    /// All are full, and the call is new: what room they have is kept for calls that lose their node.
    Full,
}

/// Nodes to try, in this order.
#[derive(Debug)]
pub struct Order<'a>(Vec<&'a MediaNode>);

impl MediaNodes {
    /// The order for whoever asks.
    ///
    /// # Errors
    /// [`Nowhere`].
    pub fn order(&self, asking: Asking<'_>) -> Result<Order<'_>, Nowhere> {
        let preferred = asking.nearest.iter().map(String::as_str).chain(self.best_for(asking.region));
        let ranked = preferred.filter_map(|id| self.nodes.iter().find(|node| node.id == id));
        let mut seen = HashSet::new();
        let mut order: Vec<_> =
            ranked.chain(&self.nodes).filter(|node| seen.insert(node.id.as_str())).collect();
        order.sort_by_key(|node| node.full);
        order.truncate(MAX_NAMED);
        match order.first() {
            None => Err(Nowhere::None),
            Some(first) if first.full && !asking.running => Err(Nowhere::Full),
            Some(_) => Ok(Order(order)),
        }
    }

    fn best_for(&self, region: Option<&str>) -> impl Iterator<Item = &str> {
        let best = region.and_then(|region| self.by_region.get(region));
        best.into_iter().flatten().map(String::as_str)
    }
}

impl<'a> Order<'a> {
    /// As clients are told.
    #[must_use]
    pub fn views(&self) -> Vec<NodeView<'a>> {
        let view = |node: &'a MediaNode| {
            let url = node.urls.first()?;
            Some(NodeView { id: &node.id, region: &node.region, url, urls: &node.urls })
        };
        self.0.iter().filter_map(|node| view(node)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of the regions west and east, `!` behind those that are full; the host is in the west.
    fn nodes(names: &str) -> MediaNodes {
        let node = |name: &str| {
            let (id, full) = (name.trim_end_matches('!'), name.ends_with('!'));
            let region = id.split('-').next().unwrap().to_owned();
            MediaNode { id: id.to_owned(), region, urls: vec![format!("wss://{id}")], full }
        };
        let nodes: Vec<_> = names.split_whitespace().map(node).collect();
        let ids = nodes.iter().map(|node| node.id.clone());
        let (own, other): (Vec<_>, Vec<_>) = ids.partition(|id| id.starts_with("east"));
        let east = own.into_iter().chain(other).collect();
        MediaNodes { version: 1, nodes, by_region: BTreeMap::from([("east".to_owned(), east)]) }
    }

    fn order(names: &str, asking: Asking<'_>) -> Result<String, Nowhere> {
        let nodes = nodes(names);
        let order = nodes.order(asking)?;
        let ids: Vec<&str> = order.0.iter().map(|node| node.id.as_str()).collect();
        Ok(ids.join(" "))
    }

    const ANYBODY: Asking<'_> = Asking { region: None, nearest: &[], running: false };

    #[test]
    fn everybody_goes_by_region_and_by_what_they_measured() {
        let up = "west-1 west-2 east-1";
        assert_eq!(order(up, ANYBODY).unwrap(), "west-1 west-2 east-1");
        let east = Asking { region: Some("east"), ..ANYBODY };
        assert_eq!(order(up, east).unwrap(), "east-1 west-1 west-2");
        let elsewhere = Asking { region: Some("app"), ..ANYBODY };
        assert_eq!(order(up, elsewhere).unwrap(), "west-1 west-2 east-1");
        let nearest = ["west-2", "gone", "east-1", "west-2"].map(str::to_owned);
        let measured = Asking { nearest: &nearest, ..east };
        assert_eq!(order(up, measured).unwrap(), "west-2 east-1 west-1");
    }

    #[test]
    fn nodes_with_room_come_first_and_without_any_a_new_call_waits() {
        assert_eq!(order("west-1! west-2 east-1", ANYBODY).unwrap(), "west-2 east-1 west-1");
        let nearest = ["west-1".to_owned()];
        let measured = Asking { nearest: &nearest, ..ANYBODY };
        assert_eq!(order("west-1! west-2", measured).unwrap(), "west-2 west-1");
        assert_eq!(order("west-1! east-1!", ANYBODY), Err(Nowhere::Full));
        assert_eq!(order("", ANYBODY), Err(Nowhere::None));
    }

    #[test]
    fn who_comes_later_goes_to_what_is_nearest_too_and_is_not_refused() {
        let later = Asking { region: Some("east"), running: true, ..ANYBODY };
        assert_eq!(order("west-1 west-2 east-1", later).unwrap(), "east-1 west-1 west-2");
        assert_eq!(order("west-1 west-2 east-1!", later).unwrap(), "west-1 west-2 east-1");
        assert_eq!(
            order("west-1! east-1!", later).unwrap(),
            "east-1 west-1",
            "there is room for running calls"
        );
        assert_eq!(order("", later), Err(Nowhere::None));
    }

    #[test]
    fn an_answer_names_a_handful() {
        let many: Vec<String> = (0..30).map(|n| format!("west-{n}")).collect();
        let order = order(&many.join(" "), ANYBODY).unwrap();
        assert_eq!(order.split(' ').count(), MAX_NAMED);
    }

    #[test]
    fn a_client_is_told_where_to_connect() {
        let nodes = nodes("west-1");
        let views = serde_json::to_value(nodes.order(ANYBODY).unwrap().views()).unwrap();
        let node = serde_json::json!({
            "id": "west-1", "region": "west", "url": "wss://west-1", "urls": ["wss://west-1"],
        });
        assert_eq!(views, serde_json::json!([node]));
    }
}
