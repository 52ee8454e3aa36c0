//! Edge function `auth`: the set-up of a clinic, who its staff are, how they sign in, and invitation links.

mod account;
pub mod approval;
mod chosen_password;
pub mod code;
mod country;
mod enrolment;
#[cfg(target_family = "wasm")]
mod entry;
mod external;
mod factors;
pub mod licences;
pub mod link_proof;
pub mod lockout;
mod oauth;
pub mod onboarding;
pub mod password;
mod password_change;
pub mod patient;
mod proof;
pub mod recertification;
mod session;
mod set_up;
mod settings;
pub mod sign_in;
pub mod staff;
pub mod throttle;
pub mod visit;

use kit::context::Context;
use kit::policy::Auth;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::serve::Function;

use external::{identities, provider, question};
use factors::{passkeys, recovery, totp};
use oauth::{authorize, grants, keys, launch, metadata, registration, token, token_state, userinfo};
use patient::{codes, proxies};

/// This component.
#[derive(Clone, Copy, Debug)]
pub struct AuthFunction;

impl Function for AuthFunction {
    type Operation = Auth;

    async fn call(context: &Context<'_>, operation: Auth) -> Result<Reply, Problem> {
        match operation {
            Auth::PutClinic => onboarding::put_clinic(context).await,
            Auth::GetSetUp => set_up::get_set_up(context).await,
            Auth::PutSetUp => set_up::put_set_up(context).await,
            Auth::CreateSession => sign_in::create_session(context).await,
            Auth::CreatePasskeyRequest => sign_in::create_passkey_request(context).await,
            Auth::CreateApproval => approval::create(context).await,
            Auth::GetApproval => approval::get(context).await,
            Auth::ListApprovals => approval::list(context).await,
            Auth::DecideApproval => approval::decide(context).await,
            Auth::CompleteSignIn => sign_in::complete(context).await,
            Auth::GetSession => session::get_session(context).await,
            Auth::DeleteSession => session::delete_session(context).await,
            Auth::ListSessions => session::list_sessions(context).await,
            Auth::DeleteSessions => session::delete_sessions(context).await,
            Auth::CreateProofRequest => proof::create_request(context).await,
            Auth::CreateProof => proof::create(context).await,
            Auth::EndSession => session::end_session(context).await,
            Auth::PutPassword => password_change::put_password(context).await,
            Auth::ListFactors => factors::list_factors(context).await,
            Auth::CreateTotp => totp::create(context).await,
            Auth::ConfirmTotp => totp::confirm(context).await,
            Auth::DeleteTotp => totp::delete(context).await,
            Auth::CreatePasskeyOptions => passkeys::options(context).await,
            Auth::CreatePasskey => passkeys::create(context).await,
            Auth::DeletePasskey => passkeys::delete(context).await,
            Auth::CreateRecoveryCodes => recovery::create(context).await,
            Auth::ListStaff => staff::list_staff(context).await,
            Auth::CreateStaff => staff::create_staff(context).await,
            Auth::PutRoles => staff::put_roles(context).await,
            Auth::UnlockStaff => staff::unlock(context).await,
            Auth::ResetStaff => staff::reset(context).await,
            Auth::EndStaff => staff::leave(context).await,
            Auth::ListRecertifications => recertification::list_recertifications(context).await,
            Auth::CreateRecertification => recertification::create_recertification(context).await,
            Auth::CertifyAccess => recertification::certify_access(context).await,
            Auth::ListLicences => licences::list_licences(context).await,
            Auth::CreateLicence => licences::create_licence(context).await,
            Auth::RemoveLicence => licences::remove_licence(context).await,
            Auth::CreateEnrolment => enrolment::create_enrolment(context).await,
            Auth::CreateVisitSession => visit::create_visit_session(context).await,
            Auth::CreateVisitCode => visit::create_visit_code(context).await,
            Auth::GetSettings => settings::get_settings(context).await,
            Auth::PutSettings => settings::put_settings(context).await,
            Auth::CreatePatientCode => codes::create_code(context).await,
            Auth::CreatePatientSession => codes::create_session(context).await,
            Auth::CreatePatientPasskeyRequest => patient::passkeys::create_request(context).await,
            Auth::CreatePatientPasskeySession => patient::passkeys::create_session(context).await,
            Auth::CreateProxySession => proxies::create_session(context).await,
            Auth::GetPatientSession => patient::get_session(context).await,
            Auth::DeletePatientSession => patient::delete_session(context).await,
            Auth::CreatePatientPasskeyOptions => patient::passkeys::options(context).await,
            Auth::CreatePatientPasskey => patient::passkeys::create(context).await,
            Auth::DeletePatientPasskey => patient::passkeys::delete(context).await,
            Auth::CreateOwnVisitSession => visit::create_own_visit_session(context).await,
            Auth::ListProxies => proxies::list_own(context).await,
            Auth::InviteProxy => proxies::invite_own(context).await,
            Auth::RevokeProxy => proxies::revoke_own(context).await,
            Auth::ListPatientProxies => proxies::list_of_visit(context).await,
            Auth::InvitePatientProxy => proxies::invite_of_visit(context).await,
            Auth::RevokePatientProxy => proxies::revoke_of_visit(context).await,
            Auth::GetOpenidConfiguration => metadata::openid(context).await,
            Auth::GetOauthMetadata => metadata::oauth(context).await,
            Auth::GetSmartConfiguration | Auth::GetFhirSmartConfiguration => metadata::smart(context).await,
            Auth::GetJwks => keys::get_jwks(context).await,
            Auth::CreateToken => token::create_token(context).await,
            Auth::IntrospectToken => token_state::introspect(context).await,
            Auth::RevokeToken => token_state::revoke(context).await,
            Auth::GetUserinfo => userinfo::get_userinfo(context).await,
            Auth::ReviewAuthorization => authorize::review(context).await,
            Auth::CreateAuthorization => authorize::decide(context).await,
            Auth::CreateLaunch => launch::create(context).await,
            Auth::ListLaunchable => launch::list(context).await,
            Auth::ListGrants => grants::list(context).await,
            Auth::EndGrant => grants::end(context).await,
            Auth::ListClients => registration::list(context).await,
            Auth::CreateClient => registration::create(context).await,
            Auth::EndClient => registration::end(context).await,
            Auth::RotateKeys => keys::rotate(context).await,
            Auth::ListSignInOptions => provider::options(context).await,
            Auth::CreateExternalSignIn => question::sign_in(context).await,
            Auth::CompleteExternalSignIn => external::sign_in::complete(context).await,
            Auth::ListIdentities => identities::list(context).await,
            Auth::CreateIdentityLink => question::link(context).await,
            Auth::DeleteIdentity => identities::delete(context).await,
            Auth::ListProviders => provider::list(context).await,
            Auth::CreateProvider => provider::create(context).await,
            Auth::DeleteProvider => provider::delete(context).await,
        }
    }
}
