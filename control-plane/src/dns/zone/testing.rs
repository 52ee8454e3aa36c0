//! A zone to test with.

use std::sync::Arc;

use super::keys::ZoneKeys;
use super::sign::Signers;
use super::{Settings, Snapshot};
use crate::dns::place::countries::Point;
use crate::dns::place::geography::Atlas;
use crate::dns::place::{Layer, Map, Sources};
use crate::dns::view::ZoneView;
use crate::dns::zone::rank;

/// Second of the tests' now.
pub(crate) const NOW_S: u64 = 1_800_000_000;

/// Name servers `ns1` and `ns2`, three regions.
pub(crate) fn settings() -> Settings {
    let zone = "locum.test".parse().unwrap();
    let region = |name: &str, latitude, longitude| (name.parse().unwrap(), Point { latitude, longitude });
    Settings {
        origin: crate::dns::config::origin(&zone),
        hostmaster: "hostmaster.locum.test.".parse().unwrap(),
        name_servers: vec![
            ("ns1".to_owned(), vec!["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()]),
            ("ns2".to_owned(), vec!["198.51.100.53".parse().unwrap()]),
        ],
        caa: vec!["letsencrypt.org".to_owned()],
        atlas: Atlas {
            regions: [region("west", 45.6, -121.2), region("east", 39.0, -77.5), region("eu", 50.1, 8.7)]
                .into(),
            countries: [].into(),
        },
    }
}

/// An edge in each region.
pub(crate) fn view() -> ZoneView {
    let mut view = rank::tests::view(&[
        "west 10 up 192.0.2.1 2001:db8::1",
        "east 20 up 192.0.2.2 2001:db8::2",
        "eu 30 up 192.0.2.3 2001:db8::3",
    ]);
    view.challenges.insert("_acme-challenge.app".to_owned(), vec!["one".to_owned(), "two".to_owned()]);
    view
}

/// 10.0.0.0/8 is in `west`, 10.1.0.0/16 in `eu`, 2001:db8:1::/48 in `east`.
pub(crate) fn map() -> Map {
    let prefixes = [
        ("10.0.0.0/8", ["west", "east", "eu"]),
        ("10.1.0.0/16", ["eu", "east", "west"]),
        ("2001:db8:1::/48", ["east", "eu", "west"]),
    ];
    let prefixes =
        prefixes.map(|(net, order)| (net.parse().unwrap(), order.map(|r| r.parse().unwrap()).to_vec()));
    Map::new(&Sources { overrides: Arc::new(Layer::from_prefixes(prefixes)), ..Sources::default() })
}

/// Keys of the zone.
pub(crate) fn signers() -> Arc<Signers> {
    let dir = tempfile::tempdir().unwrap();
    let keys = ZoneKeys::create(&dir.path().join("dns.key"), NOW_S).unwrap();
    Arc::new(Signers::new(&keys, &settings().origin).unwrap())
}

/// The whole zone.
pub(crate) fn snapshot(signed: bool) -> Arc<Snapshot> {
    let signers = signed.then(signers);
    let now_ms = i64::try_from(NOW_S * 1_000).unwrap();
    Arc::new(Snapshot::new(&settings(), &view(), &map(), signers, now_ms))
}
