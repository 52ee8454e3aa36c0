//! A clinic whose patients are let in, and what its tokens say to an implementation of JWT that is not ours.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::AuthFunction;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kit::params;
use kit::testing::{Answer, Booked, Client, Seeded, World};
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};
use tokens::TokensFunction;

pub struct Clinic {
    pub world: World,
    pub seeded: Seeded,
    public_pem: String,
}

pub async fn clinic() -> Clinic {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let key = SigningKey::from_bytes(&[7; 32]);
    world.set("token_signing_key", &key.to_pkcs8_pem(LineEnding::LF).unwrap());
    world.set("token_key_id", "key-1");
    world.set("issuer", "edge-1");
    world.set("media_nodes", &nodes(&[node("m2", "eu-central"), node("m1", "us-west")]));
    let public_pem = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    Clinic { world, seeded, public_pem }
}

pub fn node(id: &str, region: &str) -> Json {
    json!({"id": id, "region": region, "urls": [format!("ws://{id}")], "full": false})
}

/// What a host in eu-central supplies; people of us-west are better off with m1.
pub fn nodes(nodes: &[Json]) -> String {
    json!({"version": 7, "nodes": nodes, "byRegion": {"us-west": ["m1", "m2"]}}).to_string()
}

impl Clinic {
    /// A visit from 08:00 to 08:30; it is 07:00.
    pub async fn visit(&self) -> Booked {
        self.world.seed_visit(&self.seeded, "2026-03-02T08:00:00Z").await
    }

    pub async fn admit(&self, visit: &Booked) {
        let sql =
            "UPDATE appointment SET status = 'arrived', arrived_at = ?1, admitted_at = ?1 WHERE id = ?2";
        self.world.run(sql, params![self.world.now(), visit.appointment]).await;
        let sql = "INSERT INTO room (clinic, appointment, name, sink, created_at)
                   VALUES ('demo', ?, 'roomroomroomroomroomro', 'sinksinksinksinksinksi', 0)";
        self.world.run(sql, params![visit.appointment]).await;
    }

    pub fn read(&self, token: &str) -> Json {
        self.read_for("locum-media", token)
    }

    pub fn read_for(&self, audience: &str, token: &str) -> Json {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[audience]);
        validation.validate_exp = false;
        let key = DecodingKey::from_ed_pem(self.public_pem.as_bytes()).unwrap();
        jsonwebtoken::decode::<Json>(token, &key, &validation).unwrap().claims
    }
}

pub async fn join(client: &Client<'_>, body: Json) -> Answer {
    client.post::<TokensFunction>("/tokens/join", body).await
}

/// An interpreter whom a clinician invited.
pub struct Invited(String);

impl Invited {
    /// `guest` has opened the link.
    pub async fn by(doctor: &Client<'_>, visit: &Booked, guest: &Client<'_>) -> Self {
        let path = format!("/scheduling/appointments/{}/guests", visit.appointment);
        let invited = doctor.post::<SchedulingFunction>(&path, json!({"role": "interpreter"})).await;
        let token = invited.text("/link").split_once('#').unwrap().1.to_owned();
        guest.post::<AuthFunction>("/auth/visit-sessions", json!({"token": token})).await;
        Self(invited.text("/guest/id"))
    }

    /// `admit` or `remove`.
    pub async fn change(&self, doctor: &Client<'_>, verb: &str) {
        let path = format!("/scheduling/guests/{}/{verb}", self.0);
        assert_eq!(doctor.post::<SchedulingFunction>(&path, json!({})).await.status, 200);
    }
}

pub async fn arrive(guest: &Client<'_>) {
    guest.post::<SchedulingFunction>("/scheduling/guest-visit/arrive", json!({})).await;
}

/// What a browser says of its keys; each letter is another one.
pub fn keys(letter: char) -> Json {
    let hash = |byte: u8| URL_SAFE_NO_PAD.encode([byte; 32]);
    json!({"device": hash(letter as u8), "commitment": hash(letter as u8 ^ 0x80)})
}

/// That browser in a membership.
pub fn member(id: &str, letter: char) -> Json {
    let mut member = keys(letter);
    member["id"] = json!(id);
    member
}
