//! A track a participant publishes.

use livekit_protocol as proto;
use proto::{TrackSource, TrackType, VideoQuality};

use super::ids::{SessionId, TrackSid};
use super::keyframes::KeyframeFloor;
use super::layers::{Demanded, Setting};
use super::quality::Arrivals;
use super::voice::Voice;
use super::{Action, Context};
use crate::relay::NodeName;
use crate::transport::{Codec, Layer, MediaKind, Mid};

/// Longest free text of a client that is passed on (stream grouping, client track ids).
const MAX_TEXT_BYTES: usize = 128;

/// Layers and codecs that are believed of one track.
const MAX_LAYERS: usize = 4;

/// A published track.
#[derive(Debug)]
pub(super) struct Publication {
    /// Its id.
    pub sid: TrackSid,
    /// Audio or video.
    pub kind: MediaKind,
    /// What others are told of it.
    pub info: proto::TrackInfo,
    /// The client's ids of it, one for each codec it may publish.
    cids: Vec<String>,
    /// Section it arrives on, once an offer names it.
    pub mid: Option<Mid>,
    /// Whether media has arrived: only then do others learn of it.
    pub started: bool,
    /// Requests for keyframes, by layer.
    pub keyframes: [KeyframeFloor; 3],
    /// Layers its publisher was told that somebody wants.
    pub demanded: Demanded,
    /// The largest layer that other nodes want.
    pub demanded_elsewhere: Option<Layer>,
    /// Where its packets go now.
    pub legs: Vec<Leg>,
    /// Whether its publisher knows that somebody receives it.
    pub is_subscribed: bool,
    /// How loud it is.
    pub voice: Voice,
    /// How much of it arrives, by layer.
    pub arrivals: [Arrivals; 3],
    /// Node it is published at, and its number there, when that is not this one.
    relayed: Option<(NodeName, u32)>,
}

/// One receiver of a track.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Leg {
    /// Whose connection.
    pub session: SessionId,
    /// Its section.
    pub mid: Mid,
    /// The largest layer it has use for.
    pub most: Layer,
}

impl Publication {
    /// A track as a client announced it. `None` when it is of no kind that can be forwarded, or its text is
    /// too long.
    #[must_use]
    pub(super) fn new(sid: TrackSid, request: &proto::AddTrackRequest) -> Option<Self> {
        let (kind, codec) = match TrackType::try_from(request.r#type) {
            Ok(TrackType::Audio) => (MediaKind::Audio, Codec::Opus),
            Ok(TrackType::Video) => (MediaKind::Video, Codec::Vp8),
            _ => return None,
        };
        let mut cids = vec![request.cid.clone()];
        cids.extend(request.simulcast_codecs.iter().take(MAX_LAYERS).map(|codec| codec.cid.clone()));
        cids.retain(|cid| !cid.is_empty());
        let too_long = cids.iter().chain([&request.stream]).any(|text| text.len() > MAX_TEXT_BYTES);
        if cids.is_empty() || too_long {
            return None;
        }
        let info = track_info(&sid, codec, request);
        let (keyframes, demanded) = Default::default();
        Some(Self {
            sid,
            kind,
            info,
            cids,
            mid: None,
            started: false,
            keyframes,
            demanded,
            demanded_elsewhere: None,
            legs: Vec::new(),
            is_subscribed: false,
            voice: Voice::default(),
            arrivals: Default::default(),
            relayed: None,
        })
    }

    /// A track at another node, under its number there. `None` when it is of no kind that can be forwarded.
    #[must_use]
    pub(super) fn relayed(sid: TrackSid, info: proto::TrackInfo, from: (NodeName, u32)) -> Option<Self> {
        let kind = match TrackType::try_from(info.r#type) {
            Ok(TrackType::Audio) => MediaKind::Audio,
            Ok(TrackType::Video) => MediaKind::Video,
            _ => return None,
        };
        let mid = Some(Mid::parse(&format!("r{}", from.1))?);
        let (keyframes, demanded) = Default::default();
        Some(Self {
            sid,
            kind,
            info,
            cids: Vec::new(),
            mid,
            started: true,
            keyframes,
            demanded,
            demanded_elsewhere: None,
            legs: Vec::new(),
            is_subscribed: false,
            voice: Voice::default(),
            arrivals: Default::default(),
            relayed: Some(from),
        })
    }

    /// Whether it is published at another node.
    #[must_use]
    pub(super) const fn is_relayed(&self) -> bool {
        self.relayed.is_some()
    }

    /// Asks its node for its packets up to a layer, or for none. Nothing for a track of this node's.
    pub(super) fn receive(&self, cx: &mut Context<'_>, session: SessionId, most: Option<Layer>) {
        if let (Some((node, track)), Some(mid)) = (&self.relayed, self.mid) {
            // What is not in layers is all the largest.
            let most = most.map(|most| if self.is_layered() { most } else { Layer::High });
            let (node, track) = (NodeName::clone(node), *track);
            cx.actions.push_back(Action::Receive { node, track, session, mid, most });
        }
    }

