//! Edge function `scheduling`: slots, holds, the waiting room, the day list.

pub mod admission;
pub mod calendar;
pub mod catalogue;
pub mod changes;
pub mod day;
#[cfg(target_family = "wasm")]
mod entry;
pub mod guest_visit;
pub mod guests;
pub mod handover;
pub mod holds;
pub mod interpreters;
pub mod lateness;
pub mod licence;
pub mod openings;
pub mod own_visits;
pub mod patients;
mod people;
mod report_lines;
pub mod reports;
pub mod slots;
pub mod visit;
pub mod waiting_list;

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
            Scheduling::ListOwnVisits => own_visits::list_own_visits(context).await,
            Scheduling::ArriveAtVisit => visit::arrive_at_visit(context).await,
            Scheduling::GetVisitCalendar => calendar::get_visit_calendar(context).await,
            Scheduling::MoveVisit => changes::move_visit(context).await,
            Scheduling::AcceptOffer => changes::accept_offer(context).await,
            Scheduling::JoinWaitingList => waiting_list::join(context).await,
            Scheduling::LeaveWaitingList => waiting_list::leave(context).await,
            Scheduling::SayPatientIsLate => lateness::say_patient_is_late(context).await,
            Scheduling::SayClinicIsLate => lateness::say_clinic_is_late(context).await,
            Scheduling::PutInterpreter => interpreters::put_interpreter(context).await,
            Scheduling::ListMissingInterpreters => interpreters::list_missing_interpreters(context).await,
            Scheduling::MarkNoShow => lateness::mark_no_show(context).await,
            Scheduling::CancelVisit => changes::cancel_visit(context).await,
            Scheduling::ListPatients => patients::list_patients(context).await,
            Scheduling::ListAppointments => day::list_appointments(context).await,
            Scheduling::AdmitPatient => admission::admit_patient(context).await,
            Scheduling::HoldVisit => handover::hold_visit(context).await,
            Scheduling::TransferVisit => handover::transfer_visit(context).await,
            Scheduling::EndVisit => admission::end_visit(context).await,
            Scheduling::MoveAppointment => changes::move_appointment(context).await,
            Scheduling::CancelAppointment => changes::cancel_appointment(context).await,
            Scheduling::ReportOnVisit => reports::report_on_visit(context).await,
            Scheduling::ReportOnCall => reports::report_on_call(context).await,
            Scheduling::InviteGuest => guests::invite_guest(context).await,
            Scheduling::ListGuests => guests::list_guests(context).await,
            Scheduling::AdmitGuest => guests::admit_guest(context).await,
            Scheduling::RemoveGuest => guests::remove_guest(context).await,
            Scheduling::GetGuestVisit => guest_visit::get_guest_visit(context).await,
            Scheduling::ArriveAsGuest => guest_visit::arrive_as_guest(context).await,
        }
    }
}
