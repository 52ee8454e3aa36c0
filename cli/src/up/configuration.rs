//! The configuration files of the processes: what a production host's would say, with loopback addresses.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use toml::{Table, Value, toml};

use super::clinics::Clinic;
use super::ports::Ports;
use super::regions::{Controller, Edge, Region, controllers, place};

/// The zone of a network on one machine. Browsers resolve it to loopback and treat it as a secure context.
pub(super) const ZONE: &str = "locum.localhost";
/// What the files are made from.
pub(super) struct Plan {
    /// Where processes listen.
    pub ports: Ports,
    /// The functions' manifest.
    pub manifest: PathBuf,
    /// What runs where.
    pub regions: Vec<Region>,
    /// Whose records there are.
    pub clinics: Vec<Clinic>,
    /// Whether changes that one region holds are acknowledged while no second one answers.
    pub single_copy: bool,
    /// Other servers that sign-in may ask.
    pub identity_hosts: Vec<String>,
    /// Further values of variables.
    pub variables: Vec<(String, String)>,
    /// Files that further values stand in.
    pub variable_files: Vec<(String, String)>,
    /// The engine of record replication, which only several regions need.
    pub engine: PathBuf,
    /// Where backups go, and the key that opens them.
    pub backup: Option<(String, PathBuf)>,
    /// A map of the world's addresses, if there is one.
    pub geography: Option<PathBuf>,
    /// How messages to people are sent.
    pub messages: Option<Table>,
}

impl Plan {
    /// A member of the control plane at `port`; one that does not begin the network joins at `first`.
    pub(super) fn control(&self, member: &Controller, port: u16, first: Option<SocketAddr>) -> Table {
        let mut table = common(&member.name, member.region);
        table.insert("node".into(), member.name.as_str().into());
        table.insert("mesh_listen".into(), at(member.mesh, port).into());
        if let Some(first) = first {
            let mut join = Table::new();
            join.insert("addresses".into(), addresses(&[first]));
            join.insert("join_token_file".into(), format!("{}.join", member.name).into());
            table.insert("join".into(), join.into());
        }
        // One region has one copy: nothing to agree on.
        if self.regions.len() > 1 {
            table.insert("probe_from".into(), member.mesh.to_string().into());
            let group = |clinic: &Clinic| {
                let regions = clinic.regions.iter().map(|region| Value::from(region.as_str())).collect();
                let mut group = Table::from_iter([("regions".to_owned(), Value::Array(regions))]);
                if self.single_copy {
                    group.insert("single_copy".into(), true.into());
                }
                (clinic.group.clone(), group.into())
            };
            table.insert("groups".into(), self.clinics.iter().map(group).collect::<Table>().into());
        }
        table.insert("dns".into(), self.dns(member).into());
        table
    }

    /// The zone's name server at this member, at a port that the system chooses.
    fn dns(&self, member: &Controller) -> Table {
        let mut table = Table::new();
        table.insert("listen".into(), Value::Array(vec![at(member.mesh, 0).into()]));
        let all = controllers(&self.regions);
        let server = |(number, member): (usize, &Controller)| {
            (format!("ns{number}"), Value::Array(vec![member.mesh.to_string().into()]))
        };
        table.insert("name_servers".into(), (1..).zip(&all).map(server).collect::<Table>().into());
        let point = |region: &Region| {
            let (latitude, longitude) = place(region.name)?;
            let degrees = [("latitude", latitude), ("longitude", longitude)];
            let point = degrees.map(|(name, degrees)| (name.to_owned(), Value::from(degrees)));
            Some((region.name.to_owned(), Value::from(Table::from_iter(point))))
        };
        table.insert("regions".into(), self.regions.iter().filter_map(point).collect::<Table>().into());
        if let Some(file) = &self.geography {
            table.insert("geography_file".into(), file.to_string_lossy().into_owned().into());
        }
        table
    }

    /// A region's media node, which joins at `control`.
    pub(super) fn media(&self, region: &Region, control: &[SocketAddr]) -> Table {
        let mut table = common(&region.media, region.name);
        table.insert("signal_listen".into(), loopback(self.ports.signal(region.index)).into());
        table.insert("media_listen".into(), loopback(self.ports.media(region.index)).into());
        table.insert("announce_host".into(), format!("media.{}.{ZONE}", region.name).into());
        let mesh = at(region.edge.mesh, self.ports.media_mesh(region.index));
        table.insert("mesh_listen".into(), mesh.into());
        let mut control = join(control, &region.media);
        control.insert("from".into(), region.edge.mesh.to_string().into());
        table.insert("control".into(), control.into());
        table
    }

