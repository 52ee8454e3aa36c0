//! Reminders of visits: a day, two hours and ten minutes before, each once.

use jiff::{SignedDuration, Timestamp};
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::ids::{AppointmentId, MessageId, PatientId};
use kit::invitation;
use kit::outbox::{self, Channel, Message, Routine, address_hash};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::texts::{self, Language, Words};
use serde::Serialize;

use crate::settings;

/// Planned by one request; whoever asks comes again for more.
const MOST: i64 = 50;

/// How long before a visit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A day.
    Day,
    /// Two hours.
    Hours,
    /// Ten minutes.
    Minutes,
}

impl Kind {
    /// All of them, the first first.
    pub const ALL: [Self; 3] = [Self::Day, Self::Hours, Self::Minutes];

    /// Its name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hours => "hours",
            Self::Minutes => "minutes",
        }
    }

    /// So long before the visit it is due.
    pub const fn before(self) -> SignedDuration {
        match self {
            Self::Day => SignedDuration::from_hours(24),
            Self::Hours => SignedDuration::from_hours(2),
            Self::Minutes => SignedDuration::from_mins(10),
        }
    }

    /// So long before the visit it is of no use any more: the next one says the same.
    pub const fn useful_until_before(self) -> SignedDuration {
        match self {
            Self::Day => Self::Hours.before(),
            Self::Hours => Self::Minutes.before(),
            Self::Minutes => SignedDuration::ZERO,
        }
    }

    /// Whether it waits for the end of quiet hours. Who has a visit in ten minutes is awake.
    const fn can_wait(self) -> bool {
        !matches!(self, Self::Minutes)
    }
}

/// What a job says of itself.
#[derive(Serialize)]
struct Planned {
    /// There is more to do at once.
    more: bool,
}

struct Due {
    appointment: AppointmentId,
    patient: PatientId,
    email: String,
    start: Timestamp,
    language: Option<Language>,
    unwanted: bool,
}

/// `POST /messages/reminders`, of the edge host that leads the clinic's records, every minute.
pub async fn plan_reminders(context: &Context<'_>) -> Result<Reply, Problem> {
    context.node()?;
    let mut more = false;
    for kind in Kind::ALL {
        let due = due(context, kind).await?;
        more |= due.len() as i64 == MOST;
        if due.is_empty() {
            continue;
        }
        context
            .transaction(async || {
                for reminder in &due {
                    plan(context, kind, reminder).await?;
                }
                Ok(())
            })
            .await?;
    }
    reply::ok(&Planned { more })
}

/// Visits for which it is time. Who booked later than that has just been told.
async fn due(context: &Context<'_>, kind: Kind) -> Result<Vec<Due>, Problem> {
    let sql = "SELECT a.id, p.id, p.email, a.start_at, c.language
               FROM appointment a JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient
               LEFT JOIN patient_contact c ON c.clinic = p.clinic AND c.patient = p.id
               WHERE a.clinic = ?1 AND a.status = 'booked' AND a.start_at > ?2 AND a.start_at <= ?3
                 AND a.created_at <= a.start_at - ?4
                 AND NOT EXISTS (SELECT 1 FROM reminder r WHERE r.clinic = a.clinic AND r.appointment = a.id
                   AND r.kind = ?5 AND r.start_at = a.start_at)
               ORDER BY a.start_at LIMIT ?6";
    let before = kind.before();
    let values = params![
        &context.clinic,
        context.now + kind.useful_until_before(),
        context.now + before,
        before.as_millis() as i64,
        kind.as_str(),
        MOST
    ];
    let rows = context.database().query(sql, values).await?;
    let mut due = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    for reminder in &mut due {
        reminder.unwanted = is_unwanted(context, &reminder.email).await?;
    }
    Ok(due)
}

fn read(row: &Row) -> Result<Due, DatabaseError> {
    Ok(Due {
        appointment: row.parsed(0, AppointmentId::parse)?,
        patient: row.parsed(1, PatientId::parse)?,
        email: row.text(2)?,
        start: row.time(3)?,
        language: Language::of(row, 4)?,
        unwanted: false,
    })
}

/// Whether its owner wants no more, or a mail server has refused it for good: staff were told that once.
pub(crate) async fn is_unwanted(context: &Context<'_>, address: &str) -> Result<bool, Problem> {
    let sql = "SELECT 1 FROM message_address WHERE clinic = ? AND address_hash = ?
                 AND (opted_out_at IS NOT NULL OR failing_since IS NOT NULL)";
    let values = params![&context.clinic, address_hash(address)];
    Ok(!context.database().query(sql, values).await?.is_empty())
}

/// The row decides: who comes second has nothing to plan.
async fn plan(context: &Context<'_>, kind: Kind, due: &Due) -> Result<(), Problem> {
    let settings = settings::of(context).await?;
    let clinic = context.clinic().await?;
    let quiet = settings.quiet.filter(|_| kind.can_wait());
    let not_before = quiet.map_or(context.now, |quiet| quiet.over(&clinic, context.now));
    let useful_until = due.start - kind.useful_until_before();
    let id =
        if due.unwanted || not_before >= useful_until { None } else { Some(MessageId::new(context.now)?) };
    let sql = "INSERT INTO reminder (clinic, appointment, kind, start_at, message, planned_at)
               VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (clinic, appointment, kind, start_at) DO NOTHING";
    let values = params![&context.clinic, due.appointment, kind.as_str(), due.start, id, context.now];
    let is_first = context.database().execute(sql, values).await? > 0;
    let Some(id) = id.filter(|_| is_first) else { return Ok(()) };
    let language = due.language.unwrap_or(settings.language);
    let text = texts::text(language, &clinic, Words::Reminder(due.start));
    let link = invitation::link(context, due.appointment).await?;
    let message = Message { recipient: &due.email, subject: &text.subject, body: &text.body, link: &link };
    let routine = Routine {
        id,
        message,
        channel: Channel::Email,
        kind: "reminder",
        patient: due.patient,
        not_before,
        useful_until,
    };
    outbox::put_routine(context, routine).await
}
