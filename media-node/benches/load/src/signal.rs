//! How callers get in: LiveKit's protocol, Janus's, and a plain exchange of descriptions.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use locum_identity::SigningKey;
use prost::Message as _;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use serde_json::{Value, json};
use str0m::media::Direction;
use tokio::runtime::Runtime;
use tokio::sync::mpsc as queue;
use tokio_tungstenite::tungstenite::Message as Frame;

const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// As SDKs do.
const PING_EVERY: Duration = Duration::from_secs(5);

/// A caller at the door.
pub struct Joining {
    pub index: usize,
    /// Names of its sound and its pictures.
    pub tracks: [String; 2],
    pub offer: String,
}

/// What a server tells a caller later.
pub enum Told {
    Answer(String),
    /// So many sections for sound and for pictures are to be offered.
    Wanted(u32, u32),
    Ended(String),
}

pub trait Signalling {
    /// Of a caller's own tracks.
    fn direction(&self) -> Direction;

    /// Lets a caller in. Returns the answer.
    fn join(&mut self, joining: Joining) -> Result<String>;

    fn offer(&mut self, index: usize, offer: String);

    fn told(&mut self) -> Option<(usize, Told)>;
}

/// An HTTP server that answers an offer with an answer; callers meet in pairs.
pub struct Plain(pub SocketAddr);

impl Signalling for Plain {
    fn direction(&self) -> Direction {
        Direction::SendRecv
    }

    fn join(&mut self, joining: Joining) -> Result<String> {
        post(self.0, &format!("/join?room={}", joining.index / 2), &joining.offer)
    }

    fn offer(&mut self, _: usize, _: String) {}

    fn told(&mut self) -> Option<(usize, Told)> {
        None
    }
}

/// Janus's echo test: each caller hears itself, which costs the server the same as a call of two.
pub struct Janus(pub SocketAddr);

impl Janus {
    fn ask(&self, path: &str, mut what: Value) -> Result<Value> {
        what["transaction"] = "t".into();
        Ok(serde_json::from_str(&post(self.0, &format!("/janus{path}"), &what.to_string())?)?)
    }
}

impl Signalling for Janus {
    fn direction(&self) -> Direction {
        Direction::SendRecv
    }

    fn join(&mut self, joining: Joining) -> Result<String> {
        let session = self.ask("", json!({"janus": "create"}))?["data"]["id"].clone();
        let attach = json!({"janus": "attach", "plugin": "janus.plugin.echotest"});
        let handle = self.ask(&format!("/{session}"), attach)?["data"]["id"].clone();
        let jsep = json!({"type": "offer", "sdp": joining.offer, "trickle": false});
        let body = json!({"audio": true, "video": true, "videocodec": "vp8"});
        let message = json!({"janus": "message", "body": body, "jsep": jsep});
        self.ask(&format!("/{session}/{handle}"), message)?;
        for _ in 0..5 {
            let event: Value = serde_json::from_str(&http(self.0, "GET", &format!("/janus/{session}"), "")?)?;
            if let Some(answer) = event["jsep"]["sdp"].as_str() {
                return Ok(answer.to_owned());
            }
        }
        bail!("Janus does not answer the offer")
    }

    fn offer(&mut self, _: usize, _: String) {}

    fn told(&mut self) -> Option<(usize, Told)> {
        None
    }
}

/// LiveKit's protocol, version 1; callers meet in pairs.
pub struct LiveKit {
    server: SocketAddr,
    key: SigningKey,
    runtime: Runtime,
    offers: HashMap<usize, queue::UnboundedSender<String>>,
    tell: mpsc::Sender<(usize, Told)>,
    told: mpsc::Receiver<(usize, Told)>,
    /// Heard while somebody else was let in.
    kept: Vec<(usize, Told)>,
}

