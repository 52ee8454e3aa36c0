//! Reminders of visits: a day, two hours and ten minutes before, each once.

use jiff::{SignedDuration, Timestamp};
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::ids::{AppointmentId, MessageId, PatientId};
use kit::invitation;
use kit::outbox::{self, Message, Routine};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::texts::Words;
use serde::Serialize;

use crate::missing::{self, words};
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
    start: Timestamp,
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
    more |= missing::chase(context).await?;
    reply::ok(&Planned { more })
}

/// Visits for which it is time. Who booked later than that has just been told.
async fn due(context: &Context<'_>, kind: Kind) -> Result<Vec<Due>, Problem> {
    let sql = "SELECT a.id, a.patient, a.start_at FROM appointment a
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
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

fn read(row: &Row) -> Result<Due, DatabaseError> {
    Ok(Due {
        appointment: row.parsed(0, AppointmentId::parse)?,
        patient: row.parsed(1, PatientId::parse)?,
        start: row.time(2)?,
    })
}

/// The row decides: who comes second has nothing to plan.
async fn plan(context: &Context<'_>, kind: Kind, due: &Due) -> Result<(), Problem> {
    let settings = settings::of(context).await?;
    let clinic = context.clinic().await?;
    let quiet = settings.quiet.filter(|_| kind.can_wait());
    let not_before = quiet.map_or(context.now, |quiet| quiet.over(&clinic, context.now));
    let useful_until = due.start - kind.useful_until_before();
    let reach = context.reach(due.patient).await?.filter(|_| not_before < useful_until);
    let id = reach.is_some().then(|| MessageId::new(context.now)).transpose()?;
    let sql = "INSERT INTO reminder (clinic, appointment, kind, start_at, message, planned_at)
               VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (clinic, appointment, kind, start_at) DO NOTHING";
    let values = params![&context.clinic, due.appointment, kind.as_str(), due.start, id, context.now];
    let is_first = context.database().execute(sql, values).await? > 0;
    let Some((id, reach)) = id.zip(reach).filter(|_| is_first) else { return Ok(()) };
    let (subject, body) = words(&clinic, (reach.language, reach.channel), Words::Reminder(due.start));
    let link = invitation::link(context, due.appointment).await?;
    let message = Message { recipient: &reach.address, subject: &subject, body: &body, link: &link };
    let (channel, patient) = (reach.channel, due.patient);
    let routine = Routine { id, message, channel, kind: "reminder", patient, not_before, useful_until };
    outbox::put_routine(context, &[routine]).await
}
