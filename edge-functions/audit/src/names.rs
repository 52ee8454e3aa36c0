//! Whose ids stand in audit events, for those who may read them.

use std::collections::{BTreeMap, BTreeSet};

use kit::audit_log::Found;
use kit::context::Context;
use kit::database::Value;
use kit::params;
use kit::problem::Problem;

/// Ids in one statement.
const AT_ONCE: usize = 200;

/// Somebody of the staff.
#[derive(Clone, Debug)]
pub struct StaffName {
    /// As people know them.
    pub name: String,
    /// What they sign in with: letters of ASCII.
    pub username: String,
}

/// By id.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Members of staff, also those who left.
    pub staff: BTreeMap<String, StaffName>,
    /// Patients.
    pub patients: BTreeMap<String, String>,
}

/// The names of all who occur in `events`.
pub async fn of(context: &Context<'_>, events: &[Found]) -> Result<Names, Problem> {
    let agents =
        events.iter().filter(|found| matches!(found.event.agent_type.as_str(), "staff" | "signing-in"));
    let agents = agents.filter_map(|found| found.event.agent.clone());
    // What is done to somebody's account names them as `person` or `person/role`.
    let accounts = events.iter().filter_map(|found| found.event.entity.as_deref());
    let accounts = accounts.filter_map(|entity| entity.split('/').next()).map(str::to_owned);
    let staff: BTreeSet<String> = agents.chain(accounts).collect();
    let patients: BTreeSet<String> = events.iter().filter_map(|found| found.event.patient.clone()).collect();
    let mut names = Names::default();
    for row in rows(context, "SELECT id, name, username FROM staff_user", &staff).await? {
        let name = StaffName { name: row.text(1)?, username: row.text(2)? };
        names.staff.insert(row.text(0)?, name);
    }
    for row in rows(context, "SELECT id, name FROM patient", &patients).await? {
        names.patients.insert(row.text(0)?, row.text(1)?);
    }
    Ok(names)
}

async fn rows(
    context: &Context<'_>,
    select: &str,
    ids: &BTreeSet<String>,
) -> Result<Vec<kit::database::Row>, Problem> {
    let ids: Vec<&String> = ids.iter().collect();
    let mut found = Vec::new();
    for some in ids.chunks(AT_ONCE) {
        let marks = vec!["?"; some.len()].join(", ");
        let sql = format!("{select} WHERE clinic = ? AND id IN ({marks})");
        let mut values = params![&context.clinic];
        values.extend(some.iter().map(|id| Value::from(id.as_str())));
        found.extend(context.database().query(&sql, values).await?);
    }
    Ok(found)
}
