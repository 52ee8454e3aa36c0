//! How a clinic writes to people.

use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::hours::ClockTime;
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use kit::texts::Language;
use serde::{Deserialize, Serialize};

use crate::quiet::Quiet;

/// What a clinic wishes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) language: Language,
    pub(crate) quiet: Option<Quiet>,
}

/// As people write it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SettingsView {
    language: Language,
    /// Local times; both or none.
    quiet_from: Option<ClockTime>,
    quiet_until: Option<ClockTime>,
}

pub(crate) async fn of(context: &Context<'_>) -> Result<Settings, Problem> {
    let sql = "SELECT language, quiet_from, quiet_until FROM message_settings WHERE clinic = ?";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let Some(row) = rows.first() else { return Ok(Settings::default()) };
    let time = |column| Ok::<_, Problem>(row.text_or_null(column)?.and_then(|text| ClockTime::parse(&text)));
    let quiet = time(1)?.zip(time(2)?).map(|(from, until)| Quiet { from, until });
    Ok(Settings { language: Language::of(row, 0)?.unwrap_or_default(), quiet })
}

/// `GET /messages/settings`.
pub async fn get_message_settings(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    view(context).await
}

/// `PUT /messages/settings`.
pub async fn put_message_settings(context: &Context<'_>) -> Result<Reply, Problem> {
    let settings: SettingsView = form::read(&context.request)?;
    if settings.quiet_from.is_some() != settings.quiet_until.is_some() {
        return Err(Problem::invalid("/quietUntil", "stands with quietFrom or not at all"));
    }
    let sql =
        "INSERT INTO message_settings (clinic, language, quiet_from, quiet_until) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (clinic) DO UPDATE SET language = ?2, quiet_from = ?3, quiet_until = ?4";
    let text = |time: Option<ClockTime>| time.map(|time| time.to_string());
    let values = params![
        &context.clinic,
        settings.language.as_str(),
        text(settings.quiet_from),
        text(settings.quiet_until)
    ];
    context.clinic().await?;
    context.database().execute(sql, values).await?;
    context.audit(Action::SettingsChanged, Some(&context.clinic));
    view(context).await
}

async fn view(context: &Context<'_>) -> Result<Reply, Problem> {
    let Settings { language, quiet } = of(context).await?;
    reply::ok(&SettingsView {
        language,
        quiet_from: quiet.map(|quiet| quiet.from),
        quiet_until: quiet.map(|quiet| quiet.until),
    })
}
