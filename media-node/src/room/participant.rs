//! One stay of one participant.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::participant_info::State;

use super::Now;
use super::ids::{Identity, ParticipantSid, SessionId, Sink};
use super::meter::Meter;
use super::publication::Publication;
use super::receiving::Receiving;
use crate::token::Grants;

/// Time to bring media up after joining.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// Time to come back with a new socket. SDKs try at once, and again with growing pauses.
const RESUME_WITHIN: Duration = Duration::from_secs(15);

/// Without a connectivity check for so long, the client is gone (RFC 7675 §5.1).
const CONSENT_LASTS: Duration = Duration::from_secs(30);

/// After its transport was closed, a client that stays joins anew within this.
const RECONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Attributes of one participant, keys and values together.
const MAX_ATTRIBUTE_BYTES: usize = 16 << 10;
const MAX_ATTRIBUTES: usize = 64;

/// A participant of a room.
#[derive(Debug)]
pub(super) struct Participant {
    /// Id of this stay.
    pub sid: ParticipantSid,
    /// Who, across stays.
    pub identity: Identity,
    /// What it may do.
    pub grants: Grants,
    /// What it publishes.
    pub publications: Vec<Publication>,
    /// What it receives.
    pub receiving: Receiving,
    /// What the record is told of its stay.
    pub meter: Meter,
    /// The connection it receives on, if that is another than the one it joined with.
    pub receives_on: Option<SessionId>,
    /// State of its media: in v0 of what it receives on, for it publishes when it has something to.
    pub media: Media,
    /// How good its line is, as everybody was told.
    pub quality: Option<proto::ConnectionQuality>,
    /// When its socket was lost, if it is.
    pub signal_lost_at: Option<Instant>,
    /// Of two stays of one identity the one with the greater number is the newer one, also at other nodes.
    pub stay: u64,
    /// Last number of its reliable data packets that arrived.
    pub last_data_sequence: u32,
    attributes: HashMap<String, String>,
    version: u32,
    joined_ms: i64,
    client_protocol: i32,
}

/// State of a participant's media connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Media {
    /// Not there yet.
    ConnectingSince(Instant),
    /// There; the client was last heard of then.
    ConnectedAndHeard(Instant),
    /// It was closed under us.
    ClosedSince(Instant),
}

/// The number of a stay: later ones have greater ones, and no two that begin at once have the same.
fn first_stay(now: Now, sid: &ParticipantSid) -> u64 {
    let mix = |mixed: u16, byte: u8| mixed.rotate_left(5) ^ u16::from(byte);
    let low = sid.as_str().bytes().fold(0, mix);
    u64::try_from(now.unix_ms).unwrap_or(0) << 16 | u64::from(low)
}

/// Attributes are refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TooManyAttributes;

impl Participant {
    /// A participant that just joined.
    #[must_use]
    pub(super) fn new(
        now: Now,
        sid: ParticipantSid,
        identity: Identity,
        grants: Grants,
        client_protocol: i32,
        sink: Option<Sink>,
    ) -> Self {
        let stay = first_stay(now, &sid);
        Self {
            sid,
            identity,
            grants,
            publications: Vec::new(),
            receiving: Receiving::default(),
            meter: Meter::new(sink),
            receives_on: None,
            media: Media::ConnectingSince(now.at),
            quality: None,
            signal_lost_at: None,
            stay,
            last_data_sequence: 0,
            attributes: HashMap::new(),
            version: 1,
            joined_ms: now.unix_ms,
            client_protocol,
        }
    }

    /// Something others see has changed: they keep the newest version only.
    pub(super) fn touch(&mut self) {
        self.version = self.version.saturating_add(1);
    }

