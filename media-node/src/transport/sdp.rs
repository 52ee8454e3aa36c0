//! The little of SDP (RFC 8866, RFC 9429) the node must understand itself; the backend does the rest.

use super::{Layer, MediaKind, Mid};

/// Longest offer that is looked at. Browsers send 2 to 30 KiB.
pub const MAX_OFFER_BYTES: usize = 256 << 10;

/// Media sections of one connection. A client adds one for each track it ever publishes or receives.
pub const MAX_SECTIONS: usize = 128;

/// Lines of a section that are looked at for its streams' SSRCs: three layers, repair, some four lines each.
const MAX_STREAM_LINES: usize = 64;

/// A client's offer, read and made ready for the backend. Its answers are read as offers are.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Session description for the backend: without candidates and without layers.
    pub sdp: String,
    /// In the order of the offer.
    pub sections: Vec<OfferedSection>,
    /// ICE user name fragment of the client's side.
    pub ufrag: String,
    /// ICE password of the client's side.
    pub password: String,
}

/// One media section of an offer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OfferedSection {
    /// Its identification.
    pub mid: Mid,
    /// `None` for data channels.
    pub kind: Option<MediaKind>,
    /// Seen from the client.
    pub direction: Direction,
    /// The client's name of the track it sends: the second word of `msid`.
    pub track: Option<String>,
    /// Layers and their names (RFC 8851), best first, when the client names them instead of SSRCs.
    pub layers: Vec<(Layer, String)>,
}

/// Direction of a section, seen from the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The client publishes.
    Send,
    /// The client is ready to receive.
    Receive,
    /// Neither; also a rejected section (port zero).
    Inactive,
}

/// What the node wants to do with an offered section.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Section {
    /// Which one.
    pub mid: Mid,
    /// Audio or video.
    pub kind: MediaKind,
    /// What for.
    pub role: SectionRole,
}

/// Role of a section on the node's side.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SectionRole {
    /// Receives what the client publishes.
    Receive,
    /// Sends somebody else's track.
    Send {
        /// First word of `msid`; tracks of one stream are played in step.
        stream: String,
        /// Second word of `msid`.
        track: String,
    },
    /// Nothing, for now.
    Idle,
    /// Nothing ever again: the client gave it up.
    Retired,
}

/// An offer is not one the node can answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OfferError {
    /// Beyond [`MAX_OFFER_BYTES`] or [`MAX_SECTIONS`].
    #[error("offer is too large")]
    TooLarge,
    /// A section has no usable `mid`, or one that another section has too.
    #[error("media section has no usable mid")]
    Mid,
    /// No ICE credentials.
    #[error("offer has no ICE credentials")]
    Credentials,
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// See [`OfferError`].
    pub fn parse(sdp: &str) -> Result<Self, OfferError> {
        if sdp.len() > MAX_OFFER_BYTES {
            return Err(OfferError::TooLarge);
        }
        let mut blocks = split_sections(sdp);
        for block in &mut blocks {
            block.retain(|line| !line.starts_with("a=candidate:") && *line != "a=end-of-candidates");
        }
        if blocks.len() > MAX_SECTIONS + 1 {
            return Err(OfferError::TooLarge);
        }
        let credential = |name: &str| {
            let found = blocks.iter().flatten().find_map(|line| line.strip_prefix(name));
            found.map(str::to_owned).ok_or(OfferError::Credentials)
        };
        let (ufrag, password) = (credential("a=ice-ufrag:")?, credential("a=ice-pwd:")?);
        let mut sections: Vec<OfferedSection> = Vec::new();
        for block in blocks.iter_mut().skip(1) {
            let section = parse_section(block).ok_or(OfferError::Mid)?;
            let is_taken = sections.iter().any(|other| other.mid == section.mid);
            if is_taken {
                return Err(OfferError::Mid);
            }
            if !section.layers.is_empty() {
                let layered = ["a=rid:", "a=simulcast:", "a=ssrc:", "a=ssrc-group:"];
                block.retain(|line| !layered.iter().any(|name| line.starts_with(name)));
            }
            sections.push(section);
        }
        Ok(Self { sdp: join(&blocks), sections, ufrag, password })
    }
}

/// Names of senders in sections that do not send confuse browsers, and the backend writes them into every
/// section.
#[must_use]
pub fn without_idle_senders(answer: &str) -> String {
    let mut blocks = split_sections(answer);
    for block in blocks.iter_mut().skip(1) {
        if !block.iter().any(|line| matches!(*line, "a=sendonly" | "a=sendrecv")) {
            block.retain(|line| {
                !["a=msid:", "a=ssrc:", "a=ssrc-group:"].iter().any(|name| line.starts_with(name))
            });
        }
    }
    join(&blocks)
}

