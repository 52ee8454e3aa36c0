//! DNS over UDP: some threads, each with a socket of its own on the same port (`SO_REUSEPORT`), each taking and
//! sending datagrams in batches.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use metrics::counter;
use socket2::{Domain, Protocol, Socket, Type};

use super::batch::{Inbound, Outbound};
use super::engine::Engine;
use crate::dns::wire::reply::Transport;

/// How long a thread waits before it looks whether it should end.
const WAIT: Duration = Duration::from_millis(200);
/// The kernel's buffers either way; it grants what it may.
const BUFFER_BYTES: usize = 4 << 20;

/// Binds one of several sockets to `address`.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.set_read_timeout(Some(WAIT))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Answers what comes to `socket`, on a thread of its own, until `stop` is set.
pub(crate) fn spawn(
    name: String,
    socket: UdpSocket,
    engine: Engine,
    stop: Arc<AtomicBool>,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name).spawn(move || run(&socket, engine, &stop))
}

fn run(socket: &UdpSocket, mut engine: Engine, stop: &AtomicBool) {
    let (mut inbound, mut outbound) = (Inbound::default(), Outbound::default());
    while !stop.load(Ordering::Relaxed) {
        if inbound.receive(socket).is_err() {
            // What the kernel says about one datagram it sent or took; the next is another.
            counter!("locum_dns_udp_failures_total").increment(1);
            continue;
        }
        engine.refresh();
        let now = engine.shared.now();
        for (from, message) in inbound.iter() {
            outbound.push(from, |out| {
                engine.answer(message, from, Transport::Udp, now, out);
            });
        }
        let dropped = outbound.flush(socket);
        if dropped > 0 {
            counter!("locum_dns_udp_failures_total").increment(dropped);
        }
        engine.tally.tell();
    }
}
