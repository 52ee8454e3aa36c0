//! Who may do what: one table, everything else refused.
//!
//! The table is also the router: an operation that does not stand here cannot be reached, and one that stands
//! here must be answered by its component, or the component does not compile.

use std::fmt;

use http::Method;
use serde::{Deserialize, Serialize};

pub use crate::resources::{RESOURCES, ResourceRule, resource};
use crate::scopes::{Level, Permissions};

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

/// What may be done for somebody else.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Book visits.
    Book,
    /// Take part in visits.
    Join,
    /// See which visits there are.
    Read,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Book, Self::Join, Self::Read];

    /// Its name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Join => "join",
            Self::Read => "read",
        }
    }

    /// The scopes of a list with blanks between.
    pub fn parse_list(text: &str) -> Vec<Self> {
        let parse = |name: &str| Self::ALL.into_iter().find(|scope| scope.as_str() == name);
        text.split(' ').filter_map(parse).collect()
    }
}

/// What must hold beside the role.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// Staff have shown a moment ago, once more, what completes a sign-in.
    Fresh,
    /// A patient, or who acts for one, is known by an account, not by the link of one visit.
    Account,
    /// The same, and who acts for a patient was given this.
    Given(Scope),
}

/// What an app needs to call an operation for a person who may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Through {
    /// To be told who the person is.
    Openid,
    /// A scope on a type of resource, at one of these levels. At [`Level::System`] there is no person.
    Scope(&'static str, Permissions, &'static [Level]),
    /// The same of the type that stands in the path for `{type}`, and people must be let by the table of resources too.
    /// Where no type stands in the path, the function asks for each that it meets ([`crate::context::Context::access_to`]).
    Each(Permissions),
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
    /// What else must hold.
    pub condition: Condition,
    /// Whether an app may for them, and what it needs.
    pub app: Option<Through>,
}

impl<O> Rule<O> {
    /// `Some` when `path` is one of this rule's: with the text that stands for `{id}`, if it has one.
    pub fn matches<'p>(&self, path: &'p str) -> Option<Option<&'p str>> {
        let mut id = None;
        let mut given = path.split('/');
        for wanted in self.path.split('/') {
            match given.next()? {
                segment if wanted == "{id}" => id = Some(segment),
                segment if wanted.starts_with('{') && !segment.is_empty() => {}
                segment if wanted == segment => {}
                _ => return None,
            }
        }
        given.next().is_none().then_some(id)
    }
}

impl<O> Rule<O> {
    /// What stands for `{type}` in a path of this rule's.
    pub fn resource<'p>(&self, path: &'p str) -> Option<&'p str> {
        let place = self.path.split('/').position(|segment| segment == "{type}")?;
        path.split('/').nth(place)
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
    /// What else must hold.
    pub condition: Condition,
    /// Whether an app may for them, and what it needs.
    pub app: Option<Through>,
}

impl Entry {
    /// What the table of resources lets people do, where it decides.
    fn each(&self) -> Option<Permissions> {
        match self.app {
            Some(Through::Each(permission)) if self.path.contains("{type}") => Some(permission),
            _ => None,
        }
    }

    /// The types that may stand in its path; one that is none, where it has no type.
    pub fn resources(&self) -> Vec<&'static str> {
        match self.each() {
            Some(_) => RESOURCES.iter().map(|rule| rule.resource).collect(),
            None => vec![""],
        }
    }

    /// Whether somebody in that role may, with a type of resource in the path.
    pub fn lets(&self, role: Role, kind: &str) -> bool {
        let by_resource = self.each().zip(resource(kind));
        self.access.allows(role) && by_resource.is_none_or(|(what, rule)| rule.of_roles(&[role]).holds(what))
    }
}

macro_rules! policy {
    (@condition) => { Condition::Always };
    (@condition $condition:expr) => { $condition };
    (@app) => { None };
    (@app $app:expr) => { Some($app) };
    ($($component:ident $id:literal {
        $($(#[$doc:meta])+ $operation:ident: $method:ident $path:literal $access:expr $(=> $condition:expr)? $(, $app:expr)?;)+
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
                    condition: policy!(@condition $($condition)?),
                    app: policy!(@app $($app)?),
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
                condition: policy!(@condition $($condition)?),
                app: policy!(@app $($app)?),
            },)+)+]
        }
    };
}

