//! What an expand may do: it adds, and what was there stays as it was. So an older release's statements compile and
//! mean what they meant.
//!
//! This looks at what SQLite makes of a migration, not at its text: what its statements ask the authorizer for, and the
//! schema before and after. Only two things are looked for in texts, because SQLite tells of them nowhere else:
//! `CHECK` in a column that is added, and `RAISE` in a trigger.

use libsql_sys::ffi;

use super::shape::{Column, Shape};
use crate::store::gate::Authority;
use crate::store::sqlite::{Asked, Database};

/// Why a migration is no expand. Names what is in the schema, never what is in rows.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotAdditive {
    /// A kind of statement.
    #[error("an expand may not {0}")]
    Statement(&'static str),
    /// Rows or columns that an older release knows.
    #[error("an expand may not change rows of `{0}`, which was there before: only columns that it adds")]
    Rows(String),
    /// Something is gone, or not what it was.
    #[error("{kind} `{name}` is not what it was")]
    Lost {
        /// `table`, `index`, `trigger` or `view`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// An older release's `INSERT` says nothing of it.
    #[error("column `{column}` of `{table}` needs a default, or to be allowed to be NULL")]
    Required {
        /// Its table.
        table: String,
        /// The column.
        column: String,
    },
    /// An older release's rows could fail it.
    #[error("a column added to `{0}` has a CHECK about columns that were there before")]
    Check(String),
    /// An older release's rows could be the second.
    #[error("index `{index}` allows values of `{table}`, which was there before, only once")]
    Unique {
        /// The index.
        index: String,
        /// Its table.
        table: String,
    },
    /// It could refuse what an older release writes.
    #[error("trigger `{trigger}` may refuse (RAISE) what is written to `{table}`, which was there before")]
    Raise {
        /// The trigger.
        trigger: String,
        /// Its table.
        table: String,
    },
    /// As with a trigger that does not compile, or that takes time or chance from SQL.
    #[error("`{0}`, which was there before, cannot be written as it was")]
    Breaks(String),
}

/// Whether a statement of an expand may run where `before` was there.
pub(super) fn check_statement(before: &Shape, asks: &[Asked]) -> Result<(), NotAdditive> {
    // What triggers do is theirs: they are looked at when they are made.
    for asked in asks.iter().filter(|asked| !asked.is_inner) {
        let table = asked.first.as_deref().unwrap_or_default();
        let is_new = !before.has_table(table) || table.starts_with("sqlite_");
        let is_fine = match asked.code {
            ffi::SQLITE_INSERT | ffi::SQLITE_DELETE => is_new,
            ffi::SQLITE_UPDATE => {
                is_new || !before.has_column(table, asked.second.as_deref().unwrap_or_default())
            }
            ffi::SQLITE_SELECT
            | ffi::SQLITE_READ
            | ffi::SQLITE_FUNCTION
            | ffi::SQLITE_RECURSIVE
            | ffi::SQLITE_CREATE_TABLE
            | ffi::SQLITE_CREATE_INDEX
            | ffi::SQLITE_CREATE_TRIGGER
            | ffi::SQLITE_CREATE_VIEW
            | ffi::SQLITE_CREATE_VTABLE
            // Renaming and dropping columns is found in what becomes of the table.
            | ffi::SQLITE_ALTER_TABLE
            | ffi::SQLITE_PRAGMA => true,
            // Filling a new index is called so too.
            ffi::SQLITE_REINDEX if !before.has_index(table) => true,
            _ => return Err(NotAdditive::Statement("drop, rename or rebuild what is there")),
        };
        if !is_fine {
            return Err(NotAdditive::Rows(table.to_owned()));
        }
    }
    Ok(())
}

/// Whether a statement may be a backfill: it fills, and takes nothing away.
pub(super) fn check_backfill(asks: &[Asked]) -> Result<(), NotAdditive> {
    let outer = asks.iter().filter(|asked| !asked.is_inner);
    let is_write = |code| matches!(code, ffi::SQLITE_INSERT | ffi::SQLITE_UPDATE);
    let is_read = |code| {
        matches!(code, ffi::SQLITE_SELECT | ffi::SQLITE_READ | ffi::SQLITE_FUNCTION | ffi::SQLITE_RECURSIVE)
    };
    let mut writes = false;
    for asked in outer {
        writes |= is_write(asked.code);
        if !is_write(asked.code) && !is_read(asked.code) {
            return Err(NotAdditive::Statement("do anything in a backfill but INSERT and UPDATE"));
        }
    }
    if writes { Ok(()) } else { Err(NotAdditive::Statement("have a backfill that writes nothing")) }
}

/// Whether an older release finds in `after` all it knew from `before`.
pub(super) fn check_shape(before: &Shape, after: &Shape) -> Result<(), NotAdditive> {
    for ((kind, name), object) in &before.objects {
        let lost = || NotAdditive::Lost { kind: kind.clone(), name: name.clone() };
        let now = after.objects.get(&(kind.clone(), name.clone())).ok_or_else(lost)?;
        if kind == "table" {
            check_table(name, before, after)?;
        } else if now != object {
            return Err(lost());
        }
    }
    for ((kind, name), object) in &after.objects {
        let is_new = !before.objects.contains_key(&(kind.clone(), name.clone()));
        if !is_new || !before.has_table(&object.table) {
            continue;
        }
        let (name, table) = (name.clone(), object.table.clone());
        match kind.as_str() {
            "index" if after.unique.contains(&name) => {
                return Err(NotAdditive::Unique { index: name, table });
            }
            "trigger" if words(&object.sql).any(|word| word.eq_ignore_ascii_case("RAISE")) => {
                return Err(NotAdditive::Raise { trigger: name, table });
            }
            _ => {}
        }
    }
    Ok(())
}

/// SQLite adds a column by putting its text into the table's, and nothing else of that may differ.
fn check_table(name: &str, before: &Shape, after: &Shape) -> Result<(), NotAdditive> {
    let lost = || NotAdditive::Lost { kind: "table".to_owned(), name: name.to_owned() };
    let columns = |shape: &Shape| shape.columns.get(name).cloned().unwrap_or_default();
    let (old, mut now): (Vec<Column>, Vec<Column>) = (columns(before), columns(after));
    if !now.starts_with(&old) {
        return Err(lost());
    }
    let added = added_text(before.text_of(name), after.text_of(name)).ok_or_else(lost)?;
    for column in now.drain(old.len()..) {
        if !column.may_be_left_out() {
            return Err(NotAdditive::Required { table: name.to_owned(), column: column.name });
        }
    }
    let is_old = |word: &str| old.iter().any(|column| column.name.eq_ignore_ascii_case(word));
    let has_check = words(added).any(|word| word.eq_ignore_ascii_case("CHECK"));
    if has_check && words(added).any(is_old) {
        return Err(NotAdditive::Check(name.to_owned()));
    }
    Ok(())
}

/// What stands in `after` and not in `before`, if that is one piece.
fn added_text<'a>(before: &str, after: &'a str) -> Option<&'a str> {
    let same = |(a, b): &(u8, u8)| a == b;
    let head = before.bytes().zip(after.bytes()).take_while(same).count();
    let tail = before.bytes().rev().zip(after.bytes().rev()).take_while(same).count();
    let tail = tail.min(before.len() - head);
    if head + tail < before.len() {
        return None;
    }
    after.get(head..after.len() - tail)
}