    /// The largest layer that anybody here has use for.
    #[must_use]
    pub(super) fn most(&self) -> Option<Layer> {
        self.legs.iter().map(|leg| leg.most).max()
    }

    /// Whether the client calls it so.
    #[must_use]
    pub(super) fn is_called(&self, cid: &str) -> bool {
        self.cids.iter().any(|known| known == cid)
    }

    /// The section it arrives on is known.
    pub(super) fn bind(&mut self, mid: Mid) {
        self.mid = Some(mid);
        self.info.mid = mid.to_string();
        for codec in &mut self.info.codecs {
            codec.mid = mid.to_string();
        }
    }

    /// The smallest layer that shows all a viewer has use for.
    #[must_use]
    pub(super) fn most_for(&self, setting: &Setting) -> Layer {
        let layers = self.info.codecs.first().map_or(&[][..], |codec| &codec.layers);
        setting.most_of(layers.iter().filter_map(|l| Some((layer(l.quality)?, l.width.max(l.height)))))
    }

    /// Whether it has layers that can be switched off one by one.
    #[must_use]
    pub(super) fn is_layered(&self) -> bool {
        self.info.codecs.first().is_some_and(|codec| codec.layers.len() > 1)
    }

    /// Where it comes from.
    #[must_use]
    pub(super) fn source(&self) -> TrackSource {
        TrackSource::try_from(self.info.source).unwrap_or(TrackSource::Unknown)
    }

    /// Tracks of one stream are played in step: a camera with its microphone, a screen with its sound.
    #[must_use]
    pub(super) fn stream(&self) -> &str {
        match self.source() {
            _ if !self.info.stream.is_empty() => &self.info.stream,
            TrackSource::Camera | TrackSource::Microphone => "camera",
            TrackSource::ScreenShare | TrackSource::ScreenShareAudio => "screen",
            TrackSource::Unknown => self.sid.as_str(),
        }
    }
}

/// Of what a client says of its track, what others need. Its name stays out: people put people's names there.
fn track_info(sid: &TrackSid, codec: Codec, request: &proto::AddTrackRequest) -> proto::TrackInfo {
    let layers: Vec<_> = request.layers.iter().take(MAX_LAYERS).cloned().collect();
    let codec_info = proto::SimulcastCodecInfo {
        mime_type: codec.mime().to_owned(),
        cid: request.cid.clone(),
        layers: layers.clone(),
        ..proto::SimulcastCodecInfo::default()
    };
    #[expect(deprecated, reason = "older SDKs read the layers here")]
    proto::TrackInfo {
        sid: sid.to_string(),
        r#type: request.r#type,
        source: request.source,
        muted: request.muted,
        width: request.width,
        height: request.height,
        simulcast: layers.len() > 1,
        mime_type: codec.mime().to_owned(),
        layers,
        codecs: vec![codec_info],
        disable_red: true,
        encryption: request.encryption,
        stream: request.stream.clone(),
        audio_features: request.audio_features.iter().copied().take(8).collect(),
        ..proto::TrackInfo::default()
    }
}

fn layer(quality: i32) -> Option<Layer> {
    match VideoQuality::try_from(quality) {
        Ok(VideoQuality::Low) => Some(Layer::Low),
        Ok(VideoQuality::Medium) => Some(Layer::Medium),
        Ok(VideoQuality::High) => Some(Layer::High),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> proto::AddTrackRequest {
        proto::AddTrackRequest {
            cid: "cam".into(),
            name: "Ana's camera".into(),
            r#type: TrackType::Video as i32,
            source: TrackSource::Camera as i32,
            layers: vec![
                proto::VideoLayer { width: 320, height: 180, quality: 0, ..Default::default() },
                proto::VideoLayer { width: 1280, height: 720, quality: 2, ..Default::default() },
            ],
            ..Default::default()
        }
    }

    fn publication(request: &proto::AddTrackRequest) -> Option<Publication> {
        Publication::new(TrackSid::parse("TR_1").unwrap(), request)
    }

    #[test]
    fn the_name_is_dropped_and_the_layers_announced() {
        let publication = publication(&request()).unwrap();
        assert_eq!(publication.info.name, "");
        assert_eq!(
            publication.info.codecs[0].layers.iter().map(|l| l.width).collect::<Vec<_>>(),
            [320, 1280]
        );
        let small = Setting { width: 300, height: 200, ..Setting::default() };
        assert_eq!(publication.most_for(&small), Layer::Low);
        assert_eq!(publication.most_for(&Setting::default()), Layer::High);
        assert_eq!(publication.stream(), "camera");
        assert!(publication.is_called("cam") && !publication.is_called(""));
    }

    #[test]
    fn what_cannot_be_forwarded_is_refused() {
        assert!(
            publication(&proto::AddTrackRequest { r#type: TrackType::Data as i32, ..request() }).is_none()
        );
        assert!(publication(&proto::AddTrackRequest { r#type: 99, ..request() }).is_none());
        assert!(publication(&proto::AddTrackRequest { cid: String::new(), ..request() }).is_none());
        assert!(publication(&proto::AddTrackRequest { cid: "x".repeat(129), ..request() }).is_none());
    }
}
