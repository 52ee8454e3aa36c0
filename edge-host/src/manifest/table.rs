//! A table of the application that the host itself reads.

use std::fmt;
use std::str::FromStr;

/// Its name: small letters and `_`, so that it can stand in a statement as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableName(String);

/// Not such a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a table's name is small letters and `_`, 63 at most")]
pub struct ParseTableError;

impl FromStr for TableName {
    type Err = ParseTableError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let allowed = |letter: u8| letter.is_ascii_lowercase() || letter == b'_';
        let fits = (1..=63).contains(&name.len()) && name.bytes().all(allowed);
        if fits { Ok(Self(name.to_owned())) } else { Err(ParseTableError) }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_stand_in_a_statement() {
        assert_eq!("visit_revocation".parse::<TableName>().unwrap().to_string(), "visit_revocation");
        for bad in ["", "a b", "a;", "A", "a\"", &"a".repeat(64)] {
            assert!(bad.parse::<TableName>().is_err(), "{bad}");
        }
    }
}
