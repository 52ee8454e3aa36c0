//! Counts of one thread or connection, told to the metrics once a batch: a metric costs more than an answer.

use hickory_server::proto::op::ResponseCode;
use metrics::counter;

use crate::dns::wire::reply::Transport;

/// Answers by code that have a name of their own in the metrics.
const CODES: [(ResponseCode, &str); 6] = [
    (ResponseCode::NoError, "noerror"),
    (ResponseCode::NXDomain, "nxdomain"),
    (ResponseCode::Refused, "refused"),
    (ResponseCode::FormErr, "formerr"),
    (ResponseCode::ServFail, "servfail"),
    (ResponseCode::NotImp, "notimp"),
];

/// See the module. No address and no name is ever counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    udp: u64,
    tcp: u64,
    codes: [u64; CODES.len()],
    other_codes: u64,
    pub(crate) noise: u64,
    pub(crate) unusual: u64,
    pub(crate) limited_truncated: u64,
    pub(crate) limited_dropped: u64,
    /// Answers that did not fit.
    pub(crate) cut: u64,
    /// Signatures for names that are not there.
    pub(crate) signed: u64,
    /// … beyond the budget.
    pub(crate) unaffordable: u64,
}

impl Tally {
    /// A message came.
    pub(crate) fn of(&mut self, transport: Transport) {
        match transport {
            Transport::Udp => self.udp += 1,
            Transport::Tcp => self.tcp += 1,
        }
    }

    /// An answer goes.
    pub(crate) fn code(&mut self, code: ResponseCode) {
        match CODES.iter().position(|(known, _)| *known == code) {
            Some(index) => self.codes[index] += 1,
            None => self.other_codes += 1,
        }
    }

    /// Adds everything to the metrics and begins anew.
    pub(crate) fn tell(&mut self) {
        let told = std::mem::take(self);
        let queries = |transport: &'static str, count| {
            add(count, || counter!("locum_dns_queries_total", "transport" => transport))
        };
        queries("udp", told.udp);
        queries("tcp", told.tcp);
        let codes = CODES.iter().map(|(_, name)| *name).zip(told.codes).chain([("other", told.other_codes)]);
        for (code, count) in codes {
            add(count, || counter!("locum_dns_answers_total", "code" => code));
        }
        let limited = |action: &'static str, count| {
            add(count, || counter!("locum_dns_rate_limited_total", "action" => action))
        };
        limited("truncated", told.limited_truncated);
        limited("dropped", told.limited_dropped);
        add(told.noise, || counter!("locum_dns_noise_total"));
        add(told.unusual, || counter!("locum_dns_unusual_queries_total"));
        add(told.cut, || counter!("locum_dns_truncated_answers_total"));
        add(told.signed, || counter!("locum_dns_denials_signed_total"));
        add(told.unaffordable, || counter!("locum_dns_signing_budget_exceeded_total"));
    }
}

fn add(count: u64, counter: impl FnOnce() -> metrics::Counter) {
    if count > 0 {
        counter().increment(count);
    }
}
