//! Edge function `messages`: what is sent to patients.

pub mod bounces;
pub mod contact;
pub mod deliveries;
#[cfg(target_family = "wasm")]
mod entry;
pub mod link_request;
pub mod missing;
pub mod opt_out;
pub mod outbox;
pub mod quiet;
pub mod recalls;
pub mod reminders;
pub mod rules;
pub mod settings;
pub mod short_hooks;
pub mod threads;
pub mod work;

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
            Messages::CreateDeliveries => deliveries::create_deliveries(context).await,
            Messages::PlanReminders => reminders::plan_reminders(context).await,
            Messages::ListMessageWork => work::list_message_work(context).await,
            Messages::ResolveMessage => work::resolve_message(context).await,
            Messages::GetMessageSettings => settings::get_message_settings(context).await,
            Messages::PutMessageSettings => settings::put_message_settings(context).await,
            Messages::ListThreads => threads::list_threads(context).await,
            Messages::GetThread => threads::get_thread(context).await,
            Messages::CreateThreadMessage => threads::create_thread_message(context).await,
            Messages::GetOwnThread => threads::get_own_thread(context).await,
            Messages::CreateOwnThreadMessage => threads::create_own_thread_message(context).await,
            Messages::CreateRecall => recalls::create_recall(context).await,
            Messages::ListRecalls => recalls::list_recalls(context).await,
            Messages::ContactRecall => recalls::contact_recall(context).await,
            Messages::CloseRecall => recalls::close_recall(context).await,
            Messages::RunRecalls => recalls::run_recalls(context).await,
            Messages::ListRecallRules => rules::list_recall_rules(context).await,
            Messages::CreateRecallRule => rules::create_recall_rule(context).await,
            Messages::EndRecallRule => rules::end_recall_rule(context).await,
            Messages::GetContact => contact::get_contact(context).await,
            Messages::PutContact => contact::put_contact(context).await,
            Messages::GetVisitContact => contact::get_visit_contact(context).await,
            Messages::PutVisitContact => contact::put_visit_contact(context).await,
            Messages::ListMissing => missing::list_missing(context).await,
            Messages::ReceiveSmsStatus => short_hooks::receive_sms_status(context).await,
            Messages::ReceiveSms => short_hooks::receive_sms(context).await,
            Messages::ReceiveBounce => bounces::receive_bounce(context).await,
            Messages::CreateOptOut => opt_out::create_opt_out(context).await,
        }
    }
}
