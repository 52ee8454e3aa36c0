//! What one participant receives, and on which section.
//!
//! In LiveKit's v1 protocol the client always offers: it brings receive-only sections, the node fills them. A
//! section that stops carrying a track has to be answered `inactive` once before it carries another, for only
//! then does a browser announce a new track on it. In v0 the node offers: see [`offering`].

mod offering;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::ids::{SessionId, TrackSid};
use super::layers::Setting;
use crate::transport::sdp::{Direction, OfferedSection, Section, SectionRole};
use crate::transport::{MediaKind, Mid};
pub(super) use offering::NextOffer;
use offering::Offering;

/// After this, a client that was asked for an offer and made none is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A track of somebody else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Wanted {
    /// Who publishes it.
    pub publisher: SessionId,
    /// Which.
    pub track: TrackSid,
    /// Audio or video.
    pub kind: MediaKind,
    /// First word of `msid`.
    pub stream: String,
}

/// A section on which the client receives.
#[derive(Debug)]
struct Slot {
    mid: Mid,
    kind: MediaKind,
    carries: Option<Carried>,
    /// It carried another track before.
    used: bool,
}

#[derive(Debug)]
struct Carried {
    publisher: SessionId,
    track: TrackSid,
    /// Whether the client has the answer that says so.
    answered: bool,
}

/// How many more receive-only sections the client should offer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Missing {
    /// For audio.
    pub audio: u32,
    /// For video.
    pub video: u32,
}

/// One participant's receiving side.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    slots: Vec<Slot>,
    choices: HashMap<TrackSid, bool>,
    settings: HashMap<TrackSid, Setting>,
    asked_at: Option<Instant>,
    /// The node's offers, when it is the node that makes them.
    offering: Option<Offering>,
    /// Whether tracks are received without asking for them.
    pub automatic: bool,
    /// The browser gives received tracks ids of its own; it tells streams as they are named, and so tracks too.
    pub renames_tracks: bool,
}

impl Receiving {
    /// Whether the participant wants a track.
    #[must_use]
    pub(super) fn wants(&self, track: &TrackSid) -> bool {
        self.choices.get(track).copied().unwrap_or(self.automatic)
    }

    /// The participant chose to receive a track, or not to.
    pub(super) fn choose(&mut self, track: &TrackSid, wanted: bool) {
        self.choices.insert(track.clone(), wanted);
    }

    /// The participant said how it shows a track, or that it does not for now.
    pub(super) fn set(&mut self, track: &TrackSid, setting: Setting) {
        self.settings.insert(track.clone(), setting);
    }

    /// How the participant shows a track.
    #[must_use]
    pub(super) fn setting(&self, track: &TrackSid) -> Setting {
        self.settings.get(track).copied().unwrap_or_default()
    }

    /// Forgets choices about a track that is gone.
    pub(super) fn forget(&mut self, track: &TrackSid) {
        self.choices.remove(track);
        self.settings.remove(track);
    }

    /// The section a track is to be sent on now.
    #[must_use]
    pub(super) fn leg(&self, track: &TrackSid) -> Option<Mid> {
        let carried = |slot: &&Slot| slot.carries.as_ref().is_some_and(|c| c.answered && c.track == *track);
        let flows = self.wants(track) && !self.setting(track).is_disabled;
        self.slots.iter().find(carried).filter(|_| flows).map(|slot| slot.mid)
    }

    /// Publisher and id of the track a section carries.
    #[must_use]
    pub(super) fn carried_on(&self, mid: Mid) -> Option<(SessionId, &TrackSid)> {
        let slot = self.slots.iter().find(|slot| slot.mid == mid)?;
        slot.carries.as_ref().map(|carried| (carried.publisher, &carried.track))
    }

    /// Track ids by section, as answers carry them.
    #[must_use]
    pub(super) fn track_ids(&self) -> HashMap<String, String> {
        let carried = |slot: &Slot| Some((slot.mid.to_string(), slot.carries.as_ref()?.track.to_string()));
        self.slots.iter().filter_map(carried).collect()
    }

