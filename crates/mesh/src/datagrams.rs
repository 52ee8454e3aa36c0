//! Datagrams beside a tunnel: for what is worthless when it comes late.

use std::io;

use bytes::Bytes;
use metrics::{Counter, counter};
use quinn::{Connection, SendDatagramError};

/// What became of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// Queued; the network may still lose it.
    Queued,
    /// Queued, and older ones that waited too long were dropped for it.
    Pushed,
    /// Longer than the path takes at the moment: nothing was sent.
    TooLarge,
    /// The connection is over, or the peer takes no datagrams: nothing was sent.
    Gone,
}

/// The datagrams of one connection, both ways: unordered, perhaps lost, never late. What waits to be sent, and what
/// waits to be read, is bounded by [`crate::Limits::datagram_bytes`] each; the oldest goes first.
#[derive(Clone)]
pub struct Datagrams {
    connection: Connection,
    sent: Counter,
    dropped: Counter,
    too_large: Counter,
    received: Counter,
}

impl Datagrams {
    pub(crate) fn of(connection: &Connection) -> Self {
        // Looked up once: a look-up for each datagram would cost more than the datagram.
        let dropped =
            |reason: &'static str| counter!("locum_mesh_datagrams_dropped_total", "reason" => reason);
        Self {
            connection: connection.clone(),
            sent: counter!("locum_mesh_datagrams_sent_total"),
            dropped: dropped("queue"),
            too_large: dropped("size"),
            received: counter!("locum_mesh_datagrams_received_total"),
        }
    }

    /// Queues a datagram. Never waits.
    pub fn send(&self, datagram: Bytes) -> Sent {
        let pushes = self.connection.datagram_send_buffer_space() < datagram.len();
        match self.connection.send_datagram(datagram) {
            Ok(()) => {
                self.sent.increment(1);
                if pushes {
                    self.dropped.increment(1);
                    return Sent::Pushed;
                }
                Sent::Queued
            }
            Err(SendDatagramError::TooLarge) => {
                self.too_large.increment(1);
                Sent::TooLarge
            }
            Err(_) => Sent::Gone,
        }
    }

    /// The next datagram of the peer. May be dropped unfinished without losing one.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn receive(&self) -> io::Result<Bytes> {
        let datagram = self.connection.read_datagram().await.map_err(io::Error::from)?;
        self.received.increment(1);
        Ok(datagram)
    }

    /// Longest datagram that the path takes at the moment; `None`: the peer takes none.
    pub fn max_bytes(&self) -> Option<usize> {
        self.connection.max_datagram_size()
    }
}

impl std::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Datagrams")
    }
}
