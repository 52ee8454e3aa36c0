//! What a statement may touch, decided while SQLite compiles it (its authorizer callback).
//!
//! SQLite asks about every table, function and pragma of a statement, also inside views and triggers, so
//! nothing that this table refuses can be reached by a cleverer spelling.

use libsql_sys::ffi;

/// Prefix of the tables and savepoints that belong to the host.
pub(super) const HOST_PREFIX: &str = "locum_";

/// Shows every page of the database, those of the host's tables among them.
const WHOLE_PAGES: &str = "sqlite_dbpage";

/// On whose behalf, and where, a statement runs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Authority {
    /// A function on the read path.
    FunctionRead,
    /// A function inside the host's transaction.
    FunctionWrite,
    /// A migration file of the functions: may also change the schema.
    Migration,
    /// A migration of the host's own tables, which may come from another host: the same, where nobody else may.
    HostMigration,
    /// The host itself, before its transaction.
    HostRead,
    /// The host itself.
    Host,
}

/// Why a statement was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// It writes, and this connection only reads.
    Write,
    /// Nobody but the host may do this; the text says what.
    Forbidden(&'static str),
}

/// One question of SQLite's authorizer: the action code and its first two arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Action<'a> {
    pub(super) code: i32,
    pub(super) first: Option<&'a str>,
    pub(super) second: Option<&'a str>,
    /// It is of a trigger or view, not of the statement itself.
    pub(super) is_inner: bool,
}

impl Authority {
    pub(super) fn check(self, action: Action<'_>) -> Result<(), Refusal> {
        match (self, action.code) {
            (Self::Host, _) => return Ok(()),
            (Self::HostRead, ffi::SQLITE_SELECT | ffi::SQLITE_READ | ffi::SQLITE_FUNCTION) => return Ok(()),
            // Sends the statement on to the writer, where a savepoint means something.
            (Self::HostRead, _) | (Self::FunctionRead, ffi::SQLITE_SAVEPOINT) => return Err(Refusal::Write),
            _ => {}
        }
        match action.code {
            ffi::SQLITE_SELECT | ffi::SQLITE_RECURSIVE => Ok(()),
            ffi::SQLITE_READ => self.names(action.first),
            ffi::SQLITE_FUNCTION => function(action.second),
            ffi::SQLITE_INSERT | ffi::SQLITE_UPDATE | ffi::SQLITE_DELETE => self.write(action.first),
            ffi::SQLITE_SAVEPOINT => not_of_the_host(action.second),
            // SQLite asks for it when a column with a condition is added.
            ffi::SQLITE_PRAGMA if self.changes_schema() && is(action.first, "quick_check") => Ok(()),
            ffi::SQLITE_PRAGMA => pragma(action.first, action.second),
            ffi::SQLITE_ATTACH | ffi::SQLITE_DETACH => Err(Refusal::Forbidden("ATTACH and DETACH")),
            ffi::SQLITE_TRANSACTION => Err(Refusal::Forbidden("the host's transaction")),
            _ if self.changes_schema() => self.names(action.first).and_then(|()| self.names(action.second)),
            _ => Err(Refusal::Forbidden("a change of the schema outside a migration")),
        }
    }

    fn changes_schema(self) -> bool {
        matches!(self, Self::Migration | Self::HostMigration)
    }

    /// Whether it may speak of a table, index or trigger of this name.
    fn names(self, name: Option<&str>) -> Result<(), Refusal> {
        match self {
            Self::HostMigration => not_whole_pages(name),
            _ => not_of_the_host(name),
        }
    }

    fn write(self, table: Option<&str>) -> Result<(), Refusal> {
        self.names(table)?;
        match (self, table) {
            (Self::FunctionRead, _) => Err(Refusal::Write),
            // CREATE and DROP edit the schema table; a function may not do so by hand.
            (Self::FunctionWrite, Some(table)) if is_schema(table) => {
                Err(Refusal::Forbidden("a change of the schema outside a migration"))
            }
            _ => Ok(()),
        }
    }
}

impl Action<'_> {
    /// Whether it is a function that answers differently at another time, on another host or connection. The
    /// date functions do so only for `now`, which is theirs when they are given nothing else.
    pub(super) fn is_volatile(self) -> bool {
        const VOLATILE: [&str; 15] = [
            "random",
            "randomblob",
            "date",
            "time",
            "datetime",
            "julianday",
            "unixepoch",
            "strftime",
            "timediff",
            "current_date",
            "current_time",
            "current_timestamp",
            "changes",
            "total_changes",
            "last_insert_rowid",
        ];
        self.code == ffi::SQLITE_FUNCTION
            && self.second.is_some_and(|name| VOLATILE.iter().any(|word| name.eq_ignore_ascii_case(word)))
    }
}

impl Refusal {
    /// Each copy would get something else.
    pub(super) const VOLATILE: Self = Self::Forbidden(
        "dates, chance and counters of SQL in a statement that writes: pass them as parameters",
    );

