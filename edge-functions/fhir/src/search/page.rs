//! The order of what is found, and where the next page begins: behind the last one that was shown, however many come or go before it.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use kit::database::Value;
use kit::problem::Problem;

use super::query::Query;
use crate::outcome::bad_search;
use crate::projection::Column;
use crate::source::{Found, Source};

/// Where a page ended: a time or an id, never anything that somebody wrote.
pub(crate) struct Cursor {
    /// `None`: in the order of ids.
    order: Option<i64>,
    id: String,
}

impl Cursor {
    pub(super) fn of(last: &Found) -> Self {
        let order = match last.order {
            Value::Integer(order) => Some(order),
            _ => None,
        };
        Self { order, id: last.id.clone() }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (order, id) = text.split_once(' ')?;
        let order = if order.is_empty() { None } else { Some(order.parse().ok()?) };
        fhir_model::is_id(id).then(|| Self { order, id: id.to_owned() })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = self.order.map(|order| order.to_string()).unwrap_or_default();
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(format!("{order} {}", self.id)))
    }
}

/// By what rows are sorted.
pub(super) struct Order {
    /// An expression, ours; that of ids for the order of ids.
    pub(super) expression: String,
    is_by_id: bool,
    is_descending: bool,
}

/// Times and ids are sorted by, for a cursor stands in addresses.
pub(super) fn order(source: &'static Source, query: &Query) -> Result<Order, Problem> {
    let by_id = |is_descending| Order { expression: source.id.to_owned(), is_by_id: true, is_descending };
    let Some(sort) = &query.sort else { return Ok(by_id(false)) };
    let is_descending = sort.is_descending;
    let expression = match sort.name.as_str() {
        "_id" => return Ok(by_id(is_descending)),
        "_lastUpdated" => format!("coalesce({}, 0)", source.updated),
        name if source.is_stored() => {
            let known = fhir_model::search::parameter(source.kind, name);
            let known = known.filter(|parameter| parameter.kind == fhir_model::search::Kind::Date);
            let parameter = known.ok_or_else(|| bad_search("_sort takes _id, _lastUpdated and dates"))?;
            format!(
                "coalesce((SELECT min(k.low) FROM fhir_key k WHERE k.clinic = r.clinic AND k.type = r.type
                           AND k.id = r.id AND k.name = '{}'), 0)",
                parameter.name
            )
        }
        name => {
            let column = source.parameters.iter().find(|(own, _)| *own == name).map(|(_, column)| column);
            let Some(Column::Time(low, _)) = column else {
                return Err(bad_search("_sort takes _id, _lastUpdated and dates"));
            };
            format!("coalesce({low}, 0)")
        }
    };
    Ok(Order { expression, is_by_id: false, is_descending })
}

impl Order {
    /// Adds where to begin, the order, and how many.
    pub(super) fn limit(
        &self,
        cursor: Option<&Cursor>,
        source: &Source,
        limit: usize,
        (sql, values): (&mut String, &mut Vec<Value>),
    ) {
        let (expression, id) = (&self.expression, source.id);
        let (after, way) = if self.is_descending { ("<", "DESC") } else { (">", "ASC") };
        if let Some(cursor) = cursor {
            match cursor.order.filter(|_| !self.is_by_id) {
                Some(order) => {
                    sql.push_str(&format!(" AND ({expression}, {id}) {after} (?, ?)"));
                    values.push(Value::from(order));
                }
                None => sql.push_str(&format!(" AND {id} {after} ?")),
            }
            values.push(Value::from(cursor.id.as_str()));
        }
        match self.is_by_id {
            true => sql.push_str(&format!(" ORDER BY {id} {way} LIMIT ?")),
            false => sql.push_str(&format!(" ORDER BY {expression} {way}, {id} {way} LIMIT ?")),
        }
        values.push(Value::Integer(limit.try_into().unwrap_or(i64::MAX)));
    }
}
