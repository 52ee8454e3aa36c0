-- Patients with an account and those who act for them, links that ask who opens them, proofs once more, throttling.

-- When somebody last showed what completes a sign-in, and from which country; NULL: when the session began, unknown.
ALTER TABLE session ADD COLUMN proved_at INTEGER;
ALTER TABLE session ADD COLUMN country TEXT;
-- The question that a passkey was asked for such a proof.
ALTER TABLE session ADD COLUMN ceremony TEXT;

-- Countries that somebody signs in from.
CREATE TABLE staff_country (
  clinic TEXT NOT NULL,
  user TEXT NOT NULL,
  country TEXT NOT NULL,
  first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, user, country),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

-- When whoever opens a link is asked who they are: never, where something is unusual ('risk'), always; and by what:
-- 'birth-date', or a 'code' that is sent to them.
ALTER TABLE clinic ADD COLUMN link_proof TEXT NOT NULL DEFAULT 'never';
ALTER TABLE clinic ADD COLUMN link_proof_by TEXT NOT NULL DEFAULT 'birth-date';
-- How many of somebody's last passwords are not taken again; after how many days they need another one (NULL: never);
-- whether passwords must have letters of several kinds (0 or 1).
ALTER TABLE clinic ADD COLUMN password_history INTEGER NOT NULL DEFAULT 5;
ALTER TABLE clinic ADD COLUMN password_max_days INTEGER;
ALTER TABLE clinic ADD COLUMN password_composition INTEGER NOT NULL DEFAULT 0;
-- When the password was chosen; NULL: when the person was taken in.
ALTER TABLE staff_user ADD COLUMN password_at INTEGER;

-- Passwords that somebody had, as Argon2id.
CREATE TABLE password_history (
  clinic TEXT NOT NULL,
  user TEXT NOT NULL,
  until INTEGER NOT NULL,
  password_hash TEXT NOT NULL,
  PRIMARY KEY (clinic, user, until),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

-- Wrong attempts from one address (of IPv6, its /64), for a quarter of an hour.
CREATE TABLE address_failure (
  clinic TEXT NOT NULL,
  network TEXT NOT NULL,
  failures INTEGER NOT NULL,
  since INTEGER NOT NULL,
  blocked_until INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (clinic, network)
) STRICT, WITHOUT ROWID;

-- A code for a link that asks for one. Six digits: whoever reads this could try them all, so it is worth nothing for long.
CREATE TABLE visit_code (
  clinic TEXT NOT NULL,
  appointment TEXT NOT NULL,
  code_hash BLOB NOT NULL CHECK (length(code_hash) = 32),
  created_at INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (clinic, appointment),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

-- The same for the way into an account, by SHA-256 of the address in lower case; written for unknown addresses alike.
CREATE TABLE patient_code (
  clinic TEXT NOT NULL,
  email_hash BLOB NOT NULL CHECK (length(email_hash) = 32),
  code_hash BLOB NOT NULL CHECK (length(code_hash) = 32),
  created_at INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (clinic, email_hash)
) STRICT, WITHOUT ROWID;

-- A patient over all their visits: whoever has this address (in lower case) and date of birth. A row opens nothing.
CREATE TABLE patient_account (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  email TEXT NOT NULL,
  birth_date TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id),
  UNIQUE (clinic, email, birth_date)
) STRICT, WITHOUT ROWID;

CREATE TABLE patient_passkey (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  account TEXT NOT NULL,
  credential_id TEXT NOT NULL,
  name TEXT NOT NULL,
  credential TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (clinic, id),
  UNIQUE (clinic, credential_id),
  FOREIGN KEY (clinic, account) REFERENCES patient_account
) STRICT, WITHOUT ROWID;

CREATE INDEX patient_passkey_by_account ON patient_passkey (clinic, account);

-- The question that a new passkey of this patient was asked last.
CREATE TABLE patient_ceremony (
  clinic TEXT NOT NULL,
  account TEXT NOT NULL,
  state TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, account),
  FOREIGN KEY (clinic, account) REFERENCES patient_account
) STRICT, WITHOUT ROWID;

-- Questions to whichever passkey somebody has; each is answered once.
CREATE TABLE patient_passkey_request (
  clinic TEXT NOT NULL,
  secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
  state TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, secret_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX patient_passkey_request_by_time ON patient_passkey_request (clinic, created_at);

-- Who acts for a patient (FHIR RelatedPerson), and by which link they come.
CREATE TABLE related_person (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  relationship TEXT NOT NULL CHECK (relationship IN ('parent', 'guardian', 'carer', 'spouse', 'child', 'other')),
  email TEXT NOT NULL,
  -- Of 'book', 'join' and 'read', with blanks between.
  scopes TEXT NOT NULL,
  token_hash BLOB NOT NULL CHECK (length(token_hash) = 32),
  -- The member of staff who invited them; NULL: the patient.
  invited_by TEXT,
  created_at INTEGER NOT NULL,
  ends_at INTEGER NOT NULL,
  used_at INTEGER,
  revoked_at INTEGER,
  PRIMARY KEY (clinic, id),
  UNIQUE (clinic, token_hash),
  FOREIGN KEY (clinic, account) REFERENCES patient_account
) STRICT, WITHOUT ROWID;

CREATE INDEX related_person_by_account ON related_person (clinic, account);

CREATE TABLE patient_session (
  clinic TEXT NOT NULL,
  secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
  account TEXT NOT NULL,
  -- NULL: the patient's own.
  proxy TEXT,
  -- As in session.
  seen_key BLOB NOT NULL CHECK (length(seen_key) = 32),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, secret_hash),
  FOREIGN KEY (clinic, account) REFERENCES patient_account
) STRICT, WITHOUT ROWID;

CREATE INDEX patient_session_by_account ON patient_session (clinic, account);

-- NULL: the patient's own, or a guest's.
ALTER TABLE visit_session ADD COLUMN proxy TEXT;
CREATE INDEX visit_session_by_proxy ON visit_session (clinic, proxy) WHERE proxy IS NOT NULL;
CREATE INDEX visit_session_by_appointment ON visit_session (clinic, appointment);

-- A sign-in that somebody lets through from a device on which they are signed in, by picking the number that the new one
-- shows.
CREATE TABLE sign_in_approval (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  user TEXT NOT NULL,
  -- Key of the sign-in.
  sign_in BLOB NOT NULL CHECK (length(sign_in) = 32),
  number INTEGER NOT NULL,
  -- The number among two others, with blanks between.
  choices TEXT NOT NULL,
  device TEXT,
  country TEXT,
  created_at INTEGER NOT NULL,
  approved_at INTEGER,
  refused_at INTEGER,
  -- When whoever approved had last shown who they are: the new session knows no better.
  proved_at INTEGER,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE INDEX sign_in_approval_by_user ON sign_in_approval (clinic, user, created_at);
