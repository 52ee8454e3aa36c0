//! The files beside the configuration: read at the start, and again whenever they change. One that cannot be used
//! any more is left as it was, and said.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use hickory_server::proto::rr::Name;
use locum_telemetry::config::chain;
use metrics::counter;
use tracing::{info, warn};

use super::challenge;
use super::place::geography::{self, Atlas};
use super::place::prefixes::{self, PrefixError, Prefixes};
use super::place::{Layer, Map, Sources};
use super::zone::keys::{KeyError, ZoneKeys};
use super::zone::sign::Signers;

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) geography: Option<PathBuf>,
    pub(crate) overrides: Option<PathBuf>,
    pub(crate) round_trips: Option<PathBuf>,
    pub(crate) keys: PathBuf,
}

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("read the file")]
    Read(#[source] io::Error),
    #[error("read prefixes")]
    Prefixes(#[from] PrefixError),
    #[error("read geography")]
    Geography(#[from] maxminddb::MaxMindDbError),
    #[error("read keys")]
    Keys(#[from] KeyError),
    #[error("read challenges")]
    Challenges(#[from] challenge::ChallengeError),
}

/// Reads overrides.
pub(crate) fn overrides(path: &Path) -> Result<Prefixes, LoadError> {
    Ok(prefixes::overrides(&text(path)?)?)
}

/// Reads round trips.
pub(crate) fn round_trips(path: &Path) -> Result<Prefixes, LoadError> {
    Ok(prefixes::round_trips(&text(path)?)?)
}

/// Whether a file holds geography, without reading all of it.
pub(crate) fn is_geography(path: &Path) -> Result<(), LoadError> {
    maxminddb::Reader::open_readfile(path).map(drop).map_err(LoadError::from)
}

fn text(path: &Path) -> Result<String, LoadError> {
    fs::read_to_string(path).map_err(LoadError::Read)
}

/// How a file was when it was last looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let stamp =
            |metadata: fs::Metadata| Some((metadata.modified().ok()?, metadata.len(), metadata.ino()));
        Self(fs::metadata(path).ok().and_then(stamp))
    }
}

/// A file that is watched.
struct Watched {
    name: &'static str,
    path: PathBuf,
    stamp: Option<Stamp>,
}

impl Watched {
    fn new(name: &'static str, path: PathBuf) -> Self {
        Self { name, path, stamp: None }
    }

    /// Whether it changed since the last time this was asked, and whether it is there.
    fn changed(&mut self) -> Option<bool> {
        let now = Stamp::of(&self.path);
        (self.stamp.replace(now) != Some(now)).then_some(now.0.is_some())
    }

    /// Says what came of reading it; what was read, if it could be.
    fn told<T>(&self, read: Result<T, LoadError>) -> Option<T> {
        let file = self.name;
        match read {
            Ok(read) => {
                info!(file, "read a file of the name server");
                Some(read)
            }
            Err(error) => {
                counter!("locum_dns_reload_failures_total", "file" => file).increment(1);
                warn!(
                    file,
                    error = chain(&error),
                    "a file of the name server cannot be used; going on with the last"
                );
                None
            }
        }
    }
}

/// What the files say.
pub(crate) struct Files {
    atlas: Atlas,
    origin: Name,
    geography: Option<Watched>,
    overrides: Option<Watched>,
    round_trips: Option<Watched>,
    keys: Watched,
    challenges: Watched,
    /// What each source says of where clients are …
    pub(crate) sources: Sources,
    /// … and all of them.
    pub(crate) map: Arc<Map>,
    /// What signs.
    pub(crate) signers: Option<Arc<Signers>>,
    /// Texts for certificates.
    pub(crate) texts: BTreeMap<String, Vec<String>>,
}

impl Files {
    /// Nothing is read yet.
    pub(crate) fn new(paths: Paths, challenges: PathBuf, origin: Name, atlas: Atlas) -> Self {
        let watched = |name, path: Option<PathBuf>| path.map(|path| Watched::new(name, path));
        let sources = Sources::default();
        Self {
            geography: watched("geography", paths.geography),
            overrides: watched("overrides", paths.overrides),
            round_trips: watched("round-trips", paths.round_trips),
            keys: Watched::new("keys", paths.keys),
            challenges: Watched::new("challenges", challenges),
            map: Arc::new(Map::new(&sources)),
            sources,
            signers: None,
            texts: BTreeMap::new(),
            atlas,
            origin,
        }
    }

    /// Reads what changed. Says whether anything did. Takes as long as reading takes.
    pub(crate) fn refresh(&mut self) -> bool {
        let layer = |prefixes: Prefixes| Arc::new(Layer::from_prefixes(prefixes));
        let mut moved = false;
        if let Some(file) = changed(&mut self.overrides)
            && let Some(prefixes) = file.told(overrides(&file.path))
        {
            self.sources.overrides = layer(prefixes);
            moved = true;
        }
        if let Some(file) = changed(&mut self.round_trips)
            && let Some(prefixes) = file.told(round_trips(&file.path))
        {
            self.sources.round_trips = layer(prefixes);
            moved = true;
        }
        if let Some(file) = changed(&mut self.geography)
            && let Some(read) = file.told(geography::read(&file.path, &self.atlas).map_err(LoadError::from))
        {
            self.sources.geography = Arc::new(read);
            moved = true;
        }
        if moved {
            self.map = Arc::new(Map::new(&self.sources));
        }
        self.refresh_keys() | self.refresh_challenges() | moved
    }

    fn refresh_keys(&mut self) -> bool {
        let signers = match self.keys.changed() {
            None => return false,
            // Nobody takes the keys away by mistake and means an unsigned zone: its parent still says it is signed.
            Some(false) if self.signers.is_some() => {
                warn!("the file of keys is gone; going on with the last keys");
                return false;
            }
            Some(false) => return false,
            Some(true) => ZoneKeys::read(&self.keys.path).and_then(|keys| Signers::new(&keys, &self.origin)),
        };
        match self.keys.told(signers.map_err(LoadError::from)) {
            Some(signers) => self.signers = Some(Arc::new(signers)),
            None => return false,
        }
        true
    }

    fn refresh_challenges(&mut self) -> bool {
        let Some(there) = self.challenges.changed() else { return false };
        if !there {
            return !std::mem::take(&mut self.texts).is_empty();
        }
        match self.challenges.told(challenge::read(&self.challenges.path).map_err(LoadError::from)) {
            Some(texts) => self.texts = texts,
            None => return false,
        }
        true
    }
}

/// The file if it changed and is there. One that is gone is left as it was.
fn changed(file: &mut Option<Watched>) -> Option<&Watched> {
    let file = file.as_mut()?;
    file.changed()?.then_some(&*file)
}
