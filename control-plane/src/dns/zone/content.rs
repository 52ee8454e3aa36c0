//! What stands under each name of the zone.
//!
//! | name | what |
//! |---|---|
//! | the zone, `app` | the nearest edges |
//! | a region | that region's edges |
//! | `ns1` … | members of the control plane |
//! | a media node's host | its addresses |
//! | `_acme-challenge.…` | texts for certificates |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use hickory_server::proto::rr::rdata::svcb::{Alpn, IpHint, SvcParamKey, SvcParamValue};
use hickory_server::proto::rr::rdata::{A, AAAA, CAA, HTTPS, NS, SOA, SVCB, TXT};
use hickory_server::proto::rr::{Name, RData, Record};
use locum_identity::{RegionId, Role};

use super::rank::{Addresses, nearest, of_region};
use super::{FIXED_TTL_S, FRESH_TTL_S, NEGATIVE_TTL_S, Set, Settings, TTL_S};
use crate::dns::view::{FRESH_MS, NodeView, ZoneView};

/// The name, in the zone, from which pages come.
const PAGES: &str = "app";
/// The first label of texts for certificates (RFC 8555 §8.4).
pub(crate) const CHALLENGE: &str = "_acme-challenge";
const REFRESH_S: i32 = 3_600;
const RETRY_S: i32 = 600;
const EXPIRE_S: i32 = 7 * 24 * 3_600;

/// What stands under one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content {
    /// For everybody.
    pub(super) same: Vec<Set>,
    /// For each class of clients, if answers are chosen by client.
    pub(super) chosen: Vec<Vec<Set>>,
}

/// All names, by their labels before the zone's, joined by dots; the zone itself is the empty one.
pub(super) type Names = BTreeMap<String, Content>;

/// What the answers chosen by client are: one for each class, and the class of each order of regions.
pub(super) struct Choices {
    pub(super) answers: Vec<Addresses>,
    pub(super) class_of: Vec<u16>,
}

/// Orders of regions that lead to the same answer are one class.
pub(super) fn choices(view: &ZoneView, orders: &[Vec<RegionId>]) -> Choices {
    let mut known: HashMap<Addresses, u16> = HashMap::new();
    let mut choices = Choices { answers: Vec::new(), class_of: Vec::with_capacity(orders.len()) };
    for order in orders {
        let answer = nearest(view, order);
        // There are no more answers than orders, and orders are numbered in 16 bits.
        let next = u16::try_from(choices.answers.len()).unwrap_or(0);
        let class = *known.entry(answer).or_insert_with_key(|answer| {
            choices.answers.push(answer.clone());
            next
        });
        choices.class_of.push(class);
    }
    choices
}

/// Every name there is. `keys` are the sets that stand at the zone's own name when it is signed.
pub(super) fn names(
    settings: &Settings,
    view: &ZoneView,
    choices: &Choices,
    keys: &[Set],
    now_ms: i64,
) -> Names {
    let origin = &settings.origin;
    let mut names = Names::new();
    let fresh = view.nodes.iter().any(|node| node.role == Role::Edge && node.is_fresh(now_ms));
    let chosen = |name: &Name| -> Vec<Vec<Set>> {
        choices.answers.iter().map(|answer| web(name, answer, ttl(fresh))).collect()
    };
    let apex = Content { same: [apex(settings, view), keys.to_vec()].concat(), chosen: chosen(origin) };
    names.insert(String::new(), apex);
    names.insert(PAGES.to_owned(), Content { same: Vec::new(), chosen: chosen(&below(origin, PAGES)) });
    for (label, addresses) in &settings.name_servers {
        let sets = hosts(&below(origin, label), &Addresses::of(addresses), FIXED_TTL_S);
        names.entry(label.clone()).or_default().same = sets;
    }
    for (region, sets) in regions(settings, view, now_ms) {
        names.entry(region).or_insert(Content { same: sets, chosen: Vec::new() });
    }
    for (host, sets) in media(settings, view, now_ms) {
        names.entry(host).or_insert(Content { same: sets, chosen: Vec::new() });
    }
    for (labels, texts) in &view.challenges {
        let name = below(origin, labels);
        let text = |text: &String| {
            Record::from_rdata(name.clone(), FRESH_TTL_S, RData::TXT(TXT::new(vec![text.clone()])))
        };
        let sets = present([texts.iter().map(text).collect()]);
        names.entry(labels.clone()).or_insert(Content { same: sets, chosen: Vec::new() });
    }
    add_empty_ones(&mut names);
    names
}

/// The moment the next recent change is one no longer.
pub(super) fn calm_at(view: &ZoneView, now_ms: i64) -> Option<i64> {
    let fresh = view.nodes.iter().filter(|node| node.is_fresh(now_ms)).filter_map(|node| node.changed_ms);
    fresh.map(|changed| changed.saturating_add(FRESH_MS)).min()
}

fn apex(settings: &Settings, view: &ZoneView) -> Vec<Set> {
    let origin = &settings.origin;
    let record = |data| Record::from_rdata(origin.clone(), FIXED_TTL_S, data);
    let servers: Vec<Name> = settings.name_servers.iter().map(|(label, _)| below(origin, label)).collect();
    let first = servers.first().cloned().unwrap_or_else(|| origin.clone());
    // The serial number tells people and monitors which generation answers; nobody transfers the zone.
    let serial = (view.generation & u64::from(u32::MAX)) as u32;
    let soa =
        SOA::new(first, settings.hostmaster.clone(), serial, REFRESH_S, RETRY_S, EXPIRE_S, NEGATIVE_TTL_S);
    let issue = |authority: &String| Name::from_ascii(authority).ok();
    let authorities: Vec<Name> = settings.caa.iter().filter_map(issue).collect();
    let caa = authorities.into_iter().flat_map(|authority| {
        [
            CAA::new_issue(false, Some(authority.clone()), Vec::new()),
            CAA::new_issuewild(false, Some(authority), Vec::new()),
        ]
    });
    present([
        vec![record(RData::SOA(soa))],
        servers.into_iter().map(|server| record(RData::NS(NS(server)))).collect(),
        caa.map(|caa| record(RData::CAA(caa))).collect(),
    ])
}

