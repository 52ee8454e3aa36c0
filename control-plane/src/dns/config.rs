//! `[dns]`: everything an operator can set of the zone and its name server.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use hickory_server::proto::rr::Name;
use locum_identity::{NodeId, RegionId, Zone};
use locum_telemetry::config::{ConfigError, chain, invalid, resolve};
use serde::Deserialize;

use super::place::countries::Point;
use super::place::geography::Atlas;
use super::serve::limit::MAX_RATE;
use super::sources;
use super::zone::Settings;
use super::zone::keys::ZoneKeys;

const MAX_LISTEN: usize = 16;
const MAX_NAME_SERVERS: usize = 8;
const MAX_THREADS: usize = 64;
const MAX_TCP_CONNECTIONS: usize = 65_536;
/// The name from which pages come.
const TAKEN: &str = "app";

/// As in the file. Paths are as seen from the file's folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DnsConfig {
    /// Where questions come, UDP and TCP: addresses of this host, not `0.0.0.0`, so that an answer leaves from where
    /// its question came. Port 53; with 0 the system chooses.
    listen: Vec<SocketAddr>,
    /// Mailbox of whoever answers for the zone [default: `hostmaster@` and the zone].
    hostmaster: Option<String>,
    /// Name servers of the zone, by their first label, with their public addresses: the members of the control plane.
    /// The parent zone names the same. `ns1 = ["192.0.2.53", "2001:db8::53"]`.
    name_servers: BTreeMap<String, Vec<IpAddr>>,
    /// Where regions are: `us-west = { latitude = 45.6, longitude = -121.2 }`. A region that is not named here
    /// is near nobody, and answered by load.
    #[serde(default)]
    regions: BTreeMap<RegionId, Coordinates>,
    /// Regions to prefer for a country (ISO 3166-1), best first, whatever the distance: `CH = ["eu-central"]`.
    #[serde(default)]
    countries: BTreeMap<String, Vec<RegionId>>,
    /// Certificate authorities that may issue for the zone, as `letsencrypt.org` [default: any may].
    #[serde(default)]
    caa: Vec<String>,
    /// A file in MaxMind's format, of countries or cities. Without it nobody knows where clients are.
    geography_file: Option<PathBuf>,
    /// Prefixes with the regions to prefer, a line each: `203.0.113.0/24 us-west us-east`.
    overrides_file: Option<PathBuf>,
    /// Measured round trips in milliseconds, a line each: `203.0.113.0/24 us-west=31 eu-central=140`.
    round_trips_file: Option<PathBuf>,
    /// Keys that sign the zone, made by `locum-control dns-key create` [default: `dns.key` in `state_dir`, and no
    /// signatures while there is none].
    key_file: Option<PathBuf>,
    /// Threads that answer on each UDP address [default: one for each core, at most 4].
    threads: Option<usize>,
    /// TCP connections at once; one network (/24, /56) may have an eighth.
    #[serde(default = "default_tcp_connections")]
    pub(crate) tcp_connections: usize,
    /// Signatures a second for names that are not there. Beyond it questions are sent to TCP.
    #[serde(default = "default_signatures_per_second")]
    pub(crate) signatures_per_second: u32,
    /// Bounds on answers over UDP.
    #[serde(default)]
    pub(crate) rate_limit: RateLimitConfig,
}

/// A place on the globe, in degrees.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Coordinates {
    /// North of the equator; south is negative.
    latitude: f64,
    /// East of Greenwich; west is negative.
    longitude: f64,
}

/// Response rate limiting, for each network of clients (IPv4 /24, IPv6 /56). Who uses TCP or shows a cookie is not
/// limited.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RateLimitConfig {
    /// Answers a second, on average; twice as many at once. 0: no limit.
    pub(crate) responses_per_second: u32,
    /// Every so manieth question beyond is told to use TCP, the others get nothing. 0: none is told.
    pub(crate) slip: u32,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self { responses_per_second: 200, slip: 2 }
    }
}

