//! Who did what (45 CFR 164.312(b)), in the terms of FHIR's `AuditEvent`: ids only.
//!
//! A function says it in the answer's header `locum-audit`, one JSON object an event. The edge host takes the
//! header off, adds request, time and place, and keeps the event: with what the request wrote, or on a disk
//! before the answer leaves.

use std::cell::RefCell;
use std::fmt;

use http::{HeaderMap, HeaderName};
use serde::Serialize;

use crate::context::{Caller, Context, Visitor};

/// Where the host reads events.
pub const HEADER: HeaderName = HeaderName::from_static("locum-audit");

/// What is recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// A clinic was set up.
    ClinicSetUp,
    /// A member of staff signed in.
    SignIn,
    /// A member of staff gave the right password, and owes a second factor.
    SignInBegun,
    /// Somebody gave a wrong password, an unknown name or a wrong second factor.
    SignInFailed,
    /// Too many wrong attempts in a row: for some time nothing is taken.
    SignInLocked,
    /// An administrator ended that.
    SignInUnlocked,
    /// A recovery code was used.
    RecoveryCodeUsed,
    /// Somebody has a new second factor.
    FactorAdded,
    /// A second factor was taken away.
    FactorRemoved,
    /// Somebody has new recovery codes.
    RecoveryCodesMade,
    /// Somebody chose a password.
    PasswordChanged,
    /// Sessions were ended from elsewhere.
    SessionsEnded,
    /// The list of staff was read.
    StaffRead,
    /// Somebody new was taken in.
    StaffInvited,
    /// Somebody has another role.
    RoleGiven,
    /// Somebody has a role no longer.
    RoleTaken,
    /// Somebody begins anew: password and second factors are gone.
    StaffReset,
    /// Somebody left.
    StaffLeft,
    /// A member of staff signed out.
    SignOut,
    /// An invitation link was used.
    LinkUsed,
    /// Somebody asked for a lost link.
    LinkRequested,
    /// A link that is unknown, or whose visit is over.
    LinkRefused,
    /// A hold became an appointment.
    AppointmentBooked,
    /// An appointment was read, by the patient or by staff.
    AppointmentRead,
    /// The list of a day was read.
    DayRead,
    /// The patient entered the waiting room.
    PatientArrived,
    /// The patient was let in.
    PatientAdmitted,
    /// The visit was ended.
    VisitEnded,
    /// Somebody said something of the call.
    CallReported,
    /// A link for somebody else was made.
    GuestInvited,
    /// Who else is in the visit was read, by staff or by such a guest.
    GuestsRead,
    /// A guest came and waits.
    GuestArrived,
    /// A guest was let in.
    GuestAdmitted,
    /// A guest's link was taken back.
    GuestRemoved,
    /// A token for the call was minted.
    TokenMinted,
    /// An encounter was read, its note included.
    NoteRead,
    /// A note was written.
    NoteWritten,
    /// A media node did not take a genuine join token.
    TokenRefused,
    /// Who was in a call, and for how long, was read.
    CallRead,
    /// The messages to patients were read.
    OutboxRead,
}

/// The events of one request so far.
#[derive(Default)]
pub struct Trail(RefCell<Vec<Event>>);

#[derive(Clone, Serialize)]
struct Event {
    /// `AuditEvent.action`: create, read, update, delete or execute.
    action: char,
    /// `AuditEvent.subtype`.
    code: &'static str,
    /// `AuditEvent.agent.who`.
    agent: Named,
    /// `AuditEvent.entity.what`.
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<Named>,
}

