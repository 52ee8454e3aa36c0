//! Edge host: runs the functions of `spin.toml` beside the record store, and serves the pages.
//!
//! [`start`] brings everything up in the order in which it can fail: configuration and manifest (exit code
//! 64), record store, functions, listeners, control plane; then the host says that it is ready.

mod admission;
mod audit;
mod backup;
#[cfg_attr(not(test), allow(dead_code, unused_imports, reason = "no page uploads documents yet"))]
mod blob;
mod clinic;
mod clock;
pub mod config;
mod countries;
mod http;
mod idempotency;
mod jobs;
mod list_audit;
pub mod manifest;
mod media_nodes;
mod mesh;
mod network;
mod problem;
mod revocations;
mod routes;
pub mod runtime;
mod security_feed;
mod sending;
mod start;
pub mod store;
mod tails;
pub mod variables;
mod verify_audit;

pub use audit::{AuditDoor, Report as AuditReport, VerifyError};
pub use backup::{
    BackupConfig, BackupError, OpenBackupError, RebuildError, RestoreError, RestoreOptions, Restored,
    StageError, restore,
};
pub use clinic::{ClinicId, Clinics};
pub use jobs::Job;
pub use list_audit::{AuditListOptions, list_audit};
pub use problem::Problem;
pub use security_feed::{OpenFeedError, SecurityFeedConfig, SecurityRules, SyslogConfig};
pub use sending::{BouncesConfig, DkimAlgorithm, DkimConfig, MessagesConfig, SmsConfig, SmtpConfig, TlsMode};
pub use start::{PrecompileError, Prepared, StartError, precompile, prepare, run, verify_records};
pub use tails::{ReadTailError, TailOptions, read_tails};
pub use verify_audit::{VerifyAuditError, verify_audit};
