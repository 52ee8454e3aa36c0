//! Apps: from the registration to the last token, and everything that is refused on the way.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

mod apps;

use apps::{App, Clinic, REDIRECT};
use auth::AuthFunction;
use http::Method;
use jiff::SignedDuration;
use kit::policy::Role;
use kit::testing::World;
use serde_json::{Value as Json, json};

const SCOPES: &str =
    "openid fhirUser profile offline_access launch/patient patient/Encounter.rs user/Appointment.s";

#[tokio::test]
async fn an_app_comes_in_by_code_and_goes_on_by_refresh_tokens() {
    let clinic = Clinic::new().await;
    let app = clinic.register("secret", SCOPES).await;
    let patient = clinic.patient.to_string();
    let back = clinic.allow(&app, SCOPES, &[("state", "s&1"), ("nonce", "n-1")]).await;
    assert_eq!(back["state"], "s&1");
    assert_eq!(back["iss"], "https://app.locum.test/c/demo/auth");
    let first = clinic.exchange(&app, &back["code"]).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(first.body["patient"], json!(patient));
    assert_eq!((&first.body["token_type"], &first.body["scope"]), (&json!("Bearer"), &json!(SCOPES)));
    assert_eq!(first.headers["cache-control"], "no-store");

    let claims = clinic.id_token(&first.text("/id_token")).await;
    assert_eq!(claims["iss"], "https://app.locum.test/c/demo/auth");
    assert_eq!((&claims["aud"], &claims["nonce"]), (&json!(app.id), &json!("n-1")));
    assert_eq!(claims["sub"], json!(clinic.doctor.to_string()));
    assert_eq!(
        claims["fhirUser"],
        format!("https://app.locum.test/c/demo/fhir/Practitioner/{}", clinic.doctor)
    );
    assert_eq!(claims["auth_time"], json!(clinic.world.now().as_second()));

    let userinfo = clinic.userinfo(&first.text("/access_token")).await;
    assert_eq!((userinfo.status, &userinfo.body["sub"]), (200, &claims["sub"]));
    let second = clinic.refresh(&app, &first.text("/refresh_token"), None).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert_ne!(second.body["refresh_token"], first.body["refresh_token"]);
    let narrowed = clinic.refresh(&app, &second.text("/refresh_token"), Some("user/Appointment.s")).await;
    assert_eq!(narrowed.body["scope"], "user/Appointment.s");
    assert_eq!(clinic.userinfo(&narrowed.text("/access_token")).await.refusal(), (403, "insufficient-scope"));
    // What was narrowed once is not narrowed for good.
    let wide = clinic.refresh(&app, &narrowed.text("/refresh_token"), None).await;
    assert_eq!(wide.body["scope"], SCOPES);
}

#[tokio::test]
async fn tokens_and_codes_stand_in_no_file() {
    let clinic = Clinic::new().await;
    let app = clinic.register("secret", SCOPES).await;
    let back = clinic.allow(&app, SCOPES, &[]).await;
    let tokens = clinic.exchange(&app, &back["code"]).await;
    let file = std::fs::read(clinic.world.file()).unwrap();
    let log = std::fs::read(clinic.world.file().with_extension("db-wal")).unwrap_or_default();
    let text = format!("{}{}", String::from_utf8_lossy(&file), String::from_utf8_lossy(&log));
    let (access, refresh) = (tokens.text("/access_token"), tokens.text("/refresh_token"));
    for secret in [&access, &refresh, &back["code"], app.secret.as_ref().unwrap()] {
        assert!(!text.contains(secret.as_str()));
    }
}

