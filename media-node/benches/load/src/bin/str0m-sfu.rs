//! A forwarding unit on `str0m`, as a yardstick: no rooms but pairs, no layers, no rights, one UDP socket with batched
//! system calls.
//!
//! ```text
//! str0m-sfu MEDIA SIGNAL      POST /join?room=R with an offer; answers with the answer
//! ```

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use str0m::change::SdpOffer;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};

const BATCH: usize = 32;
const MAX_BYTES: usize = 1_600;
const SOCKET_BUFFER_BYTES: usize = 8 << 20;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let media: SocketAddr = arguments.next().context("no address for media")?.parse()?;
    let signal = arguments.next().context("no address for signalling")?;
    let mut unit = Unit {
        sockets: Batch::new(UdpSocket::bind(media)?)?,
        local: media,
        sessions: Vec::new(),
        by_user: HashMap::new(),
        by_address: HashMap::new(),
        rooms: HashMap::new(),
        packets: Vec::new(),
        keyframes: Vec::new(),
    };
    let joining = listen(TcpListener::bind(signal)?);
    loop {
        unit.step();
        while let Ok((room, offer, answer)) = joining.try_recv() {
            let _ = answer.send(unit.join(room, &offer)?);
        }
    }
}

struct Unit {
    sockets: Batch,
    local: SocketAddr,
    sessions: Vec<Session>,
    by_user: HashMap<String, usize>,
    by_address: HashMap<SocketAddr, usize>,
    rooms: HashMap<String, Vec<usize>>,
    packets: Vec<(usize, RtpPacket)>,
    keyframes: Vec<usize>,
}

struct Session {
    rtc: Rtc,
    room: String,
    sound: Option<Mid>,
    pictures: Option<Mid>,
    next: Instant,
    /// Was given something to send.
    dirty: bool,
}

impl Unit {
    fn join(&mut self, room: String, offer: &str) -> Result<String> {
        let mut rtc = Rtc::builder().set_ice_lite(true).set_rtp_mode(true).build(Instant::now());
        rtc.add_local_candidate(Candidate::host(self.local, "udp")?);
        let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(offer)?)?.to_sdp_string();
        let user = answer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).context("no ufrag")?;
        let index = self.sessions.len();
        self.by_user.insert(user.trim().to_owned(), index);
        self.rooms.entry(room.clone()).or_default().push(index);
        let now = Instant::now();
        self.sessions.push(Session { rtc, room, sound: None, pictures: None, next: now, dirty: true });
        Ok(answer)
    }

    fn step(&mut self) {
        self.sockets.wait(Duration::from_millis(1));
        let count = self.sockets.receive();
        let now = Instant::now();
        for nth in 0..count {
            let (source, data) = self.sockets.datagram(nth);
            let Some(index) = self.by_address.get(&source).copied().or_else(|| {
                let index = *self.by_user.get(user(data)?)?;
                self.by_address.insert(source, index);
                Some(index)
            }) else {
                continue;
            };
            let Ok(contents) = data.try_into() else { continue };
            let receive = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
            let _ = self.sessions[index].rtc.handle_input(Input::Receive(now, receive));
            self.drain(index, now);
            self.forward();
        }
        for index in 0..self.sessions.len() {
            let session = &mut self.sessions[index];
            if std::mem::take(&mut session.dirty) || session.next <= now {
                let _ = session.rtc.handle_input(Input::Timeout(now));
                self.drain(index, now);
                self.forward();
            }
        }
        self.sockets.flush();
    }

    fn drain(&mut self, index: usize, now: Instant) {
        let session = &mut self.sessions[index];
        loop {
            match session.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    session.next = at.max(now + Duration::from_millis(1));
                    return;
                }
                Ok(Output::Transmit(packet)) => self.sockets.push(packet.destination, &packet.contents),
                Ok(Output::Event(Event::RtpPacket(packet))) => self.packets.push((index, packet)),
                Ok(Output::Event(Event::MediaAdded(media))) => match media.kind {
                    MediaKind::Audio => session.sound = Some(media.mid),
                    MediaKind::Video => session.pictures = Some(media.mid),
                },
                Ok(Output::Event(Event::KeyframeRequest(_) | Event::Connected)) => self.keyframes.push(index),
                Ok(Output::Event(_)) => {}
                Err(_) => return,
            }
        }
    }

    fn forward(&mut self) {
        for (from, packet) in self.packets.drain(..) {
            let stream = &packet.header.ssrc;
            let Some(mid) = self.sessions[from].rtc.direct_api().stream_rx(stream).map(|s| s.mid()) else {
                continue;
            };
            let is_sound = self.sessions[from].sound == Some(mid);
            for &to in self.rooms[&self.sessions[from].room].iter().filter(|to| **to != from) {
                let session = &mut self.sessions[to];
                let Some(mid) = (if is_sound { session.sound } else { session.pictures }) else { continue };
                let mut direct = session.rtc.direct_api();
                let Some(stream) = direct.stream_tx_by_mid(mid, None) else { continue };
                let header = &packet.header;
                let write = RtpWrite::new(
                    header.payload_type,
                    packet.seq_no,
                    header.timestamp,
                    packet.timestamp,
                    packet.payload.clone(),
                );
                let write = write.marker(header.marker).ext_vals(ExtensionValues::default());
                stream.write_rtp(write.nackable(!is_sound));
                session.dirty = true;
            }
        }
        for from in std::mem::take(&mut self.keyframes) {
            for &to in self.rooms[&self.sessions[from].room].iter().filter(|to| **to != from) {
                let session = &mut self.sessions[to];
                let Some(mid) = session.pictures else { continue };
                if let Some(stream) = session.rtc.direct_api().stream_rx_by_mid(mid, None) {
                    stream.request_keyframe(KeyframeRequestKind::Pli);
                    session.dirty = true;
                }
            }
        }
    }
}

