//! What the tool says.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// A line on standard output. Who reads may leave before the end, as `head` does: what was asked for is done all
/// the same, and the exit code says how it went.
pub(crate) fn print(text: &str) -> Result<()> {
    write(&mut io::stdout().lock(), text)
}

/// A line on standard error. If nobody reads that either, there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn write(to: &mut impl Write, text: &str) -> Result<()> {
    match writeln!(to, "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_may_leave_and_nothing_else_goes_unnoticed() {
        assert!(write(&mut Failing(ErrorKind::BrokenPipe), "text").is_ok());
        assert!(write(&mut Failing(ErrorKind::StorageFull), "text").is_err());
        let mut said = Vec::new();
        write(&mut said, "text").unwrap();
        assert_eq!(said, b"text\n");
    }
}
