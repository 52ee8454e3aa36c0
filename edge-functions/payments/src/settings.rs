//! How a clinic is paid, and what its pages offer.

use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::ids::ServiceId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::provider::{self, CardFields};

const MOST_SERVICES: usize = 500;

/// What an administrator chooses.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Settings {
    /// What of the price somebody pays who does not come.
    pub(crate) no_show_percent: u32,
    /// Whether one may pay at the clinic where cards are taken.
    pub(crate) at_clinic: bool,
    /// Services with a price by the minute.
    pub(crate) per_minute: Vec<ServiceId>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    /// `null`: cards are not taken.
    card: Option<CardFields>,
    at_clinic: bool,
}

impl Settings {
    /// Those of the clinic.
    pub(crate) async fn of(context: &Context<'_>) -> Result<Self, Problem> {
        let (clinic, database) = (&context.clinic, context.database());
        let sql = "SELECT no_show_percent, at_clinic FROM payment_settings WHERE clinic = ?";
        let rows = database.query(sql, params![clinic]).await?;
        let (no_show_percent, at_clinic) = match rows.first() {
            Some(row) => (u32::try_from(row.integer(0)?).unwrap_or(100), row.integer(1)? != 0),
            None => (100, true),
        };
        let sql = "SELECT service FROM service_per_minute WHERE clinic = ? ORDER BY service";
        let rows = database.query(sql, params![clinic]).await?;
        let per_minute = rows.iter().map(|row| row.parsed(0, ServiceId::parse)).collect::<Result<_, _>>()?;
        Ok(Self { no_show_percent, at_clinic, per_minute })
    }
}

/// `GET /payments/options`.
pub(crate) async fn get_options(context: &Context<'_>) -> Result<Reply, Problem> {
    context.clinic().await?;
    let card = provider::of(context).await?.fields();
    let at_clinic = card.is_none() || Settings::of(context).await?.at_clinic;
    reply::ok(&Options { card, at_clinic })
}

/// `GET /payments/settings`.
pub(crate) async fn get_settings(context: &Context<'_>) -> Result<Reply, Problem> {
    let settings = Settings::of(context).await?;
    context.audit(Action::PaymentSettingsRead, Some(&context.clinic));
    reply::ok(&settings)
}

/// `PUT /payments/settings`. What is booked already stays as it was agreed on.
pub(crate) async fn put_settings(context: &Context<'_>) -> Result<Reply, Problem> {
    let new: Settings = form::read(&context.request)?;
    if new.no_show_percent > 100 {
        return Err(Problem::invalid("/noShowPercent", "must be 0 to 100"));
    }
    if new.per_minute.len() > MOST_SERVICES {
        return Err(Problem::invalid("/perMinute", format!("must be {MOST_SERVICES} at most")));
    }
    context.clinic().await?;
    let (clinic, database) = (&context.clinic, context.database());
    context
        .transaction(async || {
            let sql = "INSERT INTO payment_settings (clinic, no_show_percent, at_clinic) VALUES (?1, ?2, ?3)
                       ON CONFLICT (clinic) DO UPDATE SET no_show_percent = ?2, at_clinic = ?3";
            let at_clinic = u32::from(new.at_clinic);
            database.execute(sql, params![clinic, new.no_show_percent, at_clinic]).await?;
            let sql = "DELETE FROM service_per_minute WHERE clinic = ?";
            database.execute(sql, params![clinic]).await?;
            for (place, service) in new.per_minute.iter().enumerate() {
                let sql = "INSERT INTO service_per_minute (clinic, service)
                           SELECT clinic, id FROM service WHERE clinic = ? AND id = ? AND capacity = 1
                           ON CONFLICT (clinic, service) DO NOTHING";
                if database.execute(sql, params![clinic, *service]).await? == 0 {
                    return Err(Problem::invalid(
                        format!("/perMinute/{place}"),
                        "is no other service of one patient here",
                    ));
                }
            }
            Ok(())
        })
        .await?;
    context.audit(Action::PaymentSettingsChanged, Some(&context.clinic));
    reply::ok(&new)
}
