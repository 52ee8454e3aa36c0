//! Reads a question: the one kind that nearly all are of, straight from the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::RecordType;

use super::{FLAG_COMPACT_OK, FLAG_DNSSEC_OK, OPTION_COOKIE, OPTION_SUBNET};
use crate::dns::zone::Asked;

const HEADER: usize = 12;
const MAX_NAME: usize = 255;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;
/// A client's part of a cookie (RFC 7873 §4).
pub(crate) const CLIENT_COOKIE: usize = 8;
const MAX_COOKIE: usize = 40;

/// What a datagram or a message from a stream is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are queries, and none is kept")]
pub(crate) enum Parsed<'a> {
    /// A question to answer.
    Query(Query<'a>),
    /// A message to answer with an error.
    Wrong(Wrong<'a>),
    /// Nothing to answer: an answer itself, or too short to be anything.
    Noise,
    /// Well-formed so far and uncommon.
    Unusual,
}

/// A question for one name and type in class IN.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pub(crate) id: u16,
    pub(crate) recursion_desired: bool,
    /// As it was sent: its letters may be written anyhow, and come back so.
    pub(crate) question: &'a [u8],
    pub(crate) record_type: RecordType,
    pub(crate) edns: Option<Edns>,
    name: [u8; MAX_NAME],
    name_len: u8,
}

/// A message that is not as it should be.
#[derive(Debug, PartialEq)]
pub(crate) struct Wrong<'a> {
    pub(crate) id: u16,
    pub(crate) recursion_desired: bool,
    /// The question, if it was readable.
    pub(crate) question: &'a [u8],
    pub(crate) code: ResponseCode,
    /// It has an OPT record, so the answer has one.
    pub(crate) edns: bool,
}

/// What the OPT record says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Edns {
    pub(crate) payload: u16,
    pub(crate) dnssec: bool,
    pub(crate) compact: bool,
    pub(crate) subnet: Option<Subnet>,
    pub(crate) cookie: Option<Cookie>,
}

/// Where the client behind the resolver is (RFC 7871).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Subnet {
    /// `None`: the resolver says that it does not say.
    pub(crate) address: Option<IpAddr>,
    /// As sent: 1, 2, or 0 with nothing behind.
    pub(crate) family: u16,
    pub(crate) source: u8,
}

/// A cookie (RFC 7873).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cookie {
    pub(crate) client: [u8; CLIENT_COOKIE],
    /// What we said last time, if it has the length of ours.
    pub(crate) server: Option<[u8; 16]>,
}

impl Query<'_> {
    /// The question for a zone.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked {
            name: &self.name[..usize::from(self.name_len)],
            record_type: self.record_type,
            dnssec: self.edns.is_some_and(|edns| edns.dnssec),
            compact: self.edns.is_some_and(|edns| edns.compact),
        }
    }

    /// Where the client is, as far as is known: what the resolver says, or the resolver itself.
    pub(crate) fn client(&self, source: IpAddr) -> IpAddr {
        self.edns.and_then(|edns| edns.subnet).and_then(|subnet| subnet.address).unwrap_or(source)
    }
}

impl<'a> Parsed<'a> {
    /// Reads a message. Never fails, whatever it is.
    pub(crate) fn read(message: &'a [u8]) -> Self {
        let word = |at: usize| message.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]));
        if message.len() < HEADER || message[2] & 0x80 != 0 {
            return Self::Noise;
        }
        let is_query = message[2] & 0x78 == 0;
        let (questions, answers, authorities, additionals) = (word(4), word(6), word(8), word(10));
        if !is_query || questions != 1 || answers != 0 || authorities != 0 || additionals > 1 {
            return Self::Unusual;
        }
        let mut wrong = Wrong {
            id: word(0),
            recursion_desired: message[2] & 1 != 0,
            question: &[],
            code: ResponseCode::FormErr,
            edns: false,
        };
        let mut name = [0; MAX_NAME];
        let Some(name_len) = read_name(&message[HEADER..], &mut name) else { return Self::Wrong(wrong) };
        let end = HEADER + usize::from(name_len) + 4;
        let Some(question) = message.get(HEADER..end) else { return Self::Wrong(wrong) };
        wrong.question = question;
        let (record_type, class) = (word(end - 4), word(end - 2));
        if class != CLASS_IN {
            return Self::Unusual;
        }
        let edns = match read_additional(&message[end..], additionals == 1) {
            Additional::None => None,
            Additional::Edns(edns) => Some(edns),
            Additional::Other => return Self::Unusual,
            Additional::Wrong(code, edns) => return Self::Wrong(Wrong { code, edns, ..wrong }),
        };
        let Wrong { id, recursion_desired, .. } = wrong;
        let record_type = RecordType::from(record_type);
        Self::Query(Query { id, recursion_desired, question, record_type, edns, name, name_len })
    }
}

