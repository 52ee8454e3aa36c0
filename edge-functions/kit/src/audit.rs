//! Who did what (45 CFR 164.312(b)), in the terms of FHIR's `AuditEvent`: ids only.
//!
//! A function says it in the answer's header `locum-audit`, one JSON object an event. The edge host takes the
//! header off, adds request, time and place, and keeps the event: with what the request wrote, or on a disk
//! before the answer leaves.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderMap, HeaderName};
use serde::Serialize;

use crate::context::{Caller, Context, Visitor};
use crate::database::{Database, DatabaseError};
use crate::ids::ClinicId;
use crate::params;
use crate::policy::Role;

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
    /// Too many wrong attempts from one address: for some time nothing is taken from it.
    AddressBlocked,
    /// An administrator ended the lock of an account.
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
    /// An appointment got another time.
    AppointmentMoved,
    /// An appointment was cancelled.
    AppointmentCancelled,
    /// Somebody wants to come earlier, or no more.
    WaitingListChanged,
    /// Whoever wants to come earlier was offered a time.
    SlotOffered,
    /// The patient or the clinic says that they come late.
    LatenessSaid,
    /// Somebody has to interpret, or not any more.
    InterpreterChanged,
    /// The list of visits that lack an interpreter was read.
    InterpretersRead,
    /// The patient did not come.
    PatientDidNotCome,
    /// An appointment was read, by the patient or by staff.
    AppointmentRead,
    /// The list of a day was read.
    DayRead,
    /// The patient entered the waiting room.
    PatientArrived,
    /// The patient was let in.
    PatientAdmitted,
    /// Puts a visit on hold.
    VisitHeld,
    /// Gives a visit to another practitioner.
    VisitTransferred,
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
    /// A mail server, or who sends short messages, has taken a message.
    MessageSent,
    /// A message was refused for good, or nobody knows what became of it.
    MessageFailed,
    /// The list of messages that did not go out was read.
    MessageWorkRead,
    /// A message is sent once more, by a person's word.
    MessageResent,
    /// A person has seen to a message that did not go out.
    MessageClosed,
    /// The list of conversations was read.
    ThreadsRead,
    /// A conversation was read by the clinic.
    ThreadRead,
    /// The clinic wrote to a patient.
    ThreadWritten,
    /// A patient read their conversation.
    OwnThreadRead,
    /// A patient wrote to the clinic.
    OwnThreadWritten,
    /// A patient is to be seen again.
    RecallPlanned,
    /// The list of who is to be seen again was read.
    RecallsRead,
    /// Somebody was written to about it.
    RecallContacted,
    /// It is done.
    RecallClosed,
    /// Somebody wants no more messages that they can do without, or wants them again.
    OptedOut,
    /// How a patient is written to was read.
    ContactRead,
    /// How a patient is written to was changed.
    ContactChanged,
    /// What is missing before visits was read.
    MissingRead,
    /// Audit events were searched.
    AuditRead,
    /// Audit events left as a file.
    AuditExported,
    /// Audit events left as a document to print.
    AuditPrinted,
    /// The patient read who saw their record.
    AccessRead,
    /// What is to be reviewed was read.
    ReviewsRead,
    /// An access was reviewed.
    ReviewSigned,
    /// What is reviewed, and who may see what, was changed.
    OversightChanged,
    /// A clinician was refused a record that is not theirs.
    AccessRefused,
    /// A clinician opened such a record all the same, with a reason.
    EmergencyAccess,
    /// The roles of all staff are to be looked through.
    RecertificationBegun,
    /// The roles of one of them were.
    AccessCertified,
    /// Licences of staff were read.
    LicencesRead,
    /// Somebody has a licence.
    LicenceAdded,
    /// A licence was taken back.
    LicenceRemoved,
    /// Somebody came into a call, as its media node tells.
    CallJoined,
    /// Somebody left a call.
    CallLeft,
    /// What is reviewed, and who may see what, was read.
    OversightRead,
    /// How far the recertifications are was read.
    RecertificationsRead,
    /// Somebody who is signed in showed once more who they are.
    ProofGiven,
    /// Somebody who is signed in elsewhere was asked to let a sign-in through.
    ApprovalAsked,
    /// They did.
    ApprovalGiven,
    /// They did not, or picked a wrong number.
    ApprovalRefused,
    /// Somebody signed in from a country they were not known to sign in from.
    NewCountry,
    /// The rules of sign-in and links were changed.
    SettingsChanged,
    /// The rules of sign-in and links were read.
    SettingsRead,
    /// Whoever opened a link showed who they are, with date of birth or code.
    LinkProved,
    /// Whoever opened a link gave a wrong date of birth or code.
    LinkProofFailed,
    /// After too many of those a link works no more.
    LinkSpent,
    /// A code for a link was sent.
    LinkCodeSent,
    /// Somebody asked for a code to sign in as a patient.
    PatientCodeRequested,
    /// A patient, or who acts for one, signed in.
    PatientSignIn,
    /// Somebody gave a wrong code, or a passkey that is nobody's.
    PatientSignInFailed,
    /// A patient, or who acts for one, signed out.
    PatientSignOut,
    /// A patient has a new passkey.
    PatientPasskeyAdded,
    /// A patient's passkey was taken away.
    PatientPasskeyRemoved,
    /// The account of a patient was read.
    AccountRead,
    /// A patient's visits were listed.
    OwnVisitsRead,
    /// A visit was opened from an account.
    VisitOpened,
    /// Who acts for a patient was read.
    ProxiesRead,
    /// Somebody may act for a patient.
    ProxyInvited,
    /// That was taken back.
    ProxyRevoked,
    /// Patients were looked for.
    PatientsSearched,
    /// An app did what stands beside this in the same request.
    AppUsed,
    /// Something of an app's was refused: itself, what it asked for, its token.
    AppRefused,
    /// Somebody whom we know asked for what their role may not do, or for an id that this clinic does not have.
    OperationRefused,
    /// A code or refresh token came a second time: nothing of its grant is worth anything any more.
    AppTokenReused,
    /// Somebody let an app in, or an app came by itself.
    AppGranted,
    /// Somebody did not let an app in.
    AppDenied,
    /// An app was shut out, or gave its tokens back.
    AppRevoked,
    /// An app was opened for a patient.
    AppLaunched,
    /// An app got tokens.
    AppTokenMade,
    /// Apps that the clinic knows were read.
    AppsRead,
    /// An app was taken in.
    AppRegistered,
    /// An app was shut out for good.
    AppEnded,
    /// Id tokens have a new key.
    KeysRotated,
    /// Somebody else vouched for a member of staff.
    SignInVouched,
    /// Somebody's account is tied to one elsewhere.
    IdentityLinked,
    /// It is not any more.
    IdentityUnlinked,
    /// Somebody else may vouch for staff.
    ProviderAdded,
    /// They may not any more.
    ProviderRemoved,
    /// Somebody began to pay by card.
    PaymentBegun,
    /// The provider was asked how far a payment is.
    PaymentChecked,
    /// What was due was done, and our books compared with the provider's.
    PaymentsReconciled,
    /// Invoices of a day were read.
    InvoicesRead,
    /// An invoice was read.
    InvoiceRead,
    /// An invoice or receipt left as a document.
    InvoicePrinted,
    /// An invoice was paid at the clinic.
    InvoicePaid,
    /// What a card was authorised for is to be taken.
    CaptureAsked,
    /// Money is to be given back.
    RefundAsked,
    /// The provider was asked for what was still to be asked.
    InvoiceSettled,
    /// What came in and went out was read.
    PaymentReportRead,
    /// How the clinic is paid was read.
    PaymentSettingsRead,
    /// How the clinic is paid was changed.
    PaymentSettingsChanged,
    /// What a patient answered before a visit was read, by themselves or by staff.
    IntakeRead,
    /// Some of it was written.
    IntakeSaved,
    /// The patient was done with it.
    IntakeCompleted,
    /// What a patient agrees to, and whether they did, was read.
    ConsentRead,
    /// A patient agreed.
    ConsentGiven,
    /// A clinician heard the patient agree.
    ConsentAttested,
    /// A patient took it back.
    ConsentWithdrawn,
    /// A clinician began a visit without it, in an emergency.
    ConsentOverridden,
    /// What the FHIR server can do was read.
    CapabilitiesRead,
    /// A resource of that type was read.
    ResourceRead(&'static str),
    /// A resource of that type, or a patient of whom there are some, was found.
    ResourceFound(&'static str),
    /// A resource of that type was added.
    ResourceCreated(&'static str),
    /// A resource of that type was changed.
    ResourceUpdated(&'static str),
    /// A resource of that type was deleted.
    ResourceDeleted(&'static str),
    /// Many things were done at once.
    BundleProcessed,
    /// Somebody was told whether a resource of that type is valid.
    ResourceValidated(&'static str),
}

/// Why a record is touched: codes of HL7's PurposeOfUse (`http://terminology.hl7.org/CodeSystem/v3-ActReason`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Treatment.
    Treatment,
    /// Somebody else's patient, in an emergency.
    BreakTheGlass,
    /// The patient themselves asks.
    PatientRequest,
    /// What else a clinic does.
    Operations,
}

impl Purpose {
    /// The code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Treatment => "TREAT",
            Self::BreakTheGlass => "BTG",
            Self::PatientRequest => "PATRQT",
            Self::Operations => "HOPERAT",
        }
    }

    fn of(caller: &Caller) -> Option<Self> {
        if (caller.visitor.is_some() || caller.person.is_some()) && caller.staff.is_none() {
            return Some(Self::PatientRequest);
        }
        let staff = caller.staff.as_ref()?;
        let treats = staff.roles.iter().any(|role| matches!(role, Role::Doctor | Role::Nurse));
        Some(if treats { Self::Treatment } else { Self::Operations })
    }
}

/// The events of one request so far.
#[derive(Default)]
pub struct Trail {
    events: RefCell<Vec<Event>>,
    /// By what the caller is known: the beginning of a secret's hash, which opens nothing.
    token: RefCell<Option<String>>,
    purpose: Cell<Option<Purpose>>,
}

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
    /// Whose record it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<String>,
    /// `AuditEvent.purposeOfEvent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// What was there before, and is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
}

#[derive(Clone, Eq, Ord, PartialEq, PartialOrd, Serialize)]
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
            Self::AddressBlocked => ("address-blocked", 'E', "Organization"),
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
            Self::AppointmentMoved => ("appointment-moved", 'U', "Appointment"),
            Self::AppointmentCancelled => ("appointment-cancelled", 'U', "Appointment"),
            Self::WaitingListChanged => ("waiting-list-changed", 'U', "Appointment"),
            Self::SlotOffered => ("slot-offered", 'U', "Appointment"),
            Self::LatenessSaid => ("lateness-said", 'U', "Appointment"),
            Self::InterpreterChanged => ("interpreter-changed", 'U', "Appointment"),
            Self::InterpretersRead => ("interpreters-read", 'R', "Appointment"),
            Self::PatientDidNotCome => ("patient-did-not-come", 'U', "Appointment"),
            Self::AppointmentRead => ("appointment-read", 'R', "Appointment"),
            // What was asked, not what the answer held: a list is recorded as a query is (IHE BALP, "Query").
            Self::DayRead => ("day-read", 'R', "Day"),
            Self::PatientArrived => ("patient-arrived", 'U', "Appointment"),
            Self::PatientAdmitted => ("patient-admitted", 'U', "Appointment"),
            Self::VisitHeld => ("visit-held", 'U', "Appointment"),
            Self::VisitTransferred => ("visit-transferred", 'U', "Appointment"),
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
            Self::MessageSent => ("message-sent", 'E', "Communication"),
            Self::MessageFailed => ("message-failed", 'E', "Communication"),
            Self::MessageWorkRead => ("message-work-read", 'R', "Communication"),
            Self::MessageResent => ("message-resent", 'U', "Communication"),
            Self::MessageClosed => ("message-closed", 'U', "Communication"),
            Self::ThreadsRead => ("threads-read", 'R', "Communication"),
            Self::ThreadRead => ("thread-read", 'R', "Appointment"),
            Self::ThreadWritten => ("thread-written", 'C', "Appointment"),
            Self::OwnThreadRead => ("own-thread-read", 'R', "Patient"),
            Self::OwnThreadWritten => ("own-thread-written", 'C', "Patient"),
            Self::RecallPlanned => ("recall-planned", 'C', "Appointment"),
            Self::RecallsRead => ("recalls-read", 'R', "Task"),
            Self::RecallContacted => ("recall-contacted", 'U', "Task"),
            Self::RecallClosed => ("recall-closed", 'U', "Task"),
            Self::ContactRead => ("contact-read", 'R', "Patient"),
            Self::ContactChanged => ("contact-changed", 'U', "Patient"),
            Self::MissingRead => ("missing-read", 'R', "Task"),
            Self::OptedOut => ("opted-out", 'U', "Communication"),
            Self::AuditRead => ("audit-read", 'R', "AuditEvent"),
            Self::AuditExported => ("audit-exported", 'E', "AuditEvent"),
            Self::AuditPrinted => ("audit-printed", 'E', "AuditEvent"),
            Self::AccessRead => ("access-read", 'R', "Patient"),
            Self::ReviewsRead => ("reviews-read", 'R', "Task"),
            Self::ReviewSigned => ("review-signed", 'C', "Task"),
            Self::OversightChanged => ("oversight-changed", 'U', "Organization"),
            Self::AccessRefused => ("access-refused", 'E', "Encounter"),
            Self::EmergencyAccess => ("emergency-access", 'E', "Encounter"),
            Self::RecertificationBegun => ("recertification-begun", 'C', "Task"),
            Self::AccessCertified => ("access-certified", 'U', "Practitioner"),
            Self::LicencesRead => ("licences-read", 'R', "Practitioner"),
            Self::LicenceAdded => ("licence-added", 'C', "Practitioner"),
            Self::LicenceRemoved => ("licence-removed", 'D', "Practitioner"),
            Self::CallJoined => ("call-joined", 'E', "Appointment"),
            Self::CallLeft => ("call-left", 'E', "Appointment"),
            Self::OversightRead => ("oversight-read", 'R', "Organization"),
            Self::RecertificationsRead => ("recertifications-read", 'R', "Practitioner"),
            Self::ProofGiven => ("proof-given", 'E', "Practitioner"),
            Self::ApprovalAsked => ("approval-asked", 'E', "Practitioner"),
            Self::ApprovalGiven => ("approval-given", 'E', "Practitioner"),
            Self::ApprovalRefused => ("approval-refused", 'E', "Practitioner"),
            Self::NewCountry => ("new-country", 'E', "Practitioner"),
            Self::SettingsChanged => ("settings-changed", 'U', "Organization"),
            Self::SettingsRead => ("settings-read", 'R', "Organization"),
            Self::LinkProved => ("link-proved", 'E', "Appointment"),
            Self::LinkProofFailed => ("link-proof-failed", 'E', "Appointment"),
            Self::LinkSpent => ("link-spent", 'E', "Appointment"),
            Self::LinkCodeSent => ("link-code-sent", 'E', "Appointment"),
            Self::PatientCodeRequested => ("patient-code-requested", 'E', "Patient"),
            Self::PatientSignIn => ("patient-sign-in", 'E', "Patient"),
            Self::PatientSignInFailed => ("patient-sign-in-failed", 'E', "Patient"),
            Self::PatientSignOut => ("patient-sign-out", 'E', "Patient"),
            Self::PatientPasskeyAdded => ("patient-passkey-added", 'C', "Patient"),
            Self::PatientPasskeyRemoved => ("patient-passkey-removed", 'D', "Patient"),
            Self::AccountRead => ("account-read", 'R', "Patient"),
            Self::OwnVisitsRead => ("own-visits-read", 'R', "Patient"),
            Self::VisitOpened => ("visit-opened", 'E', "Appointment"),
            Self::ProxiesRead => ("proxies-read", 'R', "Patient"),
            Self::ProxyInvited => ("proxy-invited", 'C', "RelatedPerson"),
            Self::ProxyRevoked => ("proxy-revoked", 'D', "RelatedPerson"),
            Self::PatientsSearched => ("patients-searched", 'R', "Patient"),
            Self::AppUsed => ("app-used", 'E', "Consent"),
            Self::AppRefused => ("app-refused", 'E', "Device"),
            Self::OperationRefused => ("operation-refused", 'E', "OperationDefinition"),
            Self::AppTokenReused => ("app-token-reused", 'D', "Consent"),
            Self::AppGranted => ("app-granted", 'C', "Consent"),
            Self::AppDenied => ("app-denied", 'E', "Device"),
            Self::AppRevoked => ("app-revoked", 'D', "Consent"),
            Self::AppLaunched => ("app-launched", 'E', "Device"),
            Self::AppTokenMade => ("app-token-made", 'E', "Consent"),
            Self::AppsRead => ("apps-read", 'R', "Device"),
            Self::AppRegistered => ("app-registered", 'C', "Device"),
            Self::AppEnded => ("app-ended", 'D', "Device"),
            Self::KeysRotated => ("keys-rotated", 'U', "Organization"),
            Self::SignInVouched => ("sign-in-vouched", 'E', "Organization"),
            Self::IdentityLinked => ("identity-linked", 'C', "Practitioner"),
            Self::IdentityUnlinked => ("identity-unlinked", 'D', "Practitioner"),
            Self::ProviderAdded => ("provider-added", 'C', "Organization"),
            Self::ProviderRemoved => ("provider-removed", 'D', "Organization"),
            Self::PaymentBegun => ("payment-begun", 'C', "Payment"),
            Self::PaymentChecked => ("payment-checked", 'R', "Payment"),
            Self::PaymentsReconciled => ("payments-reconciled", 'E', "Payment"),
            Self::InvoicesRead => ("invoices-read", 'R', "Day"),
            Self::InvoiceRead => ("invoice-read", 'R', "Invoice"),
            Self::InvoicePrinted => ("invoice-printed", 'E', "Invoice"),
            Self::InvoicePaid => ("invoice-paid", 'U', "Invoice"),
            Self::CaptureAsked => ("capture-asked", 'U', "Invoice"),
            Self::RefundAsked => ("refund-asked", 'U', "Invoice"),
            Self::InvoiceSettled => ("invoice-settled", 'E', "Invoice"),
            Self::PaymentReportRead => ("payment-report-read", 'R', "Organization"),
            Self::PaymentSettingsRead => ("payment-settings-read", 'R', "Organization"),
            Self::PaymentSettingsChanged => ("payment-settings-changed", 'U', "Organization"),
            Self::IntakeRead => ("intake-read", 'R', "Appointment"),
            Self::IntakeSaved => ("intake-saved", 'U', "Appointment"),
            Self::IntakeCompleted => ("intake-completed", 'U', "Appointment"),
            Self::ConsentRead => ("consent-read", 'R', "Appointment"),
            Self::ConsentGiven => ("consent-given", 'C', "Appointment"),
            Self::ConsentAttested => ("consent-attested", 'C', "Appointment"),
            Self::ConsentWithdrawn => ("consent-withdrawn", 'U', "Appointment"),
            Self::ConsentOverridden => ("consent-overridden", 'E', "Appointment"),
            Self::CapabilitiesRead => ("capabilities-read", 'R', "CapabilityStatement"),
            Self::ResourceRead(kind) => ("resource-read", 'R', kind),
            Self::ResourceFound(kind) => ("resource-found", 'R', kind),
            Self::ResourceCreated(kind) => ("resource-created", 'C', kind),
            Self::ResourceUpdated(kind) => ("resource-updated", 'U', kind),
            Self::ResourceDeleted(kind) => ("resource-deleted", 'D', kind),
            Self::BundleProcessed => ("bundle-processed", 'E', "Bundle"),
            Self::ResourceValidated(kind) => ("resource-validated", 'E', kind),
        }
    }
}

