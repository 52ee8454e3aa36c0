//! Who may do what: one table, everything else refused.
//!
//! The table is also the router: an operation that does not stand here cannot be reached, and one that stands
//! here must be answered by its component, or the component does not compile.

use std::fmt;

use http::Method;
use serde::{Deserialize, Serialize};

/// What a person does in a clinic.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The person who is treated, here by the session of one visit.
    Patient,
    /// Somebody who acts for a patient.
    Proxy,
    /// An interpreter, family or somebody else whom a clinician invited to one visit, by the session of that visit.
    Guest,
    /// Bookings, check-in, messages of a site.
    FrontDesk,
    /// Prepares and accompanies visits.
    Nurse,
    /// Treats.
    Doctor,
    /// Invoices and payments.
    Billing,
    /// Sites, services, hours, staff.
    ClinicAdmin,
    /// Reads who saw what.
    Auditor,
    /// Runs the network; holds its set-up token.
    Ops,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 10] = [
        Self::Patient,
        Self::Proxy,
        Self::Guest,
        Self::FrontDesk,
        Self::Nurse,
        Self::Doctor,
        Self::Billing,
        Self::ClinicAdmin,
        Self::Auditor,
        Self::Ops,
    ];

    /// Its name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Proxy => "proxy",
            Self::Guest => "guest",
            Self::FrontDesk => "front-desk",
            Self::Nurse => "nurse",
            Self::Doctor => "doctor",
            Self::Billing => "billing",
            Self::ClinicAdmin => "clinic-admin",
            Self::Auditor => "auditor",
            Self::Ops => "ops",
        }
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// Whether a member of staff can have it.
    pub const fn is_staff(self) -> bool {
        !matches!(self, Self::Patient | Self::Proxy | Self::Guest | Self::Ops)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who may call an operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Whoever asks; where something is at stake, a secret in the body decides.
    Anyone,
    /// Only these roles.
    Roles(&'static [Role]),
    /// Any member of staff, and whoever has given the right password and owes what comes after it.
    SigningIn,
    /// A node of this network, as the edge host knows it by its certificate. No person.
    Node,
}

impl Access {
    /// Whether `role` may.
    pub fn allows(self, role: Role) -> bool {
        match self {
            Self::Anyone => true,
            Self::Roles(roles) => roles.contains(&role),
            Self::SigningIn => role.is_staff(),
            Self::Node => false,
        }
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct Rule<O: 'static> {
    /// What is done.
    pub operation: O,
    /// Its name in `docs/openapi.yaml`, but for the first letter.
    pub name: &'static str,
    /// Its method.
    pub method: Method,
    /// Its path below `/c/{clinic}`.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
}

impl<O> Rule<O> {
    /// `Some` when `path` is one of this rule's: with the text that stands for `{id}`, if it has one.
    pub fn matches<'p>(&self, path: &'p str) -> Option<Option<&'p str>> {
        let mut id = None;
        let mut given = path.split('/');
        for wanted in self.path.split('/') {
            match given.next()? {
                segment if wanted == "{id}" => id = Some(segment),
                segment if wanted == segment => {}
                _ => return None,
            }
        }
        given.next().is_none().then_some(id)
    }
}

/// The operations of a component.
pub trait Operation: Copy + fmt::Debug + 'static {
    /// The component's name in `spin.toml`.
    const COMPONENT: &'static str;
    /// Its part of the table.
    const RULES: &'static [Rule<Self>];
}

/// A row of the table, whichever component it belongs to.
#[derive(Debug)]
pub struct Entry {
    /// The component that answers.
    pub component: &'static str,
    /// The operation's name.
    pub name: &'static str,
    /// Its method.
    pub method: Method,
    /// Its path below `/c/{clinic}`.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
}

