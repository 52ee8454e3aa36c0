//! Whose place in which call a request is about.

use kit::context::Context;
use kit::ids::AppointmentId;
use kit::problem::Problem;

/// One person of one call.
pub(crate) struct Asker {
    /// The call's visit.
    pub(crate) appointment: AppointmentId,
    /// As in `room_participant`.
    pub(crate) person: String,
}

impl Asker {
    /// A patient need not say which call: the visit's cookie does. Staff name the appointment.
    pub(crate) fn of(context: &Context<'_>, named: Option<AppointmentId>) -> Result<Self, Problem> {
        Ok(match named {
            Some(appointment) => Self { appointment, person: context.staff()?.user.to_string() },
            None => Self { appointment: context.visitor()?.appointment, person: "patient".to_owned() },
        })
    }
}
