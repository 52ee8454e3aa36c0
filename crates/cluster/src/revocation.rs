//! Whose tokens media nodes refuse although they have not expired: what a media node asks every edge host.
//!
//! Only random names of rooms and participants are in it. It comes over the mesh, from a node whose certificate says
//! that it is an edge host: the same that vouches for the keys of tokens, so it carries no signature of its own.

use serde::{Deserialize, Serialize};

/// Entries of one list. With random names of 22 letters they fit twice into an answer of the mesh.
pub const MAX_REVOCATIONS: usize = 20_000;

/// What a media node asks an edge host.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaQuestion {
    /// Who is refused?
    Revocations {
        /// The edition that the node has of this host; 0: none.
        known: u64,
    },
}

/// What it answers.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaAnswer {
    /// These, and nobody else that this host knows of.
    Revocations(RevocationList),
    /// What the node has is the newest.
    Unchanged,
}

/// Everybody who is refused, as one edge host knows it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct RevocationList {
    /// Another one with each change; random, so that a host that was restarted is not mistaken for itself.
    pub edition: u64,
    /// At most [`MAX_REVOCATIONS`].
    pub revocations: Vec<Revocation>,
}

/// Tokens that are refused until they would have expired anyway.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Revocation {
    /// Of this room.
    pub room: String,
    /// Of this participant; `None`: of everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<String>,
    /// When the last of them has expired, milliseconds since 1970.
    pub until_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_fits_into_an_answer() {
        let revocation = Revocation {
            room: "r".repeat(22),
            participant: Some("p".repeat(22)),
            until_ms: 1_800_000_000_000,
        };
        let list = RevocationList { edition: u64::MAX, revocations: vec![revocation; MAX_REVOCATIONS] };
        let bytes = serde_json::to_vec(&MediaAnswer::Revocations(list)).unwrap();
        assert!(bytes.len() < 4 << 20, "{} bytes", bytes.len());
    }

    #[test]
    fn what_a_newer_release_adds_is_left_aside() {
        let question = r#"{"revocations":{"known":1,"newer":1}}"#;
        assert!(serde_json::from_str::<MediaQuestion>(question).is_ok());
        let answer =
            r#"{"revocations":{"edition":1,"newer":1,"revocations":[{"room":"r","until_ms":1,"newer":1}]}}"#;
        assert!(serde_json::from_str::<MediaAnswer>(answer).is_ok());
    }
}