/// Copies an uncompressed name in small letters; returns its length in bytes.
fn read_name(bytes: &[u8], name: &mut [u8; MAX_NAME]) -> Option<u8> {
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        // Two high bits: a pointer, which leads nowhere in a first name.
        let end = at + 1 + length;
        if length > 63 || end > MAX_NAME {
            return None;
        }
        let (from, to) = (bytes.get(at..end)?, &mut name[at..end]);
        to.copy_from_slice(from);
        to[1..].make_ascii_lowercase();
        if length == 0 {
            return u8::try_from(end).ok();
        }
        at = end;
    }
}

enum Additional {
    None,
    Edns(Edns),
    /// A record that is no OPT.
    Other,
    Wrong(ResponseCode, bool),
}

/// Reads what stands behind the question: nothing, or one OPT record (RFC 6891 §6.1.2).
fn read_additional(bytes: &[u8], expected: bool) -> Additional {
    if !expected {
        // Something behind the end.
        return if bytes.is_empty() {
            Additional::None
        } else {
            Additional::Wrong(ResponseCode::FormErr, false)
        };
    }
    let Some((head, options)) = bytes.split_at_checked(11) else {
        return Additional::Wrong(ResponseCode::FormErr, false);
    };
    if head[0] != 0 || u16::from_be_bytes([head[1], head[2]]) != TYPE_OPT {
        return Additional::Other;
    }
    if usize::from(u16::from_be_bytes([head[9], head[10]])) != options.len() {
        return Additional::Wrong(ResponseCode::FormErr, true);
    }
    if head[6] != 0 {
        return Additional::Wrong(ResponseCode::BADVERS, true);
    }
    let flags = u16::from_be_bytes([head[7], head[8]]);
    let mut edns = Edns {
        payload: u16::from_be_bytes([head[3], head[4]]),
        dnssec: flags & FLAG_DNSSEC_OK != 0,
        compact: flags & FLAG_COMPACT_OK != 0,
        ..Edns::default()
    };
    match read_options(options, &mut edns) {
        Some(()) => Additional::Edns(edns),
        None => Additional::Wrong(ResponseCode::FormErr, true),
    }
}

fn read_options(mut bytes: &[u8], edns: &mut Edns) -> Option<()> {
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_at_checked(4)?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (value, rest) = rest.split_at_checked(length)?;
        match u16::from_be_bytes([head[0], head[1]]) {
            OPTION_SUBNET if edns.subnet.is_none() => edns.subnet = Some(Subnet::read(value)?),
            OPTION_COOKIE if edns.cookie.is_none() => edns.cookie = Some(Cookie::read(value)?),
            _ => {}
        }
        bytes = rest;
    }
    Some(())
}

impl Subnet {
    /// Strict, as RFC 7871 §6 and §7.1.2 are: a scope of zero, no more bytes than the prefix needs, no bits beyond.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let (head, bytes) = value.split_at_checked(4)?;
        let (family, source, scope) = (u16::from_be_bytes([head[0], head[1]]), head[2], head[3]);
        if scope != 0 || bytes.len() != usize::from(source).div_ceil(8) {
            return None;
        }
        let mut octets = [0; 16];
        octets.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let (bits, address) = match family {
            0 if source == 0 => (0, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            1 => (32, IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]))),
            2 => (128, IpAddr::V6(Ipv6Addr::from(octets))),
            _ => return None,
        };
        let beyond = bytes.last().is_some_and(|last| last & low_bits(source) != 0);
        if source > bits || beyond {
            return None;
        }
        Some(Self { address: (source > 0).then_some(address), family, source })
    }
}

/// The bits of a prefix's last byte that lie beyond it.
fn low_bits(source: u8) -> u8 {
    match source % 8 {
        0 => 0,
        used => 0xff >> used,
    }
}

impl Cookie {
    /// 8 bytes of the client, and nothing or 8 to 32 of the server (RFC 7873 §5.2.2).
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let (client, server) = value.split_at_checked(CLIENT_COOKIE)?;
        if value.len() > MAX_COOKIE || (1..8).contains(&server.len()) {
            return None;
        }
        Some(Self { client: client.try_into().ok()?, server: server.try_into().ok() })
    }
}

#[cfg(test)]
pub(crate) mod tests;
