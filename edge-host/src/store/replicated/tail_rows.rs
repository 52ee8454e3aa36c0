//! Two copies compared row by row.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use crate::store::gate::Authority;
use crate::store::sqlite::Database;
use crate::store::{ResultLimits, SqlError, Value};

/// Rows that are compared at once.
const ROWS: usize = 200;
const LIMITS: ResultLimits = ResultLimits { rows: ROWS, bytes: 1 << 30 };

/// The rows of one table, in the order of what tells them apart.
struct Rows<'a> {
    database: &'a mut Database,
    /// How many columns tell a row from others; they come first.
    key: usize,
    first: String,
    further: String,
    after: Vec<Value>,
    read: std::vec::IntoIter<Vec<Value>>,
    is_over: bool,
}

/// What tells a row from others, and its columns.
type Row = (Vec<Value>, Vec<Value>);

/// Tables, by name. Those of SQLite itself hold nothing of ours.
pub(super) fn tables(database: &mut Database) -> Result<Vec<String>, SqlError> {
    let sql = "SELECT name FROM pragma_table_list
        WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    texts(database, sql, &[])
}

/// Hands over each row that is not the same in both, by the columns that both have.
pub(super) fn compare(
    table: &str,
    lost: &mut Database,
    kept: &mut Database,
    mut differs: impl FnMut(Option<serde_json::Value>, Option<serde_json::Value>) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    let columns = "SELECT name FROM pragma_table_info(?)";
    let name = [Value::Text(table.to_owned())];
    let known = texts(kept, columns, &name)?;
    let is_known = !known.is_empty();
    let mut columns = texts(lost, columns, &name)?;
    columns.retain(|column| !is_known || known.contains(column));
    let key = key(lost, table)?;
    let mut lost = Rows::of(lost, table, (&key, &columns), false);
    let mut kept = Rows::of(kept, table, (&key, &columns), !is_known);
    let (mut left, mut right) = (lost.next()?, kept.next()?);
    let show = |row: Vec<Value>| in_json(&columns, row);
    loop {
        match (left.take(), right.take()) {
            (None, None) => return Ok(()),
            (Some((at, row)), Some((other_at, other))) if at == other_at => {
                if row != other {
                    differs(Some(show(row)), Some(show(other)))?;
                }
                (left, right) = (lost.next()?, kept.next()?);
            }
            (Some((at, row)), other)
                if other.as_ref().is_none_or(|(other_at, _)| is_before(&at, other_at)) =>
            {
                differs(Some(show(row)), None)?;
                (left, right) = (lost.next()?, other);
            }
            (row, Some((_, other))) => {
                differs(None, Some(show(other)))?;
                (left, right) = (row, kept.next()?);
            }
            (Some(row), None) => left = Some(row),
        }
    }
}

impl<'a> Rows<'a> {
    fn of(
        database: &'a mut Database,
        table: &str,
        (key, columns): (&[String], &[String]),
        is_over: bool,
    ) -> Self {
        let list = |names: &[String]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let (order, marks) = (list(key), vec!["?"; key.len()].join(", "));
        let all = format!("SELECT {order}, {} FROM {}", list(columns), quoted(table));
        let rest = format!("ORDER BY {order} LIMIT {ROWS}");
        let (first, further) = (format!("{all} {rest}"), format!("{all} WHERE ({order}) > ({marks}) {rest}"));
        Self {
            database,
            key: key.len(),
            first,
            further,
            after: Vec::new(),
            read: Vec::new().into_iter(),
            is_over,
        }
    }

    /// The next row.
    fn next(&mut self) -> Result<Option<Row>, SqlError> {
        if self.read.len() == 0 && !self.is_over {
            let sql = if self.after.is_empty() { &self.first } else { &self.further };
            let rows = self.database.run(sql, &self.after, Authority::Host, LIMITS)?.rows;
            self.is_over = rows.len() < ROWS;
            self.read = rows.into_iter();
        }
        let Some(mut at) = self.read.next() else { return Ok(None) };
        let row = at.split_off(self.key);
        self.after.clone_from(&at);
        Ok(Some((at, row)))
    }
}

/// The columns that tell a table's rows apart: its primary key where that is all there is (`WITHOUT ROWID`), or the
/// row's number.
fn key(database: &mut Database, table: &str) -> Result<Vec<String>, SqlError> {
    let sql = "SELECT i.name FROM pragma_table_list(?1) t, pragma_table_info(?1) i
        WHERE t.schema = 'main' AND t.wr = 1 AND i.pk > 0 ORDER BY i.pk";
    let key = texts(database, sql, &[Value::Text(table.to_owned())])?;
    Ok(if key.is_empty() { vec!["rowid".to_owned()] } else { key })
}

/// As SQLite orders them (<https://www.sqlite.org/datatype3.html#sort_order>), without a collation of their own.
fn is_before(one: &[Value], other: &[Value]) -> bool {
    let order = one.iter().zip(other).map(|(one, other)| order(one, other));
    order.into_iter().find(|order| order.is_ne()) == Some(Ordering::Less)
}

fn order(one: &Value, other: &Value) -> Ordering {
    let class = |value: &Value| match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    };
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Real(one), Value::Real(other)) => one.total_cmp(other),
        (Value::Integer(one), Value::Real(other)) => (*one as f64).total_cmp(other),
        (Value::Real(one), Value::Integer(other)) => one.total_cmp(&(*other as f64)),
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
        _ => class(one).cmp(&class(other)),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn texts(database: &mut Database, sql: &str, parameters: &[Value]) -> Result<Vec<String>, SqlError> {
    let rows = database.host(sql, parameters)?.rows.into_iter().flatten();
    Ok(rows.filter_map(|value| if let Value::Text(text) = value { Some(text) } else { None }).collect())
}

fn in_json(columns: &[String], row: Vec<Value>) -> serde_json::Value {
    let values = row.into_iter().map(|value| match value {
        Value::Null => json!(null),
        Value::Integer(value) => json!(value),
        Value::Real(value) => json!(value),
        Value::Text(value) => json!(value),
        Value::Blob(value) => json!({ "base64": BASE64.encode(value) }),
    });
    columns.iter().cloned().zip(values).collect::<serde_json::Map<_, _>>().into()
}
