//! Tokens that are bound to a device: what opens the room is a proof, and then a pass, each of them once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use support::{Client, Node, join_request};
use tokio_tungstenite::tungstenite;

/// A browser's key.
struct Device(EcdsaKeyPair);

impl Device {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
        Self(key.unwrap())
    }

    fn point(&self) -> (String, String) {
        let point = self.0.public_key().as_ref();
        (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]))
    }

    fn thumbprint(&self) -> String {
        let (x, y) = self.point();
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        BASE64.encode(digest(&SHA256, members.as_bytes()))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64.encode(signature))
    }

    fn header(&self) -> Value {
        let (x, y) = self.point();
        json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y}})
    }

    fn proof(&self, node: &Node, token: &str, id: &str) -> String {
        self.sign(&self.header(), &proof_claims(node, token, id))
    }
}

fn proof_claims(node: &Node, token: &str, id: &str) -> Value {
    let now = node.claims("p", "r")["nbf"].clone();
    let url = format!("http://{}/join", node.addresses["signal"]);
    let ath = BASE64.encode(digest(&SHA256, token.as_bytes()));
    json!({"jti": id, "htm": "POST", "htu": url, "iat": now, "ath": ath})
}

fn bound_token(node: &Node, device: &Device, identity: &str) -> String {
    let mut claims = node.claims(identity, "room-1");
    claims["cnf"] = json!({"jkt": device.thumbprint()});
    node.key.sign_jws(&claims).unwrap()
}

fn prove(node: &Node, token: &str, proof: &str) -> (u16, String) {
    let request = format!("POST /join HTTP/1.1\r\nauthorization: DPoP {token}\r\ndpop: {proof}");
    let (status, head, body) = node.ask("signal", &request);
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    let pass = serde_json::from_str::<Value>(&body).ok().and_then(|body| Some(body["pass"].as_str()?.into()));
    (status, pass.unwrap_or(body))
}

