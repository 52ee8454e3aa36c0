//! A sign-in is let through from a device on which its owner is signed in: the new one shows two digits, and they pick
//! them among three numbers. Whoever only has the password gets a number that nobody picks.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::context::{Context, SigningIn};
use kit::database::Row;
use kit::form;
use kit::ids::ApprovalId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::{secret, sessions};
use serde::{Deserialize, Serialize};

use crate::lockout::{self, Subject};
use crate::sign_in;

/// How long one may be decided.
pub const LASTS: SignedDuration = SignedDuration::from_mins(2);
/// Between the decision and its use.
const USED_WITHIN: SignedDuration = SignedDuration::from_mins(1);
/// So many in [`REMEMBERED`], and no more: nobody is asked until they give in.
pub const MOST: i64 = 5;
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    /// For this device to show.
    number: i64,
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct State {
    status: Status,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Pending,
    Approved,
    /// Refused, by a wrong number too.
    Refused,
    Expired,
}

#[derive(Serialize)]
struct Approvals {
    approvals: Vec<View>,
}

/// A sign-in that waits for whoever is signed in.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    id: ApprovalId,
    choices: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    expires_at: Timestamp,
}

/// The number that was picked; `None`: it was not them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    number: Option<i64>,
}

#[derive(Serialize)]
struct Decided {
    approved: bool,
}

/// `POST /auth/second-factor/approval`.
pub(crate) async fn create(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let signing_in = sign_in::owes_second_factor(context)?;
    let user = signing_in.user;
    lockout::check(context, &Subject::User(user)).await?;
    let (number, choices) = draw()?;
    let id = ApprovalId::new(context.now)?;
    let device = sessions::device(context.request.headers());
    let country = context.country().map(str::to_owned);
    context
        .transaction(async || {
            let (clinic, database, now) = (&context.clinic, context.database(), context.now);
            let sql = "DELETE FROM sign_in_approval WHERE clinic = ? AND user = ? AND created_at <= ?";
            database.execute(sql, params![clinic, user, now - REMEMBERED]).await?;
            // Only the newest question of a sign-in can be answered.
            let sql = "UPDATE sign_in_approval SET refused_at = ?3
                       WHERE clinic = ?1 AND sign_in = ?2 AND approved_at IS NULL AND refused_at IS NULL";
            database.execute(sql, params![clinic, signing_in.key, now]).await?;
            let sql =
                "INSERT INTO sign_in_approval (clinic, id, user, sign_in, number, choices, device, country,
                         created_at)
                       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
                       WHERE (SELECT count(*) FROM sign_in_approval WHERE clinic = ?1 AND user = ?3) < ?10";
            let values =
                params![clinic, id, user, signing_in.key, number, choices, device, country, now, MOST];
            if database.execute(sql, values).await? == 0 {
                return Err(Problem::too_many_attempts(REMEMBERED.as_secs()));
            }
            context.audit(Action::ApprovalAsked, Some(&user));
            Ok(())
        })
        .await?;
    reply::json(StatusCode::CREATED, &Asked { number, expires_at: context.now + LASTS })
}