#[derive(Clone, Serialize)]
struct Named {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl Action {
    /// `AuditEvent.subtype`, `AuditEvent.action`, and the type of what it is done to.
    const fn terms(self) -> (&'static str, char, &'static str) {
        match self {
            Self::ClinicSetUp => ("clinic-set-up", 'C', "Organization"),
            Self::SignIn => ("sign-in", 'E', "Practitioner"),
            Self::SignInBegun => ("sign-in-begun", 'E', "Practitioner"),
            Self::SignInFailed => ("sign-in-failed", 'E', "Practitioner"),
            Self::SignInLocked => ("sign-in-locked", 'E', "Practitioner"),
            Self::SignInUnlocked => ("sign-in-unlocked", 'U', "Practitioner"),
            Self::RecoveryCodeUsed => ("recovery-code-used", 'E', "Practitioner"),
            Self::FactorAdded => ("factor-added", 'C', "Practitioner"),
            Self::FactorRemoved => ("factor-removed", 'D', "Practitioner"),
            Self::RecoveryCodesMade => ("recovery-codes-made", 'C', "Practitioner"),
            Self::PasswordChanged => ("password-changed", 'U', "Practitioner"),
            Self::SessionsEnded => ("sessions-ended", 'D', "Practitioner"),
            Self::StaffRead => ("staff-read", 'R', "Practitioner"),
            Self::StaffInvited => ("staff-invited", 'C', "Practitioner"),
            Self::RoleGiven => ("role-given", 'C', "PractitionerRole"),
            Self::RoleTaken => ("role-taken", 'D', "PractitionerRole"),
            Self::StaffReset => ("staff-reset", 'U', "Practitioner"),
            Self::StaffLeft => ("staff-left", 'U', "Practitioner"),
            Self::SignOut => ("sign-out", 'E', "Practitioner"),
            Self::LinkUsed => ("link-used", 'E', "Appointment"),
            Self::LinkRequested => ("link-requested", 'E', "Appointment"),
            Self::LinkRefused => ("link-refused", 'E', "Appointment"),
            Self::AppointmentBooked => ("appointment-booked", 'C', "Appointment"),
            Self::AppointmentRead => ("appointment-read", 'R', "Appointment"),
            // What was asked, not what the answer held: a list is recorded as a query is (IHE BALP, "Query").
            Self::DayRead => ("day-read", 'R', "Day"),
            Self::PatientArrived => ("patient-arrived", 'U', "Appointment"),
            Self::PatientAdmitted => ("patient-admitted", 'U', "Appointment"),
            Self::VisitEnded => ("visit-ended", 'U', "Appointment"),
            Self::CallReported => ("call-reported", 'C', "Encounter"),
            Self::GuestInvited => ("guest-invited", 'C', "Appointment"),
            Self::GuestsRead => ("guests-read", 'R', "Appointment"),
            Self::GuestArrived => ("guest-arrived", 'U', "Appointment"),
            Self::GuestAdmitted => ("guest-admitted", 'U', "Appointment"),
            Self::GuestRemoved => ("guest-removed", 'U', "Appointment"),
            Self::TokenMinted => ("token-minted", 'E', "Appointment"),
            Self::NoteRead => ("note-read", 'R', "Encounter"),
            Self::NoteWritten => ("note-written", 'U', "Encounter"),
            Self::TokenRefused => ("token-refused", 'E', "Appointment"),
            Self::CallRead => ("call-read", 'R', "Encounter"),
            Self::OutboxRead => ("outbox-read", 'R', "Communication"),
        }
    }
}

impl Trail {
    /// Puts the events into an answer.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        for event in self.0.borrow().iter() {
            // Ids and words of our own: always a header's value.
            if let Some(value) = serde_json::to_string(event).ok().and_then(|text| text.parse().ok()) {
                headers.append(HEADER, value);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// What was undone did not happen.
    pub(crate) fn undo(&self, to: usize) {
        self.0.borrow_mut().truncate(to);
    }
}

impl Named {
    fn agent(caller: &Caller) -> Self {
        let (kind, id) = match (&caller.staff, &caller.visitor) {
            (Some(staff), _) => ("staff", Some(staff.user.to_string())),
            (None, Some(Visitor { guest: Some(guest), .. })) => ("guest", Some(guest.to_string())),
            (None, None) if caller.signing_in.is_some() => {
                ("signing-in", caller.signing_in.map(|signing_in| signing_in.user.to_string()))
            }
            (None, Some(visitor)) => ("visitor", Some(visitor.appointment.to_string())),
            (None, None) if caller.operator => ("operator", None),
            (None, None) if caller.node.is_some() => {
                ("node", caller.node.as_ref().map(|node| node.as_str().to_owned()))
            }
            (None, None) => ("anonymous", None),
        };
        Self { kind, id }
    }
}

impl Context<'_> {
    /// Records that the caller did `action` to the thing with the id `subject`.
    pub fn audit(&self, action: Action, subject: Option<&dyn fmt::Display>) {
        let (code, action, kind) = action.terms();
        let agent = Named::agent(&self.caller);
        let entity = subject.map(|id| Named { kind, id: Some(id.to_string()) });
        self.trail.0.borrow_mut().push(Event { action, code, agent, entity });
    }
}
