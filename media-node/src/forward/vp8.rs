//! The VP8 payload descriptor (RFC 7741 §4.2): numbers that must go on evenly when the layer changes.

use bytes::{Bytes, BytesMut};

/// What a descriptor says, and where.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Descriptor {
    /// Picture id and whether it has 15 bits rather than 7, at a byte.
    picture: Option<(usize, u16, bool)>,
    /// Index of the base layer's picture, at a byte.
    base: Option<(usize, u8)>,
    /// Key index, at a byte whose other bits mean something else.
    key: Option<(usize, u8)>,
    /// First packet of the first partition.
    is_start: bool,
    /// Length.
    len: usize,
}

/// Numbers of the stream a receiver sees.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    last: Descriptor,
    picture_offset: u16,
    base_offset: u8,
    key_offset: u8,
}

impl Descriptor {
    /// `None` when the payload ends within it.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        // S, and PID 0.
        let mut found = Self { is_start: first & 0x17 == 0x10, ..Self::default() };
        let mut at = 1;
        if first & 0x80 != 0 {
            let extensions = *payload.get(at)?;
            at += 1;
            if extensions & 0x80 != 0 {
                let high = *payload.get(at)?;
                found.picture = Some(if high & 0x80 != 0 {
                    (at, u16::from(high & 0x7f) << 8 | u16::from(*payload.get(at + 1)?), true)
                } else {
                    (at, u16::from(high), false)
                });
                at += if high & 0x80 != 0 { 2 } else { 1 };
            }
            if extensions & 0x40 != 0 {
                found.base = Some((at, *payload.get(at)?));
                at += 1;
            }
            if extensions & 0x30 != 0 {
                let byte = *payload.get(at)?;
                found.key = (extensions & 0x10 != 0).then_some((at, byte & 0x1f));
                at += 1;
            }
        }
        found.len = at;
        Some(found)
    }
}

/// Whether the packet begins a keyframe: bit P of the payload header is zero (RFC 7741 §4.3).
pub(super) fn begins_keyframe(payload: &[u8]) -> bool {
    let descriptor = Descriptor::parse(payload).filter(|descriptor| descriptor.is_start);
    descriptor.and_then(|descriptor| payload.get(descriptor.len)).is_some_and(|header| header & 1 == 0)
}

impl Numbers {
    /// The source changes with this packet: its numbers follow those sent before.
    pub(super) fn follow(&mut self, payload: &[u8]) {
        let Some(next) = Descriptor::parse(payload) else { return };
        if let (Some((_, last, _)), Some((_, next, _))) = (self.last.picture, next.picture) {
            self.picture_offset = last.wrapping_add(1).wrapping_sub(next);
        }
        if let (Some((_, last)), Some((_, next))) = (self.last.base, next.base) {
            self.base_offset = last.wrapping_add(1).wrapping_sub(next);
        }
        if let (Some((_, last)), Some((_, next))) = (self.last.key, next.key) {
            self.key_offset = last.wrapping_add(1).wrapping_sub(next);
        }
    }