impl LiveKit {
    pub fn new(server: SocketAddr, key: SigningKey) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (tell, told) = mpsc::channel();
        Ok(Self { server, key, runtime, offers: HashMap::new(), tell, told, kept: Vec::new() })
    }

    fn url(&self, joining: &Joining) -> Result<String> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let token = self.key.sign_jws(&json!({
            "iss": "edge-1", "aud": "locum-media", "sub": format!("caller-{}", joining.index), "jti": "j",
            "nbf": now, "exp": now + 3_600,
            "video": {
                "roomJoin": true, "room": format!("room-{}", joining.index / 2),
                "canPublish": true, "canSubscribe": true, "canPublishData": true,
            },
        }))?;
        let [sound, pictures] = &joining.tracks;
        let track =
            |cid: &String, kind: proto::TrackType, source: proto::TrackSource| proto::AddTrackRequest {
                cid: cid.clone(),
                r#type: kind.into(),
                source: source.into(),
                ..Default::default()
            };
        let mut camera = track(pictures, proto::TrackType::Video, proto::TrackSource::Camera);
        (camera.width, camera.height) = (1_280, 720);
        let request = proto::JoinRequest {
            connection_settings: Some(proto::ConnectionSettings {
                auto_subscribe: true,
                ..Default::default()
            }),
            add_track_requests: vec![
                track(sound, proto::TrackType::Audio, proto::TrackSource::Microphone),
                camera,
            ],
            publisher_offer: Some(description(1, joining.offer.clone())),
            ..Default::default()
        };
        let wrapped =
            proto::WrappedJoinRequest { join_request: request.encode_to_vec(), ..Default::default() };
        let request = URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec());
        Ok(format!("ws://{}/rtc/v1?access_token={token}&join_request={request}", self.server))
    }
}

impl Signalling for LiveKit {
    fn direction(&self) -> Direction {
        Direction::SendOnly
    }

    fn join(&mut self, joining: Joining) -> Result<String> {
        let (url, index) = (self.url(&joining)?, joining.index);
        let (offer, offers) = queue::unbounded_channel();
        self.offers.insert(index, offer);
        let tell = self.tell.clone();
        self.runtime.spawn(async move {
            let Err(error) = follow(url, index, offers, &tell).await else { return };
            let _ = tell.send((index, Told::Ended(format!("{error:#}"))));
        });
        loop {
            match self.told.recv_timeout(ANSWERED_WITHIN)? {
                (of, Told::Answer(answer)) if of == index => return Ok(answer),
                (of, Told::Ended(why)) if of == index => bail!("{why}"),
                other => self.kept.push(other),
            }
        }
    }

    fn offer(&mut self, index: usize, offer: String) {
        if let Some(offers) = self.offers.get(&index) {
            let _ = offers.send(offer);
        }
    }

    fn told(&mut self) -> Option<(usize, Told)> {
        if self.kept.is_empty() { self.told.try_recv().ok() } else { Some(self.kept.remove(0)) }
    }
}

/// One caller's socket, to its end.
async fn follow(
    url: String,
    index: usize,
    mut offers: queue::UnboundedReceiver<String>,
    tell: &mpsc::Sender<(usize, Told)>,
) -> Result<()> {
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    let mut ping = tokio::time::interval(PING_EVERY);
    let mut offer_id = 1;
    loop {
        let request = tokio::select! {
            _ = ping.tick() => Request::PingReq(proto::Ping::default()),
            offer = offers.recv() => {
                // The callers are gone.
                let Some(offer) = offer else { return Ok(()) };
                offer_id += 1;
                Request::Offer(description(offer_id, offer))
            }
            frame = socket.next() => {
                let frame = frame.ok_or_else(|| anyhow!("the socket was closed"))??;
                let Frame::Binary(bytes) = frame else { continue };
                let told = match proto::SignalResponse::decode(bytes)?.message {
                    Some(Response::Answer(answer)) => Told::Answer(answer.sdp),
                    Some(Response::MediaSectionsRequirement(more)) => Told::Wanted(more.num_audios, more.num_videos),
                    Some(Response::Leave(leave)) => bail!("sent away: {:?}", leave.reason()),
                    _ => continue,
                };
                let _ = tell.send((index, told));
                continue;
            }
        };
        let bytes = proto::SignalRequest { message: Some(request) }.encode_to_vec();
        socket.send(Frame::Binary(bytes.into())).await?;
    }
}

fn description(id: u32, sdp: String) -> proto::SessionDescription {
    proto::SessionDescription { r#type: "offer".to_owned(), sdp, id, ..Default::default() }
}

fn post(server: SocketAddr, path: &str, body: &str) -> Result<String> {
    http(server, "POST", path, body)
}

/// By HTTP 1.0, in which no answer comes in chunks.
fn http(server: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").context("no HTTP answer")?.1.to_owned())
}