macro_rules! policy {
    ($($component:ident $id:literal {
        $($(#[$doc:meta])+ $operation:ident: $method:ident $path:literal $access:expr;)+
    })+) => {
        $(
            #[doc = concat!("The operations of the component `", $id, "`.")]
            #[derive(Clone, Copy, Debug, Eq, PartialEq)]
            pub enum $component { $($(#[$doc])+ $operation,)+ }

            impl Operation for $component {
                const COMPONENT: &'static str = $id;
                const RULES: &'static [Rule<Self>] = &[$(Rule {
                    operation: Self::$operation,
                    name: stringify!($operation),
                    method: Method::$method,
                    path: $path,
                    access: $access,
                },)+];
            }
        )+

        /// The whole table.
        pub fn table() -> Vec<Entry> {
            vec![$($(Entry {
                component: $id,
                name: stringify!($operation),
                method: Method::$method,
                path: $path,
                access: $access,
            },)+)+]
        }
    };
}

use Access::{Anyone, Node, Roles, SigningIn};
use Role::{Auditor, Billing, ClinicAdmin, Doctor, FrontDesk, Guest, Nurse, Ops, Patient, Proxy};

const VISITOR: Access = Roles(&[Patient, Proxy]);
const STAFF: Access = Roles(&[FrontDesk, Nurse, Doctor, Billing, ClinicAdmin, Auditor]);

policy! {
    Auth "auth" {
        /// Sets up a clinic with its people, services and hours.
        PutClinic: PUT "/auth/clinic" Roles(&[Ops]);
        /// Signs a member of staff in, or begins to.
        CreateSession: POST "/auth/sessions" Anyone;
        /// Asks a passkey the question that completes a sign-in.
        CreatePasskeyRequest: POST "/auth/second-factor/passkey" SigningIn;
        /// Completes a sign-in with a second factor.
        CompleteSignIn: POST "/auth/second-factor" SigningIn;
        /// Says who is signed in.
        GetSession: GET "/auth/session" STAFF;
        /// Signs out.
        DeleteSession: DELETE "/auth/session" STAFF;
        /// Where else one is signed in.
        ListSessions: GET "/auth/sessions" STAFF;
        /// Signs out everywhere else.
        DeleteSessions: DELETE "/auth/sessions" STAFF;
        /// Signs out at one other place.
        EndSession: DELETE "/auth/sessions/{id}" STAFF;
        /// Chooses another password.
        PutPassword: PUT "/auth/password" STAFF;
        /// One's own second factors.
        ListFactors: GET "/auth/factors" SigningIn;
        /// A new secret for an authenticator app.
        CreateTotp: POST "/auth/totp" SigningIn;
        /// Shows that the app knows the secret.
        ConfirmTotp: POST "/auth/totp/confirm" SigningIn;
        /// Takes the authenticator app away.
        DeleteTotp: DELETE "/auth/totp" STAFF;
        /// Asks for a new passkey.
        CreatePasskeyOptions: POST "/auth/passkeys/options" SigningIn;
        /// Keeps a new passkey.
        CreatePasskey: POST "/auth/passkeys" SigningIn;
        /// Takes a passkey away.
        DeletePasskey: DELETE "/auth/passkeys/{id}" STAFF;
        /// New recovery codes instead of the old ones.
        CreateRecoveryCodes: POST "/auth/recovery-codes" STAFF;
        /// Who works here.
        ListStaff: GET "/auth/staff" Roles(&[ClinicAdmin, Auditor]);
        /// Takes somebody in.
        CreateStaff: POST "/auth/staff" Roles(&[ClinicAdmin]);
        /// Gives somebody other roles.
        PutRoles: PUT "/auth/staff/{id}/roles" Roles(&[ClinicAdmin]);
        /// Lets somebody in again who gave too many wrong passwords.
        UnlockStaff: POST "/auth/staff/{id}/unlock" Roles(&[ClinicAdmin]);
        /// Lets somebody begin anew who lost password or second factor.
        ResetStaff: POST "/auth/staff/{id}/reset" Roles(&[ClinicAdmin]);
        /// Somebody leaves: nothing opens for them any more.
        EndStaff: POST "/auth/staff/{id}/leave" Roles(&[ClinicAdmin]);
        /// How far the looking through of everybody's roles is.
        ListRecertifications: GET "/auth/recertifications" Roles(&[ClinicAdmin, Auditor]);
        /// Begins to look through everybody's roles.
        CreateRecertification: POST "/auth/recertifications" Roles(&[ClinicAdmin]);
        /// Says of one person that their roles are right, or what they are to be.
        CertifyAccess: POST "/auth/recertifications/{id}" Roles(&[ClinicAdmin]);
        /// Where members of staff may practise.
        ListLicences: GET "/auth/licences" Roles(&[ClinicAdmin, Auditor]);
        /// Adds a licence.
        CreateLicence: POST "/auth/licences" Roles(&[ClinicAdmin]);
        /// Takes a licence back.
        RemoveLicence: DELETE "/auth/licences/{id}" Roles(&[ClinicAdmin]);
        /// Chooses a password by the link that an administrator made.
        CreateEnrolment: POST "/auth/enrolments" Anyone;
        /// Uses an invitation link.
        CreateVisitSession: POST "/auth/visit-sessions" Anyone;
    }
    Scheduling "scheduling" {
        /// What can be booked, and with whom.
        GetClinic: GET "/scheduling/clinic" Anyone;
        /// Free slots.
        ListSlots: GET "/scheduling/slots" Anyone;
        /// Keeps a slot for ten minutes.
        CreateHold: POST "/scheduling/holds" Anyone;
        /// The visit of the patient who asks.
        GetVisit: GET "/scheduling/visit" VISITOR;
        /// The patient enters the waiting room.
        ArriveAtVisit: POST "/scheduling/visit/arrive" VISITOR;
        /// The appointments of a day.
        ListAppointments: GET "/scheduling/appointments" Roles(&[FrontDesk, Nurse, Doctor, ClinicAdmin]);
        /// Lets the patient in.
        AdmitPatient: POST "/scheduling/appointments/{id}/admit" Roles(&[Doctor, Nurse]);
        /// Ends the visit.
        EndVisit: POST "/scheduling/appointments/{id}/end" Roles(&[Doctor]);
        /// The patient, or a guest, says something of the call.
        ReportOnVisit: POST "/scheduling/visit/reports" Roles(&[Patient, Proxy, Guest]);
        /// Staff say something of the call.
        ReportOnCall: POST "/scheduling/appointments/{id}/reports" Roles(&[Doctor, Nurse]);
        /// Makes the link by which somebody else joins the visit.
        InviteGuest: POST "/scheduling/appointments/{id}/guests" Roles(&[Doctor, Nurse]);
        /// Whom else the visit has, and who is who in the call.
        ListGuests: GET "/scheduling/appointments/{id}/guests" Roles(&[Doctor, Nurse]);
        /// Lets a guest in.
        AdmitGuest: POST "/scheduling/guests/{id}/admit" Roles(&[Doctor, Nurse]);
        /// Takes a guest's link back, and the guest out of the call.
        RemoveGuest: POST "/scheduling/guests/{id}/remove" Roles(&[Doctor, Nurse]);
        /// The visit of the guest who asks.
        GetGuestVisit: GET "/scheduling/guest-visit" Roles(&[Guest]);
        /// The guest is there and waits to be let in.
        ArriveAsGuest: POST "/scheduling/guest-visit/arrive" Roles(&[Guest]);
    }
    Payments "payments" {
        /// Turns a hold into an appointment.
        CreateConfirmation: POST "/payments/confirmations" Anyone;
    }
    Tokens "tokens" {
        /// Mints a token for the call of a visit.
        CreateJoinToken: POST "/tokens/join" Roles(&[Patient, Proxy, Guest, Doctor, Nurse]);
        /// Who takes part in the encryption of a call now.
        GetMembership: GET "/tokens/membership" Roles(&[Patient, Proxy, Guest, Doctor, Nurse]);
        /// Takes somebody out of the encryption of a call, for good.
        LeaveCall: POST "/tokens/leave" Roles(&[Patient, Proxy, Guest, Doctor, Nurse]);
    }
    Records "records" {
        /// An encounter with its note.
        GetEncounter: GET "/records/encounters/{id}" Roles(&[Doctor, Nurse]);
        /// Writes the note of an encounter.
        PutNote: PUT "/records/encounters/{id}/note" Roles(&[Doctor]);
        /// Who was in the call of an encounter, and for how long.
        GetCall: GET "/records/encounters/{id}/call" Roles(&[Doctor, Nurse]);
        /// Opens the record of somebody who is not one's own patient, with a reason.
        CreateEmergencyAccess: POST "/records/encounters/{id}/emergency-access" Roles(&[Doctor, Nurse]);
        /// Keeps what a media node tells of a call.
        CreateCallEvents: POST "/records/call-events" Node;
    }
    Audit "audit" {
        /// Who saw and who changed what.
        ListAuditEvents: GET "/audit/events" Roles(&[ClinicAdmin, Auditor]);
        /// The same as a file.
        ExportAuditEvents: GET "/audit/export" Roles(&[ClinicAdmin, Auditor]);
        /// Who saw the record of the patient who asks.
        GetRecordAccess: GET "/audit/record-access" VISITOR;
        /// What is unusual and was not looked at yet.
        ListReviews: GET "/audit/reviews" Roles(&[ClinicAdmin, Auditor]);
        /// Says what became of it.
        SignReview: POST "/audit/reviews" Roles(&[ClinicAdmin, Auditor]);
        /// What is looked at, and whose records clinicians may open.
        GetOversight: GET "/audit/oversight" Roles(&[ClinicAdmin, Auditor]);
        /// Changes that.
        PutOversight: PUT "/audit/oversight" Roles(&[ClinicAdmin]);
    }
    Messages "messages" {
        /// Sends the link to a visit again to whoever lost it.
        CreateLinkRequest: POST "/messages/link-requests" Anyone;
        /// What was sent, for the demonstration.
        ListOutbox: GET "/messages/outbox" Roles(&[FrontDesk, ClinicAdmin]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &'static str) -> Rule<()> {
        Rule { operation: (), name: "X", method: Method::GET, path, access: Anyone }
    }

    #[test]
    fn a_path_matches_as_a_whole() {
        assert_eq!(rule("/a/{id}/b").matches("/a/7/b"), Some(Some("7")));
        assert_eq!(rule("/a").matches("/a"), Some(None));
        for other in ["/a/7", "/a/7/b/", "/a/7/b/c", "/b/7/b", "a/7/b", ""] {
            assert_eq!(rule("/a/{id}/b").matches(other), None, "{other}");
        }
    }

    #[test]
    fn roles_read_back_by_their_names() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert_eq!(Role::parse("Doctor"), None);
    }
}
