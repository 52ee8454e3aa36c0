//! What a client may ask for, and what it gets.

use livekit_protocol as proto;
use proto::DisconnectReason;
use proto::leave_request::Action as LeaveAction;
use proto::request_response::{Reason, Request as Answered};
use proto::signal_request::Message as Request;
use proto::simulate_scenario::Scenario;
use tracing::debug;

use super::ids::{SessionId, TrackSid};
use super::layers::Setting;
use super::messages::{self, Message};
use super::participant::Participant;
use super::publication::Publication;
use super::single::{Room, unroute};
use super::{Action, Context};
use crate::transport::sdp::{Direction, Offer, OfferedSection, Section, SectionRole};

/// Features of a microphone that are passed on.
const MAX_FEATURES: usize = 8;

/// Unknown tracks of one request that are named in answers.
const MAX_REFUSALS: usize = 16;

impl Room {
    #[expect(deprecated, reason = "older SDKs still tell their layers")]
    pub(super) fn request(&mut self, cx: &mut Context<'_>, session: SessionId, request: Request) {
        match request {
            Request::Offer(offer) => self.offer(cx, session, offer),
            Request::Answer(answer) => self.answer(cx, session, &answer),
            Request::AddTrack(track) => self.add_track(cx, session, track),
            Request::Mute(mute) => self.mute(cx, session, &mute),
            Request::Subscription(subscription) => self.subscription(cx, session, &subscription),
            Request::TrackSetting(setting) => self.track_setting(cx, session, &setting),
            Request::UpdateMetadata(update) => self.update_metadata(cx, session, &update),
            Request::Leave(_) => {
                self.remove(cx, session, LeaveAction::Disconnect, DisconnectReason::ClientInitiated);
            }
            Request::Ping(sent_at) => cx.signal(session, Message::Pong(sent_at)),
            Request::PingReq(ping) => {
                let pong = proto::Pong { last_ping_timestamp: ping.timestamp, timestamp: cx.now.unix_ms };
                cx.signal(session, Message::PongResp(pong));
            }
            Request::UpdateAudioTrack(update) => {
                let features = update.features.iter().copied().take(MAX_FEATURES).collect();
                let correct = |info: &mut proto::TrackInfo| info.audio_features = features;
                if !self.correct_track(cx, session, &update.track_sid, correct) {
                    let refused = Answered::UpdateAudioTrack(update);
                    cx.signal(session, messages::refusal(Reason::NotFound, refused));
                }
            }
            Request::UpdateVideoTrack(update) => {
                let correct =
                    |info: &mut proto::TrackInfo| (info.width, info.height) = (update.width, update.height);
                if !self.correct_track(cx, session, &update.track_sid, correct) {
                    let refused = Answered::UpdateVideoTrack(update);
                    cx.signal(session, messages::refusal(Reason::NotFound, refused));
                }
            }
            Request::Simulate(simulate) => self.simulate(cx, session, simulate),
            Request::StoreDataBlobRequest(request) => {
                cx.signal(session, messages::unsupported(request.request_id))
            }
            Request::GetDataBlobRequest(request) => {
                cx.signal(session, messages::unsupported(request.request_id))
            }
            Request::PublishDataTrackRequest(_)
            | Request::UnpublishDataTrackRequest(_)
            | Request::UpdateDataSubscription(_)
            | Request::SubscriptionPermission(_) => cx.signal(session, messages::unsupported(0)),
            // Candidates: an ICE-lite node needs none. State after a resume: it is all still here.
            // Layers in use: seen by what arrives.
            Request::Trickle(_) | Request::SyncState(_) | Request::UpdateLayers(_) => {}
        }
    }

    pub(super) fn offer(
        &mut self,
        cx: &mut Context<'_>,
        session: SessionId,
        offer: proto::SessionDescription,
    ) {
        let parsed = match Offer::parse(&offer.sdp) {
            Ok(parsed) => parsed,
            Err(error) => {
                debug!(%error, "offer refused");
                return self.remove(cx, session, LeaveAction::Reconnect, DisconnectReason::MediaFailure);
            }
        };
        let wanted = self.wanted(session);
        let Some(participant) = self.participants.get_mut(&session) else { return };
        let (publications, ended) = bind(std::mem::take(&mut participant.publications), &parsed.sections);
        participant.publications = publications;
        let mut plan = participant.receiving.plan(&parsed.sections, &wanted);
        for section in parsed.sections.iter().filter(|section| section.direction == Direction::Send) {
            let Some(kind) = section.kind else { continue };
            let bound = participant.publications.iter().any(|p| p.mid == Some(section.mid));
            let role = if bound { SectionRole::Receive } else { SectionRole::Idle };
            plan.push(Section { mid: section.mid, kind, role });
        }
        if !ended.is_empty() {
            for publication in &ended {
                unroute(cx, session, publication);
                self.forget_track(&publication.sid);
            }
            self.announce(cx, session);
        }
        let (offer_id, offer) = (offer.id, Box::new(parsed));
        cx.actions.push_back(Action::Negotiate { session, offer_id, offer, plan });
        self.refresh(cx);
    }

