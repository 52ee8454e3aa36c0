//! Edge function `payments`: turns a hold into an appointment that is paid for, or will be at the clinic, and keeps the
//! books.

mod booking;
mod card_payment;
mod closing;
pub mod confirmation;
mod desk;
mod document;
#[cfg(target_family = "wasm")]
mod entry;
mod hook;
mod invoice;
pub mod ledger;
mod payment;
pub mod provider;
mod reconciliation;
mod report;
mod settings;
mod settle;
pub mod state;
mod words;

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
            Payments::GetPaymentOptions => settings::get_options(context).await,
            Payments::CreateCardPayment => card_payment::create(context).await,
            Payments::CreateOwnCardPayment => card_payment::create_own(context).await,
            Payments::CheckCardPayment => card_payment::check(context).await,
            Payments::ReceiveStripeEvent => hook::receive(context).await,
            Payments::Reconcile => reconciliation::reconcile(context).await,
            Payments::ReconcileNow => reconciliation::reconcile_now(context).await,
            Payments::ListInvoices => desk::list(context).await,
            Payments::GetInvoiceDocument => document::for_staff(context).await,
            Payments::RecordPayment => desk::record_payment(context).await,
            Payments::CaptureInvoice => desk::capture(context).await,
            Payments::RefundInvoice => desk::refund(context).await,
            Payments::SettleInvoice => desk::settle(context).await,
            Payments::GetPaymentReport => report::get(context).await,
            Payments::GetPaymentSettings => settings::get_settings(context).await,
            Payments::PutPaymentSettings => settings::put_settings(context).await,
            Payments::GetVisitInvoice => desk::of_visit(context).await,
            Payments::GetVisitInvoiceDocument => document::for_patient(context).await,
        }
    }
}
