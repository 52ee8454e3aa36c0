//! What a database's schema is made of.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::sqlite::Database;
use crate::store::{SqlError, Value};

/// A database's schema, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// Kind (`table`, `index`, `trigger`, `view`) and name → the table it belongs to, and its text.
    pub(super) objects: BTreeMap<(String, String), Object>,
    /// Table → its columns, in order.
    pub(super) columns: BTreeMap<String, Vec<Column>>,
    /// Indexes that allow a value once.
    pub(super) unique: BTreeSet<String>,
}

/// A table, index, trigger or view.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Object {
    pub(super) table: String,
    pub(super) sql: String,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    kind: String,
    is_required: bool,
    default: Option<String>,
    key: i64,
    /// 0 for an ordinary one; others are made by SQLite or a virtual table.
    hidden: i64,
}

impl Shape {
    /// As it is now. Blocks.
    pub(super) fn of(database: &mut Database) -> Result<Self, SqlError> {
        let mut shape = Self::default();
        let objects = "SELECT type, name, tbl_name, ifnull(sql, '') FROM sqlite_schema";
        for row in database.host(objects, &[])?.rows {
            let [Value::Text(kind), Value::Text(name), Value::Text(table), Value::Text(sql)] = row.as_slice()
            else {
                return Err(SqlError::misuse("a row of the schema is malformed"));
            };
            let object = Object { table: table.clone(), sql: sql.clone() };
            shape.objects.insert((kind.clone(), name.clone()), object);
        }
        let columns = "SELECT t.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk, c.hidden
            FROM sqlite_schema t, pragma_table_xinfo(t.name) c WHERE t.type = 'table' ORDER BY t.name, c.cid";
        for row in database.host(columns, &[])?.rows {
            let (table, column) = column(row).ok_or(SqlError::misuse("a column is malformed"))?;
            shape.columns.entry(table).or_default().push(column);
        }
        let unique = "SELECT i.name FROM sqlite_schema t, pragma_index_list(t.name) i
            WHERE t.type = 'table' AND i.\"unique\"";
        let names = database.host(unique, &[])?.rows.into_iter().flatten();
        shape
            .unique
            .extend(names.filter_map(|name| if let Value::Text(name) = name { Some(name) } else { None }));
        Ok(shape)
    }

    pub(super) fn has_table(&self, name: &str) -> bool {
        self.columns.contains_key(name)
    }

    pub(super) fn has_index(&self, name: &str) -> bool {
        self.objects.contains_key(&("index".to_owned(), name.to_owned()))
    }

    pub(super) fn has_column(&self, table: &str, name: &str) -> bool {
        self.columns.get(table).is_some_and(|columns| columns.iter().any(|column| column.name == name))
    }

    /// The text of a table.
    pub(super) fn text_of(&self, table: &str) -> &str {
        let found = self.objects.get(&("table".to_owned(), table.to_owned()));
        found.map_or("", |object| object.sql.as_str())
    }
}

impl Column {
    /// Whoever does not know it can still add rows.
    pub(super) fn may_be_left_out(&self) -> bool {
        !self.is_required || self.default.is_some() || self.hidden != 0
    }

    /// A statement may give it a value.
    pub(super) fn can_be_written(&self) -> bool {
        self.hidden == 0
    }
}

fn column(row: Vec<Value>) -> Option<(String, Column)> {
    let mut values = row.into_iter();
    let mut text = || match values.next()? {
        Value::Text(text) => Some(Some(text)),
        Value::Null => Some(None),
        _ => None,
    };
    let (table, name, kind) = (text()??, text()??, text()?.unwrap_or_default());
    let Value::Integer(is_required) = values.next()? else { return None };
    let default = match values.next()? {
        Value::Text(default) => Some(default),
        _ => None,
    };
    let mut number = || match values.next()? {
        Value::Integer(number) => Some(number),
        _ => None,
    };
    let (key, hidden) = (number()?, number()?);
    Some((table, Column { name, kind, is_required: is_required != 0, default, key, hidden }))
}
