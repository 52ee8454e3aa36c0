//! Puts an answer together: header, the question as it was sent, the kept body, and an OPT record.

use std::net::IpAddr;

use hickory_server::proto::op::ResponseCode;

use super::query::{CLIENT_COOKIE, Edns, Query, Subnet, Wrong};
use super::{
    FLAG_COMPACT_OK, FLAG_DNSSEC_OK, MAX_UDP_PAYLOAD, OPTION_COOKIE, OPTION_SUBNET, PLAIN_UDP_PAYLOAD,
};
use crate::dns::zone::{Answer, Body};

const RESPONSE: u8 = 0x80;
const AUTHORITATIVE: u8 = 0x04;
const TRUNCATED: u8 = 0x02;

/// A cookie to send: the client's part and ours.
pub(crate) type FullCookie = [u8; CLIENT_COOKIE + 16];

/// How a message came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// The largest answer a client takes.
fn limit(transport: Transport, edns: Option<Edns>) -> usize {
    match (transport, edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => usize::from(PLAIN_UDP_PAYLOAD),
        (Transport::Udp, Some(edns)) => usize::from(edns.payload.clamp(PLAIN_UDP_PAYLOAD, MAX_UDP_PAYLOAD)),
    }
}

/// Appends the answer to `out`. Says whether it was cut.
pub(crate) fn write(
    out: &mut Vec<u8>,
    query: &Query<'_>,
    answer: &Answer<'_>,
    transport: Transport,
    cookie: Option<FullCookie>,
) -> bool {
    let begin = out.len();
    let space = limit(transport, query.edns);
    let opt = query.edns.map_or(0, |edns| opt_length(edns, cookie.is_some()));
    let beside = 12 + query.question.len() + opt;
    let body = answer.body.as_deref();
    let fits = |length: usize| beside + length <= space;
    let (bytes, counts, cut) = match body {
        None => (&[][..], [0; 3], false),
        Some(body) if fits(body.bytes.len()) => (&body.bytes[..], all(body), false),
        // RFC 2181 §9: what is merely helpful may be missing without a word.
        Some(body) if fits(body.needed) => {
            (&body.bytes[..body.needed], [body.answers, body.authorities, 0], false)
        }
        Some(_) => (&[][..], [0; 3], true),
    };
    let authoritative = answer.body.is_some();
    let flags = Flags { authoritative, truncated: cut, recursion_desired: query.recursion_desired };
    header(out, query.id, flags, answer.code, counts, query.question, query.edns.is_some());
    out.extend_from_slice(bytes);
    if let Some(edns) = query.edns {
        write_opt(out, answer.code, edns, answer.scope, cookie);
    }
    debug_assert!(out.len() - begin <= space || cut);
    cut
}

/// Appends an answer that only says: ask again over TCP.
pub(crate) fn write_truncated(out: &mut Vec<u8>, query: &Query<'_>, cookie: Option<FullCookie>) {
    let flags = Flags { authoritative: true, truncated: true, recursion_desired: query.recursion_desired };
    let code = ResponseCode::NoError;
    header(out, query.id, flags, code, [0; 3], query.question, query.edns.is_some());
    if let Some(edns) = query.edns {
        write_opt(out, code, edns, 0, cookie);
    }
}

/// Appends an error.
pub(crate) fn write_wrong(out: &mut Vec<u8>, wrong: &Wrong<'_>) {
    let flags = Flags { authoritative: false, truncated: false, recursion_desired: wrong.recursion_desired };
    header(out, wrong.id, flags, wrong.code, [0; 3], wrong.question, wrong.edns);
    if wrong.edns {
        write_opt(out, wrong.code, Edns::default(), 0, None);
    }
}

struct Flags {
    authoritative: bool,
    truncated: bool,
    recursion_desired: bool,
}

fn all(body: &Body) -> [u16; 3] {
    [body.answers, body.authorities, body.additionals]
}

fn header(
    out: &mut Vec<u8>,
    id: u16,
    flags: Flags,
    code: ResponseCode,
    counts: [u16; 3],
    question: &[u8],
    edns: bool,
) {
    let mut bits = RESPONSE | u8::from(flags.recursion_desired);
    bits |= if flags.authoritative { AUTHORITATIVE } else { 0 };
    bits |= if flags.truncated { TRUNCATED } else { 0 };
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[bits, code.low()]);
    out.extend_from_slice(&u16::from(!question.is_empty()).to_be_bytes());
    let [answers, authorities, additionals] = counts;
    for count in [answers, authorities, additionals + u16::from(edns)] {
        out.extend_from_slice(&count.to_be_bytes());
    }
    out.extend_from_slice(question);
}

fn opt_length(edns: Edns, cookie: bool) -> usize {
    let subnet = edns.subnet.map_or(0, |subnet| 8 + usize::from(subnet.source).div_ceil(8));
    11 + subnet + if cookie { 4 + size_of::<FullCookie>() } else { 0 }
}

fn write_opt(out: &mut Vec<u8>, code: ResponseCode, edns: Edns, scope: u8, cookie: Option<FullCookie>) {
    let flags = if edns.dnssec { FLAG_DNSSEC_OK } else { 0 } | if edns.compact { FLAG_COMPACT_OK } else { 0 };
    let options = opt_length(edns, cookie.is_some()) - 11;
    out.extend_from_slice(&[0, 0, 41]);
    out.extend_from_slice(&MAX_UDP_PAYLOAD.to_be_bytes());
    out.extend_from_slice(&[code.high(), 0]);
    out.extend_from_slice(&flags.to_be_bytes());
    // At most 52.
    out.extend_from_slice(&(options as u16).to_be_bytes());
    if let Some(subnet) = edns.subnet {
        write_subnet(out, subnet, scope);
    }
    if let Some(cookie) = cookie {
        out.extend_from_slice(&OPTION_COOKIE.to_be_bytes());
        out.extend_from_slice(&(cookie.len() as u16).to_be_bytes());
        out.extend_from_slice(&cookie);
    }
}

/// The subnet as it was sent, with the scope. A resolver that does not say where its client is gets none.
fn write_subnet(out: &mut Vec<u8>, subnet: Subnet, scope: u8) {
    let length = usize::from(subnet.source).div_ceil(8);
    out.extend_from_slice(&OPTION_SUBNET.to_be_bytes());
    out.extend_from_slice(&(4 + length as u16).to_be_bytes());
    out.extend_from_slice(&subnet.family.to_be_bytes());
    out.extend_from_slice(&[subnet.source, if subnet.address.is_some() { scope } else { 0 }]);
    match subnet.address {
        Some(IpAddr::V4(address)) => out.extend_from_slice(&address.octets()[..length.min(4)]),
        Some(IpAddr::V6(address)) => out.extend_from_slice(&address.octets()[..length.min(16)]),
        None => {}
    }
}