    /// An edge host, which joins at `control`.
    pub(super) fn edge(&self, edge: &Edge, control: &[SocketAddr], setup_token: &str) -> Table {
        let mut table = common(&edge.name, edge.region);
        let manifest = self.manifest.to_string_lossy().into_owned();
        let http = self.ports.http(edge.index);
        table.insert("http_listen".into(), loopback(http).into());
        if self.regions.len() > 1 {
            // Browsers take names of the zone for 127.0.0.1; the name server and those who look whether it is there
            // know the region's own address.
            let both = [loopback(http), at(edge.mesh, http)];
            table.insert("http_listen".into(), Value::Array(both.map(Value::from).into()));
            table.insert("public_ips".into(), Value::Array(vec![edge.mesh.to_string().into()]));
        }
        table.insert("mesh_listen".into(), at(edge.mesh, self.ports.edge_mesh(edge.index)).into());
        table.insert("manifest".into(), manifest.into());
        table.insert("store_key_file".into(), format!("{}.key", edge.name).into());
        table.insert("control".into(), join(control, &edge.name).into());
        let clinics = self.clinics.iter().map(|clinic| (clinic.name.clone(), clinic.group.as_str().into()));
        table.insert("clinics".into(), clinics.collect::<Table>().into());
        if let Some(file) = &self.geography {
            table.insert("geography_file".into(), file.to_string_lossy().into_owned().into());
        }
        if let Some(folder) = compiled_functions() {
            table.insert("cache_dir".into(), folder.to_string_lossy().into_owned().into());
        }
        let mut variables = toml! { demo = "true" };
        variables.insert("setup_token".into(), setup_token.into());
        if !self.identity_hosts.is_empty() {
            variables.insert("identity_hosts".into(), self.identity_hosts.join(" ").into());
        }
        let values = |pairs: &[(String, String)]| -> Vec<(String, Value)> {
            pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
        };
        variables.extend(values(&self.variables));
        table.insert("variables".into(), variables.into());
        if !self.variable_files.is_empty() {
            let files: Table = values(&self.variable_files).into_iter().collect();
            table.insert("variable_files".into(), files.into());
        }
        if self.regions.len() > 1 {
            let engine = Value::from(self.engine.to_string_lossy().into_owned());
            table.insert("replication".into(), Table::from_iter([("engine".to_owned(), engine)]).into());
        }
        if let Some(messages) = &self.messages {
            table.insert("messages".into(), messages.clone().into());
        }
        if let Some((to, key)) = &self.backup {
            let key = Value::from(key.to_string_lossy().into_owned());
            let backup = [("to".to_owned(), to.clone().into()), ("key_file".to_owned(), key)];
            table.insert("backup".into(), Table::from_iter(backup).into());
        }
        table
    }
}

/// The user's cache (XDG base directories), which `setup/compiled` fills; the host's own without one.
fn compiled_functions() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = given.or_else(|| std::env::home_dir().map(|home| home.join(".cache")))?;
    Some(cache.join("locum").join("functions"))
}

fn common(name: &str, region: &str) -> Table {
    let mut table = toml! { telemetry_listen = "127.0.0.1:0" };
    table.insert("zone".into(), ZONE.into());
    table.insert("region".into(), region.into());
    table.insert("state_dir".into(), name.into());
    table.insert("ready_file".into(), format!("run/{name}.json").into());
    table
}

fn join(control: &[SocketAddr], name: &str) -> Table {
    let mut table = Table::new();
    table.insert("address".into(), addresses(control));
    table.insert("join_token_file".into(), format!("{name}.join").into());
    table
}

fn addresses(of: &[SocketAddr]) -> Value {
    Value::Array(of.iter().map(|address| address.to_string().into()).collect())
}

fn loopback(port: u16) -> String {
    at(Ipv4Addr::LOCALHOST, port)
}

