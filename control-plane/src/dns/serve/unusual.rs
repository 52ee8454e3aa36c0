//! Everything but the common question: other kinds of message, other classes, further records. Read and answered
//! with `hickory-server`, whose parser knows all of DNS.
//!
//! Only its request handler is used, not its server: that one logs who asks, takes any number of connections
//! and spends a task on each datagram.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use hickory_server::net::NetError;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Edns, MessageType, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_server::proto::rr::{DNSClass, Record};
use hickory_server::proto::serialize::binary::{BinEncodable as _, BinEncoder};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder};

use crate::dns::wire::query::Wrong;
use crate::dns::wire::reply::{self, Transport};
use crate::dns::wire::{FLAG_COMPACT_OK, MAX_UDP_PAYLOAD, PLAIN_UDP_PAYLOAD};
use crate::dns::zone::{Asked, Sections, Snapshot};

/// The answer to a message that `Parsed::read` found unusual.
pub(crate) fn answer(
    snapshot: &Arc<Snapshot>,
    message: &[u8],
    from: SocketAddr,
    transport: Transport,
    now_s: u64,
) -> Option<(ResponseCode, Vec<u8>)> {
    // `hickory` is fuzzed and we know of no panic in it. If there is one, one question is not answered.
    let answered = catch_unwind(AssertUnwindSafe(|| handle(snapshot, message, from, transport, now_s)));
    answered.unwrap_or(None)
}

fn handle(
    snapshot: &Arc<Snapshot>,
    message: &[u8],
    from: SocketAddr,
    transport: Transport,
    now_s: u64,
) -> Option<(ResponseCode, Vec<u8>)> {
    let protocol = match transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
    };
    let Ok(request) = Request::from_bytes(message.to_vec(), from, protocol) else {
        let mut out = Vec::new();
        let code = ResponseCode::FormErr;
        let id = u16::from_be_bytes([*message.first()?, *message.get(1)?]);
        reply::write_wrong(
            &mut out,
            &Wrong { id, recursion_desired: false, question: &[], code, edns: false },
        );
        return Some((code, out));
    };
    let limit = match (transport, request.edns.as_ref()) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => PLAIN_UDP_PAYLOAD,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_UDP_PAYLOAD, MAX_UDP_PAYLOAD),
    };
    let sent = Sent { limit, answer: Arc::default() };
    let handler = Handler { snapshot: snapshot.clone(), now_s };
    // It never waits for anything, so it is done at once.
    let info = handler.handle_request::<_, TokioTime>(&request, sent.clone()).now_or_never()?;
    let answer = sent.answer.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    Some((info.response_code, answer))
}

/// Answers from one generation of the zone.
struct Handler {
    snapshot: Arc<Snapshot>,
    now_s: u64,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        handle: R,
    ) -> ResponseInfo {
        let (code, sections, edns) = self.decide(request);
        match send(request, code, Some(&sections), edns.as_ref(), handle.clone()).await {
            Ok(info) => info,
            // Too large: an empty answer that says so.
            Err(_) => {
                let cut = send(request, code, None, edns.as_ref(), handle).await;
                cut.unwrap_or_else(|_| failed(request))
            }
        }
    }
}

impl Handler {
    fn decide(&self, request: &Request) -> (ResponseCode, Sections, Option<Edns>) {
        let none = |code, edns| (code, Sections::default(), edns);
        let mut edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_UDP_PAYLOAD).set_dnssec_ok(asked.flags().dnssec_ok);
            edns.flags_mut().z = asked.flags().z & FLAG_COMPACT_OK;
            edns
        });
        if request.metadata.op_code != OpCode::Query {
            return none(ResponseCode::NotImp, edns);
        }
        if request.version() != 0 {
            return none(ResponseCode::BADVERS, edns);
        }
        // Nobody has a key for it.
        if request.signature.is_some() {
            return none(ResponseCode::NotAuth, edns);
        }
        let [query] = request.queries.queries() else { return none(ResponseCode::FormErr, edns) };
        if query.query_class() != DNSClass::IN {
            return none(ResponseCode::Refused, edns);
        }
        let mut name = Vec::new();
        if query.name().emit(&mut BinEncoder::new(&mut name)).is_err() {
            return none(ResponseCode::FormErr, edns);
        }
        let asked = Asked {
            name: &name,
            record_type: query.query_type(),
            dnssec: edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
            compact: edns.as_ref().is_some_and(|edns| edns.flags().z & FLAG_COMPACT_OK != 0),
        };
        let subnet = subnet(request);
        let client = subnet.filter(|subnet| subnet.source_prefix() > 0).map(|subnet| subnet.addr());
        let (code, sections, scope) =
            self.snapshot.records(asked, client.unwrap_or_else(|| request.src().ip()), self.now_s);
        if let (Some(edns), Some(subnet)) = (&mut edns, subnet) {
            let scope = if subnet.source_prefix() > 0 { scope } else { 0 };
            let told = ClientSubnet::new(subnet.addr(), subnet.source_prefix(), scope);
            edns.options_mut().insert(EdnsOption::Subnet(told));
        }
        (code, sections, edns)
    }
}

fn subnet(request: &Request) -> Option<ClientSubnet> {
    match request.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(*subnet),
        _ => None,
    }
}

fn metadata(request: &Request, code: ResponseCode, sections: &Sections, truncated: bool) -> Metadata {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.message_type = MessageType::Response;
    metadata.response_code = code;
    metadata.authoritative = truncated || !(sections.answers.is_empty() && sections.authorities.is_empty());
    metadata.truncation = truncated;
    metadata.checking_disabled = false;
    metadata.authentic_data = false;
    metadata.recursion_available = false;
    metadata
}

async fn send<R: ResponseHandler>(
    request: &Request,
    code: ResponseCode,
    sections: Option<&Sections>,
    edns: Option<&Edns>,
    mut handle: R,
) -> Result<ResponseInfo, NetError> {
    let cut = sections.is_none();
    let empty = Sections::default();
    let sections = sections.unwrap_or(&empty);
    let metadata = metadata(request, code, sections, cut);
    let builder = MessageResponseBuilder::new(&request.queries, edns);
    let none: [&Record; 0] = [];
    let Sections { answers, authorities, additionals } = sections;
    handle.send_response(builder.build(metadata, answers, authorities, none, additionals)).await
}

fn failed(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = ResponseCode::ServFail;
    hickory_server::proto::op::Header { metadata, counts: hickory_server::proto::op::HeaderCounts::default() }
        .into()
}

/// Keeps the encoded answer for who asked.
#[derive(Clone)]
struct Sent {
    limit: u16,
    answer: Arc<Mutex<Option<Vec<u8>>>>,
}

#[async_trait::async_trait]
impl ResponseHandler for Sent {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut bytes = Vec::with_capacity(usize::from(PLAIN_UDP_PAYLOAD));
        let mut encoder = BinEncoder::new(&mut bytes);
        encoder.set_max_size(self.limit);
        let cut = response.metadata().truncation;
        let info = response.destructive_emit(&mut encoder)?;
        // The encoder leaves out records that do not fit; then all go, and the OPT record stays.
        if info.truncation && !cut {
            return Err(NetError::from("the answer does not fit"));
        }
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
        Ok(info)
    }
}

#[cfg(test)]
mod tests;
