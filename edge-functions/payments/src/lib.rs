//! Edge function `payments`: turns a hold into an appointment that is paid for, or will be at the clinic.

pub mod confirmation;
#[cfg(target_family = "wasm")]
mod entry;

use kit::context::Context;
use kit::policy::Payments;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::serve::Function;

/// This component.
#[derive(Clone, Copy, Debug)]
pub struct PaymentsFunction;

impl Function for PaymentsFunction {
    type Operation = Payments;

    async fn call(context: &Context<'_>, operation: Payments) -> Result<Reply, Problem> {
        match operation {
            Payments::CreateConfirmation => confirmation::create_confirmation(context).await,
            Payments::CreateOwnConfirmation => confirmation::create_own_confirmation(context).await,
        }
    }
}
