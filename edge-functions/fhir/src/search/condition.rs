//! A clause of a search as a condition of SQL: the text is ours, what was given is bound.

use fhir_model::moment;
use fhir_model::search::{self, Kind, Parameter};
use kit::database::Value;
use kit::problem::Problem;

use super::query::Clause;
use crate::outcome::bad_search;
use crate::projection::Column;
use crate::source::Source;

type Condition = (String, Vec<Value>);

/// The condition of a clause on rows of a source.
pub(super) fn of(clinic: &str, source: &'static Source, clause: &Clause) -> Result<Condition, Problem> {
    match clause.name.as_str() {
        "_id" => {
            return any(&clause.values, |value| Ok((format!("{} = ?", source.id), vec![value.into()])));
        }
        "_lastUpdated" => {
            let (low, high) = (source.updated.to_owned(), format!("{} + 1", source.updated));
            return any(&clause.values, |value| date(&low, &high, value));
        }
        _ => {}
    }
    if source.is_stored() {
        let known = search::parameter(source.kind, &clause.name).ok_or_else(|| unknown(source, clause))?;
        return kept(clinic, source, known, clause);
    }
    let column = source.parameters.iter().find(|(name, _)| *name == clause.name);
    let (_, column) = column.ok_or_else(|| unknown(source, clause))?;
    shown(column, clause)
}

fn unknown(source: &Source, clause: &Clause) -> Problem {
    let plain =
        clause.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let name = if plain { clause.name.as_str() } else { "a parameter" };
    bad_search(format!("{} is not found by {name}", source.kind))
}

fn unknown_modifier() -> Problem {
    bad_search("the modifier is not known here")
}

/// Any of the values.
fn any(values: &[String], each: impl Fn(&str) -> Result<Condition, Problem>) -> Result<Condition, Problem> {
    let (mut texts, mut all) = (Vec::new(), Vec::new());
    for value in values {
        let (text, own) = each(value)?;
        texts.push(text);
        all.extend(own);
    }
    Ok((format!("({})", texts.join(" OR ")), all))
}

/// Of what is kept as it came: by its keys.
fn kept(
    clinic: &str,
    source: &Source,
    parameter: &'static Parameter,
    clause: &Clause,
) -> Result<Condition, Problem> {
    let (name, modifier) = (parameter.name, clause.modifier.as_deref());
    let among = |inner: &str| {
        format!(
            "{} IN (SELECT k.id FROM fhir_key k WHERE k.clinic = ? AND k.type = '{}' AND k.name = '{name}' AND {inner})",
            source.id, source.kind
        )
    };
    // A date is looked at where something else has found the resource.
    let beside = |inner: &str| {
        format!(
            "EXISTS (SELECT 1 FROM fhir_key k WHERE k.clinic = ? AND k.type = '{}' AND k.id = {} AND k.name = '{name}' AND {inner})",
            source.kind, source.id
        )
    };
    let with_clinic = |(text, values): Condition, wrap: &dyn Fn(&str) -> String| {
        let mut all = vec![Value::from(clinic)];
        all.extend(values);
        (wrap(&text), all)
    };
    if modifier == Some("missing") {
        let (text, values) = with_clinic(("1 = 1".to_owned(), Vec::new()), &beside);
        return Ok((negated(is_missing(clause)?, text), values));
    }
    // The patient stands in the row itself.
    if parameter.target == "Patient" && modifier.is_none() {
        return any(&clause.values, |value| {
            let id = value.strip_prefix("Patient/").unwrap_or(value);
            Ok((format!("{} = ?", source.patient), vec![id.into()]))
        });
    }
    match (parameter.kind, modifier) {
        (Kind::Token, None | Some("not")) => {
            let condition = any(&clause.values, token)?;
            let (text, values) = with_clinic(condition, &among);
            Ok((negated(modifier.is_some(), text), values))
        }
        (Kind::String, modifier) => {
            let condition = any(&clause.values, |value| string("k.value", "k.system", modifier, value))?;
            Ok(with_clinic(condition, &among))
        }
        (Kind::Reference, modifier) => {
            let condition = any(&clause.values, |value| reference(modifier, value))?;
            Ok(with_clinic(condition, &among))
        }
        (Kind::Uri, None) => {
            let condition = any(&clause.values, |value| Ok(("k.value = ?".to_owned(), vec![value.into()])))?;
            Ok(with_clinic(condition, &among))
        }
        (Kind::Date, None) => {
            let condition = any(&clause.values, |value| date("k.low", "k.high", value))?;
            Ok(with_clinic(condition, &beside))
        }
        (Kind::Number | Kind::Quantity, None) => {
            let condition = any(&clause.values, quantity)?;
            Ok(with_clinic(condition, &beside))
        }
        _ => Err(unknown_modifier()),
    }
}

