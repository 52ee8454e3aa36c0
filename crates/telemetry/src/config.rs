//! Reading a process's configuration: one TOML file, unknown keys refused, nothing of a value ever quoted.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// The exit code of a process whose configuration is wrong (`EX_USAGE` of `sysexits.h`).
pub const EXIT_CONFIG: i32 = 64;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key that means nothing, most often a typing error.
    #[error("unknown key `{key}` in {file}, line {line}; known there: {known}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The file's name.
        file: String,
        /// Where.
        line: usize,
        /// What could have stood there.
        known: String,
    },
    /// Anything else that is not as it should be.
    #[error("{file}, line {line}: {problem}")]
    Invalid {
        /// The file's name.
        file: String,
        /// Where.
        line: usize,
        /// What is wrong, without any value.
        problem: String,
    },
    /// A key whose value the types allow and the program does not.
    #[error("key `{key}` in {file}: {problem}")]
    Key {
        /// The key.
        key: &'static str,
        /// The file's name.
        file: String,
        /// What is wrong, without the value.
        problem: String,
    },
}

/// Reads `path` as TOML into `T`, which denies unknown fields. Paths in it are as written: [`resolve`] them.
///
/// # Errors
/// [`ConfigError`], whose text never holds a value: values may be secrets.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text =
        fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| explain(path, &text, &error))
}

/// `path` as seen from the folder of the configuration file `config`; an absolute one as it is.
pub fn resolve(config: &Path, path: &Path) -> PathBuf {
    config.parent().map_or_else(|| path.to_owned(), |dir| dir.join(path))
}

/// A key's value is wrong in a way that types do not say.
pub fn invalid(config: &Path, key: &'static str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Key { key, file: file_name(config), problem: problem.into() }
}

/// Prints `error` and its causes, and ends the process with [`EXIT_CONFIG`].
#[allow(clippy::print_stderr, reason = "logging is not set up before the configuration is read")]
pub fn exit_64(error: &ConfigError) -> ! {
    eprintln!("error: {}", chain(error));
    std::process::exit(EXIT_CONFIG)
}

/// `error` and its causes on one line.
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn explain(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let (file, line) = (file_name(path), before.matches('\n').count() + 1);
    // The crate tells unknown keys by text only; a change of that text is caught by the tests below.
    match error.message().strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        Some((key, known)) => {
            let known = known.trim_start_matches(", expected ").trim_start_matches("one of ").to_owned();
            ConfigError::UnknownKey { key: key.to_owned(), file, line, known }
        }
        None => ConfigError::Invalid { file, line, problem: without_values(error.message()) },
    }
}

/// `invalid type: string "hunter2", expected u16` → `invalid type: string, expected u16`: everything from the
/// first quote to the last one goes, and numbers and booleans in backquotes with their value.
fn without_values(message: &str) -> String {
    let Some(expected) = message.rfind(", expected ") else {
        return if message.contains('"') { "invalid value".to_owned() } else { message.to_owned() };
    };
    let (found, expected) = message.split_at(expected);
    let end = found.find(['"', '`']).unwrap_or(found.len());
    format!("{}{expected}", found[..end].trim_end())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        listen: std::net::SocketAddr,
        control: Control,
        port: Option<u16>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Control {
        address: String,
    }

    fn error(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edge.toml");
        fs::write(&path, text).unwrap();
        chain(&load::<Sample>(&path).unwrap_err())
    }

    #[test]
    fn what_the_file_says_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edge.toml");
        fs::write(&path, "listen = \"127.0.0.1:1\"\nport = 7\n[control]\naddress = \"a\"\n").unwrap();
        let Sample { listen, control, port } = load(&path).unwrap();
        assert_eq!((listen.port(), control.address.as_str(), port), (1, "a", Some(7)));
    }

    #[test]
    fn an_unknown_key_is_named() {
        let text = error("lisen = \"127.0.0.1:1\"\n[control]\naddress = \"a\"\n");
        assert!(
            text.starts_with("unknown key `lisen` in edge.toml, line 1; known there: `listen`"),
            "{text}"
        );
        let text = error("listen = \"127.0.0.1:1\"\n[control]\nadress = \"a\"\n");
        assert!(text.starts_with("unknown key `adress` in edge.toml, line 3"), "{text}");
    }

    #[test]
    fn a_missing_key_is_named() {
        let text = error("listen = \"127.0.0.1:1\"\n");
        assert!(text.contains("control"), "{text}");
    }

    #[test]
    fn no_value_is_quoted() {
        for wrong in [
            "port = \"hunter2\"",
            "port = \"hunter2, expected `hunter2`\"",
            "listen = \"hunter2\"",
            "port = hunter2",
            "hunter2",
            "port = [\"hunter2\"",
        ] {
            let text = error(&format!("{wrong}\n[control]\naddress = \"hunter2\"\n"));
            assert!(!text.contains("hunter2"), "{text}");
            assert!(text.starts_with("edge.toml, line "), "{text}");
        }
        assert!(!error("port = 70007").contains("70007"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Sample>(Path::new("/nowhere/edge.toml")).unwrap_err();
        assert!(chain(&error).starts_with("read configuration /nowhere/edge.toml: "));
    }

    #[test]
    fn paths_are_seen_from_the_file() {
        assert_eq!(resolve(Path::new("/etc/locum/edge.toml"), Path::new("key")), Path::new("/etc/locum/key"));
        assert_eq!(resolve(Path::new("/etc/locum/edge.toml"), Path::new("/k")), Path::new("/k"));
        assert_eq!(resolve(Path::new("edge.toml"), Path::new("key")), Path::new("key"));
    }
}
