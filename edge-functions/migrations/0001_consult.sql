-- One consult, end to end. Times are unix milliseconds UTC; ids are UUID version 7 as text; secrets stand
-- here only as their SHA-256, passwords as Argon2id. Every row belongs to a clinic, and every key begins with
-- it: one record group holds several clinics, and none of them can be reached from another.

CREATE TABLE clinic (
  clinic TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  -- Argon2id of the document it was set up with, to tell "the same again" from "another". Slow, for it holds
  -- passwords.
  document_hash TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Staff and their roles.

CREATE TABLE staff_user (
  clinic TEXT NOT NULL REFERENCES clinic,
  id TEXT NOT NULL,
  username TEXT NOT NULL,
  name TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id),
  UNIQUE (clinic, username)
) STRICT, WITHOUT ROWID;

CREATE TABLE staff_role (
  clinic TEXT NOT NULL,
  user TEXT NOT NULL,
  role TEXT NOT NULL
    CHECK (role IN ('front-desk', 'nurse', 'doctor', 'billing', 'clinic-admin', 'auditor')),
  PRIMARY KEY (clinic, user, role),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
  clinic TEXT NOT NULL,
  secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
  user TEXT NOT NULL,
  -- Authenticates the time of last use, which travels in the cookie.
  seen_key BLOB NOT NULL CHECK (length(seen_key) = 32),
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  PRIMARY KEY (clinic, secret_hash),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

-- What can be booked. Free slots are computed from these and never stored.

CREATE TABLE practitioner (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  user TEXT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE TABLE opening_hours (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  practitioner TEXT NOT NULL,
  -- RFC 5545, weekly only; from and until are local times of the clinic, HH:MM.
  rrule TEXT NOT NULL,
  opens TEXT NOT NULL,
  closes TEXT NOT NULL,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, practitioner) REFERENCES practitioner
) STRICT, WITHOUT ROWID;

CREATE TABLE service (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  duration_minutes INTEGER NOT NULL CHECK (duration_minutes > 0),
  -- In minor units of the currency.
  price_minor INTEGER NOT NULL CHECK (price_minor >= 0),
  currency TEXT NOT NULL,
  PRIMARY KEY (clinic, id)
) STRICT, WITHOUT ROWID;

-- Booking.

CREATE TABLE hold (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
  practitioner TEXT NOT NULL,
  service TEXT NOT NULL,
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL CHECK (end_at > start_at),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, practitioner) REFERENCES practitioner,
  FOREIGN KEY (clinic, service) REFERENCES service
) STRICT, WITHOUT ROWID;

CREATE INDEX hold_by_time ON hold (clinic, practitioner, start_at);

CREATE TABLE patient (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  birth_date TEXT NOT NULL,
  email TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE appointment (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  hold TEXT NOT NULL,
  patient TEXT NOT NULL,
  practitioner TEXT NOT NULL,
  service TEXT NOT NULL,
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL CHECK (end_at > start_at),
  status TEXT NOT NULL CHECK (status IN ('booked', 'arrived', 'fulfilled', 'cancelled', 'noshow')),
  created_at INTEGER NOT NULL,
  arrived_at INTEGER,
  admitted_at INTEGER,
  ended_at INTEGER,
  PRIMARY KEY (clinic, id),
  UNIQUE (clinic, hold),
  FOREIGN KEY (clinic, hold) REFERENCES hold,
  FOREIGN KEY (clinic, patient) REFERENCES patient,
  FOREIGN KEY (clinic, practitioner) REFERENCES practitioner,
  FOREIGN KEY (clinic, service) REFERENCES service
) STRICT, WITHOUT ROWID;

-- The last word on double booking, should every condition in front of it be wrong.
CREATE UNIQUE INDEX appointment_once ON appointment (clinic, practitioner, start_at)
  WHERE status IN ('booked', 'arrived', 'fulfilled');
CREATE INDEX appointment_by_time ON appointment (clinic, start_at);

CREATE TABLE invoice (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  appointment TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('issued')),
  method TEXT NOT NULL CHECK (method IN ('pay-at-clinic')),
  amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
  currency TEXT NOT NULL,
  issued_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id),
  UNIQUE (clinic, appointment),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

-- The link to a visit, the sessions it opened, and what was written to the patient.

CREATE TABLE invitation (
  clinic TEXT NOT NULL,
  token_hash BLOB NOT NULL CHECK (length(token_hash) = 32),
  appointment TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, token_hash),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

CREATE TABLE visit_session (
  clinic TEXT NOT NULL,
  secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
  appointment TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, secret_hash),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox_message (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  recipient TEXT NOT NULL,
  subject TEXT NOT NULL,
  body TEXT NOT NULL,
  link TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id)
) STRICT, WITHOUT ROWID;

-- The call: random names only, drawn when the patient is let in.

CREATE TABLE room (
  clinic TEXT NOT NULL,
  appointment TEXT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  sink TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, appointment),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

CREATE TABLE room_participant (
  clinic TEXT NOT NULL,
  appointment TEXT NOT NULL,
  -- 'patient', or the id of a member of staff: one participant a person, so that coming back replaces, not
  -- doubles.
  person TEXT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  PRIMARY KEY (clinic, appointment, person),
  FOREIGN KEY (clinic, appointment) REFERENCES room
) STRICT, WITHOUT ROWID;

-- The record.

CREATE TABLE encounter (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  appointment TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('planned', 'in-progress', 'finished')),
  started_at INTEGER,
  ended_at INTEGER,
  -- Changes with every write of the note, and means nothing else.
  note_version TEXT NOT NULL,
  note_text TEXT,
  note_author TEXT,
  note_updated_at INTEGER,
  PRIMARY KEY (clinic, id),
  UNIQUE (clinic, appointment),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment,
  FOREIGN KEY (clinic, note_author) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

-- Who did what: ids only, rows are added and never changed.

CREATE TABLE audit_event (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  clinic TEXT NOT NULL,
  at INTEGER NOT NULL,
  request TEXT NOT NULL,
  actor_kind TEXT NOT NULL CHECK (actor_kind IN ('staff', 'visitor', 'operator', 'anonymous')),
  actor TEXT,
  action TEXT NOT NULL,
  subject TEXT
) STRICT;

CREATE INDEX audit_event_by_time ON audit_event (clinic, at);

CREATE TRIGGER audit_event_is_kept BEFORE DELETE ON audit_event
BEGIN SELECT RAISE(ABORT, 'audit events are kept'); END;
CREATE TRIGGER audit_event_is_final BEFORE UPDATE ON audit_event
BEGIN SELECT RAISE(ABORT, 'audit events are final'); END;