#[tokio::test]
async fn what_an_authorization_request_must_be() {
    let clinic = Clinic::new().await;
    let app = clinic.register("public", SCOPES).await;
    for (name, value, slug) in [
        ("client_id", "00000000-0000-7000-8000-000000000000", "unknown-app"),
        ("client_id", "x", "unknown-app"),
        ("redirect_uri", "https://app.example/back/", "redirect-not-registered"),
        ("redirect_uri", "https://app.example/back?x=1", "redirect-not-registered"),
        ("redirect_uri", "https://APP.example/back", "redirect-not-registered"),
        ("redirect_uri", "", "redirect-not-registered"),
    ] {
        let query = app.query(SCOPES, &[(name, value)]);
        let answer = clinic.review(&query).await;
        assert_eq!(answer.refusal(), (422, slug), "{name}={value}");
        assert_eq!(clinic.decide(&query, true).await.refusal(), (422, slug), "{name}={value}");
    }
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("scope", "system/Encounter.rs", "invalid_scope"),
        ("scope", "user/Patient.rs", "invalid_scope"),
        ("scope", "", "invalid_scope"),
        ("aud", "https://app.locum.test/c/other/fhir", "invalid_request"),
        ("aud", "", "invalid_request"),
        ("prompt", "none", "interaction_required"),
        ("request", "x", "request_not_supported"),
        ("request_uri", "https://app.example/r", "request_uri_not_supported"),
    ] {
        let query = app.query(SCOPES, &[("state", "kept"), (name, value)]);
        for answer in [clinic.review(&query).await, clinic.decide(&query, true).await] {
            let back = apps::query_of(&answer.text("/redirect"));
            assert_eq!(back["error"], error, "{name}={value}");
            assert_eq!(back["state"], "kept");
            assert!(!back.contains_key("code"));
        }
    }
    let twice = format!("{}&scope=openid", app.query(SCOPES, &[]));
    assert_eq!(clinic.review(&twice).await.status, 422);
    let denied = clinic.decide(&app.query(SCOPES, &[]), false).await;
    assert_eq!(apps::query_of(&denied.text("/redirect"))["error"], "access_denied");
    assert_eq!(clinic.world.count("SELECT count(*) FROM app_grant").await, 0);
    let refused = clinic.world.audit_trail().into_iter().filter(|line| line == "staff app-refused").count();
    assert_eq!(refused, 6 * 2 + 15 * 2);
}

