//! Names and counters of replication.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Not the name of a record group.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a record group's name is one DNS label: 1 to 63 of a-z, 0-9 and inner hyphens")]
pub struct ParseGroupIdError;

/// Names a record group: one database with its own primary, epoch and allowed regions.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupId(String);

/// Grows by one or more each time a primary is appointed, also the same one again. 0: none yet.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Counts the frames of a database's log within one epoch. It begins anew with each epoch, so it means
/// something only inside a [`Position`].
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct FrameNo(pub u64);

/// A point in a group's history. Of two complete copies the one at the greater position holds every
/// acknowledged write that the other holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Position {
    // The order of the fields is the order of positions.
    /// The epoch whose log the copy follows.
    pub epoch: Epoch,
    /// The last frame it holds.
    pub frame: FrameNo,
}

/// Names one voter's durable state: made at random with it, so a host that lost its disk is told from a host
/// that never had anything.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct StoreId(pub u64);

impl GroupId {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupId {
    type Err = ParseGroupIdError;

    fn from_str(text: &str) -> Result<Self, ParseGroupIdError> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let label = (1..=63).contains(&text.len())
            && text.bytes().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-');
        label.then(|| Self(text.to_owned())).ok_or(ParseGroupIdError)
    }
}

impl TryFrom<String> for GroupId {
    type Error = ParseGroupIdError;

    fn try_from(text: String) -> Result<Self, ParseGroupIdError> {
        text.parse()
    }
}

impl From<GroupId> for String {
    fn from(group: GroupId) -> String {
        group.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Epoch {
    /// Before the first.
    pub const ZERO: Epoch = Epoch(0);

    /// `None` once spent: a wrapped epoch would un-fence every old primary.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FrameNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Position {
    /// `frame` of `epoch`.
    pub fn new(epoch: Epoch, frame: FrameNo) -> Self {
        Self { epoch, frame }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_order_by_epoch_first() {
        let late_in_an_old_epoch = Position::new(Epoch(1), FrameNo(506));
        let early_in_a_new_one = Position::new(Epoch(2), FrameNo(3));
        assert!(early_in_a_new_one > late_in_an_old_epoch);
        assert!(Some(late_in_an_old_epoch) > None, "nothing is less than anything");
    }

    #[test]
    fn an_epoch_does_not_wrap() {
        assert_eq!(Epoch::ZERO.next(), Some(Epoch(1)));
        assert_eq!(Epoch(u64::MAX).next(), None);
    }

    #[test]
    fn groups_are_labels() {
        assert_eq!(serde_json::from_str::<GroupId>("\"main\"").unwrap().as_str(), "main");
        for bad in ["", "..", "a/b", "A", "-a", "a-", "a b", "ä"] {
            assert!(bad.parse::<GroupId>().is_err(), "{bad}");
        }
    }
}
