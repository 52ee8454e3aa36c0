//! Edge function `auth`: the set-up of a clinic, staff sign-in, and invitation links.

#[cfg(target_family = "wasm")]
mod entry;
pub mod onboarding;
pub mod password;
pub mod staff;
pub mod visit;

use kit::context::Context;
use kit::policy::Auth;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::serve::Function;

/// This component.
#[derive(Clone, Copy, Debug)]
pub struct AuthFunction;

impl Function for AuthFunction {
    type Operation = Auth;

    async fn call(context: &Context<'_>, operation: Auth) -> Result<Reply, Problem> {
        match operation {
            Auth::PutClinic => onboarding::put_clinic(context).await,
            Auth::CreateSession => staff::create_session(context).await,
            Auth::GetSession => staff::get_session(context).await,
            Auth::DeleteSession => staff::delete_session(context).await,
            Auth::CreateVisitSession => visit::create_visit_session(context).await,
        }
    }
}