    /// Whether media flows.
    #[must_use]
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.media, Media::ConnectedAndHeard(_))
    }

    /// Why the participant is to be removed now, if it is.
    #[must_use]
    pub(super) fn overdue(&self, now: Instant) -> Option<proto::DisconnectReason> {
        let over = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        if self.signal_lost_at.is_some_and(|lost| over(lost, RESUME_WITHIN)) {
            return Some(proto::DisconnectReason::SignalClose);
        }
        let media_is_over = match self.media {
            Media::ConnectingSince(since) => over(since, CONNECT_WITHIN),
            Media::ConnectedAndHeard(last) => over(last, CONSENT_LASTS),
            // Without socket and without media, nobody is there to wait for.
            Media::ClosedSince(since) => self.signal_lost_at.is_some() || over(since, RECONNECT_WITHIN),
        };
        let is_over = media_is_over || (self.signal_lost_at.is_none() && self.receiving.is_unanswered(now));
        is_over.then_some(proto::DisconnectReason::ConnectionTimeout)
    }

    /// Sets attributes; an empty value removes one. They are opaque here, and bounded.
    ///
    /// # Errors
    /// When there would be too many; nothing is changed then.
    pub(super) fn set_attributes(
        &mut self,
        changes: &HashMap<String, String>,
    ) -> Result<(), TooManyAttributes> {
        let mut next = self.attributes.clone();
        for (key, value) in changes {
            if value.is_empty() {
                next.remove(key);
            } else {
                next.insert(key.clone(), value.clone());
            }
        }
        let bytes: usize = next.iter().map(|(key, value)| key.len() + value.len()).sum();
        if next.len() > MAX_ATTRIBUTES || bytes > MAX_ATTRIBUTE_BYTES {
            return Err(TooManyAttributes);
        }
        self.attributes = next;
        Ok(())
    }

    /// What others are told.
    #[must_use]
    pub(super) fn info(&self) -> proto::ParticipantInfo {
        let state = if self.is_connected() { State::Active } else { State::Joined };
        let started = self.publications.iter().filter(|publication| publication.started);
        proto::ParticipantInfo {
            sid: self.sid.to_string(),
            identity: self.identity.to_string(),
            state: state.into(),
            tracks: started.map(|publication| publication.info.clone()).collect(),
            joined_at: self.joined_ms / 1_000,
            joined_at_ms: self.joined_ms,
            version: self.version,
            is_publisher: !self.publications.is_empty(),
            permission: Some(self.grants.permission()),
            attributes: self.attributes.clone(),
            client_protocol: self.client_protocol,
            ..proto::ParticipantInfo::default()
        }
    }

    /// What others are told when it is gone.
    #[must_use]
    pub(super) fn farewell(&self, reason: proto::DisconnectReason) -> proto::ParticipantInfo {
        proto::ParticipantInfo {
            state: State::Disconnected.into(),
            disconnect_reason: reason.into(),
            tracks: Vec::new(),
            version: self.version.saturating_add(1),
            ..self.info()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant(at: Instant) -> Participant {
        let now = Now { at, unix_ms: 0 };
        let (sid, identity) = (ParticipantSid::parse("PA_1").unwrap(), Identity::parse("p").unwrap());
        Participant::new(now, sid, identity, Grants::default(), 0, None)
    }

    #[test]
    fn each_silence_has_its_own_patience() {
        let start = Instant::now();
        let just_before = Duration::from_millis(1);
        let overdue = |media, signal_lost_at, after: Duration| {
            Participant { media, signal_lost_at, ..participant(start) }.overdue(start + after).is_some()
        };
        for (media, signal_lost_at, patience) in [
            (Media::ConnectingSince(start), None, CONNECT_WITHIN),
            (Media::ConnectedAndHeard(start), None, CONSENT_LASTS),
            (Media::ConnectedAndHeard(start), Some(start), RESUME_WITHIN),
            (Media::ClosedSince(start), None, RECONNECT_WITHIN),
        ] {
            assert!(!overdue(media, signal_lost_at, patience - just_before), "{media:?}");
            assert!(overdue(media, signal_lost_at, patience), "{media:?}");
        }
        assert!(overdue(Media::ClosedSince(start), Some(start), Duration::ZERO), "nobody is left");
    }

    #[test]
    fn attributes_merge_and_are_bounded() {
        let mut participant = participant(Instant::now());
        let pair = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
        participant.set_attributes(&pair("a", "1")).unwrap();
        participant.set_attributes(&pair("b", "2")).unwrap();
        participant.set_attributes(&pair("a", "")).unwrap();
        assert_eq!(participant.info().attributes, pair("b", "2"));
        let huge = pair("c", &"x".repeat(MAX_ATTRIBUTE_BYTES));
        assert_eq!(participant.set_attributes(&huge), Err(TooManyAttributes));
        assert_eq!(participant.info().attributes, pair("b", "2"), "nothing changed");
    }

    #[test]
    fn a_farewell_is_newer_than_everything_before() {
        let participant = participant(Instant::now());
        let farewell = participant.farewell(proto::DisconnectReason::ClientInitiated);
        assert!(farewell.version > participant.info().version);
        assert_eq!(farewell.state, i32::from(State::Disconnected));
    }
}
