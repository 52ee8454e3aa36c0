//! What media nodes tell edge hosts of calls: random ids and figures, so that a visit can be metered.

use serde::{Deserialize, Serialize};

/// Most events of one message.
pub const MAX_CALL_EVENTS: usize = 256;

/// Longest of the names in an event, in bytes: what a media node takes from a token.
pub const MAX_NAME_BYTES: usize = 64;

/// Question of a media node: keep these.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct CallEvents {
    /// The oldest first.
    pub events: Vec<CallEvent>,
}

/// Answer of an edge host.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct CallEventsKept {
    /// Places in the question of what is kept now, or was before.
    pub kept: Vec<usize>,
    /// Places of what belongs to no call that this host knows of; another one may.
    pub unknown: Vec<usize>,
}

/// One thing that happened in a call. With the node's name, `start` and `sequence` name it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallEvent {
    /// Drawn by the node when it starts.
    pub start: String,
    /// Grows by one from event to event of a start: a gap tells of lost ones.
    pub sequence: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// What the join token names for this purpose; only edge hosts know whose call it is.
    pub sink: String,
    /// Who, as the join token says.
    pub participant: String,
    /// What happened.
    #[serde(flatten)]
    pub what: CallEventKind,
}

/// What happened to a participant. A stay is one participant's time at one node, by one join.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum CallEventKind {
    /// Media is connected: the stay begins.
    Joined {
        /// The stay.
        stay: String,
    },
    /// Still there, said now and then: should the node die, the stay ended about here.
    Present {
        /// The stay.
        stay: String,
    },
    /// Nothing was heard of the participant for so long, until now.
    Gap {
        /// The stay.
        stay: String,
        /// How long.
        gap_ms: u64,
    },
    /// The stay is over.
    Left {
        /// The stay.
        stay: String,
        /// Why: one of few words.
        reason: String,
    },
    /// A genuine token was not taken.
    TokenRefused {
        /// Why: one of few words.
        reason: String,
    },
}

impl CallEventKind {
    /// The stay, if somebody was there.
    #[must_use]
    pub fn stay(&self) -> Option<&str> {
        match self {
            Self::Joined { stay }
            | Self::Present { stay }
            | Self::Gap { stay, .. }
            | Self::Left { stay, .. } => Some(stay),
            Self::TokenRefused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_flat_json() {
        let event = CallEvent {
            start: "s".to_owned(),
            sequence: 7,
            at_ms: 1,
            sink: "k".to_owned(),
            participant: "p".to_owned(),
            what: CallEventKind::Gap { stay: "PA_1".to_owned(), gap_ms: 12_000 },
        };
        let text = json!({
            "start": "s", "sequence": 7, "atMs": 1, "sink": "k", "participant": "p",
            "kind": "gap", "stay": "PA_1", "gapMs": 12_000,
        });
        assert_eq!(serde_json::to_value(&event).unwrap(), text);
        assert_eq!(serde_json::from_value::<CallEvent>(text).unwrap(), event);
    }
}