    /// Fills the receive-only sections of an offer with what is wanted.
    pub(super) fn plan(&mut self, offered: &[OfferedSection], wanted: &[Wanted]) -> Vec<Section> {
        self.asked_at = None;
        let mut waiting: VecDeque<&Wanted> = wanted.iter().filter(|want| !self.carries(want)).collect();
        let mut plan = Vec::new();
        for section in offered {
            let Some(kind) = section.kind else { continue };
            if section.direction == Direction::Inactive {
                self.slots.retain(|slot| self.offering.is_some() || slot.mid != section.mid);
                plan.push(Section { mid: section.mid, kind, role: SectionRole::Retired });
            } else if section.direction == Direction::Receive {
                let role = match self.offering {
                    // What the client receives is offered by the node, elsewhere.
                    Some(_) => SectionRole::Idle,
                    None => self.fill(section.mid, kind, wanted, &mut waiting),
                };
                plan.push(Section { mid: section.mid, kind, role });
            }
        }
        plan
    }

    /// The client has the answer to its last offer. Returns the publishers and tracks that are new to it.
    pub(super) fn answered(&mut self) -> Vec<(SessionId, TrackSid)> {
        let carried = self.slots.iter_mut().filter_map(|slot| slot.carries.as_mut());
        let new = carried.filter(|carried| !carried.answered).map(|carried| {
            carried.answered = true;
            (carried.publisher, carried.track.clone())
        });
        new.collect()
    }

    /// Whether the client should be asked for an offer now, and for how many sections.
    pub(super) fn ask(&mut self, now: Instant, wanted: &[Wanted]) -> Option<Missing> {
        let is_fresh = |asked| now.saturating_duration_since(asked) < ASK_AGAIN_AFTER;
        if self.offering.is_some() || self.asked_at.is_some_and(is_fresh) {
            return None;
        }
        let ended = |slot: &Slot| slot.carries.as_ref().is_some_and(|carried| !is_wanted(wanted, carried));
        let any_ended = self.slots.iter().any(ended);
        let waiting = |kind| wanted.iter().filter(|want| want.kind == kind && !self.carries(want)).count();
        // One that has ended is free after the answer that says so.
        let free = |slot: &Slot| slot.carries.is_none() || ended(slot);
        let free = |kind| self.slots.iter().filter(|slot| slot.kind == kind && free(slot)).count();
        let missing = |kind| u32::try_from(waiting(kind).saturating_sub(free(kind))).unwrap_or(u32::MAX);
        let any_waiting = waiting(MediaKind::Audio) + waiting(MediaKind::Video) > 0;
        let ask = (any_ended || any_waiting)
            .then(|| Missing { audio: missing(MediaKind::Audio), video: missing(MediaKind::Video) });
        self.asked_at = ask.map(|_| now);
        ask
    }

    fn carries(&self, want: &Wanted) -> bool {
        self.slots.iter().filter_map(|slot| slot.carries.as_ref()).any(|carried| carried.track == want.track)
    }

