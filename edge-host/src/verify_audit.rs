//! `locum audit verify`: the audit chains on the disks of hosts whose configuration is given.

use std::collections::BTreeSet;
use std::path::PathBuf;

use locum_telemetry::config::ConfigError;

use crate::audit::{HostOnDisk, Report, VerifyError, verify};
use crate::config::EdgeConfig;
use crate::store::{GroupId, KeyError, MasterKey};

/// Nothing can be said about the audit events.
#[derive(Debug, thiserror::Error)]
pub enum VerifyAuditError {
    /// A configuration file. Names the key.
    #[error("read the configuration")]
    Config(#[source] ConfigError),
    /// No such group.
    #[error("no record group `{0}` on these hosts")]
    UnknownGroup(String),
    /// The master key of a host.
    #[error("store_key_file")]
    MasterKey(#[source] KeyError),
    /// Files of a host.
    #[error("verify audit events")]
    Verify(#[source] VerifyError),
}

/// A report a group, or of `group` only. Hosts may be running meanwhile.
pub fn verify_audit(configs: &[PathBuf], group: Option<&str>) -> Result<Vec<Report>, VerifyAuditError> {
    let (hosts, wanted) = hosts(configs, group)?;
    wanted.iter().map(|group| verify(&hosts, group).map_err(VerifyAuditError::Verify)).collect()
}

/// The disks of hosts with these configurations, and the groups that they may hold, or `group` only.
pub(crate) fn hosts(
    configs: &[PathBuf],
    group: Option<&str>,
) -> Result<(Vec<HostOnDisk>, Vec<GroupId>), VerifyAuditError> {
    let (mut hosts, mut groups) = (Vec::new(), BTreeSet::new());
    for path in configs {
        let config = EdgeConfig::read(path).map_err(VerifyAuditError::Config)?;
        groups.extend(config.clinics.groups());
        hosts.push(HostOnDisk {
            name: config.region.to_string(),
            master_key: MasterKey::read(&config.store_key_file).map_err(VerifyAuditError::MasterKey)?,
            state_dir: config.state_dir,
        });
    }
    let wanted: Vec<GroupId> =
        groups.into_iter().filter(|own| group.is_none_or(|group| own.as_str() == group)).collect();
    if let (Some(group), true) = (group, wanted.is_empty()) {
        return Err(VerifyAuditError::UnknownGroup(group.to_owned()));
    }
    Ok((hosts, wanted))
}
