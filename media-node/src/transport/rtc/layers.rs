//! Sections whose client names layers instead of SSRCs.
//!
//! The backend finds a layer by header extensions that browsers stop sending after the first packets, forgets
//! it at every negotiation, and never finds its repair stream. So it is not told of layers at all: RTP
//! headers are in the clear, the SSRCs are read there, and the backend gets the offer again with them written
//! in.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ::rtc::rtp;
use ::rtc::sdp::extmap::{SDES_MID_URI, SDES_REPAIR_RTP_STREAM_ID_URI, SDES_RTP_STREAM_ID_URI};
use ::rtc::shared::marshal::Unmarshal as _;

use super::random_ssrc;
use crate::transport::sdp::{self, Direction, Offer};
use crate::transport::{Mid, TransportError};

/// First byte of RTP and RTCP (RFC 7983), and where RTCP's packet types lie among RTP's (RFC 5761 §4).
const RTP_FIRST: std::ops::RangeInclusive<u8> = 128..=191;
const RTCP_SECOND: std::ops::RangeInclusive<u8> = 192..=223;

/// A layer has two SSRCs, and others after a client restarts its encoder.
const MAX_LESSONS: u8 = 16;

/// Layers of one connection.
#[derive(Default)]
pub(super) struct Layers {
    sections: HashMap<Mid, Layer>,
    extensions: Extensions,
}

struct Layer {
    name: String,
    /// How often an SSRC was learnt; each costs a negotiation, so a client gets a few.
    lessons: u8,
    /// Made up until the true one is known: the backend insists on one.
    ssrc: u32,
    is_known: bool,
    repair: Option<u32>,
}

/// Ids of the header extensions that name section, layer and repaired layer.
#[derive(Clone, Copy, Default)]
struct Extensions {
    mid: Option<u8>,
    layer: Option<u8>,
    repaired: Option<u8>,
}

impl Layers {
    /// Takes the layered sections of an offer.
    pub(super) fn take(&mut self, offer: &Offer) -> Result<(), TransportError> {
        let id = |uri| sdp::extension_id(&offer.sdp, uri);
        self.extensions = Extensions {
            mid: id(SDES_MID_URI),
            layer: id(SDES_RTP_STREAM_ID_URI),
            repaired: id(SDES_REPAIR_RTP_STREAM_ID_URI),
        };
        self.sections.retain(|mid, _| {
            offer
                .sections
                .iter()
                .any(|s| s.mid == *mid && s.layer.is_some() && s.direction == Direction::Send)
        });
        for section in offer.sections.iter().filter(|section| section.direction == Direction::Send) {
            if let (Some(name), Entry::Vacant(entry)) = (&section.layer, self.sections.entry(section.mid)) {
                entry.insert(Layer {
                    name: name.clone(),
                    lessons: 0,
                    ssrc: random_ssrc()?,
                    is_known: false,
                    repair: None,
                });
            }
        }
        Ok(())
    }

    /// The offer as the backend is to see it.
    pub(super) fn in_offer(&self, offer: &str) -> String {
        self.sections.iter().fold(offer.to_owned(), |sdp, (mid, layer)| {
            let repair = layer.repair.map(|repair| {
                [format!("a=ssrc-group:FID {} {repair}", layer.ssrc), format!("a=ssrc:{repair} cname:-")]
            });
            let mut lines = vec![format!("a=ssrc:{} cname:-", layer.ssrc)];
            lines.extend(repair.into_iter().flatten());
            sdp::with_lines(&sdp, *mid, &lines)
        })
    }

    /// The answer as the client is to see it.
    pub(super) fn in_answer(&self, answer: &str) -> String {
        self.sections.iter().fold(answer.to_owned(), |sdp, (mid, layer)| {
            sdp::with_lines(&sdp, *mid, &sdp::one_layer(&layer.name))
        })
    }

    /// Looks at a datagram. `true` when it brought an SSRC the backend has to be told of.
    pub(super) fn learn(&mut self, datagram: &[u8]) -> bool {
        if self.sections.is_empty() || !is_rtp(datagram) {
            return false;
        }
        let Some(ssrc) =
            datagram.get(8..12).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        else {
            return false;
        };
        if self
            .sections
            .values()
            .any(|layer| (layer.is_known && layer.ssrc == ssrc) || layer.repair == Some(ssrc))
        {
            return false;
        }
        self.learn_from_header(ssrc, datagram).unwrap_or(false)
    }

