//! One message in, at most one out: the same for both transports.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hickory_server::proto::op::ResponseCode;
use tokio::sync::watch;

use super::limit::{Budget, RateLimit, Ticks, Verdict};
use super::tally::Tally;
use super::unusual;
use crate::dns::wire::cookie::CookieKey;
use crate::dns::wire::query::{Parsed, Query, Wrong};
use crate::dns::wire::reply::{self, FullCookie, Transport};
use crate::dns::zone::Snapshot;

/// What all who answer share.
pub(crate) struct Shared {
    pub(crate) limit: RateLimit,
    pub(crate) cookies: CookieKey,
    /// Signatures for names that are not there: anybody can think of another.
    pub(crate) signatures: Budget,
    pub(crate) begun: Instant,
}

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) ticks: Ticks,
    pub(crate) unix_s: u64,
}

impl Shared {
    /// Now.
    pub(crate) fn now(&self) -> Moment {
        let unix: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { ticks: Ticks::new(self.begun.elapsed()), unix_s: unix.as_secs() }
    }
}

/// Answers messages, one at a time. Each thread and each connection has its own.
pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tally: Tally,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    snapshot: Arc<Snapshot>,
}

impl Engine {
    /// Answers from the newest of `snapshots`.
    pub(crate) fn new(shared: Arc<Shared>, snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        let snapshot = snapshots.borrow().clone();
        Self { shared, tally: Tally::default(), snapshots, snapshot }
    }

    /// Takes the newest generation of the zone. For once a batch.
    pub(crate) fn refresh(&mut self) {
        // Gone only at the end of the process.
        if self.snapshots.has_changed().unwrap_or(false) {
            self.snapshot = self.snapshots.borrow_and_update().clone();
        }
    }

    /// Appends the answer to `message` to `out`, if there is one.
    pub(crate) fn answer(
        &mut self,
        message: &[u8],
        from: SocketAddr,
        transport: Transport,
        now: Moment,
        out: &mut Vec<u8>,
    ) {
        // Nobody has such an address: an answer could only hurt somebody.
        if from.port() == 0 || from.ip().is_unspecified() || from.ip().is_multicast() {
            return self.tally.noise += 1;
        }
        self.tally.of(transport);
        match Parsed::read(message) {
            Parsed::Query(query) => self.answer_query(&query, from.ip(), transport, now, out),
            Parsed::Wrong(wrong) => self.answer_wrong(&wrong, from.ip(), transport, now, out),
            Parsed::Noise => self.tally.noise += 1,
            Parsed::Unusual => self.answer_unusual(message, from, transport, now, out),
        }
    }

    fn answer_query(
        &mut self,
        query: &Query<'_>,
        from: IpAddr,
        transport: Transport,
        now: Moment,
        out: &mut Vec<u8>,
    ) {
        let asked_with = query.edns.and_then(|edns| edns.cookie);
        let known = asked_with.is_some_and(|cookie| self.shared.cookies.is_known(&cookie, from, now.unix_s));
        let cookie = asked_with.map(|cookie| self.shared.cookies.answer(&cookie, from, now.unix_s));
        match self.verdict(from, transport, known, now) {
            Verdict::Answer => {}
            Verdict::Truncate => return reply::write_truncated(out, query, cookie),
            Verdict::Drop => return,
        }
        self.look_up(query, from, transport, now, cookie, out);
    }

    fn look_up(
        &mut self,
        query: &Query<'_>,
        from: IpAddr,
        transport: Transport,
        now: Moment,
        cookie: Option<FullCookie>,
        out: &mut Vec<u8>,
    ) {
        let Self { shared, snapshot, tally, .. } = self;
        let mut affordable = || {
            tally.signed += 1;
            shared.signatures.take(now.ticks)
        };
        let Some(answer) = snapshot.answer(query.asked(), query.client(from), now.unix_s, &mut affordable)
        else {
            // Who really asks comes again over TCP, where there is no such hurry; there, at last, we fail.
            tally.unaffordable += 1;
            if transport == Transport::Udp {
                return reply::write_truncated(out, query, cookie);
            }
            let question = query.question;
            let wrong = Wrong {
                id: query.id,
                recursion_desired: query.recursion_desired,
                question,
                code: ResponseCode::ServFail,
                edns: query.edns.is_some(),
            };
            return reply::write_wrong(out, &wrong);
        };
        tally.code(answer.code);
        tally.cut += u64::from(reply::write(out, query, &answer, transport, cookie));
    }

    fn answer_wrong(
        &mut self,
        wrong: &Wrong<'_>,
        from: IpAddr,
        transport: Transport,
        now: Moment,
        out: &mut Vec<u8>,
    ) {
        if self.verdict(from, transport, false, now) == Verdict::Answer {
            self.tally.code(wrong.code);
            reply::write_wrong(out, wrong);
        }
    }

    fn answer_unusual(
        &mut self,
        message: &[u8],
        from: SocketAddr,
        transport: Transport,
        now: Moment,
        out: &mut Vec<u8>,
    ) {
        self.tally.unusual += 1;
        if self.verdict(from.ip(), transport, false, now) == Verdict::Answer
            && let Some((code, answer)) =
                unusual::answer(&self.snapshot, message, from, transport, now.unix_s)
        {
            self.tally.code(code);
            out.extend_from_slice(&answer);
        }
    }

    /// Whoever completed a handshake or shows our cookie asks from its own address, and is not limited.
    fn verdict(&mut self, from: IpAddr, transport: Transport, known: bool, now: Moment) -> Verdict {
        if transport == Transport::Tcp || known {
            return Verdict::Answer;
        }
        let verdict = self.shared.limit.take(from, now.ticks);
        match verdict {
            Verdict::Answer => {}
            Verdict::Truncate => self.tally.limited_truncated += 1,
            Verdict::Drop => self.tally.limited_dropped += 1,
        }
        verdict
    }
}
