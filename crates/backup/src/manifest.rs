//! What a backup says of itself.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use locum_identity::RegionId;
use locum_replication::{GroupId, Position};
use serde::{Deserialize, Serialize};

/// Of the format; a later one is refused. 1: without documents. 2: without regions.
pub const MANIFEST_VERSION: u32 = 3;

/// To the microsecond: a host may make two in one second.
const TIME_FORMAT: &str = "%Y%m%dT%H%M%S.%6fZ";

/// Names a backup: when it began, and a random number. The order of names is the order in time.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

/// Not the name of a backup.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a backup's name is like 20261122T120000.123456Z-0123abcd")]
pub struct ParseBackupIdError;

/// The record group's own key, which other things than the database are derived from.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct GroupKey(String);

/// A whole backup. Sealed like everything else.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// Of what.
    pub group: GroupId,
    /// Its name.
    pub id: BackupId,
    /// When the snapshot was taken.
    pub taken_at: Timestamp,
    /// By a host of this region.
    pub region: RegionId,
    /// Those that may hold the group, preferred ones first; empty: nobody said.
    #[serde(default)]
    pub regions: Vec<RegionId>,
    /// Everything up to here is in it; `None` where there is one copy only.
    pub position: Option<Position>,
    /// Size of a page.
    pub page_bytes: u32,
    /// Pages of the database.
    pub pages: u32,
    /// SHA-256 of all pages, in order, in hexadecimal.
    pub sha256: String,
    /// Objects below `pages/`.
    pub chunks: u32,
    /// Their sizes, sealed.
    pub sealed_bytes: u64,
    /// Table → rows.
    pub tables: BTreeMap<String, u64>,
    /// The group's key.
    pub group_key: GroupKey,
    /// Lists of the documents that the snapshot's rows name.
    #[serde(default)]
    pub document_lists: u32,
    /// Documents that rows name and that no host had: the backup speaks of them nowhere else.
    #[serde(default)]
    pub documents_missing: u64,
}

impl BackupId {
    /// A new name for a backup that begins now.
    pub fn new(now: Timestamp, random: u32) -> Self {
        Self(format!("{}-{random:08x}", now.strftime(TIME_FORMAT)))
    }

    /// When it began.
    pub fn began_at(&self) -> Timestamp {
        parse_time(&self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn parse_time(id: &str) -> Option<Timestamp> {
    let (time, random) = id.split_once('-')?;
    let is_number =
        random.len() == 8 && random.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let began = jiff::civil::DateTime::strptime(TIME_FORMAT, time).ok()?;
    let began = began.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    // Any other way of writing it would not be in order.
    (is_number && began.strftime(TIME_FORMAT).to_string() == time).then_some(began)
}

impl FromStr for BackupId {
    type Err = ParseBackupIdError;

    fn from_str(text: &str) -> Result<Self, ParseBackupIdError> {
        parse_time(text).map(|_| Self(text.to_owned())).ok_or(ParseBackupIdError)
    }
}

impl TryFrom<String> for BackupId {
    type Error = ParseBackupIdError;

    fn try_from(text: String) -> Result<Self, ParseBackupIdError> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> String {
        id.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl GroupKey {
    /// Wraps it.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupKey([secret])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_order_in_time_and_are_parsed_strictly() {
        let early = BackupId::new("2026-11-22T10:00:00.0409Z".parse().unwrap(), u32::MAX);
        let late = BackupId::new("2026-11-22T10:00:00.0411Z".parse().unwrap(), 0);
        assert_eq!(early.as_str(), "20261122T100000.040900Z-ffffffff");
        assert!(early < late, "within one second too");
        assert_eq!(late.began_at(), "2026-11-22T10:00:00.0411Z".parse().unwrap());
        assert_eq!(late.as_str().parse::<BackupId>().unwrap(), late);
        for bad in [
            "",
            "20261122T095959.000000Z",
            "20261322T095959.000000Z-00000000",
            "20261122T095959.000000Z-0",
            "20261122T095959.5Z-00000000",
            "20261122T095959Z-00000000",
            "../..-00000000",
        ] {
            assert!(bad.parse::<BackupId>().is_err(), "{bad}");
        }
    }
}
