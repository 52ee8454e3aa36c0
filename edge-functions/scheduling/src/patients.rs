//! Finding a patient by name.

use kit::audit::Action;
use kit::context::Context;
use kit::database::Row;
use kit::form;
use kit::ids::PatientId;
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::Serialize;

/// Most that is shown: who looks for more has not said enough.
const MOST: i64 = 20;

#[derive(Serialize)]
struct Patients {
    patients: Vec<PatientView>,
}

/// Made to be answered: the name in it is open.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PatientView {
    id: PatientId,
    name: String,
    /// Tells people of one name apart; the day shows who somebody is, and is shown to nobody.
    birth_year: i16,
}

/// `GET /scheduling/patients`: whose name holds what was typed.
pub async fn list_patients(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let typed = |text: &str| (2..=200).contains(&text.trim().chars().count()).then(|| text.trim().to_owned());
    let name = query.required("name", "2 to 200 characters of a name", typed)?;
    query.finish()?;
    context.clinic().await?;
    let only = context.only_patient();
    let sql = "SELECT t.id, t.name, t.birth_date FROM patient t
               WHERE t.clinic = ?1 AND instr(lower(t.name), lower(?2)) > 0 AND (?3 IS NULL OR t.id = ?3)
               ORDER BY t.name, t.id LIMIT ?4";
    let rows = context.database().query(sql, params![&context.clinic, name, only, MOST]).await?;
    let patients = rows.iter().map(read).collect::<Result<_, Problem>>()?;
    context.audit(Action::PatientsSearched, None);
    reply::ok(&Patients { patients })
}

fn read(row: &Row) -> Result<PatientView, Problem> {
    let (id, born) = (row.parsed(0, PatientId::parse)?, row.parsed(2, form::parse_day)?);
    Ok(PatientView { id, name: row.text(1)?, birth_year: born.year() })
}
