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

use bytes::BytesMut;
use libc::{iovec, mmsghdr, sockaddr_storage, socklen_t};
use socket2::{SockAddr, SockAddrStorage, SockRef};

/// Datagrams a receiving call; datagrams, or runs of them to one receiver, a sending call.
pub const BATCH: usize = 32;

/// Datagrams that may wait to be sent together.
const FLUSH_AT: usize = 128;

/// What the kernel takes as one: so many segments (`UDP_MAX_SEGMENTS` of the oldest that cut), and so many bytes.
const MAX_SEGMENTS: usize = 64;
const MAX_RUN_BYTES: usize = 65_000;

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
                std::slice::from_mut(&mut vectors[i]),
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
pub struct Outbound {
    queue: Vec<(SocketAddr, BytesMut)>,
    /// Datagrams to one receiver may be handed over as one, which the kernel cuts apart.
    segments: bool,
}

impl Default for Outbound {
    fn default() -> Self {
        Self { queue: Vec::new(), segments: true }
    }
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
    pub fn push(&mut self, to: SocketAddr, datagram: BytesMut) -> bool {
        self.queue.push((to, datagram));
        self.queue.len() >= FLUSH_AT
    }

    /// Sends what is queued.
    pub fn flush(&mut self, socket: &impl AsRawFd) -> Sent {
        let mut sent = Sent::default();
        send(socket.as_raw_fd(), &self.queue, &mut self.segments, &mut sent);
        self.queue.clear();
        sent
    }
}

/// How many of the first datagrams go to one receiver and are as long as the first but for the last, which may be
/// shorter: the kernel takes them as one.
fn run_of(queue: &[(SocketAddr, BytesMut)]) -> usize {
    let Some((to, first)) = queue.first() else { return 0 };
    let (mut count, mut bytes) = (1, first.len());
    while let Some((also_to, next)) = queue.get(count).filter(|_| count < MAX_SEGMENTS) {
        // An empty one would be lost among others.
        let is_like = also_to == to && (1..=first.len()).contains(&next.len());
        if !is_like || bytes + next.len() > MAX_RUN_BYTES {
            break;
        }
        count += 1;
        bytes += next.len();
        if next.len() < first.len() {
            break;
        }
    }
    count
}

fn send(socket: RawFd, queue: &[(SocketAddr, BytesMut)], segments: &mut bool, sent: &mut Sent) {
    let mut rest = queue;
    while !rest.is_empty() {
        let mut runs: Vec<&[(SocketAddr, BytesMut)]> = Vec::with_capacity(BATCH);
        while runs.len() < BATCH && !rest.is_empty() {
            let (run, others) = rest.split_at(if *segments { run_of(rest) } else { 1 });
            runs.push(run);
            rest = others;
        }
        send_runs(socket, &runs, segments, sent);
    }
}

fn send_runs(socket: RawFd, runs: &[&[(SocketAddr, BytesMut)]], segments: &mut bool, sent: &mut Sent) {
    let datagrams = runs.iter().copied().flatten();
    let mut vectors: Vec<iovec> = datagrams
        .map(|(_, datagram)| iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() })
        .collect();
    let names: Vec<SockAddr> = runs.iter().map(|run| SockAddr::from(run[0].0)).collect();
    let mut controls: Vec<SegmentSize> = runs.iter().map(|run| SegmentSize::new(run[0].1.len())).collect();
    let mut messages: Vec<mmsghdr> = Vec::with_capacity(runs.len());
    let mut first = 0;
    for ((run, name), control) in runs.iter().zip(&names).zip(&mut controls) {
        let name_len = name.len();
        let mut message =
            message(name.as_ptr().cast_mut().cast(), name_len, &mut vectors[first..first + run.len()]);
        if run.len() > 1 {
            message.msg_hdr.msg_control = ptr::from_mut(control).cast();
            message.msg_hdr.msg_controllen = size_of::<SegmentSize>() as _;
        }
        messages.push(message);
        first += run.len();
    }
    let mut done = 0;
    while done < runs.len() {
        let rest = &mut messages[done..];
        // SAFETY: every header points at an address, a control message and vectors that live until the end of this
        // function, and the vectors at datagrams borrowed for as long, which `sendmmsg` only reads.
        let count = unsafe {
            libc::sendmmsg(socket, rest.as_mut_ptr(), rest.len() as libc::c_uint, libc::MSG_DONTWAIT as _)
        };
        if let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) {
            sent.datagrams += runs[done..done + count].iter().map(|run| run.len() as u64).sum::<u64>();
            done += count;
            continue;
        }
        // The first of the rest failed (RFC 1122 soft error, full buffer): the others may still go.
        let error = io::Error::last_os_error().raw_os_error();
        let run = runs[done];
        // The way out has no checksum offload; or it takes no segments as long.
        let is_uncut = matches!(error, Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE));
        if run.len() > 1 && is_uncut {
            *segments &= error != Some(libc::EIO);
            send(socket, run, &mut false, sent);
        } else {
            sent.dropped += run.len() as u64;
        }
        done += 1;
    }
}