#[tokio::test]
async fn a_person_grants_no_more_than_their_roles_and_the_registration_hold() {
    let clinic = Clinic::new().await;
    let app = clinic.register("public", "openid user/*.rs patient/Encounter.r").await;
    let asked = "openid offline_access user/Encounter.cruds user/Appointment.rs patient/*.rs";
    let granted = async |role: Role| {
        let person = clinic.world.client("demo");
        person.sign_in_as(role).await;
        let answer = person
            .post::<AuthFunction>(
                "/auth/oauth/authorization-requests",
                json!({"query": app.query(asked, &[])}),
            )
            .await;
        let scopes = answer.body["request"]["scopes"].as_array().cloned().unwrap_or_default();
        let text = |scope: &Json| {
            let part = |name: &str| scope[name].as_str().unwrap().to_owned();
            format!("{}/{}.{}", part("level"), part("resource"), part("permissions"))
        };
        scopes.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(
        granted(Role::Doctor).await,
        ["patient/Encounter.r", "user/Appointment.rs", "user/Encounter.rs"]
    );
    assert_eq!(granted(Role::FrontDesk).await, ["user/Appointment.rs"]);
    assert!(granted(Role::Billing).await.is_empty());
}

#[tokio::test]
async fn a_code_works_once_soon_and_for_its_app_alone() {
    let clinic = Clinic::new().await;
    let (app, other) = (clinic.register("public", SCOPES).await, clinic.register("public", SCOPES).await);
    let code = async || clinic.allow(&app, SCOPES, &[]).await["code"].clone();
    let refused = |answer: &kit::testing::Answer| (answer.status, answer.body["error"].clone());
    let bad = (400, json!("invalid_grant"));
    for (name, value) in [
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX"),
        ("redirect_uri", "https://app.example/other"),
        ("code", "nothing"),
        ("client_id", &other.id),
    ] {
        let answer = clinic.token(&app.code_fields(&code().await, &[(name, value)])).await;
        assert_eq!(refused(&answer), bad, "{name}={value}");
    }
    for missing in ["code_verifier", "redirect_uri", "code", "grant_type"] {
        let answer = clinic.token(&app.code_fields(&code().await, &[(missing, "")])).await;
        assert_eq!(refused(&answer), (400, json!("invalid_request")), "{missing}");
    }
    let late = code().await;
    clinic.world.advance(SignedDuration::from_secs(60));
    assert_eq!(refused(&clinic.exchange(&app, &late).await), bad);

    let code = code().await;
    let tokens = clinic.exchange(&app, &code).await;
    assert_eq!(clinic.userinfo(&tokens.text("/access_token")).await.status, 200);
    assert_eq!(refused(&clinic.exchange(&app, &code).await), bad);
    // Whoever has the tokens of a code that came twice may be whom they were stolen by.
    assert_eq!(clinic.userinfo(&tokens.text("/access_token")).await.refusal(), (401, "invalid-token"));
    assert_eq!(refused(&clinic.refresh(&app, &tokens.text("/refresh_token"), None).await), bad);
    assert!(clinic.world.audit_trail().contains(&"anonymous app-token-reused".to_owned()));
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_its_family() {
    let clinic = Clinic::new().await;
    let (app, other) = (clinic.register("public", SCOPES).await, clinic.register("public", SCOPES).await);
    let first = clinic.exchange(&app, &clinic.allow(&app, SCOPES, &[]).await["code"]).await;
    let stolen = first.text("/refresh_token");
    let foreign = clinic.refresh(&other, &stolen, None).await;
    assert_eq!((foreign.status, &foreign.body["error"]), (400, &json!("invalid_grant")));
    let more = clinic.refresh(&app, &stolen, Some("user/Patient.s")).await;
    assert_eq!((more.status, &more.body["error"]), (400, &json!("invalid_scope")));
    // Neither spent it.
    let second = clinic.refresh(&app, &stolen, None).await;
    assert_eq!(second.status, 200, "{}", second.body);
    let again = clinic.refresh(&app, &stolen, None).await;
    assert_eq!((again.status, &again.body["error"]), (400, &json!("invalid_grant")));
    assert_eq!(clinic.refresh(&app, &second.text("/refresh_token"), None).await.status, 400);
    for tokens in [first, second] {
        assert_eq!(clinic.userinfo(&tokens.text("/access_token")).await.refusal(), (401, "invalid-token"));
    }
}

#[tokio::test]
async fn of_many_who_come_with_a_refresh_token_at_once_one_gets_in_and_nobody_stays() {
    let clinic = Clinic::new().await;
    let app = clinic.register("public", SCOPES).await;
    let first = clinic.exchange(&app, &clinic.allow(&app, SCOPES, &[]).await["code"]).await;
    let token = first.text("/refresh_token");
    let mut worlds = Vec::new();
    for _ in 0..8 {
        worlds.push(World::open(clinic.world.file()).await);
    }
    let fields =
        [("grant_type", "refresh_token"), ("client_id", app.id.as_str()), ("refresh_token", token.as_str())];
    let ask = async |world: &World| {
        world.client("demo").form::<AuthFunction>("/auth/oauth/token", &fields, &[]).await
    };
    let [a, b, c, d, e, f, g, h] = &worlds[..] else { panic!("eight worlds") };
    let answers = tokio::join!(ask(a), ask(b), ask(c), ask(d), ask(e), ask(f), ask(g), ask(h));
    let answers = [answers.0, answers.1, answers.2, answers.3, answers.4, answers.5, answers.6, answers.7];
    let in_ = answers.iter().filter(|answer| answer.status == 200).collect::<Vec<_>>();
    assert_eq!(in_.len(), 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    assert_eq!(clinic.userinfo(&in_[0].text("/access_token")).await.refusal(), (401, "invalid-token"));
    assert_eq!(clinic.refresh(&app, &in_[0].text("/refresh_token"), None).await.status, 400);
}

#[tokio::test]
async fn an_app_is_asked_who_it_is() {
    let clinic = Clinic::new().await;
    let app = clinic.register("secret", SCOPES).await;
    let secret = app.secret.clone().unwrap();
    let code = clinic.allow(&app, SCOPES, &[]).await["code"].clone();
    let fields = |more: &[(&str, &str)]| app.code_fields(&code, more);
    let post = async |fields: Vec<(String, String)>, headers: &[(&str, &str)]| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        clinic.world.client("demo").form::<AuthFunction>("/auth/oauth/token", &fields, headers).await
    };
    let wrong = apps::basic(&app.id, "wrong");
    for (more, headers) in [
        (vec![("client_secret", "")], vec![]),
        (vec![("client_secret", "wrong")], vec![]),
        (vec![("client_secret", "")], vec![("authorization", wrong.as_str())]),
        (vec![("client_secret", ""), ("client_id", "nobody")], vec![]),
        (vec![("client_secret", ""), ("client_id", "")], vec![]),
    ] {
        let answer = post(fields(&more), &headers).await;
        assert_eq!((answer.status, &answer.body["error"]), (401, &json!("invalid_client")), "{more:?}");
        assert_eq!(answer.headers["www-authenticate"], r#"Basic realm="apps""#);
    }
    let basic = apps::basic(&app.id, &secret);
    let both = post(fields(&[]), &[("authorization", basic.as_str())]).await;
    assert_eq!((both.status, &both.body["error"]), (400, &json!("invalid_request")));
    let right = post(fields(&[("client_secret", "")]), &[("authorization", basic.as_str())]).await;
    assert_eq!(right.status, 200, "{}", right.body);
    let json = clinic.world.client("demo").post::<AuthFunction>("/auth/oauth/token", json!({})).await;
    assert_eq!((json.status, &json.body["error"]), (400, &json!("invalid_request")));
    let password = [("grant_type", "password"), ("client_id", app.id.as_str()), ("client_secret", &secret)];
    let answer = clinic.world.client("demo").form::<AuthFunction>("/auth/oauth/token", &password, &[]).await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("unsupported_grant_type")));
}

#[tokio::test]
async fn a_token_is_told_about_and_taken_back_by_its_own_app_alone() {
    let clinic = Clinic::new().await;
    let (app, other) = (clinic.register("secret", SCOPES).await, clinic.register("secret", SCOPES).await);
    let public = clinic.register("public", SCOPES).await;
    let tokens = clinic.exchange(&app, &clinic.allow(&app, SCOPES, &[]).await["code"]).await;
    let (access, refresh) = (tokens.text("/access_token"), tokens.text("/refresh_token"));
    let told = clinic.own(&app, "introspect", &access).await;
    assert_eq!((&told.body["active"], &told.body["scope"]), (&json!(true), &json!(SCOPES)));
    assert_eq!(told.body["sub"], json!(clinic.doctor.to_string()));
    assert_eq!(clinic.own(&app, "introspect", &refresh).await.body["active"], true);
    assert_eq!(clinic.own(&other, "introspect", &access).await.body, json!({"active": false}));
    assert_eq!(clinic.own(&public, "introspect", &access).await.status, 401);

    assert_eq!(clinic.own(&other, "revoke", &access).await.status, 200);
    assert_eq!(clinic.own(&other, "revoke", &refresh).await.status, 200);
    assert_eq!(clinic.userinfo(&access).await.status, 200);
    assert_eq!(clinic.own(&app, "revoke", &access).await.status, 200);
    assert_eq!(clinic.userinfo(&access).await.status, 401);
    let next = clinic.refresh(&app, &refresh, None).await;
    assert_eq!(clinic.own(&app, "revoke", &next.text("/refresh_token")).await.status, 200);
    assert_eq!(clinic.userinfo(&next.text("/access_token")).await.status, 401);
    assert_eq!(
        clinic.own(&app, "introspect", &next.text("/access_token")).await.body,
        json!({"active": false})
    );
    assert_eq!(clinic.own(&app, "revoke", "nothing").await.status, 200);
}

#[tokio::test]
async fn an_app_is_opened_for_a_patient_once_and_by_whoever_opened_it() {
    let clinic = Clinic::new().await;
    let app = clinic.register("public", "launch openid patient/Encounter.rs").await;
    let asked = "launch openid patient/Encounter.rs";
    let open = async || {
        let body = json!({"app": app.id, "appointment": clinic.visit.appointment.to_string()});
        let made = clinic.person().post::<AuthFunction>("/auth/oauth/launches", body).await;
        let url = made.text("/url");
        assert!(
            url.starts_with("https://app.example/launch?iss=https%3A%2F%2Fapp.locum.test%2Fc%2Fdemo%2Ffhir&")
        );
        apps::query_of(&url)["launch"].clone()
    };
    let launch = open().await;
    let colleague = clinic.world.client("demo");
    colleague.sign_in_as(Role::Doctor).await;
    let query = app.query(asked, &[("launch", &launch)]);
    let body = json!({"query": query, "allow": true});
    let theirs = colleague.post::<AuthFunction>("/auth/oauth/authorizations", body).await;
    assert_eq!(apps::query_of(&theirs.text("/redirect"))["error"], "invalid_request");

    let back = clinic.allow(&app, asked, &[("launch", &launch)]).await;
    let tokens = clinic.exchange(&app, &back["code"]).await;
    assert_eq!(tokens.body["patient"], json!(clinic.patient.to_string()));
    assert_eq!(tokens.body["encounter"], json!(clinic.visit.encounter.to_string()));
    assert_eq!(tokens.body["need_patient_banner"], true);
    let again = clinic.decide(&query, true).await;
    assert_eq!(apps::query_of(&again.text("/redirect"))["error"], "invalid_request");

    let late = open().await;
    clinic.world.advance(SignedDuration::from_mins(5));
    let answer = clinic.review(&app.query(asked, &[("launch", &late)])).await;
    assert_eq!(apps::query_of(&answer.text("/redirect"))["error"], "invalid_request");
    let without = clinic.review(&app.query(asked, &[])).await;
    assert_eq!(apps::query_of(&without.text("/redirect"))["error"], "invalid_request");
}

#[tokio::test]
async fn a_patient_is_chosen_from_the_clinics_own() {
    let clinic = Clinic::new().await;
    let app = clinic.register("public", SCOPES).await;
    let query = app.query(SCOPES, &[]);
    assert_eq!(clinic.review(&query).await.body["request"]["needsPatient"], true);
    for patient in [json!(null), json!("00000000-0000-7000-8000-000000000000")] {
        let body = json!({"query": query, "allow": true, "patient": patient});
        let answer = clinic.person().post::<AuthFunction>("/auth/oauth/authorizations", body).await;
        assert_eq!(answer.status, 422, "{}", answer.body);
    }
}

#[tokio::test]
async fn who_signed_in_long_ago_is_asked_again() {
    let clinic = Clinic::new().await;
    let app = clinic.register("public", SCOPES).await;
    clinic.world.advance(SignedDuration::from_mins(10));
    for (name, value, again) in
        [("max_age", "700", false), ("max_age", "599", true), ("prompt", "login", true)]
    {
        let query = app.query(SCOPES, &[(name, value)]);
        assert_eq!(clinic.review(&query).await.body["request"]["signInAgain"], again, "{name}={value}");
        let answer = clinic.decide(&query, true).await;
        assert_eq!(
            answer.refusal(),
            if again { (403, "sign-in-again") } else { (201, "") },
            "{name}={value}"
        );
    }
}

#[tokio::test]
async fn keys_change_without_anybody_meeting_a_token_of_an_unknown_one() {
    let clinic = Clinic::new().await;
    let app = clinic.register("public", "openid").await;
    let keys = async || {
        let set = clinic.world.client("demo").get::<AuthFunction>("/auth/oauth/jwks").await;
        let keys = set.body["keys"].as_array().unwrap().clone();
        assert!(keys.iter().all(|key| key.get("d").is_none()), "a private key is shown");
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let kid = async || {
        clinic.sign_in_again().await;
        let tokens = clinic.exchange(&app, &clinic.allow(&app, "openid", &[]).await["code"]).await;
        let token = tokens.text("/id_token");
        clinic.id_token(&token).await;
        jsonwebtoken::decode_header(&token).unwrap().kid.unwrap()
    };
    let first = kid().await;
    assert_eq!(keys().await, std::slice::from_ref(&first));
    clinic.world.advance(SignedDuration::from_hours(90 * 24));
    assert_eq!(kid().await, first, "a key signs that nobody has seen yet");
    let published = keys().await;
    assert_eq!(published.len(), 2);
    clinic.world.advance(SignedDuration::from_hours(24));
    let second = kid().await;
    assert!(second != first && published.contains(&second));
    assert!(keys().await.contains(&first), "the old key is gone before its tokens are");
    clinic.world.advance(SignedDuration::from_hours(24));
    assert_eq!(kid().await, second);
    assert_eq!(keys().await, std::slice::from_ref(&second));
    let gone = "SELECT count(*) FROM app_key WHERE retired_at IS NOT NULL AND private_key IS NULL";
    assert_eq!(clinic.world.count(gone).await, 1);

    let administrator = clinic.administrator().await;
    let made = administrator.post::<AuthFunction>("/auth/oauth/keys", json!({})).await;
    assert_eq!(keys().await, [made.text("/kid")]);
    assert_eq!(kid().await, made.text("/kid"));
}

#[tokio::test]
async fn who_is_shut_out_is_out_at_once() {
    let clinic = Clinic::new().await;
    let enter = async |app: &App| {
        clinic.world.advance(SignedDuration::from_secs(1));
        clinic.exchange(app, &clinic.allow(app, SCOPES, &[]).await["code"]).await
    };
    let (app, other) = (clinic.register("public", SCOPES).await, clinic.register("public", SCOPES).await);
    let (one, two, three) = (enter(&app).await, enter(&app).await, enter(&other).await);
    let access = |answer: &kit::testing::Answer| answer.text("/access_token");

    let listed = clinic.person().get::<AuthFunction>("/auth/oauth/grants").await;
    assert_eq!(listed.body["grants"].as_array().unwrap().len(), 3, "{}", listed.body);
    let newest = format!("/auth/oauth/grants/{}", listed.text("/grants/2/id"));
    let colleague = clinic.world.client("demo");
    colleague.sign_in_as(Role::Doctor).await;
    assert_eq!(colleague.send::<AuthFunction>(Method::DELETE, &newest, None, &[]).await.status, 404);
    assert_eq!(clinic.person().send::<AuthFunction>(Method::DELETE, &newest, None, &[]).await.status, 204);
    assert_eq!(clinic.userinfo(&access(&one)).await.status, 401);
    assert_eq!(clinic.userinfo(&access(&two)).await.status, 200);

    let administrator = clinic.administrator().await;
    let path = format!("/auth/oauth/clients/{}", app.id);
    assert_eq!(administrator.send::<AuthFunction>(Method::DELETE, &path, None, &[]).await.status, 204);
    assert_eq!(clinic.userinfo(&access(&two)).await.status, 401);
    assert_eq!(clinic.refresh(&app, &two.text("/refresh_token"), None).await.status, 401);
    assert_eq!(clinic.review(&app.query(SCOPES, &[])).await.refusal(), (422, "unknown-app"));

    assert_eq!(clinic.userinfo(&access(&three)).await.status, 200);
    let path = format!("/auth/staff/{}/reset", clinic.doctor);
    assert_eq!(administrator.post::<AuthFunction>(&path, json!({})).await.status, 201);
    assert_eq!(clinic.userinfo(&access(&three)).await.status, 401);
    assert_eq!(clinic.refresh(&other, &three.text("/refresh_token"), None).await.status, 400);
}

#[tokio::test]
async fn an_app_is_registered_by_exact_addresses_and_scopes_that_mean_something() {
    let clinic = Clinic::new().await;
    let administrator = clinic.administrator().await;
    let good = json!({
        "name": "Some app", "kind": "public", "scopes": "openid user/Encounter.rs",
        "redirectUris": [REDIRECT, "http://localhost:8000/back", "http://127.0.0.1/back"],
    });
    let made = administrator.post::<AuthFunction>("/auth/oauth/clients", good.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    for (field, value) in [
        ("redirectUris", json!([])),
        ("redirectUris", json!(["http://app.example/back"])),
        ("redirectUris", json!(["https://app.example/back#x"])),
        ("redirectUris", json!(["https://*.example/back"])),
        ("redirectUris", json!(["https://somebody@app.example/back"])),
        ("redirectUris", json!(["myapp://back"])),
        ("redirectUris", json!(["/back"])),
        ("redirectUris", json!(["javascript:alert(1)"])),
        ("redirectUris", json!(["https://app.example/a\nhttps://evil.example"])),
        ("launchUri", json!("http://app.example")),
        ("scopes", json!("openid nonsense")),
        ("scopes", json!("user/Encounter.read")),
        ("scopes", json!("system/Encounter.rs")),
        ("scopes", json!("")),
        ("kind", json!("key")),
        ("kind", json!("other")),
        ("jwks", json!({"keys": []})),
        ("name", json!("")),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let answer = administrator.post::<AuthFunction>("/auth/oauth/clients", body).await;
        assert_eq!(answer.refusal(), (422, "invalid-input"), "{field}: {value}");
    }
    let listed = administrator.get::<AuthFunction>("/auth/oauth/clients").await;
    assert_eq!(listed.body["clients"].as_array().unwrap().len(), 1);
    assert_eq!(listed.body["clients"][0]["redirectUris"], good["redirectUris"]);
}
