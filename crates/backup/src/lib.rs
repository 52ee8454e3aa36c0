//! Backups of record groups, in a folder or an S3-compatible bucket.
//!
//! ```text
//! <group>/keyring/<backup>.json        the backup's key, wrapped by the backup master key
//! <group>/backups/<backup>/manifest    what the backup is; written last: without it there is no backup
//! <group>/backups/<backup>/pages/<n>   all pages of one snapshot, in order
//! <group>/backups/<backup>/log/<n>     pages that changed afterwards, in order
//! ```
//!
//! Everything but the keyring is compressed, then sealed (AES-256-GCM) with a key of the backup's own.
//! Removing that key from the keyring makes every copy of the backup unreadable, wherever it lies.
//!
//! | file | what it is |
//! |---|---|
//! | `place.rs` | the folder or bucket |
//! | `keyring.rs`, `envelope.rs` | keys, and what they seal |
//! | `manifest.rs`, `snapshot.rs`, `segment.rs` | the format, without I/O |
//! | `repository.rs`, `verify.rs` | what is there, written and read |
//! | `retention.rs` | which backups go |

mod envelope;
mod keyring;
mod manifest;
mod place;
mod repository;
mod retention;
mod segment;
mod snapshot;
mod verify;

pub use envelope::{OpenError, SealError};
pub use keyring::{BackupKey, KeyError, MasterKey};
pub use manifest::{BackupId, GroupKey, MANIFEST_VERSION, Manifest, ParseBackupIdError};
pub use place::{BucketAccess, ObjectError, Place, PlaceError};
pub use repository::{Found, Opened, ReadError, Repository, WriteError};
pub use retention::{Keep, Kept, expired};
pub use segment::{MAX_PAGES, Segment, SegmentHead};
pub use snapshot::{CHUNK_BYTES, Object, Snapshot, SnapshotTotals};
pub use verify::{SnapshotCheck, Verified};
