//! Where members of staff may practise, and from when to when.

use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::Date;
use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form::{self, Day, Jurisdiction, LicenceNumber};
use kit::ids::{LicenceId, UserId};
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::account::Account;

/// Of one clinic, those that were taken back included.
const MOST: i64 = 5_000;
/// A licence that ends within so many days is said to.
const SOON_DAYS: i32 = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewLicence {
    user: UserId,
    jurisdiction: Jurisdiction,
    number: LicenceNumber,
    valid_from: Day,
    valid_until: Day,
}

#[derive(Serialize)]
struct LicencesView {
    licences: Vec<LicenceView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LicenceView {
    id: LicenceId,
    user: UserId,
    name: String,
    jurisdiction: String,
    number: String,
    valid_from: Date,
    valid_until: Date,
    state: State,
}

/// Today, in the clinic.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Future,
    Valid,
    EndsSoon,
    Expired,
}

impl State {
    fn of(from: Date, until: Date, today: Date) -> Self {
        let soon = jiff::Span::new().days(SOON_DAYS);
        let near = today.checked_add(soon).unwrap_or(Date::MAX);
        match () {
            () if today < from => Self::Future,
            () if today > until => Self::Expired,
            () if near > until => Self::EndsSoon,
            () => Self::Valid,
        }
    }
}

/// `GET /auth/licences`: those of people who work here, what ends first first.
pub async fn list_licences(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let clinic = context.clinic().await?;
    let today = clinic.day_of(context.now);
    let sql = "SELECT l.id, l.user, u.name, l.jurisdiction, l.number, l.valid_from, l.valid_until
               FROM licence l JOIN staff_user u ON u.clinic = l.clinic AND u.id = l.user
               WHERE l.clinic = ? AND l.removed_at IS NULL AND u.left_at IS NULL
               ORDER BY l.valid_until, u.name, l.id";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let licences = rows.iter().map(|row| view(row, today)).collect::<Result<_, _>>()?;
    context.audit(Action::LicencesRead, None);
    reply::ok(&LicencesView { licences })
}

fn view(row: &Row, today: Date) -> Result<LicenceView, DatabaseError> {
    let (valid_from, valid_until) = (row.parsed(5, form::parse_day)?, row.parsed(6, form::parse_day)?);
    Ok(LicenceView {
        id: row.parsed(0, LicenceId::parse)?,
        user: row.parsed(1, UserId::parse)?,
        name: row.text(2)?,
        jurisdiction: row.text(3)?,
        number: row.text(4)?,
        valid_from,
        valid_until,
        state: State::of(valid_from, valid_until, today),
    })
}

/// `POST /auth/licences`.
pub async fn create_licence(context: &Context<'_>) -> Result<Reply, Problem> {
    let new: NewLicence = form::read(&context.request)?;
    if new.valid_until.0 < new.valid_from.0 {
        return Err(Problem::invalid("/validUntil", "must not be before the beginning"));
    }
    let account = Account::with_id(context, new.user).await?;
    let id = LicenceId::new(context.now)?;
    let sql = "INSERT INTO licence
                 (clinic, id, user, jurisdiction, number, valid_from, valid_until, created_at)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
               WHERE (SELECT count(*) FROM licence WHERE clinic = ?1) < ?9";
    let (jurisdiction, number) = (new.jurisdiction.as_str(), new.number.as_str());
    let (from, until) = (new.valid_from.0.to_string(), new.valid_until.0.to_string());
    let (user, now) = (account.user.id, context.now);
    let values = params![&context.clinic, id, user, jurisdiction, number, from, until, now, MOST];
    if context.database().execute(sql, values).await? == 0 {
        let title = "A clinic has 5000 licences at most";
        return Err(Problem::new(StatusCode::CONFLICT, "too-many-licences", title));
    }
    let until = format!("{jurisdiction}.{}", new.valid_until.0);
    context.audit_change(Action::LicenceAdded, Some(&user), (None, Some(until)));
    let today = context.clinic().await?.day_of(context.now);
    reply::json(
        StatusCode::CREATED,
        &LicenceView {
            id,
            user,
            name: account.user.name.clone(),
            jurisdiction: jurisdiction.to_owned(),
            number: number.to_owned(),
            valid_from: new.valid_from.0,
            valid_until: new.valid_until.0,
            state: State::of(new.valid_from.0, new.valid_until.0, today),
        },
    )
}

/// `DELETE /auth/licences/{id}`. It stays in the records, with when it was taken back.
pub async fn remove_licence(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(LicenceId::parse)?;
    let sql = "SELECT user, jurisdiction, valid_until FROM licence
               WHERE clinic = ? AND id = ? AND removed_at IS NULL";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such licence"))?;
    let (user, old) = (row.text(0)?, format!("{}.{}", row.text(1)?, row.text(2)?));
    let sql = "UPDATE licence SET removed_at = ? WHERE clinic = ? AND id = ? AND removed_at IS NULL";
    let now: Timestamp = context.now;
    context.database().execute(sql, params![now, &context.clinic, id]).await?;
    context.audit_change(Action::LicenceRemoved, Some(&user), (Some(old), None));
    Ok(reply::no_content())
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn the_last_day_counts_and_the_end_is_said_before_it_comes() {
        let day = |text: &str| text.parse().unwrap();
        let state = |today: &str| State::of(day("2026-01-01"), day("2026-12-31"), day(today));
        assert_eq!(state("2025-12-31"), State::Future);
        assert_eq!(state("2026-01-01"), State::Valid);
        assert_eq!(state("2026-11-01"), State::Valid);
        assert_eq!(state("2026-11-02"), State::EndsSoon);
        assert_eq!(state("2026-12-31"), State::EndsSoon);
        assert_eq!(state("2027-01-01"), State::Expired);
    }
}
