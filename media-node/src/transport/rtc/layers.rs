//! Sections whose client names layers instead of SSRCs.
//!
//! The backend finds a layer by header extensions that browsers stop sending after the first packets, forgets
//! it at every negotiation, never finds its repair stream, and holds one SSRC a section. So it is not told of
//! layers at all: RTP headers are in the clear, the SSRCs are read there, and the backend gets the offer again
//! with a section of its own for each layer. The best layer has the section of the track.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ::rtc::rtp;
use ::rtc::sdp::extmap::{SDES_MID_URI, SDES_REPAIR_RTP_STREAM_ID_URI, SDES_RTP_STREAM_ID_URI};
use ::rtc::shared::marshal::Unmarshal as _;

use super::random_ssrc;
use crate::transport::sdp::{self, Direction, Offer, Section, SectionRole};
use crate::transport::{Layer, MediaKind, Mid, TransportError};

/// First byte of RTP and RTCP (RFC 7983), and where RTCP's packet types lie among RTP's (RFC 5761 §4).
const RTP_FIRST: std::ops::RangeInclusive<u8> = 128..=191;
const RTCP_SECOND: std::ops::RangeInclusive<u8> = 192..=223;

/// A layer has two SSRCs, and others after a client restarts its encoder.
const MAX_LESSONS: u8 = 16;

/// What is learnt is told the backend this long after the time before. A negotiation holds everything up for a
/// moment; half a dozen of them, when a camera starts, look to a browser like a line that is full, and it then
/// takes half a minute to send its larger layers.
const TELL_EVERY: Duration = Duration::from_millis(400);

/// Layers of one connection.
#[derive(Default)]
pub(super) struct Layers {
    sections: HashMap<Mid, Vec<Stream>>,
    extensions: Extensions,
    told_at: Option<Instant>,
    /// Something was learnt that the backend does not know.
    is_ahead: bool,
}