fn negated(is_negated: bool, text: String) -> String {
    if is_negated { format!("NOT ({text})") } else { text }
}

fn is_missing(clause: &Clause) -> Result<bool, Problem> {
    match clause.values.as_slice() {
        [value] if value == "true" => Ok(true),
        [value] if value == "false" => Ok(false),
        _ => Err(bad_search(":missing takes true or false")),
    }
}

/// Of the application's own columns.
fn shown(column: &'static Column, clause: &Clause) -> Result<Condition, Problem> {
    let modifier = clause.modifier.as_deref();
    match (column, modifier) {
        (Column::Text(text), modifier) => {
            any(&clause.values, |value| string(&format!("lower({text})"), text, modifier, value))
        }
        (Column::Code(code, own), None | Some("not")) => {
            let (text, values) = any(&clause.values, |value| match value.split_once('|') {
                Some((system, _)) if system != *own => Ok(("1 = 0".to_owned(), Vec::new())),
                Some((_, "")) => Ok((format!("{code} IS NOT NULL"), Vec::new())),
                Some((_, value)) => Ok((format!("{code} = ?"), vec![value.into()])),
                None => Ok((format!("{code} = ?"), vec![value.into()])),
            })?;
            Ok((negated(modifier.is_some(), text), values))
        }
        (Column::Time(low, high), None) => any(&clause.values, |value| date(low, high, value)),
        (Column::Day(day), None) => {
            let low = format!("(CAST(strftime('%s', {day}) AS INTEGER) * 1000)");
            let high = format!("({low} + 86400000)");
            any(&clause.values, |value| date(&low, &high, value))
        }
        (Column::Id(id, kind), modifier) if modifier.is_none_or(|modifier| modifier == *kind) => {
            any(&clause.values, |value| match value.rsplit_once('/') {
                Some((own, _)) if own.rsplit('/').next() != Some(*kind) => {
                    Ok(("1 = 0".to_owned(), Vec::new()))
                }
                Some((_, value)) => Ok((format!("{id} = ?"), vec![value.into()])),
                None => Ok((format!("{id} = ?"), vec![value.into()])),
            })
        }
        _ => Err(unknown_modifier()),
    }
}

/// `code`, `system|code`, `system|`, `|code`.
fn token(value: &str) -> Result<Condition, Problem> {
    Ok(match value.split_once('|') {
        None => ("k.value = ?".to_owned(), vec![value.into()]),
        Some((system, "")) => ("k.system = ?".to_owned(), vec![system.into()]),
        Some((system, code)) => {
            ("(k.value = ? AND k.system = ?)".to_owned(), vec![code.into(), system.into()])
        }
    })
}

/// `Type/id`, an id alone, or a URL.
fn reference(modifier: Option<&str>, value: &str) -> Result<Condition, Problem> {
    if let Some(kind) = modifier {
        if !fhir_model::is_resource(kind) {
            return Err(unknown_modifier());
        }
        return Ok(("k.value = ?".to_owned(), vec![format!("{kind}/{value}").into()]));
    }
    if value.contains('/') || value.contains(':') {
        return Ok(("k.value = ?".to_owned(), vec![value.into()]));
    }
    // Of any type: ids have no `%` and no `_`.
    if !fhir_model::is_id(value) {
        return Err(bad_search("a reference is Type/id, an id or a URL"));
    }
    Ok(("k.value LIKE '%/' || ?".to_owned(), vec![value.into()]))
}

