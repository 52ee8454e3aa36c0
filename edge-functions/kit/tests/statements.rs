//! What functions ask the database still means the same when a newer release has added columns and tables: see
//! docs/decisions/0020-online-migrations.md.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// Sources of the functions, without those that set up tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["tests", "testing", "build", "target"].contains(&name) {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// Whether an `INSERT` does not say which columns it gives, or a `SELECT` asks for whatever there is.
fn depends_on_the_number_of_columns(words: &[&str]) -> bool {
    match words {
        ["INTO", _, rest, ..] => rest.starts_with("VALUES") || *rest == "SELECT" || *rest == "DEFAULT",
        ["SELECT", what, ..] => *what == "*" || what.ends_with(".*") || what.starts_with("*,"),
        _ => false,
    }
}

#[test]
fn statements_name_their_columns() {
    let mut files = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")), &mut files);
    assert!(files.len() > 20, "only {} sources", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap().replace('"', " ");
        let words: Vec<&str> = text.split_whitespace().collect();
        for statement in words.windows(3) {
            assert!(!depends_on_the_number_of_columns(statement), "{}: {statement:?}", file.display());
        }
    }
}

#[test]
fn what_depends_on_the_number_of_columns_is_found() {
    for sql in ["INSERT INTO a VALUES (1)", "INSERT INTO a SELECT 1", "SELECT * FROM a", "SELECT a.* FROM a"]
    {
        let words: Vec<&str> = sql.split_whitespace().collect();
        assert!(words.windows(3).any(depends_on_the_number_of_columns), "{sql}");
    }
    for sql in ["INSERT INTO a (x) VALUES (1)", "SELECT count(*) FROM a", "SELECT a.x FROM a"] {
        let words: Vec<&str> = sql.split_whitespace().collect();
        assert!(!words.windows(3).any(depends_on_the_number_of_columns), "{sql}");
    }
}
