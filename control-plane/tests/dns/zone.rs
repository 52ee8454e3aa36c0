//! A member with a name server, edges and media nodes that say they are somewhere, and `dig`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use locum_agent::{AgentConfig, Announcement};
use locum_identity::Role;
use tokio::time::{Instant, sleep};

use crate::support::{Control, LONG, Node};

pub(crate) const ZONE: &str = "locum.test";
/// Where the three edges are.
pub(crate) const WEST: &str = "192.0.2.1";
pub(crate) const EAST: &str = "192.0.2.2";
pub(crate) const EUROPE: &str = "192.0.2.3";

const DNS: &str = r#"
listen = ["127.0.0.1:0"]
caa = ["letsencrypt.org"]
overrides_file = "overrides.txt"
round_trips_file = "round-trips.txt"
geography_file = "geography.mmdb"
[dns.name_servers]
ns1 = ["127.0.0.1", "2001:db8::53"]
ns2 = ["198.51.100.53"]
[dns.regions]
us-west = { latitude = 45.6, longitude = -121.2 }
us-east = { latitude = 39.0, longitude = -77.5 }
eu-central = { latitude = 50.1, longitude = 8.7 }
"#;

/// A network with a zone.
pub(crate) struct Zone {
    pub control: Control,
    pub nodes: Vec<Node>,
}

impl Zone {
    /// With an edge in each region and a media node.
    pub(crate) async fn start(tables: &str) -> Self {
        Self::start_with("", tables).await
    }

    /// With these keys in `[dns]`, and these tables behind it.
    pub(crate) async fn start_with(keys: &str, tables: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("overrides.txt"), "# none yet\n").unwrap();
        std::fs::write(dir.path().join("round-trips.txt"), "").unwrap();
        std::fs::copy(geography(), dir.path().join("geography.mmdb")).unwrap();
        let control = Control::start_in(dir, ZONE, &format!("[dns]\n{keys}{DNS}\n{tables}")).await;
        let mut zone = Self { control, nodes: Vec::new() };
        for (region, address) in [("us-west", WEST), ("us-east", EAST), ("eu-central", EUROPE)] {
            let v6 = address.replace("192.0.2.", "2001:db8::");
            zone.add(Role::Edge, region, &format!("edge-{region}"), &[address, &v6]).await;
        }
        zone.add(Role::Media, "us-west", "media-1", &["192.0.2.11"]).await;
        zone.wait_for("media.us-west.locum.test A", |answer| answer == ["192.0.2.11"]).await;
        zone.wait_for("locum.test A", |answer| answer.len() == 2).await;
        for (region, address) in [("us-west", WEST), ("us-east", EAST), ("eu-central", EUROPE)] {
            zone.wait_for(&format!("{region}.locum.test A"), |answer| answer == [address]).await;
        }
        zone
    }

    async fn add(&mut self, role: Role, region: &str, name: &str, addresses: &[&str]) {
        let token = self.control.token_in(region, role, name);
        let config =
            AgentConfig { region: region.parse().unwrap(), ..self.control.node(role, name, Some(&token)) };
        let url = match role {
            Role::Edge => format!("https://{region}.{ZONE}"),
            _ => format!("wss://media.{region}.{ZONE}"),
        };
        let public = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let announcement = Announcement { addresses: vec![url], public, ..Announcement::default() };
        self.nodes.push(Node::start_as(config, announcement).await.unwrap());
    }

    pub(crate) fn port(&self) -> u16 {
        self.control.addresses["dns"].port()
    }

    /// Everything `dig` prints; `words` are its arguments.
    pub(crate) fn dig(&self, words: &str) -> String {
        let port = self.port().to_string();
        let asked = Command::new("dig")
            .args(["@127.0.0.1", "-p", &port, "+time=5", "+tries=2", "+norec"])
            .args(words.split_whitespace())
            .output()
            .unwrap();
        String::from_utf8(asked.stdout).unwrap()
    }

    /// The records' data.
    pub(crate) fn short(&self, words: &str) -> Vec<String> {
        self.dig(&format!("{words} +short")).lines().map(str::to_owned).collect()
    }

    /// The code of the answer, as `NOERROR`.
    pub(crate) fn status(&self, words: &str) -> String {
        let told = self.dig(words);
        let status = told.split_once("status: ").unwrap_or_else(|| panic!("{told}")).1;
        status.split(',').next().unwrap().to_owned()
    }

    /// Asks until the answer is right.
    pub(crate) async fn wait_for(&self, words: &str, right: impl Fn(&[String]) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let answer = self.short(words);
            if right(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < LONG, "{words}: {answer:?}\n{}", self.control.log());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The map that `setup/geography` installs.
pub(crate) fn geography() -> PathBuf {
    let package = "geography/node_modules/@ip-location-db/geo-whois-asn-country-mmdb";
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(package).join("geo-whois-asn-country.mmdb")
}
