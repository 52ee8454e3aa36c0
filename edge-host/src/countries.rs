//! Which country an address is in, from a file in MaxMind's format that the operator gives: of countries or of cities.

use std::net::IpAddr;
use std::path::Path;

use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;

/// A map of the world's addresses.
pub(crate) struct Countries(Reader<Vec<u8>>);

/// What is read of a record. Files of countries only: `country_code`; MaxMind's own: the others.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Found<'a> {
    #[serde(borrow)]
    country_code: Option<&'a str>,
    #[serde(borrow)]
    country: Country<'a>,
    #[serde(borrow)]
    registered_country: Country<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Country<'a> {
    #[serde(borrow)]
    iso_code: Option<&'a str>,
}

impl Countries {
    /// Reads the file, all of it.
    pub(crate) fn read(path: &Path) -> Result<Self, MaxMindDbError> {
        Reader::open_readfile(path).map(Self)
    }

    /// ISO 3166-1, two capital letters; `None` where nobody knows.
    pub(crate) fn of(&self, address: IpAddr) -> Option<String> {
        let found: Found<'_> = self.0.lookup(address.to_canonical()).ok()?.decode().ok()??;
        let code = found.country_code.or(found.country.iso_code).or(found.registered_country.iso_code)?;
        let fits = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
        fits.then(|| code.to_ascii_uppercase())
    }
}
