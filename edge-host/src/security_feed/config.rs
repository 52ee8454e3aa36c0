//! `[security_feed]`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use crate::countries::Countries;

/// Where security events go, and what is one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityFeedConfig {
    /// Lines of JSON are added to this file; it may be moved away at any time.
    pub file: Option<PathBuf>,
    /// Syslog (RFC 5424) over TCP goes there.
    pub syslog: Option<SyslogConfig>,
    /// Which country an address is in: a MaxMind file, where it is not to be the host's own. Without any nobody travels.
    pub geography_file: Option<PathBuf>,
    /// Thresholds.
    #[serde(default)]
    pub rules: SecurityRules,
}

/// A receiver of syslog.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogConfig {
    /// `host:port`.
    pub address: String,
    /// RFC 5425; off only for a receiver on this machine or behind a tunnel.
    #[serde(default = "yes")]
    pub tls: bool,
    /// Certificates to trust, PEM; those of the operating system if left out.
    pub ca_file: Option<PathBuf>,
}

/// When something is more than an event.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecurityRules {
    /// So many accounts that wrong passwords are tried at from one network, within [`window_s`](Self::window_s), are
    /// stuffing.
    pub stuffing_accounts: usize,
    /// Seconds that rules look back.
    pub window_s: u32,
    /// So many audit events in files that one person takes along within the window are a mass export.
    pub export_events: u64,
    /// One person in two countries within so many minutes has not travelled.
    pub travel_minutes: u32,
}

impl Default for SecurityRules {
    fn default() -> Self {
        Self { stuffing_accounts: 10, window_s: 3_600, export_events: 5_000, travel_minutes: 120 }
    }
}

const fn yes() -> bool {
    true
}

/// A feed cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenFeedError {
    /// It cannot be written.
    #[error("security_feed.file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be read.
    #[error("security_feed.geography_file {path}")]
    Geography {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: maxminddb::MaxMindDbError,
    },
    /// They cannot be read.
    #[error("security_feed.syslog.ca_file {path}")]
    Certificates {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody could be trusted.
    #[error("security_feed.syslog: no certificates to trust")]
    NoRoots,
    /// Not a place.
    #[error("security_feed.syslog.address is not host:port")]
    Address,
    /// rustls.
    #[error("prepare TLS for security_feed.syslog")]
    Tls(#[source] rustls::Error),
}

impl SecurityFeedConfig {
    pub(super) fn countries(&self) -> Result<Option<Arc<Countries>>, OpenFeedError> {
        let Some(path) = &self.geography_file else { return Ok(None) };
        let read = Countries::read(path).map(Arc::new);
        read.map(Some).map_err(|source| OpenFeedError::Geography { path: path.clone(), source })
    }
}