    /// The client's answer to the node's offer (v0).
    fn answer(&mut self, cx: &mut Context<'_>, session: SessionId, answer: &proto::SessionDescription) {
        let Some(participant) = self.participants.get_mut(&session) else { return };
        let Some((receives_on, offer_id)) =
            participant.receives_on.zip(participant.receiving.answers(answer.id))
        else {
            return debug!("answer to no offer");
        };
        match Offer::parse(&answer.sdp) {
            Ok(parsed) => cx.actions.push_back(Action::Accept {
                session: receives_on,
                offer_id,
                answer: Box::new(parsed),
            }),
            Err(error) => {
                debug!(%error, "answer refused");
                self.remove(cx, session, LeaveAction::Reconnect, DisconnectReason::MediaFailure);
            }
        }
    }

    pub(super) fn add_track(
        &mut self,
        cx: &mut Context<'_>,
        session: SessionId,
        request: proto::AddTrackRequest,
    ) {
        let Some(participant) = self.participants.get_mut(&session) else { return };
        let known = participant.publications.iter().find(|publication| publication.is_called(&request.cid));
        let outcome = match known {
            // A client that is not sure asks again.
            Some(publication) => Ok(publication.info.clone()),
            None if participant.publications.len() >= cx.limits.tracks => Err(Reason::LimitExceeded),
            None => match Publication::new(cx.ids.track(), &request) {
                None => Err(Reason::InvalidRequest),
                Some(publication) if !participant.grants.allows(publication.source()) => {
                    Err(Reason::NotAllowed)
                }
                Some(publication) => {
                    let info = publication.info.clone();
                    participant.publications.push(publication);
                    Ok(info)
                }
            },
        };
        let message = match outcome {
            Ok(info) => {
                Message::TrackPublished(proto::TrackPublishedResponse { cid: request.cid, track: Some(info) })
            }
            Err(reason) => Message::RequestResponse(proto::RequestResponse {
                reason: reason.into(),
                message: "the track cannot be published".to_owned(),
                request: Some(proto::request_response::Request::AddTrack(request)),
                ..proto::RequestResponse::default()
            }),
        };
        cx.signal(session, message);
    }

    fn mute(&mut self, cx: &mut Context<'_>, session: SessionId, mute: &proto::MuteTrackRequest) {
        let Some(asking) = self.participants.get(&session) else { return };
        let publishes = |p: &Participant| p.publications.iter().any(|p| p.sid.as_str() == mute.sid);
        let publisher = self.participants.iter().find(|(_, p)| publishes(p)).map(|(session, _)| *session);
        let reason = match publisher {
            Some(publisher) if publisher == session => None,
            // A microphone is opened by its owner alone.
            Some(_) if asking.grants.admin && mute.muted => None,
            Some(_) => Some(Reason::NotAllowed),
            None => Some(Reason::NotFound),
        };
        if let Some(reason) = reason {
            return cx.signal(session, messages::refusal(reason, Answered::Mute(mute.clone())));
        }
        let Some(publisher) = publisher else { return };
        let Some(participant) = self.participants.get_mut(&publisher) else { return };
        let publication = participant.publications.iter_mut().find(|p| p.sid.as_str() == mute.sid);
        if let Some(publication) = publication.filter(|p| p.info.muted != mute.muted) {
            publication.info.muted = mute.muted;
            if publisher != session {
                cx.signal(publisher, Message::Mute(mute.clone()));
            }
            self.announce(cx, publisher);
            self.refresh(cx);
        }
    }

    /// Of its own track a client may correct what others are told.
    fn correct_track(
        &mut self,
        cx: &mut Context<'_>,
        session: SessionId,
        sid: &str,
        correct: impl FnOnce(&mut proto::TrackInfo),
    ) -> bool {
        let Some(participant) = self.participants.get_mut(&session) else { return true };
        let Some(publication) = participant.publications.iter_mut().find(|p| p.sid.as_str() == sid) else {
            return false;
        };
        correct(&mut publication.info);
        self.announce(cx, session);
        true
    }

