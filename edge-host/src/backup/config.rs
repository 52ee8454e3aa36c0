//! `[backup]` of `edge.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use locum_backup::{BucketAccess, Keep, KeyError, MasterKey, Place, PlaceError, Repository};
use locum_identity::private_file;
use locum_telemetry::config::resolve;
use serde::Deserialize;

const SECOND: u64 = 1;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// Where backups of the record groups go, and when. Only the host that leads a group makes them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// A folder, or `s3://bucket/below`.
    pub to: String,
    /// Where the backups' keys go, as for `to` [default: the same place]. What opens backups is better kept
    /// apart from them.
    pub keyring: Option<String>,
    /// 32 random bytes in hexadecimal (0600) that wrap the backups' keys; `locum backup key` makes one.
    pub key_file: PathBuf,
    /// Between whole backups, such as `24h`: one minute to 31 days.
    #[serde(default = "default_every")]
    pub every: String,
    /// Between segments of the log, which are the points in time that can be restored: 1 s to 1 h.
    #[serde(default = "default_segments")]
    pub segments: String,
    /// Every point in time that is younger can be restored: 1 hour to 10 years.
    #[serde(default = "default_keep")]
    pub keep: String,
    /// Whole backups that are kept whatever their age: 1 to 1,000.
    #[serde(default = "default_keep_count")]
    pub keep_count: u32,
    /// Between restore drills: one hour to 31 days.
    #[serde(default = "default_drill_every")]
    pub drill_every: String,
    /// URL of an S3-compatible service [default: `AWS_ENDPOINT`, or Amazon's].
    pub s3_endpoint: Option<String>,
    /// Its region [default: `AWS_REGION`].
    pub s3_region: Option<String>,
    /// Name of the access key [default: `AWS_ACCESS_KEY_ID`].
    pub s3_access_key_id: Option<String>,
    /// The access key (0600) [default: `AWS_SECRET_ACCESS_KEY`].
    pub s3_secret_key_file: Option<PathBuf>,
}

/// When things are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) every: Duration,
    pub(crate) segments: Duration,
    pub(crate) keep: Keep,
    pub(crate) drill_every: Duration,
}

