//! One connection to an encrypted libSQL file: a small safe wrapper over the C interface.
//!
//! The `libsql` crate's own connection is not used for statements of functions: it cuts text at the first
//! NUL, panics on text that is not UTF-8, and offers no deadline inside a running statement.
#![allow(unsafe_code)] // The only module that talks to the C interface; every block states why it is sound.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use libsql_sys::connection::{Cipher, set_encryption_cipher, set_encryption_key};
use libsql_sys::ffi;

use super::gate::{Action, Authority, Refusal};
use super::{QueryResult, ResultLimits, SqlError, Value};

/// Virtual-machine steps between two looks at the deadline: some microseconds.
const STEPS_BETWEEN_CHECKS: c_int = 100;
/// Statements of functions that stay compiled on a connection.
const KEPT: usize = 64;
/// Longer ones are made for one occasion.
const LONGEST_KEPT: usize = 4 << 10;
/// Waiting for another connection's lock; writers queue before they come here, so this is for checkpoints.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Key of one record group's database, as SQLite takes it: 64 hexadecimal digits, because `sqld` takes its key
/// from an environment variable, as text.
#[derive(Clone)]
pub(super) struct DatabaseKey(String);

/// One connection. Used by one thread at a time, which `&mut self` enforces.
pub(super) struct Database {
    raw: NonNull<ffi::sqlite3>,
    watch: NonNull<Watch>,
    /// Statements of functions, each compiled and at rest; the one used last comes last.
    kept: Vec<Kept>,
}

/// To compile a statement takes longer than most take to run.
struct Kept {
    authority: Authority,
    sql: String,
    effect: Effect,
    raw: *mut ffi::sqlite3_stmt,
}

// SAFETY: SQLite is compiled with SQLITE_THREADSAFE=1 and the connection opened with NOMUTEX, so it may move
// between threads as long as two never use it at once; every method takes `&mut self`, and `Watch` moves with
// it.
unsafe impl Send for Database {}

/// What the callbacks look at; they run only inside calls on this connection, on the calling thread.
struct Watch {
    authority: Cell<Authority>,
    deadline: Cell<Option<Instant>>,
    refusal: RefCell<Option<Refusal>>,
    /// The statement calls a function whose answer is another one elsewhere.
    is_volatile: Cell<bool>,
    /// What is asked for, while somebody wants to know.
    asked: RefCell<Option<Vec<Asked>>>,
}

/// A statement of a script that has not run yet.
pub(super) struct Planned<'s> {
    pub(super) sql: &'s str,
    /// Everything it touches.
    pub(super) asks: Vec<Asked>,
}

/// What compiling a statement asks for, see [`Action`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Asked {
    pub(super) code: i32,
    pub(super) first: Option<String>,
    pub(super) second: Option<String>,
    pub(super) is_inner: bool,
}

/// What a statement does beside answering.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    Reads,
    Writes,
    /// `SAVEPOINT`, `RELEASE`, `ROLLBACK TO`.
    Savepoint,
}

/// A compiled statement, finalized when dropped.
struct Statement<'a> {
    raw: *mut ffi::sqlite3_stmt,
    database: &'a Database,
}

impl From<Action<'_>> for Asked {
    fn from(Action { code, first, second, is_inner }: Action<'_>) -> Self {
        Self { code, first: first.map(str::to_owned), second: second.map(str::to_owned), is_inner }
    }
}

impl From<[u8; 32]> for DatabaseKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl DatabaseKey {
    /// The passphrase.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl Database {
    /// [`Self::open`] with bounds on memory; nothing spills to files outside the encrypted database.
    pub(super) fn open_tuned(path: &Path, key: &DatabaseKey) -> Result<Self, SqlError> {
        let mut database = Self::open(path, key)?;
        // 1 MiB of cache a connection.
        for setting in ["temp_store = MEMORY", "cache_size = -1024", "cell_size_check = ON"] {
            database.host(&format!("PRAGMA {setting}"), &[])?;
        }
        Ok(database)
    }

