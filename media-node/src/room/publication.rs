//! A track a participant publishes.

use livekit_protocol as proto;
use proto::{TrackSource, TrackType};

use super::ids::{SessionId, TrackSid};
use super::keyframes::KeyframeFloor;
use crate::transport::{Codec, MediaKind, Mid};

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
    /// Requests for keyframes.
    pub keyframes: KeyframeFloor,
    /// Where its packets go now.
    pub legs: Vec<Leg>,
}

/// One receiver of a track.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Leg {
    /// Whose connection.
    pub session: SessionId,
    /// Its section.
    pub mid: Mid,
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
        let keyframes = KeyframeFloor::default();
        Some(Self { sid, kind, info, cids, mid: None, started: false, keyframes, legs: Vec::new() })
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
    // One layer is forwarded (see `transport::sdp`), so one is announced: the largest.
    let largest = request.layers.iter().max_by_key(|layer| u64::from(layer.width) * u64::from(layer.height));
    let layers: Vec<_> = largest.cloned().into_iter().collect();
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
                proto::VideoLayer { width: 320, height: 180, ..Default::default() },
                proto::VideoLayer { width: 1280, height: 720, ..Default::default() },
            ],
            ..Default::default()
        }
    }

    fn publication(request: &proto::AddTrackRequest) -> Option<Publication> {
        Publication::new(TrackSid::parse("TR_1").unwrap(), request)
    }

    #[test]
    fn the_name_is_dropped_and_one_layer_announced() {
        let publication = publication(&request()).unwrap();
        assert_eq!(publication.info.name, "");
        assert_eq!(publication.info.codecs[0].layers.iter().map(|l| l.width).collect::<Vec<_>>(), [1280]);
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
