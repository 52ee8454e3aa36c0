//! Somebody else vouches for staff. The provider here is a few documents and a key of its own; a whole one, of other
//! people's, is in the browser tests.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

mod apps;

use std::collections::BTreeMap;

use apps::{Clinic, query_of};
use auth::AuthFunction;
use http::Method;
use jiff::SignedDuration;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kit::cookies;
use kit::policy::Role;
use kit::secret;
use kit::testing::{Answer, Client};
use p384::pkcs8::EncodePrivateKey as _;
use serde_json::{Value as Json, json};

const ISSUER: &str = "https://login.example";
const CLIENT: &str = "locum";

struct World {
    clinic: Clinic,
    provider: String,
    key: EncodingKey,
}

fn discovery() -> Json {
    json!({
        "issuer": ISSUER, "authorization_endpoint": "https://login.example/authorize",
        "token_endpoint": "https://login.example/token", "jwks_uri": "https://login.example/keys",
    })
}

fn new_provider(second_factor: &[&str]) -> Json {
    json!({"name": "Hospital login", "issuer": ISSUER, "clientId": CLIENT, "clientSecret": "s+ecret",
           "secondFactor": second_factor})
}

impl World {
    async fn new(second_factor: &[&str]) -> Self {
        let clinic = Clinic::new().await;
        clinic.world.serve_elsewhere(
            &format!("{ISSUER}/.well-known/openid-configuration"),
            200,
            &discovery(),
        );
        let administrator = clinic.administrator().await;
        let body = new_provider(second_factor);
        let made = administrator.post::<AuthFunction>("/auth/identity-providers", body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        assert_eq!(made.body["redirectUri"], "https://app.locum.test/clinic/demo/external");
        let key = p384::SecretKey::from_slice(&secret::random::<48>().unwrap()).unwrap();
        let key = EncodingKey::from_ec_der(key.to_pkcs8_der().unwrap().as_bytes());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES384).unwrap();
        public.common.key_id = Some("k1".to_owned());
        clinic.world.serve_elsewhere("https://login.example/keys", 200, &json!({"keys": [public]}));
        Self { provider: made.text("/id"), clinic, key }
    }

    async fn begin(&self, client: &Client<'_>, path: &str) -> BTreeMap<String, String> {
        let begun = client.post::<AuthFunction>(path, json!({"provider": self.provider})).await;
        assert_eq!(begun.status, 201, "{}", begun.body);
        assert!(begun.text("/url").starts_with("https://login.example/authorize?"), "{}", begun.body);
        query_of(&begun.text("/url"))
    }

