//! Edge function `tokens`: mints the token that opens the room of a visit.

mod asker;
pub mod claims;
#[cfg(target_family = "wasm")]
mod entry;
pub mod join;
pub mod membership;
pub mod nodes;

use kit::context::Context;
use kit::policy::Tokens;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::serve::Function;

/// This component.
#[derive(Clone, Copy, Debug)]
pub struct TokensFunction;

impl Function for TokensFunction {
    type Operation = Tokens;

    async fn call(context: &Context<'_>, operation: Tokens) -> Result<Reply, Problem> {
        match operation {
            Tokens::CreateJoinToken => join::create_join_token(context).await,
            Tokens::GetMembership => membership::get_membership(context).await,
            Tokens::LeaveCall => membership::leave_call(context).await,
        }
    }
}
