//! `locum breached-passwords`: from the public list to the file that edge hosts look up.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use locum_breached::build;

use crate::output::print;

/// Which list, and where to.
#[derive(Args)]
pub(crate) struct Options {
    /// The list: `SHA1:count` a line, or a folder of its ranges (`suffix:count` a line, in files named by the first five
    /// digits).
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The file to be made, for `breached_passwords_file` in edge.toml.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Leave out what was seen less often.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    least_count: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let made = build(&options.from, &options.out, options.least_count).context("make the list")?;
    print(&format!("{} passwords, {} bytes", made.entries, made.bytes))
}
