//! What is still missing before a visit: answers, consent, a card that was refused. The patient is written to, at two times, that
//! something is to be done; front desk sees what. What was done leaves the list by itself.

use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::clinic::Clinic;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::ids::{AppointmentId, MessageId, PatientId};
use kit::outbox::{self, Channel, Message, Routine};
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use kit::texts::{self, Words};
use kit::{consent, invitation, questionnaire};
use serde::Serialize;

use crate::settings::{self, Settings};

/// Looked at by one request; whoever asks comes again for more.
const MOST: i64 = 25;
/// Of a list.
const MOST_LISTED: i64 = 100;
/// So long before a visit it is on front desk's list.
const LISTED: SignedDuration = SignedDuration::from_hours(48);

/// When it is written about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    TwoDays,
    FourHours,
}

impl Kind {
    const ALL: [Self; 2] = [Self::TwoDays, Self::FourHours];

    const fn as_str(self) -> &'static str {
        match self {
            Self::TwoDays => "two-days",
            Self::FourHours => "four-hours",
        }
    }

    const fn before(self) -> SignedDuration {
        match self {
            Self::TwoDays => LISTED,
            Self::FourHours => SignedDuration::from_hours(4),
        }
    }

    /// So long before the visit it is of no use any more.
    const fn useful_until_before(self) -> SignedDuration {
        match self {
            Self::TwoDays => Self::FourHours.before(),
            Self::FourHours => SignedDuration::from_mins(10),
        }
    }
}

/// What may be missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Thing {
    Intake,
    Consent,
    Payment,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListView {
    time_zone: String,
    /// The next visit first.
    visits: Vec<VisitView>,
    /// There are more.
    more: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VisitView {
    id: AppointmentId,
    start: Timestamp,
    patient: String,
    missing: Vec<Thing>,
    /// How often they were written to.
    attempts: i64,
}

struct Visit {
    id: AppointmentId,
    patient: PatientId,
    name: String,
    start: Timestamp,
    attempts: i64,
}

/// `GET /messages/missing`.
pub async fn list_missing(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let sql = "SELECT a.id, p.id, p.name, a.start_at, (SELECT count(*) FROM chase c WHERE c.clinic = a.clinic
                 AND c.appointment = a.id AND c.start_at = a.start_at AND c.message IS NOT NULL)
               FROM appointment a JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient
               WHERE a.clinic = ? AND a.status = 'booked' AND a.start_at > ? AND a.start_at <= ?
               ORDER BY a.start_at, a.id LIMIT ?";
    let (now, limit) = (context.now, MOST_LISTED + 1);
    let values = params![&context.clinic, now - SignedDuration::from_hours(1), now + LISTED, limit];
    let mut rows = context.database().query(sql, values).await?;
    let more = rows.len() as i64 > MOST_LISTED;
    rows.truncate(MOST_LISTED as usize);
    let mut visits = Vec::new();
    for row in &rows {
        let Visit { id, name, start, attempts, .. } = read(row)?;
        let missing = missing(context, id).await?;
        if !missing.is_empty() {
            visits.push(VisitView { id, start, patient: name, missing, attempts });
        }
    }
    context.audit(Action::MissingRead, None);
    reply::ok(&ListView { time_zone: context.clinic().await?.time_zone, visits, more })
}

fn read(row: &Row) -> Result<Visit, DatabaseError> {
    Ok(Visit {
        id: row.parsed(0, AppointmentId::parse)?,
        patient: row.parsed(1, PatientId::parse)?,
        name: row.text(2)?,
        start: row.time(3)?,
        attempts: row.integer(4)?,
    })
}

async fn missing(context: &Context<'_>, visit: AppointmentId) -> Result<Vec<Thing>, Problem> {
    let mut missing = Vec::new();
    if questionnaire::is_missing(context, visit).await? {
        missing.push(Thing::Intake);
    }
    if consent::is_missing(context, visit).await? {
        missing.push(Thing::Consent);
    }
    let sql = "SELECT 1 FROM card_payment WHERE clinic = ? AND appointment = ? AND state = 'declined'";
    if !context.database().query(sql, params![&context.clinic, visit]).await?.is_empty() {
        missing.push(Thing::Payment);
    }
    Ok(missing)
}

/// Writes to those whose time it is. Whether there is more to do at once.
pub(crate) async fn chase(context: &Context<'_>) -> Result<bool, Problem> {
    let (clinic, settings) = (context.clinic().await?, settings::of(context).await?);
    let mut more = false;
    for kind in Kind::ALL {
        let due = due(context, kind).await?;
        more |= due.len() as i64 == MOST;
        if due.is_empty() {
            continue;
        }
        context
            .transaction(async || {
                for visit in &due {
                    write(context, (&clinic, &settings), kind, visit).await?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(more)
}

/// Visits for which it is time. Who booked later than that is asked on the page that they came to.
async fn due(context: &Context<'_>, kind: Kind) -> Result<Vec<Visit>, Problem> {
    let sql = "SELECT a.id, p.id, p.name, a.start_at, 0
               FROM appointment a JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient
               WHERE a.clinic = ?1 AND a.status = 'booked' AND a.start_at > ?2 AND a.start_at <= ?3
                 AND a.created_at <= a.start_at - ?4
                 AND NOT EXISTS (SELECT 1 FROM chase c WHERE c.clinic = a.clinic AND c.appointment = a.id
                   AND c.kind = ?5 AND c.start_at = a.start_at)
               ORDER BY a.start_at LIMIT ?6";
    let values = params![
        &context.clinic,
        context.now + kind.useful_until_before(),
        context.now + kind.before(),
        kind.before().as_millis() as i64,
        kind.as_str(),
        MOST
    ];
    let rows = context.database().query(sql, values).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// The row decides: who comes second has nothing to write.
async fn write(
    context: &Context<'_>,
    (clinic, settings): (&Clinic, &Settings),
    kind: Kind,
    visit: &Visit,
) -> Result<(), Problem> {
    let not_before = settings.quiet.map_or(context.now, |quiet| quiet.over(clinic, context.now));
    let useful_until = visit.start - kind.useful_until_before();
    let reach = context.reach(visit.patient).await?.filter(|_| not_before < useful_until);
    let reach = if missing(context, visit.id).await?.is_empty() { None } else { reach };
    let id = reach.is_some().then(|| MessageId::new(context.now)).transpose()?;
    let sql = "INSERT INTO chase (clinic, appointment, kind, start_at, message, planned_at)
               VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (clinic, appointment, kind, start_at) DO NOTHING";
    let values = params![&context.clinic, visit.id, kind.as_str(), visit.start, id, context.now];
    let is_first = context.database().execute(sql, values).await? > 0;
    let Some((id, reach)) = id.zip(reach).filter(|_| is_first) else { return Ok(()) };
    let (subject, body) = words(clinic, (reach.language, reach.channel), Words::Missing(visit.start));
    let link = invitation::link(context, visit.id).await?;
    let message = Message { recipient: &reach.address, subject: &subject, body: &body, link: &link };
    let (channel, patient) = (reach.channel, visit.patient);
    let routine = Routine { id, message, channel, kind: "missing", patient, not_before, useful_until };
    outbox::put_routine(context, &[routine]).await
}

/// Subject and text, as they are by that way.
pub(crate) fn words(
    clinic: &Clinic,
    (language, channel): (texts::Language, Channel),
    words: Words,
) -> (String, String) {
    match channel {
        Channel::Email => {
            let text = texts::text(language, clinic, words);
            (text.subject, text.body)
        }
        Channel::Sms => (String::new(), texts::short(language, clinic, words)),
    }
}
