//! Apps that prove themselves by a key and come by themselves (RFC 7523, SMART Backend Services).

#![allow(clippy::unwrap_used, reason = "part of the tests")]

mod apps;

use apps::{App, Clinic};
use auth::AuthFunction;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use jiff::SignedDuration;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kit::secret;
use kit::testing::Answer;
use p384::pkcs8::EncodePrivateKey as _;
use serde_json::{Value as Json, json};

const TOKEN: &str = "https://app.locum.test/c/demo/auth/oauth/token";
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Key {
    private: EncodingKey,
    public: Jwk,
}

impl Key {
    fn new(kid: &str) -> Self {
        let key = p384::SecretKey::from_slice(&secret::random::<48>().unwrap()).unwrap();
        let private = EncodingKey::from_ec_der(key.to_pkcs8_der().unwrap().as_bytes());
        let mut public = Jwk::from_encoding_key(&private, Algorithm::ES384).unwrap();
        public.common.key_id = Some(kid.to_owned());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Self { private, public }
    }

    fn set(&self) -> Json {
        json!({"keys": [self.public]})
    }
}

fn header(kid: &str) -> Header {
    Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES384) }
}

struct Backend {
    clinic: Clinic,
    app: App,
    key: Key,
}

impl Backend {
    async fn new() -> Self {
        let (clinic, key) = (Clinic::new().await, Key::new("k1"));
        let scopes = "system/Encounter.rs system/Appointment.s";
        let body = json!({"name": "Backend", "kind": "key", "scopes": scopes, "jwks": key.set()});
        let app = clinic.register_with(body).await;
        Self { clinic, app, key }
    }

    /// Good claims with others in place of some; `null` leaves one out.
    fn claims(&self, changes: &Json) -> Json {
        let now = self.clinic.world.now().as_second();
        let mut claims = json!({
            "iss": self.app.id, "sub": self.app.id, "aud": TOKEN, "exp": now + 300, "jti": secret::random_name().unwrap(),
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    fn assertion(&self, changes: &Json) -> String {
        jsonwebtoken::encode(&header("k1"), &self.claims(changes), &self.key.private).unwrap()
    }

    async fn ask(&self, assertion: &str, scope: &str) -> Answer {
        let fields = [
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_assertion_type", TYPE),
            ("client_assertion", assertion),
        ];
        self.clinic.world.client("demo").form::<AuthFunction>("/auth/oauth/token", &fields, &[]).await
    }

    async fn refused(&self, assertion: &str, what: &str) {
        let answer = self.ask(assertion, "system/Encounter.rs").await;
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (401, &json!("invalid_client")),
            "{what}: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn an_app_with_a_key_comes_by_itself() {
    let backend = Backend::new().await;
    let answer = backend.ask(&backend.assertion(&json!({})), "system/*.cruds user/Encounter.rs openid").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["scope"], "system/Appointment.s system/Encounter.rs");
    assert_eq!(answer.body["expires_in"], 300);
    assert!(answer.body.get("refresh_token").is_none() && answer.body.get("id_token").is_none());
    // For nobody: what needs a person is closed.
    assert_eq!(
        backend.clinic.userinfo(&answer.text("/access_token")).await.refusal(),
        (403, "insufficient-scope")
    );
    let more = backend.ask(&backend.assertion(&json!({})), "system/Patient.rs").await;
    assert_eq!((more.status, &more.body["error"]), (400, &json!("invalid_scope")));
    for aud in [json!("https://app.locum.test/c/demo/auth"), json!([TOKEN]), json!(["x", TOKEN])] {
        let answer = backend.ask(&backend.assertion(&json!({"aud": aud})), "system/Encounter.rs").await;
        assert_eq!(answer.status, 200, "{aud}: {}", answer.body);
    }
}

#[tokio::test]
async fn an_assertion_counts_once() {
    let backend = Backend::new().await;
    let assertion = backend.assertion(&json!({}));
    assert_eq!(backend.ask(&assertion, "system/Encounter.rs").await.status, 200);
    backend.refused(&assertion, "the second time").await;
    backend.clinic.world.advance(SignedDuration::from_mins(5));
    backend.refused(&assertion, "at the last moment").await;
    backend.clinic.world.advance(SignedDuration::from_mins(10));
    let fresh = backend.assertion(&json!({}));
    assert_eq!(backend.ask(&fresh, "system/Encounter.rs").await.status, 200);
    backend.refused(&assertion, "long after").await;
    assert_eq!(backend.clinic.world.count("SELECT count(*) FROM app_assertion").await, 1);
}

#[tokio::test]
async fn claims_that_are_not_ours_are_refused() {
    let backend = Backend::new().await;
    let now = backend.clinic.world.now().as_second();
    for changes in [
        json!({"aud": "https://app.locum.test/c/other/auth/oauth/token"}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"iss": "somebody"}),
        json!({"iss": null}),
        json!({"sub": "00000000-0000-7000-8000-000000000000"}),
        json!({"exp": now - 60}),
        json!({"exp": now + 3_600}),
        json!({"exp": 1e300}),
        json!({"exp": null}),
        json!({"nbf": now + 60}),
        json!({"iat": now + 60}),
        json!({"jti": null}),
        json!({"jti": ""}),
        json!({"jti": "x".repeat(256)}),
    ] {
        backend.refused(&backend.assertion(&changes), &changes.to_string()).await;
    }
    assert_eq!(backend.clinic.world.count("SELECT count(*) FROM app_access").await, 0);
    let trail = backend.clinic.world.audit_trail();
    assert_eq!(trail.iter().filter(|line| *line == "anonymous app-refused").count(), 15);
}

#[tokio::test]
async fn only_the_apps_own_key_and_algorithm_count() {
    let backend = Backend::new().await;
    let claims = backend.claims(&json!({}));
    let text = |value: &Json| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = |alg: &str| format!("{}.{}.", text(&json!({"alg": alg, "kid": "k1"})), text(&claims));
    for alg in ["none", "None", "NONE", "nOnE", "ES384", "HS256"] {
        backend.refused(&unsigned(alg), alg).await;
    }
    let AlgorithmParameters::EllipticCurve(point) = &backend.key.public.algorithm else { panic!("no point") };
    let public = serde_json::to_vec(&backend.key.public).unwrap();
    // The public key as the secret of an algorithm that has secrets.
    for secret in [public, [point.x.as_bytes(), point.y.as_bytes()].concat()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384] {
            let header = Header { kid: Some("k1".to_owned()), ..Header::new(algorithm) };
            let forged = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&secret)).unwrap();
            backend.refused(&forged, "a MAC").await;
        }
    }
    let other = Key::new("k1");
    let forged = jsonwebtoken::encode(&header("k1"), &claims, &other.private).unwrap();
    backend.refused(&forged, "another key").await;
    let renamed = jsonwebtoken::encode(&header("k2"), &claims, &backend.key.private).unwrap();
    backend.refused(&renamed, "another kid").await;
    // Its own key in the header.
    let own = Header { jwk: Some(other.public.clone()), ..header("k1") };
    let forged = jsonwebtoken::encode(&own, &claims, &other.private).unwrap();
    backend.refused(&forged, "a key of its own").await;
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..header("k1") };
    let odd = jsonwebtoken::encode(&critical, &claims, &backend.key.private).unwrap();
    backend.refused(&odd, "what must be understood").await;
    let good = backend.assertion(&json!({}));
    let (head, _) = good.rsplit_once('.').unwrap();
    backend.refused(&format!("{head}.{}", "A".repeat(128)), "another signature").await;
    backend.refused("", "nothing").await;
    backend.refused("a.b.c", "no token").await;
}

