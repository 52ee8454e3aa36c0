//! Messages on the wire: what the common question says, and how its answer is put together. Anything uncommon is
//! left to `hickory`'s parser (see `serve::unusual`).

pub(crate) mod cookie;
pub(crate) mod query;
pub(crate) mod reply;

/// Largest UDP answer: crosses every path without fragments (DNS flag day 2020).
pub(crate) const MAX_UDP_PAYLOAD: u16 = 1_232;
/// What fits without EDNS.
pub(crate) const PLAIN_UDP_PAYLOAD: u16 = 512;
/// EDNS options.
pub(crate) const OPTION_SUBNET: u16 = 8;
pub(crate) const OPTION_COOKIE: u16 = 10;
/// Flags of EDNS: wants signatures (RFC 3225), knows compact denial (RFC 9824).
pub(crate) const FLAG_DNSSEC_OK: u16 = 0x8000;
pub(crate) const FLAG_COMPACT_OK: u16 = 0x4000;
