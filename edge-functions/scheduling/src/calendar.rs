//! A visit for the patient's own calendar (RFC 5545).

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use icalendar::{Calendar, CalendarDateTime, Component as _, Event, EventLike as _, EventStatus, Property};
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::database::DatabaseError;
use kit::fhir::AppointmentStatus;
use kit::params;
use kit::problem::Problem;
use kit::reply::Reply;

/// `GET /scheduling/visit/calendar`. Instants are UTC, so that no reader's list of clock changes matters. What the
/// visit is for, and the way in, are not in it: calendars are shared.
pub async fn get_visit_calendar(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.visitor()?.appointment;
    let clinic = context.clinic().await?;
    let sql =
        "SELECT start_at, end_at, status, sequence, created_at FROM appointment WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such visit"))?;
    let (method, status) = match row.parsed(2, AppointmentStatus::parse)? {
        // So that it leaves the calendar it went into (RFC 5546 §3.2.5).
        AppointmentStatus::Cancelled => ("CANCEL", EventStatus::Cancelled),
        status if status.is_over() => return Err(Problem::visit_over()),
        _ => ("PUBLISH", EventStatus::Confirmed),
    };
    let zone = context.variable("zone").await?;
    let event = Event::new()
        .uid(&format!("{id}@{zone}"))
        .sequence(u32::try_from(row.integer(3)?).map_err(Problem::internal)?)
        .timestamp(utc(context.now)?)
        .starts(CalendarDateTime::Utc(utc(row.time(0)?)?))
        .ends(CalendarDateTime::Utc(utc(row.time(1)?)?))
        .summary(&format!("Video visit, {}", clinic.name))
        .description("Open the link that the clinic sent you a few minutes before.")
        .status(status)
        // Both methods want one (RFC 5546 §3.2); nobody reads mail there.
        .add_property("ORGANIZER", format!("mailto:no-reply@{zone}"))
        .done();
    let mut calendar = Calendar::new();
    calendar.append_property(Property::new("METHOD", method));
    let text = calendar.push(event).done().to_string();
    context.audit(Action::AppointmentRead, Some(&id));
    let mut reply = Reply::new(text.into_bytes());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/calendar; charset=utf-8"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"visit.ics\""));
    Ok(reply)
}

fn utc(at: Timestamp) -> Result<chrono::DateTime<chrono::Utc>, Problem> {
    chrono::DateTime::from_timestamp_millis(at.as_millisecond())
        .ok_or_else(|| DatabaseError::Shape { column: 0, wanted: "an instant" }.into())
}
