//! A card payment as it stands in the database, and what its provider is still to be asked for.

use jiff::{SignedDuration, Timestamp};
use kit::context::Context;
use kit::database::{DatabaseError, Row, Value};
use kit::fhir::AppointmentStatus;
use kit::ids::{AppointmentId, HoldId};
use kit::money::Money;
use kit::params;
use kit::problem::Problem;

use crate::booking::NewPatient;
use crate::invoice;
use crate::provider::Names;
use crate::state::State;

/// After this nothing of a payment changes by itself any more.
const SETTLED: SignedDuration = SignedDuration::from_hours(60 * 24);

/// One payment.
pub(crate) struct Payment {
    pub(crate) hold: HoldId,
    pub(crate) provider: String,
    pub(crate) names: Names,
    pub(crate) state: State,
    pub(crate) amount: Money,
    pub(crate) appointment: Option<AppointmentId>,
    pub(crate) lost: bool,
    /// Whom the visit is for, until there is an appointment.
    pub(crate) patient: Option<NewPatient>,
    pub(crate) refusal: Option<String>,
    pub(crate) created: Timestamp,
}

/// Where the visit stands that is paid for.
pub(crate) struct Visit {
    pub(crate) status: Option<AppointmentStatus>,
    pub(crate) start: Timestamp,
    pub(crate) hold_expires: Timestamp,
}

/// What a provider is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Charge,
    Capture,
    Cancel,
    Refund,
}

/// One such thing, that was not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) key: String,
    pub(crate) kind: Kind,
    pub(crate) minor: Option<i64>,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Capture => "capture",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Charge, Self::Capture, Self::Cancel, Self::Refund]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// What stands in front of `WHERE`.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT c.hold, c.provider, c.intent, c.setup, c.customer, c.method, c.state, c.amount_minor,
                    c.currency, c.appointment, c.lost_at, c.patient, c.refusal, c.created_at
             FROM card_payment c WHERE c.clinic = ?1 AND ",
            $condition
        )
    };
}

impl Payment {
    pub(crate) async fn find(context: &Context<'_>, hold: HoldId) -> Result<Option<Self>, Problem> {
        Self::one(context, select!("c.hold = ?2"), hold.into()).await
    }

    pub(crate) async fn of_visit(
        context: &Context<'_>,
        appointment: AppointmentId,
    ) -> Result<Option<Self>, Problem> {
        Self::one(context, select!("c.appointment = ?2"), appointment.into()).await
    }

    /// By the provider's name of it.
    pub(crate) async fn named(context: &Context<'_>, name: &str) -> Result<Option<Self>, Problem> {
        Self::one(context, select!("(c.intent = ?2 OR c.setup = ?2)"), name.into()).await
    }

    async fn one(context: &Context<'_>, sql: &str, by: Value) -> Result<Option<Self>, Problem> {
        let rows = context.database().query(sql, vec![(&context.clinic).into(), by]).await?;
        Ok(rows.first().map(Self::read).transpose()?)
    }

    fn read(row: &Row) -> Result<Self, DatabaseError> {
        let shape = DatabaseError::Shape { column: 11, wanted: "a patient" };
        let patient = row.text_or_null(11)?.map(|text| serde_json::from_str(&text).map_err(|_| shape));
        let appointment = row.text_or_null(9)?.is_some();
        Ok(Self {
            hold: row.parsed(0, HoldId::parse)?,
            provider: row.text(1)?,
            names: Names {
                intent: row.text_or_null(2)?,
                setup: row.text_or_null(3)?,
                customer: row.text_or_null(4)?,
                method: row.text_or_null(5)?,
            },
            state: row.parsed(6, State::parse)?,
            amount: invoice::money(row.integer(7)?, &row.text(8)?)?,
            appointment: appointment.then(|| row.parsed(9, AppointmentId::parse)).transpose()?,
            lost: row.time_or_null(10)?.is_some(),
            patient: patient.transpose()?,
            refusal: row.text_or_null(12)?,
            created: row.time(13)?,
        })
    }

