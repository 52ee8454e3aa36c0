//! Offers of the node to a client that receives on a connection of its own (signalling v0).
//!
//! One offer is open at a time, and what changes meanwhile waits for its answer. A section that carried a
//! track rests, and a new track gets a new section: a browser keeps a section's first track for good, so on a
//! used one only the stream can say what is sent. There it does, and such tracks are not played in step with
//! others of their stream.

use std::time::{Duration, Instant};

use super::{Carried, Receiving, Slot, Wanted, is_wanted};
use crate::transport::Mid;
use crate::transport::sdp::{MAX_SECTIONS, Section, SectionRole};

/// Sections there are before used ones carry something new. Half of what browsers handle well.
const MAX_FRESH: usize = 48;

/// A client that does not answer for so long cannot.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The node's offers to one client.
#[derive(Debug, Default)]
pub(super) struct Offering {
    /// Of the last offer.
    id: u32,
    /// When the offer was made that has no answer yet.
    open_since: Option<Instant>,
    /// The client is back on a new socket: whatever was offered may never have arrived.
    anew: bool,
}

/// An offer to make.
#[derive(Debug)]
pub(in crate::room) struct NextOffer {
    /// Its number.
    pub id: u32,
    /// Every section there ever was.
    pub plan: Vec<Section>,
    /// With new ICE credentials.
    pub restart: bool,
}

impl Receiving {
    /// From now on it is the node that offers.
    pub(in crate::room) fn is_offered(&mut self) {
        self.offering = Some(Offering::default());
    }

    /// The next offer must be made even if nothing changed, with an ICE restart.
    pub(in crate::room) fn offer_anew(&mut self) {
        if let Some(offering) = &mut self.offering {
            offering.open_since = None;
            offering.anew = true;
        }
    }

    /// The offer to make now, if one is due.
    pub(in crate::room) fn next_offer(&mut self, now: Instant, wanted: &[Wanted]) -> Option<NextOffer> {
        let offering = self.offering.as_ref()?;
        if offering.open_since.is_some() {
            return None;
        }
        let (last, restart) = (offering.id, offering.anew);
        let changed = self.assign(wanted);
        // The first one also brings the data channels.
        if last > 0 && !restart && !changed {
            return None;
        }
        let id = last.saturating_add(1);
        self.offering = Some(Offering { id, open_since: Some(now), anew: false });
        let plan = self.slots.iter().map(|slot| section(slot, wanted)).collect();
        Some(NextOffer { id, plan, restart })
    }

    /// The number of the open offer, if the answer is to that one. Clients that do not number say 0.
    pub(in crate::room) fn answers(&self, id: u32) -> Option<u32> {
        let open = self.offering.as_ref().filter(|offering| offering.open_since.is_some())?;
        (id == 0 || id == open.id).then_some(open.id)
    }

    /// The client's answer is applied.
    pub(in crate::room) fn accepted(&mut self, id: u32) {
        let Some(offering) = self.offering.as_mut().filter(|offering| offering.id == id) else { return };
        offering.open_since = None;
        self.answered();
    }

    /// Whether an offer has waited too long for its answer.
    pub(in crate::room) fn is_unanswered(&self, now: Instant) -> bool {
        let open_since = self.offering.as_ref().and_then(|offering| offering.open_since);
        open_since.is_some_and(|since| now.saturating_duration_since(since) >= ANSWER_WITHIN)
    }

    /// Gives each wanted track a section, and takes it from those not wanted any more. `true` on a change.
    fn assign(&mut self, wanted: &[Wanted]) -> bool {
        let mut changed = false;
        for slot in &mut self.slots {
            let ended = slot.carries.take_if(|carried| !is_wanted(wanted, carried)).is_some();
            slot.used |= ended;
            changed |= ended;
        }
        for want in wanted {
            changed |= !self.carries(want) && self.place(want);
        }
        changed
    }

    fn place(&mut self, want: &Wanted) -> bool {
        let carries = Some(Carried { publisher: want.publisher, track: want.track.clone(), answered: false });
        let count = self.slots.len();
        let mut free = self.slots.iter_mut().filter(|slot| slot.kind == want.kind && slot.carries.is_none());
        if let Some(slot) = free.next().filter(|_| count >= MAX_FRESH) {
            slot.carries = carries;
            return true;
        }
        // One section is that of the data channels.
        let mid = Mid::parse(&format!("s{count}")).filter(|_| count + 1 < MAX_SECTIONS);
        let slot = mid.map(|mid| Slot { mid, kind: want.kind, carries, used: false });
        let placed = slot.is_some();
        self.slots.extend(slot);
        placed
    }
}

