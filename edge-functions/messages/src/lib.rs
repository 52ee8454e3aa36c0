//! Edge function `messages`: what is sent to patients.

#[cfg(target_family = "wasm")]
mod entry;
pub mod link_request;
pub mod outbox;

use kit::context::Context;
use kit::policy::Messages;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::serve::Function;

/// This component.
#[derive(Clone, Copy, Debug)]
pub struct MessagesFunction;

impl Function for MessagesFunction {
    type Operation = Messages;

    async fn call(context: &Context<'_>, operation: Messages) -> Result<Reply, Problem> {
        match operation {
            Messages::CreateLinkRequest => link_request::create_link_request(context).await,
            Messages::ListOutbox => outbox::list_outbox(context).await,
        }
    }
}
