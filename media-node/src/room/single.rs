//! One room.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::DisconnectReason;
use proto::leave_request::Action as LeaveAction;

use super::ids::{Identity, ParticipantSid, RoomName, RoomSid, SessionId, TrackSid};
use super::messages::{self, Message};
use super::observed::Windows;
use super::participant::{Media, Participant};
use super::publication::{Leg, Publication};
use super::receiving::{NextOffer, Wanted};
use super::relayed::Elsewhere;
use super::{Action, Context, JoinError, MediaEvent, Signalling, data};
use crate::token::Admission;
use crate::transport::{Channel, Codec, Layer, MediaKind, Mid};

/// What somebody publishes.
pub(super) struct Published<'a> {
    pub session: SessionId,
    pub identity: &'a Identity,
    pub sid: &'a ParticipantSid,
    pub publications: &'a [Publication],
}

/// A room and who is in it.
pub(super) struct Room {
    pub(super) name: RoomName,
    sid: RoomSid,
    created_ms: i64,
    pub(super) participants: BTreeMap<SessionId, Participant>,
    pub(super) elsewhere: Elsewhere,
    empty_since: Option<Instant>,
    /// Until when everybody should be elsewhere: the node drains.
    move_by: Option<Instant>,
    pub(super) windows: Windows,
}

impl Room {
    pub(super) fn new(cx: &mut Context<'_>, name: RoomName) -> Self {
        let (sid, created_ms) = (cx.ids.room(), cx.now.unix_ms);
        Self {
            name,
            sid,
            created_ms,
            participants: BTreeMap::new(),
            elsewhere: Elsewhere::default(),
            empty_since: Some(cx.now.at),
            move_by: None,
            windows: Windows::starting(cx.now.at),
        }
    }

    /// The session of an identity, if it is here.
    pub(super) fn session_of(&self, identity: &Identity) -> Option<SessionId> {
        self.participants.iter().find(|(_, p)| p.identity == *identity).map(|(session, _)| *session)
    }

    /// The session of a stay, if it is that identity's.
    pub(super) fn stay_of(&self, identity: &Identity, sid: &str) -> Option<SessionId> {
        let is_it = |p: &Participant| p.identity == *identity && p.sid.as_str() == sid;
        self.participants.iter().find(|(_, p)| is_it(p)).map(|(session, _)| *session)
    }

    /// Whether the room has been empty for longer than `patience`.
    pub(super) fn is_over(&self, now: Instant, patience: Duration) -> bool {
        self.empty_since.is_some_and(|since| now.saturating_duration_since(since) >= patience)
    }

