//! What came in and went out, by day and account: what the till, the terminal and the provider's payouts are held
//! against.

use std::collections::BTreeMap;

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use jiff::civil::Date;
use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::money::{Currency, Money};
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::desk;
use crate::ledger::Account;

/// Longest time of one report.
const MOST_DAYS: i32 = 366;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    time_zone: String,
    lines: Vec<Line>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    day: String,
    account: &'static str,
    currency: String,
    received: String,
    refunded: String,
    /// With its sign.
    net: String,
    entries: i64,
}

#[derive(Default)]
struct Sums {
    received: i64,
    refunded: i64,
    entries: i64,
}

/// `GET /payments/report`.
pub(crate) async fn get(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let day = "a date such as 2026-01-31";
    let from = query.required("from", day, form::parse_day)?;
    let until = query.required("until", day, form::parse_day)?;
    let csv = query.optional("format", "json or csv", |text| match text {
        "json" => Some(false),
        "csv" => Some(true),
        _ => None,
    })?;
    query.finish()?;
    if until < from || from.until(until).map_or(i32::MAX, |span| span.get_days()) >= MOST_DAYS {
        return Err(Problem::invalid("?until", "must be within a year after the beginning"));
    }
    let clinic = context.clinic().await?;
    let beyond = || Problem::invalid("?until", "is beyond the calendar");
    let (start, end) = desk::bounds(&clinic, (from, until)).ok_or_else(beyond)?;
    let sql = "SELECT at, debit, credit, amount_minor, currency FROM ledger
               WHERE clinic = ? AND at >= ? AND at < ? ORDER BY at, posting";
    let rows = context.database().query(sql, params![&context.clinic, start, end]).await?;
    let mut sums: BTreeMap<(Date, &'static str, String), Sums> = BTreeMap::new();
    for row in &rows {
        let (debit, credit) = (row.parsed(1, Account::parse)?, row.parsed(2, Account::parse)?);
        let account = match (debit.is_money(), credit.is_money()) {
            (true, _) => debit,
            (false, true) => credit,
            (false, false) => continue,
        };
        let key = (clinic.day_of(row.time(0)?), account.as_str(), row.text(4)?);
        let sums = sums.entry(key).or_default();
        let sum = if debit.is_money() { &mut sums.received } else { &mut sums.refunded };
        *sum += row.integer(3)?;
        sums.entries += 1;
    }
    let lines = sums.into_iter().map(line).collect::<Result<Vec<_>, _>>()?;
    context.audit(Action::PaymentReportRead, Some(&context.clinic));
    if csv == Some(true) {
        return table(&lines);
    }
    reply::ok(&Report { time_zone: clinic.time_zone, lines })
}

fn line(((day, account, currency), sums): ((Date, &'static str, String), Sums)) -> Result<Line, Problem> {
    let net = sums.received - sums.refunded;
    let sign = if net < 0 { "-" } else { "" };
    let amount = |minor: i64| amount(minor, &currency);
    Ok(Line {
        day: day.to_string(),
        account,
        received: amount(sums.received)?,
        refunded: amount(sums.refunded)?,
        net: format!("{sign}{}", amount(net.abs())?),
        entries: sums.entries,
        currency,
    })
}

/// A day's sum may be more than one amount may be.
fn amount(minor: i64, currency: &str) -> Result<String, Problem> {
    let parsed = Currency::parse(currency).ok_or_else(|| Problem::not_found("No such currency"))?;
    match Money::from_minor(minor, parsed) {
        Some(money) => Ok(money.amount()),
        None => Ok(format!("{}.{:02}", minor / 100, minor % 100)),
    }
}

fn table(lines: &[Line]) -> Result<Reply, Problem> {
    let mut text = String::from("day,account,currency,received,refunded,net,entries\r\n");
    for Line { day, account, currency, received, refunded, net, entries } in lines {
        text.push_str(&format!("{day},{account},{currency},{received},{refunded},{net},{entries}\r\n"));
    }
    let mut reply = Reply::new(text.into_bytes());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"payments.csv\""));
    Ok(reply)
}
