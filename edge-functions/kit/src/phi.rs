//! Health data and whatever identifies a person, kept out of logs and errors by its type.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// Protected health information (45 CFR 160.103): `Debug` and `Display` print `[phi]`, and there is no
/// `Serialize`, so it leaves only where somebody wrote [`Phi::open`].
#[derive(Clone, Eq, PartialEq)]
pub struct Phi<T>(T);

impl<T> Phi<T> {
    /// Closes `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Call it only where the value is stored, or answered to a person who may see it.
    pub const fn open(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[phi]")
    }
}

impl<T> fmt::Display for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[phi]")
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Phi<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::Phi;

    #[test]
    fn prints_nothing_of_its_value() {
        let name = Phi::new("Ada Lovelace");
        assert_eq!(format!("{name} {name:?}"), "[phi] [phi]");
        assert_eq!(*name.open(), "Ada Lovelace");
    }
}
