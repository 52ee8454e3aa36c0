//! Backups of record groups, in a folder or an S3-compatible bucket.
//!
//! ```text
//! <group>/keyring/<backup>.json        the backup's key, wrapped by the backup master key
//! <group>/backups/<backup>/manifest    what the backup is; written last: without it there is no backup
//! <group>/backups/<backup>/pages/<n>   all pages of one snapshot, in order
//! <group>/backups/<backup>/log/<n>     pages that changed afterwards, in order
//! <group>/backups/<backup>/documents/  which documents the pages, or those of a segment, name
//! <group>/documents/<hash>             a document, as its host sealed it; all backups share it
//! <group>/archives/, <group>/erasures/ what outlives every backup, see `archive.rs`
//! ```
//!
//! What is of one backup is sealed (AES-256-GCM) with a key of its own, pages compressed before. Removing that
//! key from the keyring makes every copy of the backup unreadable, wherever it lies, and with it the keys of
//! documents that no other backup names.
//!
//! | file | what it is |
//! |---|---|
//! | `place.rs`, `folder.rs` | the folder or bucket |
//! | `keyring.rs`, `envelope.rs` | keys, and what they seal |
//! | `manifest.rs`, `snapshot.rs`, `segment.rs`, `document.rs`, `erasure.rs` | the format, without I/O |
//! | `repository.rs`, `documents.rs`, `archive.rs`, `verify.rs` | what is there, written and read |
//! | `retention.rs` | which backups and documents go |

mod archive;
mod document;
mod documents;
mod envelope;
mod erasure;
mod folder;
mod keyring;
mod manifest;
mod place;
mod repository;
mod retention;
mod segment;
mod snapshot;
mod verify;

pub use archive::{Archive, ArchiveError, ArchiveId, BLOCK_BYTES, Blocks, ParseArchiveIdError};
pub use document::{DocumentName, MAX_NAMES, ParseDocumentNameError};
pub use documents::KeptDocument;
pub use envelope::{OpenError, SealError};
pub use erasure::{Erased, Erasure, ErasureId, ParseErasureIdError};
pub use keyring::{BackupKey, KeyError, MasterKey};
pub use manifest::{BackupId, GroupKey, MANIFEST_VERSION, Manifest, ParseBackupIdError};
pub use place::{BucketAccess, ObjectError, Place, PlaceError};
pub use repository::{Found, Opened, ReadError, Repository, WriteError};
pub use retention::{Keep, Kept, Needs, expired, unneeded};
pub use segment::{MAX_PAGES, Segment, SegmentHead};
pub use snapshot::{CHUNK_BYTES, Object, Snapshot, SnapshotTotals};
pub use verify::{DocumentCheck, SnapshotCheck, Verified, verify_archive};