    /// For the function's author; holds nothing of the statement's data.
    pub(super) fn message(self) -> String {
        match self {
            Self::Write => {
                "read-only request: a GET or HEAD may not write (see `writes` in tool.locum)".into()
            }
            Self::Forbidden(what) => format!("not authorized: {what}"),
        }
    }
}

fn not_whole_pages(name: Option<&str>) -> Result<(), Refusal> {
    match is(name, WHOLE_PAGES) {
        true => Err(Refusal::Forbidden("pages of the database")),
        false => Ok(()),
    }
}

fn not_of_the_host(name: Option<&str>) -> Result<(), Refusal> {
    not_whole_pages(name)?;
    let of_the_host = name.and_then(|name| name.get(..HOST_PREFIX.len()));
    if of_the_host.is_some_and(|start| start.eq_ignore_ascii_case(HOST_PREFIX)) {
        return Err(Refusal::Forbidden("tables and savepoints of the host (locum_*)"));
    }
    Ok(())
}

fn is(name: Option<&str>, word: &str) -> bool {
    name.is_some_and(|name| name.eq_ignore_ascii_case(word))
}

fn is_schema(table: &str) -> bool {
    ["sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"]
        .iter()
        .any(|name| table.eq_ignore_ascii_case(name))
}

fn function(name: Option<&str>) -> Result<(), Refusal> {
    const REFUSED: [&str; 4] = ["load_extension", "fts3_tokenizer", "sqlite_rename_table", "writefile"];
    match name {
        Some(name) if REFUSED.iter().any(|refused| name.eq_ignore_ascii_case(refused)) => {
            Err(Refusal::Forbidden("this SQL function"))
        }
        _ => Ok(()),
    }
}

/// FTS5 asks for `data_version` on every query of its own accord; it only reads.
fn pragma(name: Option<&str>, argument: Option<&str>) -> Result<(), Refusal> {
    match (name, argument) {
        (Some(name), None) if name.eq_ignore_ascii_case("data_version") => Ok(()),
        _ => Err(Refusal::Forbidden("PRAGMA")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(code: i32, first: &'static str) -> Action<'static> {
        Action { code, first: Some(first), second: None, is_inner: false }
    }

    #[test]
    fn nobody_but_the_host_reaches_its_tables() {
        for authority in [Authority::FunctionRead, Authority::FunctionWrite, Authority::Migration] {
            for code in [ffi::SQLITE_READ, ffi::SQLITE_INSERT, ffi::SQLITE_UPDATE, ffi::SQLITE_DELETE] {
                let refused = authority.check(action(code, "LOCUM_idempotency"));
                assert!(matches!(refused, Err(Refusal::Forbidden(_))), "{authority:?} {code}");
            }
        }
        assert_eq!(Authority::Host.check(action(ffi::SQLITE_INSERT, "locum_idempotency")), Ok(()));
        let create = action(ffi::SQLITE_CREATE_TABLE, "locum_more");
        assert!(Authority::Migration.check(create).is_err());
        assert_eq!(Authority::HostMigration.check(create), Ok(()));
    }

    #[test]
    fn nobody_but_the_host_sees_whole_pages() {
        let others = [Authority::FunctionRead, Authority::FunctionWrite, Authority::Migration];
        for authority in others.into_iter().chain([Authority::HostMigration]) {
            let refused = authority.check(action(ffi::SQLITE_READ, "SQLITE_dbpage"));
            assert!(matches!(refused, Err(Refusal::Forbidden(_))), "{authority:?}");
        }
        assert_eq!(Authority::Host.check(action(ffi::SQLITE_READ, "sqlite_dbpage")), Ok(()));
    }

    #[test]
    fn a_reader_never_writes_and_a_writer_never_changes_the_schema() {
        let insert = action(ffi::SQLITE_INSERT, "patient");
        assert_eq!(Authority::FunctionRead.check(insert), Err(Refusal::Write));
        assert_eq!(Authority::FunctionWrite.check(insert), Ok(()));
        let create = action(ffi::SQLITE_CREATE_TABLE, "patient");
        assert!(Authority::FunctionWrite.check(create).is_err());
        assert!(Authority::FunctionWrite.check(action(ffi::SQLITE_INSERT, "sqlite_master")).is_err());
        assert_eq!(Authority::Migration.check(create), Ok(()));
    }

    #[test]
    fn doors_out_of_the_database_stay_shut() {
        for code in [ffi::SQLITE_ATTACH, ffi::SQLITE_DETACH, ffi::SQLITE_PRAGMA, ffi::SQLITE_TRANSACTION] {
            assert!(Authority::Migration.check(action(code, "x")).is_err(), "{code}");
            assert!(Authority::HostMigration.check(action(code, "x")).is_err(), "{code}");
            assert!(Authority::FunctionWrite.check(action(code, "x")).is_err(), "{code}");
        }
        let second = Some("load_extension");
        let load = Action { code: ffi::SQLITE_FUNCTION, first: None, second, is_inner: false };
        assert!(Authority::FunctionRead.check(load).is_err());
    }
}
