//! Who somebody is, for an app that they use (OpenID Connect Core §5.3).

use kit::context::Context;
use kit::ids::UserId;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Serialize;

use super::{Place, token};

#[derive(Serialize)]
struct Userinfo {
    sub: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "fhirUser")]
    fhir_user: Option<String>,
}

/// `GET /auth/oauth/userinfo`.
pub(crate) async fn get_userinfo(context: &Context<'_>) -> Result<Reply, Problem> {
    let (staff, place) = (context.staff()?, Place::of(context).await?);
    let granted = |scope: &str| context.caller.grant.as_ref().is_none_or(|grant| grant.scopes.has(scope));
    reply::ok(&Userinfo {
        sub: staff.user,
        name: granted("profile").then(|| staff.name.open().clone()),
        fhir_user: granted("fhirUser").then(|| token::fhir_user(&place, staff.user)),
    })
}