/// Regions that have edges, and those that were configured.
fn regions(settings: &Settings, view: &ZoneView, now_ms: i64) -> Vec<(String, Vec<Set>)> {
    let of_edges = view.nodes.iter().filter(|node| node.role == Role::Edge).map(|node| &node.region);
    let all: BTreeSet<&RegionId> = settings.atlas.regions.keys().chain(of_edges).collect();
    let content = |region: &RegionId| {
        let addresses = of_region(view, region, &settings.atlas.nearest_to(region));
        // Its own answers may be another region's, so any edge's change may be one of this name.
        let fresh = view.nodes.iter().any(|node| {
            node.role == Role::Edge
                && node.is_fresh(now_ms)
                && (node.region == *region || !own(&addresses, view, region))
        });
        let name = below(&settings.origin, region.as_str());
        (region.to_string(), web(&name, &addresses, ttl(fresh)))
    };
    all.into_iter().map(content).collect()
}

/// Whether a region answers with edges of its own.
fn own(addresses: &Addresses, view: &ZoneView, region: &RegionId) -> bool {
    let has = |address: &IpAddr| match address {
        IpAddr::V4(v4) => addresses.v4.contains(v4),
        IpAddr::V6(v6) => addresses.v6.contains(v6),
    };
    view.nodes
        .iter()
        .any(|node| node.role == Role::Edge && node.region == *region && node.addresses.iter().any(has))
}

/// Media nodes by the hosts in their URLs. Two of one host share it; those that are up come first, and alone.
fn media(settings: &Settings, view: &ZoneView, now_ms: i64) -> Vec<(String, Vec<Set>)> {
    let mut hosts_of: BTreeMap<&String, Vec<&NodeView>> = BTreeMap::new();
    for node in view.nodes.iter().filter(|node| node.role == Role::Media) {
        if let Some(host) = &node.host {
            hosts_of.entry(host).or_default().push(node);
        }
    }
    let content = |(host, mut nodes): (&String, Vec<&NodeView>)| {
        let fresh = nodes.iter().any(|node| node.is_fresh(now_ms));
        if nodes.iter().any(|node| node.state != locum_cluster::NodeState::Down) {
            nodes.retain(|node| node.state != locum_cluster::NodeState::Down);
        }
        let addresses: Vec<IpAddr> = nodes.iter().flat_map(|node| node.addresses.clone()).collect();
        (host.clone(), hosts(&below(&settings.origin, host), &Addresses::of(&addresses), ttl(fresh)))
    };
    hosts_of.into_iter().map(content).collect()
}

/// A, AAAA and HTTPS (RFC 9460): browsers then begin with HTTP/2 over TLS at once.
fn web(name: &Name, addresses: &Addresses, ttl: u32) -> Vec<Set> {
    let Addresses { v4, v6 } = addresses;
    let mut sets = hosts(name, addresses, ttl);
    if !sets.is_empty() {
        let mut hints = vec![(SvcParamKey::Alpn, SvcParamValue::Alpn(Alpn(vec!["h2".to_owned()])))];
        if !v4.is_empty() {
            let hint = IpHint(v4.iter().copied().map(A).collect());
            hints.push((SvcParamKey::Ipv4Hint, SvcParamValue::Ipv4Hint(hint)));
        }
        if !v6.is_empty() {
            let hint = IpHint(v6.iter().copied().map(AAAA).collect());
            hints.push((SvcParamKey::Ipv6Hint, SvcParamValue::Ipv6Hint(hint)));
        }
        let data = RData::HTTPS(HTTPS(SVCB::new(1, Name::root(), hints)));
        sets.push(Set(vec![Record::from_rdata(name.clone(), ttl, data)]));
    }
    sets
}

fn hosts(name: &Name, addresses: &Addresses, ttl: u32) -> Vec<Set> {
    let record = |data| Record::from_rdata(name.clone(), ttl, data);
    present([
        addresses.v4.iter().map(|v4| record(RData::A(A(*v4)))).collect(),
        addresses.v6.iter().map(|v6| record(RData::AAAA(AAAA(*v6)))).collect(),
    ])
}

fn present<const N: usize>(sets: [Vec<Record>; N]) -> Vec<Set> {
    sets.into_iter().filter(|set| !set.is_empty()).map(Set).collect()
}

/// Names that are there only because others lie below them.
fn add_empty_ones(names: &mut Names) {
    let all: Vec<String> = names.keys().cloned().collect();
    for name in all {
        let mut rest = name.as_str();
        while let Some((_, above)) = rest.split_once('.') {
            names.entry(above.to_owned()).or_default();
            rest = above;
        }
    }
}

/// `labels` are labels that were checked, so the name is one.
fn below(origin: &Name, labels: &str) -> Name {
    Name::from_ascii(labels).and_then(|name| name.append_domain(origin)).unwrap_or_else(|_| origin.clone())
}

fn ttl(fresh: bool) -> u32 {
    if fresh { FRESH_TTL_S } else { TTL_S }
}