type Joining = (String, String, mpsc::Sender<String>);

fn listen(listener: TcpListener) -> mpsc::Receiver<Joining> {
    let (sender, joining) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever only tries whether there is somebody says nothing.
            let _ = serve(stream, &sender);
        }
    });
    joining
}

fn serve(mut stream: TcpStream, joining: &mpsc::Sender<Joining>) -> Result<()> {
    let (mut request, mut chunk) = (Vec::new(), [0; 4_096]);
    let (room, offer) = loop {
        let read = stream.read(&mut chunk)?;
        anyhow::ensure!(read > 0, "the connection ended");
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
        if body.len() >= length.parse()? {
            let room =
                head.split("room=").nth(1).and_then(|rest| rest.split(' ').next()).context("no room")?;
            break (room.to_owned(), body.to_owned());
        }
    };
    let (answer, answered) = mpsc::channel();
    joining.send((room, offer, answer))?;
    let answer = answered.recv()?;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    )?;
    Ok(())
}

/// User name fragment of the server's in a STUN request (RFC 8489: USERNAME is attribute 6).
fn user(packet: &[u8]) -> Option<&str> {
    if packet.len() < 20 || packet[0] > 3 {
        return None;
    }
    let mut at = 20;
    while at + 4 <= packet.len() {
        let number = |at: usize| usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
        let (kind, length) = (number(at), number(at + 2));
        let value = packet.get(at + 4..at + 4 + length)?;
        if kind == 6 {
            return std::str::from_utf8(value).ok()?.split(':').next();
        }
        at += 4 + length.next_multiple_of(4);
    }
    None
}

/// One socket, 32 datagrams a system call.
struct Batch {
    socket: UdpSocket,
    buffers: Vec<[u8; MAX_BYTES]>,
    names: Vec<libc::sockaddr_in>,
    lengths: Vec<usize>,
    queue: Vec<(libc::sockaddr_in, Vec<u8>)>,
}

impl Batch {
    fn new(socket: UdpSocket) -> Result<Self> {
        socket.set_nonblocking(true)?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket2::SockRef::from(&socket).set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        // SAFETY: a plain C struct of integers.
        let name: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        let buffers = vec![[0; MAX_BYTES]; BATCH];
        Ok(Self { socket, buffers, names: vec![name; BATCH], lengths: vec![0; BATCH], queue: Vec::new() })
    }

    fn wait(&self, most: Duration) {
        let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, which lives.
        unsafe { libc::poll(&raw mut poll, 1, most.as_millis() as libc::c_int) };
    }

    fn receive(&mut self) -> usize {
        let mut vectors: [libc::iovec; BATCH] = std::array::from_fn(|i| libc::iovec {
            iov_base: self.buffers[i].as_mut_ptr().cast(),
            iov_len: MAX_BYTES,
        });
        let mut messages: [libc::mmsghdr; BATCH] =
            std::array::from_fn(|i| message(&raw mut self.names[i], &raw mut vectors[i]));
        let flags = libc::MSG_DONTWAIT as _;
        let (fd, none) = (self.socket.as_raw_fd(), std::ptr::null_mut());
        // SAFETY: every header points at a name and a vector, and that at a buffer of its length; all live.
        let count = unsafe { libc::recvmmsg(fd, messages.as_mut_ptr(), BATCH as u32, flags, none) };
        let count = usize::try_from(count).unwrap_or(0);
        self.lengths.clear();
        self.lengths.extend(messages[..count].iter().map(|message| message.msg_len as usize));
        count
    }

    fn datagram(&self, nth: usize) -> (SocketAddr, &[u8]) {
        let name = &self.names[nth];
        let ip = std::net::Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
        let source = SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into();
        (source, &self.buffers[nth][..self.lengths[nth].min(MAX_BYTES)])
    }

    fn push(&mut self, to: SocketAddr, data: &[u8]) {
        let SocketAddr::V4(to) = to else { return };
        let name = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: to.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
            sin_zero: [0; 8],
        };
        self.queue.push((name, data.to_vec()));
        if self.queue.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut vectors: Vec<libc::iovec> = self
            .queue
            .iter_mut()
            .map(|(_, data)| libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() })
            .collect();
        let names = self.queue.iter_mut().map(|(name, _)| std::ptr::from_mut(name));
        let mut messages: Vec<libc::mmsghdr> =
            names.zip(&mut vectors).map(|(name, vector)| message(name, vector)).collect();
        let mut done = 0;
        while done < messages.len() {
            let rest = &mut messages[done..];
            let (fd, count) = (self.socket.as_raw_fd(), rest.len() as u32);
            // SAFETY: every header points at a name and a vector, and that at a datagram; all live.
            let sent = unsafe { libc::sendmmsg(fd, rest.as_mut_ptr(), count, 0) };
            done += usize::try_from(sent).unwrap_or(1).max(1);
        }
        self.queue.clear();
    }
}

fn message(name: *mut libc::sockaddr_in, vector: *mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: null pointers and lengths of zero.
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_name = name.cast();
    message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
    message.msg_hdr.msg_iov = vector;
    message.msg_hdr.msg_iovlen = 1;
    message
}
