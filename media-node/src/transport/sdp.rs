//! The little of SDP (RFC 8866, RFC 9429) the node must understand itself; the backend does the rest.

use super::{MediaKind, Mid};

/// Longest offer that is looked at. Browsers send 2 to 30 KiB.
pub const MAX_OFFER_BYTES: usize = 256 << 10;

/// Media sections of one connection. A client adds one for each track it ever publishes or receives.
pub const MAX_SECTIONS: usize = 128;

/// Layer names of LiveKit clients, best first, and the offer of one alone.
const LAYERS_BEST_FIRST: [(&str, &str); 3] =
    [("f", "a=simulcast:send f"), ("h", "a=simulcast:send h"), ("q", "a=simulcast:send q")];

/// A client's offer, read and made ready for the backend.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Session description for the backend: without candidates, and with one layer where several were offered.
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
            if sections.iter().any(|other| other.mid == section.mid) {
                return Err(OfferError::Mid);
            }
            sections.push(section);
            keep_best_layer(block);
        }
        Ok(Self { sdp: join(&blocks), sections, ufrag, password })
    }
}

/// Names of senders in sections that do not send confuse browsers, and the backend writes them into every section.
#[must_use]
pub fn without_idle_senders(answer: &str) -> String {
    let mut blocks = split_sections(answer);
    for block in blocks.iter_mut().skip(1) {
        if !block.iter().any(|line| matches!(*line, "a=sendonly" | "a=sendrecv")) {
            block.retain(|line| !["a=msid:", "a=ssrc:", "a=ssrc-group:"].iter().any(|name| line.starts_with(name)));
        }
    }
    join(&blocks)
}

/// The value of the first line that begins with `name`.
#[must_use]
pub fn value<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.trim_end().strip_prefix(name))
}

/// The session's lines, then each section's. Candidates are left out: as ICE-lite, the node learns addresses from
/// checks, and they are personal data.
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

fn parse_section(block: &mut Vec<&str>) -> Option<OfferedSection> {
    block.retain(|line| !line.starts_with("a=candidate:") && *line != "a=end-of-candidates");
    let mut media = block.first()?.strip_prefix("m=")?.split(' ');
    let kind = match media.next()? {
        "audio" => Some(MediaKind::Audio),
        "video" => Some(MediaKind::Video),
        _ => None,
    };
    let rejected = media.next()? == "0";
    let attribute = |name: &str| block.iter().find_map(|line| line.strip_prefix(name));
    let has = |line: &str| block.contains(&line);
    let direction = if rejected || has("a=inactive") {
        Direction::Inactive
    } else if has("a=recvonly") {
        Direction::Receive
    } else {
        Direction::Send
    };
    let track = attribute("a=msid:").and_then(|msid| msid.split(' ').nth(1)).map(str::to_owned);
    Some(OfferedSection { mid: Mid::parse(attribute("a=mid:")?)?, kind, direction, track })
}

/// Of several simulcast layers, offers the backend only the best: a client sends no layer that the answer leaves out
/// (RFC 8853 §5.3.2), so what arrives can be forwarded as it is.
fn keep_best_layer(block: &mut Vec<&str>) {
    let rids: Vec<&str> = block.iter().filter_map(|line| rid(line)).collect();
    if rids.len() < 2 {
        return;
    }
    let best = LAYERS_BEST_FIRST.into_iter().find(|(name, _)| rids.contains(name));
    block.retain(|line| !line.starts_with("a=simulcast:") && rid(line).is_none_or(|name| is_layer(best, name)));
    // Of unknown names none is known to be the best; a section without the attribute sends one layer.
    block.extend(best.map(|(_, attribute)| attribute));
}

fn is_layer(best: Option<(&str, &str)>, name: &str) -> bool {
    best.is_some_and(|(best, _)| best == name)
}

fn rid<'a>(line: &&'a str) -> Option<&'a str> {
    line.strip_prefix("a=rid:")?.split(' ').next()
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
                ("d", None, Direction::Send),
            ]
        );
        assert_eq!(offer.sections[1].track.as_deref(), Some("cam-1"));
        assert_eq!((offer.ufrag.as_str(), offer.password.as_str()), ("uf", "pw"));
    }

    #[test]
    fn candidates_do_not_reach_the_backend() {
        let offer = offer(
            "m=audio 9 X 111\r\na=mid:0\r\na=candidate:1 1 udp 1 203.0.113.9 1 typ host\r\na=end-of-candidates\r\n",
        )
        .unwrap();
        assert!(!offer.sdp.contains("203.0.113.9"));
    }

    #[test]
    fn one_simulcast_layer_is_left() {
        let section = "m=video 9 X 96\r\na=mid:0\r\na=sendonly\r\n";
        let layers = "a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n";
        let sdp = offer(&format!("{section}{layers}")).unwrap().sdp;
        assert!(sdp.contains("a=rid:f send\r\n") && sdp.contains("a=simulcast:send f\r\n"), "{sdp}");
        assert!(!sdp.contains("a=rid:q") && !sdp.contains("q;h;f"), "{sdp}");

        let two = "a=rid:q send\r\na=rid:h send\r\na=simulcast:send q;h\r\n";
        assert!(offer(&format!("{section}{two}")).unwrap().sdp.contains("a=simulcast:send h\r\n"));

        let foreign = "a=rid:lo send\r\na=rid:hi send\r\na=simulcast:send lo;hi\r\n";
        let sdp = offer(&format!("{section}{foreign}")).unwrap().sdp;
        assert!(!sdp.contains("rid") && !sdp.contains("simulcast"), "{sdp}");
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
        for garbage in ["", "m=", "m=\r\nm=", "m=audio", "a=ice-ufrag:\na=ice-pwd:\nm=audio 9 \na=mid:0\na=rid:\na=rid: x"] {
            let _ = Offer::parse(garbage);
        }
    }
}
