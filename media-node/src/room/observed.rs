//! What is observed of those in a room: who speaks, and how good their lines are.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::ConnectionQuality;

use super::Context;
use super::ids::SessionId;
use super::messages;
use super::participant::{Media, Participant};
use super::quality::{quality, score};
use super::single::Room;
use crate::transport::{Layer, Mid};

/// So much speech is looked at at once: a syllable or two.
const VOICE_WINDOW: Duration = Duration::from_millis(400);

/// How often the lines are judged.
const QUALITY_WINDOW: Duration = Duration::from_secs(5);

/// Checks come every second or two: after so long without, the line is cut, or the client is.
const CUT_AFTER: Duration = Duration::from_secs(10);

/// When windows end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    voice_until: Instant,
    quality_until: Instant,
}

impl Windows {
    pub(super) fn starting(now: Instant) -> Self {
        Self { voice_until: now + VOICE_WINDOW, quality_until: now + QUALITY_WINDOW }
    }
}

impl Room {
    /// A media packet of a participant arrived.
    pub(super) fn packet(
        &mut self,
        session: SessionId,
        mid: Mid,
        layer: Layer,
        sequence: u16,
        audio_level: Option<u8>,
    ) {
        let Some(participant) = self.participants.get_mut(&session) else { return };
        let Some(publication) = participant.publications.iter_mut().find(|p| p.mid == Some(mid)) else {
            return;
        };
        publication.arrivals[layer.index()].packet(sequence);
        if let Some(level) = audio_level.filter(|_| !publication.info.muted) {
            publication.voice.hear(level);
        }
    }

    /// Tells what changed in the windows that are over.
    pub(super) fn observe(&mut self, cx: &mut Context<'_>) {
        if cx.now.at >= self.windows.voice_until {
            self.windows.voice_until = cx.now.at + VOICE_WINDOW;
            self.tell_speakers(cx);
        }
        if cx.now.at >= self.windows.quality_until {
            self.windows.quality_until = cx.now.at + QUALITY_WINDOW;
            self.tell_quality(cx);
        }
    }

    /// Those who speak, for somebody who just came.
    pub(super) fn speakers(&self) -> Vec<proto::SpeakerInfo> {
        self.participants.values().map(speaker).filter(|speaker| speaker.active).collect()
    }

    fn tell_speakers(&mut self, cx: &mut Context<'_>) {
        let mut changed = Vec::new();
        for participant in self.participants.values_mut() {
            let ended = participant.publications.iter_mut().filter_map(|p| p.voice.end_window()).count();
            if ended > 0 {
                changed.push(speaker(participant));
            }
        }
        if !changed.is_empty() {
            self.tell_everybody(cx, messages::speakers(changed));
        }
    }

    fn tell_quality(&mut self, cx: &mut Context<'_>) {
        let (mut updates, mut changed) = (Vec::new(), false);
        for participant in self.participants.values_mut() {
            let Some(now) = judge(participant, cx.now.at) else { continue };
            changed |= participant.quality.replace(now) != Some(now);
            updates.push(proto::ConnectionQualityInfo {
                participant_sid: participant.sid.to_string(),
                quality: now.into(),
                score: score(now),
            });
        }
        if changed {
            self.tell_everybody(cx, messages::quality(updates));
        }
    }

    fn tell_everybody(&self, cx: &mut Context<'_>, message: messages::Message) {
        for session in self.participants.keys() {
            cx.signal(*session, message.clone());
        }
    }
}

/// The loudest of a participant's microphones.
fn speaker(participant: &Participant) -> proto::SpeakerInfo {
    let levels = participant.publications.iter().map(|publication| publication.voice.told());
    let loudest = levels.max_by(|a, b| a.level.total_cmp(&b.level)).unwrap_or_default();
    proto::SpeakerInfo { sid: participant.sid.to_string(), level: loudest.level, active: loudest.active }
}

/// `None` before a connection is there to be judged.
fn judge(participant: &mut Participant, now: Instant) -> Option<ConnectionQuality> {
    let (mut expected, mut received) = (0, 0);
    let publications = participant.publications.iter_mut();
    for arrivals in publications.flat_map(|publication| &mut publication.arrivals) {
        let window = arrivals.end_window();
        expected += window.0;
        received += window.1;
    }
    match participant.media {
        Media::ConnectingSince(_) => None,
        Media::ConnectedAndHeard(last) => {
            let heard = now.saturating_duration_since(last) < CUT_AFTER;
            Some(quality(expected, received, heard))
        }
        Media::ClosedSince(_) => Some(ConnectionQuality::Lost),
    }
}