fn section(slot: &Slot, wanted: &[Wanted]) -> Section {
    let carried = slot.carries.as_ref();
    let want = carried.and_then(|carried| wanted.iter().find(|want| want.track == carried.track));
    let role = want.map_or(SectionRole::Idle, |want| SectionRole::Send {
        stream: match want.stream.split_once('|') {
            Some((participant, _)) if slot.used => format!("{participant}|{}", want.track),
            _ => want.stream.clone(),
        },
        track: want.track.to_string(),
    });
    Section { mid: slot.mid, kind: slot.kind, role }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::{SessionId, TrackSid};
    use crate::transport::MediaKind;

    fn want(track: &str, kind: MediaKind) -> Wanted {
        let (publisher, track) = (SessionId::for_test(1), TrackSid::parse(track).unwrap());
        Wanted { publisher, track, kind, stream: "PA_1|camera".to_owned() }
    }

    fn roles(offer: &NextOffer) -> Vec<String> {
        let role = |section: &Section| match &section.role {
            SectionRole::Send { stream, track } => format!("{stream} {track}"),
            other => format!("{other:?}"),
        };
        offer.plan.iter().map(role).collect()
    }

    fn offered() -> Receiving {
        let mut receiving = Receiving { automatic: true, ..Default::default() };
        receiving.is_offered();
        receiving
    }

    #[test]
    fn the_first_offer_is_made_for_its_data_channels_alone() {
        let (mut receiving, now) = (offered(), Instant::now());
        let first = receiving.next_offer(now, &[]).unwrap();
        assert_eq!((first.id, roles(&first).len(), first.restart), (1, 0, false));
        assert!(Receiving::default().next_offer(now, &[]).is_none(), "in v1 the client offers");
        assert_eq!(receiving.ask(now, &[want("TR_1", MediaKind::Audio)]), None, "no question to a v0 client");
    }

    #[test]
    fn one_offer_is_open_at_a_time_and_the_next_brings_what_changed() {
        let (mut receiving, now) = (offered(), Instant::now());
        receiving.next_offer(now, &[]).unwrap();
        let wanted = [want("TR_1", MediaKind::Audio), want("TR_2", MediaKind::Video)];
        assert!(receiving.next_offer(now, &wanted).is_none());
        assert_eq!(receiving.answers(7), None);
        assert_eq!((receiving.answers(1), receiving.answers(0)), (Some(1), Some(1)));
        receiving.accepted(1);
        let second = receiving.next_offer(now, &wanted).unwrap();
        assert_eq!(roles(&second), ["PA_1|camera TR_1", "PA_1|camera TR_2"]);
        assert_eq!(receiving.leg(&wanted[0].track), None, "the client does not know yet");
        receiving.accepted(1);
        assert_eq!(receiving.leg(&wanted[0].track), None, "that was the first");
        receiving.accepted(2);
        assert!(receiving.leg(&wanted[0].track).is_some());
        assert!(receiving.next_offer(now, &wanted).is_none(), "nothing changed");
        let third = receiving.next_offer(now, &wanted[1..]).unwrap();
        assert_eq!(roles(&third), ["Idle", "PA_1|camera TR_2"]);
    }

    #[test]
    fn a_client_that_comes_back_is_offered_everything_again() {
        let (mut receiving, now) = (offered(), Instant::now());
        let wanted = [want("TR_1", MediaKind::Audio)];
        receiving.next_offer(now, &wanted).unwrap();
        receiving.offer_anew();
        let again = receiving.next_offer(now, &wanted).unwrap();
        assert_eq!((again.id, roles(&again), again.restart), (2, vec!["PA_1|camera TR_1".to_owned()], true));
        receiving.accepted(2);
        assert!(receiving.next_offer(now, &wanted).is_none());
    }

    #[test]
    fn sections_are_new_until_there_are_many_and_used_ones_name_their_track() {
        let (mut receiving, now) = (offered(), Instant::now());
        for number in 0..200 {
            let wanted = [want(&format!("TR_{number}"), MediaKind::Video)];
            let offer = receiving.next_offer(now, &wanted).unwrap();
            receiving.accepted(offer.id);
            assert!(receiving.leg(&wanted[0].track).is_some(), "{number}");
            assert!(offer.plan.len() <= MAX_FRESH, "bounded");
            let stream = if number < MAX_FRESH { "PA_1|camera".into() } else { format!("PA_1|TR_{number}") };
            let role = format!("{stream} TR_{number}");
            assert!(roles(&offer).contains(&role), "{role}");
        }
    }

    #[test]
    fn no_answer_is_noticed() {
        let (mut receiving, now) = (offered(), Instant::now());
        let offer = receiving.next_offer(now, &[]).unwrap();
        assert!(!receiving.is_unanswered(now) && receiving.is_unanswered(now + ANSWER_WITHIN));
        receiving.accepted(offer.id);
        assert!(!receiving.is_unanswered(now + ANSWER_WITHIN));
    }
}