/// Adds lines to the section with the given `mid`.
#[must_use]
pub fn with_lines(sdp: &str, mid: Mid, lines: &[String]) -> String {
    let mut blocks = split_sections(sdp);
    let named = format!("a=mid:{mid}");
    if let Some(block) = blocks.iter_mut().find(|block| block.contains(&named.as_str())) {
        block.extend(lines.iter().map(String::as_str));
    }
    join(&blocks)
}

/// Names these candidates wherever the description named any: the backend knows one address only.
#[must_use]
pub fn with_candidates(sdp: &str, candidates: &[String]) -> String {
    let mut out = String::with_capacity(sdp.len());
    let mut named = false;
    for line in sdp.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if line.starts_with("m=") {
            named = false;
        }
        if !line.starts_with("a=candidate:") {
            out.extend([line, "\r\n"]);
        } else if !std::mem::replace(&mut named, true) {
            out.extend(candidates.iter().flat_map(|candidate| ["a=", candidate, "\r\n"]));
        }
    }
    out
}

/// Lines of an answer that take all layers.
#[must_use]
pub fn take_layers(names: &[&str]) -> Vec<String> {
    let mut lines: Vec<_> = names.iter().map(|name| format!("a=rid:{name} recv")).collect();
    lines.push(format!("a=simulcast:recv {}", names.join(";")));
    lines
}

/// A stream that an offer says a section sends (RFC 5576).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AnnouncedStream {
    /// Its SSRC.
    pub ssrc: u32,
    /// Its section.
    pub mid: Mid,
    /// The SSRC of which it repeats packets, if it is a repair stream.
    pub repairs: Option<u32>,
}

/// What an offer says of SSRCs.
#[must_use]
pub fn announced_streams(sdp: &str) -> Vec<AnnouncedStream> {
    let mut streams: Vec<AnnouncedStream> = Vec::new();
    for block in split_sections(sdp).iter().skip(1) {
        let Some(mid) = block.iter().find_map(|line| line.strip_prefix("a=mid:")).and_then(Mid::parse) else {
            continue;
        };
        let pair = |line: &&str| {
            let mut ssrcs = line.strip_prefix("a=ssrc-group:FID ")?.split(' ').map(str::parse::<u32>);
            Some((ssrcs.next()?.ok()?, ssrcs.next()?.ok()?))
        };
        let pairs: Vec<(u32, u32)> = block.iter().filter_map(pair).take(MAX_STREAM_LINES).collect();
        let named =
            block.iter().filter_map(|line| line.strip_prefix("a=ssrc:")?.split(' ').next()?.parse().ok());
        let first = streams.len();
        for ssrc in named.take(MAX_STREAM_LINES) {
            let repairs = pairs.iter().find(|(_, repair)| *repair == ssrc).map(|(of, _)| *of);
            if !streams[first..].iter().any(|known| known.ssrc == ssrc) {
                streams.push(AnnouncedStream { ssrc, mid, repairs });
            }
        }
    }
    streams
}

/// Id of a header extension, the same in all sections (RFC 8843 §9.1).
#[must_use]
pub fn extension_id(sdp: &str, uri: &str) -> Option<u8> {
    let extensions = sdp.lines().filter_map(|line| line.trim_end().strip_prefix("a=extmap:"));
    let mut words = extensions.map(|extension| extension.split(' '));
    words.find_map(|mut words| {
        let id = words.next()?.split('/').next()?.parse().ok()?;
        (words.next()? == uri).then_some(id)
    })
}

/// The value of the first line that begins with `name`.
#[must_use]
pub fn value<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.trim_end().strip_prefix(name))
}

/// The session's lines, then each section's. Candidates are left out: as ICE-lite, the node learns addresses
/// from checks, and they are personal data.
fn split_sections(sdp: &str) -> Vec<Vec<&str>> {
    let mut blocks = vec![Vec::new()];
    for line in sdp.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if line.starts_with("m=") {
            blocks.push(Vec::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push(line);
        }
    }
    blocks
}

fn join(blocks: &[Vec<&str>]) -> String {
    blocks.iter().flatten().flat_map(|line| [*line, "\r\n"]).collect()
}

