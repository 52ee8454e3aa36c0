//! Clinics: who they are in a URL, and which record group holds their records.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use crate::store::GroupId;

/// Names a clinic in URLs.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct ClinicId(String);

/// Clinic → record group. The signed directory of the network replaces the configured table later.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Clinics(BTreeMap<ClinicId, GroupId>);

impl ClinicId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClinicId {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        check_slug(&name).map(|()| Self(name))
    }
}

impl fmt::Display for ClinicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Clinics {
    /// The clinic of a path segment. Anything that is not exactly a clinic's name is unknown.
    pub fn find(&self, segment: &str) -> Option<(&ClinicId, &GroupId)> {
        self.0.iter().find(|(clinic, _)| clinic.as_str() == segment)
    }

    /// Every clinic, in order.
    pub fn names(&self) -> impl Iterator<Item = &ClinicId> {
        self.0.keys()
    }

    /// The clinics of a record group.
    pub(crate) fn of(&self, group: &GroupId) -> impl Iterator<Item = &ClinicId> {
        self.0.iter().filter(move |(_, own)| *own == group).map(|(clinic, _)| clinic)
    }

    /// Every record group that a clinic needs.
    pub fn groups(&self) -> BTreeSet<GroupId> {
        self.0.values().cloned().collect()
    }
}

/// A clinic's name stands in URLs: one DNS label.
fn check_slug(name: &str) -> Result<(), String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = !name.starts_with('-') && !name.ends_with('-');
    if (1..=63).contains(&name.len()) && name.bytes().all(inner) && edges {
        Ok(())
    } else {
        Err("a name is 1 to 63 of a-z, 0-9 and inner hyphens".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::check_slug;

    #[test]
    fn slugs_are_labels() {
        for good in ["demo", "a", "eu-1"] {
            assert!(check_slug(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", "A", "-a", "a-", "a b", "ä"] {
            assert!(check_slug(bad).is_err(), "{bad}");
        }
    }
}