    fn learn_from_header(&mut self, ssrc: u32, mut datagram: &[u8]) -> Option<bool> {
        let header = rtp::Header::unmarshal(&mut datagram).ok()?;
        let text = |id: Option<u8>| String::from_utf8(header.get_extension(id?)?.to_vec()).ok();
        let layer = self.sections.get_mut(&Mid::parse(&text(self.extensions.mid)?)?)?;
        if layer.lessons >= MAX_LESSONS {
            return None;
        }
        if text(self.extensions.repaired).as_ref() == Some(&layer.name) {
            layer.repair = Some(ssrc);
        } else if text(self.extensions.layer).as_ref() == Some(&layer.name) {
            (layer.ssrc, layer.is_known) = (ssrc, true);
        } else {
            return None;
        }
        layer.lessons += 1;
        Some(true)
    }
}

fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, second, ..] if RTP_FIRST.contains(first) && !RTCP_SECOND.contains(second))
}

#[cfg(test)]
mod tests {
    use ::rtc::shared::marshal::Marshal as _;
    use bytes::Bytes;

    use super::*;

    const OFFER: &str = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\nm=video 9 X 96\r\na=mid:v\r\na=sendonly\r\n\
        a=rid:q send\r\na=rid:f send\r\na=simulcast:send q;f\r\n\
        a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
        a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
        a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n";

    fn packet(ssrc: u32, extensions: &[(u8, &'static str)]) -> Vec<u8> {
        let mut header = rtp::Header { version: 2, ssrc, payload_type: 96, ..Default::default() };
        for (id, value) in extensions {
            header.set_extension(*id, Bytes::from_static(value.as_bytes())).unwrap();
        }
        header.marshal().unwrap().to_vec()
    }

    fn layers() -> (Offer, Layers) {
        let (offer, mut layers) = (Offer::parse(OFFER).unwrap(), Layers::default());
        layers.take(&offer).unwrap();
        (offer, layers)
    }

    #[test]
    fn ssrcs_are_learnt_once_and_written_into_the_offer() {
        let (offer, mut layers) = layers();
        assert!(layers.in_offer(&offer.sdp).contains("a=ssrc:"), "the backend insists on one");
        let primary = packet(77, &[(4, "v"), (10, "f")]);
        assert!(layers.learn(&primary));
        assert!(!layers.learn(&primary));
        assert!(!layers.learn(&packet(77, &[])), "browsers stop naming it");
        assert!(layers.learn(&packet(78, &[(4, "v"), (11, "f")])));
        let told = layers.in_offer(&offer.sdp);
        assert!(told.contains("a=ssrc-group:FID 77 78\r\n") && told.contains("a=ssrc:77 cname"), "{told}");

        layers.take(&offer).unwrap();
        assert!(layers.in_offer(&offer.sdp).contains("a=ssrc:77 cname"), "kept over negotiations");
        assert!(layers.in_answer("m=video 9 X 96\r\na=mid:v\r\n").ends_with("a=simulcast:recv f\r\n"));
    }

    #[test]
    fn a_client_that_changes_its_ssrc_for_ever_is_not_followed() {
        let (_, mut layers) = layers();
        let learnt = (100..200).filter(|ssrc| layers.learn(&packet(*ssrc, &[(4, "v"), (10, "f")]))).count();
        assert_eq!(learnt, usize::from(MAX_LESSONS));
    }

    #[test]
    fn other_layers_sections_and_protocols_teach_nothing() {
        let (_, mut layers) = layers();
        for datagram in [
            packet(5, &[(4, "v"), (10, "q")]),
            packet(5, &[(4, "w"), (10, "f")]),
            packet(5, &[(10, "f")]),
            vec![0x80, 200, 0, 1, 0, 0, 0, 5, 0, 0, 0, 5],
            vec![0x90, 96],
            vec![22; 40],
        ] {
            assert!(!layers.learn(&datagram), "{datagram:?}");
        }
    }
}
