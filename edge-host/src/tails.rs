//! `locum-edge tail`: what a lost primary held and nobody acknowledged, for a person to read.

use std::path::PathBuf;

use clap::Args;
use locum_telemetry::config::ConfigError;

use crate::config::EdgeConfig;
use crate::store::{GroupId, KeyError, MasterKey, TailError, Tails};

/// What of them is wanted.
#[derive(Args)]
pub struct TailOptions {
    /// The host's configuration. The host may run meanwhile.
    #[arg(long)]
    config: PathBuf,
    /// `GROUP/EPOCH-FRAME`, as the list has it: its rows, one a line, as JSON. They are health data. Without a
    /// name: the list.
    name: Option<String>,
}

/// Tails cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadTailError {
    /// The configuration. Names the key.
    #[error("read the configuration")]
    Config(#[source] ConfigError),
    /// The master key of the host.
    #[error("store_key_file")]
    MasterKey(#[source] KeyError),
    /// Files of the host.
    #[error("read what was not acknowledged")]
    Tail(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Says each line. Blocks.
pub fn read_tails(options: &TailOptions, mut say: impl FnMut(String)) -> Result<(), ReadTailError> {
    let config = EdgeConfig::read(&options.config).map_err(ReadTailError::Config)?;
    let key = MasterKey::read(&config.store_key_file).map_err(ReadTailError::MasterKey)?;
    let tails = |group: &GroupId| Tails::of_host(&config.state_dir, group, &key);
    let failed = |error: TailError| ReadTailError::Tail(Box::new(error));
    let Some(name) = &options.name else {
        for group in config.clinics.groups() {
            for name in tails(&group).names().map_err(failed)? {
                say(format!("{group}/{name}"));
            }
        }
        return Ok(());
    };
    let unknown = || failed(TailError::Unknown(name.clone()));
    let (group, tail) = name.split_once('/').ok_or_else(unknown)?;
    let group = config.clinics.groups().into_iter().find(|known| known.as_str() == group);
    let take = |row| {
        say(serde_json::json!(row).to_string());
        Ok(())
    };
    tails(&group.ok_or_else(unknown)?).read(tail, take).map_err(failed)
}