impl Trail {
    /// Puts the events into an answer.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        for event in self.events.borrow().iter() {
            // Ids and words of our own: always a header's value.
            if let Some(value) = serde_json::to_string(event).ok().and_then(|text| text.parse().ok()) {
                headers.append(HEADER, value);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.borrow().len()
    }

    /// Says by which session or token the caller is known.
    pub(crate) fn known_by(&self, hash: &[u8; 32]) {
        let token = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.token.replace(Some(token));
    }

    /// Adds whose record each event is of.
    pub(crate) async fn find_patients(
        &self,
        database: &dyn Database,
        clinic: &ClinicId,
    ) -> Result<(), DatabaseError> {
        let mut known: BTreeMap<Named, Option<String>> = BTreeMap::new();
        let wanted: Vec<(usize, Named)> = {
            let events = self.events.borrow();
            let of = |(place, event): (usize, &Event)| Some((place, event.entity.clone()?));
            events.iter().enumerate().filter(|(_, event)| event.patient.is_none()).filter_map(of).collect()
        };
        for (place, entity) in wanted {
            let patient = match known.get(&entity) {
                Some(patient) => patient.clone(),
                None => patient_of(database, clinic, &entity).await?,
            };
            known.insert(entity, patient.clone());
            if let Some(event) = self.events.borrow_mut().get_mut(place) {
                event.patient = patient;
            }
        }
        Ok(())
    }