    fn simulate(&mut self, cx: &mut Context<'_>, session: SessionId, simulate: proto::SimulateScenario) {
        let (action, reason) = match simulate.scenario {
            Some(Scenario::ServerLeave(_)) => (LeaveAction::Disconnect, DisconnectReason::ServerShutdown),
            Some(
                Scenario::NodeFailure(_) | Scenario::Migration(_) | Scenario::LeaveRequestFullReconnect(_),
            ) => (LeaveAction::Reconnect, DisconnectReason::ServerShutdown),
            _ => return cx.signal(session, messages::unsupported(0)),
        };
        self.remove(cx, session, action, reason);
    }

    fn subscription(&mut self, cx: &mut Context<'_>, session: SessionId, update: &proto::UpdateSubscription) {
        let named = update.participant_tracks.iter().flat_map(|tracks| &tracks.track_sids);
        let named: Vec<_> = update.track_sids.iter().chain(named).collect();
        let tracks = self.existing_tracks(named.iter().copied());
        let is_there = |sid: &String| tracks.iter().any(|track| track.as_str() == sid);
        let unknown = named.iter().filter(|sid| update.subscribe && !is_there(sid));
        for unknown in unknown.take(MAX_REFUSALS) {
            cx.signal(session, messages::no_such_track((*unknown).clone()));
        }
        let Some(participant) = self.participants.get_mut(&session) else { return };
        for track in &tracks {
            participant.receiving.choose(track, update.subscribe);
        }
        self.refresh(cx);
    }

    fn track_setting(
        &mut self,
        cx: &mut Context<'_>,
        session: SessionId,
        setting: &proto::UpdateTrackSettings,
    ) {
        let tracks = self.existing_tracks(&setting.track_sids);
        let Some(participant) = self.participants.get_mut(&session) else { return };
        for track in &tracks {
            participant.receiving.set(track, Setting::of(setting));
        }
        self.refresh(cx);
    }

    fn update_metadata(
        &mut self,
        cx: &mut Context<'_>,
        session: SessionId,
        update: &proto::UpdateParticipantMetadata,
    ) {
        let Some(participant) = self.participants.get_mut(&session) else { return };
        let (reason, message) = if !update.name.is_empty() || !update.metadata.is_empty() {
            (Reason::NotAllowed, "names and metadata do not belong on a media node")
        } else if participant.set_attributes(&update.attributes).is_err() {
            (Reason::LimitExceeded, "too many attributes")
        } else {
            (Reason::Ok, "")
        };
        cx.signal(session, messages::outcome(update.request_id, reason, message));
        if reason == Reason::Ok {
            self.announce(cx, session);
        }
    }

    /// Only tracks that exist can be chosen, which bounds what is remembered.
    fn existing_tracks<'a>(&self, named: impl IntoIterator<Item = &'a String>) -> Vec<TrackSid> {
        let publications = || self.published().flat_map(|published| published.publications);
        let find = |sid: &String| publications().find(|p| p.sid.as_str() == sid).map(|p| p.sid.clone());
        named.into_iter().filter_map(find).collect()
    }
}

/// Matches published tracks with the sections they are sent on. Returns those still published, and those that
/// ended because their section does not send any more.
///
/// A section names its track by the client's id. A client whose browser chose another name has announced the
/// track just before, so the first of the kind is the one.
fn bind(publications: Vec<Publication>, sections: &[OfferedSection]) -> (Vec<Publication>, Vec<Publication>) {
    let sending = |section: &&OfferedSection| section.direction == Direction::Send;
    let (mut publications, ended): (Vec<_>, Vec<_>) = publications.into_iter().partition(|publication| {
        publication.mid.is_none_or(|mid| sections.iter().filter(sending).any(|section| section.mid == mid))
    });
    // By name first: only what is left over may be matched by kind.
    for by_name in [true, false] {
        for section in sections.iter().filter(sending) {
            let is_bound = publications.iter().any(|publication| publication.mid == Some(section.mid));
            let free = publications.iter_mut().filter(|p| p.mid.is_none() && Some(p.kind) == section.kind);
            let mut free =
                free.filter(|p| !by_name || section.track.as_ref().is_some_and(|cid| p.is_called(cid)));
            if let Some(publication) = free.next().filter(|_| !is_bound) {
                publication.bind(section.mid);
            }
        }
    }
    (publications, ended)
}