/// One layer.
struct Stream {
    layer: Layer,
    name: String,
    /// The backend's section for it.
    mid: Mid,
    /// Whether the last offer had it: the backend keeps a section for ever.
    is_offered: bool,
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
        self.sections.retain(|mid, _| offer.sections.iter().any(|section| section.mid == *mid));
        for section in &offer.sections {
            let mut offered = match section.direction {
                Direction::Send => section.layers.as_slice(),
                _ => &[],
            };
            // Without room for the names of further sections there is one layer, the best.
            if offered.len() > 1 && sdp::layer_mid(section.mid, Layer::Low).is_none() {
                offered = &offered[..1];
            }
            self.take_section(section.mid, offered)?;
        }
        Ok(())
    }

    fn take_section(&mut self, mid: Mid, offered: &[(Layer, String)]) -> Result<(), TransportError> {
        if offered.is_empty() && !self.sections.contains_key(&mid) {
            return Ok(());
        }
        let streams = self.sections.entry(mid).or_default();
        for stream in streams.iter_mut() {
            stream.is_offered = false;
        }
        for (nth, (layer, name)) in offered.iter().enumerate() {
            let Some(own) = (if nth == 0 { Some(mid) } else { sdp::layer_mid(mid, *layer) }) else {
                continue;
            };
            match streams.iter_mut().find(|stream| stream.mid == own) {
                Some(stream) if stream.name == *name => stream.is_offered = true,
                known => {
                    let stream = Stream::new(*layer, name.clone(), own)?;
                    match known {
                        Some(known) => *known = stream,
                        None => streams.push(stream),
                    }
                }
            }
        }
        streams.retain(|stream| stream.is_offered || stream.mid != mid);
        streams.sort_by_key(|stream| std::cmp::Reverse(stream.layer));
        Ok(())
    }

    /// The offer as the backend is to see it.
    pub(super) fn in_offer(&self, offer: &str) -> String {
        self.sections.iter().fold(offer.to_owned(), |sdp, (mid, streams)| {
            // Copies before the original is given an SSRC; the last one copied comes first.
            let copies = streams.iter().rev().filter(|stream| stream.mid != *mid);
            let sdp = copies.fold(sdp, |sdp, copy| sdp::with_copy(&sdp, *mid, copy.mid, &copy.lines()));
            let original = streams.iter().find(|stream| stream.mid == *mid);
            original.map_or(sdp.clone(), |stream| sdp::with_lines(&sdp, *mid, &stream.lines()))
        })
    }

    /// What the backend's own sections are for, given what the client's are.
    pub(super) fn sections(&self, plan: &[Section]) -> Vec<Section> {
        let mut sections = Vec::new();
        for (mid, streams) in &self.sections {
            let role = plan.iter().find(|section| section.mid == *mid).map(|section| &section.role);
            for stream in streams.iter().filter(|stream| stream.mid != *mid) {
                let role = match role {
                    Some(SectionRole::Receive) if stream.is_offered => SectionRole::Receive,
                    Some(SectionRole::Retired) => SectionRole::Retired,
                    _ => SectionRole::Idle,
                };
                sections.push(Section { mid: stream.mid, kind: MediaKind::Video, role });
            }
        }
        sections
    }

    /// The client's section and the layer that a section of the backend stands for.
    pub(super) fn place(&self, mid: Mid) -> (Mid, Layer) {
        let streams = self.sections.iter().flat_map(|(of, streams)| streams.iter().map(move |s| (*of, s)));
        let mut places = streams.filter(|(_, stream)| stream.mid == mid);
        places.next().map_or((mid, Layer::High), |(of, stream)| (of, stream.layer))
    }

    /// The answer as the client is to see it.
    pub(super) fn in_answer(&self, answer: &str) -> String {
        let answer = sdp::without_layer_sections(answer);
        self.sections.iter().fold(answer, |sdp, (mid, streams)| {
            // From small to large, as clients offer them.
            let offered = streams.iter().rev().filter(|stream| stream.is_offered);
            let names: Vec<&str> = offered.map(|stream| stream.name.as_str()).collect();
            if names.is_empty() { sdp } else { sdp::with_lines(&sdp, *mid, &sdp::take_layers(&names)) }
        })
    }

    /// When the backend is to be told of what was learnt.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.told_at.filter(|_| self.is_ahead).map(|told| told + TELL_EVERY)
    }

    /// Whether the backend is to be told now.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let waits = self.told_at.is_some_and(|told| now.saturating_duration_since(told) < TELL_EVERY);
        let is_due = self.is_ahead && !waits;
        if is_due {
            (self.told_at, self.is_ahead) = (Some(now), false);
        }
        is_due
    }

    /// Looks at a datagram: it may bring an SSRC the backend has to be told of.
    pub(super) fn learn(&mut self, datagram: &[u8]) {
        self.is_ahead |= self.teaches(datagram);
    }

    fn teaches(&mut self, datagram: &[u8]) -> bool {
        if self.sections.is_empty() || !is_rtp(datagram) {
            return false;
        }
        let Some(ssrc) =
            datagram.get(8..12).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        else {
            return false;
        };
        let knows = |stream: &Stream| (stream.is_known && stream.ssrc == ssrc) || stream.repair == Some(ssrc);
        if self.sections.values().flatten().any(knows) {
            return false;
        }
        self.learn_from_header(ssrc, datagram).unwrap_or(false)
    }

    fn learn_from_header(&mut self, ssrc: u32, mut datagram: &[u8]) -> Option<bool> {
        let header = rtp::Header::unmarshal(&mut datagram).ok()?;
        let text = |id: Option<u8>| String::from_utf8(header.get_extension(id?)?.to_vec()).ok();
        let streams = self.sections.get_mut(&Mid::parse(&text(self.extensions.mid)?)?)?;
        let (repaired, named) = (text(self.extensions.repaired), text(self.extensions.layer));
        let name = repaired.as_ref().or(named.as_ref())?;
        let stream = streams.iter_mut().find(|stream| stream.is_offered && stream.name == *name)?;
        if stream.lessons >= MAX_LESSONS {
            return None;
        }
        if repaired.is_some() {
            stream.repair = Some(ssrc);
        } else {
            (stream.ssrc, stream.is_known) = (ssrc, true);
        }
        stream.lessons += 1;
        Some(true)
    }
}

impl Stream {
    fn new(layer: Layer, name: String, mid: Mid) -> Result<Self, TransportError> {
        let ssrc = random_ssrc()?;
        Ok(Self { layer, name, mid, is_offered: true, lessons: 0, ssrc, is_known: false, repair: None })
    }

