//! Edge function `scheduling`: slots, holds, the waiting room, the day list.

pub mod admission;
pub mod catalogue;
pub mod day;
#[cfg(target_family = "wasm")]
mod entry;
pub mod holds;
pub mod reports;
pub mod slots;
pub mod visit;

use kit::context::Context;
use kit::policy::Scheduling;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::serve::Function;

/// This component.
#[derive(Clone, Copy, Debug)]
pub struct SchedulingFunction;

impl Function for SchedulingFunction {
    type Operation = Scheduling;

    async fn call(context: &Context<'_>, operation: Scheduling) -> Result<Reply, Problem> {
        match operation {
            Scheduling::GetClinic => catalogue::get_clinic(context).await,
            Scheduling::ListSlots => slots::list_slots(context).await,
            Scheduling::CreateHold => holds::create_hold(context).await,
            Scheduling::GetVisit => visit::get_visit(context).await,
            Scheduling::ArriveAtVisit => visit::arrive_at_visit(context).await,
            Scheduling::ListAppointments => day::list_appointments(context).await,
            Scheduling::AdmitPatient => admission::admit_patient(context).await,
            Scheduling::EndVisit => admission::end_visit(context).await,
            Scheduling::ReportOnVisit => reports::report_on_visit(context).await,
            Scheduling::ReportOnCall => reports::report_on_call(context).await,
        }
    }
}
