//! Edge function `records`: encounters with their notes and calls, what patients answer and agree to before.

pub mod call;
pub mod consent;
pub mod emergency;
pub mod encounter;
#[cfg(target_family = "wasm")]
mod entry;
pub mod intake;
pub mod precondition;
mod reports;
mod visit;

use kit::context::Context;
use kit::policy::Records;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::serve::Function;

/// This component.
#[derive(Clone, Copy, Debug)]
pub struct RecordsFunction;

impl Function for RecordsFunction {
    type Operation = Records;

    async fn call(context: &Context<'_>, operation: Records) -> Result<Reply, Problem> {
        match operation {
            Records::GetEncounter => encounter::get_encounter(context).await,
            Records::PutNote => encounter::put_note(context).await,
            Records::GetCall => call::get_call(context).await,
            Records::CreateEmergencyAccess => emergency::create(context).await,
            Records::GetVisitIntake => intake::get_visit_intake(context).await,
            Records::PutVisitIntake => intake::put_visit_intake(context).await,
            Records::GetIntake => intake::get_intake(context).await,
            Records::GetVisitConsent => consent::get_visit_consent(context).await,
            Records::GiveConsent => consent::give_consent(context).await,
            Records::WithdrawConsent => consent::withdraw_consent(context).await,
            Records::GetConsent => consent::get_consent(context).await,
            Records::AttestConsent => consent::attest_consent(context).await,
            Records::OverrideConsent => consent::override_consent(context).await,
            Records::CreateCallEvents => call::create_call_events(context).await,
        }
    }
}
