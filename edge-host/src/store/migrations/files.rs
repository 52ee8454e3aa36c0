//! The functions' migrations: a folder of numbered files.

use std::fs;
use std::path::{Path, PathBuf};

use super::{MAX_BYTES, Migration, MigrationError, Phase, Series};

/// Reads a folder of `0001_name.sql` (an expand), `0002_name.backfill.sql` and `0003_name.contract.sql` files.
pub fn load(folder: &Path) -> Result<Vec<Migration>, MigrationError> {
    let read_error = |path: &Path| {
        let path = path.to_owned();
        move |source| MigrationError::Read { path, source }
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_error(folder))? {
        let path = entry.map_err(read_error(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            paths.push(path);
        }
    }
    paths.sort();
    let load = |(version, path): (u32, &PathBuf)| {
        let size = fs::metadata(path).map_err(read_error(path))?.len();
        let (name, phase) = named(path, version)
            .filter(|_| size <= MAX_BYTES as u64)
            .ok_or_else(|| MigrationError::Name(path.clone()))?;
        let sql = fs::read_to_string(path).map_err(read_error(path))?;
        Ok(Migration::new(Series::Functions, version, name, phase, sql))
    };
    (1..).zip(&paths).map(load).collect()
}

/// What the file of `version` is called, and its phase.
fn named(path: &Path, version: u32) -> Option<(&str, Phase)> {
    let (number, name) = path.file_stem()?.to_str()?.split_once('_')?;
    let (name, phase) = match name.rsplit_once('.') {
        None => (name, Phase::Expand),
        Some((name, "expand")) => (name, Phase::Expand),
        Some((name, "backfill")) => (name, Phase::Backfill),
        Some((name, "contract")) => (name, Phase::Contract),
        Some(_) => return None,
    };
    let is_next = number.len() == 4 && number.parse() == Ok(version);
    (is_next && !name.is_empty()).then_some((name, phase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_without_gaps_and_say_the_phase() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), "SELECT 1").unwrap();
        for name in ["0001_a.sql", "0002_a.backfill.sql", "0003_a.contract.sql", "0004_b.expand.sql"] {
            write(name);
        }
        write("README.md");
        let phases: Vec<_> = load(folder.path()).unwrap().iter().map(|migration| migration.phase).collect();
        assert_eq!(phases, [Phase::Expand, Phase::Backfill, Phase::Contract, Phase::Expand]);
        for wrong in ["0006_c.sql", "0005_c.contrakt.sql", "0005_.sql", "5_c.sql"] {
            write(wrong);
            assert!(matches!(load(folder.path()), Err(MigrationError::Name(_))), "{wrong}");
            fs::remove_file(folder.path().join(wrong)).unwrap();
        }
    }
}
