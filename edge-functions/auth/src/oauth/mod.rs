//! Apps: OAuth 2.1 and SMART App Launch 2.2. Each clinic is an issuer of its own.
//!
//! The person's side (`authorize`, `launch`) speaks JSON with our own pages, the app's side (`token`, `introspect`,
//! `revoke`) forms and errors as OAuth has them. What a token opens is decided where every request is: by the policy
//! table, in `kit`.

pub(crate) mod authorize;
mod client;
mod client_auth;
pub(crate) mod client_keys;
mod grant;
pub(crate) mod grants;
pub(crate) mod jwt;
pub(crate) mod keys;
pub(crate) mod launch;
pub(crate) mod metadata;
pub(crate) mod pkce;
mod refusal;
pub(crate) mod registration;
mod request;
pub(crate) mod token;
pub(crate) mod token_state;
pub(crate) mod userinfo;

pub(crate) use grant::revoke_all_of;
pub(crate) use request::Parameters;

use kit::context::Context;
use kit::problem::Problem;

/// The clinic's name as an issuer, and what apps find below it.
pub(crate) struct Place {
    /// Origin and clinic.
    base: String,
    pages: String,
}

impl Place {
    pub(crate) async fn of(context: &Context<'_>) -> Result<Self, Problem> {
        let pages = context.variable("pages_origin").await?;
        let clinic = &context.clinic;
        Ok(Self { base: format!("{pages}/c/{clinic}"), pages: format!("{pages}/clinic/{clinic}") })
    }

    /// `iss`.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/auth", self.base)
    }

    /// An endpoint of the issuer.
    pub(crate) fn endpoint(&self, name: &str) -> String {
        format!("{}/auth/oauth/{name}", self.base)
    }

    /// What SMART calls `aud`, and `iss` in a launch: where the clinic's FHIR resources are.
    pub(crate) fn fhir(&self) -> String {
        format!("{}/fhir", self.base)
    }

    /// A page of the clinic's.
    pub(crate) fn page(&self, name: &str) -> String {
        format!("{}/{name}", self.pages)
    }
}