    /// Opens (or creates) the file. Nothing is read yet: a wrong key shows at the first statement.
    pub(super) fn open(path: &Path, key: &DatabaseKey) -> Result<Self, SqlError> {
        let mut database = Self::connect(path.as_os_str().as_bytes())?;
        database.encrypt(key)?;
        database.configure()?;
        Ok(database)
    }

    /// A new database that is in no file.
    pub(super) fn in_memory() -> Result<Self, SqlError> {
        let mut database = Self::connect(b":memory:")?;
        database.configure()?;
        Ok(database)
    }

    fn connect(path: &[u8]) -> Result<Self, SqlError> {
        let c_path = CString::new(path).map_err(|_| SqlError::misuse("path holds a NUL"))?;
        let flags = ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE | ffi::SQLITE_OPEN_NOMUTEX;
        let mut raw = ptr::null_mut();
        // SAFETY: the path is NUL-terminated and `raw` outlives the call.
        let code = unsafe { ffi::sqlite3_open_v2(c_path.as_ptr(), &raw mut raw, flags, ptr::null()) };
        let Some(raw) = NonNull::new(raw) else {
            return Err(SqlError::misuse("no memory for a connection"));
        };
        let watch = Box::new(Watch {
            authority: Cell::new(Authority::Host),
            deadline: Cell::new(None),
            refusal: RefCell::new(None),
            is_volatile: Cell::new(false),
            asked: RefCell::new(None),
        });
        // Raw from here on: SQLite holds this pointer until `drop` closes the connection, then frees it.
        let watch = NonNull::from(Box::leak(watch));
        let database = Self { raw, watch, kept: Vec::new() };
        database.check(code)?;
        Ok(database)
    }

    fn encrypt(&mut self, key: &DatabaseKey) -> Result<(), SqlError> {
        let raw = self.raw.as_ptr();
        // SAFETY: `raw` is an open connection; the key is copied by the callee.
        let code = unsafe {
            if set_encryption_cipher(raw, Cipher::Aes256Cbc.cipher_id()) == -1 {
                return Err(SqlError::misuse("the cipher is not compiled in"));
            }
            set_encryption_key(raw, key.0.as_bytes())
        };
        self.check(code)
    }

