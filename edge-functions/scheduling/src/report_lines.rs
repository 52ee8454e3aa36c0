//! How everybody's sound and pictures travelled when somebody reported a problem: numbers, and the random names of a call.

use kit::call;
use kit::context::Context;
use kit::ids::AppointmentId;
use kit::params;
use kit::problem::Problem;
use serde::Deserialize;

/// Lines of one report: everybody who may be in a call.
const MOST: usize = 16;
/// No number here is larger.
const LARGEST: u32 = 1_000_000;

/// What a page measured of one person.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Line {
    participant: String,
    loss_permille: Option<u32>,
    round_trip_ms: Option<u32>,
    sound_kbps: Option<u32>,
    picture_kbps: Option<u32>,
    width: Option<u32>,
    height: Option<u32>,
}

impl Line {
    fn numbers(&self) -> [Option<u32>; 6] {
        let Self { loss_permille, round_trip_ms, sound_kbps, picture_kbps, width, height, .. } = *self;
        [loss_permille, round_trip_ms, sound_kbps, picture_kbps, width, height]
    }

    fn is_in_bounds(&self) -> bool {
        self.loss_permille.is_none_or(|loss| loss <= 1_000)
            && self.numbers().iter().flatten().all(|number| *number <= LARGEST)
    }
}

/// Refuses what no page measures.
pub(crate) fn check(lines: &[Line]) -> Result<(), Problem> {
    if lines.len() > MOST {
        return Err(Problem::invalid("/lines", format!("must be {MOST} at most")));
    }
    match lines.iter().position(|line| !line.is_in_bounds()) {
        Some(place) => Err(Problem::invalid(format!("/lines/{place}"), "is out of bounds")),
        None => Ok(()),
    }
}

/// Keeps the lines of a report. Who never was in the call has none, so no name of another kind is kept.
pub(crate) async fn keep(
    context: &Context<'_>,
    appointment: AppointmentId,
    report: &str,
    lines: &[Line],
) -> Result<(), Problem> {
    let room_of = call::place(context, appointment).await?.room_of;
    let sql = "INSERT INTO call_report_line
                 (clinic, report, participant, loss_permille, round_trip_ms, sound_kbps, picture_kbps, width, height)
               SELECT p.clinic, ?3, p.participant, ?5, ?6, ?7, ?8, ?9, ?10
               FROM call_person p WHERE p.clinic = ?1 AND p.appointment = ?2 AND p.participant = ?4
               ON CONFLICT (clinic, report, participant) DO NOTHING";
    for line in lines {
        let [loss, round_trip, sound, picture, width, height] = line.numbers().map(|it| it.map(i64::from));
        let (clinic, participant) = (&context.clinic, line.participant.as_str());
        let values =
            params![clinic, room_of, report, participant, loss, round_trip, sound, picture, width, height];
        context.database().execute(sql, values).await?;
    }
    Ok(())
}