fn at(address: Ipv4Addr, port: u16) -> String {
    SocketAddr::new(address.into(), port).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::clinics::clinics;
    use super::super::regions::{controllers, regions};
    use super::*;

    fn plan(count: u8) -> Plan {
        Plan {
            ports: Ports::default(),
            manifest: "spin.toml".into(),
            clinics: clinics(&[], &regions(count)).unwrap(),
            regions: regions(count),
            single_copy: false,
            identity_hosts: Vec::new(),
            variables: Vec::new(),
            variable_files: Vec::new(),
            engine: "sqld".into(),
            backup: None,
            geography: None,
            messages: None,
        }
    }

    fn control() -> [SocketAddr; 2] {
        ["127.0.0.1:4443".parse().unwrap(), "127.0.0.1:4444".parse().unwrap()]
    }

    fn members(plan: &Plan) -> Vec<Table> {
        let table = |member: &Controller| {
            let first = (member.name != "control-1").then(|| control()[0]);
            plan.control(member, plan.ports.mesh(), first)
        };
        controllers(&plan.regions).iter().map(table).collect()
    }

    #[test]
    fn only_more_than_one_region_is_a_group_to_agree_on() {
        assert!(!members(&plan(1))[0].contains_key("groups"));
        let three = members(&plan(3));
        for member in &three {
            let regions = member["groups"]["main"]["regions"].as_array().unwrap();
            assert_eq!(*regions, ["us-west", "us-east", "eu-central"].map(Value::from));
        }
        assert_eq!(three[0]["region"].as_str(), Some("eu-central"));
        assert!(!three[0].contains_key("join") && three[1].contains_key("join"));
        let edge = |count| plan(count).edge(&plan(count).regions[0].edge, &control(), "token");
        assert!(!edge(1).contains_key("replication"));
        assert_eq!(edge(3)["replication"]["engine"].as_str(), Some("sqld"));
    }

    #[test]
    fn the_zone_has_a_name_server_that_knows_where_regions_are() {
        let dns = |plan: Plan| members(&plan)[0]["dns"].clone();
        let mapped = dns(Plan { geography: Some("world.mmdb".into()), ..plan(1) });
        let dns = dns(plan(3));
        assert_eq!(dns["listen"].as_array().unwrap(), &[Value::from("127.0.3.3:0")]);
        let servers: Vec<&str> = dns["name_servers"].as_table().unwrap().keys().map(String::as_str).collect();
        assert_eq!(servers, ["ns1", "ns2", "ns3"]);
        assert_eq!(dns["regions"].as_table().unwrap().len(), 3);
        assert_eq!(dns["regions"]["eu-central"]["longitude"].as_float(), Some(8.7));
        assert!(dns.get("geography_file").is_none());
        assert_eq!(mapped["geography_file"].as_str(), Some("world.mmdb"));
    }

    #[test]
    fn every_process_has_its_own_place() {
        let mut plan = plan(3);
        plan.regions = plan.regions.into_iter().map(|region| region.with_edges(2)).collect();
        let edges = plan.regions.iter().flat_map(Region::edges);
        let edges = edges.map(|edge| plan.edge(edge, &control(), "token"));
        let medias = plan.regions.iter().map(|region| plan.media(region, &control()));
        let all: Vec<Table> = edges.chain(medias).chain(members(&plan)).collect();
        for keys in [&["http_listen", "signal_listen"][..], &["mesh_listen", "media_listen"], &["state_dir"]]
        {
            let said = |table: &Table| -> Vec<String> {
                let said = keys.iter().filter_map(|key| table.get(*key));
                let each = |said: &Value| said.as_array().cloned().unwrap_or_else(|| vec![said.clone()]);
                said.flat_map(each).filter_map(|value| Some(value.as_str()?.to_owned())).collect()
            };
            let values: Vec<String> = all.iter().flat_map(said).collect();
            let different: BTreeSet<&String> = values.iter().collect();
            assert_eq!(values.len(), different.len(), "{keys:?}: {values:?}");
            assert!(values.len() >= 6, "{keys:?}: {values:?}");
        }
        let media = plan.media(&plan.regions[2], &control());
        assert_eq!(media["control"]["from"].as_str(), Some("127.0.3.1"));
        let east = plan.edge(&plan.regions[1].edge, &control(), "token");
        assert_eq!(east["control"]["address"].as_array().map(Vec::len), Some(2));
        assert_eq!(east["region"].as_str(), Some("us-east"));
        assert_eq!(east["mesh_listen"].as_str(), Some("127.0.2.1:4445"));
        assert_eq!(east["http_listen"][1].as_str(), Some("127.0.2.1:8081"));
        assert_eq!(east["public_ips"][0].as_str(), Some("127.0.2.1"));
        assert_eq!(east["clinics"]["demo"].as_str(), Some("main"));
        assert_eq!(east["control"]["join_token_file"].as_str(), Some("edge-us-east.join"));
    }
}