    fn configure(&mut self) -> Result<(), SqlError> {
        let raw = self.raw.as_ptr();
        for (limit, value) in [
            (ffi::SQLITE_LIMIT_LENGTH, 8 << 20),
            (ffi::SQLITE_LIMIT_SQL_LENGTH, 128 << 10),
            (ffi::SQLITE_LIMIT_ATTACHED, 0),
            (ffi::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            // SAFETY: `raw` is an open connection; the call only sets an integer.
            unsafe { ffi::sqlite3_limit(raw, limit, value) };
        }
        self.set_option(ffi::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        self.set_option(ffi::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        self.set_option(ffi::SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, false)?;
        let watch = self.watch.as_ptr().cast::<c_void>();
        // SAFETY: both callbacks get `watch`, which lives until the connection is closed.
        let code = unsafe {
            ffi::sqlite3_progress_handler(raw, STEPS_BETWEEN_CHECKS, Some(on_progress), watch);
            ffi::sqlite3_set_authorizer(raw, Some(on_authorize), watch)
        };
        self.check(code)?;
        self.wait_for_locks(BUSY_TIMEOUT);
        Ok(())
    }

    /// How long a statement waits for what another connection has locked.
    fn wait_for_locks(&mut self, longest: Duration) {
        // SAFETY: `raw` is an open connection; the call only sets how long.
        unsafe { ffi::sqlite3_busy_timeout(self.raw.as_ptr(), longest.as_millis() as c_int) };
    }

    /// `option` is one that is on or off.
    fn set_option(&mut self, option: c_int, on: bool) -> Result<(), SqlError> {
        let out = ptr::null_mut::<c_int>();
        // SAFETY: such options take an int and an optional out-pointer, as the C interface documents.
        let code = unsafe { ffi::sqlite3_db_config(self.raw.as_ptr(), option, c_int::from(on), out) };
        self.check(code)
    }

    /// Statements after this instant are interrupted, also while they run.
    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.watch().deadline.set(deadline);
    }

    /// Runs exactly one statement and reads its rows.
    pub(super) fn run(
        &mut self,
        sql: &str,
        parameters: &[Value],
        authority: Authority,
        limits: ResultLimits,
    ) -> Result<QueryResult, SqlError> {
        self.run_noting(sql, parameters, authority, limits).map(|(result, _)| result)
    }

    /// [`Self::run`] of a statement that reads, if that is over within `time` and without waiting for anybody.
    /// `None`: it is not, and nothing has happened.
    pub(super) fn run_briefly(
        &mut self,
        time: Duration,
        sql: &str,
        parameters: &[Value],
        authority: Authority,
        limits: ResultLimits,
    ) -> Option<Result<QueryResult, SqlError>> {
        let (deadline, until) = (self.watch().deadline.get(), Instant::now() + time);
        if deadline.is_some_and(|deadline| deadline <= until) {
            return None;
        }
        self.set_deadline(Some(until));
        self.wait_for_locks(Duration::ZERO);
        let answer = self.run(sql, parameters, authority, limits);
        self.wait_for_locks(BUSY_TIMEOUT);
        self.set_deadline(deadline);
        match answer {
            Err(SqlError::Sqlite { code, .. })
                if matches!(code & 0xff, ffi::SQLITE_INTERRUPT | ffi::SQLITE_BUSY) =>
            {
                None
            }
            answer => Some(answer),
        }
    }

    /// [`Self::run`], and what kind of statement it was. One that writes must do the same wherever it runs.
    pub(super) fn run_noting(
        &mut self,
        sql: &str,
        parameters: &[Value],
        authority: Authority,
        limits: ResultLimits,
    ) -> Result<(QueryResult, Effect), SqlError> {
        self.watch().authority.set(authority);
        self.watch().is_volatile.set(false);
        let of_function = matches!(authority, Authority::FunctionRead | Authority::FunctionWrite);
        let is_kept = of_function && sql.len() <= LONGEST_KEPT;
        let is_it = |kept: &Kept| kept.authority == authority && kept.sql == sql;
        if is_kept && let Some(at) = self.kept.iter().position(is_it) {
            let kept = self.kept.remove(at);
            // Where the schema has changed, SQLite compiles it anew, and asks anew what it may.
            self.watch().refusal.take();
            return self.run_kept(kept, parameters, limits);
        }
        let Some((raw, effect)) = self.compile(sql)? else {
            return Ok((QueryResult::default(), Effect::Reads));
        };
        if is_kept {
            return self.run_kept(Kept { authority, sql: sql.to_owned(), effect, raw }, parameters, limits);
        }
        let statement = Statement { raw, database: self };
        statement.bind(parameters)?;
        Ok((statement.rows(limits)?, effect))
    }

    /// One statement, compiled, which its owner finalizes; `None`: there is none.
    fn compile(&self, sql: &str) -> Result<Option<(*mut ffi::sqlite3_stmt, Effect)>, SqlError> {
        let (statement, tail) = self.prepare(sql)?;
        let is_volatile = self.watch().is_volatile.get();
        let Some(statement) = statement else { return Ok(None) };
        if self.prepare(tail)?.0.is_some() {
            return Err(SqlError::misuse("more than one statement in one call"));
        }
        let effect = statement.effect();
        if effect == Effect::Writes && is_volatile {
            return Err(Refusal::VOLATILE.into());
        }
        Ok(Some((statement.into_raw(), effect)))
    }

    /// Runs a statement and keeps it, unless it failed.
    fn run_kept(
        &mut self,
        kept: Kept,
        parameters: &[Value],
        limits: ResultLimits,
    ) -> Result<(QueryResult, Effect), SqlError> {
        let (statement, effect) = (Statement { raw: kept.raw, database: self }, kept.effect);
        statement.bind(parameters)?;
        let result = statement.rows(limits)?;
        if effect == Effect::Writes && self.watch().is_volatile.get() {
            // A trigger has come since.
            return Err(Refusal::VOLATILE.into());
        }
        statement.reset();
        let raw = statement.into_raw();
        if self.kept.len() >= KEPT {
            finalize(self.kept.remove(0).raw);
        }
        self.kept.push(Kept { raw, ..kept });
        Ok((result, effect))
    }

    /// Runs one statement, compiled once, with each of `parameters`, and hands over every row it answers.
    pub(super) fn run_each<P: AsRef<[Value]>, E: From<SqlError>>(
        &mut self,
        sql: &str,
        parameters: impl IntoIterator<Item = P>,
        mut take: impl FnMut(Vec<Value>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.watch().authority.set(Authority::Host);
        let (statement, _) = self.prepare(sql)?;
        let statement = statement.ok_or_else(|| SqlError::misuse("no statement"))?;
        for parameters in parameters {
            statement.bind(parameters.as_ref())?;
            while statement.step()? {
                take(statement.row()?)?;
            }
            statement.reset();
        }
        Ok(())
    }

    /// From now on the host may write whole pages.
    pub(super) fn allow_page_writes(&mut self) -> Result<(), SqlError> {
        self.set_option(ffi::SQLITE_DBCONFIG_DEFENSIVE, false)
    }

    /// Forgets every page that is read already: whole pages are written below what SQLite has parsed of them.
    pub(super) fn forget_pages(&mut self) {
        // SAFETY: `raw` is an open connection.
        unsafe { ffi::sqlite3_db_release_memory(self.raw.as_ptr()) };
    }

    /// Runs a whole script; rows are ignored.
    #[cfg(test)]
    pub(super) fn run_script(&mut self, script: &str, authority: Authority) -> Result<(), SqlError> {
        self.watch().authority.set(authority);
        let mut rest = script;
        while !rest.is_empty() {
            let (statement, tail) = self.prepare(rest)?;
            if let Some(statement) = statement {
                while statement.step()? {}
            }
            rest = tail;
        }
        Ok(())
    }

    /// The next statement of `script`, compiled and not run, and takes it off; `None` at the end.
    pub(super) fn plan<'s>(
        &mut self,
        script: &mut &'s str,
        authority: Authority,
    ) -> Result<Option<Planned<'s>>, SqlError> {
        while !script.is_empty() {
            self.watch().authority.set(authority);
            self.watch().asked.replace(Some(Vec::new()));
            let prepared = self.prepare(script).map(|(statement, tail)| (statement.is_some(), tail.len()));
            let asks = self.watch().asked.take().unwrap_or_default();
            let (is_statement, left) = prepared?;
            let (sql, rest) = script.split_at(script.len() - left);
            *script = rest;
            if is_statement {
                return Ok(Some(Planned { sql, asks }));
            }
        }
        Ok(None)
    }

    /// Whether a statement can be compiled, and does the same wherever it runs.
    pub(super) fn is_sound(&mut self, sql: &str, authority: Authority) -> bool {
        self.watch().authority.set(authority);
        self.watch().is_volatile.set(false);
        self.prepare(sql).is_ok() && !self.watch().is_volatile.get()
    }

    /// How many statements stay compiled.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// A statement of the host, for its effect only.
    pub(super) fn host(&mut self, sql: &str, parameters: &[Value]) -> Result<QueryResult, SqlError> {
        self.run(sql, parameters, Authority::Host, ResultLimits::default())
    }

    /// True while no transaction is open. SQLite ends one by itself after some errors and `OR ROLLBACK`.
    pub(super) fn is_autocommit(&self) -> bool {
        // SAFETY: `raw` is an open connection.
        unsafe { ffi::sqlite3_get_autocommit(self.raw.as_ptr()) != 0 }
    }

    pub(super) fn last_insert_rowid(&self) -> i64 {
        // SAFETY: `raw` is an open connection.
        unsafe { ffi::sqlite3_last_insert_rowid(self.raw.as_ptr()) }
    }

    pub(super) fn changes(&self) -> u64 {
        // SAFETY: `raw` is an open connection.
        let changes = unsafe { ffi::sqlite3_changes64(self.raw.as_ptr()) };
        u64::try_from(changes).unwrap_or(0)
    }

    /// Rows changed since the connection was opened, by triggers and foreign keys too.
    pub(super) fn total_changes(&self) -> u64 {
        // SAFETY: `raw` is an open connection.
        let changes = unsafe { ffi::sqlite3_total_changes64(self.raw.as_ptr()) };
        u64::try_from(changes).unwrap_or(0)
    }

    /// [`Self::last_insert_rowid`] is 0 until the next `INSERT`.
    pub(super) fn forget_last_insert(&mut self) {
        // SAFETY: `raw` is an open connection; the call only sets an integer.
        unsafe { ffi::sqlite3_set_last_insert_rowid(self.raw.as_ptr(), 0) };
    }

    fn prepare<'a>(&'a self, sql: &'a str) -> Result<(Option<Statement<'a>>, &'a str), SqlError> {
        if sql.as_bytes().contains(&0) {
            return Err(SqlError::misuse("the statement holds a NUL"));
        }
        let length = c_int::try_from(sql.len()).map_err(|_| SqlError::misuse("the statement is too long"))?;
        let (mut raw, mut tail) = (ptr::null_mut(), ptr::null());
        self.watch().refusal.take();
        let start = sql.as_ptr().cast::<c_char>();
        // SAFETY: `start` is valid for `length` bytes; the out-pointers outlive the call; `tail` points into
        // `sql`.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(self.raw.as_ptr(), start, length, 0, &raw mut raw, &raw mut tail)
        };
        self.check(code)?;
        // SAFETY: on success SQLite sets `tail` to a byte inside `sql` or one past its end.
        let used = usize::try_from(unsafe { tail.offset_from(start) }).unwrap_or(sql.len());
        let statement = (!raw.is_null()).then_some(Statement { raw, database: self });
        Ok((statement, sql.get(used..).unwrap_or("")))
    }

    fn check(&self, code: c_int) -> Result<(), SqlError> {
        if matches!(code, ffi::SQLITE_OK | ffi::SQLITE_ROW | ffi::SQLITE_DONE) {
            Ok(())
        } else {
            Err(self.error(code))
        }
    }

    fn error(&self, code: c_int) -> SqlError {
        if code & 0xff == ffi::SQLITE_AUTH
            && let Some(refusal) = self.watch().refusal.take()
        {
            return refusal.into();
        }
        // SAFETY: `raw` is an open connection; the text is valid until the next call on it and copied here.
        let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.raw.as_ptr())) };
        SqlError::Sqlite { code, message: message.to_string_lossy().into_owned() }
    }

    fn watch(&self) -> &Watch {
        // SAFETY: allocated in `open`, freed only in `drop`; only shared references to it ever exist.
        unsafe { self.watch.as_ref() }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        for kept in self.kept.drain(..) {
            finalize(kept.raw);
        }
        // SAFETY: no statement outlives the borrow of `self`, so the close succeeds and SQLite drops its
        // pointer to `watch`, which was leaked from a box in `open` and is freed exactly here.
        unsafe {
            ffi::sqlite3_close_v2(self.raw.as_ptr());
            drop(Box::from_raw(self.watch.as_ptr()));
        }
    }
}

