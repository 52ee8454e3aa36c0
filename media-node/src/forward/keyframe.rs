//! Where a decoder can begin.

use super::vp8;
use crate::transport::Codec;

/// NAL unit types (RFC 6184 §5.2, H.264 table 7-1).
const IDR: u8 = 5;
const SEQUENCE_PARAMETERS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Whether a packet begins a picture that needs none before it. End-to-end encryption leaves the bytes that
/// say so readable.
#[must_use]
pub(super) fn begins(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Opus => true,
        Codec::Vp8 => vp8::begins_keyframe(payload),
        Codec::H264 => begins_h264(payload),
    }
}

fn begins_h264(payload: &[u8]) -> bool {
    let kind = |byte: &u8| byte & 0x1f;
    match payload {
        [first, ..] if matches!(kind(first), IDR | SEQUENCE_PARAMETERS) => true,
        // Two bytes of length, then the first unit's header.
        [first, _, _, unit, ..] if kind(first) == STAP_A => matches!(kind(unit), IDR | SEQUENCE_PARAMETERS),
        // The start bit, and the type of what is cut up.
        [first, fragment, ..] if kind(first) == FU_A => fragment & 0x80 != 0 && kind(fragment) == IDR,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h264_begins_with_an_idr_picture_or_its_parameters() {
        for begins in [&[0x65][..], &[0x67, 1], &[0x78, 0, 9, 0x67], &[0x7c, 0x85]] {
            assert!(super::begins(Codec::H264, begins), "{begins:?}");
        }
        for other in
            [&[][..], &[0x61], &[0x78, 0, 9, 0x61], &[0x78, 0], &[0x7c, 0x05], &[0x7c, 0x81], &[0x7c]]
        {
            assert!(!super::begins(Codec::H264, other), "{other:?}");
        }
        assert!(super::begins(Codec::Opus, &[]), "sound begins anywhere");
    }
}
