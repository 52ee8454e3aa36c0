//! Sections whose client names layers instead of SSRCs.
//!
//! A layer is told by header extensions that browsers stop sending after the first packets, so what SSRC it has is
//! learnt from those. The backend hears of no layers: it negotiates the section, and media passes it by.

use std::collections::HashMap;

use ::rtc::rtp;
use ::rtc::sdp::extmap::{SDES_MID_URI, SDES_REPAIR_RTP_STREAM_ID_URI, SDES_RTP_STREAM_ID_URI};

use super::random_ssrc;
use crate::transport::sdp::{self, Direction, Offer};
use crate::transport::{Layer, Mid, TransportError};

/// Layers of one connection.
#[derive(Default)]
pub(super) struct Layers {
    sections: HashMap<Mid, Section>,
    extensions: Extensions,
}

struct Section {
    /// The backend insists on an SSRC for what it receives.
    stand_in: u32,
    /// Best first.
    layers: Vec<Named>,
}

struct Named {
    layer: Layer,
    name: String,
    ssrc: Option<u32>,
}

/// Ids of the header extensions that name section, layer and repaired layer.
#[derive(Clone, Copy, Default)]
struct Extensions {
    mid: Option<u8>,
    layer: Option<u8>,
    repaired: Option<u8>,
}

/// Where a stream belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) mid: Mid,
    pub(super) layer: Layer,
    /// The SSRC of which it repeats packets, if it is a repair stream (RFC 4588).
    pub(super) repairs: Option<u32>,
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
        let mut before = std::mem::take(&mut self.sections);
        for offered in &offer.sections {
            if offered.direction != Direction::Send || offered.layers.is_empty() {
                continue;
            }
            let known = before.remove(&offered.mid);
            let ssrc = |name: &str| known.as_ref()?.layers.iter().find(|layer| layer.name == name)?.ssrc;
            let layers = offered.layers.iter();
            let layers = layers
                .map(|(layer, name)| Named { layer: *layer, name: name.clone(), ssrc: ssrc(name) })
                .collect();
            let stand_in = known.as_ref().map_or_else(random_ssrc, |known| Ok(known.stand_in))?;
            self.sections.insert(offered.mid, Section { stand_in, layers });
        }
        Ok(())
    }

    /// The offer as the backend is to see it.
    pub(super) fn in_offer(&self, offer: &str) -> String {
        self.sections.iter().fold(offer.to_owned(), |sdp, (mid, section)| {
            sdp::with_lines(&sdp, *mid, &[format!("a=ssrc:{} cname:-", section.stand_in)])
        })
    }

    /// The answer as the client is to see it.
    pub(super) fn in_answer(&self, answer: &str) -> String {
        self.sections.iter().fold(answer.to_owned(), |sdp, (mid, section)| {
            // From small to large, as clients offer them.
            let names: Vec<&str> = section.layers.iter().rev().map(|layer| layer.name.as_str()).collect();
            sdp::with_lines(&sdp, *mid, &sdp::take_layers(&names))
        })
    }

    /// The section that a packet names.
    pub(super) fn section(&self, header: &rtp::Header) -> Option<Mid> {
        Mid::parse(&text(header, self.extensions.mid)?)
    }

    /// Where a packet says that its stream belongs, if it is a layer's.
    pub(super) fn find(&mut self, header: &rtp::Header) -> Option<Place> {
        let mid = self.section(header)?;
        let (repaired, named) = (text(header, self.extensions.repaired), text(header, self.extensions.layer));
        let layers = &mut self.sections.get_mut(&mid)?.layers;
        let name = repaired.as_ref().or(named.as_ref())?;
        let found = layers.iter_mut().find(|layer| layer.name == *name)?;
        if repaired.is_none() {
            found.ssrc = Some(header.ssrc);
            return Some(Place { mid, layer: found.layer, repairs: None });
        }
        // Nothing can be repaired of what was never seen.
        let repairs = Some(found.ssrc?);
        Some(Place { mid, layer: found.layer, repairs })
    }

    /// Whether a section has layers.
    pub(super) fn has(&self, mid: Mid) -> bool {
        self.sections.contains_key(&mid)
    }
}

fn text(header: &rtp::Header, id: Option<u8>) -> Option<String> {
    String::from_utf8(header.get_extension(id?)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const OFFER: &str = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\nm=video 9 X 96\r\na=mid:v\r\na=sendonly\r\n\
        a=rid:q send\r\na=rid:f send\r\na=simulcast:send q;f\r\n\
        a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
        a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
        a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n";

    fn header(ssrc: u32, extensions: &[(u8, &'static str)]) -> rtp::Header {
        let mut header = rtp::Header { version: 2, ssrc, payload_type: 96, ..Default::default() };
        for (id, value) in extensions {
            header.set_extension(*id, Bytes::from_static(value.as_bytes())).unwrap();
        }
        header
    }

    fn layers() -> (Offer, Layers) {
        let (offer, mut layers) = (Offer::parse(OFFER).unwrap(), Layers::default());
        layers.take(&offer).unwrap();
        (offer, layers)
    }

    fn place(layer: Layer, repairs: Option<u32>) -> Option<Place> {
        Some(Place { mid: Mid::parse("v").unwrap(), layer, repairs })
    }

    #[test]
    fn a_stream_is_placed_by_what_its_packets_name() {
        let (offer, mut layers) = layers();
        let repair = header(78, &[(4, "v"), (11, "f")]);
        assert_eq!(layers.find(&repair), None, "of what was never seen");
        assert_eq!(layers.find(&header(77, &[(4, "v"), (10, "f")])), place(Layer::High, None));
        assert_eq!(layers.find(&header(79, &[(4, "v"), (10, "q")])), place(Layer::Low, None));
        assert_eq!(layers.find(&repair), place(Layer::High, Some(77)));
        layers.take(&offer).unwrap();
        assert_eq!(layers.find(&repair), place(Layer::High, Some(77)), "kept over negotiations");
        assert_eq!(
            layers.find(&header(80, &[(4, "v"), (10, "f")])),
            place(Layer::High, None),
            "a new encoder"
        );
        assert_eq!(layers.find(&repair), place(Layer::High, Some(80)));
        for named in [&[(4, "v"), (10, "h")][..], &[(4, "w"), (10, "f")], &[(10, "f")], &[(4, "v")]] {
            assert_eq!(layers.find(&header(5, named)), None, "{named:?}");
        }
    }

    #[test]
    fn the_backend_sees_one_stream_and_the_client_its_layers() {
        let (offer, mut layers) = layers();
        let told = layers.in_offer(&offer.sdp);
        assert_eq!((told.matches("a=ssrc:").count(), told.contains("a=rid:")), (1, false));
        layers.take(&offer).unwrap();
        assert_eq!(layers.in_offer(&offer.sdp), told, "the same over negotiations");
        let answer = layers.in_answer("m=video 9 X 96\r\na=mid:v\r\n");
        let lines = "a=mid:v\r\na=rid:q recv\r\na=rid:f recv\r\na=simulcast:recv q;f\r\n";
        assert_eq!(answer, format!("m=video 9 X 96\r\n{lines}"));

        let plain = Offer::parse(&OFFER.replace("a=rid:", "a=x:").replace("a=simulcast:", "a=y:")).unwrap();
        layers.take(&plain).unwrap();
        assert_eq!(layers.in_offer(&plain.sdp), plain.sdp, "no layers any more");
        assert!(!layers.has(Mid::parse("v").unwrap()));
    }
}
