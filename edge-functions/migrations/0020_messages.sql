-- Messages are sent by the edge host that leads the record group: claimed by a commit that is acknowledged, then sent, then the outcome
-- is kept. What was claimed and has no outcome is never sent again by itself; staff find it on a work list.
ALTER TABLE outbox_message ADD COLUMN channel TEXT NOT NULL DEFAULT 'email' CHECK (channel IN ('email', 'sms'));
ALTER TABLE outbox_message ADD COLUMN kind TEXT NOT NULL DEFAULT 'notice';
ALTER TABLE outbox_message ADD COLUMN patient TEXT;
ALTER TABLE outbox_message ADD COLUMN state TEXT NOT NULL DEFAULT 'waiting'
  CHECK (state IN ('waiting', 'claimed', 'sent', 'failed', 'unknown', 'expired', 'withdrawn', 'closed'));
ALTER TABLE outbox_message ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;
-- Of no use from then on; by default a day after it was written.
ALTER TABLE outbox_message ADD COLUMN useful_until INTEGER;
ALTER TABLE outbox_message ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
-- Drawn by the host for each batch.
ALTER TABLE outbox_message ADD COLUMN claim TEXT;
ALTER TABLE outbox_message ADD COLUMN claim_until INTEGER;
ALTER TABLE outbox_message ADD COLUMN ended_at INTEGER;
-- A word of ours, with the code of a mail server.
ALTER TABLE outbox_message ADD COLUMN reason TEXT;
-- Where its receiver says that they want no more of the kind.
ALTER TABLE outbox_message ADD COLUMN opt_out TEXT;

CREATE INDEX outbox_waiting ON outbox_message (clinic, not_before) WHERE state = 'waiting';
CREATE INDEX outbox_claimed ON outbox_message (clinic, claim_until) WHERE state = 'claimed';
CREATE INDEX outbox_work ON outbox_message (clinic, created_at) WHERE state IN ('failed', 'unknown', 'expired');

-- One row for each kind, visit and time of it: what was planned once is planned.
CREATE TABLE reminder (
  clinic TEXT NOT NULL,
  appointment TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('day', 'hours', 'minutes')),
  start_at INTEGER NOT NULL,
  -- NULL: in the clinic's quiet hours, or to nobody.
  message TEXT,
  planned_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, appointment, kind, start_at),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

CREATE INDEX reminder_by_message ON reminder (clinic, message) WHERE message IS NOT NULL;

-- How a clinic writes to people. Quiet hours are local times, HH:MM.
CREATE TABLE message_settings (
  clinic TEXT NOT NULL PRIMARY KEY REFERENCES clinic,
  language TEXT NOT NULL CHECK (language IN ('en', 'es')),
  quiet_from TEXT,
  quiet_until TEXT,
  CHECK ((quiet_from IS NULL) = (quiet_until IS NULL))
) STRICT, WITHOUT ROWID;

-- In which language a patient is written to, if it is known, and where else than by mail.
CREATE TABLE patient_contact (
  clinic TEXT NOT NULL,
  patient TEXT NOT NULL,
  language TEXT CHECK (language IN ('en', 'es')),
  phone TEXT,
  PRIMARY KEY (clinic, patient),
  FOREIGN KEY (clinic, patient) REFERENCES patient
) STRICT, WITHOUT ROWID;

-- Addresses that a mail server refused for good, and whose owners want no more of what they can do without. SHA-256 of the address in
-- lower case.
CREATE TABLE message_address (
  clinic TEXT NOT NULL,
  address_hash BLOB NOT NULL CHECK (length(address_hash) = 32),
  failing_since INTEGER,
  opted_out_at INTEGER,
  PRIMARY KEY (clinic, address_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE opt_out_link (
  clinic TEXT NOT NULL,
  token_hash BLOB NOT NULL CHECK (length(token_hash) = 32),
  address_hash BLOB NOT NULL CHECK (length(address_hash) = 32),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, token_hash)
) STRICT, WITHOUT ROWID;
