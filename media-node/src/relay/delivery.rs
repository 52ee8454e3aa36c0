//! Reliable data packets between two nodes: each once, in order, over links that come and go.
//!
//! Go-back-N over the link's stream: the stream loses nothing while it lasts, so packets are sent again when a new one
//! begins, or when the other side does not move on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::messages::{Data, RoomData};

/// Packets, and their bytes, that wait for one node. What is more is dropped, the newest first: it was not taken.
const MAX_WAITING: usize = 1_024;
const MAX_WAITING_BYTES: usize = 8 << 20;

/// Packets sent beyond what the other side has confirmed.
const MAX_UNCONFIRMED: usize = 256;

/// Without a step of the other side for so long, all is sent again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Packets to one node.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Number of the first that waits, less one.
    confirmed: u64,
    waiting: VecDeque<RoomData>,
    bytes: usize,
    /// How many of those waiting were sent on this link.
    sent: usize,
    moved_at: Option<Instant>,
}

impl Outgoing {
    /// Takes a packet, unless too much waits already.
    pub(super) fn push(&mut self, packet: RoomData) -> bool {
        let bytes = self.bytes + packet.message.len();
        let fits = self.waiting.len() < MAX_WAITING && bytes <= MAX_WAITING_BYTES;
        if fits {
            self.bytes = bytes;
            self.waiting.push_back(packet);
        }
        fits
    }

    /// What is to be sent now.
    pub(super) fn send(&mut self, now: Instant) -> Vec<Data> {
        let is_stuck = |at: Instant| now.saturating_duration_since(at) >= AGAIN_AFTER;
        if self.sent > 0 && self.moved_at.is_some_and(is_stuck) {
            self.sent = 0;
        }
        let upto = self.waiting.len().min(MAX_UNCONFIRMED);
        let next = (self.sent..upto).map(|at| Data {
            number: self.confirmed + 1 + at as u64,
            oldest: self.confirmed + 1,
            packet: self.waiting.get(at).cloned(),
        });
        let next: Vec<_> = next.collect();
        if !next.is_empty() {
            self.sent = upto;
            self.moved_at = Some(now);
        }
        next
    }

    /// The other side has everything up to this number.
    pub(super) fn confirm(&mut self, now: Instant, number: u64) {
        let steps = number.saturating_sub(self.confirmed).min(self.sent as u64);
        for _ in 0..steps {
            let gone = self.waiting.pop_front();
            self.bytes -= gone.map_or(0, |packet| packet.message.len());
            self.confirmed += 1;
            self.sent -= 1;
            self.moved_at = Some(now);
        }
    }

    /// A new link: nothing was sent on it.
    pub(super) fn begin(&mut self) {
        self.sent = 0;
    }

    /// Nobody waits for these any more.
    pub(super) fn drop_waiting(&mut self) {
        self.confirmed += self.waiting.len() as u64;
        (self.bytes, self.sent) = (0, 0);
        self.waiting.clear();
    }

    /// Whether anything waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Packets from one node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Incoming {
    /// Number of the last that arrived in order.
    pub(super) last: u64,
}

impl Incoming {
    /// The packet, if it is the next one.
    pub(super) fn accept(&mut self, data: Data) -> Option<RoomData> {
        // What the sender no longer has is not waited for.
        if data.number != (self.last + 1).max(data.oldest) {
            return None;
        }
        self.last = data.number;
        data.packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(text: &str) -> RoomData {
        RoomData { room: "room".into(), message: text.as_bytes().to_vec().into(), destinations: Vec::new() }
    }

    fn texts(packets: &[RoomData]) -> Vec<String> {
        packets.iter().map(|p| String::from_utf8(p.message.to_vec()).unwrap()).collect()
    }

    #[test]
    fn what_a_broken_link_swallowed_comes_once_and_in_order() {
        let (mut out, mut into, now) = (Outgoing::default(), Incoming::default(), Instant::now());
        ["1", "2", "3"].into_iter().for_each(|text| assert!(out.push(packet(text))));
        let mut heard = Vec::new();
        // The second is lost with its link, and so is the confirmation of the first.
        let first = out.send(now);
        heard.extend(into.accept(first[0].clone()));
        heard.extend(into.accept(first[2].clone()));
        assert_eq!(texts(&heard), ["1"], "no hole");
        out.begin();
        for data in out.send(now) {
            heard.extend(into.accept(data));
        }
        assert_eq!(texts(&heard), ["1", "2", "3"]);
        out.confirm(now, into.last);
        assert!(out.is_empty() && out.send(now).is_empty());
    }

    #[test]
    fn a_side_that_does_not_move_on_is_told_again() {
        let (mut out, now) = (Outgoing::default(), Instant::now());
        out.push(packet("1"));
        assert_eq!(out.send(now).len(), 1);
        assert!(out.send(now + AGAIN_AFTER / 2).is_empty());
        assert_eq!(out.send(now + AGAIN_AFTER).len(), 1);
        out.confirm(now, 99);
        assert!(out.is_empty(), "a number never given confirms what was sent, and no more");
        out.push(packet("2"));
        assert_eq!(out.send(now + AGAIN_AFTER).first().map(|data| data.number), Some(2));
    }

    #[test]
    fn what_was_given_up_is_not_waited_for() {
        let (mut out, mut into, now) = (Outgoing::default(), Incoming::default(), Instant::now());
        out.push(packet("1"));
        out.drop_waiting();
        out.push(packet("2"));
        let sent = out.send(now);
        assert_eq!(sent.iter().map(|data| (data.number, data.oldest)).collect::<Vec<_>>(), [(2, 2)]);
        assert!(into.accept(sent[0].clone()).is_some());
        assert!(into.accept(sent[0].clone()).is_none(), "once");
    }

    #[test]
    fn bounded() {
        let (mut out, now) = (Outgoing::default(), Instant::now());
        let taken = (0..2 * MAX_WAITING).filter(|_| out.push(packet("x"))).count();
        assert_eq!(taken, MAX_WAITING);
        assert_eq!(out.send(now).len(), MAX_UNCONFIRMED);
        out.confirm(now, 10);
        assert_eq!(out.send(now).len(), 10);
        assert!(out.push(packet("x")));
        let mut large = Outgoing::default();
        let taken = (0..20).filter(|_| large.push(packet(&"x".repeat(1 << 20)))).count();
        assert_eq!(taken, MAX_WAITING_BYTES >> 20);
    }
}
