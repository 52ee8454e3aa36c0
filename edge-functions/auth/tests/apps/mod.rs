//! A clinic with a doctor who uses apps.

#![allow(dead_code, reason = "no test uses all of it")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use auth::AuthFunction;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kit::cookies;
use kit::ids::{PatientId, UserId};
use kit::policy::Role;
use kit::secret::Secret;
use kit::testing::{Answer, Booked, Client, Seeded, World};
use serde_json::{Value as Json, json};

pub(crate) const REDIRECT: &str = "https://app.example/back";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const FHIR: &str = "https://app.locum.test/c/demo/fhir";

pub(crate) struct Clinic {
    pub(crate) world: World,
    pub(crate) seeded: Seeded,
    pub(crate) doctor: UserId,
    pub(crate) visit: Booked,
    pub(crate) patient: PatientId,
    cookie: RefCell<String>,
}

pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) secret: Option<String>,
}

impl Clinic {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let seeded = world.seed("demo", "Europe/Berlin").await;
        let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
        let (patient, doctor) = (world.patient_of(&visit).await, seeded.doctor);
        let clinic = Self { world, seeded, doctor, visit, patient, cookie: RefCell::default() };
        clinic.sign_in_again().await;
        clinic
    }

    pub(crate) async fn sign_in_again(&self) {
        let client = self.world.client("demo");
        client.begin_session(self.doctor).await;
        *self.cookie.borrow_mut() = client.cookie(cookies::STAFF).unwrap();
    }

    /// The doctor's browser.
    pub(crate) fn person(&self) -> Client<'_> {
        let client = self.world.client("demo");
        client.set_cookie(cookies::STAFF, &self.cookie.borrow());
        client
    }

    pub(crate) async fn administrator(&self) -> Client<'_> {
        let client = self.world.client("demo");
        client.sign_in_as(Role::ClinicAdmin).await;
        client
    }

    pub(crate) async fn register(&self, kind: &str, scopes: &str) -> App {
        let launch = "https://app.example/launch";
        self.register_with(json!({
            "name": "Some app", "kind": kind, "scopes": scopes, "redirectUris": [REDIRECT, "https://app.example/other"],
            "launchUri": launch,
        }))
        .await
    }

    pub(crate) async fn register_with(&self, body: Json) -> App {
        let administrator = self.administrator().await;
        let made = administrator.post::<AuthFunction>("/auth/oauth/clients", body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        App { id: made.text("/id"), secret: made.body["secret"].as_str().map(str::to_owned) }
    }

    pub(crate) async fn review(&self, query: &str) -> Answer {
        let body = json!({"query": query});
        self.person().post::<AuthFunction>("/auth/oauth/authorization-requests", body).await
    }

    pub(crate) async fn decide(&self, query: &str, allow: bool) -> Answer {
        let body = json!({"query": query, "allow": allow, "patient": self.patient.to_string()});
        self.person().post::<AuthFunction>("/auth/oauth/authorizations", body).await
    }

    /// What the app's own address is told when the doctor says yes.
    pub(crate) async fn allow(
        &self,
        app: &App,
        scopes: &str,
        more: &[(&str, &str)],
    ) -> BTreeMap<String, String> {
        let answer = self.decide(&app.query(scopes, more), true).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let redirect = answer.text("/redirect");
        assert!(redirect.starts_with(&format!("{REDIRECT}?code=")), "{redirect}");
        query_of(&redirect)
    }

    pub(crate) async fn token(&self, fields: &[(String, String)]) -> Answer {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        self.world.client("demo").form::<AuthFunction>("/auth/oauth/token", &fields, &[]).await
    }

    pub(crate) async fn exchange(&self, app: &App, code: &str) -> Answer {
        self.token(&app.code_fields(code, &[])).await
    }

    pub(crate) async fn refresh(&self, app: &App, token: &str, scope: Option<&str>) -> Answer {
        let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
        fields.extend(scope.map(|scope| ("scope", scope)));
        self.token(&app.fields(&fields)).await
    }

    /// An app says something about a token.
    pub(crate) async fn own(&self, app: &App, what: &str, token: &str) -> Answer {
        let fields = app.fields(&[("token", token)]);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let path = format!("/auth/oauth/{what}");
        self.world.client("demo").form::<AuthFunction>(&path, &fields, &[]).await
    }

    pub(crate) async fn userinfo(&self, token: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let client = self.world.client("demo");
        client.send::<AuthFunction>(Method::GET, "/auth/oauth/userinfo", None, &headers).await
    }

    /// What an id token says, verified with the published keys.
    pub(crate) async fn id_token(&self, token: &str) -> Json {
        let set = self.world.client("demo").get::<AuthFunction>("/auth/oauth/jwks").await;
        let keys: JwkSet = serde_json::from_value(set.body).unwrap();
        let header = jsonwebtoken::decode_header(token).unwrap();
        let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::ES384);
        // The world's clock is not the machine's.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Json>(token, &key, &validation).unwrap().claims;
        assert_eq!(claims["exp"].as_i64().unwrap(), self.world.now().as_second() + 600);
        claims
    }
}

impl App {
    /// The query of an authorization request; an empty value leaves a parameter out.
    pub(crate) fn query(&self, scopes: &str, more: &[(&str, &str)]) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Secret::presented(VERIFIER).hash());
        let fields = [
            ("response_type", "code"),
            ("client_id", self.id.as_str()),
            ("redirect_uri", REDIRECT),
            ("scope", scopes),
            ("aud", FHIR),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        form_urlencoded::Serializer::new(String::new()).extend_pairs(changed(&fields, more)).finish()
    }

    pub(crate) fn code_fields(&self, code: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        changed(&as_strs(&self.fields(&fields)), more)
    }

    fn fields(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let secret = self.secret.as_deref().unwrap_or_default();
        changed(&[("client_id", self.id.as_str()), ("client_secret", secret)], more)
    }
}

fn as_strs(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Fields with others in place of some of them; without a value, left out.
pub(crate) fn changed(fields: &[(&str, &str)], more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: BTreeMap<&str, &str> = fields.iter().copied().collect();
    all.extend(more.iter().copied());
    let given = all.into_iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(crate) fn query_of(url: &str) -> BTreeMap<String, String> {
    let (_, query) = url.split_once('?').unwrap();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}