/// Two digits, and the same among two others, smallest first.
fn draw() -> Result<(i64, String), Problem> {
    let mut numbers: Vec<i64> = Vec::with_capacity(3);
    while numbers.len() < 3 {
        let [byte] = secret::random::<1>()?;
        let number = 10 + i64::from(byte);
        if number < 100 && !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    let number = numbers[0];
    numbers.sort_unstable();
    Ok((number, numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")))
}

/// `GET /auth/second-factor/approval`: what became of the one asked last.
pub(crate) async fn get(context: &Context<'_>) -> Result<Reply, Problem> {
    let signing_in = sign_in::owes_second_factor(context)?;
    let sql = "SELECT created_at, approved_at, refused_at FROM sign_in_approval
               WHERE clinic = ? AND sign_in = ? ORDER BY created_at DESC, id DESC LIMIT 1";
    let rows = context.database().query(sql, params![&context.clinic, signing_in.key]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("Nobody was asked"))?;
    let status = match (row.time_or_null(1)?, row.time_or_null(2)?) {
        (Some(_), _) => Status::Approved,
        (None, Some(_)) => Status::Refused,
        (None, None) if row.time(0)? <= context.now - LASTS => Status::Expired,
        (None, None) => Status::Pending,
    };
    reply::ok(&State { status })
}

/// `GET /auth/approvals`: sign-ins of one's own that wait.
pub(crate) async fn list(context: &Context<'_>) -> Result<Reply, Problem> {
    let user = context.staff()?.user;
    let sql = "SELECT id, choices, device, country, created_at FROM sign_in_approval
               WHERE clinic = ? AND user = ? AND approved_at IS NULL AND refused_at IS NULL AND created_at > ?
               ORDER BY created_at DESC, id DESC";
    let values = params![&context.clinic, user, context.now - LASTS];
    let rows = context.database().query(sql, values).await?;
    let approvals = rows.iter().map(view).collect::<Result<_, Problem>>()?;
    reply::ok(&Approvals { approvals })
}

fn view(row: &Row) -> Result<View, Problem> {
    Ok(View {
        id: row.parsed(0, ApprovalId::parse)?,
        choices: row.text(1)?.split(' ').filter_map(|number| number.parse().ok()).collect(),
        device: row.text_or_null(2)?,
        country: row.text_or_null(3)?,
        expires_at: row.time(4)? + LASTS,
    })
}

/// `POST /auth/approvals/{id}`. One pick: a wrong one refuses.
pub(crate) async fn decide(context: &Context<'_>) -> Result<Reply, Problem> {
    let decision: Decision = form::read(&context.request)?;
    let (staff, id) = (context.staff()?, context.path_id(ApprovalId::parse)?);
    let (clinic, database) = (&context.clinic, context.database());
    let approved = context
        .transaction(async || {
            let sql = "UPDATE sign_in_approval SET
                         approved_at = CASE WHEN number = ?4 THEN ?5 END,
                         refused_at = CASE WHEN number = ?4 THEN NULL ELSE ?5 END,
                         proved_at = ?6
                       WHERE clinic = ?1 AND user = ?2 AND id = ?3 AND approved_at IS NULL
                         AND refused_at IS NULL AND created_at > ?7";
            // What is no number equals none.
            let picked = decision.number.unwrap_or_default();
            let since = context.now - LASTS;
            let values = params![clinic, staff.user, id, picked, context.now, staff.proved_at, since];
            if database.execute(sql, values).await? == 0 {
                return Err(Problem::not_found("No sign-in of yours waits under that id"));
            }
            let sql = "SELECT approved_at IS NOT NULL FROM sign_in_approval WHERE clinic = ? AND id = ?";
            let rows = database.query(sql, params![clinic, id]).await?;
            let approved = rows.first().map_or(Ok(0), |row| row.integer(0))? != 0;
            let action = if approved { Action::ApprovalGiven } else { Action::ApprovalRefused };
            context.audit(action, Some(&staff.user));
            Ok(approved)
        })
        .await?;
    reply::ok(&Decided { approved })
}

/// When whoever approved this sign-in had last shown who they are; it is used up.
pub(crate) async fn spend(
    context: &Context<'_>,
    signing_in: &SigningIn,
) -> Result<Option<Timestamp>, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "SELECT id, proved_at FROM sign_in_approval
               WHERE clinic = ? AND sign_in = ? AND user = ? AND approved_at > ?";
    let since = context.now - USED_WITHIN;
    let rows = database.query(sql, params![clinic, signing_in.key, signing_in.user, since]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let sql = "DELETE FROM sign_in_approval WHERE clinic = ? AND id = ?";
    if database.execute(sql, params![clinic, row.text(0)?]).await? == 0 {
        return Ok(None);
    }
    Ok(Some(row.time(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_one_of_three_different_ones_and_stands_anywhere() {
        let mut places = [0; 3];
        for _ in 0..200 {
            let (number, choices) = draw().unwrap();
            let choices: Vec<i64> = choices.split(' ').map(|text| text.parse().unwrap()).collect();
            assert!(choices.len() == 3 && choices.is_sorted_by(|a, b| a < b), "{choices:?}");
            assert!(choices.iter().all(|choice| (10..100).contains(choice)), "{choices:?}");
            places[choices.iter().position(|choice| *choice == number).unwrap()] += 1;
        }
        assert!(places.iter().all(|count| *count > 20), "{places:?}");
    }
}
