//! Sealed documents: uploaded once, named by their content, spoken of by every backup that needs them.
//!
//! A document is sealed already when it comes here, with a key that stands in a row of the database. What is
//! listed in a backup was in the place when the list was written.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// Bytes of a name.
pub(crate) const NAME_BYTES: usize = 32;
/// Most names of one list.
pub const MAX_NAMES: usize = 65_536;

/// SHA-256 of a sealed document.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocumentName([u8; NAME_BYTES]);

/// Not the name of a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a document's name is 64 hexadecimal digits")]
pub struct ParseDocumentNameError;

impl DocumentName {
    /// Of a sealed document.
    pub fn of(sealed: &[u8]) -> Self {
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(digest(&SHA256, sealed).as_ref());
        Self(name)
    }

    /// As bytes.
    pub fn as_bytes(&self) -> &[u8; NAME_BYTES] {
        &self.0
    }
}

impl From<[u8; NAME_BYTES]> for DocumentName {
    fn from(hash: [u8; NAME_BYTES]) -> Self {
        Self(hash)
    }
}

impl FromStr for DocumentName {
    type Err = ParseDocumentNameError;

    fn from_str(text: &str) -> Result<Self, ParseDocumentNameError> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 2 * NAME_BYTES || !text.bytes().all(is_hex) {
            return Err(ParseDocumentNameError);
        }
        let mut name = [0; NAME_BYTES];
        for (byte, digits) in name.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| ParseDocumentNameError)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| ParseDocumentNameError)?;
        }
        Ok(Self(name))
    }
}

impl TryFrom<String> for DocumentName {
    type Error = ParseDocumentNameError;

    fn try_from(text: String) -> Result<Self, ParseDocumentNameError> {
        text.parse()
    }
}

impl From<DocumentName> for String {
    fn from(name: DocumentName) -> String {
        name.to_string()
    }
}

impl fmt::Display for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A list as bytes, not sealed yet.
pub(crate) fn encode(names: &[DocumentName]) -> Vec<u8> {
    names.iter().flat_map(|name| name.0).collect()
}

/// What [`encode`] made; `None` for anything else.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<DocumentName>> {
    let names = bytes.chunks_exact(NAME_BYTES);
    if !names.remainder().is_empty() || bytes.len() > MAX_NAMES * NAME_BYTES {
        return None;
    }
    names.map(|name| name.try_into().ok().map(DocumentName)).collect()
}

/// Of the list number `list` that belongs to the snapshot (segment 0) or to a segment.
pub(crate) fn list_name(below: &str, segment: u32, list: u32) -> String {
    format!("{below}/documents/{segment:08}-{list:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_strictly_and_lists_come_back() {
        let name = DocumentName::of(b"sealed");
        assert_eq!(name.to_string().parse(), Ok(name));
        let text = name.to_string();
        for bad in ["", &text[1..], &text.to_uppercase(), &format!("{}+1", &text[2..]), "../../etc"] {
            assert_eq!(bad.parse::<DocumentName>(), Err(ParseDocumentNameError), "{bad}");
        }
        let names = [name, DocumentName::of(b"other")];
        let bytes = encode(&names);
        assert_eq!(decode(&bytes).unwrap(), names);
        assert_eq!(decode(&bytes[1..]), None);
        assert_eq!(decode(&[]).unwrap(), []);
    }
}