/// The beginning of the text or of a word of it; exact; a part.
fn string(folded: &str, exact: &str, modifier: Option<&str>, value: &str) -> Result<Condition, Problem> {
    let pattern = |value: &str| {
        let escaped = search::fold(value).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        Value::from(escaped)
    };
    match modifier {
        None => Ok((format!("(' ' || {folded}) LIKE ('% ' || ? || '%') ESCAPE '\\'"), vec![pattern(value)])),
        Some("contains") => {
            Ok((format!("{folded} LIKE ('%' || ? || '%') ESCAPE '\\'"), vec![pattern(value)]))
        }
        Some("exact") => Ok((format!("{exact} = ?"), vec![value.into()])),
        Some(_) => Err(unknown_modifier()),
    }
}

/// The prefix of a date or number, and the rest (<http://hl7.org/fhir/R4/search.html#prefix>).
fn prefixed(value: &str) -> (&str, &str) {
    const PREFIXES: [&str; 9] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];
    match value.get(..2).filter(|prefix| PREFIXES.contains(prefix)) {
        Some(prefix) => (prefix, &value[2..]),
        None => ("eq", value),
    }
}

/// What covers `low` until before `high`, against what was given.
fn date(low: &str, high: &str, value: &str) -> Result<Condition, Problem> {
    let (prefix, text) = prefixed(value);
    let range = moment::range(text)
        .ok_or_else(|| bad_search("a date is YYYY, YYYY-MM, YYYY-MM-DD or with a time"))?;
    let (from, until) = (Value::from(range.from_ms), Value::from(range.until_ms));
    Ok(match prefix {
        "ne" => (format!("NOT ({low} >= ? AND {high} <= ?)"), vec![from, until]),
        "gt" => (format!("{high} > ?"), vec![until]),
        "lt" => (format!("{low} < ?"), vec![from]),
        "ge" => (format!("{high} > ?"), vec![from]),
        "le" => (format!("{low} < ?"), vec![until]),
        "sa" => (format!("{low} >= ?"), vec![until]),
        "eb" => (format!("{high} <= ?"), vec![from]),
        "ap" => (format!("({low} < ? AND {high} > ?)"), vec![until, from]),
        _ => (format!("({low} >= ? AND {high} <= ?)"), vec![from, until]),
    })
}

/// `5.4|system|code`: what rounds to what was given, or is beyond it.
fn quantity(value: &str) -> Result<Condition, Problem> {
    let (prefix, text) = prefixed(value);
    let mut parts = text.split('|');
    let bad = || bad_search("a quantity is number|system|code");
    let number = parts.next().unwrap_or_default();
    let parsed: f64 = number.parse().map_err(|_| bad())?;
    let places = number.split_once('.').map_or(0, |(_, rest)| rest.len());
    let half = 0.5 * 10_f64.powi(-i32::try_from(places.min(6)).unwrap_or(6));
    let micro = |number: f64| search::micro(number).map(Value::from).ok_or_else(bad);
    let (text, mut values) = match prefix {
        "gt" | "sa" => ("k.low > ?", vec![micro(parsed)?]),
        "lt" | "eb" => ("k.low < ?", vec![micro(parsed)?]),
        "ge" => ("k.low >= ?", vec![micro(parsed)?]),
        "le" => ("k.low <= ?", vec![micro(parsed)?]),
        "ne" => ("NOT (k.low >= ? AND k.low < ?)", vec![micro(parsed - half)?, micro(parsed + half)?]),
        "ap" => {
            let tenth = parsed.abs() * 0.1;
            ("(k.low >= ? AND k.low <= ?)", vec![micro(parsed - tenth)?, micro(parsed + tenth)?])
        }
        _ => ("(k.low >= ? AND k.low < ?)", vec![micro(parsed - half)?, micro(parsed + half)?]),
    };
    let mut text = format!("({text}");
    match (parts.next(), parts.next(), parts.next()) {
        (None, _, _) => {}
        (Some(""), Some(code), None) => {
            text.push_str(" AND k.system LIKE '%|' || ? ESCAPE '\\'");
            values.push(code.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_").into());
        }
        (Some(system), Some(code), None) => {
            text.push_str(" AND k.system = ?");
            values.push(format!("{system}|{code}").into());
        }
        _ => return Err(bad()),
    }
    text.push(')');
    Ok((text, values))
}
