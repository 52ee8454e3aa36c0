//! What was erased and is to stay so. Ids only: it outlives every backup.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::document::DocumentName;

/// Names an erasure; random.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ErasureId(u128);

/// Not the name of an erasure.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an erasure's name is 32 hexadecimal digits")]
pub struct ParseErasureIdError;

/// One entry of the journal.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// Which.
    pub id: ErasureId,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    pub what: Erased,
}

/// What was erased. A kind that this release does not know cannot be erased again by it: it refuses to restore.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Erased {
    /// A document of a clinic.
    Document {
        /// The clinic.
        clinic: String,
        /// The application's id of it.
        document: String,
        /// The sealed file that went with it; `None` while another document had the same content.
        content: Option<DocumentName>,
    },
}

impl Erasure {
    /// The sealed file that went.
    pub fn content(&self) -> Option<DocumentName> {
        let Erased::Document { content, .. } = &self.what;
        *content
    }
}

impl ErasureId {
    /// As it stands in a row.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl From<[u8; 16]> for ErasureId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl FromStr for ErasureId {
    type Err = ParseErasureIdError;

    fn from_str(text: &str) -> Result<Self, ParseErasureIdError> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_hex) {
            return Err(ParseErasureIdError);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| ParseErasureIdError)
    }
}

impl TryFrom<String> for ErasureId {
    type Error = ParseErasureIdError;

    fn try_from(text: String) -> Result<Self, ParseErasureIdError> {
        text.parse()
    }
}

impl From<ErasureId> for String {
    fn from(id: ErasureId) -> String {
        id.to_string()
    }
}

impl fmt::Display for ErasureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_and_an_unknown_kind_does_not() {
        let what = Erased::Document {
            clinic: "demo".to_owned(),
            document: "d-1".to_owned(),
            content: Some(DocumentName::of(b"x")),
        };
        let erasure = Erasure { id: ErasureId::from([7; 16]), at_ms: 9, what };
        let text = serde_json::to_string(&erasure).unwrap();
        assert_eq!(serde_json::from_str::<Erasure>(&text).unwrap(), erasure);
        assert!(serde_json::from_str::<Erasure>(&text.replace("document\":{", "galaxy\":{")).is_err());
    }
}
