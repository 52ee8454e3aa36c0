//! What strangers send costs nothing that lasts, and nothing that has to be given back: counted, not timed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

use super::event_loop::{EventLoop, now};
use super::tests::{FakeTransport, joining, offer, rooms};
use super::*;
use crate::events::Recorder;
use crate::transport::links::{Link, Via};
use crate::transport::stun::{IntegrityKey, nomination};

/// The system's allocator, which counts what each thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more, and nobody who asks.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Allocations of this thread during a call.
fn allocations(call: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    call();
    ALLOCATIONS.with(Cell::get) - before
}

fn stranger(port: u16) -> Link {
    Link { via: Via::Socket(0), remote: SocketAddr::from(([192, 0, 2, 1], port)) }
}

/// One of each protocol of the port (RFC 7983), the best that somebody can make who knows a user name and no password.
fn datagrams(username: &str) -> Vec<Vec<u8>> {
    let guess = IntegrityKey::new("guess");
    let mut cut = nomination([1; 12], username, &guess);
    cut.truncate(40);
    vec![
        nomination([1; 12], username, &guess),
        nomination([2; 12], "nobody:client", &guess),
        cut,
        vec![0; 40],
        vec![],
        [&[22, 254, 253][..], &[0; 60]].concat(),
        [&[128, 96][..], &[7; 1_100]].concat(),
        [&[129, 201][..], &[7; 60]].concat(),
        vec![0xFF; 1_400],
    ]
}

#[test]
fn what_strangers_send_costs_no_allocation_and_no_state() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (_commands, inbox) = mpsc::channel(1);
    let shared = (Arc::new(AtomicU32::new(0)), Arc::new(Arrivals::default()));
    let (mut event_loop, _waker) =
        EventLoop::new(vec![socket], FakeTransport(0), (rooms(), Recorder::to_nobody()), inbox, shared)
            .unwrap();
    event_loop.probe_credentials("probe", "0123456789abcdef");
    let now = now();
    let request = livekit_protocol::JoinRequest { publisher_offer: Some(offer()), ..Default::default() };
    let attached = event_loop.join(now, joining("a", request)).unwrap();

    // The session that is there is `peer-1`, to the transport of the tests.
    let sent = datagrams("peer-1:client");
    let all = 5_000_usize;
    let cost = allocations(|| {
        for (port, datagram) in (0..=u16::MAX).cycle().zip(sent.iter().cycle()).take(all) {
            event_loop.datagrams(now, [(stranger(port), datagram.as_slice())]);
        }
    });
    assert_eq!(cost, 0, "allocations");
    assert_eq!(event_loop.lasting(), (0, 0, 0), "addresses, connections, probes");
    assert_eq!(event_loop.strangers(), all as u64, "all were counted");

    // It would have been noticed: the same from the client costs an answer, and a place.
    let check = nomination([1; 12], "peer-1:client", &IntegrityKey::new("password"));
    assert_ne!(allocations(|| event_loop.datagrams(now, [(stranger(1), check.as_slice())])), 0);
    assert_eq!(event_loop.lasting(), (1, 0, 0));
    drop(attached);
}