    fn fill(
        &mut self,
        mid: Mid,
        kind: MediaKind,
        wanted: &[Wanted],
        waiting: &mut VecDeque<&Wanted>,
    ) -> SectionRole {
        let known = self.slots.iter().position(|slot| slot.mid == mid);
        let at = known.unwrap_or_else(|| {
            self.slots.push(Slot { mid, kind, carries: None, used: false });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[at];
        if let Some(carried) = &slot.carries {
            if let Some(want) = wanted.iter().find(|want| want.track == carried.track) {
                return send(want);
            }
            slot.carries = None;
            return SectionRole::Idle;
        }
        let next = waiting.iter().position(|want| want.kind == kind).and_then(|at| waiting.remove(at));
        let Some(want) = next else { return SectionRole::Idle };
        slot.carries =
            Some(Carried { publisher: want.publisher, track: want.track.clone(), answered: false });
        send(want)
    }
}

fn is_wanted(wanted: &[Wanted], carried: &Carried) -> bool {
    wanted.iter().any(|want| want.track == carried.track)
}

fn send(want: &Wanted) -> SectionRole {
    SectionRole::Send { stream: want.stream.clone(), track: want.track.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(sections: &[(&str, MediaKind, Direction)]) -> Vec<OfferedSection> {
        let section = |(mid, kind, direction): &(&str, MediaKind, Direction)| OfferedSection {
            mid: Mid::parse(mid).unwrap(),
            kind: Some(*kind),
            direction: *direction,
            track: None,
            layers: Vec::new(),
        };
        sections.iter().map(section).collect()
    }

    fn want(track: &str, kind: MediaKind) -> Wanted {
        let publisher = SessionId::for_test(9);
        Wanted { publisher, track: TrackSid::parse(track).unwrap(), kind, stream: "PA_9|camera".into() }
    }

    fn roles(plan: &[Section]) -> Vec<String> {
        let role = |section: &Section| match &section.role {
            SectionRole::Send { track, .. } => track.clone(),
            other => format!("{other:?}"),
        };
        plan.iter().map(role).collect()
    }

    use Direction::{Inactive, Receive};
    use MediaKind::{Audio, Video};

    #[test]
    fn sections_are_filled_by_kind_and_the_rest_stays_idle() {
        let mut receiving = Receiving { automatic: true, ..Default::default() };
        let sections = offered(&[("0", Audio, Receive), ("1", Audio, Receive), ("2", Video, Receive)]);
        let wanted = [want("TR_v", Video), want("TR_a", Audio)];
        assert_eq!(roles(&receiving.plan(&sections, &wanted)), ["TR_a", "Idle", "TR_v"]);
        assert_eq!(receiving.leg(&wanted[0].track), None, "the client does not know yet");
        assert_eq!(receiving.answered().len(), 2);
        assert_eq!(receiving.leg(&wanted[0].track), Mid::parse("2"));
        assert!(receiving.answered().is_empty());
        assert_eq!(receiving.ask(Instant::now(), &wanted), None);
    }

    #[test]
    fn a_section_rests_once_before_it_carries_another_track() {
        let mut receiving = Receiving::default();
        let sections = offered(&[("0", Video, Receive)]);
        receiving.plan(&sections, &[want("TR_1", Video)]);
        receiving.answered();
        let next = [want("TR_2", Video)];
        assert_eq!(receiving.leg(&next[0].track), None);
        assert_eq!(receiving.ask(Instant::now(), &next), Some(Missing::default()), "it will be free");
        assert_eq!(roles(&receiving.plan(&sections, &next)), ["Idle"]);
        assert_eq!(receiving.ask(Instant::now(), &next), Some(Missing::default()), "a section is free now");
        assert_eq!(roles(&receiving.plan(&sections, &next)), ["TR_2"]);
    }

    #[test]
    fn one_question_is_open_at_a_time() {
        let mut receiving = Receiving::default();
        let (wanted, start) = ([want("TR_1", Audio), want("TR_2", Video)], Instant::now());
        assert_eq!(receiving.ask(start, &wanted), Some(Missing { audio: 1, video: 1 }));
        assert_eq!(receiving.ask(start, &wanted), None);
        assert!(receiving.ask(start + ASK_AGAIN_AFTER, &wanted).is_some());
    }

    #[test]
    fn a_section_the_client_gave_up_is_never_used_again() {
        let mut receiving = Receiving::default();
        let wanted = [want("TR_1", Video)];
        receiving.plan(&offered(&[("0", Video, Receive)]), &wanted);
        assert_eq!(roles(&receiving.plan(&offered(&[("0", Video, Inactive)]), &wanted)), ["Retired"]);
        assert_eq!(receiving.ask(Instant::now(), &wanted), Some(Missing { audio: 0, video: 1 }));
    }

    #[test]
    fn a_paused_track_keeps_its_section_but_gets_no_packets() {
        let mut receiving = Receiving { automatic: true, ..Default::default() };
        let wanted = [want("TR_1", Video)];
        receiving.plan(&offered(&[("0", Video, Receive)]), &wanted);
        receiving.answered();
        let pause = |is_disabled| Setting { is_disabled, ..Setting::default() };
        receiving.set(&wanted[0].track, pause(true));
        assert_eq!(receiving.leg(&wanted[0].track), None);
        assert_eq!(receiving.track_ids().len(), 1);
        receiving.set(&wanted[0].track, pause(false));
        assert!(receiving.leg(&wanted[0].track).is_some());
    }

    #[test]
    fn choices_override_the_default() {
        let (mut receiving, track) =
            (Receiving { automatic: true, ..Default::default() }, want("TR_1", Audio).track);
        assert!(receiving.wants(&track));
        receiving.choose(&track, false);
        assert!(!receiving.wants(&track));
        receiving.forget(&track);
        assert!(receiving.wants(&track));
    }
}