    /// The payload as it is sent. `is_newest` when no later packet of the source was sent yet.
    pub(super) fn rewrite(&mut self, payload: &Bytes, is_newest: bool) -> Bytes {
        let Some(mut numbers) = Descriptor::parse(payload) else { return payload.clone() };
        if let Some((_, picture, is_long)) = &mut numbers.picture {
            let mask = if *is_long { 0x7fff } else { 0x7f };
            *picture = picture.wrapping_add(self.picture_offset) & mask;
        }
        if let Some((_, base)) = &mut numbers.base {
            *base = base.wrapping_add(self.base_offset);
        }
        if let Some((_, key)) = &mut numbers.key {
            *key = key.wrapping_add(self.key_offset) & 0x1f;
        }
        if is_newest {
            self.last = numbers;
        }
        if (self.picture_offset, self.base_offset, self.key_offset) == (0, 0, 0) {
            return payload.clone();
        }
        let mut written = BytesMut::from(&payload[..]);
        if let Some((at, picture, is_long)) = numbers.picture {
            let [high, low] = picture.to_be_bytes();
            if is_long {
                written[at] = 0x80 | high;
                written[at + 1] = low;
            } else {
                written[at] = low;
            }
        }
        if let Some((at, base)) = numbers.base {
            written[at] = base;
        }
        if let Some((at, key)) = numbers.key {
            written[at] = written[at] & 0xe0 | key;
        }
        written.freeze()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A payload as Chromium writes it: 15-bit picture id, base index, key index.
    pub(in crate::forward) fn payload(is_key: bool, picture: u16, base: u8, key: u8) -> Bytes {
        let [high, low] = picture.to_be_bytes();
        let header = if is_key { 0x10 } else { 0x11 };
        Bytes::copy_from_slice(&[0x90, 0xf0, 0x80 | high, low, base, 0x20 | key, header, 1, 2, 3])
    }

    /// Picture id, base index and key index of a payload.
    pub(in crate::forward) fn numbers(payload: &[u8]) -> (u16, u8, u8) {
        let read = Descriptor::parse(payload).unwrap();
        (read.picture.unwrap().1, read.base.unwrap().1, read.key.unwrap().1)
    }

    #[test]
    fn descriptors_of_every_form_are_read() {
        assert_eq!(
            Descriptor::parse(&[0x10, 0]).unwrap(),
            Descriptor { is_start: true, len: 1, ..Default::default() }
        );
        let short = Descriptor::parse(&[0x80, 0x80, 0x12, 0]).unwrap();
        assert_eq!((short.picture, short.len, short.is_start), (Some((2, 0x12, false)), 3, false));
        let read = Descriptor::parse(&payload(true, 0x1234, 7, 9)).unwrap();
        assert_eq!((read.picture, read.base), (Some((2, 0x1234, true)), Some((4, 7))));
        assert_eq!((read.key, read.len), (Some((5, 9)), 6));
        let no_key_index = Descriptor::parse(&[0x80, 0x20, 0xff, 0]).unwrap();
        assert_eq!((no_key_index.key, no_key_index.len), (None, 3));
    }

    #[test]
    fn keyframes_begin_with_their_first_packet() {
        assert!(begins_keyframe(&payload(true, 1, 1, 1)) && !begins_keyframe(&payload(false, 1, 1, 1)));
        assert!(begins_keyframe(&[0x10, 0]) && !begins_keyframe(&[0x00, 0]) && !begins_keyframe(&[0x11, 0]));
    }

    #[test]
    fn what_ends_too_early_is_left_alone() {
        let whole = payload(true, 500, 3, 4);
        let mut numbers = Numbers::default();
        numbers.rewrite(&payload(false, 9, 9, 9), true);
        numbers.follow(&whole);
        for len in 0..whole.len() {
            let cut = whole.slice(..len);
            assert_eq!(numbers.rewrite(&cut, true).len(), len);
            begins_keyframe(&cut);
        }
    }

    #[test]
    fn numbers_go_on_where_they_stopped_and_around_their_circles() {
        let mut sent = Numbers::default();
        assert_eq!(sent.rewrite(&payload(true, 0x7ffe, 254, 30), true), payload(true, 0x7ffe, 254, 30));
        sent.rewrite(&payload(false, 0x7fff, 255, 31), true);
        let next = payload(true, 40, 50, 3);
        sent.follow(&next);
        assert_eq!(numbers(&sent.rewrite(&next, true)), (0, 0, 0));
        assert_eq!(numbers(&sent.rewrite(&payload(false, 42, 52, 4), true)), (2, 2, 1));
        assert_eq!(numbers(&sent.rewrite(&payload(false, 41, 51, 4), false)), (1, 1, 1), "late");
        assert_eq!(sent.rewrite(&next, true)[5] & 0xe0, 0x20, "what shares the key index's byte stays");
        assert_eq!(sent.rewrite(&next, true)[6..], next[6..]);
    }
}
