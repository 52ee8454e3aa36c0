//! Packets on a TCP connection: each behind its length in two bytes (RFC 4571 §2, as RFC 6544 §3 uses it).
//!
//! Pure: bytes in, packets out, and what is kept between the two is bounded by one packet.

use std::ops::Range;

use super::datagrams::MAX_DATAGRAM_BYTES;

/// Longest packet: what may come by TCP may come by UDP.
pub const MAX_PACKET_BYTES: usize = MAX_DATAGRAM_BYTES;

const LENGTH_BYTES: usize = 2;

/// A packet is longer than any of ours. Nothing after it can be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a packet of {0} bytes")]
pub struct TooLong(pub usize);

/// The part of a packet that has arrived.
#[derive(Debug, Default)]
pub struct Partial(Vec<u8>);

impl Partial {
    /// Puts what had arrived before in front of what arrived now.
    pub fn resume(&mut self, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.append(&mut self.0);
    }

    /// Where in `bytes` the whole packets are; keeps what is left behind the last.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn split(&mut self, bytes: &[u8], packets: &mut Vec<Range<usize>>) -> Result<(), TooLong> {
        packets.clear();
        let mut at = 0;
        while let Some(length) = length(&bytes[at..]) {
            if length > MAX_PACKET_BYTES {
                return Err(TooLong(length));
            }
            let packet = at + LENGTH_BYTES..at + LENGTH_BYTES + length;
            if packet.end > bytes.len() {
                break;
            }
            at = packet.end;
            packets.push(packet);
        }
        self.0.extend_from_slice(&bytes[at..]);
        Ok(())
    }
}

/// Length of the packet that begins here, once its two bytes are there.
#[must_use]
pub fn length(bytes: &[u8]) -> Option<usize> {
    let length: [u8; LENGTH_BYTES] = bytes.get(..LENGTH_BYTES)?.try_into().ok()?;
    Some(usize::from(u16::from_be_bytes(length)))
}

/// Appends a packet behind its length. `false` when it is too long for one.
pub fn append(out: &mut Vec<u8>, packet: &[u8]) -> bool {
    let Some(length) = u16::try_from(packet.len()).ok().filter(|_| packet.len() <= MAX_PACKET_BYTES) else {
        return false;
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(packet);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of a stream that arrives in such pieces.
    fn read(stream: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let (mut partial, mut read) = (Partial::default(), Vec::new());
        let (mut bytes, mut packets) = (Vec::new(), Vec::new());
        for piece in stream.chunks(piece) {
            partial.resume(&mut bytes);
            bytes.extend_from_slice(piece);
            partial.split(&bytes, &mut packets)?;
            read.extend(packets.iter().map(|packet| bytes[packet.clone()].to_vec()));
            assert!(partial.0.len() < LENGTH_BYTES + MAX_PACKET_BYTES, "what is kept is bounded");
        }
        Ok(read)
    }

    #[test]
    fn packets_arrive_whole_however_they_are_cut() {
        let sent = [vec![1; 3], Vec::new(), vec![2; MAX_PACKET_BYTES], vec![3; 1]];
        let mut stream = Vec::new();
        for packet in &sent {
            assert!(append(&mut stream, packet));
        }
        for piece in [1, 2, 3, 1_000, stream.len()] {
            assert_eq!(read(&stream, piece).unwrap(), sent, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_packet_longer_than_ours_ends_it() {
        assert_eq!(read(&[0, 1, 9, 0xFF, 0xFF], 1), Err(TooLong(0xFFFF)));
        assert!(!append(&mut Vec::new(), &[0; MAX_PACKET_BYTES + 1]));
    }
}