fn parse_section(block: &[&str]) -> Option<OfferedSection> {
    let mut media = block.first()?.strip_prefix("m=")?.split(' ');
    let kind = match media.next()? {
        "audio" => Some(MediaKind::Audio),
        "video" => Some(MediaKind::Video),
        _ => None,
    };
    let no_port = media.next()? == "0";
    let attribute = |name: &str| block.iter().find_map(|line| line.strip_prefix(name));
    let has = |line: &str| block.contains(&line);
    // Without a port of its own a section may still be wanted on the bundle's (RFC 9143 §6; so does Firefox).
    let rejected = no_port && !has("a=bundle-only");
    let direction = if rejected || has("a=inactive") {
        Direction::Inactive
    } else if has("a=recvonly") {
        Direction::Receive
    } else {
        Direction::Send
    };
    let track = attribute("a=msid:").and_then(|msid| msid.split(' ').nth(1)).map(str::to_owned);
    Some(OfferedSection {
        mid: Mid::parse(attribute("a=mid:")?)?,
        kind,
        direction,
        track,
        layers: layers(block),
    })
}

/// Best first. Unknown names count from small to large, as clients list them.
fn layers(block: &[&str]) -> Vec<(Layer, String)> {
    let is_token = |rid: &&str| {
        !rid.is_empty() && rid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let rids: Vec<&str> = block
        .iter()
        .filter_map(|line| line.strip_prefix("a=rid:")?.split_once(" send").map(|(rid, _)| rid))
        .filter(is_token)
        .take(Layer::ALL.len())
        .collect();
    let known = |rid: &str| Layer::ALL.into_iter().find(|layer| layer.rid() == rid);
    let mut layers: Vec<(Layer, String)> = match rids.iter().map(|rid| known(rid)).collect::<Option<Vec<_>>>()
    {
        Some(layers) => layers.into_iter().zip(rids.iter().map(|rid| (*rid).to_owned())).collect(),
        None => Layer::ALL.into_iter().zip(rids.iter().map(|rid| (*rid).to_owned())).collect(),
    };
    layers.sort_by_key(|(layer, ..)| std::cmp::Reverse(*layer));
    layers.dedup_by_key(|(layer, _)| *layer);
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\na=ice-ufrag:uf\r\na=ice-pwd:pw\r\n";

    fn offer(sections: &str) -> Result<Offer, OfferError> {
        Offer::parse(&format!("{SESSION}{sections}"))
    }

    #[test]
    fn sections_are_read_in_order() {
        let offer = offer(
            "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\na=sendonly\r\na=msid:- cam-1\r\n\
             m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=sendonly\r\n\
             m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=bundle-only\r\na=mid:3\r\na=sendonly\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\n",
        )
        .unwrap();
        let seen: Vec<_> = offer.sections.iter().map(|s| (s.mid.as_str(), s.kind, s.direction)).collect();
        assert_eq!(
            seen,
            [
                ("0", Some(MediaKind::Audio), Direction::Receive),
                ("v", Some(MediaKind::Video), Direction::Send),
                ("2", Some(MediaKind::Video), Direction::Inactive),
                ("3", Some(MediaKind::Video), Direction::Send),
                ("d", None, Direction::Send),
            ]
        );
        assert_eq!(offer.sections[1].track.as_deref(), Some("cam-1"));
        assert_eq!((offer.ufrag.as_str(), offer.password.as_str()), ("uf", "pw"));
    }

    #[test]
    fn candidates_do_not_reach_the_backend() {
        let candidates = "a=candidate:1 1 udp 1 203.0.113.9 1 typ host\r\na=end-of-candidates\r\n";
        let offer = offer(&format!("m=audio 9 X 111\r\na=mid:0\r\n{candidates}")).unwrap();
        assert!(!offer.sdp.contains("203.0.113.9"));
    }

    #[test]
    fn layers_are_found_and_do_not_reach_the_backend() {
        let section = "m=video 9 X 96\r\na=mid:0\r\na=sendonly\r\na=ssrc:1 cname:x\r\n";
        let names = |lines: &str| {
            let offer = offer(&format!("{section}{lines}")).unwrap();
            let layers = offer.sections[0].layers.clone();
            assert_eq!(layers.is_empty(), offer.sdp.contains("a=ssrc:1"), "{}", offer.sdp);
            assert!(!offer.sdp.contains("rid") && !offer.sdp.contains("simulcast"), "{}", offer.sdp);
            layers.into_iter().map(|(layer, name)| format!("{}={name}", layer.rid())).collect::<Vec<_>>()
        };
        let three = "a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n";
        assert_eq!(names(three), ["f=f", "h=h", "q=q"]);
        assert_eq!(names("a=rid:q send\r\na=rid:h send pt=96\r\n"), ["h=h", "q=q"]);
        assert_eq!(names("a=rid:lo send\r\na=rid:hi send\r\n"), ["h=hi", "q=lo"]);
        assert_eq!(names("a=rid:f send\r\na=rid:f send\r\n"), ["f=f"]);
        assert_eq!(names(&"a=rid:x send\r\n".repeat(9)).len(), 3);
        assert!(names("").is_empty());
    }

    #[test]
    fn streams_are_announced_with_what_they_repeat() {
        let sdp = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=ssrc:5 cname:x\r\nm=video 9 X 96\r\na=mid:1\r\n\
            a=ssrc-group:FID 7 8\r\na=ssrc:7 cname:x\r\na=ssrc:7 msid:- y\r\na=ssrc:8 cname:x\r\na=ssrc:z\r\n";
        let streams = announced_streams(sdp);
        let seen: Vec<_> = streams.iter().map(|s| (s.ssrc, s.mid.to_string(), s.repairs)).collect();
        assert_eq!(seen, [(5, "0".into(), None), (7, "1".into(), None), (8, "1".into(), Some(7))]);
        let many: String = (0..1_000).map(|ssrc| format!("a=ssrc:{ssrc} cname:x\r\n")).collect();
        assert_eq!(announced_streams(&format!("v=0\r\nm=video 9 X 96\r\na=mid:1\r\n{many}")).len(), 64);
    }

    #[test]
    fn lines_are_added_to_their_section_only() {
        let sdp = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\nm=video 9 X 96\r\na=mid:1\r\n";
        let added = with_lines(sdp, Mid::parse("0").unwrap(), &take_layers(&["f", "q"]));
        let lines = "a=mid:0\r\na=rid:f recv\r\na=rid:q recv\r\na=simulcast:recv f;q\r\n";
        assert_eq!(added, sdp.replace("a=mid:0\r\n", lines));
    }

    #[test]
    fn candidates_stand_where_one_stood() {
        let sdp = "v=0\r\nm=audio 9 X 111\r\na=candidate:1 1 udp 1 a 1 typ host\r\na=candidate:1 2 udp 1 a 1 typ host\r\n\
                   a=end-of-candidates\r\nm=video 9 X 96\r\na=mid:1\r\n";
        let named = with_candidates(sdp, &["candidate:x".to_owned(), "candidate:y".to_owned()]);
        let expected = "v=0\r\nm=audio 9 X 111\r\na=candidate:x\r\na=candidate:y\r\na=end-of-candidates\r\n\
                        m=video 9 X 96\r\na=mid:1\r\n";
        assert_eq!(named, expected);
    }

    #[test]
    fn extension_ids_are_found_by_name() {
        let sdp =
            "m=video 9 X 96\r\na=extmap:4 urn:x\r\na=extmap:10/sendonly urn:y\r\na=extmap:300 urn:z\r\n";
        assert_eq!([extension_id(sdp, "urn:x"), extension_id(sdp, "urn:y")], [Some(4), Some(10)]);
        assert_eq!([extension_id(sdp, "urn:z"), extension_id(sdp, "urn")], [None, None]);
    }

    #[test]
    fn senders_are_named_only_where_something_is_sent() {
        let answer = "v=0\r\nm=audio 9 X 111\r\na=msid:a b\r\na=ssrc:1 cname:x\r\na=recvonly\r\n\
                      m=audio 9 X 111\r\na=msid:c d\r\na=ssrc:2 cname:y\r\na=sendonly\r\n";
        let cleaned = without_idle_senders(answer);
        assert!(!cleaned.contains("msid:a b") && !cleaned.contains("ssrc:1"));
        assert!(cleaned.contains("msid:c d") && cleaned.contains("ssrc:2"));
    }

    #[test]
    fn unusable_offers_are_refused() {
        assert_eq!(offer("m=audio 9 X 111\r\n").unwrap_err(), OfferError::Mid);
        let twice = "m=audio 9 X 111\r\na=mid:0\r\n".repeat(2);
        assert_eq!(offer(&twice).unwrap_err(), OfferError::Mid);
        assert_eq!(Offer::parse("v=0\r\n").unwrap_err(), OfferError::Credentials);
        let many: String = (0..=MAX_SECTIONS).map(|i| format!("m=audio 9 X 111\r\na=mid:{i}\r\n")).collect();
        assert_eq!(offer(&many).unwrap_err(), OfferError::TooLarge);
        assert_eq!(Offer::parse(&"a".repeat(MAX_OFFER_BYTES + 1)).unwrap_err(), OfferError::TooLarge);
    }

    #[test]
    fn garbage_never_panics() {
        for garbage in [
            "",
            "m=",
            "m=\r\nm=",
            "m=audio",
            "a=ice-ufrag:\na=ice-pwd:\nm=audio 9 \na=mid:0\na=rid:\na=rid: x",
        ] {
            let _ = Offer::parse(garbage);
        }
    }
}
