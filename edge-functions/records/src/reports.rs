//! What people said was wrong with a call, and how everybody's sound and pictures travelled then.

use jiff::Timestamp;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::ids::EncounterId;
use kit::params;
use kit::problem::Problem;
use serde::Serialize;

/// One report.
#[derive(Serialize)]
pub(crate) struct ReportView {
    person: String,
    kind: String,
    node: Option<String>,
    at: Timestamp,
    lines: Vec<LineView>,
}

/// Of one person, as the page of whoever reported measured it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LineView {
    person: String,
    loss_permille: Option<i64>,
    round_trip_ms: Option<i64>,
    sound_kbps: Option<i64>,
    picture_kbps: Option<i64>,
    width: Option<i64>,
    height: Option<i64>,
}

/// The reports of an encounter, the first first. Of one encounter few are kept.
pub(crate) async fn of(context: &Context<'_>, encounter: EncounterId) -> Result<Vec<ReportView>, Problem> {
    let sql = "SELECT r.id, r.person, r.kind, r.node, r.at, p.person, l.loss_permille, l.round_trip_ms,
                 l.sound_kbps, l.picture_kbps, l.width, l.height
               FROM call_report r
               JOIN encounter e ON e.clinic = r.clinic AND e.id = r.encounter
               JOIN appointment a ON a.clinic = e.clinic AND a.id = e.appointment
               LEFT JOIN call_report_line l ON l.clinic = r.clinic AND l.report = r.id
               LEFT JOIN call_person p ON p.clinic = l.clinic AND p.appointment = coalesce(a.call_of, a.id)
                 AND p.participant = l.participant
               WHERE r.clinic = ? AND r.encounter = ? ORDER BY r.at, r.id, p.person";
    let rows = context.database().query(sql, params![&context.clinic, encounter]).await?;
    let mut reports: Vec<(String, ReportView)> = Vec::new();
    for row in &rows {
        let id = row.text(0)?;
        if reports.last().is_none_or(|(last, _)| *last != id) {
            reports.push((id, report(row)?));
        }
        if let (Some((_, report)), Some(line)) = (reports.last_mut(), line(row)?) {
            report.lines.push(line);
        }
    }
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

fn report(row: &Row) -> Result<ReportView, DatabaseError> {
    let (person, kind, node) = (row.text(1)?, row.text(2)?, row.text_or_null(3)?);
    Ok(ReportView { person, kind, node, at: row.time(4)?, lines: Vec::new() })
}

fn line(row: &Row) -> Result<Option<LineView>, DatabaseError> {
    let Some(person) = row.text_or_null(5)? else { return Ok(None) };
    let number = |column| row.integer_or_null(column);
    Ok(Some(LineView {
        person,
        loss_permille: number(6)?,
        round_trip_ms: number(7)?,
        sound_kbps: number(8)?,
        picture_kbps: number(9)?,
        width: number(10)?,
        height: number(11)?,
    }))
}