impl DnsConfig {
    /// Checks everything, also that files can be used. `path` is the configuration's.
    pub(crate) fn check(&mut self, path: &Path, zone: &Zone, state_dir: &Path) -> Result<(), ConfigError> {
        let files = [&mut self.geography_file, &mut self.overrides_file, &mut self.round_trips_file];
        for file in files.into_iter().chain([&mut self.key_file]).flatten() {
            *file = resolve(path, file);
        }
        self.key_file.get_or_insert_with(|| state_dir.join("dns.key"));
        self.check_listen(path)?;
        self.check_names(path, zone)?;
        self.check_places(path)?;
        self.check_bounds(path)?;
        self.check_files(path, zone)
    }

    fn check_listen(&self, path: &Path) -> Result<(), ConfigError> {
        if !(1..=MAX_LISTEN).contains(&self.listen.len()) {
            return Err(invalid(path, "dns.listen", format!("needs 1 to {MAX_LISTEN} addresses")));
        }
        if self.listen.iter().any(|address| address.ip().is_unspecified() || address.ip().is_multicast()) {
            return Err(invalid(path, "dns.listen", "must name addresses of this host"));
        }
        Ok(())
    }

    fn check_names(&self, path: &Path, zone: &Zone) -> Result<(), ConfigError> {
        let servers = &self.name_servers;
        if !(1..=MAX_NAME_SERVERS).contains(&servers.len()) {
            return Err(invalid(
                path,
                "dns.name_servers",
                format!("needs 1 to {MAX_NAME_SERVERS} name servers"),
            ));
        }
        for (label, addresses) in servers {
            let is_region = self.regions.keys().any(|region| region.as_str() == label);
            if label.parse::<NodeId>().is_err() || label == TAKEN || is_region {
                let problem = "a name server's name is one DNS label, not `app` and no region's";
                return Err(invalid(path, "dns.name_servers", problem));
            }
            if addresses.is_empty() || addresses.iter().any(IpAddr::is_unspecified) {
                return Err(invalid(path, "dns.name_servers", format!("`{label}` needs addresses")));
            }
        }
        if mailbox(&self.hostmaster(zone)).is_none() {
            return Err(invalid(path, "dns.hostmaster", "must be a mailbox, as in `dns@example.org`"));
        }
        if self.caa.iter().any(|authority| authority.parse::<Zone>().is_err()) {
            return Err(invalid(path, "dns.caa", "holds something that is no DNS name"));
        }
        Ok(())
    }

    fn check_places(&self, path: &Path) -> Result<(), ConfigError> {
        if let Some(region) = self.regions.keys().find(|region| region.as_str() == TAKEN) {
            return Err(invalid(path, "dns.regions", format!("`{region}` is the name of the pages")));
        }
        for (region, Coordinates { latitude, longitude }) in &self.regions {
            if !(-90.0..=90.0).contains(latitude) || !(-180.0..=180.0).contains(longitude) {
                return Err(invalid(path, "dns.regions", format!("`{region}` is on no globe")));
            }
        }
        for (country, regions) in &self.countries {
            let code = country.len() == 2 && country.bytes().all(|letter| letter.is_ascii_uppercase());
            if !code || regions.is_empty() {
                let problem = format!("`{country}` must be two capitals with at least one region");
                return Err(invalid(path, "dns.countries", problem));
            }
        }
        Ok(())
    }

