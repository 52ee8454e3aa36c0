//! Who is let in, and how the rest is told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use locum_identity::SigningKey;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use support::{Node, join_request, until};
use tokio_tungstenite::tungstenite;

fn with(mut claims: Value, path: &str, value: Value) -> Value {
    *claims.pointer_mut(path).unwrap() = value;
    claims
}

/// A token with a header and a signature of the attacker's making.
fn forge(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signature = BASE64.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Tokens whose header is to mislead: about the algorithm, or about the key (RFC 8725 §2.1, §2.7).
fn confused(node: &Node, claims: &Value) -> Vec<(String, u16, &'static str)> {
    let (kid, own) = (node.key.kid(), Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap());
    let thief = |message: &[u8]| own.sign(message).as_ref().to_vec();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(own.public_key())});
    let public = serde_json::to_value(node.key.jwks()).unwrap();
    let secret = BASE64.decode(public["keys"][0]["x"].as_str().unwrap()).unwrap();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let hs256 = |message: &[u8]| hmac::sign(&secret, message).as_ref().to_vec();
    let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "kid": kid});
    let with_key =
        |kid: &str| json!({"alg": "EdDSA", "kid": kid, "jwk": jwk, "jku": "https://thief.example"});
    vec![
        (forge(&header("HS256"), claims, hs256), 401, "algorithm"),
        (forge(&header("eddsa"), claims, thief), 401, "algorithm"),
        (forge(&header("EdDSA"), claims, thief), 401, "signature"),
        (forge(&header("EdDSA"), claims, |_| Vec::new()), 401, "signature"),
        (forge(&with_key(kid), claims, thief), 401, "signature"),
        (forge(&with_key("../../etc/passwd"), claims, thief), 401, "unknown-key"),
    ]
}

/// Tokens that must be refused, with the status and the metric's reason.
fn forgeries(node: &Node) -> Vec<(String, u16, &'static str)> {
    let claims = node.claims("p-1", "room-1");
    let sign = |claims: &Value| node.key.sign_jws(claims).unwrap();
    let good = sign(&claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let none = json!({"alg": "none", "kid": node.key.kid()}).to_string();
    let other_room = BASE64.encode(with(claims.clone(), "/video/room", json!("room-2")).to_string());
    let header = signed.split('.').next().unwrap();
    let mut all = confused(node, &claims);
    all.extend([
        (String::new(), 401, "malformed"),
        (SigningKey::generate().unwrap().sign_jws(&claims).unwrap(), 401, "unknown-key"),
        (format!("{}.{}.", BASE64.encode(none), BASE64.encode(claims.to_string())), 401, "algorithm"),
        (format!("{header}.{other_room}.{signature}"), 401, "signature"),
        (sign(&with(claims.clone(), "/exp", json!(1))), 401, "expired"),
        (sign(&with(claims.clone(), "/nbf", json!(u32::MAX))), 401, "not-yet"),
        (sign(&with(claims.clone(), "/aud", json!("locum-edge"))), 401, "audience"),
        (sign(&with(claims, "/video/roomJoin", json!(false))), 403, "grant"),
    ]);
    all
}

#[tokio::test]
async fn a_refused_token_gets_a_status_a_text_and_a_count_and_no_room() {
    let node = Node::start();
    let request = join_request(&Default::default());
    let mut refused = HashMap::new();
    for (token, status, reason) in forgeries(&node) {
        for path in ["/rtc/validate", "/rtc/v1/validate"] {
            let (seen, _, text) = node.get("signal", &format!("{path}?access_token={token}"));
            assert_eq!(seen, status, "{reason}: {text}");
            assert!(!text.is_empty());
        }
        match node.try_join(&token, &request).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), status, "{reason}"),
            other => panic!("{reason}: {:?}", other.map(|_| "joined")),
        }
        let counted = node.metric("locum_media_tokens_refused_total", &format!("reason=\"{reason}\""));
        let expected = refused.entry(reason).and_modify(|count| *count += 3.0).or_insert(3.0);
        assert!((counted - *expected).abs() < 0.5, "{reason}: {counted}");
    }
    assert!(node.metric("locum_media_sessions", "") < 0.5);
}

#[tokio::test]
async fn a_good_token_is_taken_from_query_or_header_and_never_logged() {
    let node = Node::start();
    let token = node.token("p-1", "room-1");
    let (status, head, text) = node.get("signal", &format!("/rtc/v1/validate?access_token={token}"));
    assert_eq!((status, text.as_str()), (200, "success"));
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    let (status, _, _) =
        node.get("signal", &format!("/rtc/v1/validate HTTP/1.1\r\nauthorization: Bearer {token}\r\nx:"));
    assert_eq!(status, 200);
    let mut client = node.join("p-1", "room-1", &Default::default()).await;
    client.joined().await;

    let log = until("the requests to be logged", || {
        Some(node.log()).filter(|log| log.contains("/rtc/v1/validate"))
    });
    for secret in [token.as_str(), "access_token", "join_request", &token[token.len() - 20..]] {
        assert!(!log.contains(secret), "{secret} in the log");
    }
}
