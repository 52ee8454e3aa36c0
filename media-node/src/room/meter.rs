//! What the record is told of one stay: when media was connected and when it was over, and silences between.

use std::time::{Duration, Instant};

use livekit_protocol::DisconnectReason;
use locum_cluster::calls::CallEventKind;

use super::Now;
use super::ids::{Identity, ParticipantSid, Sink};
use crate::events::Happened;

/// How often it is said that somebody is still there: what a node that dies may leave unmetered.
const PRESENT_EVERY: Duration = Duration::from_secs(30);

/// A client proves every five seconds, give or take one, that it is there (RFC 7675 §5.1): two misses are a gap.
const GAP: Duration = Duration::from_secs(12);

/// Meters one stay.
#[derive(Debug)]
pub(super) struct Meter {
    sink: Option<Sink>,
    /// When the record was last told of the stay; `None` before media was connected.
    told_at: Option<Instant>,
}

impl Meter {
    /// Without a sink, nobody is told.
    pub(super) const fn new(sink: Option<Sink>) -> Self {
        Self { sink, told_at: None }
    }

    /// Media is connected.
    pub(super) fn connected(&mut self, now: Now, who: (&Identity, &ParticipantSid)) -> Option<Happened> {
        if self.told_at.is_some() {
            return None;
        }
        self.say(now, who, |stay| CallEventKind::Joined { stay })
    }

    /// The client was heard of, for the first time since `last`.
    pub(super) fn heard(
        &mut self,
        now: Now,
        last: Instant,
        who: (&Identity, &ParticipantSid),
    ) -> Option<Happened> {
        let silent = now.at.saturating_duration_since(last);
        if self.told_at.is_none() || silent < GAP {
            return None;
        }
        let gap_ms = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
        self.say(now, who, |stay| CallEventKind::Gap { stay, gap_ms })
    }

    /// Time passes.
    pub(super) fn tick(&mut self, now: Now, who: (&Identity, &ParticipantSid)) -> Option<Happened> {
        let told_at = self.told_at?;
        if now.at.saturating_duration_since(told_at) < PRESENT_EVERY {
            return None;
        }
        self.say(now, who, |stay| CallEventKind::Present { stay })
    }

    /// The stay is over.
    pub(super) fn over(
        &mut self,
        now: Now,
        reason: DisconnectReason,
        who: (&Identity, &ParticipantSid),
    ) -> Option<Happened> {
        self.told_at?;
        let reason = reason.as_str_name().to_ascii_lowercase().replace('_', "-");
        self.say(now, who, |stay| CallEventKind::Left { stay, reason })
    }

    fn say(
        &mut self,
        now: Now,
        (identity, stay): (&Identity, &ParticipantSid),
        what: impl FnOnce(String) -> CallEventKind,
    ) -> Option<Happened> {
        let (sink, participant) = (self.sink.clone()?, identity.clone());
        self.told_at = Some(now.at);
        Some(Happened { at_ms: now.unix_ms, sink, participant, what: what(stay.to_string()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stay_is_told_of_from_when_media_is_connected() {
        let (identity, sid) = (Identity::parse("p").unwrap(), ParticipantSid::parse("PA_1").unwrap());
        let who = (&identity, &sid);
        let start = Instant::now();
        let at = |seconds: u64| Now {
            at: start + Duration::from_secs(seconds),
            unix_ms: i64::try_from(seconds * 1_000).unwrap(),
        };
        let mut meter = Meter::new(Sink::parse("s"));
        assert_eq!(meter.over(at(0), DisconnectReason::ClientInitiated, who), None, "it never was there");
        let stay = || "PA_1".to_owned();
        let what = |happened: Option<Happened>| happened.map(|happened| happened.what);
        assert_eq!(what(meter.connected(at(1), who)), Some(CallEventKind::Joined { stay: stay() }));
        assert_eq!(meter.connected(at(2), who), None, "it came back to the same stay");
        assert_eq!(meter.heard(at(6), at(1).at, who), None);
        let gap = CallEventKind::Gap { stay: stay(), gap_ms: 14_000 };
        assert_eq!(what(meter.heard(at(20), at(6).at, who)), Some(gap));
        assert_eq!(meter.tick(at(49), who), None);
        assert_eq!(what(meter.tick(at(50), who)), Some(CallEventKind::Present { stay: stay() }));
        let left = meter.over(at(60), DisconnectReason::ClientInitiated, who).unwrap();
        let reason = "client-initiated".to_owned();
        assert_eq!((left.at_ms, left.what), (60_000, CallEventKind::Left { stay: stay(), reason }));
    }

    #[test]
    fn without_a_sink_nobody_is_told() {
        let (identity, sid) = (Identity::parse("p").unwrap(), ParticipantSid::parse("PA_1").unwrap());
        let now = Now { at: Instant::now(), unix_ms: 0 };
        assert_eq!(Meter::new(None).connected(now, (&identity, &sid)), None);
    }
}
