//! Datagrams of nobody, at a rate.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Sockets it comes from.
const SOCKETS: usize = 64;

/// Sends until it is stopped.
pub struct Garbage {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
    began: Instant,
}

impl Garbage {
    pub fn begin(host: IpAddr, to: SocketAddr, per_second: u32) -> Result<Self> {
        let sockets = (0..SOCKETS).map(|_| UdpSocket::bind(SocketAddr::new(host, 0)));
        let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let (began, pause) = (Instant::now(), Duration::from_micros(500));
        let thread = std::thread::spawn(move || {
            let mut sent = 0_u64;
            while !told.load(Ordering::Relaxed) {
                let due = (began.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
                while sent < due {
                    let datagram = datagram(sent);
                    let _ = sockets[sent as usize % SOCKETS].send_to(&datagram, to);
                    sent += 1;
                }
                std::thread::sleep(pause);
            }
            sent
        });
        Ok(Self { stop, thread, began })
    }

    /// How many there were a second.
    pub fn end(self) -> Result<f64> {
        let seconds = self.began.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.thread.join().map_err(|_| anyhow!("the sender of garbage panicked"))?;
        Ok(sent as f64 / seconds)
    }
}

/// Of each protocol of the port in turn (RFC 7983), as far as a first byte goes.
fn datagram(nth: u64) -> [u8; 120] {
    let mut bytes = [0; 120];
    let mut state = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in &mut bytes {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
    match nth % 4 {
        // A connectivity check, well formed so far.
        0 => bytes[..8].copy_from_slice(&[0, 1, 0, 100, 0x21, 0x12, 0xa4, 0x42]),
        1 => bytes[0] = 22,
        2 => bytes[..2].copy_from_slice(&[0x80, 96]),
        _ => {}
    }
    bytes
}
