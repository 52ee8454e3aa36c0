//! An administrator looks through the roles of everybody who works here, until a day: evidence that nobody has more than
//! they need (45 CFR 164.308(a)(4)(ii)(C)).

use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::Date;
use kit::audit::Action;
use kit::context::Context;
use kit::form::{self, Day};
use kit::ids::{RecertificationId, UserId};
use kit::params;
use kit::policy::Role;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::account::{Account, check_roles};
use crate::staff;

/// Shown, the newest first.
const MOST: i64 = 12;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewRound {
    due_on: Day,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    user: UserId,
    decision: Decision,
    /// What they are to be, if they change.
    #[serde(default)]
    roles: Vec<Role>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Decision {
    Keep,
    Change,
    /// They leave.
    Remove,
}

impl Decision {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Change => "change",
            Self::Remove => "remove",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Keep, Self::Change, Self::Remove].into_iter().find(|decision| decision.as_str() == text)
    }
}

#[derive(Serialize)]
struct RoundsView {
    recertifications: Vec<RoundView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RoundView {
    id: RecertificationId,
    due_on: Date,
    begun_at: Timestamp,
    begun_by: String,
    /// Whom nobody has looked at.
    open: usize,
    /// Some are, and the day is over.
    overdue: bool,
    people: Vec<PersonView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PersonView {
    user: UserId,
    name: String,
    /// When it began.
    roles: Vec<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_roles: Option<Vec<Role>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<Timestamp>,
}

/// `GET /auth/recertifications`.
pub async fn list_recertifications(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    context.audit(Action::RecertificationsRead, None);
    reply::ok(&RoundsView { recertifications: rounds(context, None).await? })
}

/// `POST /auth/recertifications`: with everybody who works here now, and the roles they have.
pub async fn create_recertification(context: &Context<'_>) -> Result<Reply, Problem> {
    let new: NewRound = form::read(&context.request)?;
    let today = context.clinic().await?.day_of(context.now);
    if new.due_on.0 < today {
        return Err(Problem::invalid("/dueOn", "must not be over"));
    }
    let id = RecertificationId::new(context.now)?;
    context
        .transaction(async || {
            let sql = "INSERT INTO recertification (clinic, id, due_on, begun_by, begun_at)
                       SELECT ?1, ?2, ?3, ?4, ?5
                       WHERE NOT EXISTS (SELECT 1 FROM recertification_item i
                                         JOIN staff_user u ON u.clinic = i.clinic AND u.id = i.user
                                         WHERE i.clinic = ?1 AND i.decision IS NULL AND u.left_at IS NULL)";
            let (by, due_on) = (context.staff()?.user, new.due_on.0.to_string());
            let values = params![&context.clinic, id, due_on, by, context.now];
            if context.database().execute(sql, values).await? == 0 {
                let title = "The one before is not finished";
                return Err(Problem::new(StatusCode::CONFLICT, "recertification-open", title));
            }
            let sql = "INSERT INTO recertification_item (clinic, recertification, user, roles)
                       SELECT u.clinic, ?2, u.id,
                         coalesce((SELECT group_concat(r.role, ' ') FROM staff_role r
                                   WHERE r.clinic = u.clinic AND r.user = u.id), '')
                       FROM staff_user u WHERE u.clinic = ?1 AND u.left_at IS NULL";
            context.database().execute(sql, params![&context.clinic, id]).await?;
            context.audit(Action::RecertificationBegun, Some(&id));
            Ok(())
        })
        .await?;
    let round = rounds(context, Some(id)).await?;
    let round = round.first().ok_or_else(|| Problem::not_found("No such recertification"))?;
    reply::json(StatusCode::CREATED, round)
}

/// `POST /auth/recertifications/{id}`. Once a person; what it decides holds at once.
pub async fn certify_access(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(RecertificationId::parse)?;
    let decided: Decided = form::read(&context.request)?;
    match decided.decision {
        Decision::Change => check_roles(&decided.roles, "")?,
        _ if !decided.roles.is_empty() => {
            return Err(Problem::invalid("/roles", "belong to a change only"));
        }
        _ => {}
    }
    let account = Account::with_id(context, decided.user).await?;
    context
        .transaction(async || {
            let new_roles = (decided.decision == Decision::Change).then(|| names(&decided.roles, " "));
            let sql = "UPDATE recertification_item
                       SET decision = ?, new_roles = ?, decided_by = ?, decided_at = ?
                       WHERE clinic = ? AND recertification = ? AND user = ? AND decision IS NULL";
            let (by, decision) = (context.staff()?.user, decided.decision.as_str());
            let (user, now) = (account.user.id, context.now);
            let values = params![decision, new_roles, by, now, &context.clinic, id, user];
            if context.database().execute(sql, values).await? == 0 {
                return Err(undecidable(context, id, user).await?);
            }
            let change = (Some(names(&account.user.roles, ".")), Some(decision.to_owned()));
            context.audit_change(Action::AccessCertified, Some(&user), change);
            match decided.decision {
                Decision::Keep => Ok(()),
                Decision::Change => staff::change_roles(context, &account, &decided.roles).await,
                Decision::Remove => staff::end(context, user).await,
            }
        })
        .await?;
    Ok(reply::no_content())
}

async fn undecidable(context: &Context<'_>, id: RecertificationId, user: UserId) -> Result<Problem, Problem> {
    let sql = "SELECT 1 FROM recertification_item WHERE clinic = ? AND recertification = ? AND user = ?";
    let rows = context.database().query(sql, params![&context.clinic, id, user]).await?;
    Ok(match rows.is_empty() {
        true => Problem::not_found("No such person in this recertification"),
        false => Problem::new(StatusCode::CONFLICT, "decided-already", "Somebody has decided this already"),
    })
}

/// Roles as the audit and the database have them.
pub(crate) fn names(roles: &[Role], between: &str) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(between)
}

fn read_roles(text: &str) -> Vec<Role> {
    text.split(' ').filter_map(Role::parse).collect()
}

async fn rounds(context: &Context<'_>, only: Option<RecertificationId>) -> Result<Vec<RoundView>, Problem> {
    let today = context.clinic().await?.day_of(context.now);
    let sql =
        "SELECT c.id, c.due_on, c.begun_at, b.name, i.user, u.name, i.roles, i.decision, i.new_roles, d.name,
                      i.decided_at, u.left_at
               FROM (SELECT clinic, id, due_on, begun_at, begun_by FROM recertification
                     WHERE clinic = ?1 AND (?2 IS NULL OR id = ?2) ORDER BY begun_at DESC LIMIT ?3) c
               JOIN staff_user b ON b.clinic = c.clinic AND b.id = c.begun_by
               JOIN recertification_item i ON i.clinic = c.clinic AND i.recertification = c.id
               JOIN staff_user u ON u.clinic = i.clinic AND u.id = i.user
               LEFT JOIN staff_user d ON d.clinic = i.clinic AND d.id = i.decided_by
               ORDER BY c.begun_at DESC, c.id, u.name, u.id";
    let rows = context.database().query(sql, params![&context.clinic, only, MOST]).await?;
    let mut rounds: Vec<RoundView> = Vec::new();
    for row in &rows {
        let id = row.parsed(0, RecertificationId::parse)?;
        if rounds.last().is_none_or(|round| round.id != id) {
            let due_on = row.parsed(1, form::parse_day)?;
            let (begun_at, begun_by) = (row.time(2)?, row.text(3)?);
            rounds.push(RoundView {
                id,
                due_on,
                begun_at,
                begun_by,
                open: 0,
                overdue: false,
                people: Vec::new(),
            });
        }
        let Some(round) = rounds.last_mut() else { continue };
        let decision = row.text_or_null(7)?.as_deref().and_then(Decision::parse);
        // Whoever left meanwhile need not be decided about.
        if decision.is_none() && row.time_or_null(11)?.is_none() {
            round.open += 1;
            round.overdue = today > round.due_on;
        }
        round.people.push(PersonView {
            user: row.parsed(4, UserId::parse)?,
            name: row.text(5)?,
            roles: read_roles(&row.text(6)?),
            decision,
            new_roles: row.text_or_null(8)?.as_deref().map(read_roles),
            decided_by: row.text_or_null(9)?,
            decided_at: row.time_or_null(10)?,
        });
    }
    Ok(rounds)
}
