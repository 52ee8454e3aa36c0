//! How people sign in and open links at a clinic.

use http::StatusCode;
use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

/// Passwords that are remembered, at most.
const MAX_HISTORY: u32 = 24;
/// A password's days, if they are counted at all: fewer, and people write them down.
const DAYS: std::ops::RangeInclusive<u32> = 30..=3_650;

/// What an administrator chooses.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Settings {
    /// When whoever opens a link is asked who they are.
    pub(crate) link_proof: LinkProof,
    /// By what.
    pub(crate) link_proof_by: ProofBy,
    /// How many of somebody's last passwords are not taken again.
    pub(crate) password_history: u32,
    /// After how many days a password is old; `None`: never.
    pub(crate) password_max_days: Option<u32>,
    /// Whether passwords must have letters of several kinds.
    pub(crate) password_composition: bool,
}

/// When whoever opens a link is asked who they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LinkProof {
    Never,
    /// Where the link was opened before, in another browser.
    Risk,
    /// In every browser once.
    Always,
}

/// By what they show it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProofBy {
    BirthDate,
    /// Six digits, sent to the address that we know.
    Code,
}

impl LinkProof {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Risk => "risk",
            Self::Always => "always",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Never, Self::Risk, Self::Always].into_iter().find(|when| when.as_str() == text)
    }
}

impl ProofBy {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BirthDate => "birth-date",
            Self::Code => "code",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::BirthDate, Self::Code].into_iter().find(|by| by.as_str() == text)
    }
}

impl Settings {
    /// Those of the clinic.
    pub(crate) async fn of(context: &Context<'_>) -> Result<Self, Problem> {
        let sql =
            "SELECT link_proof, link_proof_by, password_history, password_max_days, password_composition
                   FROM clinic WHERE clinic = ?";
        let rows = context.database().query(sql, params![&context.clinic]).await?;
        let row = rows.first().ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, "unknown-clinic", "There is no such clinic")
        })?;
        let number = |value: i64| u32::try_from(value).unwrap_or(0);
        Ok(Self {
            link_proof: row.parsed(0, LinkProof::parse)?,
            link_proof_by: row.parsed(1, ProofBy::parse)?,
            password_history: number(row.integer(2)?),
            password_max_days: row.integer_or_null(3)?.map(number),
            password_composition: row.integer(4)? != 0,
        })
    }
}

/// `GET /auth/settings`.
pub(crate) async fn get_settings(context: &Context<'_>) -> Result<Reply, Problem> {
    context.audit(Action::SettingsRead, None);
    reply::ok(&Settings::of(context).await?)
}

/// `PUT /auth/settings`.
pub(crate) async fn put_settings(context: &Context<'_>) -> Result<Reply, Problem> {
    let new: Settings = form::read(&context.request)?;
    if new.password_history > MAX_HISTORY {
        return Err(Problem::invalid("/passwordHistory", format!("must be {MAX_HISTORY} at most")));
    }
    if new.password_max_days.is_some_and(|days| !DAYS.contains(&days)) {
        return Err(Problem::invalid("/passwordMaxDays", "must be 30 to 3650, or null"));
    }
    let sql =
        "UPDATE clinic SET link_proof = ?, link_proof_by = ?, password_history = ?, password_max_days = ?,
                 password_composition = ? WHERE clinic = ?";
    let values = params![
        new.link_proof.as_str(),
        new.link_proof_by.as_str(),
        new.password_history,
        new.password_max_days,
        u32::from(new.password_composition),
        &context.clinic
    ];
    if context.database().execute(sql, values).await? == 0 {
        return Err(Problem::not_found("The clinic is not set up"));
    }
    context.audit(Action::SettingsChanged, None);
    reply::ok(&new)
}
