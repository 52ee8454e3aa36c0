//! UDP in batches: one system call for up to [`BATCH`] datagrams either way.
//!
//! System calls are most of what forwarding a packet costs, so `recvmmsg` and `sendmmsg` are worth their
//! `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use libc::{iovec, mmsghdr, sockaddr_storage, socklen_t};
use socket2::{SockAddr, SockAddrStorage, SockRef};

/// Datagrams a call.
pub const BATCH: usize = 32;

/// Longest datagram received: WebRTC keeps to path MTUs of at most 1,500 bytes.
pub const MAX_DATAGRAM_BYTES: usize = 2_048;

/// Kernel buffers either way: half a second of a busy node.
const SOCKET_BUFFER_BYTES: usize = 8 << 20;

/// Asks the kernel for buffers that survive a burst. It grants what it may.
///
/// # Errors
/// When the socket has no such option.
pub fn enlarge_buffers(socket: &impl std::os::fd::AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)
}

/// Buffers for one receiving call.
pub struct Inbound {
    buffers: Vec<[u8; MAX_DATAGRAM_BYTES]>,
    names: Vec<sockaddr_storage>,
    received: Vec<(SocketAddr, usize)>,
}

impl Default for Inbound {
    fn default() -> Self {
        // SAFETY: all-zero is a valid `sockaddr_storage`, a plain C struct of integers.
        let name: sockaddr_storage = unsafe { zeroed() };
        Self {
            buffers: vec![[0; MAX_DATAGRAM_BYTES]; BATCH],
            names: vec![name; BATCH],
            received: Vec::with_capacity(BATCH),
        }
    }
}

impl Inbound {
    /// Takes what waits at a non-blocking socket. Returns how many datagrams; fewer than [`BATCH`] means no
    /// more wait.
    ///
    /// # Errors Whatever the kernel says, except that nothing waits.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        self.received.clear();
        let mut vectors: [iovec; BATCH] = std::array::from_fn(|i| iovec {
            iov_base: self.buffers[i].as_mut_ptr().cast(),
            iov_len: MAX_DATAGRAM_BYTES,
        });
        let mut messages: [mmsghdr; BATCH] = std::array::from_fn(|i| {
            message(
                ptr::from_mut(&mut self.names[i]).cast(),
                size_of::<sockaddr_storage>() as socklen_t,
                &mut vectors[i],
            )
        });
        // SAFETY: every header points at a name and a vector that live until the end of this function, and
        // the vector at a buffer of the length it states, exclusively borrowed through `self`.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return match io::Error::last_os_error() {
                error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    Ok(0)
                }
                error => Err(error),
            };
        };
        for (i, message) in messages.iter().enumerate().take(count) {
            // A datagram that did not fit is not one of ours; its length is cut to zero, which nothing
            // accepts.
            let cut = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            let len = if cut { 0 } else { message.msg_len as usize };
            let from = address(&self.names[i], message.msg_hdr.msg_namelen);
            self.received.push((from.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))), len));
        }
        Ok(count)
    }

    /// Datagrams of the last call with their senders.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.received.iter().zip(&self.buffers).map(|((from, len), buffer)| (*from, &buffer[..*len]))
    }
}

/// Datagrams waiting to be sent together.
#[derive(Default)]
pub struct Outbound {
    queue: Vec<(SockAddr, bytes::BytesMut)>,
}

/// What became of sent datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Taken by the kernel.
    pub datagrams: u64,
    /// Refused by it, and dropped: media is worth nothing later, and the rest is retransmitted.
    pub dropped: u64,
}

impl Sent {
    /// One that was not.
    pub(super) const NOT: Self = Self { datagrams: 0, dropped: 1 };
}

impl AddAssign for Sent {
    fn add_assign(&mut self, more: Self) {
        self.datagrams += more.datagrams;
        self.dropped += more.dropped;
    }
}

impl Outbound {
    /// Queues a datagram. `true` when it is time to [`Outbound::flush`].
    pub fn push(&mut self, to: SocketAddr, datagram: bytes::BytesMut) -> bool {
        self.queue.push((to.into(), datagram));
        self.queue.len() >= BATCH
    }

    /// Sends what is queued.
    pub fn flush(&mut self, socket: &impl AsRawFd) -> Sent {
        let mut sent = Sent::default();
        for chunk in self.queue.chunks_mut(BATCH) {
            send_chunk(socket.as_raw_fd(), chunk, &mut sent);
        }
        self.queue.clear();
        sent
    }
}