use Access::{Anyone, Node, Roles, SigningIn};
use Condition::{Account, Fresh, Given};
use Role::{Auditor, Billing, ClinicAdmin, Doctor, FrontDesk, Guest, Nurse, Ops, Patient, Proxy};

const VISITOR: Access = Roles(&[Patient, Proxy]);
const STAFF: Access = Roles(&[FrontDesk, Nurse, Doctor, Billing, ClinicAdmin, Auditor]);

const ALL_LEVELS: &[Level] = &[Level::Patient, Level::User, Level::System];
const PERSON: &[Level] = &[Level::Patient, Level::User];
policy! {
    Auth "auth" {
        /// Sets up a clinic with its people, services and hours.
        PutClinic: PUT "/auth/clinic" Roles(&[Ops]);
        /// How the clinic is set up, and what is missing before patients can book.
        GetSetUp: GET "/auth/set-up" Roles(&[ClinicAdmin, Ops]);
        /// Sets the clinic up from a bundle, or says what that would change.
        PutSetUp: PUT "/auth/set-up" Roles(&[ClinicAdmin, Ops]) => Fresh;
        /// Signs a member of staff in, or begins to.
        CreateSession: POST "/auth/sessions" Anyone;
        /// Asks a passkey the question that completes a sign-in.
        CreatePasskeyRequest: POST "/auth/second-factor/passkey" SigningIn;
        /// Completes a sign-in with a second factor.
        CompleteSignIn: POST "/auth/second-factor" SigningIn;
        /// Asks whoever is signed in elsewhere to let a sign-in through.
        CreateApproval: POST "/auth/second-factor/approval" SigningIn;
        /// What became of that.
        GetApproval: GET "/auth/second-factor/approval" SigningIn;
        /// Sign-ins of one's own that wait to be let through.
        ListApprovals: GET "/auth/approvals" STAFF;
        /// Lets one through, or not.
        DecideApproval: POST "/auth/approvals/{id}" STAFF;
        /// Says who is signed in.
        GetSession: GET "/auth/session" STAFF;
        /// Signs out.
        DeleteSession: DELETE "/auth/session" STAFF;
        /// Where else one is signed in.
        ListSessions: GET "/auth/sessions" STAFF;
        /// Signs out everywhere else.
        DeleteSessions: DELETE "/auth/sessions" STAFF;
        /// Asks a passkey the question by which somebody who is signed in shows once more who they are.
        CreateProofRequest: POST "/auth/proof/passkey" STAFF;
        /// Shows once more who one is.
        CreateProof: POST "/auth/proof" STAFF;
        /// Signs out at one other place.
        EndSession: DELETE "/auth/sessions/{id}" STAFF;
        /// Chooses another password.
        PutPassword: PUT "/auth/password" STAFF => Fresh;
        /// One's own second factors.
        ListFactors: GET "/auth/factors" SigningIn;
        /// A new secret for an authenticator app.
        CreateTotp: POST "/auth/totp" SigningIn => Fresh;
        /// Shows that the app knows the secret.
        ConfirmTotp: POST "/auth/totp/confirm" SigningIn => Fresh;
        /// Takes the authenticator app away.
        DeleteTotp: DELETE "/auth/totp" STAFF => Fresh;
        /// Asks for a new passkey.
        CreatePasskeyOptions: POST "/auth/passkeys/options" SigningIn => Fresh;
        /// Keeps a new passkey.
        CreatePasskey: POST "/auth/passkeys" SigningIn => Fresh;
        /// Takes a passkey away.
        DeletePasskey: DELETE "/auth/passkeys/{id}" STAFF => Fresh;
        /// New recovery codes instead of the old ones.
        CreateRecoveryCodes: POST "/auth/recovery-codes" STAFF => Fresh;
        /// Who works here.
        ListStaff: GET "/auth/staff" Roles(&[ClinicAdmin, Auditor]);
        /// Takes somebody in.
        CreateStaff: POST "/auth/staff" Roles(&[ClinicAdmin]) => Fresh;
        /// Gives somebody other roles.
        PutRoles: PUT "/auth/staff/{id}/roles" Roles(&[ClinicAdmin]) => Fresh;
        /// Lets somebody in again who gave too many wrong passwords.
        UnlockStaff: POST "/auth/staff/{id}/unlock" Roles(&[ClinicAdmin]) => Fresh;
        /// Lets somebody begin anew who lost password or second factor.
        ResetStaff: POST "/auth/staff/{id}/reset" Roles(&[ClinicAdmin]) => Fresh;
        /// Somebody leaves: nothing opens for them any more.
        EndStaff: POST "/auth/staff/{id}/leave" Roles(&[ClinicAdmin]) => Fresh;
        /// How far the looking through of everybody's roles is.
        ListRecertifications: GET "/auth/recertifications" Roles(&[ClinicAdmin, Auditor]);
        /// Begins to look through everybody's roles.
        CreateRecertification: POST "/auth/recertifications" Roles(&[ClinicAdmin]);
        /// Says of one person that their roles are right, or what they are to be.
        CertifyAccess: POST "/auth/recertifications/{id}" Roles(&[ClinicAdmin]) => Fresh;
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
        /// Sends a code to the address of whoever booked, for a link that asks for one.
        CreateVisitCode: POST "/auth/visit-codes" Anyone;
        /// How people sign in and open links here.
        GetSettings: GET "/auth/settings" Roles(&[ClinicAdmin]);
        /// Changes that.
        PutSettings: PUT "/auth/settings" Roles(&[ClinicAdmin]) => Fresh;
        /// Sends a patient a code by mail, the way into their account.
        CreatePatientCode: POST "/auth/patient/codes" Anyone;
        /// A patient signs in with such a code.
        CreatePatientSession: POST "/auth/patient/sessions" Anyone;
        /// Asks whichever passkey a patient has here.
        CreatePatientPasskeyRequest: POST "/auth/patient/passkey-requests" Anyone;
        /// A patient signs in with a passkey.
        CreatePatientPasskeySession: POST "/auth/patient/passkey-sessions" Anyone;
        /// Somebody who acts for a patient uses their link.
        CreateProxySession: POST "/auth/proxy-sessions" Anyone;
        /// Who is signed in, and for whom they act.
        GetPatientSession: GET "/auth/patient/session" VISITOR => Account;
        /// They sign out.
        DeletePatientSession: DELETE "/auth/patient/session" VISITOR => Account;
        /// Asks for a new passkey of a patient.
        CreatePatientPasskeyOptions: POST "/auth/patient/passkeys/options" Roles(&[Patient]) => Account;
        /// Keeps it.
        CreatePatientPasskey: POST "/auth/patient/passkeys" Roles(&[Patient]) => Account;
        /// Takes it away.
        DeletePatientPasskey: DELETE "/auth/patient/passkeys/{id}" Roles(&[Patient]) => Account;
        /// Goes to a visit without its link.
        CreateOwnVisitSession: POST "/auth/patient/visits/{id}/session" VISITOR => Given(Scope::Join);
        /// Who acts for the patient who asks.
        ListProxies: GET "/auth/proxies" Roles(&[Patient]) => Account;
        /// The patient lets somebody act for them.
        InviteProxy: POST "/auth/proxies" Roles(&[Patient]) => Account;
        /// The patient takes that back.
        RevokeProxy: POST "/auth/proxies/{id}/revoke" Roles(&[Patient]) => Account;
        /// Who acts for the patient of a visit.
        ListPatientProxies: GET "/auth/appointments/{id}/proxies" Roles(&[FrontDesk]);
        /// Front desk lets somebody act for the patient of a visit.
        InvitePatientProxy: POST "/auth/appointments/{id}/proxies" Roles(&[FrontDesk]);
        /// Front desk takes that back.
        RevokePatientProxy: POST "/auth/appointments/proxies/{id}/revoke" Roles(&[FrontDesk]);
        /// Where apps find what they need to sign people in.
        GetOpenidConfiguration: GET "/auth/.well-known/openid-configuration" Anyone;
        /// The same, as OAuth has it.
        GetOauthMetadata: GET "/auth/.well-known/oauth-authorization-server" Anyone;
        /// The same, as SMART App Launch has it.
        GetSmartConfiguration: GET "/auth/.well-known/smart-configuration" Anyone;
        /// The same, where apps look that know the FHIR server only.
        GetFhirSmartConfiguration: GET "/fhir/.well-known/smart-configuration" Anyone;
        /// Keys that verify id tokens.
        GetJwks: GET "/auth/oauth/jwks" Anyone;
        /// An app gets a token for a code, a refresh token, or for itself.
        CreateToken: POST "/auth/oauth/token" Anyone;
        /// An app asks what a token of its own is worth.
        IntrospectToken: POST "/auth/oauth/introspect" Anyone;
        /// An app gives a token back.
        RevokeToken: POST "/auth/oauth/revoke" Anyone;
        /// Who somebody is, for an app that they use.
        GetUserinfo: GET "/auth/oauth/userinfo" STAFF, Through::Openid;
        /// What an app asks somebody for, in words that they can judge.
        ReviewAuthorization: POST "/auth/oauth/authorization-requests" STAFF;
        /// Somebody lets an app in, or does not.
        CreateAuthorization: POST "/auth/oauth/authorizations" STAFF;
        /// Opens an app for a patient.
        CreateLaunch: POST "/auth/oauth/launches" Roles(&[Doctor, Nurse]);
        /// Apps that can be opened for a patient.
        ListLaunchable: GET "/auth/oauth/launchable" Roles(&[Doctor, Nurse]);
        /// Which apps one has let in.
        ListGrants: GET "/auth/oauth/grants" STAFF;
        /// Shuts out an app that one has let in.
        EndGrant: DELETE "/auth/oauth/grants/{id}" STAFF;
        /// The apps that the clinic knows.
        ListClients: GET "/auth/oauth/clients" Roles(&[ClinicAdmin, Auditor]);
        /// Takes an app in.
        CreateClient: POST "/auth/oauth/clients" Roles(&[ClinicAdmin]) => Fresh;
        /// Shuts an app out, whoever let it in.
        EndClient: DELETE "/auth/oauth/clients/{id}" Roles(&[ClinicAdmin]);
        /// A new key for id tokens at once, the old ones are worth nothing any more.
        RotateKeys: POST "/auth/oauth/keys" Roles(&[ClinicAdmin]) => Fresh;
        /// Who else vouches for staff.
        ListSignInOptions: GET "/auth/sign-in-options" Anyone;
        /// Begins to sign in by somebody else's word.
        CreateExternalSignIn: POST "/auth/external-sign-ins" Anyone;
        /// Goes on with what they answered.
        CompleteExternalSignIn: POST "/auth/external-sign-ins/answer" Anyone;
        /// To which accounts elsewhere one's own is tied.
        ListIdentities: GET "/auth/external-identities" STAFF;
        /// Begins to tie one's account to one elsewhere.
        CreateIdentityLink: POST "/auth/external-identities" STAFF => Fresh;
        /// Unties it.
        DeleteIdentity: DELETE "/auth/external-identities/{id}" STAFF;
        /// Who vouches for the clinic's staff.
        ListProviders: GET "/auth/identity-providers" Roles(&[ClinicAdmin, Auditor]);
        /// Has somebody else vouch for staff.
        CreateProvider: POST "/auth/identity-providers" Roles(&[ClinicAdmin]) => Fresh;
        /// Has them vouch no more.
        DeleteProvider: DELETE "/auth/identity-providers/{id}" Roles(&[ClinicAdmin]);
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
        /// The visits of the patient who asks, or for whom somebody asks.
        ListOwnVisits: GET "/scheduling/own-visits" VISITOR => Given(Scope::Read);
        /// The patient enters the waiting room.
        ArriveAtVisit: POST "/scheduling/visit/arrive" VISITOR;
        /// The visit of the patient who asks, for a calendar.
        GetVisitCalendar: GET "/scheduling/visit/calendar" VISITOR;
        /// The patient chooses another time.
        MoveVisit: POST "/scheduling/visit/move" Roles(&[Patient]);
        /// The patient does not come.
        CancelVisit: POST "/scheduling/visit/cancel" Roles(&[Patient]);
        /// The patient would come earlier, if something gets free.
        JoinWaitingList: POST "/scheduling/visit/waiting-list" Roles(&[Patient]);
        /// The patient would not, any more.
        LeaveWaitingList: DELETE "/scheduling/visit/waiting-list" Roles(&[Patient]);
        /// The patient takes the earlier time that is offered.
        AcceptOffer: POST "/scheduling/visit/offer" Roles(&[Patient]);
        /// The patient comes late.
        SayPatientIsLate: POST "/scheduling/visit/late" VISITOR;
        /// The clinic is late.
        SayClinicIsLate: POST "/scheduling/appointments/{id}/late" Roles(&[FrontDesk, Nurse, Doctor]);
        /// Somebody has to interpret, or nobody.
        PutInterpreter: PUT "/scheduling/appointments/{id}/interpreter" Roles(&[FrontDesk, Nurse, Doctor]);
        /// Visits that lack an interpreter.
        ListMissingInterpreters: GET "/scheduling/interpreters" Roles(&[FrontDesk, Nurse, Doctor]);
        /// The patient has not come.
        MarkNoShow: POST "/scheduling/appointments/{id}/no-show" Roles(&[FrontDesk, Nurse, Doctor]);
        /// Patients by the beginning of their names.
        ListPatients: GET "/scheduling/patients" Roles(&[FrontDesk, Nurse, Doctor]),
            Through::Scope("Patient", Permissions::SEARCH, ALL_LEVELS);
        /// The appointments of a day.
        ListAppointments: GET "/scheduling/appointments" Roles(&[FrontDesk, Nurse, Doctor, ClinicAdmin]),
            Through::Scope("Appointment", Permissions::SEARCH, ALL_LEVELS);
        /// Lets the patient in.
        AdmitPatient: POST "/scheduling/appointments/{id}/admit" Roles(&[Doctor, Nurse]),
            Through::Scope("Appointment", Permissions::UPDATE, &[Level::User]);
        /// Puts the visit on hold: the patient waits.
        HoldVisit: POST "/scheduling/appointments/{id}/hold" Roles(&[Doctor, Nurse]),
            Through::Scope("Appointment", Permissions::UPDATE, &[Level::User]);
        /// Another practitioner takes it over.
        TransferVisit: POST "/scheduling/appointments/{id}/transfer" Roles(&[FrontDesk, Nurse, Doctor]),
            Through::Scope("Appointment", Permissions::UPDATE, &[Level::User]);
        /// Ends the visit.
        EndVisit: POST "/scheduling/appointments/{id}/end" Roles(&[Doctor]),
            Through::Scope("Appointment", Permissions::UPDATE, &[Level::User]);
        /// Gives an appointment another time.
        MoveAppointment: POST "/scheduling/appointments/{id}/move" Roles(&[FrontDesk, Nurse, Doctor]),
            Through::Scope("Appointment", Permissions::UPDATE, &[Level::User]);
        /// Cancels an appointment.
        CancelAppointment: POST "/scheduling/appointments/{id}/cancel" Roles(&[FrontDesk, Nurse, Doctor]),
            Through::Scope("Appointment", Permissions::UPDATE, &[Level::User]);
        /// The patient, or a guest, says something of the call.
        ReportOnVisit: POST "/scheduling/visit/reports" Roles(&[Patient, Proxy, Guest]);
        /// Staff say something of the call.
        ReportOnCall: POST "/scheduling/appointments/{id}/reports" Roles(&[Doctor, Nurse]);
        /// Makes the link by which somebody else joins the visit.
        InviteGuest: POST "/scheduling/appointments/{id}/guests" Roles(&[FrontDesk, Doctor, Nurse]);
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
        /// The same for a patient who is known.
        CreateOwnConfirmation: POST "/payments/own-confirmations" VISITOR => Given(Scope::Book);
        /// How visits can be paid.
        GetPaymentOptions: GET "/payments/options" Anyone;
        /// Begins to pay for a hold by card.
        CreateCardPayment: POST "/payments/card-payments" Anyone;
        /// The same for a patient who is known.
        CreateOwnCardPayment: POST "/payments/own-card-payments" VISITOR => Given(Scope::Book);
        /// Looks what the provider says of a payment; books what is authorised.
        CheckCardPayment: POST "/payments/card-payments/{id}/check" Anyone;
        /// Takes what the provider tells, by its signature.
        ReceiveStripeEvent: POST "/payments/hooks/stripe" Anyone;
        /// Does what is due and compares with the provider's books.
        Reconcile: POST "/payments/reconcile" Node;
        /// The same, when somebody presses a button.
        ReconcileNow: POST "/payments/reconciliations" Roles(&[FrontDesk, Billing, ClinicAdmin]);
        /// What visits of a day cost, and how far they are paid.
        ListInvoices: GET "/payments/invoices" Roles(&[FrontDesk, Billing, ClinicAdmin]);
        /// An invoice, or the receipt, to print.
        GetInvoiceDocument: GET "/payments/invoices/{id}/document" Roles(&[FrontDesk, Billing, ClinicAdmin]);
        /// Says that an invoice was paid at the clinic.
        RecordPayment: POST "/payments/invoices/{id}/payments" Roles(&[FrontDesk, Billing]);
        /// Takes what a card was authorised for.
        CaptureInvoice: POST "/payments/invoices/{id}/capture" Roles(&[FrontDesk, Billing]);
        /// Gives money back, all or a part.
        RefundInvoice: POST "/payments/invoices/{id}/refunds" Roles(&[Billing, ClinicAdmin]) => Fresh;
        /// Asks the provider for what is still to be asked about an invoice.
        SettleInvoice: POST "/payments/invoices/{id}/settle" Roles(&[FrontDesk, Billing, ClinicAdmin]);
        /// What came in and went out, day by day.
        GetPaymentReport: GET "/payments/report" Roles(&[Billing, ClinicAdmin]);
        /// How the clinic is paid.
        GetPaymentSettings: GET "/payments/settings" Roles(&[Billing, ClinicAdmin]);
        /// Changes that.
        PutPaymentSettings: PUT "/payments/settings" Roles(&[ClinicAdmin]);
        /// The invoice of the visit of the patient who asks.
        GetVisitInvoice: GET "/payments/visit-invoice" VISITOR;
        /// The same, or the receipt, to print.
        GetVisitInvoiceDocument: GET "/payments/visit-invoice/document" VISITOR;
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
        GetEncounter: GET "/records/encounters/{id}" Roles(&[Doctor, Nurse]),
            Through::Scope("Encounter", Permissions::READ, ALL_LEVELS);
        /// Writes the note of an encounter.
        PutNote: PUT "/records/encounters/{id}/note" Roles(&[Doctor]),
            Through::Scope("DocumentReference", Permissions::UPDATE, PERSON);
        /// Who was in the call of an encounter, and for how long.
        GetCall: GET "/records/encounters/{id}/call" Roles(&[Doctor, Nurse]),
            Through::Scope("Encounter", Permissions::READ, ALL_LEVELS);
        /// Opens the record of somebody who is not one's own patient, with a reason.
        CreateEmergencyAccess: POST "/records/encounters/{id}/emergency-access" Roles(&[Doctor, Nurse]);
        /// What the patient who asks is asked before the visit, and has answered.
        GetVisitIntake: GET "/records/visit/intake" VISITOR;
        /// They answer.
        PutVisitIntake: PUT "/records/visit/intake" VISITOR;
        /// What the patient who asks agrees to, and whether they did.
        GetVisitConsent: GET "/records/visit/consent" VISITOR;
        /// They agree.
        GiveConsent: POST "/records/visit/consent" VISITOR;
        /// They take it back.
        WithdrawConsent: POST "/records/visit/consent/withdraw" VISITOR;
        /// What a patient answered, and at their visit before.
        GetIntake: GET "/records/encounters/{id}/intake" Roles(&[Doctor, Nurse]);
        /// Whether a patient agreed, and to what.
        GetConsent: GET "/records/encounters/{id}/consent" Roles(&[Doctor, Nurse]);
        /// A clinician read the text out and heard the patient agree.
        AttestConsent: POST "/records/encounters/{id}/consent" Roles(&[Doctor, Nurse]);
        /// A clinician begins without, in an emergency, with a reason.
        OverrideConsent: POST "/records/encounters/{id}/consent-override" Roles(&[Doctor, Nurse]);
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
    Fhir "fhir" {
        /// What the clinic's FHIR server can do.
        GetCapabilities: GET "/fhir/R4/metadata" Anyone;
        /// Does many things at once, or looks them up.
        ProcessBundle: POST "/fhir/R4" STAFF, Through::Each(Permissions::NONE);
        /// Finds resources of a type.
        SearchResources: GET "/fhir/R4/{type}" STAFF, Through::Each(Permissions::SEARCH);
        /// The same, by a form.
        SearchResourcesByForm: POST "/fhir/R4/{type}/_search" STAFF, Through::Each(Permissions::SEARCH);
        /// Says whether a resource is valid.
        ValidateResource: POST "/fhir/R4/{type}/$validate" STAFF, Through::Each(Permissions::READ);
        /// Adds a resource.
        CreateResource: POST "/fhir/R4/{type}" STAFF, Through::Each(Permissions::CREATE);
        /// Changes the one that a search finds, or adds it.
        UpdateFoundResource: PUT "/fhir/R4/{type}" STAFF, Through::Each(Permissions::UPDATE);
        /// A resource.
        ReadResource: GET "/fhir/R4/{type}/{id}" STAFF, Through::Each(Permissions::READ);
        /// Changes a resource, or adds it under that id.
        UpdateResource: PUT "/fhir/R4/{type}/{id}" STAFF, Through::Each(Permissions::UPDATE);
        /// Deletes a resource; its history stays.
        DeleteResource: DELETE "/fhir/R4/{type}/{id}" STAFF, Through::Each(Permissions::DELETE);
        /// What a resource was before.
        ReadHistory: GET "/fhir/R4/{type}/{id}/_history" STAFF, Through::Each(Permissions::READ);
        /// One version of a resource.
        ReadVersion: GET "/fhir/R4/{type}/{id}/_history/{version}" STAFF, Through::Each(Permissions::READ);
        /// All that there is of a patient.
        ReadEverything: GET "/fhir/R4/{type}/{id}/$everything" STAFF, Through::Each(Permissions::READ);
    }
    Messages "messages" {
        /// Sends the link to a visit again to whoever lost it.
        CreateLinkRequest: POST "/messages/link-requests" Anyone;
        /// What was sent, for the demonstration.
        ListOutbox: GET "/messages/outbox" Roles(&[FrontDesk, ClinicAdmin]);
        /// Hands messages to the edge host that sends them, and keeps what became of them.
        CreateDeliveries: POST "/messages/deliveries" Node;
        /// Plans the reminders that are due.
        PlanReminders: POST "/messages/reminders" Node;
        /// What did not go out.
        ListMessageWork: GET "/messages/work" Roles(&[FrontDesk, ClinicAdmin]);
        /// Sends it once more, or says that it was seen to.
        ResolveMessage: POST "/messages/work/{id}" Roles(&[FrontDesk, ClinicAdmin]);
        /// How the clinic writes to people.
        GetMessageSettings: GET "/messages/settings" Roles(&[FrontDesk, ClinicAdmin]);
        /// Changes that.
        PutMessageSettings: PUT "/messages/settings" Roles(&[ClinicAdmin]);
        /// Somebody wants no more of the messages that they can do without, or wants them again.
        CreateOptOut: POST "/messages/opt-outs" Anyone;
        /// Whom the clinic and patients write to each other with.
        ListThreads: GET "/messages/threads" Roles(&[Nurse, Doctor]);
        /// What the patient of a visit and the clinic have written.
        GetThread: GET "/messages/appointments/{id}/thread" Roles(&[Nurse, Doctor]);
        /// Writes to that patient.
        CreateThreadMessage: POST "/messages/appointments/{id}/thread" Roles(&[Nurse, Doctor]);
        /// The same, for the patient who asks.
        GetOwnThread: GET "/messages/own-thread" Roles(&[Patient]) => Account;
        /// Writes to the clinic.
        CreateOwnThreadMessage: POST "/messages/own-thread" Roles(&[Patient]) => Account;
        /// Plans when a patient is to be seen again.
        CreateRecall: POST "/messages/recalls" Roles(&[Nurse, Doctor]);
        /// Who is to be seen again now, or soon.
        ListRecalls: GET "/messages/recalls" Roles(&[FrontDesk, Nurse, Doctor]);
        /// Writes to one of them.
        ContactRecall: POST "/messages/recalls/{id}/contact" Roles(&[FrontDesk, Nurse, Doctor]);
        /// They need not come.
        CloseRecall: POST "/messages/recalls/{id}/close" Roles(&[FrontDesk, Nurse, Doctor]);
        /// Writes to who is due, and closes what was booked.
        RunRecalls: POST "/messages/recalls/run" Node;
        /// For which services whoever was seen is to be seen again.
        ListRecallRules: GET "/messages/recall-rules" Roles(&[FrontDesk, Nurse, Doctor, ClinicAdmin]);
        /// One more of them.
        CreateRecallRule: POST "/messages/recall-rules" Roles(&[Doctor, ClinicAdmin]);
        /// One less.
        EndRecallRule: DELETE "/messages/recall-rules/{id}" Roles(&[Doctor, ClinicAdmin]);
        /// How the patient of a visit is written to.
        GetContact: GET "/messages/appointments/{id}/contact" Roles(&[FrontDesk, ClinicAdmin]);
        /// Corrects that.
        PutContact: PUT "/messages/appointments/{id}/contact" Roles(&[FrontDesk, ClinicAdmin]);
        /// How the patient who asks is written to.
        GetVisitContact: GET "/messages/visit-contact" Roles(&[Patient]);
        /// Changes that.
        PutVisitContact: PUT "/messages/visit-contact" Roles(&[Patient]);
        /// What is still missing before visits.
        ListMissing: GET "/messages/missing" Roles(&[FrontDesk, ClinicAdmin]);
        /// What the provider of short messages says became of one.
        ReceiveSmsStatus: POST "/messages/hooks/sms/{id}" Anyone;
        /// What somebody answers to one.
        ReceiveSms: POST "/messages/hooks/sms" Anyone;
        /// Mail that came back.
        ReceiveBounce: POST "/messages/hooks/bounces" Anyone;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &'static str) -> Rule<()> {
        Rule {
            operation: (),
            name: "X",
            method: Method::GET,
            path,
            access: Anyone,
            condition: Condition::Always,
            app: None,
        }
    }

    #[test]
    fn a_path_matches_as_a_whole() {
        assert_eq!(rule("/a/{id}/b").matches("/a/7/b"), Some(Some("7")));
        assert_eq!(rule("/a").matches("/a"), Some(None));
        for other in ["/a/7", "/a/7/b/", "/a/7/b/c", "/b/7/b", "a/7/b", ""] {
            assert_eq!(rule("/a/{id}/b").matches(other), None, "{other}");
        }
    }

    /// Whoever may do something by an operation may grant the scope that the operation asks apps for.
    #[test]
    fn operations_and_resources_agree() {
        for entry in table() {
            let Some(Through::Scope(name, permission, levels)) = entry.app else { continue };
            let rule = resource(name).unwrap_or_else(|| panic!("{}: no resource {name}", entry.name));
            for role in Role::ALL.into_iter().filter(|role| entry.access.allows(*role)) {
                assert!(rule.of_roles(&[role]).holds(permission), "{}: {role} may not grant it", entry.name);
            }
            let system = levels.contains(&Level::System);
            assert!(!system || rule.of_system().holds(permission), "{}: not without a person", entry.name);
            // An app by itself changes nothing.
            assert!(!system || entry.method == Method::GET, "{}", entry.name);
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
