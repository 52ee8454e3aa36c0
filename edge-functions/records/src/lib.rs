//! Edge function `records`: encounters, their notes and their calls.

pub mod call;
pub mod emergency;
pub mod encounter;
#[cfg(target_family = "wasm")]
mod entry;
pub mod precondition;
mod reports;

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
            Records::CreateCallEvents => call::create_call_events(context).await,
        }
    }
}