impl Statement<'_> {
    fn check_parameters(&self, given: usize) -> Result<(), SqlError> {
        // SAFETY: `raw` is a live statement.
        let wanted = unsafe { ffi::sqlite3_bind_parameter_count(self.raw) };
        if usize::try_from(wanted).ok() == Some(given) {
            Ok(())
        } else {
            Err(SqlError::misuse("the number of parameters does not match the statement"))
        }
    }

    fn effect(&self) -> Effect {
        // SAFETY: `raw` is a live statement.
        let (is_reading, columns) =
            unsafe { (ffi::sqlite3_stmt_readonly(self.raw) != 0, ffi::sqlite3_column_count(self.raw)) };
        match (is_reading, columns) {
            (false, _) => Effect::Writes,
            // Words of transactions count as reading, and answer nothing.
            (true, 0) => Effect::Savepoint,
            (true, _) => Effect::Reads,
        }
    }

    fn bind(&self, parameters: &[Value]) -> Result<(), SqlError> {
        self.check_parameters(parameters.len())?;
        for (index, value) in (1..).zip(parameters) {
            // SAFETY: text and blobs are copied by SQLite (SQLITE_TRANSIENT) and valid for the given length.
            let code = unsafe {
                match value {
                    Value::Null => ffi::sqlite3_bind_null(self.raw, index),
                    Value::Integer(value) => ffi::sqlite3_bind_int64(self.raw, index, *value),
                    Value::Real(value) => ffi::sqlite3_bind_double(self.raw, index, *value),
                    Value::Text(text) => ffi::sqlite3_bind_text64(
                        self.raw,
                        index,
                        text.as_ptr().cast(),
                        text.len() as u64,
                        ffi::SQLITE_TRANSIENT(),
                        ffi::SQLITE_UTF8 as u8,
                    ),
                    Value::Blob(bytes) if bytes.is_empty() => ffi::sqlite3_bind_zeroblob(self.raw, index, 0),
                    Value::Blob(bytes) => ffi::sqlite3_bind_blob64(
                        self.raw,
                        index,
                        bytes.as_ptr().cast(),
                        bytes.len() as u64,
                        ffi::SQLITE_TRANSIENT(),
                    ),
                }
            };
            self.database.check(code)?;
        }
        Ok(())
    }

    fn rows(&self, limits: ResultLimits) -> Result<QueryResult, SqlError> {
        let mut has_row = self.step()?;
        // Not before: the first step may have to compile the statement anew, to more columns than it had.
        // SAFETY: `raw` is a live statement.
        let width = unsafe { ffi::sqlite3_column_count(self.raw) };
        let mut result =
            QueryResult { columns: (0..width).map(|i| self.column_name(i)).collect(), rows: Vec::new() };
        let mut bytes = 0_usize;
        while has_row {
            let row = self.row()?;
            bytes = bytes.saturating_add(row.iter().map(Value::size).sum());
            if result.rows.len() >= limits.rows || bytes > limits.bytes {
                return Err(SqlError::TooLarge { rows: limits.rows, bytes: limits.bytes });
            }
            result.rows.push(row);
            has_row = self.step()?;
        }
        Ok(result)
    }

    /// The row it stands on.
    fn row(&self) -> Result<Vec<Value>, SqlError> {
        // SAFETY: `raw` is a live statement.
        let width = unsafe { ffi::sqlite3_column_count(self.raw) };
        (0..width).map(|index| self.column(index)).collect()
    }

    /// Ready to be bound and run once more. Holds nothing of what it was bound to, and no lock.
    fn reset(&self) {
        // SAFETY: `raw` is a live statement. What it answers is the last step's error, which was seen already.
        unsafe {
            ffi::sqlite3_reset(self.raw);
            ffi::sqlite3_clear_bindings(self.raw);
        }
    }

    /// From now on whoever has it finalizes it.
    const fn into_raw(self) -> *mut ffi::sqlite3_stmt {
        let raw = self.raw;
        std::mem::forget(self);
        raw
    }

    /// True while there is a row to read.
    fn step(&self) -> Result<bool, SqlError> {
        // SAFETY: `raw` is a live statement.
        let code = unsafe { ffi::sqlite3_step(self.raw) };
        self.database.check(code).map(|()| code == ffi::SQLITE_ROW)
    }

    fn column_name(&self, index: c_int) -> String {
        // SAFETY: `index` is below the column count; the text is copied before the next call on the
        // statement.
        unsafe {
            let name = ffi::sqlite3_column_name(self.raw, index);
            if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
        }
    }

    fn column(&self, index: c_int) -> Result<Value, SqlError> {
        // SAFETY: the statement stands on a row and `index` is below the column count.
        let kind = unsafe { ffi::sqlite3_column_type(self.raw, index) };
        // SAFETY: as above; the accessor matches the type, so SQLite converts nothing.
        unsafe {
            Ok(match kind {
                ffi::SQLITE_INTEGER => Value::Integer(ffi::sqlite3_column_int64(self.raw, index)),
                ffi::SQLITE_FLOAT => Value::Real(ffi::sqlite3_column_double(self.raw, index)),
                ffi::SQLITE_TEXT => {
                    let start = ffi::sqlite3_column_text(self.raw, index);
                    let text = String::from_utf8(self.bytes_at(start, index));
                    Value::Text(text.map_err(|_| SqlError::misuse("text is not valid UTF-8"))?)
                }
                ffi::SQLITE_BLOB => {
                    let start = ffi::sqlite3_column_blob(self.raw, index);
                    Value::Blob(self.bytes_at(start.cast(), index))
                }
                _ => Value::Null,
            })
        }
    }

    /// # Safety
    /// `start` is what SQLite just answered for the text or blob in column `index` of the current row.
    unsafe fn bytes_at(&self, start: *const u8, index: c_int) -> Vec<u8> {
        // SAFETY: SQLite keeps the bytes until the next step; an empty blob has no address.
        unsafe {
            let length = usize::try_from(ffi::sqlite3_column_bytes(self.raw, index)).unwrap_or(0);
            if start.is_null() { Vec::new() } else { std::slice::from_raw_parts(start, length).to_vec() }
        }
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        finalize(self.raw);
    }
}

