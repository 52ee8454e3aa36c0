//! Where the programs of the network are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The folder that holds all of `programs`: the given one, or that of `locum` itself.
pub(crate) fn folder(given: Option<&Path>, programs: &[&str]) -> Result<PathBuf> {
    let folder = match given {
        Some(folder) => folder.to_owned(),
        None => std::env::current_exe()?.parent().context("`locum` has no folder")?.to_owned(),
    };
    match programs.iter().find(|program| !folder.join(program).is_file()) {
        Some(missing) => {
            bail!("no {missing} in {}: build it, or name its folder with --bin-dir", folder.display())
        }
        None => Ok(folder),
    }
}