    /// A new one; false: the hold has one already.
    pub(crate) async fn insert(&self, context: &Context<'_>) -> Result<bool, Problem> {
        let sql = "INSERT INTO card_payment
                     (clinic, hold, provider, intent, setup, customer, state, amount_minor, currency, patient,
                      created_at, due_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (clinic, hold) DO NOTHING";
        let Names { intent, setup, customer, method: _ } = self.names.clone();
        let values = params![
            &context.clinic,
            self.hold,
            self.provider.as_str(),
            intent,
            setup,
            customer,
            self.state.as_str(),
            self.amount.minor(),
            self.amount.currency().as_str(),
            self.patient.as_ref().map(NewPatient::to_json),
            context.now,
            context.now + SignedDuration::from_mins(2)
        ];
        Ok(context.database().execute(sql, values).await? > 0)
    }

    /// What changes of it.
    pub(crate) async fn save(&self, context: &Context<'_>, start: Timestamp) -> Result<(), Problem> {
        let sql = "UPDATE card_payment SET intent = ?, method = ?, state = ?, appointment = ?, patient = ?,
                     refusal = ?, lost_at = iif(?, coalesce(lost_at, ?), NULL), due_at = ?
                   WHERE clinic = ? AND hold = ?";
        let values = params![
            self.names.intent.clone(),
            self.names.method.clone(),
            self.state.as_str(),
            self.appointment,
            self.patient.as_ref().map(NewPatient::to_json),
            self.refusal.clone(),
            u32::from(self.lost),
            context.now,
            self.due(context.now, start),
            &context.clinic,
            self.hold
        ];
        context.database().execute(sql, values).await?;
        Ok(())
    }

    /// When it is to be looked at again, whatever happens to its visit.
    fn due(&self, now: Timestamp, start: Timestamp) -> Timestamp {
        let hour = now + SignedDuration::from_hours(1);
        match self.state {
            State::Open => now + SignedDuration::from_mins(1),
            State::Saved => hour.min(start - crate::state::CHARGE_BEFORE).max(now),
            State::Authorised => hour,
            State::Captured if now < self.created + SETTLED => now + SignedDuration::from_hours(24),
            State::Declined | State::Cancelled | State::Captured => {
                now + SignedDuration::from_hours(10 * 8_766)
            }
        }
    }

    pub(crate) async fn visit(&self, context: &Context<'_>) -> Result<Visit, Problem> {
        let sql = "SELECT a.status, coalesce(a.start_at, h.start_at), h.expires_at FROM card_payment c
                   JOIN hold h ON h.clinic = c.clinic AND h.id = c.hold
                   LEFT JOIN appointment a ON a.clinic = c.clinic AND a.id = c.appointment
                   WHERE c.clinic = ? AND c.hold = ?";
        let rows = context.database().query(sql, params![&context.clinic, self.hold]).await?;
        let row = rows.first().ok_or_else(|| Problem::not_found("No such payment"))?;
        let booked = row.text_or_null(0)?.is_some();
        Ok(Visit {
            status: booked.then(|| row.parsed(0, AppointmentStatus::parse)).transpose()?,
            start: row.time(1)?,
            hold_expires: row.time(2)?,
        })
    }

    /// What the provider is still to be asked for, the first first.
    pub(crate) async fn calls(&self, context: &Context<'_>) -> Result<Vec<Call>, Problem> {
        let sql = "SELECT key, kind, amount_minor FROM provider_call
                   WHERE clinic = ? AND hold = ? AND done_at IS NULL ORDER BY created_at, key LIMIT 5";
        let rows = context.database().query(sql, params![&context.clinic, self.hold]).await?;
        let read = |row: &Row| -> Result<Call, DatabaseError> {
            Ok(Call { key: row.text(0)?, kind: row.parsed(1, Kind::parse)?, minor: row.integer_or_null(2)? })
        };
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Writes down that the provider is to be asked for something. False: it is written there already.
    pub(crate) async fn want(
        &self,
        context: &Context<'_>,
        key: &str,
        kind: Kind,
        minor: Option<i64>,
    ) -> Result<bool, Problem> {
        let sql = "INSERT INTO provider_call (clinic, key, hold, kind, amount_minor, created_at)
                   VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (clinic, key) DO NOTHING";
        let values = params![&context.clinic, key, self.hold, kind.as_str(), minor, context.now];
        Ok(context.database().execute(sql, values).await? > 0)
    }

    /// How often something was refused.
    pub(crate) async fn refused(&self, context: &Context<'_>, kind: Kind) -> Result<i64, Problem> {
        let sql = "SELECT count(*) FROM provider_call
                   WHERE clinic = ? AND hold = ? AND kind = ? AND outcome = 'refused'";
        let rows = context.database().query(sql, params![&context.clinic, self.hold, kind.as_str()]).await?;
        Ok(rows.first().map(|row| row.integer(0)).transpose()?.unwrap_or(0))
    }
}
