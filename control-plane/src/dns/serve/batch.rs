//! UDP in batches: one system call for up to [`BATCH`] datagrams either way. System calls are most of what
//! an answer costs, so `recvmmsg` and `sendmmsg` are worth their `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::ptr;

use libc::{iovec, mmsghdr, sockaddr_storage, socklen_t};
use socket2::{SockAddr, SockAddrStorage};

/// Datagrams a call.
pub(crate) const BATCH: usize = 64;
/// Longest question taken. Longer ones come over TCP, or from nobody serious.
const MAX_QUESTION: usize = 1_232;

/// Buffers for one receiving call.
pub(crate) struct Inbound {
    buffers: Vec<[u8; MAX_QUESTION]>,
    names: Vec<sockaddr_storage>,
    lengths: Vec<(socklen_t, usize)>,
}

impl Default for Inbound {
    fn default() -> Self {
        // SAFETY: all-zero is a valid `sockaddr_storage`, a plain C struct of integers.
        let name: sockaddr_storage = unsafe { zeroed() };
        Self {
            buffers: vec![[0; MAX_QUESTION]; BATCH],
            names: vec![name; BATCH],
            lengths: Vec::with_capacity(BATCH),
        }
    }
}

impl Inbound {
    /// Waits for a datagram, as long as the socket's read timeout, and takes what else is there.
    ///
    /// # Errors
    /// Whatever the kernel says, except that nothing came.
    pub(crate) fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<()> {
        self.lengths.clear();
        let mut vectors: [iovec; BATCH] = std::array::from_fn(|i| iovec {
            iov_base: self.buffers[i].as_mut_ptr().cast(),
            iov_len: MAX_QUESTION,
        });
        let mut messages: [mmsghdr; BATCH] = std::array::from_fn(|i| {
            let name = ptr::from_mut(&mut self.names[i]).cast();
            message(name, size_of::<sockaddr_storage>() as socklen_t, &mut vectors[i])
        });
        // SAFETY: every header points at a name and a vector that live until the end of this function, and the
        // vector at a buffer of the length it states, exclusively borrowed through `self`.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE as _,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return match io::Error::last_os_error() {
                error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    Ok(())
                }
                error => Err(error),
            };
        };
        self.lengths.extend(messages.iter().take(count).map(|message| {
            // One that did not fit counts as empty, which is noise.
            let cut = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            (message.msg_hdr.msg_namelen, if cut { 0 } else { message.msg_len as usize })
        }));
        Ok(())
    }

    /// Datagrams of the last call with their senders.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let received = self.lengths.iter().zip(&self.names).zip(&self.buffers);
        received.filter_map(|(((name_len, len), name), buffer)| {
            Some((address(name, *name_len)?, buffer.get(..*len)?))
        })
    }
}

/// Datagrams waiting to be sent together, one behind the other in one buffer.
#[derive(Default)]
pub(crate) struct Outbound {
    bytes: Vec<u8>,
    /// Where each goes, and where it ends.
    queue: Vec<(SockAddr, usize)>,
}

impl Outbound {
    /// Queues what `write` appends; nothing if it appends nothing.
    pub(crate) fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.bytes.len();
        write(&mut self.bytes);
        if self.bytes.len() > begin {
            self.queue.push((to.into(), self.bytes.len()));
        }
    }

    /// Sends what is queued; returns how many the kernel refused. A full buffer is waited for.
    pub(crate) fn flush(&mut self, socket: &impl AsRawFd) -> u64 {
        let mut dropped = 0;
        let mut begin = 0;
        for chunk in self.queue.chunks(BATCH) {
            dropped += send(socket, &mut self.bytes, &mut begin, chunk);
        }
        self.queue.clear();
        self.bytes.clear();
        dropped
    }
}

fn send(socket: &impl AsRawFd, bytes: &mut [u8], begin: &mut usize, chunk: &[(SockAddr, usize)]) -> u64 {
    // SAFETY: all-zero is a valid `iovec`: a null pointer and a length of zero.
    let mut vectors: [iovec; BATCH] = unsafe { zeroed() };
    for ((_, end), vector) in chunk.iter().zip(&mut vectors) {
        let datagram = &mut bytes[*begin..*end];
        *vector = iovec { iov_base: datagram.as_mut_ptr().cast(), iov_len: datagram.len() };
        *begin = *end;
    }
    let mut messages: [mmsghdr; BATCH] = std::array::from_fn(|i| match chunk.get(i) {
        Some((to, _)) => message(to.as_ptr().cast_mut().cast(), to.len(), &mut vectors[i]),
        // SAFETY: all-zero is a valid `mmsghdr`; those behind the chunk are not handed over.
        None => unsafe { zeroed() },
    });
    let (mut done, mut dropped) = (0, 0);
    while done < chunk.len() {
        let rest = &mut messages[done..chunk.len()];
        // SAFETY: every header points at an address in `chunk` and a datagram in `bytes`, both borrowed until the
        // end of this function; `sendmmsg` only reads through them.
        let count =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0) };
        match usize::try_from(count) {
            Ok(count) if count > 0 => done += count,
            // The first of the rest failed: the others may still go.
            _ => {
                done += 1;
                dropped += 1;
            }
        }
    }
    dropped
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
    use std::time::Duration;

    use super::*;

    fn pair(host: &str) -> (UdpSocket, UdpSocket) {
        let bind = || UdpSocket::bind((host, 0)).unwrap();
        let (a, b) = (bind(), bind());
        b.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        (a, b)
    }

    #[test]
    fn more_than_a_batch_arrives_in_order_with_its_sender() {
        for host in ["127.0.0.1", "::1"] {
            let (a, b) = pair(host);
            let to = b.local_addr().unwrap();
            let mut outbound = Outbound::default();
            for i in 0..150_u8 {
                outbound.push(to, |out| out.extend_from_slice(&[i; 3]));
                outbound.push(to, |_| {});
            }
            assert_eq!(outbound.flush(&a), 0);
            let (mut inbound, mut all) = (Inbound::default(), Vec::new());
            while all.len() < 150 {
                inbound.receive(&b).unwrap();
                all.extend(inbound.iter().map(|(from, datagram)| (from, datagram.to_vec())));
            }
            for (i, (from, datagram)) in (0..150_u8).zip(&all) {
                assert_eq!((*from, datagram.as_slice()), (a.local_addr().unwrap(), &[i; 3][..]));
            }
        }
    }

    #[test]
    fn what_does_not_fit_arrives_empty_and_nothing_is_no_error() {
        let (a, b) = pair("127.0.0.1");
        a.send_to(&[1; MAX_QUESTION + 1], b.local_addr().unwrap()).unwrap();
        let mut inbound = Inbound::default();
        inbound.receive(&b).unwrap();
        assert_eq!(inbound.iter().map(|(_, datagram)| datagram.len()).collect::<Vec<_>>(), [0]);
        b.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        inbound.receive(&b).unwrap();
        assert_eq!(inbound.iter().count(), 0);
    }

    #[test]
    fn one_impossible_destination_does_not_stop_the_others() {
        let (a, b) = pair("127.0.0.1");
        let mut outbound = Outbound::default();
        outbound.push(SocketAddr::from(([127, 0, 0, 1], 0)), |out| out.push(1));
        outbound.push(b.local_addr().unwrap(), |out| out.push(2));
        assert_eq!(outbound.flush(&a), 1);
        let mut inbound = Inbound::default();
        inbound.receive(&b).unwrap();
        assert_eq!(inbound.iter().next().unwrap().1, [2]);
    }
}