    fn id_token(&self, asked: &BTreeMap<String, String>, changes: &Json) -> Json {
        let now = self.clinic.world.now().as_second();
        let mut claims = json!({
            "iss": ISSUER, "sub": "mira@hospital", "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": asked["nonce"],
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    fn answer_with(&self, claims: &Json) {
        let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::ES384) };
        self.answer(&jsonwebtoken::encode(&header, claims, &self.key).unwrap());
    }

    fn answer(&self, token: &str) {
        let body = json!({"access_token": "x", "token_type": "Bearer", "id_token": token});
        self.clinic.world.serve_elsewhere("https://login.example/token", 200, &body);
    }

    async fn come_back(&self, client: &Client<'_>, query: &str) -> Answer {
        client.post::<AuthFunction>("/auth/external-sign-ins/answer", json!({"query": query})).await
    }

    /// A whole round, with these claims.
    async fn round(&self, client: &Client<'_>, path: &str, changes: &Json) -> Answer {
        let asked = self.begin(client, path).await;
        self.answer_with(&self.id_token(&asked, changes));
        self.come_back(client, &format!("code=c&state={}", asked["state"])).await
    }

    async fn link(&self) {
        let linked = self.round(&self.clinic.person(), "/auth/external-identities", &json!({})).await;
        assert_eq!((linked.status, &linked.body), (200, &json!({"linked": true})));
    }

    async fn sign_in(&self, changes: &Json) -> Answer {
        self.round(&self.clinic.world.client("demo"), "/auth/external-sign-ins", changes).await
    }
}

#[tokio::test]
async fn an_account_is_tied_by_its_owner_and_opened_by_the_others_word() {
    let world = World::new(&["mfa"]).await;
    assert_eq!(world.sign_in(&json!({})).await.refusal(), (401, "external-unknown"));
    world.link().await;
    let sent = world.clinic.world.sent_elsewhere();
    let asked = sent.iter().find(|sent| sent.url.ends_with("/token")).unwrap();
    assert!(
        asked.headers.contains(&("authorization", apps::basic(CLIENT, "s%2Becret"))),
        "{:?}",
        asked.headers
    );
    let form: BTreeMap<_, _> = form_urlencoded::parse(&asked.body).into_owned().collect();
    assert_eq!((form["code"].as_str(), form["code_verifier"].len()), ("c", 43));

    let browser = world.clinic.world.client("demo");
    let inside = world.round(&browser, "/auth/external-sign-ins", &json!({"amr": ["pwd", "mfa"]})).await;
    assert_eq!((inside.status, inside.body.get("next")), (201, None), "{}", inside.body);
    assert_eq!(inside.body["user"]["id"], json!(world.clinic.doctor.to_string()));
    assert!(browser.cookie(cookies::STAFF).is_some() && browser.cookie(cookies::EXTERNAL).is_none());
    assert_eq!(browser.get::<AuthFunction>("/auth/session").await.status, 200);
    let trail = world.clinic.world.audit_trail();
    assert!(
        trail.ends_with(&["anonymous sign-in-vouched".to_owned(), "anonymous sign-in".to_owned()]),
        "{trail:?}"
    );

    let list = browser.get::<AuthFunction>("/auth/external-identities").await;
    assert_eq!(list.body["identities"][0]["name"], "Hospital login");
    let path = format!("/auth/external-identities/{}", world.provider);
    assert_eq!(browser.send::<AuthFunction>(Method::DELETE, &path, None, &[]).await.status, 204);
    assert_eq!(world.sign_in(&json!({"amr": ["mfa"]})).await.refusal(), (401, "external-unknown"));
}

#[tokio::test]
async fn a_second_factor_is_asked_for_unless_theirs_counts() {
    let world = World::new(&["mfa", "urn:gold"]).await;
    world.link().await;
    for changes in [json!({}), json!({"amr": ["pwd"]}), json!({"acr": "mf"}), json!({"amr": ["MFA"]})] {
        let owing = world.sign_in(&changes).await;
        assert_eq!((owing.status, &owing.body["next"]), (201, &json!("enrolment")), "{changes}");
    }
    for changes in [json!({"amr": ["mfa"]}), json!({"acr": "urn:gold"})] {
        let inside = world.sign_in(&changes).await;
        assert_eq!((inside.status, inside.body.get("next")), (201, None), "{changes}");
    }
}

#[tokio::test]
async fn claims_that_are_not_for_this_sign_in_are_refused() {
    let world = World::new(&[]).await;
    world.link().await;
    let now = world.clinic.world.now().as_second();
    for changes in [
        json!({"iss": "https://login.example/"}),
        json!({"aud": "somebody"}),
        json!({"aud": [CLIENT, "somebody"]}),
        json!({"aud": [CLIENT, "somebody"], "azp": "somebody"}),
        json!({"azp": "somebody"}),
        json!({"exp": now - 60}),
        json!({"exp": null}),
        json!({"nbf": now + 60}),
        json!({"iat": now + 60}),
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"sub": ""}),
    ] {
        assert_eq!(world.sign_in(&changes).await.refusal(), (401, "external-refused"), "{changes}");
    }
    let good = world.sign_in(&json!({"aud": [CLIENT, "somebody"], "azp": CLIENT})).await;
    assert_eq!(good.status, 201, "{}", good.body);
    let trail = world.clinic.world.audit_trail();
    assert_eq!(trail.iter().filter(|line| *line == "anonymous sign-in-failed").count(), 12);
}

#[tokio::test]
async fn only_their_key_counts() {
    let world = World::new(&[]).await;
    world.link().await;
    let client = world.clinic.world.client("demo");
    let other = p384::SecretKey::from_slice(&secret::random::<48>().unwrap()).unwrap();
    let other = EncodingKey::from_ec_der(other.to_pkcs8_der().unwrap().as_bytes());
    for (header, key) in [
        (Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::ES384) }, &other),
        (Header { kid: Some("k2".to_owned()), ..Header::new(Algorithm::ES384) }, &world.key),
        (
            Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) },
            &EncodingKey::from_secret(b"s+ecret"),
        ),
    ] {
        let asked = world.begin(&client, "/auth/external-sign-ins").await;
        world.answer(&jsonwebtoken::encode(&header, &world.id_token(&asked, &json!({})), key).unwrap());
        let answer = world.come_back(&client, &format!("code=c&state={}", asked["state"])).await;
        assert_eq!(answer.refusal(), (401, "external-refused"), "{header:?}");
    }
}

