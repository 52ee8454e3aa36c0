//! The media node refuses every token but the one the clinic's edge host signed for this room.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use locum_identity::SigningKey;
use locum_network_tests::{Browser, Network, Patient};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn only_a_genuine_token_is_accepted() -> Result<()> {
    let network = Network::start()?;
    let (doctor, desk, patient) = (Browser::new(&network)?, Browser::new(&network)?, Browser::new(&network)?);
    ensure!(doctor.sign_in(&network.account("doctor")?).await?.status == 201);
    ensure!(desk.sign_in(&network.account("front-desk")?).await?.status == 201);
    let visit = patient.book(&desk, &Patient::planted()).await?;
    patient.be_admitted(&doctor, &visit).await?;
    let joined = patient.post("/tokens/join", &json!({})).await?;
    let token = joined.body["token"].as_str().context("no token")?.to_owned();
    let node = network.address("media-1", "signal")?;
    let (status, _) = validate(&node, &token).await?;
    ensure!(status == 200, "the genuine token is refused: {status}");

    let genuine_key = SigningKey::load_or_create(&network.data().join("edge-1/token-key.pem"))?;
    for (kind, bad) in refused(&token, &genuine_key)? {
        let (status, said) = validate(&node, &bad).await?;
        ensure!(status == 401, "{kind} token: {status} {said}");
        ensure!(!said.is_empty(), "{kind}: no clear error");
        ensure!(bad.is_empty() || !said.contains(&bad), "{kind}: the error repeats the token");
    }
    told_of(&network).await
}

/// One of them is genuine and too old: the node tells the clinic's record of it. It knows nothing of the others.
async fn told_of(network: &Network) -> Result<()> {
    let begun = Instant::now();
    while network.sum("edge-1", "locum_edge_call_events_total", "outcome=\"kept\"").await? < 1.0 {
        ensure!(begun.elapsed() < Duration::from_secs(30), "the record is not told of a refused token");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for outcome in ["unknown", "not-now"] {
        let label = format!("outcome=\"{outcome}\"");
        let others = network.sum("edge-1", "locum_edge_call_events_total", &label).await?;
        ensure!(others == 0.0, "{others} events are {outcome}");
    }
    Ok(())
}

/// Tokens that differ from the genuine one in just what their name says.
fn refused(token: &str, genuine_key: &SigningKey) -> Result<Vec<(&'static str, String)>> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { anyhow::bail!("not a JWS") };
    let read =
        |part: &str| -> Result<Value> { Ok(serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part)?)?) };
    let write = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let (head, body) = (read(header)?, read(claims)?);
    let kid = head["kid"].as_str().context("no kid")?;

    let mut other_room = body.clone();
    other_room["video"]["room"] = json!("AAAAAAAAAAAAAAAAAAAAAA");
    let mut longer = body.clone();
    longer["exp"] = json!(body["exp"].as_i64().context("no exp")? + 86_400);
    let mut expired = body.clone();
    expired["nbf"] = json!(body["nbf"].as_i64().context("no nbf")? - 86_400);
    expired["exp"] = json!(body["nbf"].as_i64().context("no nbf")? - 3_600);
    let mut elsewhere = body.clone();
    elsewhere["aud"] = json!("another-network");
    let mut none = head.clone();
    none["alg"] = json!("none");
    let mut symmetric = Header::new(Algorithm::HS256);
    symmetric.kid = Some(kid.to_owned());
    let confused = jsonwebtoken::encode(&symmetric, &body, &EncodingKey::from_secret(kid.as_bytes()))?;
    let stranger = SigningKey::generate()?;
    let by_stranger = sign(&stranger, kid, &body)?;
    let unknown_key = sign(&stranger, stranger.kid(), &body)?;

    Ok(vec![
        ("alg-none", format!("{}.{claims}.", write(&none))),
        ("alg-none with the signature kept", format!("{}.{claims}.{signature}", write(&none))),
        ("other-room", format!("{header}.{}.{signature}", write(&other_room))),
        ("prolonged", format!("{header}.{}.{signature}", write(&longer))),
        ("expired", sign(genuine_key, kid, &expired)?),
        ("meant for another audience", sign(genuine_key, kid, &elsewhere)?),
        ("HS256", confused),
        ("forged by a stranger", by_stranger),
        ("signed by an unknown key", unknown_key),
        ("truncated", token[..token.len() - 8].to_owned()),
        ("empty", String::new()),
        ("nonsense", "a.b.c".to_owned()),
    ])
}

fn sign(key: &SigningKey, kid: &str, body: &Value) -> Result<String> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(kid.to_owned());
    Ok(jsonwebtoken::encode(&header, body, &EncodingKey::from_ed_pem(key.private_pem()?.as_bytes())?)?)
}

async fn validate(node: &str, token: &str) -> Result<(u16, String)> {
    let response = reqwest::Client::new()
        .get(format!("http://{node}/rtc/v1/validate"))
        .bearer_auth(token)
        .send()
        .await?;
    Ok((response.status().as_u16(), response.text().await?))
}
