//! What apps find out by themselves: OpenID Connect Discovery, RFC 8414, SMART App Launch.

use kit::context::Context;
use kit::policy;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde_json::{Value as Json, json};

use super::Place;

/// `GET /auth/.well-known/openid-configuration`.
pub(crate) async fn openid(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut document = common(context).await?;
    let place = Place::of(context).await?;
    extend(
        &mut document,
        json!({
            "userinfo_endpoint": place.endpoint("userinfo"),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES384"],
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "name", "fhirUser"],
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
        }),
    );
    reply::ok(&document)
}

/// `GET /auth/.well-known/oauth-authorization-server`.
pub(crate) async fn oauth(context: &Context<'_>) -> Result<Reply, Problem> {
    reply::ok(&common(context).await?)
}

/// `GET /auth/.well-known/smart-configuration`.
pub(crate) async fn smart(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut document = common(context).await?;
    extend(
        &mut document,
        json!({
            "capabilities": [
                "launch-ehr", "launch-standalone", "client-public", "client-confidential-symmetric",
                "client-confidential-asymmetric", "sso-openid-connect", "context-ehr-patient",
                "context-ehr-encounter", "context-standalone-patient", "context-banner", "permission-offline",
                "permission-patient", "permission-user", "permission-v2",
            ],
        }),
    );
    reply::ok(&document)
}

async fn common(context: &Context<'_>) -> Result<Json, Problem> {
    context.clinic().await?;
    let place = Place::of(context).await?;
    let named =
        ["openid", "profile", "fhirUser", "offline_access", "launch", "launch/patient"].map(str::to_owned);
    let resources = policy::RESOURCES.iter().flat_map(|rule| {
        let people = ["patient", "user"].map(|level| format!("{level}/{}.rs", rule.resource));
        people.into_iter().chain([format!("system/{}.{}", rule.resource, rule.system)])
    });
    let scopes: Vec<String> = named.into_iter().chain(resources).collect();
    let methods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
    let algorithms = ["ES384", "RS384"];
    Ok(json!({
        "issuer": place.issuer(),
        "jwks_uri": place.endpoint("jwks"),
        "authorization_endpoint": place.page("authorize"),
        "token_endpoint": place.endpoint("token"),
        "introspection_endpoint": place.endpoint("introspect"),
        "revocation_endpoint": place.endpoint("revoke"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": &methods[1..],
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
    }))
}

fn extend(document: &mut Json, more: Json) {
    if let (Json::Object(document), Json::Object(more)) = (document, more) {
        document.extend(more);
    }
}