    pub(super) fn enter(
        &mut self,
        cx: &mut Context<'_>,
        session: SessionId,
        receives_on: Option<SessionId>,
        admission: Admission,
        request: proto::JoinRequest,
    ) -> Result<(), JoinError> {
        let stay_elsewhere = self.elsewhere.stay_of(&admission.identity);
        // Who moves here takes their own place.
        let others = self.participants.len() + self.elsewhere.shown.len();
        if others.saturating_sub(usize::from(stay_elsewhere.is_some())) >= cx.limits.participants {
            return Err(JoinError::RoomFull);
        }
        let protocol = request.client_info.as_ref().map_or(0, |client| client.client_protocol);
        let (identity, grants, sink) = (admission.identity, admission.grants, admission.sink);
        let sid = cx.ids.participant();
        let mut participant = Participant::new(cx.now, sid, identity, grants, protocol, sink);
        let signalling = if receives_on.is_some() { Signalling::V0 } else { Signalling::V1 };
        participant.receives_on = receives_on;
        if signalling == Signalling::V0 {
            participant.receiving.is_offered();
        }
        participant.receiving.automatic =
            request.connection_settings.as_ref().is_none_or(|settings| settings.auto_subscribe);
        let browser = request.client_info.as_ref().map_or("", |client| client.browser.as_str());
        participant.receiving.renames_tracks =
            signalling == Signalling::V0 && browser.eq_ignore_ascii_case("firefox");
        // Beyond the bound they are left out: a join is no place to argue.
        let _ = participant.set_attributes(&request.participant_attributes);

        // Newer than a stay elsewhere, whatever the clocks there say.
        participant.stay = participant.stay.max(stay_elsewhere.map_or(0, |stay| stay.saturating_add(1)));
        let info = participant.info();
        self.participants.insert(session, participant);
        self.empty_since = None;
        self.settle_elsewhere(cx);
        let mut others = self.everybody();
        others.retain(|other| other.identity != info.identity);
        if !self.elsewhere.hidden.contains(&session) {
            self.broadcast(cx, session, messages::update(vec![info.clone()]));
        }
        self.share(cx);
        cx.signal(session, messages::joined(cx.region, self.info(cx.now.at), info, others, signalling));
        for track in request.add_track_requests {
            self.add_track(cx, session, track);
        }
        if let Some(offer) = request.publisher_offer {
            self.offer(cx, session, offer);
        }
        if signalling == Signalling::V0 {
            self.refresh(cx);
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, cx: &mut Context<'_>, session: SessionId) {
        let Some(participant) = self.participants.get_mut(&session) else { return };
        participant.signal_lost_at = None;
        participant.receiving.offer_anew();
        cx.signal(session, messages::resumed(cx.region, participant.last_data_sequence));
        // Whatever changed meanwhile.
        cx.signal(session, messages::update(self.everybody()));
        if self.move_by.is_some() {
            cx.signal(session, messages::room(self.info(cx.now.at)));
        }
        self.refresh(cx);
    }

    /// Tells everybody until when to be elsewhere, or that they need not move after all.
    pub(super) fn tell_to_move(&mut self, cx: &mut Context<'_>, by: Option<Instant>) {
        if self.move_by != by {
            self.move_by = by;
            let message = messages::room(self.info(cx.now.at));
            self.participants.keys().for_each(|session| cx.signal(*session, message.clone()));
        }
    }

    pub(super) fn signal_lost(&mut self, cx: &mut Context<'_>, session: SessionId) {
        if let Some(participant) = self.participants.get_mut(&session) {
            participant.signal_lost_at = Some(cx.now.at);
        }
    }

    /// The peer made an answer: it goes to the client, and packets may flow by it.
    pub(super) fn answered(&mut self, cx: &mut Context<'_>, session: SessionId, id: u32, sdp: String) {
        let Some(participant) = self.participants.get_mut(&session) else { return };
        let receives = participant.receives_on.is_none();
        if receives {
            participant.receiving.answered();
        }
        let mid_to_track_id = if receives { participant.receiving.track_ids() } else { Default::default() };
        let answer = proto::SessionDescription { r#type: "answer".to_owned(), sdp, id, mid_to_track_id };
        cx.signal(session, Message::Answer(answer));
        self.refresh(cx);
    }

    /// The client's answer to the node's offer is applied: packets may flow by it.
    pub(super) fn accepted(&mut self, cx: &mut Context<'_>, session: SessionId, id: u32) {
        let Some(participant) = self.participants.get_mut(&session) else { return };
        participant.receiving.accepted(id);
        self.refresh(cx);
    }

    pub(super) fn media(
        &mut self,
        cx: &mut Context<'_>,
        session: SessionId,
        via: SessionId,
        event: MediaEvent,
    ) {
        let Some(participant) = self.participants.get_mut(&session) else { return };
        match event {
            MediaEvent::Connected if participant.receives_on.is_some_and(|receives| receives != via) => {
                return;
            }
            MediaEvent::Connected => {
                participant.media = Media::ConnectedAndHeard(cx.now.at);
                let joined = participant.meter.connected(cx.now, (&participant.identity, &participant.sid));
                cx.record(joined);
                self.announce(cx, session);
                let speakers = self.speakers();
                if !speakers.is_empty() {
                    cx.signal(session, messages::speakers(speakers));
                }
            }
            MediaEvent::Heard => {
                if let Media::ConnectedAndHeard(last) = &mut participant.media {
                    let who = (&participant.identity, &participant.sid);
                    cx.record(participant.meter.heard(cx.now, *last, who));
                    *last = cx.now.at;
                }
                return;
            }
            MediaEvent::Closed => participant.media = Media::ClosedSince(cx.now.at),
            MediaEvent::TrackStarted(mid) => {
                let publication = participant.publications.iter_mut().find(|p| p.mid == Some(mid));
                if let Some(publication) = publication.filter(|p| !p.started) {
                    publication.started = true;
                    self.announce(cx, session);
                }
            }
            MediaEvent::KeyframeWanted(mid, layer) => {
                let carried =
                    participant.receiving.carried_on(mid).map(|(from, track)| (from, track.clone()));
                if let Some((publisher, track)) = carried {
                    self.want_keyframe(cx, publisher, &track, layer);
                }
                return;
            }
            MediaEvent::Paused(mid, is_paused) => {
                let carried =
                    participant.receiving.carried_on(mid).map(|(from, track)| (from, track.clone()));
                if let Some((publisher, track)) = carried
                    && let Some(publisher) = self.published().find(|other| other.session == publisher)
                {
                    cx.signal(session, messages::stream_state(publisher.sid, &track, is_paused));
                }
                return;
            }
            MediaEvent::Data(channel, message) => return self.relay(cx, session, channel, &message),
        }
        self.refresh(cx);
    }

    /// Ends a stay: the participant is told why, the others that it left.
    pub(super) fn remove(
        &mut self,
        cx: &mut Context<'_>,
        session: SessionId,
        action: LeaveAction,
        reason: DisconnectReason,
    ) {
        let Some(mut gone) = self.participants.remove(&session) else { return };
        let was_hidden = self.elsewhere.hidden.contains(&session);
        cx.record(gone.meter.over(cx.now, reason, (&gone.identity, &gone.sid)));
        cx.signal(session, messages::leave(action, reason));
        cx.actions.push_back(Action::Close(session));
        cx.actions.extend(gone.receives_on.map(Action::Close));
        for publication in &gone.publications {
            self.forget_track(&publication.sid);
        }
        if self.participants.is_empty() {
            self.empty_since = Some(cx.now.at);
            self.forget_elsewhere(cx);
        } else {
            self.settle_elsewhere(cx);
        }
        // Whoever is at another node now has not left.
        let is_elsewhere = self.elsewhere.shown.values().any(|shown| shown.identity == gone.identity);
        if !is_elsewhere && !was_hidden {
            self.broadcast(cx, session, messages::update(vec![gone.farewell(reason)]));
        }
        self.share(cx);
        self.refresh(cx);
    }

    /// Looks at deadlines.
    pub(super) fn tick(&mut self, cx: &mut Context<'_>) {
        let overdue: Vec<_> = self
            .participants
            .iter()
            .filter_map(|(session, participant)| Some((*session, participant.overdue(cx.now.at)?)))
            .collect();
        for (session, reason) in overdue {
            self.remove(cx, session, LeaveAction::Reconnect, reason);
        }
        if self.elsewhere.anybody_moves() {
            self.settle_elsewhere(cx);
        }
        for participant in self.participants.values_mut() {
            cx.record(participant.meter.tick(cx.now, (&participant.identity, &participant.sid)));
        }
        for (session, publications) in self.published_mut() {
            for publication in publications {
                let Some(mid) = publication.mid else { continue };
                for (layer, floor) in Layer::ALL.into_iter().zip(&mut publication.keyframes) {
                    if floor.due(cx.now.at) {
                        cx.actions.push_back(Action::RequestKeyframe(session, mid, layer));
                    }
                }
            }
        }
        self.observe(cx);
        self.refresh(cx);
    }

    /// Tells everybody, the participant itself too, what it looks like now.
    pub(super) fn announce(&mut self, cx: &mut Context<'_>, session: SessionId) {
        let Some(participant) = self.participants.get_mut(&session) else { return };
        participant.touch();
        let update = messages::update(vec![participant.info()]);
        cx.signal(session, update.clone());
        // Publishing may be what others waited for to see it.
        self.settle_elsewhere(cx);
        if !self.elsewhere.hidden.contains(&session) {
            self.broadcast(cx, session, update);
        }
        self.share(cx);
    }

    /// Other nodes look again at who is here.
    fn share(&self, cx: &mut Context<'_>) {
        cx.actions.push_back(Action::Share(self.name.clone()));
    }

    /// What is told of everybody, here and elsewhere.
    fn everybody(&self) -> Vec<proto::ParticipantInfo> {
        let here = self.participants.iter().filter(|(session, _)| !self.elsewhere.hidden.contains(*session));
        let here = here.map(|(_, participant)| participant.info());
        here.chain(self.elsewhere.shown.values().map(|shown| shown.info.clone())).collect()
    }

    /// What everybody publishes, here and elsewhere.
    pub(super) fn published(&self) -> impl Iterator<Item = Published<'_>> {
        let here = self.participants.iter().map(|(session, p)| Published {
            session: *session,
            identity: &p.identity,
            sid: &p.sid,
            publications: &p.publications,
        });
        here.chain(self.elsewhere.shown.iter().map(|(session, p)| Published {
            session: *session,
            identity: &p.identity,
            sid: &p.sid,
            publications: &p.publications,
        }))
    }

    fn published_mut(&mut self) -> impl Iterator<Item = (SessionId, &mut Vec<Publication>)> {
        let here = self.participants.iter_mut().map(|(id, p)| (*id, &mut p.publications));
        here.chain(self.elsewhere.shown.iter_mut().map(|(id, p)| (*id, &mut p.publications)))
    }

    /// A track is gone: nobody's choice about it means anything any more.
    pub(super) fn forget_track(&mut self, track: &TrackSid) {
        for participant in self.participants.values_mut() {
            participant.receiving.forget(track);
        }
    }

    /// Brings packets and sections in line with who publishes and who wants what.
    pub(super) fn refresh(&mut self, cx: &mut Context<'_>) {
        for session in self.participants.keys().copied().collect::<Vec<_>>() {
            let wanted = self.wanted(session);
            let Some(participant) = self.participants.get_mut(&session) else { continue };
            if participant.signal_lost_at.is_some() {
                continue;
            }
            if let (Some(receives_on), Some(next)) =
                (participant.receives_on, participant.receiving.next_offer(cx.now.at, &wanted))
            {
                let NextOffer { id: offer_id, plan, restart } = next;
                cx.actions.push_back(Action::Offer { session: receives_on, offer_id, plan, restart });
            }
            if let Some(missing) = participant.receiving.ask(cx.now.at, &wanted) {
                let requirement =
                    proto::MediaSectionsRequirement { num_audios: missing.audio, num_videos: missing.video };
                cx.signal(session, Message::MediaSectionsRequirement(requirement));
            }
        }
        self.refresh_routes(cx);
        self.refresh_demand(cx);
    }

    /// What a participant should receive now.
    pub(super) fn wanted(&self, session: SessionId) -> Vec<Wanted> {
        let Some(subscriber) = self.participants.get(&session).filter(|p| p.grants.subscribe) else {
            return Vec::new();
        };
        let mut wanted = Vec::new();
        let is_seen = |other: &Published<'_>| !self.elsewhere.hidden.contains(&other.session);
        let others = self.published().filter(|other| *other.identity != subscriber.identity);
        for Published { session: publisher, sid, publications, .. } in others.filter(is_seen) {
            let started = publications.iter().filter(|publication| publication.started);
            wanted.extend(started.filter(|publication| subscriber.receiving.wants(&publication.sid)).map(
                |publication| Wanted {
                    publisher,
                    track: publication.sid.clone(),
                    kind: publication.kind,
                    stream: match subscriber.receiving.renames_tracks {
                        true => format!("{sid}|{}", publication.sid),
                        false => format!("{sid}|{}", publication.stream()),
                    },
                },
            ));
        }
        wanted
    }

    fn refresh_routes(&mut self, cx: &mut Context<'_>) {
        let mut changed = Vec::new();
        for Published { session, publications, .. } in self.published() {
            for publication in publications {
                let legs = self.legs(session, publication);
                if legs != publication.legs {
                    changed.push((session, publication.sid.clone(), legs));
                }
            }
        }
        for (session, track, legs) in changed {
            let Some(publication) = self.publication_mut(session, &track) else { continue };
            let before = publication.most();
            publication.legs.clone_from(&legs);
            let told = proto::TrackSubscribed { track_sid: track.to_string() };
            let is_first = !legs.is_empty() && !std::mem::replace(&mut publication.is_subscribed, true);
            if is_first && !publication.is_relayed() {
                cx.signal(session, Message::TrackSubscribed(told));
            }
            if publication.most() != before {
                publication.receive(cx, session, publication.most());
            }
            let (kind, Some(mid)) = (publication.kind, publication.mid) else { continue };
            cx.actions.push_back(Action::Route { session, mid, kind, legs });
        }
    }

    /// Tells publishers which layers nobody wants: they need not be sent, nor encoded.
    fn refresh_demand(&mut self, cx: &mut Context<'_>) {
        for (session, participant) in &mut self.participants {
            // What is muted is wanted again in a moment.
            let is_sent = |p: &&mut Publication| p.started && p.is_layered() && !p.info.muted;
            for publication in participant.publications.iter_mut().filter(is_sent) {
                let most = publication.most().max(publication.demanded_elsewhere);
                if let Some(most) = publication.demanded.update(cx.now.at, most) {
                    let codec = &publication.info.mime_type;
                    cx.signal(*session, messages::wanted_layers(&publication.sid, codec, most));
                }
            }
        }
    }

    fn legs(&self, publisher: SessionId, publication: &Publication) -> Vec<Leg> {
        // A muted track is not heard, whatever its client sends.
        let muted = publication.info.muted;
        let others = self.participants.iter();
        let others = others.filter(|(session, p)| !muted && **session != publisher && p.is_connected());
        let leg = |(session, participant): (&SessionId, &Participant)| {
            let mid = participant.receiving.leg(&publication.sid)?;
            let most = publication.most_for(&participant.receiving.setting(&publication.sid));
            Some(Leg { session: participant.receives_on.unwrap_or(*session), mid, most })
        };
        others.filter_map(leg).collect()
    }

    fn want_keyframe(&mut self, cx: &mut Context<'_>, publisher: SessionId, track: &TrackSid, layer: Layer) {
        let now = cx.now.at;
        let Some(publication) = self.publication_mut(publisher, track) else { return };
        if let Some(mid) = publication.mid
            && publication.kind == MediaKind::Video
            && publication.keyframes[layer.index()].want(now)
        {
            cx.actions.push_back(Action::RequestKeyframe(publisher, mid, layer));
        }
    }

    /// Other nodes need a keyframe of what arrives on a section.
    pub(super) fn want_keyframe_of(
        &mut self,
        cx: &mut Context<'_>,
        publisher: SessionId,
        mid: Mid,
        layer: Layer,
    ) {
        let publications = self.participants.get(&publisher).map(|p| &p.publications);
        let publication = publications.and_then(|all| all.iter().find(|p| p.mid == Some(mid)));
        if let Some(track) = publication.map(|publication| publication.sid.clone()) {
            self.want_keyframe(cx, publisher, &track, layer);
        }
    }

    /// Other nodes want what arrives on a section up to a layer, or nothing of it.
    pub(super) fn wanted_elsewhere(
        &mut self,
        cx: &mut Context<'_>,
        publisher: SessionId,
        mid: Mid,
        most: Option<Layer>,
    ) {
        let Some(participant) = self.participants.get_mut(&publisher) else { return };
        if let Some(publication) = participant.publications.iter_mut().find(|p| p.mid == Some(mid)) {
            publication.demanded_elsewhere = most;
        }
        self.refresh_demand(cx);
    }

    fn publication_mut(&mut self, session: SessionId, track: &TrackSid) -> Option<&mut Publication> {
        let here = self.participants.get_mut(&session).map(|participant| &mut participant.publications);
        let publications =
            here.or_else(|| self.elsewhere.shown.get_mut(&session).map(|shown| &mut shown.publications))?;
        publications.iter_mut().find(|publication| publication.sid == *track)
    }

    fn relay(&mut self, cx: &mut Context<'_>, session: SessionId, channel: Channel, message: &[u8]) {
        let Some(sender) = self.participants.get_mut(&session).filter(|p| p.grants.data) else { return };
        let Some(relayed) = data::relay(message, &sender.identity, &sender.sid) else {
            metrics::counter!("locum_media_data_refused_total").increment(1);
            return;
        };
        if channel == Channel::Reliable && relayed.sequence > 0 {
            // A client that resumes sends again what it is not sure of.
            if relayed.sequence <= sender.last_data_sequence {
                return;
            }
            sender.last_data_sequence = relayed.sequence;
        }
        let message = bytes::Bytes::from(relayed.message);
        for (other, participant) in &self.participants {
            let addressed = relayed.destinations.is_empty()
                || relayed.destinations.iter().any(|identity| identity == participant.identity.as_str());
            if *other != session && addressed && participant.is_connected() {
                let to = participant.receives_on.unwrap_or(*other);
                cx.actions.push_back(Action::SendData(to, channel, message.clone()));
            }
        }
        if !self.elsewhere.shown.is_empty() {
            let (room, destinations) = (self.name.clone(), relayed.destinations);
            cx.actions.push_back(Action::SendElsewhere { room, channel, message, destinations });
        }
    }

    pub(super) fn broadcast_all(&self, cx: &mut Context<'_>, message: Message) {
        for session in self.participants.keys() {
            cx.signal(*session, message.clone());
        }
    }

    fn broadcast(&self, cx: &mut Context<'_>, except: SessionId, message: Message) {
        for session in self.participants.keys().filter(|session| **session != except) {
            cx.signal(*session, message.clone());
        }
    }

    fn info(&self, now: Instant) -> proto::Room {
        proto::Room {
            sid: self.sid.to_string(),
            name: self.name.to_string(),
            creation_time: self.created_ms / 1_000,
            creation_time_ms: self.created_ms,
            num_participants: u32::try_from(self.participants.len() + self.elsewhere.shown.len())
                .unwrap_or(u32::MAX),
            enabled_codecs: messages::codecs(&[Codec::Opus, Codec::Vp8, Codec::H264]),
            metadata: self
                .move_by
                .map(|by| messages::moving(by.saturating_duration_since(now)))
                .unwrap_or_default(),
            ..proto::Room::default()
        }
    }
}

/// What was published is gone from its section.
pub(super) fn unroute(cx: &mut Context<'_>, session: SessionId, publication: &Publication) {
    if let Some(mid) = publication.mid {
        let kind = publication.kind;
        cx.actions.push_back(Action::Route { session, mid, kind, legs: Vec::new() });
    }
}
