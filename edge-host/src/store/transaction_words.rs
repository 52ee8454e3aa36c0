//! Recognises the transaction statements of a function, which the host answers itself.

/// A statement that would begin or end a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TransactionWord {
    /// `BEGIN`, `BEGIN DEFERRED`.
    Begin,
    /// `BEGIN IMMEDIATE`, `BEGIN EXCLUSIVE`: announces a write.
    BeginWrite,
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK` without `TO`.
    Rollback,
}

/// `None` for every other statement, `ROLLBACK TO` and other savepoint words included.
pub(super) fn parse(sql: &str) -> Option<TransactionWord> {
    let mut words = Words(sql);
    let first = words.next()?;
    let second = words.next().unwrap_or("");
    let is = |word: &str, name: &str| word.eq_ignore_ascii_case(name);
    if is(first, "BEGIN") {
        let write = is(second, "IMMEDIATE") || is(second, "EXCLUSIVE") || is(second, "CONCURRENT");
        return Some(if write { TransactionWord::BeginWrite } else { TransactionWord::Begin });
    }
    if is(first, "COMMIT") || is(first, "END") {
        return Some(TransactionWord::Commit);
    }
    if is(first, "ROLLBACK") {
        let third = words.next().unwrap_or("");
        let to_savepoint = is(second, "TO") || (is(second, "TRANSACTION") && is(third, "TO"));
        return (!to_savepoint).then_some(TransactionWord::Rollback);
    }
    None
}

/// Whether the first word says that the statement writes. Others may write all the same.
pub(super) fn says_it_writes(sql: &str) -> bool {
    let first = Words(sql).next().unwrap_or_default();
    ["INSERT", "UPDATE", "DELETE", "REPLACE"].iter().any(|word| first.eq_ignore_ascii_case(word))
}

/// The words of a statement, past white space and comments.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.0 = self.0.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}', ';']);
            if let Some(comment) = self.0.strip_prefix("--") {
                self.0 = comment.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.0.strip_prefix("/*") {
                self.0 = comment.split_once("*/").map_or("", |(_, rest)| rest);
            } else {
                break;
            }
        }
        let end = self.0.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::{TransactionWord as T, parse};

    #[test]
    fn finds_transaction_words_in_any_spelling() {
        assert_eq!(parse("begin"), Some(T::Begin));
        assert_eq!(parse(" -- note\n/* x */ BEGIN DEFERRED TRANSACTION;"), Some(T::Begin));
        assert_eq!(parse("BEGIN IMMEDIATE"), Some(T::BeginWrite));
        assert_eq!(parse("END TRANSACTION"), Some(T::Commit));
        assert_eq!(parse(";commit;"), Some(T::Commit));
        assert_eq!(parse("ROLLBACK"), Some(T::Rollback));
    }

    #[test]
    fn leaves_other_statements_alone() {
        for sql in [
            "ROLLBACK TO a",
            "rollback transaction to savepoint a",
            "SAVEPOINT a",
            "SELECT 'BEGIN'",
            "",
            "(",
            "beginning",
        ] {
            assert_eq!(parse(sql), None, "{sql}");
        }
    }
}