    /// Records that `caller` did `action` to the thing with the id `subject`.
    pub(crate) fn note(&self, caller: &Caller, action: Action, subject: Option<&dyn fmt::Display>) {
        let (code, action, kind) = action.terms();
        let agent = Named::agent(caller);
        let entity = subject.map(|id| Named { kind, id: Some(id.to_string()) });
        let purpose = self.purpose.get().or_else(|| Purpose::of(caller)).map(Purpose::code);
        let token = self.token.borrow().clone();
        let event =
            Event { action, code, agent, entity, patient: None, purpose, token, old: None, new: None };
        self.events.borrow_mut().push(event);
    }

    /// What was undone did not happen.
    pub(crate) fn undo(&self, to: usize) {
        self.events.borrow_mut().truncate(to);
    }
}

impl Named {
    fn agent(caller: &Caller) -> Self {
        let (kind, id) = match (&caller.staff, &caller.visitor) {
            (Some(staff), _) => ("staff", Some(staff.user.to_string())),
            (None, None) if caller.grant.is_some() => {
                ("app", caller.grant.as_ref().map(|grant| grant.client.to_string()))
            }
            (None, Some(Visitor { guest: Some(guest), .. })) => ("guest", Some(guest.to_string())),
            (None, Some(Visitor { proxy: Some(proxy), .. })) => ("proxy", Some(proxy.to_string())),
            (None, None) if caller.signing_in.is_some() => {
                ("signing-in", caller.signing_in.map(|signing_in| signing_in.user.to_string()))
            }
            (None, None) if caller.person.is_some() => {
                caller.person.as_ref().map_or(("patient", None), |person| match &person.proxy {
                    Some(proxy) => ("proxy", Some(proxy.id.to_string())),
                    None => ("patient", Some(person.account.to_string())),
                })
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
        self.audit_change(action, subject, (None, None));
    }

    /// The same where it is known whose record it is of.
    pub fn audit_of(&self, action: Action, subject: &dyn fmt::Display, patient: Option<&str>) {
        self.audit(action, Some(subject));
        if let Some(event) = self.trail.events.borrow_mut().last_mut() {
            event.patient = patient.map(str::to_owned);
        }
    }

    /// The same for a change: what was there before, and what is there now, as codes of ours.
    pub fn audit_change(
        &self,
        action: Action,
        subject: Option<&dyn fmt::Display>,
        (old, new): (Option<String>, Option<String>),
    ) {
        let (code, action, kind) = action.terms();
        let agent = Named::agent(&self.caller);
        let entity = subject.map(|id| Named { kind, id: Some(id.to_string()) });
        let purpose = self.trail.purpose.get().or_else(|| Purpose::of(&self.caller)).map(Purpose::code);
        let token = self.trail.token.borrow().clone();
        let word = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (old, new) = (word(old), word(new));
        let event = Event { action, code, agent, entity, patient: None, purpose, token, old, new };
        self.trail.events.borrow_mut().push(event);
    }

    /// Says why what follows is done, where it is not the usual.
    pub fn purpose(&self, purpose: Purpose) {
        self.trail.purpose.set(Some(purpose));
    }

    /// Beside whom an app did something for: that it was the app, and what it came in by.
    pub(crate) fn audit_app(&self) {
        if let Some(grant) = self.caller.grant.as_ref().filter(|_| self.trail.len() > 0) {
            self.audit(Action::AppUsed, Some(&grant.id));
        }
    }
}

async fn patient_of(
    database: &dyn Database,
    clinic: &ClinicId,
    entity: &Named,
) -> Result<Option<String>, DatabaseError> {
    let Some(id) = entity.id.as_deref() else { return Ok(None) };
    let sql = match entity.kind {
        // Reading of whom something was recorded is reading of them.
        "Patient" | "AuditEvent" => return Ok(Some(id.to_owned())),
        "QuestionnaireResponse" => {
            "SELECT a.patient FROM questionnaire_response q
             JOIN appointment a ON a.clinic = q.clinic AND a.id = q.appointment
             WHERE q.clinic = ? AND q.id = ?"
        }
        kind if crate::resources::is_stored(kind) => {
            let sql = "SELECT patient FROM fhir_resource WHERE clinic = ? AND type = ? AND id = ?";
            let rows = database.query(sql, params![clinic, kind, id]).await?;
            return Ok(rows.first().map(|row| row.text_or_null(0)).transpose()?.flatten());
        }
        "Appointment" => "SELECT patient FROM appointment WHERE clinic = ? AND id = ?",
        "Invoice" => {
            "SELECT a.patient FROM invoice i
             JOIN appointment a ON a.clinic = i.clinic AND a.id = i.appointment
             WHERE i.clinic = ? AND i.id = ?"
        }
        "Encounter" => {
            "SELECT a.patient FROM encounter e
             JOIN appointment a ON a.clinic = e.clinic AND a.id = e.appointment
             WHERE e.clinic = ? AND e.id = ?"
        }
        _ => return Ok(None),
    };
    let rows = database.query(sql, params![clinic, id]).await?;
    rows.first().map(|row| row.text(0)).transpose()
}
