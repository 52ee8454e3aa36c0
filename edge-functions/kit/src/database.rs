//! The record store as a function sees it: SQL on the clinic's record group.

use std::fmt;

use jiff::Timestamp;

use crate::Pending;

/// A connection to the record group of the request's clinic.
///
/// One writing request is one transaction of the host; `BEGIN` and `COMMIT` inside it are savepoints. What
/// was read before the first write may be stale by then, so a write carries its own condition and looks at
/// the number of rows it changed.
pub trait Database {
    /// The rows that `sql` gives.
    fn query<'a>(
        &'a self,
        sql: &'a str,
        parameters: Vec<Value>,
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>>;

    /// The number of rows that `sql`, an `INSERT`, `UPDATE` or `DELETE`, changed.
    fn execute<'a>(&'a self, sql: &'a str, parameters: Vec<Value>)
    -> Pending<'a, Result<u64, DatabaseError>>;
}

/// A value of SQLite.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `NULL`.
    Null,
    /// `INTEGER`.
    Integer(i64),
    /// `TEXT`.
    Text(String),
    /// `BLOB`.
    Blob(Vec<u8>),
}

/// Of the kind only: a value may be health data or a secret's hash.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Integer(_) => "Integer",
            Self::Text(_) => "Text",
            Self::Blob(_) => "Blob",
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

/// Unix milliseconds, as every time stands in the database.
impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Integer(at.as_millisecond())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The parameters of a statement, in the order of its question marks.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::database::Value::from($value)),*] };
}

/// A row of an answer; columns are read by their place in the `SELECT`.
#[derive(Clone, Debug)]
pub struct Row(Vec<Value>);

impl Row {
    /// A row of `values`.
    pub const fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// Text that is there.
    pub fn text(&self, column: usize) -> Result<String, DatabaseError> {
        self.text_or_null(column)?.ok_or(DatabaseError::Shape { column, wanted: "text" })
    }

    /// Text, or `None` for `NULL`.
    pub fn text_or_null(&self, column: usize) -> Result<Option<String>, DatabaseError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(Value::Null) => Ok(None),
            _ => Err(DatabaseError::Shape { column, wanted: "text" }),
        }
    }

    /// An integer that is there.
    pub fn integer(&self, column: usize) -> Result<i64, DatabaseError> {
        self.integer_or_null(column)?.ok_or(DatabaseError::Shape { column, wanted: "an integer" })
    }

    /// An integer, or `None` for `NULL`.
    pub fn integer_or_null(&self, column: usize) -> Result<Option<i64>, DatabaseError> {
        match self.0.get(column) {
            Some(Value::Integer(number)) => Ok(Some(*number)),
            Some(Value::Null) => Ok(None),
            _ => Err(DatabaseError::Shape { column, wanted: "an integer" }),
        }
    }

    /// `N` bytes.
    pub fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N], DatabaseError> {
        let shape = DatabaseError::Shape { column, wanted: "bytes" };
        match self.0.get(column) {
            Some(Value::Blob(bytes)) => bytes.as_slice().try_into().map_err(|_| shape),
            _ => Err(shape),
        }
    }

    /// Bytes, however many.
    pub fn blob(&self, column: usize) -> Result<Vec<u8>, DatabaseError> {
        match self.0.get(column) {
            Some(Value::Blob(bytes)) => Ok(bytes.clone()),
            _ => Err(DatabaseError::Shape { column, wanted: "bytes" }),
        }
    }

    /// A time that is there.
    pub fn time(&self, column: usize) -> Result<Timestamp, DatabaseError> {
        self.time_or_null(column)?.ok_or(DatabaseError::Shape { column, wanted: "a time" })
    }

    /// A time, or `None` for `NULL`.
    pub fn time_or_null(&self, column: usize) -> Result<Option<Timestamp>, DatabaseError> {
        let shape = DatabaseError::Shape { column, wanted: "a time" };
        match self.0.get(column) {
            Some(Value::Integer(millis)) => Timestamp::from_millisecond(*millis).map(Some).map_err(|_| shape),
            Some(Value::Null) => Ok(None),
            _ => Err(shape),
        }
    }

    /// Text that `parse` understands, such as an id.
    pub fn parsed<T>(
        &self,
        column: usize,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, DatabaseError> {
        parse(&self.text(column)?).ok_or(DatabaseError::Shape { column, wanted: "known text" })
    }
}

/// What may go wrong with a statement. Never holds a value of a row.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DatabaseError {
    /// The host offers no database to this function.
    #[error("open the record group: {0}")]
    Open(String),
    /// A constraint said no; the text is SQLite's, and names columns only.
    #[error("constraint: {0}")]
    Constraint(String),
    /// The statement failed otherwise; the text is the host's or SQLite's.
    #[error("statement: {0}")]
    Statement(String),
    /// An answer was not of the shape that the statement should give.
    #[error("column {column} is not {wanted}")]
    Shape {
        /// Its place in the `SELECT`, from 0.
        column: usize,
        /// What was expected there.
        wanted: &'static str,
    },
}

impl DatabaseError {
    /// Sorts a failed statement by SQLite's own words, which every backend hands on.
    pub fn from_statement(message: String) -> Self {
        if message.contains("constraint failed") {
            Self::Constraint(message)
        } else {
            Self::Statement(message)
        }
    }

    /// Whether the row is there already: the constraint of `table.column` (or one that begins so) refused a
    /// second one.
    pub fn is_duplicate_of(&self, columns: &str) -> bool {
        matches!(self, Self::Constraint(text) if text.contains("UNIQUE") && text.contains(columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_their_kind_only() {
        assert_eq!(format!("{:?}", params!["Ada", 7_i64, None::<String>]), "[Text, Integer, Null]");
    }

    #[test]
    fn a_row_of_another_shape_is_an_error_not_a_panic() {
        let row = Row::new(params!["x", 5_i64, None::<String>, [1_u8, 2]]);
        assert_eq!(row.text(0), Ok("x".to_owned()));
        assert_eq!(row.integer(1), Ok(5));
        assert_eq!(row.text_or_null(2), Ok(None));
        assert_eq!(row.bytes::<2>(3), Ok([1, 2]));
        assert!(row.text(1).is_err() && row.text(2).is_err() && row.text(9).is_err());
        assert!(row.integer(0).is_err() && row.time(2).is_err() && row.bytes::<3>(3).is_err());
    }

    #[test]
    fn a_second_row_is_told_from_other_failures() {
        let text = "UNIQUE constraint failed: clinic.id".to_owned();
        assert!(DatabaseError::from_statement(text).is_duplicate_of("clinic.id"));
        let text = "NOT NULL constraint failed: clinic.id".to_owned();
        assert!(!DatabaseError::from_statement(text).is_duplicate_of("clinic.id"));
        assert!(matches!(
            DatabaseError::from_statement("disk I/O error".into()),
            DatabaseError::Statement(_)
        ));
    }
}