/// The end of a statement, once for each.
fn finalize(raw: *mut ffi::sqlite3_stmt) {
    // SAFETY: `raw` came from prepare, and whoever calls this owned it.
    unsafe { ffi::sqlite3_finalize(raw) };
}

/// Non-zero interrupts the statement.
unsafe extern "C" fn on_progress(watch: *mut c_void) -> c_int {
    // SAFETY: `watch` is the connection's own `Watch`, alive as long as the connection.
    let watch = unsafe { &*watch.cast::<Watch>() };
    c_int::from(watch.deadline.get().is_some_and(|deadline| Instant::now() >= deadline))
}

unsafe extern "C" fn on_authorize(
    watch: *mut c_void,
    code: c_int,
    first: *const c_char,
    second: *const c_char,
    _database: *const c_char,
    inner: *const c_char,
) -> c_int {
    /// # Safety
    /// `text` is null or NUL-terminated and outlives `'a`.
    unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
        // SAFETY: the caller's promise. A name that is not UTF-8 must not pass as "no name".
        (!text.is_null())
            .then(|| unsafe { CStr::from_ptr(text) }.to_str().unwrap_or(super::gate::HOST_PREFIX))
    }
    // SAFETY: `watch` is the connection's own `Watch`; SQLite's texts live for the duration of the call.
    let (watch, first, second) = unsafe { (&*watch.cast::<Watch>(), text(first), text(second)) };
    let action = Action { code, first, second, is_inner: !inner.is_null() };
    if action.is_volatile() {
        watch.is_volatile.set(true);
    }
    if let Some(asked) = watch.asked.borrow_mut().as_mut() {
        asked.push(action.into());
    }
    match watch.authority.get().check(action) {
        Ok(()) => ffi::SQLITE_OK,
        Err(refusal) => {
            watch.refusal.borrow_mut().get_or_insert(refusal);
            ffi::SQLITE_DENY
        }
    }
}
