//! Edge function `audit`: who saw and who changed what in a clinic, for its auditor and for the patient, and the review
//! of what is unusual.

#[cfg(target_family = "wasm")]
mod entry;
pub mod events;
pub mod export;
pub mod fhir;
pub mod names;
pub mod oversight;
pub mod pdf;
pub mod record_access;
pub mod reviews;
pub mod rules;
pub mod wishes;

use kit::context::Context;
use kit::policy::Audit;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::serve::Function;

/// This component.
#[derive(Clone, Copy, Debug)]
pub struct AuditFunction;

impl Function for AuditFunction {
    type Operation = Audit;

    async fn call(context: &Context<'_>, operation: Audit) -> Result<Reply, Problem> {
        match operation {
            Audit::ListAuditEvents => events::list_audit_events(context).await,
            Audit::ExportAuditEvents => export::export_audit_events(context).await,
            Audit::GetRecordAccess => record_access::get_record_access(context).await,
            Audit::ListReviews => reviews::list_reviews(context).await,
            Audit::SignReview => reviews::sign_review(context).await,
            Audit::GetOversight => oversight::get_oversight(context).await,
            Audit::PutOversight => oversight::put_oversight(context).await,
        }
    }
}