#[tokio::test]
async fn an_app_without_a_key_never_comes_by_itself() {
    let clinic = Clinic::new().await;
    let app = clinic.register("secret", "user/Encounter.rs").await;
    let secret = app.secret.clone().unwrap();
    let fields = [
        ("grant_type", "client_credentials"),
        ("scope", "system/Encounter.rs"),
        ("client_id", app.id.as_str()),
        ("client_secret", secret.as_str()),
    ];
    let answer = clinic.world.client("demo").form::<AuthFunction>("/auth/oauth/token", &fields, &[]).await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("unauthorized_client")));
}

#[tokio::test]
async fn keys_may_be_at_the_app() {
    let (clinic, key) = (Clinic::new().await, Key::new("k1"));
    let place = "https://backend.example/keys";
    let scopes = "system/Encounter.rs system/Appointment.s";
    let body = json!({"name": "Backend", "kind": "key", "scopes": scopes, "jwksUri": place});
    let administrator = clinic.administrator().await;
    let answer = administrator.post::<AuthFunction>("/auth/oauth/clients", body.clone()).await;
    assert_eq!(answer.refusal(), (422, "invalid-input"), "nobody is there");
    clinic.world.serve_elsewhere(place, 200, &key.set());
    let app = clinic.register_with(body).await;
    let backend = Backend { clinic, app, key };
    assert_eq!(backend.ask(&backend.assertion(&json!({})), "system/Encounter.rs").await.status, 200);
    // The app has another key now.
    let next = Key::new("k2");
    backend.clinic.world.serve_elsewhere(place, 200, &next.set());
    backend.refused(&backend.assertion(&json!({})), "the key of yesterday").await;
    let fresh = jsonwebtoken::encode(&header("k2"), &backend.claims(&json!({})), &next.private).unwrap();
    assert_eq!(backend.ask(&fresh, "system/Encounter.rs").await.status, 200);
    backend.clinic.world.serve_elsewhere(place, 500, &json!({}));
    let fresh = jsonwebtoken::encode(&header("k2"), &backend.claims(&json!({})), &next.private).unwrap();
    backend.refused(&fresh, "no answer").await;
    assert!(backend.clinic.world.sent_elsewhere().iter().all(|sent| sent.method == Method::GET));
}

#[tokio::test]
async fn keys_that_are_too_weak_or_private_are_not_taken() {
    let clinic = Clinic::new().await;
    let administrator = clinic.administrator().await;
    let good = Key::new("k1").set();
    let with = |change: &dyn Fn(&mut Json)| {
        let mut keys = good.clone();
        change(&mut keys["keys"][0]);
        keys
    };
    for keys in [
        json!({"keys": []}),
        json!({}),
        with(&|key| drop(key.as_object_mut().unwrap().remove("kid"))),
        with(&|key| key["d"] = json!("AAAA")),
        with(&|key| key["use"] = json!("enc")),
        with(&|key| key["crv"] = json!("P-256")),
        with(&|key| key["alg"] = json!("ES256")),
        json!({"keys": [{"kty": "oct", "kid": "k1", "k": "AAAA"}]}),
        json!({"keys": [{"kty": "RSA", "kid": "k1", "e": "AQAB", "n": "A".repeat(171)}]}),
    ] {
        let body = json!({"name": "Backend", "kind": "key", "scopes": "system/Encounter.r", "jwks": keys});
        let answer = administrator.post::<AuthFunction>("/auth/oauth/clients", body).await;
        assert_eq!(answer.refusal(), (422, "invalid-input"), "{keys}");
    }
}