    /// Lines of its section; none when the client does not send it.
    fn lines(&self) -> Vec<String> {
        if !self.is_offered {
            return Vec::new();
        }
        let repair = self.repair.map(|repair| {
            [format!("a=ssrc-group:FID {} {repair}", self.ssrc), format!("a=ssrc:{repair} cname:-")]
        });
        let mut lines = vec![format!("a=ssrc:{} cname:-", self.ssrc)];
        lines.extend(repair.into_iter().flatten());
        lines
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

    fn mid(mid: &str) -> Mid {
        Mid::parse(mid).unwrap()
    }

    /// What the backend is told of each section: its `mid` and the lines that name SSRCs.
    fn told(sdp: &str) -> Vec<String> {
        let wanted = ["a=mid:", "a=ssrc", "a=inactive"];
        let lines = sdp.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn ssrcs_are_learnt_once_and_written_into_the_offer() {
        let (offer, mut layers) = layers();
        assert_eq!(
            layers.in_offer(&offer.sdp).matches("a=ssrc:").count(),
            2,
            "the backend insists on one each"
        );
        let primary = packet(77, &[(4, "v"), (10, "f")]);
        assert!(layers.teaches(&primary));
        assert!(!layers.teaches(&primary));
        assert!(!layers.teaches(&packet(77, &[])), "browsers stop naming it");
        assert!(layers.teaches(&packet(78, &[(4, "v"), (11, "f")])));
        assert!(layers.teaches(&packet(79, &[(4, "v"), (10, "q")])));
        let expected = [
            "a=mid:v",
            "a=ssrc:77 cname:-",
            "a=ssrc-group:FID 77 78",
            "a=ssrc:78 cname:-",
            "a=ssrc:79 cname:-",
            "a=mid:v~q",
        ];
        assert_eq!(told(&layers.in_offer(&offer.sdp)), expected);

        layers.take(&offer).unwrap();
        assert_eq!(told(&layers.in_offer(&offer.sdp)), expected, "kept over negotiations");
        let answer = layers.in_answer("m=video 9 X 96\r\na=mid:v\r\nm=video 9 X 96\r\na=mid:v~q\r\n");
        let lines = "a=mid:v\r\na=rid:q recv\r\na=rid:f recv\r\na=simulcast:recv q;f\r\n";
        assert_eq!(answer, format!("m=video 9 X 96\r\n{lines}"));
    }

    #[test]
    fn the_backends_sections_stand_for_the_clients() {
        let (offer, mut layers) = layers();
        assert_eq!(layers.place(mid("v")), (mid("v"), Layer::High));
        assert_eq!(layers.place(mid("v~q")), (mid("v"), Layer::Low));
        assert_eq!(layers.place(mid("w")), (mid("w"), Layer::High), "without layers");
        let role = |layers: &Layers, role: SectionRole| {
            layers.sections(&[Section { mid: mid("v"), kind: MediaKind::Video, role }])[0].role.clone()
        };
        assert_eq!(role(&layers, SectionRole::Receive), SectionRole::Receive);
        assert_eq!(role(&layers, SectionRole::Idle), SectionRole::Idle);

        let plain = Offer::parse(&OFFER.replace("a=rid:", "a=x:").replace("a=simulcast:", "a=y:")).unwrap();
        layers.take(&plain).unwrap();
        assert_eq!(role(&layers, SectionRole::Receive), SectionRole::Idle, "no layers any more");
        assert_eq!(told(&layers.in_offer(&plain.sdp)), ["a=mid:v", "a=inactive", "a=mid:v~q"]);
        assert_eq!(layers.place(mid("v")), (mid("v"), Layer::High));
        layers.take(&offer).unwrap();
        assert_eq!(role(&layers, SectionRole::Receive), SectionRole::Receive, "and again");
    }

    #[test]
    fn the_backend_is_told_at_once_and_then_now_and_then() {
        let (_, mut layers) = layers();
        let start = Instant::now();
        assert!(!layers.is_due(start));
        layers.learn(&packet(77, &[(4, "v"), (10, "f")]));
        assert!(layers.is_due(start), "without it nothing is received");
        for (ssrc, rid) in [(78, "q"), (79, "q")] {
            layers.learn(&packet(ssrc, &[(4, "v"), (10, rid)]));
        }
        assert!(!layers.is_due(start + TELL_EVERY / 2));
        assert_eq!(layers.poll_timeout(), Some(start + TELL_EVERY));
        assert!(layers.is_due(start + TELL_EVERY), "nothing is forgotten");
        assert_eq!(layers.poll_timeout(), None);
        assert!(!layers.is_due(start + TELL_EVERY * 3));
    }

    #[test]
    fn a_client_that_changes_its_ssrc_for_ever_is_not_followed() {
        let (_, mut layers) = layers();
        let learnt = (100..200).filter(|ssrc| layers.teaches(&packet(*ssrc, &[(4, "v"), (10, "f")]))).count();
        assert_eq!(learnt, usize::from(MAX_LESSONS));
    }

    #[test]
    fn other_layers_sections_and_protocols_teach_nothing() {
        let (_, mut layers) = layers();
        for datagram in [
            packet(5, &[(4, "v"), (10, "h")]),
            packet(5, &[(4, "w"), (10, "f")]),
            packet(5, &[(10, "f")]),
            packet(5, &[(4, "v")]),
            vec![0x80, 200, 0, 1, 0, 0, 0, 5, 0, 0, 0, 5],
            vec![0x90, 96],
            vec![22; 40],
        ] {
            assert!(!layers.teaches(&datagram), "{datagram:?}");
        }
    }
}
