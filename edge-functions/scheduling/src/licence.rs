//! A practitioner treats people where they are licensed: asked at booking, and again when the patient comes.

use http::StatusCode;
use jiff::Timestamp;
use kit::clinic::Clinic;
use kit::context::Context;
use kit::form::Jurisdiction;
use kit::ids::PractitionerId;
use kit::params;
use kit::problem::Problem;

/// Where the clinic's practitioners may practise, if it has to be asked where patients are.
pub async fn asked(context: &Context<'_>) -> Result<Option<Vec<String>>, Problem> {
    let sql = "SELECT DISTINCT l.jurisdiction FROM licence l
               JOIN staff_user u ON u.clinic = l.clinic AND u.id = l.user
               JOIN practitioner p ON p.clinic = u.clinic AND p.user = u.id
               WHERE l.clinic = ? AND l.removed_at IS NULL AND u.left_at IS NULL ORDER BY l.jurisdiction";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let known: Vec<String> = rows.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
    let sql = "SELECT licence_check FROM clinic WHERE clinic = ?";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let check = rows.first().map_or(Ok("never".to_owned()), |row| row.text(0))?;
    let asks = check == "always" || (check == "auto" && !known.is_empty());
    Ok(asks.then_some(known))
}

/// Who of the clinic may treat somebody in that place on the day of `at`: a licence of a country holds in all of it.
/// `None`: everybody, for nothing is asked.
pub async fn licensed(
    context: &Context<'_>,
    clinic: &Clinic,
    location: Option<&Jurisdiction>,
    at: Timestamp,
) -> Result<Option<Vec<PractitionerId>>, Problem> {
    let Some(licensed_in) = asked(context).await? else { return Ok(None) };
    let Some(location) = location.map(Jurisdiction::as_str) else {
        let title = "Say where you will be during the visit";
        let errors =
            serde_json::json!([{"pointer": "/location", "detail": "must be a code such as DE or US-OR"}]);
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "location-required", title);
        return Err(problem.member("errors", errors).member("licensedIn", licensed_in.into()));
    };
    let country = location.split('-').next().unwrap_or(location);
    let sql = "SELECT DISTINCT p.id FROM licence l
               JOIN practitioner p ON p.clinic = l.clinic AND p.user = l.user
               WHERE l.clinic = ?1 AND l.removed_at IS NULL AND l.jurisdiction IN (?2, ?3)
                 AND l.valid_from <= ?4 AND l.valid_until >= ?4";
    let day = clinic.day_of(at).to_string();
    let rows = context.database().query(sql, params![&context.clinic, location, country, day]).await?;
    Ok(Some(rows.iter().map(|row| row.parsed(0, PractitionerId::parse)).collect::<Result<_, _>>()?))
}

/// Nobody who was asked for may treat somebody there, on that day.
pub fn not_licensed() -> Problem {
    let title = "No licence for the place where you will be on that day";
    Problem::new(StatusCode::CONFLICT, "not-licensed", title)
}
