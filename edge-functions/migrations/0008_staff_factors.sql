-- How staff prove who they are beside a password, and how they come and go. Nothing here opens anything for a host of the
-- release before: who has given a password only has a row in sign_in, not in session.

-- Given the right password, and not yet what comes after it.
CREATE TABLE sign_in (
  clinic TEXT NOT NULL,
  secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
  user TEXT NOT NULL,
  next TEXT NOT NULL CHECK (next IN ('second-factor', 'enrolment')),
  created_at INTEGER NOT NULL,
  -- The question that a passkey was asked.
  ceremony TEXT,
  PRIMARY KEY (clinic, secret_hash),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

-- RFC 6238. One authenticator app a person.
CREATE TABLE totp_factor (
  clinic TEXT NOT NULL,
  user TEXT NOT NULL,
  secret BLOB NOT NULL CHECK (length(secret) = 20),
  created_at INTEGER NOT NULL,
  -- NULL until the first code was right.
  confirmed_at INTEGER,
  -- Time step of the last code that was taken: neither it nor an earlier one is taken again.
  last_step INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (clinic, user),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE TABLE passkey (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  user TEXT NOT NULL,
  -- The authenticator's own id, base64url.
  credential_id TEXT NOT NULL,
  name TEXT NOT NULL,
  -- Public key, counter and flags, as JSON of the library that checks them.
  credential TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (clinic, id),
  UNIQUE (clinic, credential_id),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE INDEX passkey_by_user ON passkey (clinic, user);

-- The question that a new passkey of this person was asked last.
CREATE TABLE passkey_ceremony (
  clinic TEXT NOT NULL,
  user TEXT NOT NULL,
  state TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, user),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

-- 80 random bits each, so a plain hash is enough.
CREATE TABLE recovery_code (
  clinic TEXT NOT NULL,
  user TEXT NOT NULL,
  code_hash BLOB NOT NULL CHECK (length(code_hash) = 32),
  created_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (clinic, user, code_hash),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

-- Wrong passwords and codes in a row. A name that nobody has is counted under 16 bits of its hash: it may be a password
-- typed in the wrong place.
CREATE TABLE sign_in_failure (
  clinic TEXT NOT NULL,
  subject TEXT NOT NULL,
  failures INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  locked_until INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (clinic, subject)
) STRICT, WITHOUT ROWID;

-- The link by which somebody new, or who lost everything, chooses a password.
CREATE TABLE staff_invitation (
  clinic TEXT NOT NULL,
  token_hash BLOB NOT NULL CHECK (length(token_hash) = 32),
  user TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (clinic, token_hash),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

-- Who must have a second factor. Administrators and prescribers always.
ALTER TABLE clinic ADD COLUMN second_factor TEXT NOT NULL DEFAULT 'everyone';
-- When somebody left: nothing opens for them any more.
ALTER TABLE staff_user ADD COLUMN left_at INTEGER;
-- Names a session for its owner, and opens nothing. A session that a host of the release before began has none.
ALTER TABLE session ADD COLUMN id TEXT;
-- Browser and system, as far as its owner recognises them.
ALTER TABLE session ADD COLUMN device TEXT;