async fn enter(node: &Node, pass: &str, request: &proto::JoinRequest) -> Result<Client, u16> {
    match node.try_join(pass, &join_request(request)).await {
        Ok(client) => Ok(client),
        Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

async fn renewed(client: &mut Client) -> String {
    client
        .hear_until(|message| if let Response::RefreshToken(pass) = message { Some(pass) } else { None })
        .await
}

#[tokio::test]
async fn a_proved_device_enters_once_resumes_and_gets_the_next_pass() {
    let (node, device) = (Node::start(), Device::new());
    let token = bound_token(&node, &device, "p-1");
    assert_eq!(enter(&node, &token, &Default::default()).await.err(), Some(401), "the token alone");
    let (status, pass) = prove(&node, &token, &device.proof(&node, &token, "1"));
    assert_eq!(status, 201, "{pass}");
    assert_eq!(node.get("signal", &format!("/rtc/v1/validate?access_token={pass}")).0, 200);

    let mut client = enter(&node, &pass, &Default::default()).await.unwrap();
    let sid = client.joined().await.participant.unwrap().sid;
    let next = renewed(&mut client).await;
    assert_eq!(enter(&node, &pass, &Default::default()).await.err(), Some(401), "a copy of the address");
    drop(client);
    let resuming = proto::JoinRequest { reconnect: true, participant_sid: sid, ..Default::default() };
    let mut resumed = enter(&node, &pass, &resuming).await.unwrap();
    assert!(matches!(resumed.hear().await, Some(Response::Reconnect(_))));
    drop(resumed);
    let mut resumed = enter(&node, &next, &resuming).await.unwrap();
    assert!(matches!(resumed.hear().await, Some(Response::Reconnect(_))));
    assert_eq!(enter(&node, &pass, &resuming).await.err(), Some(401), "a newer one is in use");
    assert_ne!(renewed(&mut resumed).await, next);
    let log = node.log();
    assert!(!log.contains(&pass) && !log.contains(&next) && !log.contains("dpop"), "secrets in the log");
}

#[tokio::test]
async fn what_is_forged_copied_replayed_or_for_something_else_gets_no_pass() {
    let (node, other_node, device, thief) = (Node::start(), Node::start(), Device::new(), Device::new());
    let token = bound_token(&node, &device, "p-1");
    let (x, y) = thief.point();
    let claims = proof_claims(&node, &token, "x");
    let with = |path: &str, value: Value| {
        let mut changed = claims.clone();
        changed[path] = value;
        device.sign(&device.header(), &changed)
    };
    let mut confused = device.header();
    confused["alg"] = json!("HS256");
    let mut stolen = device.header();
    stolen["jwk"]["x"] = json!(x);
    stolen["jwk"]["y"] = json!(y);
    let iat = claims["iat"].as_u64().unwrap();
    let bad = [
        ("none", String::new()),
        ("another device", thief.proof(&node, &token, "2")),
        ("signed by another", thief.sign(&device.header(), &claims)),
        ("another key in it", device.sign(&stolen, &claims)),
        ("alg confused", device.sign(&confused, &claims)),
        ("another node", device.proof(&other_node, &token, "3")),
        ("another token", device.proof(&node, &bound_token(&node, &device, "p-2"), "4")),
        ("old", with("iat", json!(iat - 120))),
        ("early", with("iat", json!(iat + 120))),
        ("another method", with("htm", json!("GET"))),
    ];
    for (kind, proof) in bad {
        let (status, said) = prove(&node, &token, &proof);
        assert_eq!(status, 401, "{kind}: {said}");
    }
    let proof = device.proof(&node, &token, "5");
    assert_eq!(prove(&node, &token, &proof).0, 201);
    assert_eq!(prove(&node, &token, &proof).0, 401, "a replay");
    assert!(node.metric("locum_media_tokens_refused_total", "reason=\"proof\"") > 9.5);
    assert!((node.metric("locum_media_tokens_refused_total", "reason=\"replayed\"") - 1.0).abs() < 0.1);

    let unbound = node.token("p-3", "room-1");
    assert_eq!(prove(&node, &unbound, &device.proof(&node, &unbound, "6")).0, 401, "bound to nothing");
    let mut over = node.claims("p-1", "room-1");
    over["cnf"] = json!({"jkt": device.thumbprint()});
    over["exp"] = json!(1);
    let over = node.key.sign_jws(&over).unwrap();
    assert_eq!(prove(&node, &over, &device.proof(&node, &over, "7")).0, 401, "an expired token");
    assert_eq!(enter(&node, "pass.AAAA", &Default::default()).await.err(), Some(401), "a forged pass");
}

/// A pass outlives the token: whoever holds one that is bound to nothing must come back with a new one.
#[tokio::test]
async fn who_proves_no_device_is_given_no_pass() {
    let node = Node::start();
    let mut client = node.join("p-1", "room-1", &Default::default()).await;
    client.joined().await;
    for time in 0..8 {
        client.request(Request::Ping(time)).await;
        let pong = |message| match message {
            Response::RefreshToken(_) => panic!("a pass for nobody's device"),
            Response::Pong(_) => Some(()),
            _ => None,
        };
        client.hear_until(pong).await;
    }
}

#[tokio::test]
async fn a_pass_is_of_one_participant_in_one_room() {
    let (node, device) = (Node::start(), Device::new());
    let token = bound_token(&node, &device, "p-1");
    let (_, pass) = prove(&node, &token, &device.proof(&node, &token, "1"));
    let mut other = node.join("p-2", "room-2", &Default::default()).await;
    let sid = other.joined().await.participant.unwrap().sid;
    let resuming = proto::JoinRequest { reconnect: true, participant_sid: sid, ..Default::default() };
    let mut refused = enter(&node, &pass, &resuming).await.unwrap();
    assert!(matches!(refused.hear().await, Some(Response::Leave(_))), "somebody else's stay");
}
