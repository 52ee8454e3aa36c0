//! Who did what (45 CFR 164.312(b)): one row an event, with ids only.

use crate::context::Context;
use crate::database::Value;
use crate::params;
use crate::problem::Problem;

/// What is recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// A clinic was set up.
    ClinicSetUp,
    /// A member of staff signed in.
    SignIn,
    /// Somebody gave a wrong password or an unknown name.
    SignInFailed,
    /// A member of staff signed out.
    SignOut,
    /// An invitation link was used.
    LinkUsed,
    /// A link that is unknown, or whose visit is over.
    LinkRefused,
    /// The patient was let in.
    PatientAdmitted,
    /// The visit was ended.
    VisitEnded,
    /// A token for the call was minted.
    TokenMinted,
    /// An encounter was read, its note included.
    NoteRead,
    /// A note was written.
    NoteWritten,
}

impl Action {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ClinicSetUp => "clinic-set-up",
            Self::SignIn => "sign-in",
            Self::SignInFailed => "sign-in-failed",
            Self::SignOut => "sign-out",
            Self::LinkUsed => "link-used",
            Self::LinkRefused => "link-refused",
            Self::PatientAdmitted => "patient-admitted",
            Self::VisitEnded => "visit-ended",
            Self::TokenMinted => "token-minted",
            Self::NoteRead => "note-read",
            Self::NoteWritten => "note-written",
        }
    }
}

impl Context<'_> {
    /// Records that the caller did `action` to the thing with the id `subject`.
    pub async fn audit(&self, action: Action, subject: impl Into<Value>) -> Result<(), Problem> {
        let (actor_kind, actor) = match (&self.caller.staff, &self.caller.visitor) {
            (Some(staff), _) => ("staff", Some(staff.user.to_string())),
            (None, Some(visitor)) => ("visitor", Some(visitor.appointment.to_string())),
            (None, None) if self.caller.operator => ("operator", None),
            (None, None) => ("anonymous", None),
        };
        self.database()
            .execute(
                "INSERT INTO audit_event (clinic, at, request, actor_kind, actor, action, subject)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![
                    &self.clinic,
                    self.now,
                    self.request_id.as_str(),
                    actor_kind,
                    actor,
                    action.as_str(),
                    subject.into()
                ],
            )
            .await?;
        Ok(())
    }
}
