//! The host's own tables.
//!
//! A new file of this series is subject to the same rules as one of the functions: an older release goes on beside it.

use super::{Migration, Phase, Series};

const HOST_1: &str = "
CREATE TABLE locum_idempotency (
    clinic TEXT NOT NULL,
    key TEXT NOT NULL,
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    headers BLOB NOT NULL,
    body BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (clinic, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX locum_idempotency_age ON locum_idempotency (created_at_ms);
CREATE TABLE locum_key_value (
    store TEXT NOT NULL,
    clinic TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (store, clinic, key)
) STRICT, WITHOUT ROWID;
";

/// What a request did, written in its own transaction; the chain follows afterwards.
const HOST_2: &str = "
CREATE TABLE locum_audit (
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    recorded_at_ms INTEGER NOT NULL,
    clinic TEXT NOT NULL,
    request TEXT NOT NULL,
    region TEXT NOT NULL,
    node TEXT NOT NULL,
    status INTEGER NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('C', 'R', 'U', 'D', 'E')),
    code TEXT NOT NULL,
    agent_type TEXT NOT NULL,
    agent TEXT,
    entity_type TEXT,
    entity TEXT
) STRICT;
CREATE INDEX locum_audit_by_time ON locum_audit (clinic, recorded_at_ms);
CREATE INDEX locum_audit_by_entity ON locum_audit (clinic, entity);
CREATE TRIGGER locum_audit_is_final BEFORE UPDATE ON locum_audit
BEGIN SELECT RAISE(ABORT, 'audit events are final'); END;
CREATE TRIGGER locum_audit_is_kept BEFORE DELETE ON locum_audit
BEGIN SELECT RAISE(ABORT, 'audit events are kept'); END;
CREATE TABLE locum_audit_chain (
    sequence INTEGER NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
";

/// Which documents there are; their content lies in files. A key goes with the last that names its content.
const HOST_3: &str = "
CREATE TABLE locum_blob (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    object BLOB NOT NULL UNIQUE CHECK (length(object) = 16),
    wrapped_key BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE locum_blob_reference (
    clinic TEXT NOT NULL,
    document TEXT NOT NULL,
    blob BLOB NOT NULL REFERENCES locum_blob,
    PRIMARY KEY (clinic, document)
) STRICT, WITHOUT ROWID;
CREATE INDEX locum_blob_reference_by_blob ON locum_blob_reference (blob);
";

/// The order in which documents came, so that backups find the new ones; and what was erased, by ids only, so that a
/// restore erases it again. The journal is a copy of what backups ship: an erasure that a database knows of happened
/// before it was backed up.
const HOST_4: &str = "
CREATE TABLE locum_blob_order (
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    blob BLOB NOT NULL UNIQUE REFERENCES locum_blob ON DELETE CASCADE
) STRICT;
INSERT INTO locum_blob_order (blob) SELECT id FROM locum_blob;
CREATE TABLE locum_erasure (
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    clinic TEXT NOT NULL,
    document TEXT NOT NULL,
    content BLOB CHECK (length(content) = 32),
    erased_at_ms INTEGER NOT NULL
) STRICT;
";

/// Whose record an event is of, why, by which session, and what it changed.
const HOST_5: &str = "
ALTER TABLE locum_audit ADD COLUMN patient TEXT;
ALTER TABLE locum_audit ADD COLUMN purpose TEXT;
ALTER TABLE locum_audit ADD COLUMN token TEXT;
ALTER TABLE locum_audit ADD COLUMN old_value TEXT;
ALTER TABLE locum_audit ADD COLUMN new_value TEXT;
CREATE INDEX locum_audit_by_patient ON locum_audit (clinic, patient, recorded_at_ms);
";

/// The series, in order.
pub(super) fn migrations() -> Vec<Migration> {
    let files =
        [("host", HOST_1), ("audit", HOST_2), ("blob", HOST_3), ("erasure", HOST_4), ("audit-more", HOST_5)];
    let number = |(version, (name, sql)): (u32, (&str, &str))| {
        Migration::new(Series::Host, version, name, Phase::Expand, sql.to_owned())
    };
    (1..).zip(files).map(number).collect()
}