fn send_chunk(socket: RawFd, chunk: &mut [(SockAddr, bytes::BytesMut)], sent: &mut Sent) {
    let mut vectors: Vec<iovec> = Vec::with_capacity(chunk.len());
    vectors
        .extend(chunk.iter_mut().map(|(_, d)| iovec { iov_base: d.as_mut_ptr().cast(), iov_len: d.len() }));
    let names = chunk.iter().map(|(to, _)| (to.as_ptr().cast_mut().cast(), to.len()));
    let mut messages: Vec<mmsghdr> = Vec::with_capacity(chunk.len());
    messages.extend(names.zip(&mut vectors).map(|((name, len), vector)| message(name, len, vector)));
    let mut done = 0;
    while done < messages.len() {
        let rest = &mut messages[done..];
        // SAFETY: every header points at an address and a datagram in `chunk`, borrowed until the end of this
        // function; `sendmmsg` only reads through them.
        let count = unsafe {
            libc::sendmmsg(socket, rest.as_mut_ptr(), rest.len() as libc::c_uint, libc::MSG_DONTWAIT as _)
        };
        match usize::try_from(count) {
            Ok(count) if count > 0 => {
                done += count;
                sent.datagrams += count as u64;
            }
            // The first of the rest failed (RFC 1122 soft error, full buffer): the others may still go.
            _ => {
                done += 1;
                sent.dropped += 1;
            }
        }
    }
}

fn message(name: *mut libc::c_void, name_len: socklen_t, vector: &mut iovec) -> mmsghdr {
    // SAFETY: all-zero is a valid `mmsghdr`: null pointers and lengths of zero.
    let mut message: mmsghdr = unsafe { zeroed() };
    message.msg_hdr.msg_name = name;
    message.msg_hdr.msg_namelen = name_len;
    message.msg_hdr.msg_iov = vector;
    message.msg_hdr.msg_iovlen = 1;
    message
}

fn address(name: &sockaddr_storage, len: socklen_t) -> Option<SocketAddr> {
    let mut storage = MaybeUninit::<SockAddrStorage>::zeroed();
    // SAFETY: both are the platform's `sockaddr_storage`, which the kernel filled with an address of `len`
    // bytes.
    let address = unsafe {
        ptr::copy_nonoverlapping(ptr::from_ref(name).cast::<SockAddrStorage>(), storage.as_mut_ptr(), 1);
        SockAddr::new(storage.assume_init(), len)
    };
    address.as_socket()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn pair(host: &str) -> (UdpSocket, UdpSocket) {
        let bind = || UdpSocket::bind((host, 0)).unwrap();
        let (a, b) = (bind(), bind());
        b.set_nonblocking(true).unwrap();
        (a, b)
    }

    fn receive_all(socket: &UdpSocket, expected: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let (mut inbound, mut all) = (Inbound::default(), Vec::new());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while all.len() < expected && std::time::Instant::now() < deadline {
            inbound.receive(socket).unwrap();
            all.extend(inbound.iter().map(|(from, datagram)| (from, datagram.to_vec())));
        }
        all
    }

    #[test]
    fn more_than_a_batch_arrives_in_order_with_its_sender() {
        for host in ["127.0.0.1", "::1"] {
            let (a, b) = pair(host);
            let mut outbound = Outbound::default();
            for i in 0..100_u8 {
                outbound.push(b.local_addr().unwrap(), bytes::BytesMut::from(&[i; 3][..]));
            }
            assert_eq!(outbound.flush(&a).datagrams, 100);
            let all = receive_all(&b, 100);
            assert_eq!(all.len(), 100);
            for (i, (from, datagram)) in all.iter().enumerate() {
                assert_eq!((*from, datagram.as_slice()), (a.local_addr().unwrap(), &[i as u8; 3][..]));
            }
        }
    }

    #[test]
    fn what_does_not_fit_arrives_empty() {
        let (a, b) = pair("127.0.0.1");
        a.send_to(&[1; MAX_DATAGRAM_BYTES + 1], b.local_addr().unwrap()).unwrap();
        assert_eq!(receive_all(&b, 1)[0].1, b"");
    }

    #[test]
    fn one_impossible_destination_does_not_stop_the_others() {
        let (a, b) = pair("127.0.0.1");
        let mut outbound = Outbound::default();
        outbound.push(SocketAddr::from(([127, 0, 0, 1], 0)), bytes::BytesMut::from(&b"x"[..]));
        outbound.push(b.local_addr().unwrap(), bytes::BytesMut::from(&b"y"[..]));
        let sent = outbound.flush(&a);
        assert_eq!((sent.datagrams, sent.dropped), (1, 1));
        assert_eq!(receive_all(&b, 1)[0].1, b"y");
    }
}