#[tokio::test]
async fn an_answer_is_the_browsers_that_asked_and_comes_once() {
    let world = World::new(&["mfa"]).await;
    world.link().await;
    let (client, other) = (world.clinic.world.client("demo"), world.clinic.world.client("demo"));
    let sent = |world: &World| {
        world.clinic.world.sent_elsewhere().iter().filter(|sent| sent.url.ends_with("/token")).count()
    };
    let asked = world.begin(&client, "/auth/external-sign-ins").await;
    world.answer_with(&world.id_token(&asked, &json!({"amr": ["mfa"]})));
    let query = format!("code=c&state={}", asked["state"]);
    let before = sent(&world);
    assert_eq!(world.come_back(&other, &query).await.refusal(), (401, "external-refused"), "another browser");
    // One of their own to another question.
    world.begin(&other, "/auth/external-sign-ins").await;
    assert_eq!(
        world.come_back(&other, &query).await.refusal(),
        (401, "external-refused"),
        "another question"
    );
    assert_eq!(sent(&world), before, "a code was sent that is nobody's here");
    assert_eq!(world.come_back(&client, &query).await.status, 201);
    assert_eq!(world.come_back(&client, &query).await.refusal(), (401, "external-refused"), "twice");
    for (what, right_state) in [
        ("code=c", false),
        ("code=c&state=x", false),
        ("error=access_denied", true),
        ("iss=https://evil.example&code=c", true),
    ] {
        let asked = world.begin(&client, "/auth/external-sign-ins").await;
        world.answer_with(&world.id_token(&asked, &json!({})));
        let state = if right_state { format!("&state={}", asked["state"]) } else { String::new() };
        let answer = world.come_back(&client, &format!("{what}{state}")).await;
        assert_eq!(answer.refusal(), (401, "external-refused"), "{what}");
    }
    let asked = world.begin(&client, "/auth/external-sign-ins").await;
    world.answer_with(&world.id_token(&asked, &json!({})));
    world.clinic.world.advance(SignedDuration::from_mins(10));
    let late = world.come_back(&client, &format!("code=c&state={}", asked["state"])).await;
    assert_eq!(late.refusal(), (401, "external-refused"), "too late");
}

#[tokio::test]
async fn an_account_elsewhere_is_one_persons_here() {
    let world = World::new(&["mfa"]).await;
    world.link().await;
    let colleague = world.clinic.world.client("demo");
    colleague.sign_in_as(Role::Nurse).await;
    let taken = world.round(&colleague, "/auth/external-identities", &json!({})).await;
    assert_eq!(taken.refusal(), (409, "external-taken"));
    let own = world.round(&colleague, "/auth/external-identities", &json!({"sub": "nora@hospital"})).await;
    assert_eq!(own.status, 200, "{}", own.body);
    // Whoever leaves, or begins anew, is not opened by it.
    let administrator = world.clinic.administrator().await;
    let path = format!("/auth/staff/{}/leave", world.clinic.doctor);
    assert_eq!(administrator.post::<AuthFunction>(&path, json!({})).await.status, 204);
    assert_eq!(world.sign_in(&json!({"amr": ["mfa"]})).await.refusal(), (401, "external-unknown"));
}

#[tokio::test]
async fn a_provider_is_who_it_says_and_goes_with_all_that_it_vouches_for() {
    let world = World::new(&[]).await;
    world.link().await;
    let administrator = world.clinic.administrator().await;
    let post = async |body: Json| administrator.post::<AuthFunction>("/auth/identity-providers", body).await;
    assert_eq!(post(new_provider(&[])).await.refusal(), (409, "provider-exists"));
    let mut elsewhere = new_provider(&[]);
    elsewhere["issuer"] = json!("https://nobody.example");
    assert_eq!(post(elsewhere.clone()).await.refusal(), (422, "invalid-input"), "nobody is there");
    let place = "https://nobody.example/.well-known/openid-configuration";
    world.clinic.world.serve_elsewhere(place, 200, &discovery());
    assert_eq!(post(elsewhere.clone()).await.refusal(), (422, "invalid-input"), "another name");
    let mut plain = discovery();
    plain["issuer"] = json!("https://nobody.example");
    plain["token_endpoint"] = json!("http://nobody.example/token");
    world.clinic.world.serve_elsewhere(place, 200, &plain);
    assert_eq!(post(elsewhere).await.refusal(), (422, "invalid-input"), "in the clear");
    let listed = administrator.get::<AuthFunction>("/auth/identity-providers").await;
    assert_eq!(listed.body["providers"].as_array().unwrap().len(), 1);
    assert!(!listed.body.to_string().contains("s+ecret"));

    let path = format!("/auth/identity-providers/{}", world.provider);
    assert_eq!(administrator.send::<AuthFunction>(Method::DELETE, &path, None, &[]).await.status, 204);
    assert_eq!(administrator.send::<AuthFunction>(Method::DELETE, &path, None, &[]).await.status, 404);
    let body = json!({"provider": world.provider});
    let client = world.clinic.world.client("demo");
    assert_eq!(client.post::<AuthFunction>("/auth/external-sign-ins", body).await.status, 404);
}