    fn check_bounds(&self, path: &Path) -> Result<(), ConfigError> {
        let within = |key, value: usize, most: usize, least: usize| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(invalid(path, key, format!("must be {least} to {most}"))),
        };
        within("dns.threads", self.threads.unwrap_or(1), MAX_THREADS, 1)?;
        within("dns.tcp_connections", self.tcp_connections, MAX_TCP_CONNECTIONS, 8)?;
        let (signatures, rate) = (self.signatures_per_second, self.rate_limit.responses_per_second);
        within("dns.signatures_per_second", signatures as usize, MAX_RATE as usize, 1)?;
        within("dns.rate_limit.responses_per_second", rate as usize, MAX_RATE as usize, 0)
    }

    fn check_files(&self, path: &Path, zone: &Zone) -> Result<(), ConfigError> {
        let used = |key: &'static str, problem: Option<String>| match problem {
            Some(problem) => Err(invalid(path, key, problem)),
            None => Ok(()),
        };
        let error = |result: Result<(), sources::LoadError>| result.err().map(|error| chain(&error));
        if let Some(file) = &self.overrides_file {
            used("dns.overrides_file", error(sources::overrides(file).map(drop)))?;
        }
        if let Some(file) = &self.round_trips_file {
            used("dns.round_trips_file", error(sources::round_trips(file).map(drop)))?;
        }
        if let Some(file) = &self.geography_file {
            used("dns.geography_file", error(sources::is_geography(file)))?;
        }
        let keys = self.key_path();
        if keys.exists() {
            let origin = self.settings(zone).origin;
            let read = ZoneKeys::read(keys).and_then(|keys| super::zone::sign::Signers::new(&keys, &origin));
            used("dns.key_file", read.err().map(|error| chain(&error)))?;
        }
        Ok(())
    }

    fn hostmaster(&self, zone: &Zone) -> String {
        self.hostmaster.clone().unwrap_or_else(|| format!("hostmaster@{zone}"))
    }

    /// What the zone is made with.
    pub(crate) fn settings(&self, zone: &Zone) -> Settings {
        let origin = origin(zone);
        // In the order of their numbers: the first is the one the SOA record names.
        let name_servers = self.name_servers.iter().map(|(label, all)| (label.clone(), all.clone()));
        let point = |(region, at): (&RegionId, &Coordinates)| {
            (region.clone(), Point { latitude: at.latitude, longitude: at.longitude })
        };
        Settings {
            hostmaster: mailbox(&self.hostmaster(zone)).unwrap_or_else(|| origin.clone()),
            origin,
            name_servers: name_servers.collect(),
            caa: self.caa.clone(),
            atlas: Atlas {
                regions: self.regions.iter().map(point).collect(),
                countries: self.countries.clone(),
            },
        }
    }

    /// Where questions come.
    pub(crate) fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// Name servers of the zone.
    pub(crate) fn name_servers(&self) -> usize {
        self.name_servers.len()
    }

    /// Threads on each address.
    pub(crate) fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or(cores.min(4))
    }

    /// Files that are read again when they change.
    pub(crate) fn files(&self) -> sources::Paths {
        sources::Paths {
            geography: self.geography_file.clone(),
            overrides: self.overrides_file.clone(),
            round_trips: self.round_trips_file.clone(),
            keys: self.key_path().to_owned(),
        }
    }

    /// Where the keys are.
    pub(crate) fn key_path(&self) -> &Path {
        // Set by `check`, which comes first.
        self.key_file.as_deref().unwrap_or(Path::new("dns.key"))
    }
}

/// A zone's name.
pub(crate) fn origin(zone: &Zone) -> Name {
    // A zone is a DNS name by its type.
    let mut origin = Name::from_ascii(zone.as_str()).unwrap_or_default();
    origin.set_fqdn(true);
    origin
}

/// `dns@example.org` as a name (RFC 1035 §8).
fn mailbox(address: &str) -> Option<Name> {
    let (local, domain) = address.split_once('@')?;
    let domain: Zone = domain.parse().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'.');
    if local.is_empty() || local.len() > 63 || !local.bytes().all(plain) {
        return None;
    }
    origin(&domain).prepend_label(local.as_bytes()).ok()
}

fn default_tcp_connections() -> usize {
    256
}

fn default_signatures_per_second() -> u32 {
    2_000
}
