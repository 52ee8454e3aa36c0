//! A real node in its own process, and clients that speak its protocol by hand.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "this is a test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use locum_identity::SigningKey;
use locum_media::transport::{sdp, stun};
use prost::Message as _;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream as AsyncTcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite};

/// Far more than anything takes, so that a slow host is no failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A running `locum-media`.
pub struct Node {
    pub key: SigningKey,
    pub addresses: BTreeMap<String, SocketAddr>,
    process: Child,
    dir: TempDir,
}

impl Node {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a node with more keys in its configuration.
    pub fn start_with(more: &str) -> Self {
        Self::start_at("\"127.0.0.1:0\"", more)
    }

    /// Starts a node that listens there, for signalling and for media.
    pub fn start_at(listen: &str, more: &str) -> Self {
        let (dir, key) = (tempfile::tempdir().unwrap(), SigningKey::generate().unwrap());
        let jwks = serde_json::to_vec(&key.jwks()).unwrap();
        fs::write(dir.path().join("keys.json"), jwks).unwrap();
        let config = format!(
            "zone = \"locum.localhost\"\nregion = \"eu-central\"\nstate_dir = \"state\"\n\
             ready_file = \"ready.json\"\njwks_file = \"keys.json\"\nannounce_host = \"127.0.0.1\"\n\
             signal_listen = {listen}\nmedia_listen = {listen}\n{more}\n"
        );
        let path = dir.path().join("media.toml");
        fs::write(&path, config).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_locum-media"))
            .arg("--config")
            .arg(&path)
            .env("LOCUM_LOG", "debug")
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let ready = dir.path().join("ready.json");
        let addresses = until("the node to be ready", || {
            assert!(process.try_wait().unwrap().is_none(), "the node ended");
            let ready: Value = serde_json::from_slice(&fs::read(&ready).ok()?).ok()?;
            serde_json::from_value(ready["addresses"].clone()).ok()
        });
        Self { key, addresses, process, dir }
    }

    pub fn claims(&self, identity: &str, room: &str) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        json!({
            "iss": "edge-1", "aud": "locum-media", "sub": identity, "jti": "j", "nbf": now, "exp": now + 600,
            "video": {
                "roomJoin": true, "room": room,
                "canPublish": true, "canSubscribe": true, "canPublishData": true,
            },
        })
    }

    pub fn token(&self, identity: &str, room: &str) -> String {
        self.key.sign_jws(&self.claims(identity, room)).unwrap()
    }

    /// A plain GET. Status, headers, body.
    pub fn get(&self, endpoint: &str, path: &str) -> (u16, String, String) {
        self.ask(endpoint, &format!("GET {path} HTTP/1.1"))
    }

    /// Any request without a body: its line, with headers. Status, headers, body.
    pub fn ask(&self, endpoint: &str, request: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.addresses[endpoint]).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "{request}\r\nhost: x\r\norigin: http://page\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    /// Sum of a metric's values over the series whose line holds `label`.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let (_, _, text) = self.get("telemetry", "/metrics");
        let is_it = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])) && line.contains(label)
        };
        text.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    pub fn terminate(&self) {
        let kill = Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(kill.success());
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn is_alive(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    pub fn exit_code(&mut self) -> i32 {
        until("the node to end", || self.process.try_wait().unwrap()).code().unwrap()
    }

    pub async fn join(&self, identity: &str, room: &str, request: &proto::JoinRequest) -> Client {
        self.try_join(&self.token(identity, room), &join_request(request)).await.unwrap()
    }

    pub async fn try_join(&self, token: &str, join_request: &str) -> Result<Client, tungstenite::Error> {
        self.connect(&format!("/rtc/v1?access_token={token}&join_request={join_request}")).await
    }

    /// Joins over signalling v0, with more parameters in the query.
    pub async fn try_join_v0(&self, token: &str, query: &str) -> Result<Client, tungstenite::Error> {
        self.connect(&format!("/rtc?access_token={token}&{query}")).await
    }

    async fn connect(&self, path: &str) -> Result<Client, tungstenite::Error> {
        let url = format!("ws://{}{path}", self.addresses["signal"]);
        let (socket, _) = tokio_tungstenite::connect_async(url).await?;
        Ok(Client { socket })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the node\n{}", self.log());
        }
    }
}

/// One WebSocket of a client.
pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<AsyncTcpStream>>,
}

impl Client {
    pub async fn request(&mut self, request: Request) {
        let bytes = proto::SignalRequest { message: Some(request) }.encode_to_vec();
        self.socket.send(Frame::Binary(bytes.into())).await.unwrap();
    }

    /// The next message; `None` when the node closed the socket.
    pub async fn hear(&mut self) -> Option<Response> {
        loop {
            let frame = tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("a message in time");
            match frame {
                Some(Ok(Frame::Binary(bytes))) => {
                    return proto::SignalResponse::decode(bytes).unwrap().message;
                }
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The first message that is looked for.
    pub async fn hear_until<R>(&mut self, mut wanted: impl FnMut(Response) -> Option<R>) -> R {
        loop {
            let message = self.hear().await.expect("the socket to stay open");
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }

    pub async fn joined(&mut self) -> proto::JoinResponse {
        match self.hear().await {
            Some(Response::Join(joined)) => joined,
            other => panic!("expected a join, got {other:?}"),
        }
    }
}

pub fn join_request(request: &proto::JoinRequest) -> String {
    let wrapped = proto::WrappedJoinRequest { join_request: request.encode_to_vec(), ..Default::default() };
    URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec())
}

/// Joins with an offer; the client, the answer, and the user name and key of its checks.
pub async fn join_with_media(
    node: &Node,
    identity: &str,
) -> (Client, proto::SessionDescription, String, stun::IntegrityKey) {
    let request = proto::JoinRequest { publisher_offer: Some(offer()), ..Default::default() };
    let mut client = node.join(identity, "room", &request).await;
    client.joined().await;
    let answer =
        client.hear_until(|m| if let Response::Answer(answer) = m { Some(answer) } else { None }).await;
    assert_eq!(answer.id, 1);
    let ufrag = sdp::value(&answer.sdp, "a=ice-ufrag:").unwrap();
    let key = stun::IntegrityKey::new(sdp::value(&answer.sdp, "a=ice-pwd:").unwrap());
    let username = format!("{ufrag}:clnt");
    (client, answer, username, key)
}

/// Waits for a condition.
pub fn until<R>(what: &str, mut condition: impl FnMut() -> Option<R>) -> R {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(result) = condition() {
            return result;
        }
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::yield_now();
    }
}

/// An offer as Chromium makes it, cut down: data channels, one section to receive audio, one to send video.
pub fn offer() -> proto::SessionDescription {
    let fingerprint = ["AB"; 32].join(":");
    let common = format!(
        "c=IN IP4 0.0.0.0\r\na=ice-ufrag:clnt\r\na=ice-pwd:passwordpasswordpassword\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n"
    );
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\na=extmap-allow-mixed\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{common}a=mid:0\r\na=sctp-port:5000\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{common}a=mid:1\r\na=recvonly\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\n{common}a=mid:2\r\na=sendonly\r\na=rtcp-mux\r\na=msid:- cam\r\n\
         a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=ssrc:1234 cname:x\r\n"
    );
    proto::SessionDescription { r#type: "offer".into(), sdp, id: 1, ..Default::default() }
}