/// A place for backups cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenBackupError {
    /// The master key.
    #[error("backup.key_file")]
    Key(#[source] KeyError),
    /// The access key.
    #[error("backup.s3_secret_key_file {path}")]
    Secret {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder or bucket.
    #[error("backup.{key}")]
    Place {
        /// Of the configuration.
        key: &'static str,
        /// Why.
        #[source]
        source: PlaceError,
    },
}

impl BackupConfig {
    /// Makes paths absolute or relative to the working folder.
    pub(crate) fn resolve(&mut self, file: &Path) {
        for place in [Some(&mut self.to), self.keyring.as_mut()].into_iter().flatten() {
            if !place.contains("://") {
                *place = resolve(file, Path::new(place.as_str())).to_string_lossy().into_owned();
            }
        }
        self.key_file = resolve(file, &self.key_file);
        self.s3_secret_key_file = self.s3_secret_key_file.take().map(|path| resolve(file, &path));
    }

    /// The schedule, or the key that is wrong and why.
    pub(crate) fn schedule(&self) -> Result<Schedule, (&'static str, String)> {
        let bucket = |place: &str| place.strip_prefix("s3://").is_some_and(|bucket| !bucket.is_empty());
        for (key, place) in [("backup.to", Some(&self.to)), ("backup.keyring", self.keyring.as_ref())] {
            if place.is_some_and(|place| place.is_empty() || (place.contains("://") && !bucket(place))) {
                return Err((key, "a folder, or s3://bucket".to_owned()));
            }
        }
        if self.s3_access_key_id.is_some() != self.s3_secret_key_file.is_some() {
            return Err(("backup.s3_secret_key_file", "goes with `s3_access_key_id`".to_owned()));
        }
        if !(1..=1_000).contains(&self.keep_count) {
            return Err(("backup.keep_count", "is between 1 and 1000".to_owned()));
        }
        let length = |key, text: &str, least: u64, most: u64| {
            let bounds = Duration::from_secs(least)..=Duration::from_secs(most);
            parse_length(text)
                .filter(|length| bounds.contains(length))
                .ok_or_else(|| (key, format!("a length of time such as 24h, from {least} s to {most} s")))
        };
        let age = length("backup.keep", &self.keep, HOUR, 3_650 * DAY)?;
        Ok(Schedule {
            every: length("backup.every", &self.every, 60, 31 * DAY)?,
            segments: length("backup.segments", &self.segments, SECOND, HOUR)?,
            keep: Keep { age, count: self.keep_count as usize },
            drill_every: length("backup.drill_every", &self.drill_every, HOUR, 31 * DAY)?,
        })
    }

    /// Opens the place and the keyring; a folder that is not there is made.
    pub(crate) fn open(&self) -> Result<Repository, OpenBackupError> {
        let master = MasterKey::read(&self.key_file).map_err(OpenBackupError::Key)?;
        let secret = self.s3_secret_key_file.as_ref().map(|path| {
            let text = private_file::read_to_string(path);
            text.map_err(|source| OpenBackupError::Secret { path: path.clone(), source })
        });
        let access = BucketAccess {
            endpoint: self.s3_endpoint.clone(),
            region: self.s3_region.clone(),
            access_key_id: self.s3_access_key_id.clone(),
            secret_access_key: secret.transpose()?.map(|text| text.trim().to_owned()),
        };
        let open = |key, to: &str| {
            Place::open(to, &access, true).map_err(|source| OpenBackupError::Place { key, source })
        };
        let place = open("to", &self.to)?;
        let keyring = self.keyring.as_ref().map_or_else(|| Ok(place.clone()), |to| open("keyring", to))?;
        Ok(Repository::new(place, keyring, master))
    }
}

/// Such as `10s`, `24h`, `35d`; a day has 24 hours.
fn parse_length(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    length.try_into().ok()
}

fn default_every() -> String {
    "24h".to_owned()
}

fn default_segments() -> String {
    "10s".to_owned()
}

fn default_keep() -> String {
    "35d".to_owned()
}

fn default_keep_count() -> u32 {
    3
}

fn default_drill_every() -> String {
    "7d".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Result<BackupConfig, toml::de::Error> {
        toml::from_str(&format!("to = \"backups\"\nkey_file = \"backup.key\"\n{more}"))
    }

    #[test]
    fn lengths_have_units_and_bounds() {
        let schedule = config("").unwrap().schedule().unwrap();
        assert_eq!(schedule.every, Duration::from_secs(86_400));
        assert_eq!(schedule.segments, Duration::from_secs(10));
        assert_eq!(schedule.keep.age, Duration::from_secs(35 * 86_400));
        for (key, bad) in [
            ("backup.every", "every = \"1s\""),
            ("backup.every", "every = \"tomorrow\""),
            ("backup.segments", "segments = \"0s\""),
            ("backup.segments", "segments = \"2h\""),
            ("backup.keep", "keep = \"-35d\""),
            ("backup.keep_count", "keep_count = 0"),
            ("backup.drill_every", "drill_every = \"7\""),
            ("backup.keyring", "keyring = \"ftp://there\""),
            ("backup.s3_secret_key_file", "s3_access_key_id = \"id\""),
        ] {
            assert_eq!(config(bad).unwrap().schedule().unwrap_err().0, key, "{bad}");
        }
        assert!(config("evry = \"24h\"").is_err());
    }

    #[test]
    fn folders_are_seen_from_the_file_and_buckets_are_not() {
        let mut config = config("keyring = \"s3://bucket/keys\"").unwrap();
        config.resolve(Path::new("/etc/locum/edge.toml"));
        assert_eq!(config.to, "/etc/locum/backups");
        assert_eq!(config.keyring.unwrap(), "s3://bucket/keys");
        assert_eq!(config.key_file, Path::new("/etc/locum/backup.key"));
    }
}