/// Names and keywords of a piece of SQL, also those inside its literals and comments: once too often does no harm.
fn words(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '$')
        .filter(|word| !word.is_empty())
}

/// Tables that cannot be written by an ordinary statement that names every column it knows, and those that take time
/// or chance from SQL. Blocks.
pub(super) fn unwritable(database: &mut Database, known: &Shape, authority: Authority) -> Vec<String> {
    let is_sound = |database: &mut Database, (table, columns): (&String, &Vec<Column>)| {
        let written = columns.iter().filter(|column| column.can_be_written());
        let names: Vec<String> = written.map(|column| quoted(&column.name)).collect();
        let (table, all) = (quoted(table), names.join(", "));
        let values = vec!["?"; names.len()].join(", ");
        let set = names.iter().map(|name| format!("{name} = ?")).collect::<Vec<_>>().join(", ");
        [
            format!("INSERT INTO {table} ({all}) VALUES ({values})"),
            format!("UPDATE {table} SET {set}"),
            format!("DELETE FROM {table}"),
        ]
        .iter()
        .all(|sql| database.is_sound(sql, authority))
    };
    let tables = known.columns.iter().filter(|table| !is_sound(database, *table));
    tables.map(|(table, _)| table.clone()).collect()
}

/// Whether what an older release writes can be written as it was. Blocks.
pub(super) fn check_writing(
    database: &mut Database,
    before: &Shape,
    were_unwritable: &[String],
    authority: Authority,
) -> Result<(), NotAdditive> {
    let broken = unwritable(database, before, authority);
    let newly = broken.into_iter().find(|table| !were_unwritable.contains(table));
    newly.map_or(Ok(()), |table| Err(NotAdditive::Breaks(table)))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
