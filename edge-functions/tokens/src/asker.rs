//! Whose place in which call a request is about.

use http::Method;
use kit::call;
use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::ids::{AppointmentId, GuestId, ProxyId, UserId};
use kit::params;
use kit::policy::Role;
use kit::problem::Problem;

/// One person of one call.
#[derive(Clone, Copy)]
pub(crate) struct Asker {
    /// The call's visit.
    pub(crate) appointment: AppointmentId,
    pub(crate) person: Person,
}

#[derive(Clone, Copy)]
pub(crate) enum Person {
    Patient,
    Proxy(ProxyId),
    Guest(GuestId),
    Clinician(UserId),
}

/// Their place in a call.
pub(crate) struct Seat {
    /// Whose row in `room` the call has.
    pub(crate) room_of: AppointmentId,
    /// As in `room_participant`. Of a group each patient is told from the others by their visit.
    pub(crate) key: String,
    pub(crate) person: Person,
    /// By which visit they are there; staff are there for all.
    pub(crate) visit: Option<AppointmentId>,
    pub(crate) is_group: bool,
}

impl Seat {
    /// Who is told of the others only while they are in the call: guests, and in a group whoever is not staff.
    pub(crate) fn only_inside(&self) -> Option<&str> {
        let is_guest = self.person.guest().is_some();
        (is_guest || (self.is_group && self.visit.is_some())).then_some(self.key.as_str())
    }
}

impl Person {
    fn key(self, appointment: AppointmentId, is_group: bool) -> String {
        match self {
            Self::Patient if is_group => appointment.to_string(),
            Self::Patient => "patient".to_owned(),
            Self::Proxy(proxy) => proxy.to_string(),
            Self::Guest(guest) => guest.to_string(),
            Self::Clinician(user) => user.to_string(),
        }
    }

    pub(crate) const fn guest(self) -> Option<GuestId> {
        match self {
            Self::Guest(guest) => Some(guest),
            Self::Patient | Self::Proxy(_) | Self::Clinician(_) => None,
        }
    }
}

impl Asker {
    /// A patient or a guest need not say which call: the visit's cookie does. Staff name the appointment.
    pub(crate) fn of(context: &Context<'_>, named: Option<AppointmentId>) -> Result<Self, Problem> {
        if let Some(appointment) = named {
            return Ok(Self { appointment, person: Person::Clinician(clinician(context)?) });
        }
        let Some(visitor) = context.caller.visitor else {
            // Signed in they are: it is the appointment that is missing.
            context.staff()?;
            let place = if context.request.method() == Method::GET { "?appointment" } else { "/appointment" };
            return Err(Problem::invalid(place, "is missing: staff say which appointment"));
        };
        let person = match (visitor.guest, visitor.proxy) {
            (Some(guest), _) => Person::Guest(guest),
            (None, Some(proxy)) => Person::Proxy(proxy),
            (None, None) => Person::Patient,
        };
        Ok(Self { appointment: visitor.appointment, person })
    }

    /// Inside the transaction that takes it: a group's call is the same for all of it.
    pub(crate) async fn seat(self, context: &Context<'_>) -> Result<Seat, Problem> {
        let Self { appointment, person } = self;
        let call::Place { room_of, is_group } = call::place(context, appointment).await?;
        let visit = (!matches!(person, Person::Clinician(_))).then_some(appointment);
        Ok(Seat { room_of, key: person.key(appointment, is_group), person, visit, is_group })
    }

    /// Why they have no place in it.
    pub(crate) async fn why_not(self, context: &Context<'_>) -> Result<Problem, Problem> {
        let sql = "SELECT a.status, g.removed_at FROM appointment a
                   LEFT JOIN guest g ON g.clinic = a.clinic AND g.id = ?3
                   WHERE a.clinic = ?1 AND a.id = ?2";
        let values = params![&context.clinic, self.appointment, self.person.guest()];
        let rows = context.database().query(sql, values).await?;
        let Some(row) = rows.first() else { return Ok(Problem::not_found("No such appointment")) };
        if row.parsed(0, AppointmentStatus::parse)?.is_over() {
            return Ok(Problem::visit_over());
        }
        let removed = row.time_or_null(1)?.is_some();
        Ok(if removed { Problem::link_withdrawn() } else { Problem::not_admitted() })
    }
}

/// The member of staff who calls: the table lets them in, or the visit's cookie beside theirs does.
fn clinician(context: &Context<'_>) -> Result<UserId, Problem> {
    let staff = context.staff()?;
    let treats = staff.roles.iter().any(|role| matches!(role, Role::Doctor | Role::Nurse));
    if treats { Ok(staff.user) } else { Err(Problem::role_not_allowed()) }
}