/// Control message by which the kernel learns where to cut (`UDP_SEGMENT`, udp(7)).
#[repr(C, align(8))]
struct SegmentSize {
    header: libc::cmsghdr,
    size: u16,
}

impl SegmentSize {
    fn new(bytes: usize) -> Self {
        // SAFETY: all-zero is a valid `cmsghdr`, a plain C struct of integers.
        let mut header: libc::cmsghdr = unsafe { zeroed() };
        header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<u16>()) as _;
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        Self { header, size: u16::try_from(bytes).unwrap_or(u16::MAX) }
    }
}

fn message(name: *mut libc::c_void, name_len: socklen_t, vectors: &mut [iovec]) -> mmsghdr {
    // SAFETY: all-zero is a valid `mmsghdr`: null pointers and lengths of zero.
    let mut message: mmsghdr = unsafe { zeroed() };
    message.msg_hdr.msg_name = name;
    message.msg_hdr.msg_namelen = name_len;
    message.msg_hdr.msg_iov = vectors.as_mut_ptr();
    message.msg_hdr.msg_iovlen = vectors.len() as _;
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
                outbound.push(b.local_addr().unwrap(), BytesMut::from(&[i; 3][..]));
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
        outbound.push(SocketAddr::from(([127, 0, 0, 1], 0)), BytesMut::from(&b"x"[..]));
        outbound.push(b.local_addr().unwrap(), BytesMut::from(&b"y"[..]));
        let sent = outbound.flush(&a);
        assert_eq!((sent.datagrams, sent.dropped), (1, 1));
        assert_eq!(receive_all(&b, 1)[0].1, b"y");
    }

    /// What two receivers get of bursts with lengths of all kinds, and how many runs the first burst was.
    fn burst(sending: &UdpSocket) -> usize {
        let (_, to) = pair("127.0.0.1");
        let (_, other) = pair("127.0.0.1");
        let lengths = [1_100, 1_100, 1_100, 300, 1_100, 1_101, 1_101, 0, 5, 1_200];
        let mut outbound = Outbound::default();
        for round in 0..3_u8 {
            for receiver in [&to, &other] {
                for (nth, len) in lengths.into_iter().enumerate() {
                    let datagram = BytesMut::from(&vec![round * 16 + nth as u8; len][..]);
                    outbound.push(receiver.local_addr().unwrap(), datagram);
                }
            }
        }
        let runs = std::iter::successors(Some(0), |at| Some(at + run_of(&outbound.queue[*at..])));
        let runs = runs.take_while(|at| *at < lengths.len()).count();
        let sent = outbound.flush(sending);
        assert_eq!((sent.datagrams, sent.dropped), (60, 0));
        for receiver in [&to, &other] {
            let all = receive_all(receiver, 30);
            for (at, (_, datagram)) in all.iter().enumerate() {
                let (round, nth) = (at / lengths.len(), at % lengths.len());
                assert_eq!(datagram, &vec![(round * 16 + nth) as u8; lengths[nth]], "{at}");
            }
            assert_eq!(all.len(), 30);
        }
        runs
    }

    #[test]
    fn what_goes_to_one_receiver_is_cut_apart_by_the_kernel_and_arrives_as_it_was() {
        let (sending, _) = pair("127.0.0.1");
        // 1,100 × 3 and 300; 1,100; 1,101 × 2; 0; 5; 1,200.
        assert_eq!(burst(&sending), 6);
        // Without checksums the kernel does not cut.
        let on: libc::c_int = 1;
        // SAFETY: an option of an integer, which lives until the end of the call.
        let set = unsafe {
            libc::setsockopt(
                sending.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NO_CHECK,
                ptr::from_ref(&on).cast(),
                size_of::<libc::c_int>() as socklen_t,
            )
        };
        assert_eq!(set, 0);
        burst(&sending);
    }

    #[test]
    fn a_run_is_no_longer_than_the_kernel_takes() {
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        let queue = |count: usize, len: usize| vec![(to, BytesMut::from(&vec![0; len][..])); count];
        assert_eq!(run_of(&queue(200, 10)), MAX_SEGMENTS);
        assert_eq!(run_of(&queue(200, 1_200)), MAX_RUN_BYTES / 1_200);
        assert_eq!(run_of(&[]), 0);
    }
}
