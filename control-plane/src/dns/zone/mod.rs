//! The zone: its names, what stands under each, and for whom.

mod body;
mod content;
pub(crate) mod keys;
mod rank;
pub(crate) mod sign;
mod snapshot;
#[cfg(test)]
pub(crate) mod testing;

use std::net::IpAddr;

use hickory_server::proto::rr::{Name, Record, RecordType};

use super::place::geography::Atlas;
pub(crate) use body::{Body, Sections};
pub(crate) use content::CHALLENGE;
pub(crate) use snapshot::{Answer, Asked, Snapshot};

/// Answers with addresses of nodes, on a calm day …
const TTL_S: u32 = 30;
/// … and around a change.
const FRESH_TTL_S: u32 = 10;
/// What changes only by hand: SOA, NS, name servers' addresses, CAA.
const FIXED_TTL_S: u32 = 3_600;
/// Keys.
pub(crate) const DNSKEY_TTL_S: u32 = 3_600;
/// The longest of all.
pub(crate) const MAX_TTL_S: u32 = 3_600;
/// How long it may be remembered that there is nothing (RFC 2308): also how long a resolver may go on not to know a
/// challenge or a region that is new.
pub(crate) const NEGATIVE_TTL_S: u32 = 30;

/// What of the zone the operator decides.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The zone's name.
    pub(crate) origin: Name,
    /// Mailbox of whoever answers for the zone, as a name.
    pub(crate) hostmaster: Name,
    /// Labels of name servers, and their addresses.
    pub(crate) name_servers: Vec<(String, Vec<IpAddr>)>,
    /// Certificate authorities that may issue for the zone; none: any may.
    pub(crate) caa: Vec<String>,
    /// Where regions are.
    pub(crate) atlas: Atlas,
}

/// Records of one name and type; there is at least one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Set(pub(crate) Vec<Record>);

impl Set {
    /// Their type.
    fn record_type(&self) -> RecordType {
        self.0.first().map_or(RecordType::NULL, Record::record_type)
    }
}
